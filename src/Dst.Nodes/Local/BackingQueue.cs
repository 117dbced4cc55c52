using Dst.Core;
using Dst.Core.Requests;
using Dst.Interop;
using Dst.IO.Rings;
using Dst.Nodes.Health;
using Dst.Nodes.Legs;

namespace Dst.Nodes.Local;

/// <summary>
/// One queue's I/O on a local file or disk: every operation is an entry of the queue's own ring, nothing here blocks.
/// Results are full length or an error (U-07); flushes of one node never overlap (C-16).
/// </summary>
internal sealed unsafe class BackingQueue : NodeQueue, IRingClient
{
    /// <summary>
    /// Transfers of one leg that ended early or were interrupted; a disk that makes less progress is reported as
    /// broken.
    /// </summary>
    private const int RepeatsMax = 64;

    /// <summary>Token of the one flush that this queue may have with the kernel; slots are smaller.</summary>
    private const ulong FlushToken = 1UL << 40;

    private const int EndOfList = -1;

    private readonly BackingNode _node;
    private readonly NodeHealth _health;
    private readonly RingLoop _loop;
    private readonly LegSlot[] _slots;
    private readonly ILegSink _sink;
    private readonly int _queueIndex;
    private readonly int _fileIndex;
    private readonly byte _client;
    private SlotList _waitingForFlush = SlotList.Empty;
    private SlotList _inFlush = SlotList.Empty;
    private SlotList _waitingForMark = SlotList.Empty;

    public BackingQueue(BackingNode node, in NodeQueueContext context)
    {
        _node = node;
        _health = node.Health;
        _loop = context.Loop;
        _slots = context.Slots;
        _sink = context.Sink;
        _queueIndex = context.QueueIndex;
        _fileIndex = context.FileIndex;
        _client = context.Loop.Add(this);
    }

    /// <summary>What a leg of ours is doing.</summary>
    private enum Stage : byte
    {
        /// <summary>Its transfer, discard or zeroing is with the kernel.</summary>
        Acting,

        /// <summary>It waits for a flush, or for the mark of a failed one.</summary>
        Flushing,
    }

    public override void Submit(int slot, long nowTicks)
    {
        ref LegSlot leg = ref _slots[slot];
        leg.Stage = (byte)Stage.Acting;
        leg.Repeats = 0;
        switch (leg.Operation)
        {
            case Operation.Read:
            case Operation.Write:
                if (leg.Operation == Operation.Write && MustFail(leg.Flags))
                {
                    HoldForMark(slot, nowTicks);
                    return;
                }

                IssueTransfer(slot);
                break;
            case Operation.Discard:
                IssueDiscard(slot);
                break;
            case Operation.WriteZeroes:
                IssueFallocate(slot, BlockAbi.FALLOC_FL_ZERO_RANGE);
                break;
            case Operation.Flush:
                AwaitFlush(slot, nowTicks);
                break;
            default:
                _sink.LegDone(slot, DstStatus.NotSupported, nowTicks);
                break;
        }
    }

    public void OnCompletion(ulong token, int result, long nowTicks)
    {
        if (token == FlushToken)
        {
            OnFlushed(result, nowTicks);
            return;
        }

        int slot = (int)token;
        ref LegSlot leg = ref _slots[slot];
        if (leg.Operation is Operation.Read or Operation.Write)
        {
            OnTransferred(slot, result, nowTicks);
        }
        else if (result is -Errno.EINTR or -Errno.EAGAIN && leg.Repeats++ < RepeatsMax)
        {
            Reissue(slot);
        }
        else
        {
            OnChanged(slot, result < 0 ? -result : 0, nowTicks);
        }
    }

    public void OnWake(long nowTicks)
    {
        if (_health.State != NodeHealthState.Marking && !_waitingForMark.IsEmpty)
        {
            // Marked, and possibly cleared again since: these flushes failed all the same.
            FailAll(ref _waitingForMark, nowTicks);
        }

        TryFlush(nowTicks);
    }

    /// <summary>FUA on a poisoned node fails like FLUSH does (C-16).</summary>
    private bool MustFail(RequestFlags flags) =>
        (flags & RequestFlags.Fua) != RequestFlags.None && _health.State != NodeHealthState.Live;

