using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using Dst.Core.Specs;

namespace Dst.Cli;

/// <summary>Options and arguments that verbs share; each checks its value before anything is sent.</summary>
internal static class Inputs
{
    private const int MaxTimeoutSeconds = 24 * 60 * 60;

    // What the runtime puts in the place of bytes that are not UTF-8: another file would be meant.
    private const char NotUtf8 = '\ufffd';

    private static readonly string[] NodeKinds =
        ["file:", "dev:", "dst://", "dst+unix:", "mem:", "zero:", "delay:", "error:"];

    /// <summary>The name of a device that exists; completed from the daemon.</summary>
    public static Argument<string> DeviceName(DaemonAccess daemon, string description)
    {
        Argument<string> argument = NewDeviceName(description);
        argument.CompletionSources.Add(context => DeviceNames.Complete(daemon, context.ParseResult));
        return argument;
    }

    /// <summary>The name of an export that exists; completed from the daemon.</summary>
    public static Argument<string> ExportName(DaemonAccess daemon, string description)
    {
        Argument<string> argument = NewDeviceName(description);
        argument.CompletionSources.Add(context => DeviceNames.CompleteExports(daemon, context.ParseResult));
        return argument;
    }

    /// <summary>The name of a device or an export that exists; completed from the daemon.</summary>
    public static Argument<string> AnyName(DaemonAccess daemon, string description)
    {
        Argument<string> argument = DeviceName(daemon, description);
        argument.CompletionSources.Add(context => DeviceNames.CompleteExports(daemon, context.ParseResult));
        return argument;
    }

    /// <summary>Texts that dstd checks, in order.</summary>
    public static Option<string[]> Texts(string name, string helpName, string description)
    {
        var option = new Option<string[]>(name)
        {
            Description = description,
            HelpName = helpName,
            Arity = ArgumentArity.OneOrMore,
            AllowMultipleArgumentsPerToken = true,
        };
        option.Validators.Add(result =>
        {
            if (result.Tokens.FirstOrDefault(token => token.Value.StartsWith('-')) is { } swallowed)
            {
                result.AddError($"no option '{swallowed.Value}'");
            }
        });
        return option;
    }

    /// <summary>One of a few words; null when not given.</summary>
    public static Option<string?> Word(string name, string[] words, string description)
    {
        var option = new Option<string?>(name) { Description = description, HelpName = string.Join('|', words) };
        option.CompletionSources.Add(words);
        option.Validators.Add(result =>
        {
            if (result.Tokens.Count == 1 && !words.Contains(result.Tokens[0].Value, StringComparer.Ordinal))
            {
                result.AddError($"{name}: '{result.Tokens[0].Value}' is not one of {string.Join(", ", words)}");
            }
        });
        return option;
    }

    /// <summary>The name of a device to be made.</summary>
    public static Argument<string> NewDeviceName(string description)
    {
        var argument = new Argument<string>("NAME") { Description = description, HelpName = "NAME" };
        argument.Validators.Add(result =>
        {
            if (result.Tokens.Count == 1 && !ObjectName.TryCheck(result.Tokens[0].Value, out string? fault))
            {
                result.AddError(fault);
            }
        });
        return argument;
    }

    /// <summary>Node specifications, in order. Paths are made absolute: dstd works in another directory.</summary>
    /// <param name="host">Knows what relative paths start from.</param>
    /// <param name="max">Most nodes.</param>
    public static Option<string[]> Nodes(CliHost host, int max)
    {
        var option = new Option<string[]>("--node")
        {
            Description = $"KIND:ADDRESS[,key=value]..., repeated or with several values, 1 to {max}: "
                + "file:PATH[,size=4G][,offset=N][,sparse][,buffered], dev:PATH, "
                + "dst://HOST[:PORT]/EXPORT or dst+unix:PATH,export=EXPORT; "
                + "for tests zero:SIZE, mem:SIZE, delay:MS,NODE, error:WHEN,NODE, volatile:SEED,NODE. "
                + "A comma in a path is doubled.",
            HelpName = "SPEC",
            Required = true,
            Arity = ArgumentArity.OneOrMore,
            AllowMultipleArgumentsPerToken = true,
        };
        option.CompletionSources.Add(context =>
            context.WordToComplete.Contains(':', StringComparison.Ordinal) ? [] : NodeKinds);
        option.CustomParser = result => ParseNodes(result, host, max);
        return option;
    }

