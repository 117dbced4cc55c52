using Dst.Core.Requests;
using Dst.Core.Transactions;
using Dst.Core.Volumes;
using Dst.IO.Measure;
using Dst.IO.Rings;
using Dst.Nodes.Legs;

namespace Dst.Nodes.Engine;

/// <summary>
/// The engine of one queue: turns each request into a transaction, sends its legs to the nodes, and gives the result
/// back when the last leg is final. Owned by the queue thread; allocates nothing after construction, takes no lock,
/// never waits.
/// </summary>
public sealed class VolumeQueue : IRequestHandler, ILegSink, IRingClient, IDisposable
{
    /// <summary>Number of kinds of operation, for counters.</summary>
    public const int Operations = 5;

    private const short FreeSlot = -1;

    private readonly TransactionTable _transactions;
    private readonly NodeQueue[] _nodes;
    private readonly OperationCounters[] _nodeCounters;
    private readonly OperationCounters _counters = new(Operations);
    private readonly LegSlot[] _slots;
    private readonly long[] _startTicks;
    private readonly int _legsPerTag;
    private readonly ActivitySignal? _activity;
    private IRequestCompletion? _completion;
    private int _failing;
    private bool _failed;

    /// <summary>Connects a queue to every node of the volume. Queue thread.</summary>
    /// <param name="loop">The queue's loop.</param>
    /// <param name="map">The volume.</param>
    /// <param name="ledger">What is not flushed yet, shared by all queues.</param>
    /// <param name="nodes">The nodes in the order of the map.</param>
    /// <param name="queue">Index, depth and fixed files of the queue.</param>
    /// <param name="activity">Told when a request begins or ends; may be null.</param>
    public VolumeQueue(
        RingLoop loop,
        VolumeMap map,
        FlushLedger ledger,
        IReadOnlyList<Node> nodes,
        in VolumeQueueOptions queue,
        ActivitySignal? activity)
    {
        _transactions = new TransactionTable(map, ledger, queue.QueueIndex, queue.DepthTags, queue.ReadOnly);
        _legsPerTag = Math.Max(VolumeLimits.RangeLegsMax, map.NodeCount);
        _slots = new LegSlot[queue.DepthTags * _legsPerTag];
        for (int i = 0; i < _slots.Length; i++)
        {
            _slots[i].Node = FreeSlot;
        }

        _startTicks = new long[queue.DepthTags];
        _activity = activity;
        _nodes = new NodeQueue[nodes.Count];
        _nodeCounters = new OperationCounters[nodes.Count];
        int fileIndex = queue.FirstFileIndex;
        for (int i = 0; i < nodes.Count; i++)
        {
            _nodeCounters[i] = new OperationCounters(Operations);
            int file = nodes[i].Fd >= 0 ? fileIndex++ : -1;
            _nodes[i] = nodes[i].CreateQueue(new NodeQueueContext(loop, queue.QueueIndex, i, file, _slots, this));
        }

        loop.Add(this);
    }

    /// <summary>Counters of whole requests. Any thread may read.</summary>
    public OperationCounters Counters => _counters;

    /// <summary>Requests that have begun and are not final. Any thread.</summary>
    public long InFlight => _counters.InFlight;

    /// <summary>Counters of the legs that went to a node. Any thread may read.</summary>
    public OperationCounters NodeCounters(int nodeIndex) => _nodeCounters[nodeIndex];

    /// <summary>Says where results go. Queue thread, before the first request.</summary>
    public void Connect(IRequestCompletion completion) => _completion = completion;

    /// <summary>
    /// From now on every request fails, and what nodes merely hold back ends with an error (U-21). Any thread; takes
    /// effect when the loop is woken.
    /// </summary>
    public void FailFromNowOn() => Volatile.Write(ref _failing, 1);

    /// <inheritdoc/>
    public void Submit(int tag, in Request request, nint buffer, long nowTicks)
    {
        _startTicks[tag] = nowTicks;
        _counters.Begin();
        if (_failed)
        {
            Finish(tag, in request, DstStatus.IoError, nowTicks);
            return;
        }

        BeginResult begun = _transactions.Begin(tag, in request);
        if (begun.IsFinal)
        {
            Finish(tag, in request, begun.Status, nowTicks);
            return;
        }

        // Every leg is pending before the first is sent: one that ends at once cannot end the transaction.
        for (int i = 0; i < begun.LegCount; i++)
        {
            SendLeg(tag, i, in request, buffer, nowTicks);
        }

        _activity?.Touch();
    }

    /// <inheritdoc/>
    public void LegDone(int slot, DstStatus status, long nowTicks)
    {
        ref LegSlot leg = ref _slots[slot];
        Dst.Core.Must.Be(leg.Node != FreeSlot, "a leg was reported done twice");
        _nodeCounters[leg.Node].End(
            (int)leg.Operation, leg.LengthBytes, status == DstStatus.Ok, nowTicks - leg.StartTicks);
        leg.Node = FreeSlot;
        int tag = slot / _legsPerTag;
        if (_transactions.LegDone(tag, slot % _legsPerTag, status, out DstStatus final))
        {
            Finish(tag, in _transactions.RequestAt(tag), final, nowTicks);
            return;
        }

        _activity?.Touch();
    }

    /// <inheritdoc/>
    public void OnCompletion(ulong token, int result, long nowTicks) =>
        Dst.Core.Must.Fail("the engine has no operations of its own");

    /// <inheritdoc/>
    public void OnWake(long nowTicks)
    {
        if (!_failed && Volatile.Read(ref _failing) != 0)
        {
            _failed = true;
            foreach (NodeQueue node in _nodes)
            {
                node.FailPending(nowTicks);
            }
        }
    }

    /// <summary>Gives the nodes' memory back. After the loop has ended.</summary>
    public void Dispose()
    {
        foreach (NodeQueue node in _nodes)
        {
            node.Dispose();
        }
    }

    private void SendLeg(int tag, int legIndex, in Request request, nint buffer, long nowTicks)
    {
        ref readonly Leg leg = ref _transactions.LegAt(tag, legIndex);
        int slot = (tag * _legsPerTag) + legIndex;
        ref LegSlot at = ref _slots[slot];
        at.Operation = request.Operation;
        at.Flags = request.Flags;
        at.Node = (short)leg.NodeIndex;
        at.OffsetBytes = leg.NodeOffsetBytes;
        at.LengthBytes = leg.LengthBytes;
        at.RemainingBytes = leg.LengthBytes;
        at.Buffer = buffer + (nint)leg.RequestOffsetBytes;
        at.StartTicks = nowTicks;
        _nodeCounters[leg.NodeIndex].Begin();
        _nodes[leg.NodeIndex].Submit(slot, nowTicks);
    }

    private void Finish(int tag, in Request request, DstStatus status, long nowTicks)
    {
        _counters.End((int)request.Operation, request.LengthBytes, status == DstStatus.Ok, nowTicks - _startTicks[tag]);
        _activity?.Touch();
        _completion!.Complete(tag, status);
    }
}

/// <summary>A queue as its engine needs to know it.</summary>
/// <param name="QueueIndex">Index of the queue.</param>
/// <param name="DepthTags">Tags of the queue.</param>
/// <param name="FirstFileIndex">
/// Fixed file of the first node that has one; the others follow in the order of the map.
/// </param>
/// <param name="ReadOnly">Changes are refused.</param>
public readonly record struct VolumeQueueOptions(int QueueIndex, int DepthTags, int FirstFileIndex, bool ReadOnly);
