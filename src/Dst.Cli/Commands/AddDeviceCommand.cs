using System.CommandLine;
using Dst.Cli.Output;
using Dst.Control;

namespace Dst.Cli.Commands;

/// <summary><c>add-device</c>: makes a device out of nodes and prints its path.</summary>
internal static class AddDeviceCommand
{
    private const int MaxUblkId = (1 << 20) - 1;
    private const int MaxQueues = 4096;
    private const int MaxDepthTags = 4096;
    private const int MaxNodes = 64;
    private const int DefaultNodeTimeoutSeconds = 30;

    /// <summary>Makes the verb.</summary>
    public static Command Create(DaemonAccess daemon)
    {
        var options = new Options(daemon);
        var command = new Verb(
            "add-device",
            "Make a block device out of nodes, in order, and print its path. Existing data of the nodes stays.",
            "dstctl add-device disk1 --node file:/srv/a.img,size=4G --node file:/srv/b.img,size=4G",
            "dstctl add-device disk1 --node dev:/dev/sdb dev:/dev/sdc",
            "dstctl add-device old --node file:/srv/old.img --read-only",
            "dstctl add-device pair --node dst://192.0.2.7/pool dst://192.0.2.8/pool",
            "dstctl add-device heir --node dst://192.0.2.7/pool --take-over --timeout 60",
            "dstctl add-device fast --node dev:/dev/nvme0n1 --id 7 --queues 4 --depth 64 --max-io 512K",
            "mkfs.ext4 \"$(dstctl add-device disk2 --node file:/srv/c.img,size=1G,sparse)\"")
        {
            options.Name, options.Nodes, options.Id, options.Queues, options.Depth, options.MaxIo,
            options.BlockSize, options.Memory, options.ReadOnly, options.Timeout, options.TakeOver,
        };
        command.SetAction((parsed, cancellation) => RunAsync(daemon, parsed, options, cancellation));
        return command;
    }

    private static async Task<int> RunAsync(
        DaemonAccess daemon, ParseResult parsed, Options options, CancellationToken cancellation)
    {
        DeviceRequest request = options.Read(parsed);
        using DaemonClient client = daemon.Connect(parsed);
        var operation = new LongOperation(
            daemon.Host,
            async look => OperationView.Of(await client.GetDeviceAsync(request.Name, look)),
            request.Name,
            $"adding {request.Name}");
        int nodeTimeoutMs = (parsed.GetValue(options.Timeout) ?? DefaultNodeTimeoutSeconds) * 1000;
        bool takeOver = parsed.GetValue(options.TakeOver);
        DeviceStatus device = await operation.RunAsync(
            abandon => client.AddDeviceAsync(request, nodeTimeoutMs, takeOver, abandon), cancellation);
        foreach (string warning in device.Warnings ?? [])
        {
            await daemon.Host.Error.WriteLineAsync(
                $"dstctl: {device.Name}: warning: {Printable.Line(warning)}".AsMemory(), cancellation);
        }

        if (device.BlockDevice is not { } path)
        {
            throw new ControlException(
                ControlErrorCode.Failure,
                $"dstd made {request.Name} but names no path (state {device.State}); "
                + $"see 'dstctl status {request.Name}'");
        }

        await daemon.Host.Output.WriteLineAsync(path.AsMemory(), cancellation);
        return 0;
    }

    private sealed class Options(DaemonAccess daemon)
    {
        public Argument<string> Name { get; } = Inputs.NewDeviceName("Name of the device: 1 to 64 of [A-Za-z0-9._-].");

        public Option<string[]> Nodes { get; } = Inputs.Nodes(daemon.Host, MaxNodes);

        public Option<int?> Id { get; } =
            Inputs.WholeNumber("--id", "N", 0, MaxUblkId, "Number N of /dev/ublkbN (default: the lowest free).");

        public Option<int?> Queues { get; } =
            Inputs.WholeNumber("--queues", "N", 1, MaxQueues, "Hardware queues (default: one per CPU, at most 4).");

        public Option<int?> Depth { get; } =
            Inputs.WholeNumber("--depth", "N", 1, MaxDepthTags, "Requests in flight per queue (default 128).");

        public Option<long?> MaxIo { get; } =
            Inputs.Size("--max-io", int.MaxValue, "Largest request (default 1M).");

        public Option<int?> BlockSize { get; } =
            Inputs.OneOf("--block-size", [512, 4096], "Logical block size (default: the largest of the nodes).");

        public Option<long?> Memory { get; } =
            Inputs.Size("--memory", long.MaxValue, "Bound of the locked I/O buffers (default 128M).");

        public Option<bool> ReadOnly { get; } = new("--read-only")
        {
            Description = "The device and every node are opened read-only.",
        };

        public Option<int?> Timeout { get; } =
            Inputs.TimeoutSeconds(
                "Seconds that network nodes may take to attach before all is undone "
                + $"(default {DefaultNodeTimeoutSeconds}).");

        public Option<bool> TakeOver { get; } = new("--take-over")
        {
            Description = "Fence whoever holds the exports of the network nodes: that client is cut off for good, and "
                + "what it had not flushed is lost.",
        };

        public DeviceRequest Read(ParseResult parsed) => new()
        {
            Name = parsed.GetRequiredValue(Name),
            Nodes = parsed.GetRequiredValue(Nodes),
            Id = parsed.GetValue(Id),
            Queues = parsed.GetValue(Queues),
            DepthTags = parsed.GetValue(Depth),
            MaxIoBytes = (int?)parsed.GetValue(MaxIo),
            BlockSizeBytes = parsed.GetValue(BlockSize),
            MemoryBytes = parsed.GetValue(Memory),
            ReadOnly = parsed.GetValue(ReadOnly),
        };
    }
}
