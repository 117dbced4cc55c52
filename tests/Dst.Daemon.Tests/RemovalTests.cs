using System.Net;
using Dst.Control;
using Xunit;

namespace Dst.Daemon.Tests;

public sealed class RemovalTests
{
    [Fact]
    public async Task A_removed_device_was_held_and_flushed_first()
    {
        await using TestBed bed = await TestBed.StartedAsync();
        await bed.AddAsync("a", 5);
        await File.WriteAllTextAsync(bed.Options.State.DeviceMarks("a"), "", TestContext.Current.CancellationToken);
        Assert.Empty((await bed.RemoveAsync("a")).Notes);
        string[] log = bed.FakeLog;
        int hold = Array.IndexOf(log, "helper hold /dev/ublkb5");
        Assert.True(hold >= 0 && hold < Array.IndexOf(log, "a stop fail_pending=False"), string.Join('\n', log));
        bed.AssertClean("a");
        Assert.False(File.Exists(bed.Options.State.DeviceMarks("a")));
        await bed.RemoveFailsAsync("a", HttpStatusCode.NotFound);
        await bed.AddAsync("a", 5);
    }

    [Fact]
    public async Task A_mounted_device_is_refused_at_once_and_force_says_what_is_lost()
    {
        await using TestBed bed = await TestBed.StartedAsync();
        await bed.AddAsync("a", 5);
        Mount(bed, "30 22 0:45 / /mnt rw - btrfs /dev/ublkb5 rw");
        bed.HelperMode("hold", "busy");
        long begin = TimeProvider.System.GetTimestamp();
        ControlError error = await bed.RemoveFailsAsync("a", HttpStatusCode.Conflict, "?timeoutMs=60000");
        Assert.True(TimeProvider.System.GetElapsedTime(begin) < TimeSpan.FromSeconds(20));
        Assert.Contains("ublkb5 is mounted at /mnt", error.Message, StringComparison.Ordinal);
        Assert.Equal("live", (await bed.StatusAsync("a")).State);
        RemovalReport report = await bed.RemoveAsync("a", "?force=true");
        Assert.Contains(report.Notes, note => note.Contains("mounted at /mnt", StringComparison.Ordinal));
        Assert.Contains(report.Notes, note => note.Contains("not flushed", StringComparison.Ordinal));
        Assert.Contains("a stop fail_pending=True", bed.FakeLog);
        bed.AssertClean("a");
    }

    [Fact]
    public async Task Passing_openers_are_waited_for()
    {
        await using TestBed bed = await TestBed.StartedAsync();
        await bed.AddAsync("a", 5);
        Directory.CreateDirectory($"{bed.Fake}/proc/99/fd");
        await File.WriteAllTextAsync($"{bed.Fake}/proc/99/comm", "udevd\n", TestContext.Current.CancellationToken);
        File.CreateSymbolicLink($"{bed.Fake}/proc/99/fd/3", "/dev/ublkb5");
        ControlError error = await bed.RemoveFailsAsync("a", HttpStatusCode.Conflict, "?timeoutMs=300");
        Assert.Contains("udevd (pid 99)", error.Message, StringComparison.Ordinal);
        Task<RemovalReport> removal = bed.RemoveAsync("a", "?timeoutMs=60000");
        await Task.Delay(500, TestContext.Current.CancellationToken);
        Assert.False(removal.IsCompleted);
        Assert.Contains(
            "being removed",
            (await bed.RemoveFailsAsync("a", HttpStatusCode.Conflict)).Message,
            StringComparison.Ordinal);
        Assert.Equal("live", (await bed.StatusAsync("a")).State);
        File.Delete($"{bed.Fake}/proc/99/fd/3");
        Assert.Empty((await removal).Notes);
        bed.AssertClean("a");
    }

    [Theory]
    [InlineData("busy", HttpStatusCode.Conflict, "somebody has it")]
    [InlineData("fail", HttpStatusCode.InternalServerError, "fsync: EIO")]
    [InlineData("hang", HttpStatusCode.GatewayTimeout, "flush did not end")]
    public async Task A_device_that_cannot_be_held_stays_as_it_was(string mode, HttpStatusCode status, string reason)
    {
        await using TestBed bed = await TestBed.StartedAsync();
        await bed.AddAsync("a", 5);
        bed.HelperMode("hold", mode);
        ControlError error = await bed.RemoveFailsAsync("a", status, "?timeoutMs=1500");
        Assert.Contains(reason, error.Message, StringComparison.Ordinal);
        Assert.DoesNotContain(bed.FakeLog, line => line.StartsWith("a stop", StringComparison.Ordinal));
        Assert.Equal("live", (await bed.StatusAsync("a")).State);
        bed.HelperMode("hold");
        await bed.RemoveAsync("a");
        bed.AssertClean("a");
    }

    [Theory]
    [InlineData("fail-at-stop", HttpStatusCode.InternalServerError)]
    [InlineData("timeout-at-stop", HttpStatusCode.GatewayTimeout)]
    public async Task A_refused_stop_leaves_the_device_live(string mode, HttpStatusCode status)
    {
        await using TestBed bed = await TestBed.StartedAsync();
        DeviceStatus before = await bed.AddAsync("a", 5);
        bed.Mode("a", mode);
        await bed.RemoveFailsAsync("a", status);
        DeviceStatus after = await bed.StatusAsync("a");
        Assert.Equal(("live", before.Pid), (after.State, after.Pid));
        Assert.False(bed.StoredRecord("a").Removing);
    }

