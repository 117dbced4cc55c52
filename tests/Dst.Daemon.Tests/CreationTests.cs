using System.Net;
using System.Net.Sockets;
using System.Text.Json;
using Dst.Control;
using Xunit;

namespace Dst.Daemon.Tests;

public sealed class CreationTests
{
    [Fact]
    public async Task A_device_becomes_live_and_its_status_is_whole()
    {
        await using TestBed bed = await TestBed.StartedAsync();
        Directory.CreateDirectory($"{bed.Fake}/sys/block/ublkb5/queue");
        await File.WriteAllTextAsync(
            $"{bed.Fake}/sys/block/ublkb5/queue/write_cache", "write through\n", TestContext.Current.CancellationToken);
        await File.WriteAllTextAsync(
            $"{bed.Fake}/proc/swaps",
            "Filename\n/dev/ublkb5 partition 1 0 -2\n",
            TestContext.Current.CancellationToken);
        DeviceStatus status = await bed.AddAsync("a", 5);
        Assert.Equal("live", status.State);
        Assert.Equal("/dev/ublkb5", status.BlockDevice);
        Assert.Equal(2 << 20, status.SizeBytes);
        Assert.Equal(bed.TargetPids()[0], status.Pid);
        Assert.Equal(17, status.Counters["reads"]);
        Assert.False(status.Counters.ContainsKey("writes"));
        Assert.Equal(["poisoned", "live"], status.Nodes.Select(node => node.State));
        Assert.Equal("count 1 p50_us 2 p99_us 3 max_us 4", status.Nodes[0].Latency["read"]);
        Assert.Contains(status.Warnings, warning => warning.Contains("write through", StringComparison.Ordinal));
        Assert.Contains(status.Warnings, warning => warning.Contains("used as swap", StringComparison.Ordinal));
        Assert.Equal("/dev/ublkb5", new FileInfo($"{bed.Options.LinkDirectory}/a").LinkTarget);
        Assert.Equal(5, bed.StoredRecord("a").Geometry!.UblkId);
        Assert.Equal(status.Uuid, bed.StoredRecord("a").Uuid);
        Assert.Contains("helper rescan /dev/ublkb5", bed.FakeLog);
    }

    [Theory]
    [InlineData("../x", "zero:1M", null)]
    [InlineData("", "zero:1M", null)]
    [InlineData("a", "what:1M", null)]
    [InlineData("a", "file:relative", null)]
    [InlineData("a", "zero:1.5x", null)]
    [InlineData("a", "zero:1M", -1)]
    [InlineData("a", "zero:1M", 1 << 20)]
    public async Task Wrong_requests_are_usage_errors_and_change_nothing(string name, string node, int? id)
    {
        await using TestBed bed = await TestBed.StartedAsync();
        ControlError error = await bed.AddFailsAsync(
            new() { Name = name, Nodes = [node], Id = id }, HttpStatusCode.BadRequest);
        Assert.Equal(ControlErrorCode.Usage, error.Code);
        Assert.DoesNotContain('\n', error.Message);
        Assert.Empty(await bed.ListAsync());
        Assert.Empty(bed.FakeLog);
        Assert.Empty(Directory.GetFiles(bed.Options.State.Devices));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(65)]
    public async Task The_number_of_nodes_is_bounded(int count)
    {
        await using TestBed bed = await TestBed.StartedAsync();
        DeviceRequest request = new() { Name = "a", Nodes = [.. Enumerable.Repeat("zero:1M", count)] };
        await bed.AddFailsAsync(request, HttpStatusCode.BadRequest);
        await bed.AddFailsAsync(new() { Name = new string('n', 300), Nodes = ["zero:1M"] }, HttpStatusCode.BadRequest);
        await bed.AddFailsAsync(new() { Name = "a", Nodes = [null!] }, HttpStatusCode.BadRequest);
    }

    [Fact]
    public async Task Names_and_ids_are_unique()
    {
        await using TestBed bed = await TestBed.StartedAsync();
        await bed.AddAsync("a", 5);
        ControlError sameName = await bed.AddFailsAsync(TestBed.Request("a"), HttpStatusCode.Conflict);
        Assert.Contains("exists", sameName.Message, StringComparison.Ordinal);
        ControlError sameId = await bed.AddFailsAsync(TestBed.Request("b", 5), HttpStatusCode.Conflict);
        Assert.Contains("device a", sameId.Message, StringComparison.Ordinal);
        Assert.Single(await bed.ListAsync());
    }

