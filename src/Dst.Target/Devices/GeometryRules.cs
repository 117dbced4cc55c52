using Dst.Control;
using Dst.Core.Volumes;
using Dst.Nodes;

namespace Dst.Target.Devices;

/// <summary>
/// What a device is, from its nodes: derived once at its creation, checked at every start after it. Pure.
/// </summary>
internal static class GeometryRules
{
    /// <summary>Derives the geometry of a new device.</summary>
    /// <param name="request">What was asked for.</param>
    /// <param name="nodes">Its open nodes, in order.</param>
    /// <returns>The geometry; its number is -1 where the kernel is to choose.</returns>
    /// <exception cref="ControlException">The nodes do not make such a device.</exception>
    public static DeviceGeometry Derive(DeviceRequest request, IReadOnlyList<Node> nodes)
    {
        NodeProperties[] properties = [.. nodes.Select(PropertiesOf)];
        var options = new GeometryOptions
        {
            Queues = request.Queues,
            DepthTags = request.DepthTags,
            MaxIoBytes = request.MaxIoBytes,
            BlockSizeBytes = request.BlockSizeBytes,
            MemoryBytes = request.MemoryBytes,
            ReadOnly = request.ReadOnly,
        };
        int processors = Environment.ProcessorCount;
        if (!GeometryPlan.TryDerive(properties, options, processors, out GeometryPlan? plan, out string? error))
        {
            throw new ControlException(ControlErrorCode.Usage, error);
        }

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
            Nodes = Place(request, nodes, plan.CreateMap()),
        };
    }

    /// <summary>
    /// A device that comes back must still be what it was: nothing is computed anew, what no longer fits is refused.
    /// </summary>
    /// <param name="geometry">As stored at creation.</param>
    /// <param name="nodes">Its open nodes, in order.</param>
    /// <exception cref="ControlException">A node has changed.</exception>
    public static void Check(DeviceGeometry geometry, IReadOnlyList<Node> nodes)
    {
        for (int i = 0; i < nodes.Count; i++)
        {
            Node node = nodes[i];
            if (ChangeOf(node, geometry.Nodes[i], geometry) is { } change)
            {
                throw new ControlException(
                    ControlErrorCode.Failure,
                    $"node {i} ({node.Type}:{node.Address}) changed: {change}; "
                    + "bring the old backing back or remove the device");
            }
        }
    }

    private static string? ChangeOf(Node node, NodeGeometry known, DeviceGeometry geometry)
    {
        if (node.SizeBytes < known.LengthBytes)
        {
            return $"it has {node.SizeBytes} bytes, the device needs {known.LengthBytes} of it";
        }

        if (node.BlockSizeBytes > geometry.BlockSizeBytes)
        {
            return $"its block size is now {node.BlockSizeBytes}, the device's {geometry.BlockSizeBytes}";
        }

        return node.VolatileCache && !geometry.VolatileCache && !geometry.ReadOnly
            ? "it now has a volatile write cache, which the device does not tell the kernel of"
            : null;
    }

    private static NodeProperties PropertiesOf(Node node) => new()
    {
        Name = $"{node.Type}:{node.Address}",
        SizeBytes = node.SizeBytes,
        LogicalBlockBytes = node.BlockSizeBytes,
        VolatileCache = node.VolatileCache,
        CanDiscard = node.CanDiscard,
        DiscardGranularityBytes = node.DiscardGranularityBytes,
        CanWriteZeroes = node.CanWriteZeroes,
    };

    private static List<NodeGeometry> Place(DeviceRequest request, IReadOnlyList<Node> nodes, VolumeMap map) =>
    [
        .. nodes.Select((node, i) => new NodeGeometry
        {
            Spec = request.Nodes[i],
            Type = node.Type,
            Address = node.Address,
            StartBytes = map.StartBytes(i),
            LengthBytes = map.LengthBytes(i),
            Identity = node.Identity,
        }),
    ];
}
