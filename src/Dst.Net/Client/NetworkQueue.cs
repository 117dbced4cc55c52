using Dst.Core;
using Dst.Core.Requests;
using Dst.IO.Rings;
using Dst.Nodes;
using Dst.Nodes.Legs;

namespace Dst.Net.Client;

/// <summary>
/// One queue's end of a network node: one lane, or several when there are more connections than queues. Queue thread.
/// </summary>
internal sealed class NetworkQueue : NodeQueue, IRingClient, ITurnEnd
{
    private readonly NetworkNode _node;
    private readonly NetworkLane[] _lanes;
    private readonly LegSlot[] _slots;
    private readonly ILegSink _sink;
    private readonly LoopTicker _ticker;
    private int _nextLane;

    /// <summary>Takes the queue's lanes. Queue thread, before its loop runs.</summary>
    /// <param name="node">The node.</param>
    /// <param name="lanes">Its lanes.</param>
    /// <param name="queues">Queues that share them.</param>
    /// <param name="context">The queue.</param>
    public NetworkQueue(NetworkNode node, NodeLanes lanes, int queues, in NodeQueueContext context)
    {
        Must.Be(
            (uint)context.QueueIndex < (uint)queues,
            $"queue {context.QueueIndex} uses a node that was opened for {queues} queues");
        _node = node;
        _slots = context.Slots;
        _sink = context.Sink;
        int count = (lanes.Borders.Length - context.QueueIndex + queues - 1) / queues;
        context.Loop.Add(this);
        context.Loop.AtTurnEnd(this);
        _ticker = new LoopTicker(context.Loop, ClientNetLimits.TickMs, OnTick);
        _lanes = new NetworkLane[count];
        for (int i = 0; i < count; i++)
        {
            _lanes[i] = new NetworkLane(lanes, context.QueueIndex + (i * queues), context);
        }
    }

    /// <inheritdoc/>
    public override void Submit(int slot, long nowTicks)
    {
        ref readonly LegSlot leg = ref _slots[slot];
        bool moves = leg.Operation is Operation.Read or Operation.Write;
        long longest = moves ? _node.MaxRequestBytes : _node.MaxChangeBytes;
        if (leg.Operation != Operation.Flush && leg.LengthBytes > longest)
        {
            _sink.LegDone(slot, DstStatus.Invalid, nowTicks);
            return;
        }

        _ticker.Start();
        _nextLane = _nextLane + 1 == _lanes.Length ? 0 : _nextLane + 1;
        _lanes[_nextLane].Submit(slot, nowTicks);
    }

    /// <inheritdoc/>
    public override void FailPending(long nowTicks)
    {
        foreach (NetworkLane lane in _lanes)
        {
            lane.Fail(nowTicks);
        }
    }

    /// <inheritdoc/>
    public void OnCompletion(ulong token, int result, long nowTicks) => Must.Fail("a network queue has no operations of its own");

    /// <inheritdoc/>
    public void OnWake(long nowTicks)
    {
        foreach (NetworkLane lane in _lanes)
        {
            lane.OnWake(nowTicks);
        }
    }

    /// <inheritdoc/>
    public void OnTurnEnd(long nowTicks)
    {
        foreach (NetworkLane lane in _lanes)
        {
            lane.OnTurnEnd();
        }
    }

    /// <inheritdoc/>
    public override void Dispose()
    {
        foreach (NetworkLane lane in _lanes)
        {
            lane.End();
        }

        _ticker.Dispose();
    }

    private bool OnTick(long nowTicks)
    {
        bool busy = false;
        foreach (NetworkLane lane in _lanes)
        {
            lane.Tick(nowTicks);
            busy |= lane.HasLegs;
        }

        return busy;
    }
}
