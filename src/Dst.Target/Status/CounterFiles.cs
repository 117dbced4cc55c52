using System.Buffers.Text;
using Dst.Control;
using Dst.Core.Requests;
using Dst.IO.Measure;
using Dst.Nodes.Engine;
using Dst.Nodes.Health;
using Dst.Target.Devices;

namespace Dst.Target.Status;

/// <summary>The counters of a device or of a node, summed over the queues. Publisher thread.</summary>
internal sealed class CounterFiles(StatusFolder folder)
{
    private readonly StatusFile[] _files = [.. StatusTree.Counters.Select(folder.File)];

    /// <summary>Writes what changed.</summary>
    public bool Write(IReadOnlyList<QueueThread> queues, Func<QueueThread, OperationCounters> pick)
    {
        Span<long> values = stackalloc long[StatusTree.Counters.Count];
        values.Clear();
        for (int i = 0; i < queues.Count; i++)
        {
            OperationCounters counters = pick(queues[i]);
            values[0] += counters.FinishedOf((int)Operation.Read);
            values[1] += counters.FinishedOf((int)Operation.Write);
            values[2] += counters.FinishedOf((int)Operation.Flush);
            values[3] += counters.FinishedOf((int)Operation.Discard);
            values[4] += counters.FinishedOf((int)Operation.WriteZeroes);
            values[5] += counters.BytesOf((int)Operation.Read);
            values[6] += counters.BytesOf((int)Operation.Write);
            for (int operation = 0; operation < VolumeQueue.Operations; operation++)
            {
                values[7] += counters.FailedOf(operation);
            }

            values[8] += counters.InFlight;
        }

        bool changed = false;
        for (int i = 0; i < _files.Length; i++)
        {
            changed |= _files[i].Write(values[i]);
        }

        return changed;
    }
}

/// <summary>The folder of one node. Publisher thread.</summary>
internal sealed class NodeFiles : IDisposable
{
    private readonly TargetDevice _device;
    private readonly int _index;
    private readonly StatusFolder _folder;
    private readonly CounterFiles _counters;
    private readonly StatusFile _state;
    private readonly StatusFile _reason;
    private readonly StatusFile[] _latency;
    private readonly long[] _latencyTotals = new long[VolumeQueue.Operations];
    private readonly long[] _sums = new long[LatencyHistogram.Buckets];
    private readonly Func<QueueThread, OperationCounters> _pick;

    public NodeFiles(string devicePath, int index, TargetDevice device)
    {
        _device = device;
        _index = index;
        _folder = new StatusFolder($"{devicePath}/{StatusTree.Nodes}/{index}");
        _counters = new CounterFiles(_folder);
        _state = _folder.File(StatusTree.State);
        _reason = _folder.File(StatusTree.NodeReason);
        _latency = [.. StatusTree.LatencyOperations.Select(operation => _folder.File($"latency_{operation}"))];
        _pick = queue => queue.Engine!.NodeCounters(_index);
        NodeGeometry geometry = device.Geometry!.Nodes[index];
        _folder.File(StatusTree.NodeType).Write(geometry.Type);
        _folder.File(StatusTree.NodeAddress).Write(geometry.Address);
        _folder.File(StatusTree.NodeStart).Write(geometry.StartBytes);
        _folder.File(StatusTree.Size).Write(geometry.LengthBytes);
    }

    /// <summary>Writes what changed.</summary>
    public bool Write()
    {
        NodeHealth? health = _device.Nodes[_index].Health;
        bool poisoned = health is not null && health.State != NodeHealthState.Live;
        bool changed = _counters.Write(_device.Queues, _pick);
        changed |= _state.Write(poisoned ? "poisoned" : "live");
        changed |= _reason.Write(poisoned ? PoisonReason(health!.ErrorNumber) : string.Empty);
        for (int operation = 0; operation < VolumeQueue.Operations; operation++)
        {
            WriteLatency(operation);
        }

        return changed;
    }

    public void Dispose() => _folder.Dispose();

    private static string PoisonReason(int errno) =>
        $"a flush failed with {Dst.Interop.Errno.Name(errno)}: FLUSH and FUA fail until 'dstctl clear-error'";

    private void WriteLatency(int operation)
    {
        Array.Clear(_sums);
        long maxNs = 0;
        IReadOnlyList<QueueThread> queues = _device.Queues;
        for (int i = 0; i < queues.Count; i++)
        {
            LatencyHistogram histogram = _pick(queues[i]).Latency[operation];
            histogram.AddTo(_sums);
            maxNs = Math.Max(maxNs, histogram.MaxNs);
        }

        long total = LatencyHistogram.Total(_sums);
        if (total == _latencyTotals[operation])
        {
            return;
        }

        _latencyTotals[operation] = total;
        Span<byte> line = stackalloc byte[160];
        int length = 0;
        Append(line, ref length, "count "u8, total);
        Append(line, ref length, " p50_us "u8, LatencyHistogram.PercentileNs(_sums, 500) / 1000);
        Append(line, ref length, " p99_us "u8, LatencyHistogram.PercentileNs(_sums, 990) / 1000);
        Append(line, ref length, " max_us "u8, maxNs / 1000);
        line[length++] = (byte)'\n';
        _latency[operation].Replace(line[..length]);
    }

    private static void Append(Span<byte> line, ref int length, ReadOnlySpan<byte> label, long value)
    {
        label.CopyTo(line[length..]);
        length += label.Length;
        _ = Utf8Formatter.TryFormat(value, line[length..], out int written);
        length += written;
    }
}
