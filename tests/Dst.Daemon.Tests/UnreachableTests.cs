using System.Net;
using Dst.Control;
using Dst.Daemon.Store;
using Xunit;

namespace Dst.Daemon.Tests;

/// <summary>
/// A target that lives though nobody answers at its socket: what it serves is neither forgotten nor served twice.
/// </summary>
public sealed class UnreachableTests
{
    [Theory]
    [InlineData("")]
    [InlineData("?force=true")]
    public async Task A_device_whose_target_cannot_be_reached_is_not_removed(string query)
    {
        await using TestBed bed = await TestBed.StartedAsync();
        using FileStream marks = await ServedWithoutSocketAsync(bed);
        await bed.StartAsync();
        await bed.UntilAsync("a", each => each.Reason?.Contains("fuser", StringComparison.Ordinal) == true);
        ControlError error = await bed.RemoveFailsAsync("a", HttpStatusCode.Conflict, query);
        Assert.Contains("cannot be reached", error.Message, StringComparison.Ordinal);
        Assert.Contains(bed.Options.State.DeviceMarks("a"), error.Message, StringComparison.Ordinal);
        AssertUntouched(bed);

        // It ends: now the device may be brought back, or removed.
        TestBed.Kill(bed.TargetPids()[0]);
        await marks.DisposeAsync();
        await bed.UntilAsync("a", each => each.State == "live");
        await bed.RemoveAsync("a");
        bed.AssertClean("a");
        Assert.False(File.Exists(bed.Options.State.DeviceMarks("a")));
    }

    [Theory]
    [InlineData(true, false)]
    [InlineData(false, true)]
    public async Task A_device_whose_target_cannot_be_reached_is_neither_rolled_back_nor_ended(
        bool starting, bool removing)
    {
        await using TestBed bed = await TestBed.StartedAsync();
        using FileStream marks = await ServedWithoutSocketAsync(bed);
        RecordStores.Devices(bed.Options.State)
            .Save(bed.StoredRecord("a") with { Starting = starting, Removing = removing });
        await bed.StartAsync();
        await bed.UntilAsync("a", each => each.Reason?.Contains("cannot be reached", StringComparison.Ordinal) == true);
        AssertUntouched(bed);
    }

    [Fact]
    public async Task Without_a_record_its_name_is_not_taken_and_its_marks_stay()
    {
        await using TestBed bed = await TestBed.StartedAsync();
        using FileStream marks = await ServedWithoutSocketAsync(bed);
        File.Delete(bed.Options.State.DeviceRecord("a"));
        File.Delete(bed.Options.State.DeviceRecord("a") + ".prev");
        Directory.Delete(bed.Options.Run.Device("a"), recursive: true);
        await bed.StartAsync();
        ControlError error = await bed.AddFailsAsync(TestBed.Request("a", 6), HttpStatusCode.Conflict);
        Assert.Contains("cannot be reached", error.Message, StringComparison.Ordinal);
        Assert.True(File.Exists(bed.Options.State.DeviceMarks("a")));
        Assert.Single(bed.TargetPids());
    }

    [Fact]
    public async Task Its_error_marks_are_left_to_it()
    {
        await using TestBed bed = await TestBed.StartedAsync();
        using FileStream marks = await ServedWithoutSocketAsync(bed);
        await bed.StartAsync();
        await bed.UntilAsync("a", each => each.State == "failed");
        using HttpResponseMessage response = await bed.Client.PostAsync(
            "/v1/devices/a/clear-error", new StringContent("{}"), TestContext.Current.CancellationToken);
        await TestBed.ReadAsync(response, HttpStatusCode.Conflict, ControlJson.Default.ControlError);
        Assert.DoesNotContain(bed.FakeLog, line => line.StartsWith("helper clear-error", StringComparison.Ordinal));
    }

    [Fact]
    public async Task An_export_whose_server_cannot_be_reached_is_not_removed()
    {
        await using TestBed bed = await TestBed.StartedAsync();
        await ExportTests.AddAsync(bed, new ExportRequest { Name = "e", Nodes = ["mem:1M"] });
        await bed.StopAsync();
        using FileStream marks = Own(bed.Options.State.ExportMarks("e"));
        File.Delete(bed.Options.Run.ServerSocket);
        await bed.StartAsync();
        ControlError error = await bed.RemoveExportFailsAsync("e", HttpStatusCode.Conflict, "?force=true");
        Assert.Contains("cannot be reached", error.Message, StringComparison.Ordinal);
        Assert.True(File.Exists(bed.Options.State.ExportRecord("e")));
        Assert.True(File.Exists(bed.Options.State.ExportMarks("e")));
        Assert.Single(bed.TargetPids());
    }

    [Fact]
    public async Task No_server_is_started_beside_one_that_cannot_be_reached()
    {
        await using TestBed bed = await TestBed.StartedAsync();
        using (FileStream held = Own(bed.Options.State.ServerLock))
        {
            ControlError error = await ExportTests.AddFailsAsync(
                bed, new ExportRequest { Name = "e", Nodes = ["mem:1M"] }, HttpStatusCode.Conflict);
            Assert.Contains("serves here still", error.Message, StringComparison.Ordinal);
            Assert.Empty(bed.TargetPids());
        }

        await ExportTests.AddAsync(bed, new ExportRequest { Name = "e", Nodes = ["mem:1M"] });
    }

    private static async Task<FileStream> ServedWithoutSocketAsync(TestBed bed)
    {
        await bed.AddAsync("a", 5);
        await bed.StopAsync();
        FileStream marks = Own(bed.Options.State.DeviceMarks("a"));
        File.Delete(bed.Options.Run.TargetSocket("a"));
        return marks;
    }

    // As a target or a server does for as long as it lives.
    private static FileStream Own(string path) => new(path, FileMode.Create, FileAccess.ReadWrite, FileShare.None);

    private static void AssertUntouched(TestBed bed)
    {
        Assert.Equal(5, bed.StoredRecord("a").Geometry!.UblkId);
        Assert.True(File.Exists(bed.Options.State.DeviceMarks("a")));
        Assert.True(Directory.Exists(bed.Options.Run.Device("a")));
        Assert.NotEmpty(Directory.GetDirectories($"{bed.Fake}/sys/block"));
        Assert.True(TestBed.Runs(Assert.Single(bed.TargetPids())));
    }
}
