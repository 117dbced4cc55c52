using System.Numerics;
using Dst.Core.Volumes;
using Dst.IO.Rings;
using Dst.Nodes.Backings;
using Dst.Nodes.Health;

namespace Dst.Nodes.Local;

/// <summary>A node that is a local file or disk. Its I/O runs on the ring of whichever queue asks.</summary>
public sealed class BackingNode : Node
{
    private const int NoQueue = -1;

    private readonly Backing _backing;
    private readonly RingLoop?[] _loops = new RingLoop?[VolumeLimits.QueuesMax];
    private ulong _flushers; // a bit for each queue that has the right to flush or waits for it
    private int _flushOwner = NoQueue;

    /// <summary>Takes over an open backing.</summary>
    /// <param name="type">file or dev.</param>
    /// <param name="backing">Open and locked; closed with the node.</param>
    /// <param name="keeperSignal">Wakes the keeper of error marks.</param>
    public BackingNode(string type, Backing backing, Action keeperSignal)
    {
        Type = type;
        _backing = backing;
        Health = new NodeHealth(keeperSignal);
    }

    /// <inheritdoc/>
    public override string Type { get; }

    /// <inheritdoc/>
    public override string Address => _backing.Path;

    /// <inheritdoc/>
    public override long SizeBytes => _backing.SizeBytes;

    /// <inheritdoc/>
    public override int BlockSizeBytes => _backing.BlockSizeBytes;

    /// <inheritdoc/>
    public override bool VolatileCache => _backing.VolatileCache;

    /// <inheritdoc/>
    public override bool CanDiscard => _backing.CanDiscard;

    /// <inheritdoc/>
    public override int DiscardGranularityBytes => _backing.DiscardGranularityBytes;

    /// <inheritdoc/>
    public override bool CanWriteZeroes => _backing.CanWriteZeroes;

    /// <inheritdoc/>
    public override string Identity => _backing.Identity;

    /// <inheritdoc/>
    public override int Fd => _backing.Fd;

    /// <inheritdoc/>
    public override NodeHealth Health { get; }

    /// <summary>First byte of the node in its backing.</summary>
    internal long BaseBytes => _backing.OffsetBytes;

    /// <summary>It is a disk, not a file.</summary>
    internal bool IsDisk => _backing.IsBlockDevice;

    /// <summary>A discard must leave its range allocated (C-18).</summary>
    internal bool KeepsAllocation => _backing.KeepsAllocation;

    /// <summary>
    /// A FUA write is durable by itself. Not on a file: the sync inside such a write may be told of an older failed
    /// write-back, and no one is told twice. There FUA is a write and then a flush, one at a time over all queues
    /// (C-16).
    /// </summary>
    internal bool SyncsWrites => _backing.IsBlockDevice;

    /// <inheritdoc/>
    public override NodeQueue CreateQueue(in NodeQueueContext context)
    {
        _loops[context.QueueIndex] = context.Loop;
        return new BackingQueue(this, context);
    }

    /// <summary>
    /// Claims the right to flush for a queue that has something to flush, or keeps it in mind for the right: the queue
    /// is woken when it has it. One flush is with the kernel at a time, over all queues: the kernel tells a failed
    /// write-back to one caller only, and with two flushes under way the other would be told that all is well (C-16).
    /// </summary>
    /// <remarks>
    /// The right is free exactly while no bit is set, so only who sets the first bit takes it, and who clears its own
    /// and sees others hands it on: no waiter can come between looking and acting. A queue keeps its bit, and the legs
    /// that it waits with, until it has had its turn; so it serves when the right comes.
    /// </remarks>
    internal bool TryClaimFlush(int queueIndex)
    {
        // Acquire: pairs with the release of whoever handed it on; its outcome is in Health.
        if (Volatile.Read(ref _flushOwner) == queueIndex)
        {
            return true;
        }

        if (Interlocked.Or(ref _flushers, 1UL << queueIndex) != 0)
        {
            return false;
        }

        Volatile.Write(ref _flushOwner, queueIndex);
        return true;
    }

    /// <summary>
    /// Gives the right to flush to the next queue that waits, counted up from this one and around: each has its turn
    /// before any has its second. The outcome is in <see cref="Health"/> by then.
    /// </summary>
    internal void ReleaseFlush(int queueIndex)
    {
        ulong own = 1UL << queueIndex;
        // Before the bit: from then on another queue may write it.
        Volatile.Write(ref _flushOwner, NoQueue);
        ulong waiting = Interlocked.And(ref _flushers, ~own) & ~own;
        if (waiting == 0)
        {
            return;
        }

        int steps = BitOperations.TrailingZeroCount(BitOperations.RotateRight(waiting, queueIndex));
        int next = (queueIndex + steps) % VolumeLimits.QueuesMax;
        Volatile.Write(ref _flushOwner, next);
        _loops[next]!.Wake();
    }

    /// <inheritdoc/>
    public override void Dispose() => _backing.Dispose();
}
