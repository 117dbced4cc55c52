using System.CommandLine;
using Dst.Cli.Output;
using Dst.Control;

namespace Dst.Cli.Commands;

/// <summary><c>add-export</c>: serves nodes to other machines and prints the node specification to use there.</summary>
internal static class AddExportCommand
{
    private const int MaxNodes = 64;

    /// <summary>Makes the verb.</summary>
    public static Command Create(DaemonAccess daemon)
    {
        var options = new Options(daemon);
        var command = new Verb(
            "add-export",
            "Serve nodes, in order, to DST devices of other machines, and print what to give --node there. "
                + "Loopback, the default address, is reached by every user and program of this host: it is no "
                + "protection from them.",
            "dstctl add-export pool --node file:/srv/pool.img,size=40G",
            "dstctl add-export pool --node dev:/dev/sdb --listen 192.0.2.7:7003 --allow 192.0.2.0/24",
            "dstctl add-export iso --node file:/srv/a.iso --read-only --listen '[2001:db8::7]' --allow 2001:db8::/32",
            "dstctl add-export local --node dev:/dev/sdc --listen unix:/run/dst/local.sock",
            "dstctl add-device disk1 --node dst://192.0.2.7/pool   # on the other machine")
        {
            options.Name, options.Nodes, options.ReadOnly, options.Cache, options.Listen, options.Allow,
            options.BlockSize, options.MaxIo, options.Memory, options.Timeout,
        };
        command.SetAction((parsed, cancellation) => RunAsync(daemon, parsed, options, cancellation));
        return command;
    }

    private static async Task<int> RunAsync(
        DaemonAccess daemon, ParseResult parsed, Options options, CancellationToken cancellation)
    {
        ExportRequest request = options.Read(parsed);
        using DaemonClient client = daemon.Connect(parsed);
        var operation = new LongOperation(
            daemon.Host,
            async look => OperationView.Of(await client.GetExportAsync(request.Name, look)),
            request.Name,
            $"adding {request.Name}");
        ExportStatus export = await operation.RunAsync(
            abandon => client.AddExportAsync(request, parsed.GetValue(options.Timeout) * 1000, abandon), cancellation);
        foreach (string warning in export.Warnings ?? [])
        {
            await daemon.Host.Error.WriteLineAsync(
                $"dstctl: {export.Name}: warning: {Printable.Line(warning)}".AsMemory(), cancellation);
        }

        foreach (string address in ExportAddress.Of(export))
        {
            await daemon.Host.Output.WriteLineAsync(address.AsMemory(), cancellation);
        }

        return 0;
    }

    private sealed class Options(DaemonAccess daemon)
    {
        public Argument<string> Name { get; } = Inputs.NewDeviceName(
            "Name of the export: 1 to 64 of [A-Za-z0-9._-]; devices and exports share names.");

        public Option<string[]> Nodes { get; } = Inputs.Nodes(daemon.Host, MaxNodes);

        public Option<bool> ReadOnly { get; } = new("--read-only")
        {
            Description = "No client may write, and every node is opened read-only.",
        };

        public Option<string?> Cache { get; } = NewCache();

        public Option<string[]> Listen { get; } = Inputs.Texts(
            "--listen",
            "ADDR:PORT|unix:PATH",
            "Address, repeated or with several values (default 127.0.0.1:7003). Numbers, not names; IPv6 in brackets. "
                + "One that other machines reach needs --allow.");

        public Option<string[]> Allow { get; } = Inputs.Texts(
            "--allow",
            "CIDR",
            "Network that clients may come from, repeated or with several values (default: this host only).");

        public Option<int?> BlockSize { get; } =
            Inputs.OneOf("--block-size", [512, 4096], "Logical block size (default: the largest of the nodes).");

        public Option<long?> MaxIo { get; } =
            Inputs.Size("--max-io", int.MaxValue, "Largest read or write (default 1M).");

        public Option<long?> Memory { get; } =
            Inputs.Size("--memory", long.MaxValue, "Bound of the locked I/O buffers (default: up to 64M).");

        public Option<int?> Timeout { get; } =
            Inputs.TimeoutSeconds(
                "Seconds after which it stops waiting; dstd goes on making the export (default: no limit).");

        public ExportRequest Read(ParseResult parsed) => new()
        {
            Name = parsed.GetRequiredValue(Name),
            Nodes = parsed.GetRequiredValue(Nodes),
            ReadOnly = parsed.GetValue(ReadOnly),
            Cache = string.Equals(parsed.GetValue(Cache), "write-back", StringComparison.Ordinal)
                ? ExportCache.WriteBack
                : ExportCache.WriteThrough,
            Listen = parsed.GetValue(Listen) is { Length: > 0 } listen ? listen : null,
            Allow = parsed.GetValue(Allow) is { Length: > 0 } allow ? allow : null,
            BlockSizeBytes = parsed.GetValue(BlockSize),
            MaxIoBytes = (int?)parsed.GetValue(MaxIo),
            MemoryBytes = parsed.GetValue(Memory),
        };

        private static Option<string?> NewCache() => Inputs.Word(
            "--cache",
            ["write-through", "write-back"],
            "What an acknowledged write means: on disk (default), or on disk after the next flush.");
    }
}
