using System.Diagnostics;
using Dst.Core.Requests;
using Dst.Core.Traces;
using Dst.Nodes.Legs;

namespace Dst.Nodes.Faults;

/// <summary>
/// Test node: records what is asked of the node inside and how it answers, for <c>dst-sim check</c>. Its blocks are
/// those of the trace.
/// </summary>
public sealed class TraceNode : WrapperNode
{
    private readonly TraceFile _file;

    /// <summary>Makes the file PATH.PID, of this process.</summary>
    /// <param name="path">The file without the number of the process.</param>
    /// <param name="inner">The node inside.</param>
    /// <exception cref="Backings.BackingException">The file cannot be made.</exception>
    public TraceNode(string path, Node inner)
        : base(inner)
    {
        _file = TraceFile.Create($"{path}.{Environment.ProcessId}", inner.SizeBytes);
        Address = $"{path},{inner.Type}:{inner.Address}";
    }

    /// <inheritdoc/>
    public override string Type => "trace";

    /// <inheritdoc/>
    public override string Address { get; }

    /// <inheritdoc/>
    public override int BlockSizeBytes => TraceCodec.BlockBytes;

    /// <inheritdoc/>
    public override NodeQueue CreateQueue(in NodeQueueContext context) => new TraceQueue(_file, Inner, context);

    /// <inheritdoc/>
    public override void Dispose()
    {
        base.Dispose();
        _file.Dispose();
    }

    private sealed unsafe class TraceQueue : NodeQueue, ILegSink
    {
        private const int QueueShift = 16;

        private readonly TraceFile _file;
        private readonly NodeQueue _inner;
        private readonly LegSlot[] _slots;
        private readonly ILegSink _sink;
        private readonly int _queueIndex;

        // As submitted: nodes move a leg's place on.
        private readonly long[] _offsets;
        private readonly nint[] _buffers;

        public TraceQueue(TraceFile file, Node inner, in NodeQueueContext context)
        {
            _file = file;
            _slots = context.Slots;
            _sink = context.Sink;
            _queueIndex = context.QueueIndex;
            _offsets = new long[_slots.Length];
            _buffers = new nint[_slots.Length];
            _inner = inner.CreateQueue(context with { Sink = this });
        }

        public override void Submit(int slot, long nowTicks)
        {
            _offsets[slot] = _slots[slot].OffsetBytes;
            _buffers[slot] = _slots[slot].Buffer;
            Record(TraceKind.Begin, slot, DstStatus.Ok, Stopwatch.GetTimestamp());
            _inner.Submit(slot, nowTicks);
        }

        public void LegDone(int slot, DstStatus status, long nowTicks)
        {
            Record(TraceKind.End, slot, status, Stopwatch.GetTimestamp());
            _sink.LegDone(slot, status, nowTicks);
        }

        public override void FailPending(long nowTicks) => _inner.FailPending(nowTicks);

        public override void Dispose() => _inner.Dispose();

        private void Record(TraceKind kind, int slot, DstStatus status, long atNs)
        {
            ref readonly LegSlot leg = ref _slots[slot];
            long length = leg.Operation == Operation.Flush ? 0 : leg.LengthBytes;
            int lane = (_queueIndex << QueueShift) | slot;
            TraceRecord record = new(kind, leg.Operation, leg.Flags, status, lane, atNs, _offsets[slot], length);
            int dataBytes = record.Blocks * TraceCodec.BlockBytes;
            _file.Add(in record, dataBytes == 0 ? [] : new ReadOnlySpan<byte>((void*)_buffers[slot], dataBytes));
        }
    }
}