    private IoUringSqe* NewEntry(int slot, uint opcode)
    {
        IoUringSqe* sqe = _loop.Ring.NextSqe();
        sqe->Opcode = (byte)opcode;
        sqe->Flags = (byte)IoUringAbi.IOSQE_FIXED_FILE;
        sqe->Fd = _fileIndex;
        sqe->UserData = RingLoop.UserData(_client, (ulong)slot);
        return sqe;
    }

    private void IssueTransfer(int slot)
    {
        ref LegSlot leg = ref _slots[slot];
        IoUringSqe* sqe = NewEntry(
            slot, leg.Operation == Operation.Read ? IoUringAbi.IORING_OP_READ : IoUringAbi.IORING_OP_WRITE);
        sqe->Off = (ulong)(_node.BaseBytes + leg.OffsetBytes);
        sqe->Addr = (ulong)leg.Buffer;
        sqe->Len = (uint)leg.RemainingBytes;
        if (_node.SyncsWrites && (leg.Flags & RequestFlags.Fua) != RequestFlags.None)
        {
            sqe->OpFlags = BlockAbi.RWF_DSYNC;
        }
    }

    private void IssueDiscard(int slot)
    {
        if (!_node.IsDisk)
        {
            IssueFallocate(slot, _node.KeepsAllocation ? BlockAbi.FALLOC_FL_ZERO_RANGE : BlockAbi.FALLOC_FL_PUNCH_HOLE);
            return;
        }

        ref LegSlot leg = ref _slots[slot];
        IoUringSqe* sqe = NewEntry(slot, IoUringAbi.IORING_OP_URING_CMD);
        sqe->CmdOp = BlockAbi.BLOCK_URING_CMD_DISCARD;
        sqe->Addr = (ulong)(_node.BaseBytes + leg.OffsetBytes);
        sqe->Addr3 = (ulong)leg.LengthBytes;
    }

    private void IssueFallocate(int slot, int mode)
    {
        ref LegSlot leg = ref _slots[slot];
        IoUringSqe* sqe = NewEntry(slot, IoUringAbi.IORING_OP_FALLOCATE);
        sqe->Off = (ulong)(_node.BaseBytes + leg.OffsetBytes);
        sqe->Addr = (ulong)leg.LengthBytes;
        sqe->Len = (uint)(mode | BlockAbi.FALLOC_FL_KEEP_SIZE);
    }

    private void Reissue(int slot)
    {
        if (_slots[slot].Operation == Operation.Discard)
        {
            IssueDiscard(slot);
        }
        else
        {
            IssueFallocate(slot, BlockAbi.FALLOC_FL_ZERO_RANGE);
        }
    }

    private void OnTransferred(int slot, int result, long nowTicks)
    {
        ref LegSlot leg = ref _slots[slot];
        if (result is -Errno.EINTR or -Errno.EAGAIN && leg.Repeats++ < RepeatsMax)
        {
            IssueTransfer(slot);
            return;
        }

        Must.Be(
            result <= leg.RemainingBytes,
            $"node {leg.Node} slot {slot}: the kernel moved {result} of {leg.RemainingBytes} bytes");
        if (result > 0 && result < leg.RemainingBytes && leg.Repeats++ < RepeatsMax)
        {
            leg.OffsetBytes += result;
            leg.RemainingBytes -= result;
            leg.Buffer += result;
            IssueTransfer(slot);
            return;
        }

        // Nothing moved is the end of a file that somebody shortened (C-19).
        int errno = result == leg.RemainingBytes ? 0 : result < 0 ? -result : Errno.EIO;
        if (leg.Operation == Operation.Read)
        {
            _sink.LegDone(slot, RequestResult.FromErrno(errno), nowTicks);
        }
        else
        {
            OnChanged(slot, errno, nowTicks);
        }
    }

