using Dst.Core.Requests;
using Dst.Core.Wire;

namespace Dst.Core.Sessions.Client;

/// <summary>The part of a lane that uses its kept-back slots: early flushes, replay, the flush of a recovery.</summary>
public sealed partial class ClientLane
{
    private RecoveryStep _recovery;
    private int _replaysInFlight;
    private long _replayedTo;
    private bool _replaysLog;
    private bool _earlyFlush;
    private bool _wantsRoom;

    private enum RecoveryStep : byte
    {
        None,
        Replaying,
        Flushing,
        Over,
    }

    /// <summary>
    /// Sends the logs of all lanes again in the order of the node, each byte once, then a flush (S-22). The node gives
    /// this order to one lane while all are settled, so the logs stand still.
    /// </summary>
    private void BeginRecovery(bool replaysLog, long nowMs)
    {
        Must.Be(
            Stage == LaneStage.Settled && _recovery == RecoveryStep.None,
            $"lane {_lane} recovers while {Stage}, {_recovery}");
        _recovery = RecoveryStep.Replaying;
        _replaysLog = replaysLog;
        _replaysInFlight = 0;
        Array.Clear(_replayAt);
        _replayedTo = 0;
        if (replaysLog)
        {
            _shared.Plan.Make(_order.Stable);
        }

        AdvanceRecovery(nowMs);
    }

    private void AdvanceRecovery(long nowMs)
    {
        while (_recovery == RecoveryStep.Replaying && _replaysLog && TryFindNextEntry(out int lane))
        {
            LogEntry entry = _shared.Logs[lane].At(_replayAt[lane]);
            if (!TryFindPiece(in entry, out LogEntry piece))
            {
                _replayAt[lane]++;
                _replayedTo = 0;
                continue;
            }

            int slot = FreeOwnSlot();
            if (slot == None || !FitsReplay(in piece))
            {
                return;
            }

            bool begins = _replayedTo == 0;
            _replayedTo = piece.OffsetBytes + piece.LengthBytes;
            SendEntry(slot, lane, in piece, in entry, begins, nowMs);
        }

        if (_recovery == RecoveryStep.Replaying && _replaysInFlight == 0)
        {
            _recovery = RecoveryStep.Flushing;
            SendOwnFlush(FreeOwnSlot(), SlotUse.RecoveryFlush, nowMs);
        }
    }

    /// <summary>
    /// The oldest entry that was not sent yet. At most one step for each lane, and one for each covered entry.
    /// </summary>
    private bool TryFindNextEntry(out int nextLane)
    {
        nextLane = None;
        long oldest = long.MaxValue;
        for (int lane = 0; lane < _shared.Lanes; lane++)
        {
            ReplayLog log = _shared.Logs[lane];
            while (_replayAt[lane] < log.Count && log.At(_replayAt[lane]).Sequence <= _order.Stable)
            {
                _replayAt[lane]++;
            }

            if (_replayAt[lane] < log.Count && log.At(_replayAt[lane]).Sequence < oldest)
            {
                oldest = log.At(_replayAt[lane]).Sequence;
                nextLane = lane;
            }
        }

        return nextLane != None;
    }

    /// <summary>
    /// The next part of an entry that no later one overwrites: a replay that does not come to its end must not have put
    /// older data over newer, which may have been durable already (S-22, C-04).
    /// </summary>
    private bool TryFindPiece(in LogEntry entry, out LogEntry piece)
    {
        long start = long.Max(entry.OffsetBytes, _replayedTo);
        long stop = entry.OffsetBytes + entry.LengthBytes;
        bool found = Mutations.Has(Mutation.ReplayOverwritesNewer)
            ? start < stop
            : _shared.Plan.TryFindPart(in entry, _replayedTo, out start, out stop);
        piece = entry with
        {
            OffsetBytes = start,
            LengthBytes = stop - start,
            ArenaOffset = entry.ArenaOffset + (start - entry.OffsetBytes),
        };
        return found;
    }

    /// <summary>Within the credits, and over none that is in flight (S-21).</summary>
    private bool FitsReplay(in LogEntry entry)
    {
        long dataBytes = 0;
        for (int slot = _requestSlots; slot < _share.Slots; slot++)
        {
            ref readonly SlotState other = ref _slots[slot];
            if (other.Use != SlotUse.Replay)
            {
                continue;
            }

            dataBytes += other.Captured;
            if (other.OffsetBytes < entry.OffsetBytes + entry.LengthBytes
                && entry.OffsetBytes < other.OffsetBytes + other.LengthBytes)
            {
                return false;
            }
        }

        return dataBytes + entry.DataBytes <= _share.PayloadBytes;
    }

    /// <summary>
    /// The copy of a change in the log is not what was acknowledged: it is not sent, and the recovery has failed, which
    /// the node bears only so often (S-22, S-23). Of a SendLog effect, while it is carried out.
    /// </summary>
    public void OnDamagedLog()
    {
        BadDataCount++;
        EndRecovery(DstStatus.ProtectionError);
    }

