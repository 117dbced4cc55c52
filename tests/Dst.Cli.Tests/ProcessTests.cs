using System.Diagnostics;
using System.Globalization;
using Dst.Control;

namespace Dst.Cli.Tests;

/// <summary>What only a process of its own shows: signals, descriptors, users, shells.</summary>
public sealed class ProcessTests
{
    private const int NobodyUid = 65534;

    // Completion gives dstd one second and is silent afterwards; a program that is compiled as it runs needs more of it
    // than the published one, and all of it on a loaded machine.
    private const int Tries = 20;

    private static FakeDaemon Daemon() => new(request => request.Method is "GET"
        ? FakeAnswer.Json(200, [Samples.Disk, Samples.Young], ControlJson.Default.DeviceStatusArray)
        : FakeAnswer.Error(ControlErrorCode.Busy, "disk1 is mounted on /mnt"));

    [Fact]
    public async Task DataGoesToStdoutAndFailuresToStderr()
    {
        await using FakeDaemon daemon = Daemon();
        Assert.Equal(
            "a-new-one  -\ndisk1      /dev/ublkb0\n",
            (await Cli.ProcessAsync("list", "--run-dir", daemon.RunPath)).Succeeds());
        (await Cli.ProcessAsync("remove-device", "disk1", "--run-dir", daemon.RunPath)).FailsWith(5);
        (await Cli.ProcessAsync("frob")).FailsWith(2);
        (await Cli.ProcessAsync("list", "--run-dir", "/nonexistent")).FailsWith(4);
    }

