using System.Text.Json;
using CsCheck;
using Dst.Cli.Output;
using Dst.Control;
using Dst.Core.Specs;

namespace Dst.Cli.Tests;

public sealed class OutputTests
{
    private static FakeDaemon Daemon() => new(request => request.Target switch
    {
        "/v1/devices" => FakeAnswer.Json(200, [Samples.Disk, Samples.Young], ControlJson.Default.DeviceStatusArray),
        "/v1/devices/disk1" => FakeAnswer.Json(200, Samples.Disk, ControlJson.Default.DeviceStatus),
        _ => FakeAnswer.Error(ControlErrorCode.NotFound, "no such device"),
    });

    [Theory]
    [InlineData("status", "status.txt")]
    [InlineData("status disk1", "status-one.txt")]
    [InlineData("status --json", "status.json")]
    [InlineData("status disk1 --json", "status-one.json")]
    [InlineData("list", "list.txt")]
    [InlineData("list --json", "list.json")]
    public async Task TextAndJsonStayAsTheyAre(string line, string golden)
    {
        await using FakeDaemon daemon = Daemon();
        string output = (await Cli.RunAsync(daemon, line.Split(' '))).Succeeds();
        string path = Path.Combine(AppContext.BaseDirectory, "Golden", golden);
        await File.WriteAllTextAsync($"{path}.actual", output, TestContext.Current.CancellationToken);
        Assert.Equal(await File.ReadAllTextAsync(path, TestContext.Current.CancellationToken), output);
    }

    [Fact]
    public async Task JsonGivesBackEveryFieldThatTheDaemonSent()
    {
        await using FakeDaemon daemon = Daemon();
        string output = (await Cli.RunAsync(daemon, "status", "disk1", "--json")).Succeeds();
        using JsonDocument document = JsonDocument.Parse(output);
        Assert.Equal(2, document.RootElement.GetProperty("schema").GetInt32());
        JsonElement device = Assert.Single(document.RootElement.GetProperty("devices").EnumerateArray());
        Assert.Equal(
            JsonSerializer.Serialize(Samples.Disk, ControlJson.Default.DeviceStatus),
            JsonSerializer.Serialize(
                device.Deserialize(ControlJson.Default.DeviceStatus)!, ControlJson.Default.DeviceStatus));
    }

    [Theory]
    [InlineData("list", "")]
    [InlineData("status --json", "{\n  \"schema\": 2,\n  \"devices\": [],\n  \"exports\": []\n}\n")]
    public async Task NoDevicesAreNoFailure(string line, string expected)
    {
        await using var daemon = new FakeDaemon(_ => new FakeAnswer(200, "[]"));
        Assert.Equal(expected, (await Cli.RunAsync(daemon, line.Split(' '))).Succeeds());
    }

    [Fact]
    public async Task ALossOfANetworkNodeIsToldWithWhatToDo()
    {
        NodeStatus node = Samples.Disk.Nodes[0] with { State = "lost unflushed writes", Reason = null };
        DeviceStatus disk = Samples.Disk with { Nodes = [node] };
        await using var daemon = new FakeDaemon(_ => FakeAnswer.Json(200, disk, ControlJson.Default.DeviceStatus));
        string output = (await Cli.RunAsync(daemon, "status", "disk1")).Succeeds();
        Assert.Contains(
            "lost unflushed writes; once it is mended: dstctl clear-error disk1 0", output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task TheSessionOfANetworkNodeIsShown()
    {
        NodeStatus node = Samples.Disk.Nodes[0] with
        {
            Type = "dst",
            Address = "dst://192.0.2.7/pool",
            Peer = "192.0.2.7:7003",
            Counters = new Dictionary<string, long>(StringComparer.Ordinal)
            {
                ["epoch"] = 7,
                ["round_trip_ms"] = 2,
                ["waiting"] = 5,
                ["sent"] = 4,
                ["resends"] = 31,
                ["reconnects"] = 3,
                ["replayed_bytes"] = 8192,
            },
        };
        DeviceStatus disk = Samples.Disk with { Nodes = [node, Samples.Disk.Nodes[1]] };
        await using var daemon = new FakeDaemon(_ => FakeAnswer.Json(200, disk, ControlJson.Default.DeviceStatus));
        string output = (await Cli.RunAsync(daemon, "status", "disk1")).Succeeds();
        Assert.Contains(
            """

            NODE  PEER            EPOCH  RTT_MS  NEXT_TRY_MS  WAITING  SENT  RESENDS  RECONNECTS  REPLAYED
               0  192.0.2.7:7003      7       2            -        5     4       31           3        8K


            """,
            output,
            StringComparison.Ordinal);
    }

    [Fact]
    public async Task AnAddressCannotWriteToTheTerminal()
    {
        NodeStatus node = Samples.Disk.Nodes[0] with { Address = "/srv/\u001b]0;x\a\n.img" };
        DeviceStatus[] odd = [Samples.Disk with { Nodes = [node] }];
        await using var daemon = new FakeDaemon(_ => FakeAnswer.Json(200, odd, ControlJson.Default.DeviceStatusArray));
        string output = (await Cli.RunAsync(daemon, "status")).Succeeds();
        Assert.Contains("/srv/\\x1b]0;x\\x07 .img\n", output, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(0, "0")]
    [InlineData(1023, "1023")]
    [InlineData(1024, "1K")]
    [InlineData(1025, "1.0K")]
    [InlineData(1536, "1.5K")]
    [InlineData((1L << 20) - 1, "1023.9K")]
    [InlineData(4L << 30, "4G")]
    [InlineData(long.MaxValue, "7.9E")]
    public void SizesAreShort(long bytes, string text) => Assert.Equal(text, HumanSize.Format(bytes));

    [Fact]
    public void AWholeSizeCanBeTypedAgain() =>
        Gen.Long[0, 1L << 50].Sample(bytes =>
        {
            string text = HumanSize.Format(bytes);
            if (!text.Contains('.', StringComparison.Ordinal) && !text.EndsWith('P'))
            {
                Assert.True(ByteSize.TryParse(text, out long again, out _));
                Assert.Equal(bytes, again);
            }
        });
}
