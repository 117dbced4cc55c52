using System.Globalization;
using Dst.Control;
using Dst.Daemon.Kernel;

namespace Dst.Daemon.Devices;

/// <summary>
/// Puts the status of a device together from its worker's view, its record and its status tree, without locks. Any
/// thread.
/// </summary>
internal sealed class StatusReader(DeviceServices services)
{
    private const string LatencyPrefix = "latency_";

    /// <summary>Reads it; waits a moment at most for an attribute of the kernel device.</summary>
    public async Task<DeviceStatus> ReadAsync(DeviceWorker worker)
    {
        DeviceView view = worker.View;
        string? writeCache = await worker.WriteCacheAsync();
        string tree = services.Options.Run.Device(worker.Name);
        DeviceGeometry? geometry = view.Record?.Geometry;
        string state = view.IsLive ? Text($"{tree}/{StatusTree.State}") ?? view.State : view.State;
        return new DeviceStatus
        {
            Name = worker.Name,
            State = state,
            Reason = view.Reason,
            ProgressBytes = view.IsLive ? null : view.ProgressBytes,
            ProgressTotalBytes = view.IsLive ? null : view.ProgressTotalBytes,
            Uuid = view.Record?.Uuid ?? Guid.Empty,
            UblkId = view.UblkId,
            BlockDevice = view.BlockDevice,
            Pid = view.Pid,
            SizeBytes = geometry?.SizeBytes,
            Queues = geometry?.Queues,
            DepthTags = geometry?.DepthTags,
            MaxIoBytes = geometry?.MaxIoBytes,
            BlockSizeBytes = geometry?.BlockSizeBytes,
            ReadOnly = geometry?.ReadOnly ?? view.Record?.Request.ReadOnly ?? false,
            Counters = Counters(tree, StatusTree.Counters.Append(StatusTree.QueueGapMax)),
            Nodes = geometry is null
                ? []
                : [.. geometry.Nodes.Select((node, index) => Node(tree, node, index, view.IsLive))],
            Warnings = Warnings(view, writeCache),
        };
    }

    private List<string> Warnings(DeviceView view, string? writeCache)
    {
        List<string> warnings = [.. view.Warnings];
        if (view is not { IsLive: true, UblkId: { } id })
        {
            return warnings;
        }

        if (view.Record?.Geometry is { VolatileCache: true }
            && string.Equals(writeCache, "write through", StringComparison.Ordinal))
        {
            string disk = BlockDevice.NameOf(id);
            warnings.Add(
                $"write_cache of {disk} was set to 'write through': the kernel sends no flushes, acknowledged writes "
                + $"may be lost; echo 'write back' > /sys/block/{disk}/queue/write_cache");
        }

        warnings.AddRange(
            services.Users.Swaps(id).Select(swap => $"{swap}: the host may hang when memory is short; swapoff it"));
        return warnings;
    }

    private static NodeStatus Node(string tree, NodeGeometry geometry, int index, bool live)
    {
        string folder = string.Create(CultureInfo.InvariantCulture, $"{tree}/{StatusTree.Nodes}/{index}");
        return new NodeStatus
        {
            Index = index,
            Type = geometry.Type,
            Address = geometry.Address,
            StartBytes = geometry.StartBytes,
            SizeBytes = geometry.LengthBytes,
            State = Text($"{folder}/{StatusTree.State}") ?? (live ? DeviceState.Live : "down"),
            Reason = Text($"{folder}/{StatusTree.NodeReason}"),
            Counters = Counters(folder, StatusTree.Counters),
            Latency = Latency(folder),
        };
    }

    private static Dictionary<string, string> Latency(string folder)
    {
        Dictionary<string, string> lines = new(StringComparer.Ordinal);
        foreach (string operation in StatusTree.LatencyOperations)
        {
            if (Text($"{folder}/{LatencyPrefix}{operation}") is { } line)
            {
                lines[operation] = line;
            }
        }

        return lines;
    }

    private static Dictionary<string, long> Counters(string folder, IEnumerable<string> names)
    {
        Dictionary<string, long> counters = new(StringComparer.Ordinal);
        foreach (string name in names)
        {
            if (long.TryParse(
                Text($"{folder}/{name}"), NumberStyles.None, CultureInfo.InvariantCulture, out long value))
            {
                counters[name] = value;
            }
        }

        return counters;
    }

    private static string? Text(string path) => Tolerant.FirstLine(path) is { Length: > 0 } text ? text : null;
}