    /// <summary>A whole number in a range.</summary>
    public static Option<int?> WholeNumber(string name, string helpName, int min, int max, string description)
    {
        var option = new Option<int?>(name) { Description = description, HelpName = helpName };
        option.CustomParser = result => Parse(result, name, min, max);
        return option;
    }

    /// <summary>A whole number in a range that may be left out.</summary>
    public static Argument<int?> WholeNumber(string name, int min, int max, string description)
    {
        var argument = new Argument<int?>(name)
        {
            Description = description,
            HelpName = name,
            Arity = ArgumentArity.ZeroOrOne,
        };
        argument.CustomParser = result => Parse(result, name, min, max);
        return argument;
    }

    /// <summary>One of a few numbers.</summary>
    public static Option<int?> OneOf(string name, int[] choices, string description)
    {
        string[] words = [.. choices.Select(c => c.ToString(CultureInfo.InvariantCulture))];
        var option = new Option<int?>(name) { Description = description, HelpName = string.Join('|', words) };
        option.CompletionSources.Add(words);
        option.CustomParser = result =>
        {
            string text = result.Tokens[0].Value;
            int place = Array.IndexOf(words, text);
            if (place >= 0)
            {
                return choices[place];
            }

            result.AddError($"{name}: '{text}' is not one of {string.Join(", ", words)}");
            return null;
        };
        return option;
    }

    /// <summary>A size above zero: a whole number, with K, M, G or T for powers of 1024.</summary>
    public static Option<long?> Size(string name, long maxBytes, string description)
    {
        var option = new Option<long?>(name) { Description = description, HelpName = "SIZE" };
        option.CustomParser = result =>
        {
            string text = result.Tokens[0].Value;
            if (!ByteSize.TryParse(text, out long bytes, out string? fault))
            {
                result.AddError($"{name}: {fault}");
                return null;
            }

            if (bytes < 1 || bytes > maxBytes)
            {
                result.AddError($"{name}: size '{text}' must be from 1 to {ByteSize.Format(maxBytes)}");
                return null;
            }

            return bytes;
        };
        return option;
    }

    /// <summary>The option --timeout, in seconds.</summary>
    public static Option<int?> TimeoutSeconds(string description) =>
        WholeNumber("--timeout", "SECONDS", 1, MaxTimeoutSeconds, description);

    /// <summary>The option --json.</summary>
    public static Option<bool> Json() => new("--json") { Description = "Print JSON, with the version of its schema." };

    private static string[]? ParseNodes(ArgumentResult result, CliHost host, int max)
    {
        if (result.Tokens.Count > max)
        {
            result.AddError(string.Create(
                CultureInfo.InvariantCulture, $"--node: {result.Tokens.Count} nodes, but a device has at most {max}"));
            return null;
        }

        string[] specs = new string[result.Tokens.Count];
        for (int i = 0; i < specs.Length; i++)
        {
            string text = result.Tokens[i].Value;
            string? fault = null;
            if (text.StartsWith('-'))
            {
                // Swallowed as one more value: no kind of node starts so, a mistyped option does.
                fault = $"no option '{text}'";
            }
            else if (text.Contains(NotUtf8, StringComparison.Ordinal))
            {
                fault = $"--node: '{text}' is not valid UTF-8";
            }
            else if (NodeSpec.TryParse(text, host.WorkingDirectory, out NodeSpec? spec, out fault))
            {
                specs[i] = spec.ToString();
                continue;
            }

            result.AddError(fault);
            return null;
        }

        return specs;
    }

    private static int? Parse(ArgumentResult result, string name, int min, int max)
    {
        string text = result.Tokens[0].Value;
        if (int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int value)
            && value >= min && value <= max)
        {
            return value;
        }

        result.AddError(string.Create(
            CultureInfo.InvariantCulture, $"{name}: '{text}' is not a whole number from {min} to {max}"));
        return null;
    }
}
