using System.Text.Json;
using Dst.Control;

namespace Dst.Cli.Tests;

public sealed class VerbTests
{
    private static FakeAnswer Made { get; } = FakeAnswer.Json(201, Samples.Disk, ControlJson.Default.DeviceStatus);

    private static FakeAnswer Removed(params string[] notes) =>
        FakeAnswer.Json(200, new RemovalReport(notes), ControlJson.Default.RemovalReport);

    [Fact]
    public async Task AddDevicePrintsThePathAndNothingElse()
    {
        await using var daemon = new FakeDaemon(_ =>
            FakeAnswer.Json(201, Samples.Disk with { Warnings = [] }, ControlJson.Default.DeviceStatus));
        Outcome outcome = await Cli.RunAsync(daemon, "add-device", "disk1", "--node", "zero:1G");
        Assert.Equal("/dev/ublkb0\n", outcome.Succeeds());
    }

    [Fact]
    public async Task AddDeviceSendsWhatWasTypedWithAbsolutePaths()
    {
        await using var daemon = new FakeDaemon(_ => Made);
        await Cli.RunAsync(
            daemon,
            "add-device", "disk1",
            "--node", "file:a,,b.img,size=4G", "dev:/dev/sdb", "--node", "delay:5,file:../c,sparse",
            "--id", "7", "--queues", "2", "--depth", "64", "--max-io", "512K", "--block-size", "4096",
            "--memory", "64M", "--read-only", "--timeout", "90");
        FakeRequest sent = Assert.Single(daemon.Requests);
        Assert.Equal(("POST", "/v1/devices?nodeTimeoutMs=90000"), (sent.Method, sent.Target));
        DeviceRequest request = JsonSerializer.Deserialize(sent.Body, ControlJson.Default.DeviceRequest)!;
        Assert.Equal(
            ["file:/home/user/here/a,,b.img,size=4G", "dev:/dev/sdb", "delay:5,file:/home/user/here/../c,sparse"],
            request.Nodes);
        Assert.Equal(
            new DeviceRequest
            {
                Name = "disk1",
                Nodes = request.Nodes,
                Id = 7,
                Queues = 2,
                DepthTags = 64,
                MaxIoBytes = 512 << 10,
                BlockSizeBytes = 4096,
                MemoryBytes = 64L << 20,
                ReadOnly = true,
            },
            request);
    }

    [Fact]
    public async Task AddDeviceLeavesToTheDaemonWhatWasNotTyped()
    {
        await using var daemon = new FakeDaemon(_ => Made);
        await Cli.RunAsync(daemon, "add-device", "disk1", "--node=zero:1G");
        FakeRequest sent = Assert.Single(daemon.Requests);
        Assert.Equal("/v1/devices?nodeTimeoutMs=30000", sent.Target);
        Assert.Equal("""{"name":"disk1","nodes":["zero:1G"],"read_only":false}""", sent.Body);
    }

    [Fact]
    public async Task AddDeviceTellsWarningsOnStderr()
    {
        await using var daemon = new FakeDaemon(_ => Made);
        Outcome outcome = await Cli.RunAsync(daemon, "add-device", "disk1", "--node", "zero:1G");
        Assert.Equal(new Outcome(0, "/dev/ublkb0\n", "dstctl: disk1: warning: swap lies on this device\n"), outcome);
    }

    [Fact]
    public async Task AddDeviceWithoutAPathIsAFailure()
    {
        await using var daemon = new FakeDaemon(_ =>
            FakeAnswer.Json(201, Samples.Young, ControlJson.Default.DeviceStatus));
        (await Cli.RunAsync(daemon, "add-device", "a-new-one", "--node", "zero:1G")).FailsWith(1);
    }

    [Fact]
    public async Task RemoveDeviceIsSilentWhenAllWentWell()
    {
        await using var daemon = new FakeDaemon(_ => Removed());
        Assert.Empty((await Cli.RunAsync(daemon, "remove-device", "disk1")).Succeeds());
        FakeRequest sent = Assert.Single(daemon.Requests);
        Assert.Equal(("DELETE", "/v1/devices/disk1?force=false&timeoutMs=10000"), (sent.Method, sent.Target));
    }

    [Fact]
    public async Task RemoveDeviceTellsWhatForceThrewAway()
    {
        await using var daemon = new FakeDaemon(_ => Removed("64 MiB not flushed", "still mounted on\n/mnt"));
        Outcome outcome = await Cli.RunAsync(daemon, "remove-device", "disk1", "--force", "--timeout", "3");
        const string Notes = "dstctl: disk1: 64 MiB not flushed\ndstctl: disk1: still mounted on /mnt\n";
        Assert.Equal(new Outcome(0, string.Empty, Notes), outcome);
        Assert.Equal("/v1/devices/disk1?force=true&timeoutMs=3000", Assert.Single(daemon.Requests).Target);
    }

