using System.Net;
using Dst.Control;
using Dst.Daemon.Store;
using Xunit;

namespace Dst.Daemon.Tests;

public sealed class RestoreTests
{
    [Fact]
    public async Task A_restarted_daemon_adopts_running_targets()
    {
        await using TestBed bed = await TestBed.StartedAsync();
        DeviceStatus before = await bed.AddAsync("a", 5);
        await bed.StopAsync();
        Assert.True(TestBed.Runs(before.Pid!.Value));
        await bed.StartAsync();
        DeviceStatus after = await bed.UntilAsync("a", each => each.State == "live");
        Assert.Equal((before.Pid, before.Uuid, 5), (after.Pid, after.Uuid, after.UblkId));
        Assert.Single(bed.TargetPids());
        TestBed.Kill(after.Pid!.Value);
        Assert.Contains(
            "ended", (await bed.UntilAsync("a", each => each.State == "failed")).Reason, StringComparison.Ordinal);
        await bed.RemoveAsync("a");
        bed.AssertClean("a");
    }

    [Fact]
    public async Task A_dead_target_takes_its_device_with_it_and_comes_back_with_the_daemon()
    {
        await using TestBed bed = await TestBed.StartedAsync();
        DeviceStatus before = await bed.AddAsync("a");
        TestBed.Kill(before.Pid!.Value);
        DeviceStatus failed = await bed.UntilAsync(
            "a", each => each.Reason?.Contains("restart dstd", StringComparison.Ordinal) == true);
        Assert.Equal("failed", failed.State);
        Assert.Contains("signal 9", failed.Reason, StringComparison.Ordinal);
        Assert.Null(failed.Pid);
        Assert.False(Directory.Exists(bed.Options.Run.Device("a")));
        Assert.False(File.Exists(bed.Options.Run.TargetSocket("a")));
        Assert.Empty(Directory.GetDirectories($"{bed.Fake}/sys/block"));
        Assert.Null(new FileInfo($"{bed.Options.LinkDirectory}/a").LinkTarget);
        Assert.Single(bed.TargetPids());

        // Its number is kept for it.
        Assert.NotEqual(failed.UblkId, (await bed.AddAsync("b")).UblkId);
        await bed.RestartAsync();
        DeviceStatus back = await bed.UntilAsync("a", each => each.State == "live");
        Assert.Equal((before.UblkId, before.Uuid), (back.UblkId, back.Uuid));
    }

    [Theory]
    [InlineData("other-geometry")]
    [InlineData("fail-at-open")]
    public async Task A_device_that_cannot_come_back_is_tried_again_and_holds_up_nobody(string mode)
    {
        await using TestBed bed = await TestBed.StartedAsync();
        DeviceStatus a = await bed.AddAsync("a", 5);
        DeviceStatus b = await bed.AddAsync("b", 6);
        await bed.StopAsync();
        TestBed.Kill(a.Pid!.Value);
        TestBed.Kill(b.Pid!.Value);
        bed.Mode("a", mode);
        if (mode == "other-geometry")
        {
            byte[] changed = RecordForms.Device.Encode(
                bed.StoredRecord("a") with { Geometry = bed.StoredRecord("a").Geometry! with { Queues = 9 } });
            await File.WriteAllBytesAsync(
                bed.Options.State.DeviceRecord("a"), changed, TestContext.Current.CancellationToken);
        }

        await bed.StartAsync();
        await bed.UntilAsync("b", each => each.State == "live");
        DeviceStatus failed = await bed.UntilAsync("a", each => each.State == "failed");
        Assert.Contains(
            mode == "fail-at-open" ? "fake open failed" : "another geometry", failed.Reason, StringComparison.Ordinal);
        Assert.Contains("tried again", failed.Reason, StringComparison.Ordinal);
        if (mode == "fail-at-open")
        {
            bed.Mode("a");
            Assert.Equal(5, (await bed.UntilAsync("a", each => each.State == "live")).UblkId);
        }
        else
        {
            await bed.RemoveAsync("a");
            await bed.RemoveFailsAsync("a", HttpStatusCode.NotFound);
        }
    }

