using Dst.Core.Requests;
using Dst.Interop;
using Dst.IO.Memory;
using Dst.Nodes.Backings;
using Dst.Nodes.Legs;
using Dst.Nodes.Local;

namespace Dst.Nodes.Faults;

/// <summary>
/// Test node: a disk with a cache that a power cut empties (N-10). What is written stays in memory; FLUSH and FUA bring
/// it to the node inside, and with a seed some blocks go there of their own accord. To kill the process is to cut the
/// power: what was not brought there is gone. All queues share one cache under a lock, and transfers block the queue
/// thread, which only a test may do.
/// </summary>
public sealed class VolatileNode : WrapperNode
{
    /// <summary>Largest node: it is held in memory whole.</summary>
    public const long SizeMaxBytes = 4L << 30;

    /// <summary>One in so many written blocks goes to the node inside at once, when there is a seed.</summary>
    private const int EarlyOneIn = 8;

    private readonly Lock _lock = new();
    private readonly NativeBlock _image;
    private readonly bool[] _dirty;
    private readonly Random? _early;
    private readonly int _seed;
    private readonly long _baseBytes;

    /// <summary>Takes over a node and reads all of it.</summary>
    /// <param name="seed">Picks the blocks that reach the node inside early; 0 for none.</param>
    /// <param name="inner">A file or disk; disposed with this one.</param>
    /// <exception cref="BackingException">It is too large or cannot be read.</exception>
    public VolatileNode(int seed, BackingNode inner)
        : base(inner)
    {
        if (inner.SizeBytes > SizeMaxBytes)
        {
            throw Refusal.Usage($"volatile: {inner.Address} has {inner.SizeBytes} bytes, more than {SizeMaxBytes}");
        }

        _seed = seed;
        _baseBytes = inner.BaseBytes;
        _early = seed == 0 ? null : new Random(seed);
        _image = NativeBlock.Allocate(inner.SizeBytes, "volatile node");
        _dirty = new bool[inner.SizeBytes / inner.BlockSizeBytes];
        if (!Transfer(0, _dirty.Length, write: false))
        {
            throw Refusal.Failure($"volatile: the node inside, {inner.Type}:{inner.Address}, cannot be read");
        }
    }

    /// <inheritdoc/>
    public override string Type => "volatile";

    /// <inheritdoc/>
    public override string Address => $"{_seed},{Inner.Type}:{Inner.Address}";

    /// <inheritdoc/>
    public override long SizeBytes => Inner.SizeBytes / Inner.BlockSizeBytes * Inner.BlockSizeBytes;

    /// <inheritdoc/>
    public override bool VolatileCache => true;

    /// <inheritdoc/>
    public override bool CanDiscard => true;

    /// <inheritdoc/>
    public override int DiscardGranularityBytes => Inner.BlockSizeBytes;

    /// <inheritdoc/>
    public override bool CanWriteZeroes => true;

    /// <inheritdoc/>
    public override NodeQueue CreateQueue(in NodeQueueContext context) => new VolatileQueue(this, context);

    /// <inheritdoc/>
    public override void Dispose()
    {
        _image.Dispose();
        base.Dispose();
    }

    private unsafe DstStatus Execute(in LegSlot leg)
    {
        byte* place = (byte*)_image.Address + leg.OffsetBytes;
        var length = (nuint)leg.LengthBytes;
        lock (_lock)
        {
            switch (leg.Operation)
            {
                case Operation.Read:
                    System.Runtime.InteropServices.NativeMemory.Copy(place, (void*)leg.Buffer, length);
                    return DstStatus.Ok;
                case Operation.Flush:
                    return Destage(0, _dirty.Length) ? DstStatus.Ok : DstStatus.IoError;
                case Operation.Write:
                    System.Runtime.InteropServices.NativeMemory.Copy((void*)leg.Buffer, place, length);
                    break;
                default:
                    System.Runtime.InteropServices.NativeMemory.Clear(place, length);
                    break;
            }

            var first = (int)(leg.OffsetBytes / BlockSizeBytes);
            var count = (int)(leg.LengthBytes / BlockSizeBytes);
            _dirty.AsSpan(first, count).Fill(true);
            if (leg.Flags.HasFlag(RequestFlags.Fua))
            {
                return Destage(first, count) ? DstStatus.Ok : DstStatus.IoError;
            }

            for (int block = first; _early is not null && block < first + count; block++)
            {
                if (_early.Next(EarlyOneIn) == 0 && !Destage(block, 1))
                {
                    return DstStatus.IoError;
                }
            }

            return DstStatus.Ok;
        }
    }

    /// <summary>Writes the dirty blocks of a range. The page cache outlives the process: no fsync.</summary>
    private bool Destage(int first, int count)
    {
        int end = first + count;
        for (int block = first; block < end; block++)
        {
            int runStart = block;
            while (block < end && _dirty[block])
            {
                block++;
            }

            if (block > runStart && !Transfer(runStart, block - runStart, write: true))
            {
                return false;
            }

            _dirty.AsSpan(runStart, block - runStart).Clear();
        }

        return true;
    }

    private unsafe bool Transfer(int firstBlock, int blocks, bool write)
    {
        long offset = (long)firstBlock * BlockSizeBytes;
        long end = offset + ((long)blocks * BlockSizeBytes);
        while (offset < end)
        {
            byte* place = (byte*)_image.Address + offset;
            var left = (nuint)(end - offset);
            long at = _baseBytes + offset;
            long done = write ? Libc.Pwrite(Inner.Fd, place, left, at) : Libc.Pread(Inner.Fd, place, left, at);
            if (done <= 0)
            {
                return false;
            }

            offset += done;
        }

        return true;
    }

    private sealed class VolatileQueue(VolatileNode node, NodeQueueContext context) : NodeQueue
    {
        private readonly LegSlot[] _slots = context.Slots;
        private readonly ILegSink _sink = context.Sink;

        public override void Submit(int slot, long nowTicks) =>
            _sink.LegDone(slot, node.Execute(in _slots[slot]), nowTicks);
    }
}
