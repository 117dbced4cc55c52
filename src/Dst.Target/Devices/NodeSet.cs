using Dst.Control;
using Dst.Nodes;
using Dst.Nodes.Backings;

namespace Dst.Target.Devices;

/// <summary>
/// The nodes of a device in the order of its map, opened and closed together. Control threads, one at a time.
/// </summary>
/// <param name="factory">Opens them.</param>
internal sealed class NodeSet(NodeFactory factory)
{
    private readonly List<Node> _nodes = [];

    /// <summary>Those that are open.</summary>
    public IReadOnlyList<Node> Nodes => _nodes;

    /// <summary>Opens every node of a record and checks those of a device that existed before.</summary>
    /// <param name="record">What to open.</param>
    /// <param name="isDst">Says of a ublk id whether it is a DST device (U-28).</param>
    /// <param name="events">Told of progress and waiting.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <exception cref="ControlException">One cannot be used; the open ones stay until <see cref="Close"/>.</exception>
    public void Open(
        DeviceRecord record, Func<int, bool> isDst, IBackingEvents events, CancellationToken cancellation)
    {
        for (int i = 0; i < record.Request.Nodes.Count; i++)
        {
            NodeGeometry? known = record.Geometry?.Nodes[i];
            var request = new BackingRequest
            {
                ReadOnly = record.Request.ReadOnly,
                Restore = known is not null,
                ExpectedIdentity = known?.Identity,
                MinimumSizeBytes = known?.LengthBytes ?? 0,
                Events = events,
                IsDstDevice = isDst,
                CancellationToken = cancellation,
            };
            Add(factory.Open(record.Request.Nodes[i], request));
        }
    }

    /// <summary>Removes the files that were made: the device does not come to be.</summary>
    public void RemoveCreated() => factory.RemoveCreated();

    /// <summary>Closes every node. After every queue has ended.</summary>
    public void Close()
    {
        foreach (Node node in _nodes)
        {
            node.Dispose();
        }

        _nodes.Clear();
    }

    private void Add(Node node)
    {
        int same = SameBacking.Find(_nodes, node);
        _nodes.Add(node);
        if (same >= 0)
        {
            throw new ControlException(
                ControlErrorCode.Busy,
                $"node {_nodes.Count - 1} ({node.Type}:{node.Address}) is the same backing as node {same} "
                + $"({_nodes[same].Type}:{_nodes[same].Address}); give each only once");
        }
    }
}