    [Fact]
    public async Task Half_made_devices_are_rolled_back_and_half_removed_ones_ended()
    {
        await using TestBed bed = await TestBed.StartedAsync();
        DeviceStatus b = await bed.AddAsync("b", 6);
        await bed.StopAsync();
        TestBed.Kill(b.Pid!.Value);
        RecordStore<DeviceRecord> store = RecordStores.Devices(bed.Options.State);
        store.Save(new() { Request = TestBed.Request("a", 5), Uuid = Guid.NewGuid() });
        store.Save(bed.StoredRecord("b") with { Removing = true });
        await bed.StartAsync();
        await TestBed.UntilAsync(() => !File.Exists(bed.Options.State.DeviceRecord("a")), "a rolled back");
        await TestBed.UntilAsync(() => !File.Exists(bed.Options.State.DeviceRecord("b")), "b ended");
        await TestBed.UntilAsync(() => bed.ListAsync().GetAwaiter().GetResult().Length == 0, "list empty");
        bed.AssertClean("a");
        bed.AssertClean("b");
    }

    [Fact]
    public async Task A_removal_that_never_reached_its_target_is_forgotten()
    {
        await using TestBed bed = await TestBed.StartedAsync();
        await bed.AddAsync("a", 5);
        await bed.StopAsync();
        RecordStores.Devices(bed.Options.State).Save(bed.StoredRecord("a") with { Removing = true });
        await bed.StartAsync();
        await bed.UntilAsync("a", each => each.State == "live");
        Assert.False(bed.StoredRecord("a").Removing);
    }

