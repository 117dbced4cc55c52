using Dst.Control;

namespace Dst.Cli.Tests;

/// <summary>Devices to show.</summary>
internal static class Samples
{
    public static DaemonInfo Info { get; } = new(CommandLine.Version, 1, 4242, "/run/dst", "/var/lib/dst");

    /// <summary>One that works, with a node whose flush failed.</summary>
    public static DeviceStatus Disk { get; } = new()
    {
        Name = "disk1",
        State = "live",
        Uuid = new Guid("6f1c2d3e-0a1b-4c2d-8e3f-0123456789ab"),
        UblkId = 0,
        BlockDevice = "/dev/ublkb0",
        Pid = 812,
        SizeBytes = (6L << 30) - 4096,
        Queues = 2,
        DepthTags = 128,
        MaxIoBytes = 1 << 20,
        BlockSizeBytes = 4096,
        Counters = Counters(1203, 4927488, 88, 1 << 20, 7, 1, 0, 1, 3),
        Nodes =
        [
            new NodeStatus
            {
                Index = 0,
                Type = "file",
                Address = "/srv/a.img",
                StartBytes = 0,
                SizeBytes = 4L << 30,
                State = "live",
                Counters = Counters(1200, 4915200, 80, 983040, 4, 1, 0, 0, 3),
                Latency = new Dictionary<string, string>(StringComparer.Ordinal)
                {
                    ["write"] = "count 80 p50_us 95 p99_us 1200 max_us 2011",
                    ["read"] = "count 1200 p50_us 71 p99_us 310 max_us 902",
                    ["discard"] = "count 0 p50_us 0 p99_us 0 max_us 0",
                },
            },
            new NodeStatus
            {
                Index = 1,
                Type = "dev",
                Address = "/dev/disk/by-id/wwn-0x5000c500a1b2c3d4",
                StartBytes = 4L << 30,
                SizeBytes = (2L << 30) - 4096,
                State = "poisoned",
                Reason = "fdatasync: EIO",
                Counters = Counters(3, 12288, 8, 65536, 3, 0, 0, 1, 0),
            },
        ],
        Warnings = ["swap lies on this device"],
    };

    /// <summary>One that is being made, of which little is known.</summary>
    public static DeviceStatus Young { get; } = new()
    {
        Name = "a-new-one",
        State = "creating",
        Uuid = new Guid("11111111-2222-4333-8444-555555555555"),
        ProgressBytes = 1536L << 20,
        ProgressTotalBytes = 4L << 30,
    };

    private static Dictionary<string, long> Counters(params long[] values) =>
        "reads read_bytes writes write_bytes flushes discards write_zeroes errors inflight".Split(' ')
            .Zip(values)
            .ToDictionary(p => p.First, p => p.Second, StringComparer.Ordinal);
}