    private void SendEntry(int slot, int lane, in LogEntry piece, in LogEntry whole, bool begins, long nowMs)
    {
        ref SlotState place = ref _slots[slot];
        place.Use = SlotUse.Replay;
        place.OffsetBytes = piece.OffsetBytes;
        place.LengthBytes = piece.LengthBytes;
        place.Captured = piece.DataBytes;
        place.SentMs = nowMs;
        TakeSequence(slot);
        _replaysInFlight++;
        ReplayedBytes += piece.LengthBytes;

        // Without FUA: the flush that follows is what counts.
        Request request = new(
            piece.Operation, piece.Flags & RequestFlags.NoUnmap, piece.OffsetBytes, piece.LengthBytes);
        _replies.Publish(slot, new WaitingReply(
            _session.Epoch, place.Sequence, piece.Operation, piece.OffsetBytes, piece.LengthBytes, 0));
        Effects.Add(new LaneEffect
        {
            Kind = LaneEffectKind.SendLog,
            Leg = None,
            Header = HeaderOf(slot, in request),
            LogLane = lane,
            ArenaOffset = piece.ArenaOffset,
            DataBytes = piece.DataBytes,
            EntryPlace = whole.Place,
            EntryArenaOffset = whole.ArenaOffset,
            EntryBytes = whole.DataBytes,
            EntryBegins = begins,
        });
    }

    private void SendOwnFlush(int slot, SlotUse use, long nowMs)
    {
        Must.Be(slot != None, $"lane {_lane} has no slot left for a flush of its own");
        ref SlotState place = ref _slots[slot];
        place.Use = use;
        place.Captured = _order.Last;
        place.SentMs = nowMs;
        TakeSequence(slot);
        _replies.Publish(
            slot, new WaitingReply(_session.Epoch, place.Sequence, Operation.Flush, 0, 0, 0));
        FrameHeader header = HeaderOf(slot, new Request(Operation.Flush, RequestFlags.None, 0, 0));

        // Only a whole replay may say so: the server takes its poison away for it (S-24).
        bool replayed = use == SlotUse.RecoveryFlush && _replaysLog && !_lost;
        header.Flags = replayed ? FrameFlags.Replayed : FrameFlags.None;
        Effects.Add(new LaneEffect { Kind = LaneEffectKind.Send, Leg = None, Header = header });
    }

    /// <summary>Makes room in the log before it is full; its slot is kept back for this (S-21).</summary>
    private void FlushEarly(long nowMs)
    {
        bool wanted = _wantsRoom || _log.IsHalfFull;

        // While resending, too: what was sent without room in the log, before a loss was accepted, needs it now.
        bool mayFlush = Stage is LaneStage.Open or LaneStage.Resending;
        mayFlush &= !Mutations.Has(Mutation.NoEarlyFlush);
        if (!mayFlush || !_writeBack || _lost || _doubted || _earlyFlush || !wanted)
        {
            return;
        }

        _log.Trim(_order.Stable);
        if ((_wantsRoom || _log.IsHalfFull) && _log.Count > 0)
        {
            _earlyFlush = true;
            _wantsRoom = false;
            SendOwnFlush(FreeOwnSlot(), SlotUse.EarlyFlush, nowMs);
        }
    }

    private void OnOwnReply(in FinishedReply reply, long nowMs)
    {
        ref SlotState place = ref _slots[reply.Slot];
        SlotUse use = place.Use;
        long captured = place.Captured;
        place.Use = SlotUse.Free;
        place.MustPublish = false;
        if (use == SlotUse.Replay)
        {
            _replaysInFlight--;
            if (reply.Status != DstStatus.Ok)
            {
                EndRecovery(reply.Status);
            }

            AdvanceRecovery(nowMs);
            return;
        }

        Must.Be(use is SlotUse.EarlyFlush or SlotUse.RecoveryFlush, $"lane {_lane} slot {reply.Slot} was {use}");
        EpochEnd doubt = JudgeFlush(in reply);
        if (doubt == EpochEnd.None && reply.Status == DstStatus.Ok)
        {
            _order.RaiseStable(captured);
            _log.Trim(_order.Stable);
        }

        if (use == SlotUse.EarlyFlush)
        {
            _earlyFlush = false;
            if (doubt != EpochEnd.None)
            {
                Doubt(doubt);
            }
        }
        else if (doubt == EpochEnd.ServerChanged && reply.Status == DstStatus.Ok)
        {
            Doubt(doubt);
        }
        else
        {
            EndRecovery(reply.Status);
        }
    }

    private void EndRecovery(DstStatus status)
    {
        if (_recovery is RecoveryStep.Replaying or RecoveryStep.Flushing)
        {
            _recovery = RecoveryStep.Over;
            Tell(new LaneNews { Kind = LaneNewsKind.Recovered, Status = status });
        }
    }

    private int FreeOwnSlot()
    {
        for (int slot = _requestSlots; slot < _share.Slots; slot++)
        {
            if (_slots[slot].Use == SlotUse.Free)
            {
                return slot;
            }
        }

        return None;
    }
}
