using System.CommandLine;
using System.CommandLine.Help;
using System.CommandLine.Invocation;
using System.Reflection;
using Dst.Cli.Commands;
using Dst.Cli.Output;
using Dst.Control;

namespace Dst.Cli;

/// <summary>Builds the command line, runs one command, turns every failure into one line and an exit code.</summary>
internal static class CommandLine
{
    /// <summary>Exit code after Ctrl-C, as shells have it.</summary>
    public const int InterruptedExitCode = 130;

    /// <summary>Set to 1, it adds the stack trace to the line of a failure.</summary>
    public const string DebugVariable = "DST_DEBUG";

    private const int FailureExitCode = 1;
    private const int UsageExitCode = 2;

    private static readonly ParserConfiguration Parsing = new()
    {
        // A node specification may start with any character; nothing of it is a file of arguments.
        ResponseFileTokenReplacer = null,
        EnablePosixBundling = false,
    };

    /// <summary>Version of this program.</summary>
    public static string Version { get; } =
        typeof(CommandLine).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?
            .InformationalVersion.Split('+')[0] ?? "unknown";

    /// <summary>Runs one command. Throws nothing; cancelling <paramref name="interruption"/> is Ctrl-C.</summary>
    /// <returns>The exit code of the process.</returns>
    public static async Task<int> RunAsync(string[] args, CliHost host, CancellationToken interruption)
    {
        try
        {
            ParseResult parsed = Build(host).Parse(args, Parsing);
            if (parsed.Action is null or ParseErrorAction
                || (parsed.Errors.Count > 0 && !parsed.Action.ClearsParseErrors))
            {
                return Fail(host, UsageExitCode, UsageMessage(parsed), null);
            }

            var invocation = new InvocationConfiguration
            {
                Output = host.Output,
                Error = host.Error,
                EnableDefaultExceptionHandler = false,
                ProcessTerminationTimeout = null,
            };
            int exitCode = await parsed.InvokeAsync(invocation, interruption);
            await host.Output.FlushAsync(CancellationToken.None);
            return exitCode;
        }
        catch (ControlException failure)
        {
            return Fail(host, failure.Error.ExitCode, failure.Error.Message, failure);
        }
        catch (OperationCanceledException failure) when (interruption.IsCancellationRequested)
        {
            string told = host.Undertaking is null ? "interrupted" : $"interrupted; {host.Undertaking}";
            return Fail(host, InterruptedExitCode, told, failure);
        }
#pragma warning disable CA1031 // The last line of defence: people get one line, whatever happened.
        catch (Exception failure)
#pragma warning restore CA1031
        {
            return Fail(host, FailureExitCode, $"{failure.Message} (set {DebugVariable}=1 to see where)", failure);
        }
    }

    private static RootCommand Build(CliHost host)
    {
        var root = new RootCommand("Makes, shows and removes DST block devices and exports by way of the daemon dstd.");
        var runDirectory = new RunDirectoryOption(host);
        root.Options.Clear();
        var help = new HelpOption("--help", "-h") { Description = "Show this help." };
        help.Action = new HelpWithExamples((HelpAction)help.Action!);
        root.Add(runDirectory.Option);
        root.Add(help);
        root.Add(new VersionOption("--version")
        {
            Description = "Show the version.",
            Action = new VersionAction(),
        });
        var daemon = new DaemonAccess(host, runDirectory);
        root.Add(AddDeviceCommand.Create(daemon));
        root.Add(RemoveDeviceCommand.Create(daemon));
        root.Add(AddExportCommand.Create(daemon));
        root.Add(ExportCommands.CreateRemove(daemon));
        root.Add(ExportCommands.CreateRelease(daemon));
        root.Add(ListCommand.Create(daemon));
        root.Add(StatusCommand.Create(daemon));
        root.Add(ClearErrorCommand.Create(daemon));
        foreach (Command command in NodeCommands.Create(daemon))
        {
            root.Add(command);
        }

        root.Add(FeaturesCommand.Create(host));
        root.Add(DoctorCommand.Create(daemon));
        root.Add(CompletionCommand.Create(host));
        return root;
    }

    private static string UsageMessage(ParseResult parsed)
    {
        Command command = parsed.CommandResult.Command;
        string help = command is RootCommand ? "dstctl --help" : $"dstctl {command.Name} --help";
        // Of several, the one about what was typed says more than the one about what was not.
        string? unknown = parsed.UnmatchedTokens.Count == 0 ? null : parsed.UnmatchedTokens[0];
        string message = (command, unknown) switch
        {
            (RootCommand, null) => "no command given",
            (RootCommand, _) => $"no command '{unknown}'",
            (_, null) => parsed.Errors[0].Message.TrimEnd('.'),
            _ when unknown.StartsWith('-') => $"{command.Name}: no option '{unknown}'",
            _ => $"{command.Name}: one argument too many: '{unknown}'",
        };
        return $"{message}; see '{help}'";
    }

    private static int Fail(CliHost host, int exitCode, string message, Exception? failure)
    {
        try
        {
            host.Error.WriteLine($"dstctl: {Printable.Line(message)}");
            if (failure is not null && string.Equals(host.Variable(DebugVariable), "1", StringComparison.Ordinal))
            {
                host.Error.WriteLine(failure.ToString());
            }
        }
        catch (IOException)
        {
            // Nobody can be told; the exit code still says it.
        }

        return exitCode;
    }

    private sealed class VersionAction : SynchronousCommandLineAction
    {
        public override bool ClearsParseErrors => true;

        public override int Invoke(ParseResult parseResult)
        {
            parseResult.InvocationConfiguration.Output.WriteLine($"dstctl {Version}");
            return 0;
        }
    }
}