    [Theory]
    [InlineData("INT", 130)]
    [InlineData("TERM", 143)]
    public async Task ASignalEndsTheWaitingAndIsTold(string signal, int exitCode)
    {
        var reached = new TaskCompletionSource();
        await using var daemon = new FakeDaemon(async (_, end) =>
        {
            reached.TrySetResult();
            await Task.Delay(Timeout.Infinite, end);
            return FakeAnswer.HangUp;
        });
        Process process = Cli.Start(
            Cli.Program, "add-device", "disk1", "--node", "zero:1G", "--run-dir", daemon.RunPath);
        await reached.Task.WaitAsync(TimeSpan.FromSeconds(30), TestContext.Current.CancellationToken);
        string pid = process.Id.ToString(CultureInfo.InvariantCulture);
        await Cli.FinishAsync(Cli.Start("/bin/kill", $"-{signal}", pid));
        Outcome outcome = (await Cli.FinishAsync(process)).FailsWith(exitCode);
        Assert.Contains("dstd goes on adding disk1", outcome.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task AFullStdoutIsAFailureInOneLine()
    {
        await using FakeDaemon daemon = Daemon();
        (await ShellAsync($"'{Cli.Program}' list --run-dir {daemon.RunPath} > /dev/full")).FailsWith(1);
        (await ShellAsync($"'{Cli.Program}' --help > /dev/full")).FailsWith(1);
    }

    [Fact]
    public async Task ALostWorkingDirectoryDisturbsOnlyRelativePaths()
    {
        await using FakeDaemon daemon = Daemon();
        string gone = Directory.CreateTempSubdirectory("dstcli-").FullName;
        string inGone = $"cd {gone} && rmdir {gone} && '{Cli.Program}'";
        (await ShellAsync($"{inGone} list --run-dir {daemon.RunPath}")).Succeeds();
        Directory.CreateDirectory(gone);
        (await ShellAsync($"{inGone} add-device d --node file:a --run-dir {daemon.RunPath}")).FailsWith(1);
    }

    [Fact]
    public async Task BytesThatAreNotUtf8AreRefused()
    {
        await using FakeDaemon daemon = Daemon();
        Outcome outcome = await ShellAsync(
            $"'{Cli.Program}' add-device d --node $'file:/srv/\\xff' --run-dir {daemon.RunPath}");
        Assert.Contains("UTF-8", outcome.FailsWith(2).Error, StringComparison.Ordinal);
        Assert.Empty(daemon.Requests);
    }

    [Fact]
    public async Task AnotherUserIsToldToBecomeRoot()
    {
        Assert.SkipUnless(Environment.IsPrivilegedProcess, "only root can become somebody else");
        await using FakeDaemon daemon = Daemon();
        File.SetUnixFileMode($"{daemon.RunPath}/dstd.sock", UnixFileMode.UserRead | UnixFileMode.UserWrite);
        File.SetUnixFileMode(daemon.RunPath, (UnixFileMode)0b111_101_101);
        // By the shared host and a copy: the build may lie where others cannot look.
        string copy = Directory.CreateTempSubdirectory("dstcli-").FullName;
        try
        {
            File.SetUnixFileMode(copy, (UnixFileMode)0b111_101_101);
            foreach (string file in Directory.EnumerateFiles(Path.GetDirectoryName(Cli.Program)!))
            {
                File.Copy(file, Path.Combine(copy, Path.GetFileName(file)));
            }

            Outcome outcome = await Cli.FinishAsync(Cli.Start(
                "setpriv",
                $"--reuid={NobodyUid}", $"--regid={NobodyUid}", "--clear-groups",
                $"{copy}/dstctl", "list", "--run-dir", daemon.RunPath));
            Assert.Contains("EACCES", outcome.FailsWith(4).Error, StringComparison.Ordinal);
            Assert.Contains("root", outcome.Error, StringComparison.Ordinal);
        }
        finally
        {
            Directory.Delete(copy, recursive: true);
        }
    }

    [Fact]
    public async Task TheTraceOfAFailureIsShownOnDemandOnly()
    {
        Outcome outcome = await ShellAsync($"DST_DEBUG=1 '{Cli.Program}' list --run-dir /nonexistent");
        Assert.Equal(4, outcome.ExitCode);
        Assert.Contains("ControlException", outcome.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task TheLocaleChangesNothing()
    {
        await using FakeDaemon daemon = Daemon();
        string expected = (await Cli.ProcessAsync("status", "--run-dir", daemon.RunPath)).Succeeds();
        Outcome german = await ShellAsync(
            $"LANG=de_DE.ISO-8859-1 LC_ALL=de_DE.ISO-8859-1 '{Cli.Program}' status --run-dir {daemon.RunPath}");
        Assert.Equal(expected, german.Succeeds());
    }

    [Theory]
    [InlineData("dstctl rem", "remove-device")]
    [InlineData("dstctl remove-device ", "disk1")]
    [InlineData("dstctl remove-device dis", "disk1")]
    [InlineData("dstctl add-device x --node ", "file:")]
    [InlineData("dstctl add-device x --block-size ", "4096")]
    [InlineData("dstctl completion ", "fish")]
    [InlineData("dstctl status --j", "--json")]
    public async Task TheDirectiveSuggestsWhatFits(string line, string expected)
    {
        await using FakeDaemon daemon = Daemon();
        string[] suggested = [];
        for (int i = 0; i < Tries && !suggested.Contains(expected, StringComparer.Ordinal); i++)
        {
            suggested = (await ShellAsync(
                $"DST_RUN_DIR={daemon.RunPath} '{Cli.Program}' '[suggest:{line.Length}]' '{line}'"))
                .Succeeds().Split('\n');
        }

        Assert.Contains(expected, suggested, StringComparer.Ordinal);
    }

    [Fact]
    public async Task SuggestionsAreSilentWithoutADaemon()
    {
        Outcome outcome = await ShellAsync(
            $"DST_RUN_DIR=/nonexistent '{Cli.Program}' '[suggest:21]' 'dstctl remove-device '");
        Assert.DoesNotContain("disk", outcome.Succeeds(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task BashCompletesANameThroughTheScript()
    {
        await using FakeDaemon daemon = Daemon();
        string script = $$"""
            source <('{{Cli.Program}}' completion bash)
            export DST_RUN_DIR={{daemon.RunPath}}
            COMP_LINE="{{Cli.Program}} remove-device di" COMP_POINT=$(({{Cli.Program.Length}} + 17))
            COMP_WORDS=("{{Cli.Program}}" remove-device di) COMP_CWORD=2
            for ((i = 0; i < {{Tries}} && ${#COMPREPLY[@]} == 0; i++)); do
                _dstctl "{{Cli.Program}}" di remove-device
            done
            echo "$COMPREPLY"
            complete -p dstctl
            """;
        string output = (await ShellAsync(script)).Succeeds();
        Assert.StartsWith("disk1\ncomplete ", output, StringComparison.Ordinal);
    }

    private static Task<Outcome> ShellAsync(string script) => Cli.FinishAsync(Cli.Start("bash", "-c", script));
}