    [Theory]
    [InlineData("clear-error disk1 1", """{"index":1}""")]
    [InlineData("clear-error disk1", "{}")]
    public async Task ClearErrorNamesTheNode(string line, string body)
    {
        await using var daemon = new FakeDaemon(_ => new FakeAnswer(204, string.Empty));
        Assert.Empty((await Cli.RunAsync(daemon, line.Split(' '))).Succeeds());
        Assert.Equal(new FakeRequest("POST", "/v1/devices/disk1/clear-error", body), Assert.Single(daemon.Requests));
    }

    [Fact]
    public async Task TheInstanceIsChosenByOptionThenVariable()
    {
        await using var daemon = new FakeDaemon(_ => new FakeAnswer(200, "[]"));
        (await Cli.RunAsync(Setting.ByVariable(daemon.RunPath), "list")).Succeeds();
        (await Cli.RunAsync(Setting.ByVariable(daemon.RunPath) with { RunPath = "/nonexistent" }, "list")).FailsWith(4);
        var beside = new Setting
        {
            WorkingDirectory = Path.GetDirectoryName(daemon.RunPath)!,
            RunPath = Path.GetFileName(daemon.RunPath),
        };
        (await Cli.RunAsync(beside, "list")).Succeeds();
        Assert.Equal(2, daemon.Requests.Count);
    }

    private static ExportStatus Pool { get; } = new()
    {
        Name = "pool",
        State = "live",
        Uuid = new Guid("00112233-4455-6677-8899-aabbccddeeff"),
        Pid = 77,
        SizeBytes = 3L << 30,
        BlockSizeBytes = 512,
        MaxIoBytes = 1 << 20,
        Listen = ["192.0.2.7:7003", "unix:/run/a,b"],
        Allow = ["192.0.2.0/24"],
        Held = true,
        Holder = "disk1 of host h",
        Epoch = 5,
        Connections = 2,
        Nodes = [new NodeStatus
        {
            Index = 0, Type = "file", Address = "/srv/p", StartBytes = 0, SizeBytes = 3L << 30, State = "poisoned",
        }],
    };

    [Fact]
    public async Task AddExportSendsWhatWasTypedAndPrintsWhereItIs()
    {
        await using var daemon = new FakeDaemon(_ => FakeAnswer.Json(201, Pool, ControlJson.Default.ExportStatus));
        Outcome outcome = await Cli.RunAsync(
            daemon,
            "add-export", "pool", "--node", "file:p,size=3G", "--listen", "192.0.2.7:7003", "unix:/run/a,b",
            "--allow", "192.0.2.0/24", "--cache", "write-back", "--read-only", "--max-io", "512K", "--memory", "8M",
            "--block-size", "4096", "--timeout", "5");
        Assert.Equal("dst://192.0.2.7/pool\ndst+unix:/run/a,,b,export=pool\n", outcome.Succeeds());
        FakeRequest sent = Assert.Single(daemon.Requests);
        Assert.Equal(("POST", "/v1/exports?timeoutMs=5000"), (sent.Method, sent.Target));
        ExportRequest request = JsonSerializer.Deserialize(sent.Body, ControlJson.Default.ExportRequest)!;
        Assert.Equal(["file:/home/user/here/p,size=3G"], request.Nodes);
        Assert.Equal(["192.0.2.7:7003", "unix:/run/a,b"], request.Listen!);
        Assert.Equal(["192.0.2.0/24"], request.Allow!);
        Assert.Equal(
            (ExportCache.WriteBack, true, 512 << 10, 8L << 20, 4096),
            (request.Cache, request.ReadOnly, request.MaxIoBytes, request.MemoryBytes, request.BlockSizeBytes));
    }

    [Fact]
    public async Task AddExportLeavesToTheDaemonWhatWasNotTyped()
    {
        await using var daemon = new FakeDaemon(_ => FakeAnswer.Json(201, Pool, ControlJson.Default.ExportStatus));
        (await Cli.RunAsync(daemon, "add-export", "pool", "--node", "zero:1G")).Succeeds();
        FakeRequest sent = Assert.Single(daemon.Requests);
        Assert.Equal("""{"name":"pool","nodes":["zero:1G"],"read_only":false,"cache":"write-through"}""", sent.Body);
    }

