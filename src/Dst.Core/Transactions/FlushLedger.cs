using Dst.Core.Volumes;

namespace Dst.Core.Transactions;

/// <summary>
/// Which nodes hold changes that no flush has made durable yet, over all queues and without locks (C-02). Changes are
/// counted per queue and node, each counter written by its queue alone; <c>stable</c> of a node is the count that a
/// successful flush covered. Every node starts dirty: an earlier life may have left changes behind.
/// </summary>
/// <remarks>
/// A reader takes <c>stable</c> first and sums the counters after it. Then each counter it sees is at least the one
/// that the flush which raised <c>stable</c> had seen, so a sum no larger than <c>stable</c> means that every single
/// counter is the same, and every change the reader can know of was counted before that flush was given to the node.
/// The other order would rest on all processors seeing the counters change in one order; this one rests on acquire and
/// release.
/// </remarks>
public sealed class FlushLedger
{
    private const long NeverFlushed = -1;

    // 128 bytes: neighbouring cache lines are fetched in pairs.
    private const int PadLongs = 16;

    private readonly int _nodeCount;
    private readonly int _queueCount;
    private readonly int _rowLongs;
    private readonly long[] _changes; // [pad][row of queue 0][row of queue 1]…, a row ends with a pad
    private readonly long[] _stable; // [pad][node 0]…[pad]

    /// <summary>A ledger in which every node is dirty.</summary>
    /// <param name="nodeCount">1 to <see cref="VolumeLimits.NodesMax"/>.</param>
    /// <param name="queueCount">1 to <see cref="VolumeLimits.QueuesMax"/>.</param>
    public FlushLedger(int nodeCount, int queueCount)
    {
        Must.Be(nodeCount is >= 1 and <= VolumeLimits.NodesMax, $"flush ledger for {nodeCount} nodes");
        Must.Be(queueCount is >= 1 and <= VolumeLimits.QueuesMax, $"flush ledger for {queueCount} queues");
        _nodeCount = nodeCount;
        _queueCount = queueCount;

        // One pad more than needed between rows: an array's elements need not begin at a multiple of the pad.
        _rowLongs = (nodeCount + PadLongs - 1) / PadLongs * PadLongs + PadLongs;
        _changes = new long[PadLongs + queueCount * _rowLongs];
        _stable = new long[PadLongs + nodeCount + PadLongs];
        Array.Fill(_stable, NeverFlushed);
    }

    /// <summary>Nodes of the volume.</summary>
    public int NodeCount => _nodeCount;

    /// <summary>Queues that count changes.</summary>
    public int QueueCount => _queueCount;

    /// <summary>
    /// Counts a change of a node. Called by the owner of the queue alone, before the frontend is told that the request
    /// is done: whoever sends a flush because of that answer finds the change counted.
    /// </summary>
    /// <param name="queueIndex">The caller's queue.</param>
    /// <param name="nodeIndex">The node that changed, or may have.</param>
    public void ChangeCompleted(int queueIndex, int nodeIndex)
    {
        ref long counter = ref _changes[CounterIndex(queueIndex, nodeIndex)];

        // The only writer reads its own value; release pairs with the acquire in Completed.
        Volatile.Write(ref counter, counter + 1);
    }

    /// <summary>
    /// Changes of a node counted so far, at least those whose completion the caller can know of. Any thread.
    /// </summary>
    /// <param name="nodeIndex">The node.</param>
    public long Completed(int nodeIndex)
    {
        long sum = 0;
        int index = CounterIndex(0, nodeIndex);
        int queues = Mutations.Has(Mutation.FlushOneQueue) ? 1 : _queueCount;
        for (int queue = 0; queue < queues; queue++, index += _rowLongs)
        {
            // Acquire; pairs with the release in ChangeCompleted.
            sum += Volatile.Read(ref _changes[index]);
        }

        return sum;
    }

    /// <summary>True when the node may hold changes that are not durable. Any thread.</summary>
    /// <param name="nodeIndex">The node.</param>
    public bool IsDirty(int nodeIndex) => TryCapture(nodeIndex, out _);

    /// <summary>
    /// Takes the count that a flush which begins now will cover. Any thread; call it before the flush is given to the
    /// node.
    /// </summary>
    /// <param name="nodeIndex">The node.</param>
    /// <param name="captured">To be handed to <see cref="FlushSucceeded"/>.</param>
    /// <returns>True when the node is dirty: it must be flushed, and a failure fails the whole flush.</returns>
    public bool TryCapture(int nodeIndex, out long captured)
    {
        // Acquire; pairs with the exchange in FlushSucceeded. Must come before the sum, see the remarks of this type.
        long stable = Volatile.Read(ref _stable[StableIndex(nodeIndex)]);
        captured = Completed(nodeIndex);
        return captured > stable;
    }

    /// <summary>
    /// The node made durable what was counted when <paramref name="captured"/> was taken. Any thread.
    /// </summary>
    /// <param name="nodeIndex">The node.</param>
    /// <param name="captured">Taken before the flush was given to the node.</param>
    public void FlushSucceeded(int nodeIndex, long captured)
    {
        captured = Mutations.Has(Mutation.LedgerTooFar) ? Completed(nodeIndex) : captured;
        ref long stable = ref _stable[StableIndex(nodeIndex)];
        long seen = Volatile.Read(ref stable);

        // Flushes of several queues may end in any order; stable only rises, so each failed turn means that another one
        // raised it.
        while (seen < captured)
        {
            // Full fence; pairs with the acquire in TryCapture.
            long before = Interlocked.CompareExchange(ref stable, captured, seen);
            if (before == seen)
            {
                return;
            }

            seen = before;
        }
    }

    private int CounterIndex(int queueIndex, int nodeIndex)
    {
        Must.Be(
            (uint)queueIndex < (uint)_queueCount && (uint)nodeIndex < (uint)_nodeCount,
            $"flush counter of queue {queueIndex} of {_queueCount}, node {nodeIndex} of {_nodeCount}");
        return PadLongs + queueIndex * _rowLongs + nodeIndex;
    }

    private int StableIndex(int nodeIndex)
    {
        Must.Be((uint)nodeIndex < (uint)_nodeCount, $"flush state of node {nodeIndex} of {_nodeCount}");
        return PadLongs + nodeIndex;
    }
}
