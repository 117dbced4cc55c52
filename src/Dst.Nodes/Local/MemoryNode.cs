using Dst.Core.Requests;
using Dst.IO.Memory;
using Dst.Nodes.Legs;

namespace Dst.Nodes.Local;

/// <summary>
/// Test nodes without a disk: <c>mem</c> keeps what is written in memory as long as the target lives, <c>zero</c>
/// forgets writes and reads zeroes. Both answer at once, on the queue thread.
/// </summary>
public sealed class MemoryNode : Node
{
    private readonly NativeBlock? _memory;

    /// <summary>Makes a node of the given size.</summary>
    /// <param name="sizeBytes">Bytes of the node.</param>
    /// <param name="keeps">True for mem, false for zero.</param>
    /// <exception cref="NativeMemoryException">The memory cannot be had.</exception>
    public MemoryNode(long sizeBytes, bool keeps)
    {
        SizeBytes = sizeBytes;
        _memory = keeps ? NativeBlock.Allocate(sizeBytes, "memory node") : null;
    }

    /// <inheritdoc/>
    public override string Type => _memory is null ? "zero" : "mem";

    /// <inheritdoc/>
    public override string Address => Dst.Core.Specs.ByteSize.Format(SizeBytes);

    /// <inheritdoc/>
    public override long SizeBytes { get; }

    /// <inheritdoc/>
    public override int BlockSizeBytes => 512;

    /// <inheritdoc/>
    public override bool VolatileCache => false;

    /// <inheritdoc/>
    public override bool CanDiscard => true;

    /// <inheritdoc/>
    public override int DiscardGranularityBytes => 512;

    /// <inheritdoc/>
    public override bool CanWriteZeroes => true;

    /// <inheritdoc/>
    public override string Identity => "none";

    /// <inheritdoc/>
    public override NodeQueue CreateQueue(in NodeQueueContext context) =>
        new MemoryQueue(_memory?.Address ?? 0, context);

    /// <inheritdoc/>
    public override void Dispose() => _memory?.Dispose();

    private sealed unsafe class MemoryQueue(nint memory, NodeQueueContext context) : NodeQueue
    {
        private readonly LegSlot[] _slots = context.Slots;
        private readonly ILegSink _sink = context.Sink;

        public override void Submit(int slot, long nowTicks)
        {
            ref LegSlot leg = ref _slots[slot];
            var length = (nuint)leg.LengthBytes;
            var place = (byte*)memory + leg.OffsetBytes;
            switch (leg.Operation)
            {
                case Operation.Read when memory == 0:
                    System.Runtime.InteropServices.NativeMemory.Clear((void*)leg.Buffer, length);
                    break;
                case Operation.Read:
                    System.Runtime.InteropServices.NativeMemory.Copy(place, (void*)leg.Buffer, length);
                    break;
                case Operation.Write when memory != 0:
                    System.Runtime.InteropServices.NativeMemory.Copy((void*)leg.Buffer, place, length);
                    break;
                case Operation.Discard or Operation.WriteZeroes when memory != 0:
                    System.Runtime.InteropServices.NativeMemory.Clear(place, length);
                    break;
                default:
                    break;
            }

            _sink.LegDone(slot, DstStatus.Ok, nowTicks);
        }
    }
}
