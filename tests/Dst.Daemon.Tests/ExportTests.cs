using System.Net;
using System.Net.Http.Json;
using Dst.Control;
using Dst.Daemon.Store;
using Xunit;

namespace Dst.Daemon.Tests;

public sealed class ExportTests
{
    private static ExportRequest Request(string name) => new() { Name = name, Nodes = ["zero:1M", "mem:1M"] };

    [Fact]
    public async Task An_export_becomes_live_and_its_status_is_whole()
    {
        await using TestBed bed = await TestBed.StartedAsync();
        await File.WriteAllTextAsync($"{bed.Fake}/mode-server", "warn", TestContext.Current.CancellationToken);
        ExportStatus status = await AddAsync(bed, "e");
        Assert.Equal(
            ("live", 2L << 20, 3L, 17L), (status.State, status.SizeBytes, status.Epoch, status.Counters["reads"]));
        Assert.Equal(["127.0.0.1:7003"], status.Listen);
        Assert.Equal(["127.0.0.0/8", "::1/128"], status.Allow);
        Assert.Contains("IO_FLUSHER", Assert.Single(status.Warnings), StringComparison.Ordinal);
        Assert.Equal(ServerPid(bed), status.Pid);
        ExportRecord stored = Stored(bed, "e");
        Assert.Equal((status.Uuid, false, 2L << 20), (stored.Uuid, stored.Starting, stored.Layout!.SizeBytes));
        Assert.Equal(2, status.Nodes.Count);
    }

    [Fact]
    public async Task Devices_and_exports_share_names()
    {
        await using TestBed bed = await TestBed.StartedAsync();
        await bed.AddAsync("a");
        await AddAsync(bed, "e");
        ControlError error = await AddFailsAsync(bed, Request("a"), HttpStatusCode.Conflict);
        Assert.Contains("device a exists already", error.Message, StringComparison.Ordinal);
        error = await bed.AddFailsAsync(TestBed.Request("e"), HttpStatusCode.Conflict);
        Assert.Contains("export e exists already", error.Message, StringComparison.Ordinal);
        await bed.RemoveAsync("a");
        await AddAsync(bed, "a");
    }

    [Theory]
    [InlineData("../x", "zero:1M", null, null)]
    [InlineData("e", "what:1M", null, null)]
    [InlineData("e", "zero:1M", "nonsense", null)]
    [InlineData("e", "zero:1M", "host.example:7003", null)]
    [InlineData("e", "zero:1M", "unix:relative", null)]
    [InlineData("e", "zero:1M", "0.0.0.0:7003", null)]
    [InlineData("e", "zero:1M", "192.0.2.1:7003", null)]
    [InlineData("e", "zero:1M", "[::]:7003", null)]
    [InlineData("e", "zero:1M", "127.0.0.1:7003", "10.0.0.1/8")]
    [InlineData("e", "zero:1M", "127.0.0.1:7003", "everybody")]
    [InlineData("e", "zero:1M", "127.0.0.1:0", null)]
    [InlineData("e", "zero:1M", "224.0.0.1:7003", "192.0.2.0/24")]
    [InlineData("e", "zero:1M", "[ff02::1]:7003", "192.0.2.0/24")]
    [InlineData("e", "zero:1M", "255.255.255.255:7003", "192.0.2.0/24")]
    [InlineData("e", "zero:1M", null, null, -1L)]
    [InlineData("e", "zero:1M", null, null, 0L)]
    public async Task Wrong_requests_are_usage_errors_and_change_nothing(
        string name, string node, string? listen, string? allow, long? memoryBytes = null)
    {
        await using TestBed bed = await TestBed.StartedAsync();
        ExportRequest request = new()
        {
            Name = name,
            Nodes = [node],
            Listen = listen is null ? null : [listen],
            Allow = allow is null ? null : [allow],
            MemoryBytes = memoryBytes,
        };
        ControlError error = await AddFailsAsync(bed, request, HttpStatusCode.BadRequest);
        Assert.Equal(ControlErrorCode.Usage, error.Code);
        Assert.DoesNotContain('\n', error.Message);
        Assert.Empty(bed.FakeLog);
        Assert.Empty(Directory.GetFiles(bed.Options.State.Exports));
    }

