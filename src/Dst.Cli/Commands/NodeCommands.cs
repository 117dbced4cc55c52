using System.CommandLine;
using System.CommandLine.Completions;
using Dst.Cli.Output;
using Dst.Control;
using Dst.Core.Specs;

namespace Dst.Cli.Commands;

/// <summary>What an operator can tell a network node of a device that runs: maintenance and budgets (S-15).</summary>
internal static class NodeCommands
{
    private const int MaxNodeIndex = 63;
    private const string NoDeadline = "deadline=0";
    private const string NoRetryTime = "retry-time=0";

    private static readonly string[] Keys = ["deadline", "retries", "retry-time", "on-timeout"];

    /// <summary>Makes the verbs.</summary>
    public static IEnumerable<Command> Create(DaemonAccess daemon) =>
    [
        CreateSimple(
            daemon,
            NodeOrder.Suspend,
            "suspend-node",
            "Let requests of a network node wait, for maintenance of its server. Lasts until resume-node or the end of "
                + "the device's target.",
            "dstctl suspend-node disk1 0"),
        CreateSimple(
            daemon,
            NodeOrder.Resume,
            "resume-node",
            "Let requests of a suspended node go on.",
            "dstctl resume-node disk1 0"),
        CreateSimple(
            daemon,
            NodeOrder.Fail,
            "fail-node",
            "End with an error, now, every request that waits for a network node; later ones are tried as before.",
            "dstctl fail-node disk1 0"),
        CreateSet(daemon),
    ];

    private static Verb CreateSimple(
        DaemonAccess daemon, string order, string verb, string description, string example)
    {
        (Argument<string> name, Argument<int?> index) = Target(daemon);
        var command = new Verb(verb, description, example) { name, index };
        command.SetAction(async (parsed, cancellation) =>
        {
            using DaemonClient client = daemon.Connect(parsed);
            await client.OrderNodeAsync(
                parsed.GetRequiredValue(name), parsed.GetValue(index)!.Value, order, null, cancellation);
            return 0;
        });
        return command;
    }

    private static Verb CreateSet(DaemonAccess daemon)
    {
        (Argument<string> name, Argument<int?> index) = Target(daemon);
        var settings = new Argument<string[]>("KEY=VALUE")
        {
            Description = "deadline=TIME, retries=N, retry-time=TIME: when a request may end; 0 for never. "
                + "on-timeout=queue|error: whether it waits then, or ends with an error.",
            HelpName = "KEY=VALUE",
            Arity = ArgumentArity.OneOrMore,
        };
        settings.CompletionSources.Add(_ => Keys.Select(key => new CompletionItem($"{key}=")));
        settings.Validators.Add(result =>
        {
            if (!TryRead([.. result.Tokens.Select(token => token.Value)], out _, out string? error))
            {
                result.AddError($"set-node: {error}");
            }
        });
        var command = new Verb(
            "set-node",
            "Change how long requests of a network node may wait. Lasts until the end of the device's target; the "
                + "node's specification has the values after that.",
            "dstctl set-node disk1 0 deadline=30s on-timeout=error",
            "dstctl set-node disk1 0 retries=5 retry-time=1m")
        {
            name, index, settings,
        };
        command.SetAction(async (parsed, cancellation) =>
        {
            _ = TryRead(parsed.GetRequiredValue(settings), out NodeSettings? read, out _);
            using DaemonClient client = daemon.Connect(parsed);
            await client.OrderNodeAsync(
                parsed.GetRequiredValue(name), parsed.GetValue(index)!.Value, NodeOrder.Set, read, cancellation);
            return 0;
        });
        return command;
    }

    private static (Argument<string> Name, Argument<int?> Index) Target(DaemonAccess daemon)
    {
        Argument<int?> index = Inputs.WholeNumber(
            "INDEX", 0, MaxNodeIndex, "Index of the node, as in 'dstctl status'.");
        index.Arity = ArgumentArity.ExactlyOne;
        return (Inputs.DeviceName(daemon, "Name of the device."), index);
    }

    // The keys are those of a node's specification, and so are their values and limits. But a specification leaves out
    // a budget that does not count, where here it has to be said.
    private static bool TryRead(string[] texts, out NodeSettings? settings, out string? error)
    {
        settings = null;
        error = ProblemOf(texts);
        IEnumerable<string> parts =
            texts.Where(text => text is not (NoDeadline or NoRetryTime)).Prepend("dst://host/export");
        if (error is not null
            || !NodeSpec.TryParse(string.Join(',', parts), out NodeSpec? spec, out error))
        {
            return false;
        }

        NetworkOptions options = ((NetworkNodeSpec)spec).Options;
        settings = new NodeSettings
        {
            DeadlineMs = texts.Contains(NoDeadline, StringComparer.Ordinal) ? 0 : options.DeadlineMs,
            Retries = options.Retries,
            RetryTimeMs = texts.Contains(NoRetryTime, StringComparer.Ordinal) ? 0 : options.RetryTimeMs,
            EndsWithError = texts.Any(text => text.StartsWith("on-timeout=", StringComparison.Ordinal))
                ? options.OnTimeout == TimeoutRule.Error
                : null,
        };
        return true;
    }

    // Behind a comma other keys of a specification would pass, and the first of two would count for nothing.
    private static string? ProblemOf(string[] texts)
    {
        string[] keys = [.. texts.Select(text => text.Split('=')[0])];
        if (keys.FirstOrDefault(key => !Keys.Contains(key, StringComparer.Ordinal)) is { } unknown)
        {
            return $"'{unknown}' is not one of {string.Join(", ", Keys)}";
        }

        return texts.FirstOrDefault(text => text.Contains(',', StringComparison.Ordinal)) is { } several
            ? $"'{several}': one KEY=VALUE per argument"
            : keys.GroupBy(key => key, StringComparer.Ordinal).FirstOrDefault(same => same.Count() > 1) is { } twice
                ? $"{twice.Key} is given twice"
                : null;
    }
}