    /// <summary>A change is in; with FUA it must also be durable (C-04).</summary>
    private void OnChanged(int slot, int errno, long nowTicks)
    {
        ref LegSlot leg = ref _slots[slot];
        bool fua = (leg.Flags & RequestFlags.Fua) != RequestFlags.None;
        bool durableAlready = leg.Operation == Operation.Write && _node.SyncsWrites;
        if (fua && errno == 0 && !durableAlready)
        {
            AwaitFlush(slot, nowTicks);
            return;
        }

        if (fua && durableAlready
            && errno is not (0 or Errno.ENOSPC or Errno.EDQUOT or Errno.EOPNOTSUPP or Errno.EINVAL))
        {
            // The sync inside a DSYNC write failed and may have been told of older writes' failure, which no one is
            // told twice.
            _health.Report(errno);
            HoldForMark(slot, nowTicks);
            return;
        }

        _sink.LegDone(slot, RequestResult.FromErrno(errno), nowTicks);
    }

    private void AwaitFlush(int slot, long nowTicks)
    {
        _slots[slot].Stage = (byte)Stage.Flushing;
        _waitingForFlush.Append(_slots, slot);
        TryFlush(nowTicks);
    }

    /// <summary>Starts one flush for all that wait, once it is this queue's turn.</summary>
    private void TryFlush(long nowTicks)
    {
        if (_waitingForFlush.IsEmpty || !_inFlush.IsEmpty)
        {
            return;
        }

        if (!_node.TryClaimFlush(_queueIndex))
        {
            return;
        }

        if (_health.State != NodeHealthState.Live)
        {
            _node.ReleaseFlush(_queueIndex);
            while (!_waitingForFlush.IsEmpty)
            {
                HoldForMark(_waitingForFlush.TakeFirst(_slots), nowTicks);
            }

            return;
        }

        _inFlush = _waitingForFlush;
        _waitingForFlush = SlotList.Empty;
        IssueFlush();
    }

    private void IssueFlush()
    {
        IoUringSqe* sqe = NewEntry(0, IoUringAbi.IORING_OP_FSYNC);
        sqe->OpFlags = IoUringAbi.IORING_FSYNC_DATASYNC;
        sqe->UserData = RingLoop.UserData(_client, FlushToken);
    }

    private void OnFlushed(int result, long nowTicks)
    {
        if (result == -Errno.EINTR)
        {
            IssueFlush();
            return;
        }

        SlotList done = _inFlush;
        _inFlush = SlotList.Empty;
        if (result < 0)
        {
            _health.Report(-result);
        }

        // Health first, then the right to flush: whoever flushes next sees the failure.
        _node.ReleaseFlush(_queueIndex);
        if (result < 0 || _health.State != NodeHealthState.Live)
        {
            while (!done.IsEmpty)
            {
                HoldForMark(done.TakeFirst(_slots), nowTicks);
            }
        }
        else
        {
            while (!done.IsEmpty)
            {
                _sink.LegDone(done.TakeFirst(_slots), DstStatus.Ok, nowTicks);
            }
        }

        TryFlush(nowTicks);
    }

    /// <summary>A failed flush is answered only once its mark is durable (C-16, S-24).</summary>
    private void HoldForMark(int slot, long nowTicks)
    {
        if (_health.State == NodeHealthState.Marking)
        {
            _waitingForMark.Append(_slots, slot);
        }
        else
        {
            _sink.LegDone(slot, DstStatus.IoError, nowTicks);
        }
    }

    private void FailAll(ref SlotList list, long nowTicks)
    {
        while (!list.IsEmpty)
        {
            _sink.LegDone(list.TakeFirst(_slots), DstStatus.IoError, nowTicks);
        }
    }

    /// <summary>
    /// Slots in the order they came, linked through themselves: as long as it may get, it takes no memory.
    /// </summary>
    private struct SlotList
    {
        private int _first;
        private int _last;

        public static SlotList Empty => new() { _first = EndOfList, _last = EndOfList };

        public readonly bool IsEmpty => _first == EndOfList;

        public void Append(LegSlot[] slots, int slot)
        {
            slots[slot].Next = EndOfList;
            if (_last == EndOfList)
            {
                _first = slot;
            }
            else
            {
                slots[_last].Next = slot;
            }

            _last = slot;
        }

        public int TakeFirst(LegSlot[] slots)
        {
            int slot = _first;
            _first = slots[slot].Next;
            if (_first == EndOfList)
            {
                _last = EndOfList;
            }

            return slot;
        }
    }
}
