using Dst.Core.Requests;
using Dst.Interop;
using Dst.IO.Memory;
using Dst.IO.Rings;
using Dst.Nodes.Legs;

namespace Dst.Nodes.Faults;

/// <summary>Test node: holds each request for a fixed time before the node inside gets it.</summary>
/// <param name="delayMs">Milliseconds.</param>
/// <param name="inner">The node inside.</param>
public sealed class DelayNode(int delayMs, Node inner) : WrapperNode(inner)
{
    /// <inheritdoc/>
    public override string Type => "delay";

    /// <inheritdoc/>
    public override string Address => $"{delayMs},{Inner.Type}:{Inner.Address}";

    /// <inheritdoc/>
    public override NodeQueue CreateQueue(in NodeQueueContext context) =>
        new DelayQueue(delayMs, Inner.CreateQueue(context), context);

    private sealed unsafe class DelayQueue : NodeQueue, IRingClient
    {
        private readonly NodeQueue _inner;
        private readonly RingLoop _loop;
        private readonly LegSlot[] _slots;
        private readonly ILegSink _sink;
        private readonly bool[] _held;
        private readonly NativeBlock _time;
        private readonly byte _client;
        private readonly byte _cancelClient;

        public DelayQueue(int delayMs, NodeQueue inner, in NodeQueueContext context)
        {
            _inner = inner;
            _loop = context.Loop;
            _slots = context.Slots;
            _sink = context.Sink;
            _held = new bool[context.Slots.Length];
            _time = NativeBlock.Allocate(sizeof(KernelTimespec), "delay");
            *(KernelTimespec*)_time.Address = KernelTimespec.FromNanoseconds(delayMs * 1_000_000L);
            _client = _loop.Add(this);
            _cancelClient = _loop.Add(new Ignore());
        }

        public override void Submit(int slot, long nowTicks)
        {
            _held[slot] = true;
            IoUringSqe* sqe = _loop.Ring.NextSqe();
            sqe->Opcode = (byte)IoUringAbi.IORING_OP_TIMEOUT;
            sqe->Fd = -1;
            sqe->Addr = (ulong)_time.Address;
            sqe->Len = 1;
            sqe->UserData = RingLoop.UserData(_client, (ulong)slot);
        }

        public void OnCompletion(ulong token, int result, long nowTicks)
        {
            int slot = (int)token;
            _held[slot] = false;
            if (result == -Errno.ECANCELED)
            {
                _sink.LegDone(slot, DstStatus.IoError, nowTicks);
            }
            else
            {
                _inner.Submit(slot, nowTicks);
            }
        }

        public void OnWake(long nowTicks)
        {
        }

        public override void FailPending(long nowTicks)
        {
            for (int slot = 0; slot < _slots.Length; slot++)
            {
                if (_held[slot])
                {
                    IoUringSqe* sqe = _loop.Ring.NextSqe();
                    sqe->Opcode = (byte)IoUringAbi.IORING_OP_TIMEOUT_REMOVE;
                    sqe->Fd = -1;
                    sqe->Addr = RingLoop.UserData(_client, (ulong)slot);
                    sqe->UserData = RingLoop.UserData(_cancelClient, 0);
                }
            }

            _inner.FailPending(nowTicks);
        }

        public override void Dispose()
        {
            _inner.Dispose();
            _time.Dispose();
        }

        /// <summary>Whether a cancellation came in time shows in the timeout's own completion.</summary>
        private sealed class Ignore : IRingClient
        {
            public void OnCompletion(ulong token, int result, long nowTicks)
            {
            }

            public void OnWake(long nowTicks)
            {
            }
        }
    }
}