    [Fact]
    public async Task A_target_that_hangs_while_stopping_ends_by_force()
    {
        await using TestBed bed = await TestBed.StartedAsync();
        await bed.AddAsync("a", 5);
        bed.Mode("a", "hang-at-stop");
        await bed.RemoveFailsAsync("a", HttpStatusCode.GatewayTimeout, "?timeoutMs=500");
        Assert.Equal("stopping", (await bed.StatusAsync("a")).State);
        Assert.True(bed.StoredRecord("a").Removing);
        await bed.RemoveAsync("a", "?force=true&timeoutMs=500");
        bed.AssertClean("a");
    }

    [Fact]
    public async Task A_target_that_dies_while_stopping_is_removed_all_the_same()
    {
        await using TestBed bed = await TestBed.StartedAsync();
        await bed.AddAsync("a", 5);
        bed.Mode("a", "die-at-stop");
        Assert.Contains("exit code 7", Assert.Single((await bed.RemoveAsync("a")).Notes), StringComparison.Ordinal);
        bed.AssertClean("a");
    }

    [Fact]
    public async Task A_hanging_device_holds_up_no_other()
    {
        await using TestBed bed = await TestBed.StartedAsync();
        await bed.AddAsync("a", 5);
        bed.HelperMode("hold", "hang");
        Task<ControlError> stuck = bed.RemoveFailsAsync("a", HttpStatusCode.GatewayTimeout, "?timeoutMs=8000");
        await TestBed.UntilAsync(() => bed.FakeLog.Contains("helper hold /dev/ublkb5"), "hold");
        await bed.AddAsync("b");
        Assert.Equal(2, (await bed.ListAsync()).Length);
        Assert.False(stuck.IsCompleted);
        await stuck;
    }

    [Fact]
    public async Task Error_marks_are_cleared_by_the_target_or_without_one_by_a_helper()
    {
        await using TestBed bed = await TestBed.StartedAsync();
        DeviceStatus status = await bed.AddAsync("a", 5);
        using (HttpResponseMessage response = await ClearAsync(bed, "{\"index\":1}"))
        {
            Assert.Equal(HttpStatusCode.NoContent, response.StatusCode);
        }

        Assert.Contains("a clear-error fail_pending=False", bed.FakeLog);
        TestBed.Kill(status.Pid!.Value);
        await bed.UntilAsync("a", each => each.State == "failed");
        await bed.UntilAsync("a", each => each.Reason!.Contains("restart dstd", StringComparison.Ordinal));
        string marks = bed.Options.State.DeviceMarks("a");
        foreach ((string body, string operands) in new[] { ("{}", marks), ("{\"index\":1}", $"{marks} 1") })
        {
            using HttpResponseMessage cleared = await ClearAsync(bed, body);
            Assert.Equal(HttpStatusCode.NoContent, cleared.StatusCode);
            Assert.Equal($"helper clear-error {operands}", bed.FakeLog[^1]);
        }

        using HttpResponseMessage absent = await ClearAsync(bed, "{\"index\":2}");
        await TestBed.ReadAsync(absent, HttpStatusCode.NotFound, ControlJson.Default.ControlError);
        bed.HelperMode("clear-error", "fail");
        using HttpResponseMessage refused = await ClearAsync(bed, "{}");
        ControlError error = await TestBed.ReadAsync(
            refused, HttpStatusCode.InternalServerError, ControlJson.Default.ControlError);
        Assert.Contains("device a: fsync: EIO", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_stop_that_is_refused_after_its_time_makes_the_device_live_again()
    {
        await using TestBed bed = await TestBed.StartedAsync();
        await bed.AddAsync("a", 5);
        bed.Mode("a", "delay-at-stop");
        await bed.RemoveFailsAsync("a", HttpStatusCode.GatewayTimeout, "?timeoutMs=100");
        Assert.Equal("stopping", (await bed.StatusAsync("a")).State);
        Assert.True(bed.StoredRecord("a").Removing);
        bed.Mode("a", "fail-at-stop");
        await bed.UntilAsync("a", each => each.State == "live");
        await TestBed.UntilAsync(() => !bed.StoredRecord("a").Removing, "record");

        // Also one refused in time, after one that was not heard of.
        bed.Mode("a", "delay-at-stop");
        await bed.RemoveFailsAsync("a", HttpStatusCode.GatewayTimeout, "?timeoutMs=100");
        Task<ControlError> second = bed.RemoveFailsAsync(
            "a", HttpStatusCode.InternalServerError, "?timeoutMs=20000");
        bed.Mode("a", "fail-at-stop");
        await second;
        await bed.UntilAsync("a", each => each.State == "live");
        bed.Mode("a");
        await bed.RemoveAsync("a");
        bed.AssertClean("a");
    }

    [Fact]
    public async Task A_stop_that_is_done_after_its_time_ends_the_device()
    {
        await using TestBed bed = await TestBed.StartedAsync();
        await bed.AddAsync("a", 5);
        bed.Mode("a", "delay-at-stop");
        await bed.RemoveFailsAsync("a", HttpStatusCode.GatewayTimeout, "?timeoutMs=100");
        bed.Mode("a");
        await TestBed.UntilAsync(() => bed.ListAsync().GetAwaiter().GetResult().Length == 0, "list empty");
        bed.AssertClean("a");
    }

    private static Task<HttpResponseMessage> ClearAsync(TestBed bed, string body) =>
        bed.Client.PostAsync("/v1/devices/a/clear-error", new StringContent(body));

    private static void Mount(TestBed bed, string line)
    {
        Directory.CreateDirectory($"{bed.Fake}/proc/77");
        File.WriteAllText($"{bed.Fake}/proc/77/mountinfo", line + "\n");
    }
}
