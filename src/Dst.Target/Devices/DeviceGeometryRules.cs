using Dst.Control;
using Dst.Core.Volumes;
using Dst.Hosting.Nodes;
using Dst.Nodes;

namespace Dst.Target.Devices;

/// <summary>What a device is, from its request and its nodes. Pure.</summary>
internal static class DeviceGeometryRules
{
    /// <summary>Derives the geometry of a new device.</summary>
    /// <param name="request">What was asked for.</param>
    /// <param name="nodes">Its open nodes, in order.</param>
    /// <returns>The geometry; its number is -1 where the kernel is to choose.</returns>
    /// <exception cref="ControlException">The nodes do not make such a device.</exception>
    public static DeviceGeometry Derive(DeviceRequest request, IReadOnlyList<Node> nodes)
    {
        var options = new GeometryOptions
        {
            Queues = request.Queues,
            DepthTags = request.DepthTags,
            MaxIoBytes = request.MaxIoBytes,
            BlockSizeBytes = request.BlockSizeBytes,
            MemoryBytes = request.MemoryBytes,
            ReadOnly = request.ReadOnly,
        };
        GeometryPlan plan = GeometryRules.Derive(options, nodes);
        return new DeviceGeometry
        {
            UblkId = request.Id ?? -1,
            Queues = plan.Queues,
            DepthTags = plan.DepthTags,
            MaxIoBytes = plan.MaxIoBytes,
            BlockSizeBytes = plan.BlockSizeBytes,
            SizeBytes = plan.SizeBytes,
            MemoryBytes = plan.MemoryBytes,
            ReadOnly = plan.ReadOnly,
            VolatileCache = plan.VolatileCache,
            MaxDiscardBytes = plan.MaxDiscardBytes,
            MaxWriteZeroesBytes = plan.MaxWriteZeroesBytes,
            DiscardGranularityBytes = plan.DiscardGranularityBytes,
            Nodes = GeometryRules.Place(request.Nodes, nodes, plan.CreateMap()),
        };
    }

    /// <summary>
    /// The queues that a device has on this machine: what it was made with, but no more than the kernel gives, so that
    /// it comes back on a smaller machine too. What is asked for now is given or refused.
    /// </summary>
    /// <param name="record">The device; without a geometry it is new.</param>
    /// <param name="queuesMax">Most that the kernel gives.</param>
    public static int QueuesOf(DeviceRecord record, int queuesMax) =>
        record.Geometry is { } geometry
            ? int.Min(geometry.Queues, queuesMax)
            : record.Request.Queues ?? int.Min(Environment.ProcessorCount, GeometryPlan.DefaultQueuesMax);

    /// <summary>A device that comes back must still be what it was.</summary>
    /// <param name="geometry">As stored at creation.</param>
    /// <param name="nodes">Its open nodes, in order.</param>
    /// <exception cref="ControlException">A node has changed.</exception>
    public static void Check(DeviceGeometry geometry, IReadOnlyList<Node> nodes)
    {
        VolumePromises promises = new(
            "device", geometry.Nodes, geometry.BlockSizeBytes, geometry.VolatileCache, geometry.ReadOnly);
        GeometryRules.Check(in promises, nodes);
    }
}
