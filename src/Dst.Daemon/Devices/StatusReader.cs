using Dst.Control;
using Dst.Daemon.Kernel;

namespace Dst.Daemon.Devices;

/// <summary>
/// Puts the status of a device together from its worker's view, its record and its status tree, without locks. Any
/// thread.
/// </summary>
internal sealed class StatusReader(DeviceServices services)
{
    /// <summary>Reads it; waits a moment at most for an attribute of the kernel device.</summary>
    public async Task<DeviceStatus> ReadAsync(DeviceWorker worker)
    {
        DeviceView view = worker.View;
        string? writeCache = await worker.WriteCacheAsync();
        string tree = services.Options.Run.Device(worker.Name);
        DeviceGeometry? geometry = view.Record?.Geometry;
        string state = view.IsLive ? StatusTreeReader.Text($"{tree}/{StatusTree.State}") ?? view.State : view.State;
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
            Queues = (int?)(view.IsLive ? StatusTreeReader.Number($"{tree}/{StatusTree.Queues}") : null)
                ?? geometry?.Queues,
            DepthTags = geometry?.DepthTags,
            MaxIoBytes = geometry?.MaxIoBytes,
            BlockSizeBytes = geometry?.BlockSizeBytes,
            ReadOnly = geometry?.ReadOnly ?? view.Record?.Request.ReadOnly ?? false,
            Counters = StatusTreeReader.Counters(tree, StatusTree.Counters.Append(StatusTree.QueueGapMax)),
            Nodes = geometry is null
                ? []
                : [.. geometry.Nodes.Select((node, index) => StatusTreeReader.Node(tree, node, index, view.IsLive))],
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
}