    [Fact]
    public async Task A_damaged_record_falls_back_with_a_warning()
    {
        await using TestBed bed = await TestBed.StartedAsync();
        DeviceStatus before = await bed.AddAsync("a", 5);
        await bed.StopAsync();
        TestBed.Kill(before.Pid!.Value);
        await File.WriteAllTextAsync(
            bed.Options.State.DeviceRecord("a"), "{\"format\":1,", TestContext.Current.CancellationToken);
        await bed.StartAsync();
        DeviceStatus back = await bed.UntilAsync("a", each => each.State == "live");
        Assert.Equal(before.Uuid, back.Uuid);
        Assert.Contains(back.Warnings, warning => warning.Contains("damaged", StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_newer_record_is_shown_and_left_alone()
    {
        await using TestBed bed = await TestBed.StartedAsync();
        await bed.StopAsync();
        string path = bed.Options.State.DeviceRecord("a");
        await File.WriteAllTextAsync(path, "{\"format\":9}", TestContext.Current.CancellationToken);
        await bed.StartAsync();
        DeviceStatus status = await bed.StatusAsync("a");
        Assert.Equal("failed", status.State);
        Assert.Contains("newer", status.Reason, StringComparison.Ordinal);
        await bed.RemoveFailsAsync("a", HttpStatusCode.InternalServerError, "?force=true");
        await bed.AddFailsAsync(TestBed.Request("a"), HttpStatusCode.Conflict);
        Assert.Equal("{\"format\":9}", await File.ReadAllTextAsync(path, TestContext.Current.CancellationToken));
    }

    [Fact]
    public async Task A_record_damaged_beyond_use_is_removed_only_by_force()
    {
        await using TestBed bed = await TestBed.StartedAsync();
        await bed.StopAsync();
        await File.WriteAllTextAsync(
            bed.Options.State.DeviceRecord("a"), "torn", TestContext.Current.CancellationToken);
        await bed.StartAsync();
        ControlError refused = await bed.RemoveFailsAsync("a", HttpStatusCode.InternalServerError);
        Assert.Contains("--force", refused.Message, StringComparison.Ordinal);
        await bed.RemoveAsync("a", "?force=true");
        bed.AssertClean("a");
    }

    [Fact]
    public async Task A_target_without_a_record_goes_on_until_force()
    {
        await using TestBed bed = await TestBed.StartedAsync();
        DeviceStatus before = await bed.AddAsync("a", 5);
        await bed.StopAsync();
        RecordStores.Devices(bed.Options.State).Remove("a");
        await bed.StartAsync();
        Assert.Contains(
            "no record", (await bed.UntilAsync("a", each => each.State == "failed")).Reason, StringComparison.Ordinal);
        Assert.True(TestBed.Runs(before.Pid!.Value));
        await bed.RemoveFailsAsync("a", HttpStatusCode.Conflict);
        Assert.NotEmpty((await bed.RemoveAsync("a", "?force=true")).Notes);
        await TestBed.UntilAsync(() => !TestBed.Runs(before.Pid!.Value), "target ends");
    }

    [Fact]
    public async Task Leftovers_without_record_and_target_are_cleared()
    {
        await using TestBed bed = await TestBed.StartedAsync();
        await bed.StopAsync();
        Directory.CreateDirectory(bed.Options.Run.Device("x"));
        await File.WriteAllTextAsync(
            $"{bed.Options.Run.Device("x")}/ublk_id", "8\n", TestContext.Current.CancellationToken);
        await File.WriteAllTextAsync(bed.Options.Run.TargetSocket("x"), "", TestContext.Current.CancellationToken);
        await bed.StartAsync();
        await TestBed.UntilAsync(() => !Directory.Exists(bed.Options.Run.Device("x")), "tree");
        Assert.Contains("helper delete-device 8", bed.FakeLog);
        await TestBed.UntilAsync(() => bed.ListAsync().GetAwaiter().GetResult().Length == 0, "list empty");
    }

    [Fact]
    public async Task A_target_that_does_not_answer_is_never_replaced()
    {
        await using TestBed bed = new();
        bed.Options = bed.Options with { Timing = bed.Options.Timing with { Hello = TimeSpan.FromSeconds(1) } };
        await bed.StartAsync();
        DeviceStatus before = await bed.AddAsync("a", 5);
        await bed.StopAsync();
        bed.Mode("a", "silent");
        await bed.StartAsync();
        Assert.Contains(
            "did not answer",
            (await bed.UntilAsync("a", each => each.State == "failed")).Reason,
            StringComparison.Ordinal);
        Assert.Single(bed.TargetPids());
        bed.Mode("a");
        Assert.Equal(before.Pid, (await bed.UntilAsync("a", each => each.State == "live")).Pid);
    }

    [Fact]
    public async Task A_kernel_device_of_somebody_else_is_not_taken()
    {
        await using TestBed bed = await TestBed.StartedAsync();
        DeviceStatus before = await bed.AddAsync("a", 5);
        await bed.StopAsync();
        TestBed.Kill(before.Pid!.Value);
        bed.HelperMode("delete-device", "busy");
        await bed.StartAsync();
        // The first try may still meet the dying target's socket; the next one meets the device.
        await bed.UntilAsync(
            "a", each => each.State == "failed" && each.Reason!.Contains("somebody else", StringComparison.Ordinal));
        Assert.Single(bed.TargetPids());
        bed.HelperMode("delete-device");
        await bed.UntilAsync("a", each => each.State == "live");
    }

    [Fact]
    public async Task A_kernel_device_that_outlives_its_target_for_a_while_is_deleted_in_the_end()
    {
        await using TestBed bed = await TestBed.StartedAsync();
        DeviceStatus before = await bed.AddAsync("a", 5);
        bed.HelperMode("delete-device", "not-yet");
        TestBed.Kill(before.Pid!.Value);
        await TestBed.UntilAsync(() => bed.FakeLog.Count(line => line == "helper delete-device 5") > 1, "second try");
        DeviceStatus waiting = await bed.StatusAsync("a");
        Assert.Equal("failed", waiting.State);
        Assert.DoesNotContain("alive", waiting.Reason, StringComparison.Ordinal);
        Assert.NotEmpty(Directory.GetDirectories($"{bed.Fake}/sys/block"));
        bed.HelperMode("delete-device");
        DeviceStatus buried = await bed.UntilAsync(
            "a", each => each.Reason?.Contains("restart dstd", StringComparison.Ordinal) == true);
        Assert.Equal("failed", buried.State);
        Assert.Empty(Directory.GetDirectories($"{bed.Fake}/sys/block"));
    }

    [Fact]
    public async Task A_device_is_forgotten_only_when_the_kernel_has_let_go_of_it()
    {
        await using TestBed bed = new();
        bed.Options = bed.Options with { Timing = bed.Options.Timing with { Release = TimeSpan.FromSeconds(1) } };
        await bed.StartAsync();
        DeviceStatus before = await bed.AddAsync("a", 5);
        bed.HelperMode("delete-device", "not-yet");
        TestBed.Kill(before.Pid!.Value);
        await bed.UntilAsync("a", each => each.Reason?.Contains("remove the device", StringComparison.Ordinal) == true);
        ControlError error = await bed.RemoveFailsAsync("a", HttpStatusCode.GatewayTimeout);
        Assert.Contains("not deleted yet", error.Message, StringComparison.Ordinal);
        Assert.Equal(5, bed.StoredRecord("a").Geometry!.UblkId);
        bed.Options = bed.Options with { Timing = bed.Options.Timing with { Release = TimeSpan.FromSeconds(60) } };
        await bed.RestartAsync();
        await bed.UntilAsync("a", each => each.Reason?.Contains("not deleted yet", StringComparison.Ordinal) == true);
        Task<RemovalReport> removal = bed.RemoveAsync("a");
        await Task.Delay(500, TestContext.Current.CancellationToken);
        Assert.False(removal.IsCompleted);
        bed.HelperMode("delete-device");
        await removal;
        bed.AssertClean("a");
    }

    [Fact]
    public async Task A_device_is_complete_only_once_it_was_started()
    {
        await using TestBed bed = await TestBed.StartedAsync();
        DeviceStatus before = await bed.AddAsync("a", 5);
        Assert.False(bed.StoredRecord("a").Starting);
        (_, DeviceRecord? older, _) = RecordForms.Device.Read(bed.Options.State.DeviceRecord("a") + ".prev", "a");
        Assert.False(older!.Starting);
        Assert.NotNull(older.Geometry);

        // Killed between START and the record: the living target is proof.
        await bed.StopAsync();
        RecordStores.Devices(bed.Options.State).Save(bed.StoredRecord("a") with { Starting = true });
        await bed.StartAsync();
        Assert.Equal(before.Pid, (await bed.UntilAsync("a", each => each.State == "live")).Pid);
        Assert.False(bed.StoredRecord("a").Starting);

        // Without it nothing says that the device ever was there.
        await bed.StopAsync();
        TestBed.Kill(before.Pid!.Value);
        RecordStores.Devices(bed.Options.State).Save(bed.StoredRecord("a") with { Starting = true });
        await bed.StartAsync();
        await TestBed.UntilAsync(() => !File.Exists(bed.Options.State.DeviceRecord("a")), "rolled back");
        await TestBed.UntilAsync(() => bed.ListAsync().GetAwaiter().GetResult().Length == 0, "list empty");
        bed.AssertClean("a");
    }

    [Fact]
    public async Task A_removal_refused_as_busy_does_not_end_the_tries_to_bring_the_device_back()
    {
        await using TestBed bed = new();
        bed.Options = bed.Options with { Timing = bed.Options.Timing with { Helper = TimeSpan.FromSeconds(8) } };
        await bed.StartAsync();
        DeviceStatus before = await bed.AddAsync("a", 5);
        await bed.StopAsync();
        TestBed.Kill(before.Pid!.Value);
        bed.Mode("a", "fail-at-open");
        await bed.StartAsync();
        await bed.UntilAsync("a", each => each.State == "failed");
        bed.HelperMode("clear-error", "hang");
        Task<HttpResponseMessage> clearing = bed.Client.PostAsync(
            "/v1/devices/a/clear-error", new StringContent("{}"), TestContext.Current.CancellationToken);
        await TestBed.UntilAsync(
            () => bed.FakeLog.Any(line => line.StartsWith("helper clear-error", StringComparison.Ordinal))
                || clearing.IsCompleted,
            "clear-error");
        await bed.RemoveFailsAsync("a", HttpStatusCode.Conflict, "?timeoutMs=100");
        bed.Mode("a");
        (await clearing).Dispose();
        await bed.UntilAsync("a", each => each.State == "live");
    }

    [Fact]
    public async Task An_error_that_nobody_foresaw_is_shown()
    {
        // Too long for the address of a socket, which the library says in a way of its own.
        string name = new('x', 150);
        await using TestBed bed = new();
        Directory.CreateDirectory(bed.Options.Run.Device(name));
        await bed.StartAsync();
        DeviceStatus[] all = [];
        for (int i = 0; i < 100 && all is not [{ State: "failed" }]; i++)
        {
            await Task.Delay(100, TestContext.Current.CancellationToken);
            all = await bed.ListAsync();
        }

        Assert.Contains("not brought back", Assert.Single(all).Reason, StringComparison.Ordinal);
    }
}