    [Fact]
    public async Task A_wider_address_without_allowed_clients_is_refused_with_what_to_add()
    {
        await using TestBed bed = await TestBed.StartedAsync();
        ExportRequest wide = Request("e") with { Listen = ["0.0.0.0:7003"] };
        ControlError error = await AddFailsAsync(bed, wide, HttpStatusCode.BadRequest);
        Assert.Contains("--allow CIDR", error.Message, StringComparison.Ordinal);
        await AddAsync(bed, wide with { Allow = ["192.0.2.0/24"] });
    }

    [Theory]
    [InlineData("fail-at-open-export")]
    [InlineData("fail-at-commit-export")]
    [InlineData("die-at-open-export")]
    [InlineData("die-at-commit-export")]
    [InlineData("exit-at-once")]
    [InlineData("protocol-99")]
    public async Task What_cannot_be_served_is_rolled_back(string mode)
    {
        await using TestBed bed = await TestBed.StartedAsync();
        await File.WriteAllTextAsync($"{bed.Fake}/mode-server", mode, TestContext.Current.CancellationToken);
        ControlError error = await AddFailsAsync(bed, Request("e"), HttpStatusCode.InternalServerError);
        Assert.DoesNotContain('\n', error.Message);
        Assert.Empty(Directory.GetFiles(bed.Options.State.Exports));
        Assert.Empty(await ListAsync(bed));
        File.Delete($"{bed.Fake}/mode-server");
        await AddAsync(bed, "e");
    }

    [Fact]
    public async Task A_new_daemon_adopts_the_server_and_its_exports()
    {
        await using TestBed bed = await TestBed.StartedAsync();
        ExportStatus before = await AddAsync(bed, "e");
        await bed.RestartAsync();
        ExportStatus after = await UntilAsync(bed, "e", status => status.State == "live");
        Assert.Equal((before.Uuid, before.Pid), (after.Uuid, after.Pid));
        Assert.Single(bed.FakeLog, line => line.StartsWith("server open-export", StringComparison.Ordinal));
        await bed.RemoveExportAsync("e");
    }

    [Fact]
    public async Task A_server_that_died_is_started_again_and_gets_its_exports_again()
    {
        await using TestBed bed = await TestBed.StartedAsync();
        ExportStatus one = await AddAsync(bed, "one");
        ExportStatus two = await AddAsync(bed, "two");
        ExportLayout layout = Stored(bed, "one").Layout!;
        TestBed.Kill(one.Pid!.Value);
        ExportStatus oneAgain = await UntilAsync(bed, "one", status => status.State == "live" && status.Pid != one.Pid);
        ExportStatus twoAgain = await UntilAsync(bed, "two", status => status.State == "live" && status.Pid != two.Pid);
        Assert.Equal((one.Uuid, two.Uuid), (oneAgain.Uuid, twoAgain.Uuid));
        Assert.Equal(oneAgain.Pid, twoAgain.Pid);
        Assert.Equal(layout.SizeBytes, Stored(bed, "one").Layout!.SizeBytes);
    }

    [Fact]
    public async Task Both_dead_the_next_daemon_brings_exports_back()
    {
        await using TestBed bed = await TestBed.StartedAsync();
        ExportStatus before = await AddAsync(bed, "e");
        await bed.StopAsync();
        TestBed.Kill(before.Pid!.Value);
        await bed.StartAsync();
        ExportStatus after = await UntilAsync(bed, "e", status => status.State == "live");
        Assert.Equal(before.Uuid, after.Uuid);
        Assert.NotEqual(before.Pid, after.Pid);
    }

    [Fact]
    public async Task An_export_that_cannot_come_back_is_tried_again_and_can_be_removed()
    {
        await using TestBed bed = await TestBed.StartedAsync();
        ExportStatus before = await AddAsync(bed, "e");
        await File.WriteAllTextAsync(
            $"{bed.Fake}/mode-server", "fail-at-open-export", TestContext.Current.CancellationToken);
        TestBed.Kill(before.Pid!.Value);
        ExportStatus failed = await UntilAsync(bed, "e", status => status.State == "failed");
        Assert.Contains("tried again", failed.Reason, StringComparison.Ordinal);
        await bed.RemoveExportAsync("e");
        Assert.Empty(Directory.GetFiles(bed.Options.State.Exports));
    }

