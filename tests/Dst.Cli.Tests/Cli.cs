using System.Diagnostics;
using Dst.Cli.Features;

namespace Dst.Cli.Tests;

/// <summary>What one run left behind.</summary>
internal sealed record Outcome(int ExitCode, string Output, string Error)
{
    /// <summary>Asserts the shape that every failure has: one line on stderr, nothing on stdout.</summary>
    public Outcome FailsWith(int exitCode)
    {
        Assert.Equal(exitCode, ExitCode);
        Assert.Empty(Output);
        Assert.StartsWith("dstctl: ", Error, StringComparison.Ordinal);
        Assert.EndsWith("\n", Error, StringComparison.Ordinal);
        Assert.Equal(1, Error.Count(c => c == '\n'));
        Assert.DoesNotContain("   at ", Error, StringComparison.Ordinal);
        return this;
    }

    /// <summary>Asserts that it went well and gives the data.</summary>
    public string Succeeds()
    {
        Assert.Equal((0, string.Empty), (ExitCode, Error));
        return Output;
    }
}

/// <summary>Runs the command in process, and as a process.</summary>
internal static class Cli
{
    private static readonly TimeSpan ProcessLimit = TimeSpan.FromSeconds(60);

    /// <summary>The program: the one built with the tests, or the published one that the variable names.</summary>
    public static string Program { get; } =
        Environment.GetEnvironmentVariable("DST_TEST_DSTCTL") ?? Path.Combine(AppContext.BaseDirectory, "dstctl");

    public static Task<Outcome> RunAsync(FakeDaemon daemon, params string[] args) =>
        RunAsync(new Setting { RunPath = daemon.RunPath }, args);

    public static async Task<Outcome> RunAsync(Setting setting, params string[] args)
    {
        using var output = new StringWriter { NewLine = "\n" };
        using var error = new StringWriter { NewLine = "\n" };
        var host = new CliHost
        {
            Output = output,
            Error = error,
            IsErrorTerminal = setting.Terminal,
            Variable = name => setting.Variables.GetValueOrDefault(name),
            WorkingDirectory = setting.WorkingDirectory,
            HostRoot = setting.HostRoot,
            Probe = setting.Probe,
            Limits = setting.Limits,
        };
        string[] all = setting.RunPath is null ? args : [.. args, "--run-dir", setting.RunPath];
        int exitCode = await CommandLine.RunAsync(all, host, setting.Interruption);
        return new Outcome(exitCode, output.ToString(), error.ToString());
    }

    public static Task<Outcome> ProcessAsync(params string[] args) => FinishAsync(Start(Program, args));

    public static Process Start(string program, params string[] args)
    {
        var start = new ProcessStartInfo(program, args)
        {
            UseShellExecute = false,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            RedirectStandardInput = true,
        };
        start.Environment.Remove("DST_RUN_DIR");
        start.Environment.Remove(CommandLine.DebugVariable);
        return Process.Start(start)!;
    }

    public static async Task<Outcome> FinishAsync(Process process)
    {
        using (process)
        {
            using var limit = new CancellationTokenSource(ProcessLimit);
            Task<string> output = process.StandardOutput.ReadToEndAsync(limit.Token);
            Task<string> error = process.StandardError.ReadToEndAsync(limit.Token);
            try
            {
                await process.WaitForExitAsync(limit.Token);
                return new Outcome(process.ExitCode, await output, await error);
            }
            finally
            {
                process.Kill();
            }
        }
    }
}

/// <summary>The world of one run in process.</summary>
internal sealed record Setting
{
    public string? RunPath { get; init; }

    public bool Terminal { get; init; }

    public string WorkingDirectory { get; init; } = "/home/user/here";

    public string HostRoot { get; init; } = "/nonexistent";

    public IKernelProbe Probe { get; init; } = new FakeKernel();

    public CliLimits Limits { get; init; } = new();

    public IReadOnlyDictionary<string, string> Variables { get; init; } =
        new Dictionary<string, string>(StringComparer.Ordinal);

    public static Setting ByVariable(string runPath) => new()
    {
        Variables = new Dictionary<string, string>(StringComparer.Ordinal) { ["DST_RUN_DIR"] = runPath },
    };

    public CancellationToken Interruption { get; init; } = TestContext.Current.CancellationToken;
}
