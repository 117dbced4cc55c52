using System.Buffers.Text;
using Dst.Control;
using Dst.Core.Sessions.Client;
using Dst.IO.Measure;
using Dst.Net.Client;
using Dst.Nodes;
using Dst.Nodes.Engine;
using Dst.Nodes.Health;

namespace Dst.Hosting.Status;

/// <summary>A node as its status shows it.</summary>
/// <param name="State">One word or a few.</param>
/// <param name="Reason">Why; empty when there is nothing to say.</param>
public readonly record struct NodeView(string State, string Reason)
{
    /// <summary>How a node is by its health. Any thread; allocates nothing while it is well.</summary>
    /// <param name="node">The node.</param>
    public static NodeView Of(Node node) => node.Innermost switch
    {
        NetworkNode { Status: var status } => new NodeView(
            status.State,
            status is { Phase: ClientNodePhase.Live, LostUnflushedWrites: false } ? string.Empty : status.LastError),
        { Health: { State: not NodeHealthState.Live } health } =>
            new NodeView("poisoned", PoisonReason(health.ErrorNumber)),
        _ => new NodeView("live", string.Empty),
    };

    private static string PoisonReason(int errno) =>
        $"a flush failed with {Dst.Interop.Errno.Name(errno)}: FLUSH and FUA fail until 'dstctl clear-error'";
}

/// <summary>The folder of one node. Publisher thread.</summary>
public sealed class NodeFiles : IDisposable
{
    private readonly Func<NodeView> _view;
    private readonly IReadOnlyList<OperationCounters> _sources;
    private readonly StatusFolder _folder;
    private readonly CounterFiles _counters;
    private readonly StatusFile _state;
    private readonly StatusFile _reason;
    private readonly StatusFile[] _latency;
    private readonly long[] _latencyTotals = new long[VolumeQueue.Operations];
    private readonly long[] _sums = new long[LatencyHistogram.Buckets];

    /// <summary>Makes the folder and writes what never changes.</summary>
    /// <param name="treePath">Tree of the volume.</param>
    /// <param name="index">The node's place in the map.</param>
    /// <param name="geometry">What it is.</param>
    /// <param name="view">How it is now; called by the publisher.</param>
    /// <param name="sources">Its counters at each queue; live objects.</param>
    public NodeFiles(
        string treePath,
        int index,
        NodeGeometry geometry,
        Func<NodeView> view,
        IReadOnlyList<OperationCounters> sources)
    {
        _view = view;
        _sources = sources;
        _folder = new StatusFolder($"{treePath}/{StatusTree.Nodes}/{index}");
        _counters = new CounterFiles(_folder, sources);
        _state = _folder.File(StatusTree.State);
        _reason = _folder.File(StatusTree.NodeReason);
        _latency = [.. StatusTree.LatencyOperations.Select(operation => _folder.File($"latency_{operation}"))];
        _folder.File(StatusTree.NodeType).Write(geometry.Type);
        _folder.File(StatusTree.NodeAddress).Write(geometry.Address);
        _folder.File(StatusTree.NodeStart).Write(geometry.StartBytes);
        _folder.File(StatusTree.Size).Write(geometry.LengthBytes);
    }

    /// <summary>Writes what changed.</summary>
    /// <returns>True when something did.</returns>
    public bool Write()
    {
        NodeView view = _view();
        bool changed = _counters.Write();
        changed |= _state.Write(view.State);
        changed |= _reason.Write(view.Reason);
        for (int operation = 0; operation < VolumeQueue.Operations; operation++)
        {
            changed |= WriteLatency(operation);
        }

        return changed;
    }

    /// <summary>Closes the folder.</summary>
    public void Dispose() => _folder.Dispose();

    private bool WriteLatency(int operation)
    {
        Array.Clear(_sums);
        long maxNs = 0;
        for (int i = 0; i < _sources.Count; i++)
        {
            LatencyHistogram histogram = _sources[i].Latency[operation];
            histogram.AddTo(_sums);
            maxNs = Math.Max(maxNs, histogram.MaxNs);
        }

        long total = LatencyHistogram.Total(_sums);
        if (total == _latencyTotals[operation])
        {
            return false;
        }

        Span<byte> line = stackalloc byte[160];
        int length = 0;
        Append(line, ref length, "count "u8, total);
        Append(line, ref length, " p50_us "u8, LatencyHistogram.PercentileNs(_sums, 500) / 1000);
        Append(line, ref length, " p99_us "u8, LatencyHistogram.PercentileNs(_sums, 990) / 1000);
        Append(line, ref length, " max_us "u8, maxNs / 1000);
        line[length++] = (byte)'\n';
        if (_latency[operation].Replace(line[..length]))
        {
            _latencyTotals[operation] = total;
        }

        return true;
    }

    private static void Append(Span<byte> line, ref int length, ReadOnlySpan<byte> label, long value)
    {
        label.CopyTo(line[length..]);
        length += label.Length;
        _ = Utf8Formatter.TryFormat(value, line[length..], out int written);
        length += written;
    }
}
