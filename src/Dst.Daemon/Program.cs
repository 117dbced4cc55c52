using System.CommandLine;
using Dst.Control;
using Dst.Daemon.Kernel;
using Dst.Daemon.Logging;
using Serilog.Core;
using Serilog.Events;

namespace Dst.Daemon;

/// <summary>The command line of dstd.</summary>
internal static class Program
{
    private static readonly Option<string> RunDirectoryOption = new("--run-dir")
    {
        Description =
            $"sockets, locks and status trees (default {RunDirectory.DefaultPath}, or ${RunDirectory.Variable})",
    };

    private static readonly Option<string> StateDirectoryOption = new("--state-dir")
    {
        Description = $"records of the devices (default {StateDirectory.DefaultPath}, or ${StateDirectory.Variable})",
    };

    private static readonly Option<string> LogOption = new("--log")
    {
        Description = "form of the log on standard error",
        DefaultValueFactory = _ => "text",
    };

    private static readonly Option<LogEventLevel> LogLevelOption = new("--log-level")
    {
        Description = "least level that is logged",
        DefaultValueFactory = _ => LogEventLevel.Information,
    };

    private static readonly Option<string> TargetBinaryOption = new("--target-binary")
    {
        Description = "program that serves one device (default: dst-target beside dstd)",
    };

    private static readonly Option<string> ServerBinaryOption = new("--server-binary")
    {
        Description = "program that serves all exports (default: dst-server beside dstd)",
    };

    private static readonly Option<string> LinkDirectoryOption = new("--link-dir")
    {
        Description = "folder of the links NAME to /dev/ublkbN",
        DefaultValueFactory = _ => DaemonOptions.DefaultLinkDirectory,
    };

    private static async Task<int> Main(string[] arguments)
    {
        RootCommand root = new(
            "dstd keeps DST's devices: it creates, watches, restores and removes them. Stopping it stops no device.")
        {
            RunDirectoryOption,
            StateDirectoryOption,
            LogOption,
            LogLevelOption,
            TargetBinaryOption,
            ServerBinaryOption,
            LinkDirectoryOption,
        };
        LogOption.AcceptOnlyFromAmong("text", "json");
        root.SetAction((parse, _) => RunAsync(parse));
        root.Subcommands.Add(ReadAttributeCommand());
        ParseResult result = root.Parse(arguments);
        if (result.Errors.Count > 0)
        {
            return Fail(
                new(ControlErrorCode.Usage, $"{result.Errors[0].Message.ReplaceLineEndings(" ")} See dstd --help."));
        }

        // The host handles the signals itself.
        return await result.InvokeAsync(new InvocationConfiguration { ProcessTerminationTimeout = null });
    }

    private static async Task<int> RunAsync(ParseResult parse)
    {
        using Logger logger = LogSetup.Create(
            string.Equals(parse.GetValue(LogOption), "json", StringComparison.Ordinal), parse.GetValue(LogLevelOption));
        try
        {
            Native.EmptyStandardInput();
            DaemonHost host = await DaemonHost.StartAsync(OptionsOf(parse), logger);
            await using (host)
            {
                await host.WaitAsync();
                return 0;
            }
        }
        catch (ControlException e)
        {
            return Fail(e.Error);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return Fail(new(ControlErrorCode.Failure, e.Message.ReplaceLineEndings(" ")));
        }
    }

    private static DaemonOptions OptionsOf(ParseResult parse)
    {
        string run = PathOf(parse, RunDirectoryOption, RunDirectory.Variable) ?? RunDirectory.DefaultPath;
        string state = PathOf(parse, StateDirectoryOption, StateDirectory.Variable) ?? StateDirectory.DefaultPath;
        DaemonOptions options = new()
        {
            Run = new RunDirectory(run),
            State = new StateDirectory(state),
            LinkDirectory = PathOf(parse, LinkDirectoryOption)!,
        };
        if (PathOf(parse, ServerBinaryOption) is { } server)
        {
            options = options with { ServerBinary = server };
        }

        return PathOf(parse, TargetBinaryOption) is { } target ? options with { TargetBinary = target } : options;
    }

    // Absolute; null when neither the option nor the variable is given.
    private static string? PathOf(ParseResult parse, Option<string> option, string? variable = null)
    {
        (string name, string? path) = (option.Name, parse.GetValue(option));
        if (path is null && variable is not null)
        {
            (name, path) = ($"${variable}", Environment.GetEnvironmentVariable(variable));
        }

        return path switch
        {
            null => null,
            "" => throw new ControlException(ControlErrorCode.Usage, $"{name}: the path is empty"),
            _ => Path.GetFullPath(path),
        };
    }

    // Runs in a process of its own because the kernel may block it (U-13).
    private static Command ReadAttributeCommand()
    {
        Argument<string> path = new("path");
        Command command = new("read-attribute", "Prints one kernel attribute; dstd runs this itself.") { path };
        command.Hidden = true;
        command.SetAction(parse =>
        {
            try
            {
                Console.Out.Write(File.ReadAllText(parse.GetValue(path)!));
                return 0;
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                return Fail(new(ControlErrorCode.Failure, e.Message));
            }
        });
        return command;
    }

    private static int Fail(ControlError error)
    {
        Console.Error.WriteLine($"dstd: {error.Message}");
        return error.ExitCode;
    }
}