    // The removal gives the start of the next server up; what is left of that server must not be taken for one.
    [Fact]
    public async Task An_export_whose_next_server_says_nothing_yet_can_be_removed()
    {
        await using TestBed bed = await TestBed.StartedAsync();
        for (int round = 0; round < 3; round++)
        {
            ExportStatus before = await AddAsync(bed, "e");
            await File.WriteAllTextAsync(
                $"{bed.Fake}/mode-server", "hang-at-hello", TestContext.Current.CancellationToken);
            int started = Servers(bed);
            TestBed.Kill(before.Pid!.Value);
            await TestBed.UntilAsync(() => Servers(bed) > started, "the next server starts");
            await Task.Delay(round * 50, TestContext.Current.CancellationToken);
            await bed.RemoveExportAsync("e");
            File.Delete($"{bed.Fake}/mode-server");
        }
    }

    private static int Servers(TestBed bed) =>
        bed.FakeLog.Count(line => line.StartsWith("server x", StringComparison.Ordinal));

    [Fact]
    public async Task Removal_names_who_holds_the_export_and_force_cuts_it_off()
    {
        await using TestBed bed = await TestBed.StartedAsync();
        await AddAsync(bed, "e");
        await File.WriteAllTextAsync($"{bed.Fake}/held-e", "disk1 of far", TestContext.Current.CancellationToken);
        ControlError error = await bed.RemoveExportFailsAsync("e", HttpStatusCode.Conflict);
        Assert.Contains("held by disk1 of far", error.Message, StringComparison.Ordinal);
        Assert.Contains("release-export e", error.Message, StringComparison.Ordinal);
        Assert.DoesNotContain(bed.FakeLog, line => line.StartsWith("server close-export", StringComparison.Ordinal));
        Assert.False(Stored(bed, "e").Removing);
        RemovalReport report = await bed.RemoveExportAsync("e", "?force=true");
        Assert.Contains("disk1 of far", Assert.Single(report.Notes), StringComparison.Ordinal);
        Assert.Contains("server close-export e fail_pending=True", bed.FakeLog);
    }

    [Fact]
    public async Task A_removal_that_fails_leaves_the_export_as_it_was()
    {
        await using TestBed bed = await TestBed.StartedAsync();
        await AddAsync(bed, "e");
        await File.WriteAllTextAsync(
            $"{bed.Fake}/mode-server", "fail-at-close-export", TestContext.Current.CancellationToken);
        await bed.RemoveExportFailsAsync("e", HttpStatusCode.InternalServerError);
        Assert.False(Stored(bed, "e").Removing);
        Assert.Equal("live", (await UntilAsync(bed, "e", _ => true)).State);
    }

    [Theory]
    [InlineData(false, false)]
    [InlineData(true, false)]
    [InlineData(false, true)]
    public async Task A_removal_that_takes_too_long_stays_under_way_until_it_is_repeated(bool restarts, bool dies)
    {
        await using TestBed bed = await TestBed.StartedAsync();
        ExportStatus before = await AddAsync(bed, "e");
        await File.WriteAllTextAsync($"{bed.Fake}/held-e", "disk1 on far", TestContext.Current.CancellationToken);
        await File.WriteAllTextAsync(
            $"{bed.Fake}/mode-server", "stuck-at-close-export", TestContext.Current.CancellationToken);
        ControlError error = await bed.RemoveExportFailsAsync("e", HttpStatusCode.GatewayTimeout, "?force=true");
        Assert.Equal(ControlErrorCode.TimedOut, error.Code);
        ExportStatus status = await UntilAsync(bed, "e", _ => true);
        Assert.Equal("stopping", status.State);
        Assert.Contains("repeat remove-export e", status.Reason, StringComparison.Ordinal);
        Assert.True(Stored(bed, "e").Removing);
        File.Delete($"{bed.Fake}/mode-server");
        if (restarts)
        {
            await bed.RestartAsync();
        }
        else if (dies)
        {
            TestBed.Kill(before.Pid!.Value);
        }
        else
        {
            await bed.RemoveExportAsync("e");
        }

        for (int i = 0; i < 500 && (await ListAsync(bed)).Length > 0; i++)
        {
            await Task.Delay(20, TestContext.Current.CancellationToken);
        }

        Assert.Empty(await ListAsync(bed));
        Assert.Empty(Directory.GetFiles(bed.Options.State.Exports));
    }

