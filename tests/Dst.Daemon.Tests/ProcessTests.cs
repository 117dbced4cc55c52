using System.Diagnostics;
using System.Net;
using Dst.Control;
using Xunit;

namespace Dst.Daemon.Tests;

/// <summary>The program itself, in a process of its own.</summary>
public sealed class ProcessTests
{
    [Fact]
    public async Task A_killed_daemon_leaves_targets_running_and_the_next_one_adopts_them()
    {
        await using TestBed bed = new();
        Process first = await StartAsync(bed);
        DeviceStatus before = await bed.AddAsync("a");
        first.Kill();
        await first.WaitForExitAsync(TestContext.Current.CancellationToken);
        Assert.True(TestBed.Runs(before.Pid!.Value));
        Process second = await StartAsync(bed);
        DeviceStatus after = await bed.UntilAsync("a", each => each.State == "live");
        Assert.Equal((before.Pid, before.Uuid), (after.Pid, after.Uuid));

        Process third = Run(bed);
        string text = await third.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        await third.WaitForExitAsync(TestContext.Current.CancellationToken);
        Assert.Equal(5, third.ExitCode);
        Assert.Contains($"pid {second.Id}", text, StringComparison.Ordinal);

        // Its target has no pipe to it and nothing to read.
        Assert.Equal("/dev/null", new FileInfo($"/proc/{after.Pid}/fd/0").LinkTarget);
        await TerminateAsync(second);
        Assert.Equal(0, second.ExitCode);
        Assert.True(TestBed.Runs(before.Pid!.Value));
        Assert.False(File.Exists(bed.Options.Run.DaemonSocket));
    }

    [Fact]
    public async Task A_creation_cut_short_by_kill_is_rolled_back()
    {
        await using TestBed bed = new();
        Process first = await StartAsync(bed);
        bed.Mode("a", "wait-at-open");
        using HttpResponseMessage late = await bed.PostAsync(TestBed.Request("a", 3), "?timeoutMs=1");
        await TestBed.ReadAsync(late, HttpStatusCode.GatewayTimeout, ControlJson.Default.ControlError);
        await bed.UntilAsync("a", each => each.ProgressBytes is not null);
        first.Kill();
        await first.WaitForExitAsync(TestContext.Current.CancellationToken);
        Assert.True(File.Exists(bed.Options.State.DeviceRecord("a")));
        Process second = await StartAsync(bed);
        await TestBed.UntilAsync(() => !File.Exists(bed.Options.State.DeviceRecord("a")), "rolled back");
        await TestBed.UntilAsync(() => bed.TargetPids().TrueForAll(pid => !TestBed.Runs(pid)), "target ends");
        await TerminateAsync(second);
        bed.AssertClean("a");
    }

    [Fact]
    public async Task A_creation_cut_short_before_its_start_is_rolled_back()
    {
        await using TestBed bed = new();
        Process first = await StartAsync(bed);
        bed.Mode("a", "hang-at-start");
        using HttpResponseMessage late = await bed.PostAsync(TestBed.Request("a", 3), "?timeoutMs=1");
        await TestBed.ReadAsync(late, HttpStatusCode.GatewayTimeout, ControlJson.Default.ControlError);
        await TestBed.UntilAsync(
            () => bed.FakeLog.Any(line => line.StartsWith("a start", StringComparison.Ordinal)), "start");
        Assert.NotNull(bed.StoredRecord("a").Geometry);
        first.Kill();
        await first.WaitForExitAsync(TestContext.Current.CancellationToken);
        bed.Mode("a");
        Process second = await StartAsync(bed);
        await TestBed.UntilAsync(() => !File.Exists(bed.Options.State.DeviceRecord("a")), "rolled back");
        await TestBed.UntilAsync(() => bed.TargetPids().TrueForAll(pid => !TestBed.Runs(pid)), "target ends");
        await TerminateAsync(second);
        bed.AssertClean("a");
        Assert.Single(bed.TargetPids());
    }

