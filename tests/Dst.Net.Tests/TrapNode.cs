using Dst.Core.Requests;
using Dst.IO.Rings;
using Dst.Net.Server;
using Dst.Nodes;
using Dst.Nodes.Faults;
using Dst.Nodes.Legs;

namespace Dst.Net.Tests;

/// <summary>A disk that holds one write in its middle for as long as a test wants.</summary>
internal sealed class TrapNode(Node inner, ExportSignals signals) : WrapperNode(inner)
{
    private const int Open = 0;
    private const int Armed = 1;
    private const int Shut = 2;

    private int _state;

    public override string Type => "trap";

    public override string Address => $"{Inner.Type}:{Inner.Address}";

    public ManualResetEventSlim Caught { get; } = new();

    public bool Catches(int timeoutMs) => Caught.Wait(timeoutMs);

    /// <summary>The next write is caught; all others pass.</summary>
    public void Arm()
    {
        Caught.Reset();
        Volatile.Write(ref _state, Armed);
    }

    /// <summary>What was caught goes on.</summary>
    public void Release()
    {
        Volatile.Write(ref _state, Open);
        signals.WakeEngines();
    }

    public override NodeQueue CreateQueue(in NodeQueueContext context) =>
        new TrapQueue(this, Inner.CreateQueue(context), context);

    private sealed class TrapQueue : NodeQueue, IRingClient
    {
        private readonly TrapNode _node;
        private readonly NodeQueue _inner;
        private readonly LegSlot[] _slots;
        private int _held = -1;

        public TrapQueue(TrapNode node, NodeQueue inner, in NodeQueueContext context)
        {
            _node = node;
            _inner = inner;
            _slots = context.Slots;
            context.Loop.Add(this);
        }

        public override void Submit(int slot, long nowTicks)
        {
            bool caught = _slots[slot].Operation == Operation.Write
                && Interlocked.CompareExchange(ref _node._state, Shut, Armed) == Armed;
            if (!caught)
            {
                _inner.Submit(slot, nowTicks);
                return;
            }

            _held = slot;
            _node.Caught.Set();
        }

        public void OnCompletion(ulong token, int result, long nowTicks)
        {
        }

        public void OnWake(long nowTicks)
        {
            if (_held >= 0 && Volatile.Read(ref _node._state) != Shut)
            {
                int slot = _held;
                _held = -1;
                _inner.Submit(slot, nowTicks);
            }
        }

        public override void FailPending(long nowTicks) => _inner.FailPending(nowTicks);

        public override void Dispose() => _inner.Dispose();
    }
}
