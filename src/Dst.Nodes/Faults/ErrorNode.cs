using Dst.Core.Requests;
using Dst.Core.Specs;
using Dst.Nodes.Legs;

namespace Dst.Nodes.Faults;

/// <summary>
/// Test node: fails the requests that its rule names, before the node inside sees them. The count runs over all queues.
/// </summary>
/// <param name="rule">Which requests, and how.</param>
/// <param name="inner">The node inside.</param>
public sealed class ErrorNode(ErrorRule rule, Node inner) : WrapperNode(inner)
{
    private long _matches;

    private ErrorRule Rule => rule;

    /// <inheritdoc/>
    public override string Type => "error";

    /// <inheritdoc/>
    public override string Address => $"{Rule},{Inner.Type}:{Inner.Address}";

    /// <inheritdoc/>
    public override NodeQueue CreateQueue(in NodeQueueContext context) =>
        new ErrorQueue(this, Inner.CreateQueue(context), context);

    private bool Fails(in LegSlot leg) =>
        Rule.Matches(leg.Operation, leg.Flags) && Rule.Fails(Interlocked.Increment(ref _matches));

    private sealed class ErrorQueue(ErrorNode node, NodeQueue inner, NodeQueueContext context) : NodeQueue
    {
        private readonly DstStatus _status = RequestResult.FromErrno(node.Rule.ErrnoNumber);
        private readonly LegSlot[] _slots = context.Slots;
        private readonly ILegSink _sink = context.Sink;

        public override void Submit(int slot, long nowTicks)
        {
            if (node.Fails(in _slots[slot]))
            {
                _sink.LegDone(slot, _status, nowTicks);
            }
            else
            {
                inner.Submit(slot, nowTicks);
            }
        }

        public override void FailPending(long nowTicks) => inner.FailPending(nowTicks);

        public override void Dispose() => inner.Dispose();
    }
}