    [Theory]
    [InlineData("--what")]
    [InlineData("--log", "xml")]
    [InlineData("--log-level", "loud")]
    [InlineData("--run-dir", "")]
    [InlineData("--state-dir", "")]
    [InlineData("--link-dir", "")]
    [InlineData("--target-binary", "")]
    [InlineData("--server-binary", "")]
    public async Task Wrong_options_are_usage_errors(params string[] arguments)
    {
        using Process process = Process.Start(Info(arguments))!;
        string text = await process.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        await process.WaitForExitAsync(TestContext.Current.CancellationToken);
        Assert.Equal(2, process.ExitCode);
        Assert.Single(text.Trim().Split('\n'));
    }

    [Theory]
    [InlineData("DST_RUN_DIR")]
    [InlineData("DST_STATE_DIR")]
    public async Task An_empty_variable_is_a_usage_error(string variable)
    {
        ProcessStartInfo start = Info();
        start.Environment[variable] = "";
        using Process process = Process.Start(start)!;
        string text = await process.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        await process.WaitForExitAsync(TestContext.Current.CancellationToken);
        Assert.Equal((2, $"dstd: ${variable}: the path is empty\n"), (process.ExitCode, text));
    }

    [Theory]
    [InlineData("run", UnixFileMode.GroupWrite)]
    [InlineData("state", UnixFileMode.OtherWrite)]
    public async Task A_directory_that_others_may_change_is_refused_as_it_is(string word, UnixFileMode foreign)
    {
        await using TestBed bed = new();
        string path = $"{bed.Root}/{word}";
        const UnixFileMode Owner = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute;
        Directory.CreateDirectory(path);
        File.SetUnixFileMode(path, Owner | foreign);
        Process process = Run(bed);
        string text = await process.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        await process.WaitForExitAsync(TestContext.Current.CancellationToken);
        Assert.Equal(1, process.ExitCode);
        Assert.Contains($"{word} directory {path} may be changed by others", text, StringComparison.Ordinal);
        Assert.Single(text.Trim().Split('\n'));
        Assert.Equal(Owner | foreign, File.GetUnixFileMode(path));
        Assert.Empty(Directory.GetFileSystemEntries(path));
        Assert.Equal(1, new[] { bed.Options.Run.Path, bed.Options.State.Path }.Count(Directory.Exists));
    }

    [Fact]
    public async Task A_directory_that_is_there_keeps_its_mode_and_what_is_made_is_private()
    {
        await using TestBed bed = new();
        const UnixFileMode Mine =
            UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute | UnixFileMode.GroupExecute;
        Directory.CreateDirectory(bed.Options.State.Path);
        File.SetUnixFileMode(bed.Options.State.Path, Mine);
        await bed.StartAsync();
        Assert.Equal(Mine, File.GetUnixFileMode(bed.Options.State.Path));
        Assert.Equal(Mine & ~UnixFileMode.GroupExecute, File.GetUnixFileMode(bed.Options.State.Devices));
    }

    private static async Task<Process> StartAsync(TestBed bed)
    {
        Process process = Run(bed);
        _ = process.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        for (int i = 0; i < 600 && !process.HasExited; i++)
        {
            try
            {
                await bed.ListAsync();
                return process;
            }
            catch (HttpRequestException)
            {
                await Task.Delay(50, TestContext.Current.CancellationToken);
            }
        }

        Assert.Fail("dstd does not answer");
        return process;
    }

    private static Process Run(TestBed bed)
    {
        Process process = Process.Start(Info(
            "--run-dir", bed.Options.Run.Path,
            "--state-dir", bed.Options.State.Path,
            "--target-binary", bed.Options.TargetBinary,
            "--link-dir", bed.Options.LinkDirectory,
            "--log", "json"))!;
        bed.Daemons.Add(process);
        return process;
    }

    private static ProcessStartInfo Info(params string[] arguments) =>
        new($"{AppContext.BaseDirectory}/dstd", arguments) { UseShellExecute = false, RedirectStandardError = true };

    private static async Task TerminateAsync(Process process)
    {
        using Process kill = Process.Start("/bin/sh", ["-c", $"kill -TERM {process.Id}"]);
        await process.WaitForExitAsync(TestContext.Current.CancellationToken);
    }
}