    [Theory]
    [InlineData("remove-export pool --force", "DELETE", "/v1/exports/pool?force=true&timeoutMs=10000")]
    [InlineData("release-export pool --timeout 3", "POST", "/v1/exports/pool/release?timeoutMs=3000")]
    [InlineData("suspend-node disk1 2", "POST", "/v1/devices/disk1/nodes/2/suspend")]
    [InlineData("resume-node disk1 2", "POST", "/v1/devices/disk1/nodes/2/resume")]
    [InlineData("fail-node disk1 0", "POST", "/v1/devices/disk1/nodes/0/fail")]
    [InlineData("set-node disk1 0 deadline=30s on-timeout=error", "POST", "/v1/devices/disk1/nodes/0/set")]
    public async Task EachVerbAsksForOneThing(string line, string method, string target)
    {
        await using var daemon = new FakeDaemon(request =>
            request.Method == "DELETE" ? Removed() : new FakeAnswer(204, string.Empty));
        (await Cli.RunAsync(daemon, line.Split(' '))).Succeeds();
        FakeRequest sent = Assert.Single(daemon.Requests);
        Assert.Equal((method, target), (sent.Method, sent.Target));
        if (target.EndsWith("/set", StringComparison.Ordinal))
        {
            Assert.Equal("""{"deadline_ms":30000,"ends_with_error":true}""", sent.Body);
        }
    }

    /// <summary>A budget that was set can be taken back (S-15).</summary>
    [Fact]
    public async Task ZeroEndsABudget()
    {
        await using var daemon = new FakeDaemon(_ => new FakeAnswer(204, string.Empty));
        (await Cli.RunAsync(daemon, "set-node", "d", "0", "deadline=0", "retries=0", "retry-time=0")).Succeeds();
        FakeRequest sent = Assert.Single(daemon.Requests);
        Assert.Equal("""{"deadline_ms":0,"retries":0,"retry_time_ms":0}""", sent.Body);
    }

    [Fact]
    public async Task TakeOverIsAskedForOnce()
    {
        await using var daemon = new FakeDaemon(_ => Made);
        await Cli.RunAsync(daemon, "add-device", "disk1", "--node", "dst://h/pool", "--take-over");
        FakeRequest sent = Assert.Single(daemon.Requests);
        Assert.Equal("/v1/devices?nodeTimeoutMs=30000&takeOver=true", sent.Target);
        Assert.DoesNotContain("take", sent.Body, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("status pool", "GET", "/v1/exports/pool")]
    [InlineData("clear-error pool", "POST", "/v1/exports/pool/clear-error")]
    public async Task ANameThatIsNoDeviceIsLookedUpAmongTheExports(string line, string method, string target)
    {
        await using var daemon = new FakeDaemon(request =>
            request.Target.StartsWith("/v1/devices", StringComparison.Ordinal)
                ? FakeAnswer.Error(ControlErrorCode.NotFound, "no device named 'pool'; see dstctl list")
                : method == "GET" ? FakeAnswer.Json(200, Pool, ControlJson.Default.ExportStatus)
                : new FakeAnswer(204, string.Empty));
        (await Cli.RunAsync(daemon, line.Split(' '))).Succeeds();
        Assert.Contains(daemon.Requests, request => request.Method == method && request.Target == target);
    }

    [Fact]
    public async Task ANameOfNothingIsNotFound()
    {
        await using var daemon = new FakeDaemon(request => FakeAnswer.Error(
            ControlErrorCode.NotFound,
            request.Target.Contains("devices", StringComparison.Ordinal)
                ? "no device named 'x'"
                : "no export named 'x'"));
        Outcome outcome = await Cli.RunAsync(daemon, "status", "x");
        Assert.Equal(new Outcome(3, "", "dstctl: no device or export named 'x'; see dstctl list\n"), outcome);
    }

    [Fact]
    public async Task ExportsAreListedAndShownAfterTheDevices()
    {
        await using var daemon = new FakeDaemon(_ => new FakeAnswer(200, "[]"))
        {
            Exports = JsonSerializer.Serialize([Pool], ControlJson.Default.ExportStatusArray),
        };
        Assert.Equal(
            "pool  dst://192.0.2.7/pool dst+unix:/run/a,,b,export=pool\n",
            (await Cli.RunAsync(daemon, "list")).Succeeds());
        string status = (await Cli.RunAsync(daemon, "status")).Succeeds();
        Assert.Contains("export", status, StringComparison.Ordinal);
        Assert.Contains("pool: held by disk1 of host h\n", status, StringComparison.Ordinal);
        Assert.Contains("dstctl clear-error pool\n", status, StringComparison.Ordinal);
        string json = (await Cli.RunAsync(daemon, "status", "--json")).Succeeds();
        JsonElement root = JsonDocument.Parse(json).RootElement;
        Assert.Equal((2, "pool"), (
            root.GetProperty("schema").GetInt32(), root.GetProperty("exports")[0].GetProperty("name").GetString()));
    }
}
