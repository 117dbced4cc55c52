using Dst.Control;
using Dst.Nodes;
using Dst.Nodes.Backings;

namespace Dst.Hosting.Nodes;

/// <summary>
/// The nodes of a volume in the order of its map, opened and closed together. Control threads, one at a time.
/// </summary>
/// <param name="factory">Opens them.</param>
public sealed class NodeSet(NodeFactory factory)
{
    private readonly List<Node> _nodes = [];

    /// <summary>Those that are open.</summary>
    public IReadOnlyList<Node> Nodes => _nodes;

    /// <summary>Opens every node and checks those of a volume that existed before.</summary>
    /// <param name="specs">What to open, in the order of the map.</param>
    /// <param name="readOnly">None of them is written.</param>
    /// <param name="known">What the nodes were when the volume was made; null for a new one.</param>
    /// <param name="isDst">Says of a ublk id whether it is a DST device; null takes every one for it (U-28).</param>
    /// <param name="events">Told of progress and waiting.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <exception cref="ControlException">One cannot be used; the open ones stay until <see cref="Close"/>.</exception>
    public void Open(
        IReadOnlyList<string> specs,
        bool readOnly,
        IReadOnlyList<NodeGeometry>? known,
        Func<int, bool>? isDst,
        IBackingEvents events,
        CancellationToken cancellation)
    {
        for (int i = 0; i < specs.Count; i++)
        {
            var request = new BackingRequest
            {
                ReadOnly = readOnly,
                Restore = known is not null,
                ExpectedIdentity = known?[i].Identity,
                MinimumSizeBytes = known?[i].LengthBytes ?? 0,
                Events = events,
                IsDstDevice = isDst,
                CancellationToken = cancellation,
            };
            Add(factory.Open(specs[i], i, request));
        }
    }

    /// <summary>Removes the files that were made: the volume does not come to be.</summary>
    public void RemoveCreated() => factory.RemoveCreated();

    /// <summary>Gives the nodes to a new owner, who closes them.</summary>
    public IReadOnlyList<Node> Release()
    {
        Node[] nodes = [.. _nodes];
        _nodes.Clear();
        return nodes;
    }

    /// <summary>Closes every node. After every queue has ended.</summary>
    /// <param name="goodbye">Network nodes give their holds back, as the volume is not to come back (S-04).</param>
    /// <returns>What stays held all the same, a line for people each.</returns>
    public IReadOnlyList<string> Close(bool goodbye = false)
    {
        IReadOnlyList<string> notes = Node.CloseAll(_nodes, goodbye);
        _nodes.Clear();
        return notes;
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