    [Fact]
    public async Task The_server_ends_with_the_last_export()
    {
        await using TestBed bed = await TestBed.StartedAsync();
        int pid = (await AddAsync(bed, "one")).Pid!.Value;
        await AddAsync(bed, "two");
        await bed.RemoveExportAsync("one");
        await Task.Delay(300, TestContext.Current.CancellationToken);
        Assert.True(TestBed.Runs(pid));
        await bed.RemoveExportAsync("two");
        await TestBed.UntilAsync(() => !TestBed.Runs(pid), "the server ends");
        Assert.Empty(Directory.GetFiles(bed.Options.State.Exports));
        Assert.NotEqual(pid, (await AddAsync(bed, "three")).Pid);
    }

    [Theory]
    [InlineData("release", "server release-export e fail_pending=False")]
    [InlineData("clear-error", "server clear-error e fail_pending=False")]
    public async Task Orders_reach_the_server(string order, string line)
    {
        await using TestBed bed = await TestBed.StartedAsync();
        await AddAsync(bed, "e");
        using HttpResponseMessage done = await bed.Client.PostAsync(
            $"/v1/exports/e/{order}",
            JsonContent.Create(new ClearErrorRequest(null), ControlJson.Default.ClearErrorRequest),
            TestContext.Current.CancellationToken);
        Assert.Equal(HttpStatusCode.NoContent, done.StatusCode);
        Assert.Contains(line, bed.FakeLog);
        using HttpResponseMessage absent = await bed.Client.PostAsync(
            $"/v1/exports/none/{order}",
            JsonContent.Create(new ClearErrorRequest(null), ControlJson.Default.ClearErrorRequest),
            TestContext.Current.CancellationToken);
        Assert.Equal(HttpStatusCode.NotFound, absent.StatusCode);
    }

    private static int ServerPid(TestBed bed) => int.Parse(
        bed.FakeLog.Last(line => line.StartsWith("server x pid", StringComparison.Ordinal)).Split(' ')[3]);

    private static ExportRecord Stored(TestBed bed, string name)
    {
        (RecordVerdict verdict, ExportRecord? record, _) = RecordForms.Export.Read(
            bed.Options.State.ExportRecord(name), name);
        Assert.Equal(RecordVerdict.Good, verdict);
        return record!;
    }

    internal static Task<ExportStatus> AddAsync(TestBed bed, string name) => AddAsync(bed, Request(name));

    internal static async Task<ExportStatus> AddAsync(TestBed bed, ExportRequest request)
    {
        using HttpResponseMessage response = await PostAsync(bed, request);
        return await TestBed.ReadAsync(response, HttpStatusCode.Created, ControlJson.Default.ExportStatus);
    }

    internal static async Task<ControlError> AddFailsAsync(TestBed bed, ExportRequest request, HttpStatusCode status)
    {
        using HttpResponseMessage response = await PostAsync(bed, request);
        return await TestBed.ReadAsync(response, status, ControlJson.Default.ControlError);
    }

    private static Task<HttpResponseMessage> PostAsync(TestBed bed, ExportRequest request) =>
        bed.Client.PostAsync("/v1/exports", JsonContent.Create(request, ControlJson.Default.ExportRequest));

    private static async Task<ExportStatus[]> ListAsync(TestBed bed)
    {
        using HttpResponseMessage response = await bed.Client.GetAsync("/v1/exports");
        return await TestBed.ReadAsync(response, HttpStatusCode.OK, ControlJson.Default.ExportStatusArray);
    }

    private static async Task<ExportStatus> UntilAsync(TestBed bed, string name, Func<ExportStatus, bool> reached)
    {
        ExportStatus? last = null;
        for (int i = 0; i < 600; i++)
        {
            last = (await ListAsync(bed)).Single(export => export.Name == name);
            if (reached(last))
            {
                return last;
            }

            await Task.Delay(50, TestContext.Current.CancellationToken);
        }

        Assert.Fail($"{name} stays {last!.State}: {last.Reason}");
        return last;
    }
}
