using Dst.Control;
using Dst.Core.Volumes;
using Dst.Net.Client;
using Dst.Nodes;

namespace Dst.Hosting.Nodes;

/// <summary>
/// What a volume is, from its nodes: derived once at its creation, checked at every start after it. Pure; any thread.
/// </summary>
public static class GeometryRules
{
    /// <summary>Derives the plan of a new volume.</summary>
    /// <param name="options">What was asked for.</param>
    /// <param name="nodes">Its open nodes, in order.</param>
    /// <exception cref="ControlException">The nodes do not make such a volume.</exception>
    public static GeometryPlan Derive(GeometryOptions options, IReadOnlyList<Node> nodes)
    {
        NodeProperties[] properties = [.. nodes.Select(PropertiesOf)];
        int processors = Environment.ProcessorCount;
        return GeometryPlan.TryDerive(properties, options, processors, out GeometryPlan? plan, out string? error)
            ? plan
            : throw new ControlException(ControlErrorCode.Usage, error);
    }

    /// <summary>The nodes' places in the map, with what tells each from any other.</summary>
    /// <param name="specs">The specifications as asked for.</param>
    /// <param name="nodes">The open nodes, in the same order.</param>
    /// <param name="map">The map of the plan.</param>
    public static IReadOnlyList<NodeGeometry> Place(
        IReadOnlyList<string> specs, IReadOnlyList<Node> nodes, VolumeMap map) =>
    [
        .. nodes.Select((node, i) => new NodeGeometry
        {
            Spec = specs[i],
            Type = node.Type,
            Address = node.Address,
            StartBytes = map.StartBytes(i),
            LengthBytes = map.LengthBytes(i),
            Identity = node.Identity,
            Export = node.Innermost is NetworkNode remote ? NetworkOpening.Record(remote.Export) : null,
        }),
    ];

    /// <summary>
    /// A volume that comes back must still be what it was: nothing is computed anew, what no longer fits is refused.
    /// </summary>
    /// <param name="promises">What was stored at creation.</param>
    /// <param name="nodes">Its open nodes, in order.</param>
    /// <exception cref="ControlException">A node has changed.</exception>
    public static void Check(in VolumePromises promises, IReadOnlyList<Node> nodes)
    {
        for (int i = 0; i < nodes.Count; i++)
        {
            Node node = nodes[i];
            if (ChangeOf(node, promises.Nodes[i], promises) is { } change)
            {
                throw new ControlException(
                    ControlErrorCode.Failure,
                    $"node {i} ({node.Type}:{node.Address}) changed: {change}; "
                    + $"bring the old backing back or remove the {promises.Noun}");
            }
        }
    }

    private static string? ChangeOf(Node node, NodeGeometry known, in VolumePromises promises)
    {
        if (node.SizeBytes < known.LengthBytes)
        {
            return $"it has {node.SizeBytes} bytes, the {promises.Noun} needs {known.LengthBytes} of it";
        }

        if (node.BlockSizeBytes > promises.BlockSizeBytes)
        {
            return $"its block size is now {node.BlockSizeBytes}, the {promises.Noun}'s {promises.BlockSizeBytes}";
        }

        return node.VolatileCache && !promises.VolatileCache && !promises.ReadOnly
            ? $"it now has a volatile write cache, which the {promises.Noun} does not tell of"
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
        MaxIoBytes = (node.Innermost as NetworkNode)?.MaxRequestBytes,
        MaxChangeBytes = (node.Innermost as NetworkNode)?.MaxChangeBytes,
    };
}

/// <summary>What a stored volume has promised to whoever uses it.</summary>
/// <param name="Noun">What people call it: device or export.</param>
/// <param name="Nodes">Its nodes in the order of the map.</param>
/// <param name="BlockSizeBytes">Logical block size.</param>
/// <param name="VolatileCache">It tells of a volatile cache.</param>
/// <param name="ReadOnly">No request changes a block.</param>
public readonly record struct VolumePromises(
    string Noun, IReadOnlyList<NodeGeometry> Nodes, int BlockSizeBytes, bool VolatileCache, bool ReadOnly);