    [Theory]
    [InlineData("exit-at-once", "exit code 3")]
    [InlineData("refuse", "CAP_SYS_RESOURCE is missing")]
    [InlineData("protocol-99", "protocol 99")]
    [InlineData("fail-at-open", "fake open failed")]
    [InlineData("die-at-open", "exit code 7")]
    [InlineData("fail-at-start", "fake start failed")]
    [InlineData("die-at-start", "exit code 7")]
    public async Task A_failed_creation_leaves_nothing(string mode, string reason)
    {
        await using TestBed bed = await TestBed.StartedAsync();
        bed.Mode("a", mode);
        ControlError error = await bed.AddFailsAsync(TestBed.Request("a", 2), HttpStatusCode.InternalServerError);
        Assert.Contains(reason, error.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', error.Message);
        bed.AssertClean("a");
        Assert.Empty(await bed.ListAsync());
        bed.Mode("a");
        await bed.AddAsync("a", 2);
    }

    [Fact]
    public async Task What_a_failed_creation_leaves_is_told_with_its_error()
    {
        await using TestBed bed = await TestBed.StartedAsync();
        bed.Mode("a", "fail-at-open");
        bed.HelperMode("delete-device", "fail");
        ControlError error = await bed.AddFailsAsync(TestBed.Request("a", 2), HttpStatusCode.InternalServerError);
        Assert.Contains("fake open failed", error.Message, StringComparison.Ordinal);
        Assert.EndsWith("; remove a", error.Message, StringComparison.Ordinal);
        Assert.Contains("not undone (ublk device 2 cannot be deleted: ", error.Message, StringComparison.Ordinal);
        bed.HelperMode("delete-device");
    }

    [Theory]
    [InlineData("no-socket")]
    [InlineData("silent")]
    [InlineData("hang-at-start")]
    public async Task A_target_that_hangs_is_killed(string mode)
    {
        await using TestBed bed = new();
        TimeSpan limit = TimeSpan.FromSeconds(2);
        Timing timing = bed.Options.Timing with { Connect = TimeSpan.FromSeconds(8), Hello = limit, Start = limit };
        bed.Options = bed.Options with { Timing = timing };
        await bed.StartAsync();
        bed.Mode("a", mode);
        await bed.AddFailsAsync(TestBed.Request("a", 2), HttpStatusCode.GatewayTimeout);
        bed.AssertClean("a");
    }

    [Fact]
    public async Task A_missing_target_program_is_named()
    {
        await using TestBed bed = new();
        bed.Options = bed.Options with { TargetBinary = "/nonexistent/dst-target" };
        await bed.StartAsync();
        ControlError error = await bed.AddFailsAsync(TestBed.Request("a"), HttpStatusCode.InternalServerError);
        Assert.Contains("/nonexistent/dst-target", error.Message, StringComparison.Ordinal);
        bed.AssertClean("a");
    }

    [Fact]
    public async Task Creation_shows_progress_outlives_its_client_and_can_be_given_up()
    {
        await using TestBed bed = await TestBed.StartedAsync();
        bed.Mode("a", "wait-at-open");
        using HttpResponseMessage late = await bed.PostAsync(TestBed.Request("a", 2), "?timeoutMs=100");
        await TestBed.ReadAsync(late, HttpStatusCode.GatewayTimeout, ControlJson.Default.ControlError);
        DeviceStatus status = await bed.UntilAsync("a", each => each.ProgressBytes is not null);
        Assert.Equal("creating", status.State);
        Assert.Equal(100, status.ProgressTotalBytes);
        Assert.Equal("waits for the lock", status.Reason);
        Assert.Contains(
            "being created",
            (await bed.RemoveFailsAsync("a", HttpStatusCode.Conflict)).Message,
            StringComparison.Ordinal);
        RemovalReport report = await bed.RemoveAsync("a", "?force=true");
        Assert.Contains("given up", Assert.Single(report.Notes), StringComparison.Ordinal);
        bed.AssertClean("a");

        bed.Mode("b", "wait-at-open");
        using HttpResponseMessage later = await bed.PostAsync(TestBed.Request("b"), "?timeoutMs=1");
        bed.Mode("b");
        await bed.UntilAsync("b", each => each.State == "live");
    }

    [Fact]
    public async Task A_daemon_that_stops_rolls_back_what_it_was_creating()
    {
        await using TestBed bed = await TestBed.StartedAsync();
        bed.Mode("a", "wait-at-open");
        using HttpResponseMessage late = await bed.PostAsync(TestBed.Request("a", 2), "?timeoutMs=1");
        await bed.UntilAsync("a", each => each.ProgressBytes is not null);
        await bed.StopAsync();
        bed.AssertClean("a");
    }

    [Fact]
    public async Task A_stranger_at_the_socket_of_a_new_target_is_told_nothing()
    {
        await using TestBed bed = new();
        bed.Options = bed.Options with { Timing = bed.Options.Timing with { Connect = TimeSpan.FromSeconds(3) } };
        await bed.StartAsync();
        bed.Mode("a", "no-socket");
        using Socket listener = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        listener.Bind(new UnixDomainSocketEndPoint(bed.Options.Run.TargetSocket("a")));
        listener.Listen();
        Task<long> heard = StrangerAsync(listener, "a");
        ControlError error = await bed.AddFailsAsync(TestBed.Request("a", 2), HttpStatusCode.GatewayTimeout);
        Assert.Contains($"process {Environment.ProcessId}", error.Message, StringComparison.Ordinal);
        listener.Dispose();
        Assert.Equal(0, await heard);
        bed.AssertClean("a");
    }

    [Fact]
    public async Task A_target_that_dies_while_it_makes_files_leaves_no_marks_and_its_files_are_named()
    {
        await using TestBed bed = await TestBed.StartedAsync();
        bed.Mode("a", "die-at-open");
        await File.WriteAllTextAsync(bed.Options.State.DeviceMarks("a"), "", TestContext.Current.CancellationToken);
        DeviceRequest request = new()
        {
            Name = "a",
            Id = 2,
            Nodes = ["delay:1,file:/nowhere/a.img,size=4M", "file:/nowhere/b.img", "mem:1M"],
        };
        ControlError error = await bed.AddFailsAsync(request, HttpStatusCode.InternalServerError);
        Assert.Contains("/nowhere/a.img", error.Message, StringComparison.Ordinal);
        Assert.DoesNotContain("/nowhere/b.img", error.Message, StringComparison.Ordinal);
        Assert.False(File.Exists(bed.Options.State.DeviceMarks("a")));
        bed.AssertClean("a");
    }

    [Fact]
    public async Task The_number_of_delays_is_bounded_before_anything_is_made()
    {
        await using TestBed bed = await TestBed.StartedAsync();
        string nested = "delay:1,delay:1,delay:1,delay:1,mem:1M";
        DeviceRequest most = new() { Name = "a", Nodes = [.. Enumerable.Repeat(nested, 16)] };
        ControlError error = await bed.AddFailsAsync(
            most with { Nodes = [.. most.Nodes, "delay:1,mem:1M"] }, HttpStatusCode.BadRequest);
        Assert.Contains("65 delay nodes", error.Message, StringComparison.Ordinal);
        Assert.Empty(bed.FakeLog);
        using HttpResponseMessage response = await bed.PostAsync(most);
        await TestBed.ReadAsync(response, HttpStatusCode.Created, ControlJson.Default.DeviceStatus);
    }

    /// <summary>Says a proper hello to everybody and counts the bytes that it is sent.</summary>
    private static async Task<long> StrangerAsync(Socket listener, string name)
    {
        TargetHello hello = new()
        {
            Protocol = TargetProtocol.Version,
            Version = "stranger",
            Name = name,
            Pid = Environment.ProcessId,
            State = "new",
        };
        byte[] line = [.. JsonSerializer.SerializeToUtf8Bytes(hello, ControlJson.Default.TargetHello), (byte)'\n'];
        long heardBytes = 0;
        try
        {
            while (true)
            {
                using Socket peer = await listener.AcceptAsync(TestContext.Current.CancellationToken);
                try
                {
                    await peer.SendAsync(line, TestContext.Current.CancellationToken);
                    heardBytes += await peer.ReceiveAsync(new byte[4096], TestContext.Current.CancellationToken);
                }
                catch (SocketException)
                {
                    // Gone without a word, as it should.
                }
            }
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            return heardBytes;
        }
    }
}
