using Dst.Nodes.Backings;
using Dst.Nodes.Health;

namespace Dst.Nodes.Local;

/// <summary>A node that is a local file or disk. Its I/O runs on the ring of whichever queue asks.</summary>
public sealed class BackingNode : Node
{
    private readonly Backing _backing;
    private readonly Action _wakeQueues;
    private int _flushOwner;
    private int _flushWaiters;

    /// <summary>Takes over an open backing.</summary>
    /// <param name="type">file or dev.</param>
    /// <param name="backing">Open and locked; closed with the node.</param>
    /// <param name="keeperSignal">Wakes the keeper of error marks.</param>
    /// <param name="wakeQueues">Wakes the loop of every queue.</param>
    public BackingNode(string type, Backing backing, Action keeperSignal, Action wakeQueues)
    {
        Type = type;
        _backing = backing;
        _wakeQueues = wakeQueues;
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
    public override NodeQueue CreateQueue(in NodeQueueContext context) => new BackingQueue(this, context);

    /// <summary>
    /// Claims the right to flush. One flush is with the kernel at a time, over all queues: the kernel tells a failed
    /// write-back to one caller only, and with two flushes under way the other would be told that all is well (C-16).
    /// </summary>
    internal bool TryClaimFlush(int queueIndex)
    {
        if (Interlocked.CompareExchange(ref _flushOwner, queueIndex + 1, 0) == 0)
        {
            return true;
        }

        // Full fence between announcing ourselves and looking again; pairs with the exchanges in ReleaseFlush: either
        // the owner sees us waiting, or we see it gone.
        Interlocked.Exchange(ref _flushWaiters, 1);
        return Interlocked.CompareExchange(ref _flushOwner, queueIndex + 1, 0) == 0;
    }

    /// <summary>
    /// Gives the right to flush back and wakes the queues that wait for it. The outcome is in <see cref="Health"/> by
    /// then.
    /// </summary>
    internal void ReleaseFlush()
    {
        Interlocked.Exchange(ref _flushOwner, 0);
        if (Interlocked.Exchange(ref _flushWaiters, 0) != 0)
        {
            _wakeQueues();
        }
    }

    /// <inheritdoc/>
    public override void Dispose() => _backing.Dispose();
}
