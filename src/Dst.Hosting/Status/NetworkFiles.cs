using Dst.Control;
using Dst.Net.Client;
using Dst.Nodes;

namespace Dst.Hosting.Status;

/// <summary>What the folder of a network node has beside that of any node. Publisher thread.</summary>
public sealed class NetworkFiles : IDisposable
{
    private readonly NetworkNode _node;
    private readonly StatusFolder _folder;
    private readonly StatusFile _peer;
    private readonly StatusFile _lastError;
    private readonly StatusFile[] _numbers;

    /// <summary>Files of a node.</summary>
    /// <param name="treePath">Tree of the volume.</param>
    /// <param name="index">The node's place in the map.</param>
    /// <param name="node">The node.</param>
    private NetworkFiles(string treePath, int index, NetworkNode node)
    {
        _node = node;
        _folder = new StatusFolder($"{treePath}/{StatusTree.Nodes}/{index}");
        _peer = _folder.File(StatusTree.NodePeer);
        _lastError = _folder.File(StatusTree.NodeLastError);
        _numbers = [.. StatusTree.NetworkNumbers.Select(_folder.File)];
    }

    /// <summary>Files of every network node of a volume.</summary>
    /// <param name="treePath">Tree of the volume.</param>
    /// <param name="nodes">Its nodes in the order of the map.</param>
    public static NetworkFiles[] Of(string treePath, IReadOnlyList<Node> nodes) =>
    [
        .. nodes.Select((node, index) => (remote: node.Innermost as NetworkNode, index))
            .Where(each => each.remote is not null)
            .Select(each => new NetworkFiles(treePath, each.index, each.remote!)),
    ];

    /// <summary>Writes what changed.</summary>
    /// <returns>True when something did.</returns>
    public bool Write()
    {
        NetworkNodeStatus status = _node.Status;
        ReadOnlySpan<long> values =
        [
            (long)status.Epoch, status.RoundTripMs, status.NextTryInMs, status.Requests, status.InFlight,
            status.Resends, status.Reconnects, status.ReplayedBytes,
        ];
        bool changed = _peer.Write(status.Peer) | _lastError.Write(status.LastError);
        for (int i = 0; i < _numbers.Length; i++)
        {
            changed |= _numbers[i].Write(values[i]);
        }

        return changed;
    }

    /// <summary>Closes the folder.</summary>
    public void Dispose() => _folder.Dispose();
}
