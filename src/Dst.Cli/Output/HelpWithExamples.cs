using System.CommandLine;
using System.CommandLine.Help;
using System.CommandLine.Invocation;

namespace Dst.Cli.Output;

/// <summary>A verb that its help shows examples of.</summary>
internal sealed class Verb(string name, string description, params string[] examples) : Command(name, description)
{
    /// <summary>Command lines, each as it would be typed.</summary>
    public IReadOnlyList<string> Examples { get; } = examples;
}

/// <summary>The usual help, then what a script must know (exit codes) or a person wants to copy (examples).</summary>
internal sealed class HelpWithExamples : SynchronousCommandLineAction
{
    private const int MaxWidthColumns = 100;

    private static readonly string[] General =
    [
        "Examples:",
        "  dstctl doctor",
        "  dstctl add-device disk1 --node file:/srv/a.img,size=4G file:/srv/b.img,size=4G",
        "  dstctl status",
        "  dstctl remove-device disk1",
        "",
        "Exit codes:",
        "  0    done",
        "  1    failed",
        "  2    wrong usage; nothing was changed",
        "  3    no such object",
        "  4    dstd cannot be reached",
        "  5    exists already, or is in use",
        "  6    timed out",
        "  130 interrupted; what dstd was told to do goes on",
        "",
        "Environment:",
        "  DST_RUN_DIR  run directory of dstd, when --run-dir is not given",
        "  DST_DEBUG=1  show where a failure came from",
        "",
        "'dstctl COMMAND --help' shows the options and examples of one command.",
    ];

    private readonly HelpAction _usual;

    public HelpWithExamples(HelpAction usual)
    {
        _usual = usual;
        _usual.MaxWidth = MaxWidthColumns;
    }

    public override bool ClearsParseErrors => true;

    public override int Invoke(ParseResult parseResult)
    {
        int exitCode = _usual.Invoke(parseResult);
        TextWriter output = parseResult.InvocationConfiguration.Output;
        if (parseResult.CommandResult.Command is Verb { Examples.Count: > 0 } verb)
        {
            output.WriteLine("Examples:");
            foreach (string example in verb.Examples)
            {
                output.WriteLine($"  {example}");
            }
        }
        else if (parseResult.CommandResult.Command is RootCommand)
        {
            foreach (string line in General)
            {
                output.WriteLine(line);
            }
        }

        return exitCode;
    }
}
