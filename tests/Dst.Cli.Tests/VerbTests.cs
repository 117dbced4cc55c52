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
        Assert.Equal(("POST", "/v1/devices?timeoutMs=90000"), (sent.Method, sent.Target));
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
        Assert.Equal("/v1/devices", sent.Target);
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
}
