using Dst.Core.Requests;

namespace Dst.Core.Sessions.Client;

/// <summary>The part of a lane that ends legs, and its lists.</summary>
public sealed partial class ClientLane
{
    private enum LegPlace : byte
    {
        Free,
        Waiting,
        InFlight,
    }

    private enum SlotUse : byte
    {
        Free,
        Leg,
        EarlyFlush,
        Replay,
        RecoveryFlush,
    }

    private enum Links : byte
    {
        Waiting,
        Sent,
        Arrived,
    }

    /// <summary>A reply to a leg's request.</summary>
    private void OnReply(in FinishedReply reply)
    {
        ref SlotState place = ref _slots[reply.Slot];
        int leg = place.Leg;
        ref LegState state = ref _legs[leg];
        Must.Be(place.Sequence == reply.Sequence, $"lane {_lane} slot {reply.Slot}: reply of {reply.Sequence}");
        if (!reply.DataGood)
        {
            BadDataCount++;
            Doubt(EpochEnd.BadData);
            if (++state.BadData >= ClientLimits.BadChecksumsMax)
            {
                EndLeg(leg, DstStatus.ProtectionError);
                return;
            }

            place.MustPublish = true;
            return;
        }

        if (state.Request.Operation == Operation.Flush)
        {
            EpochEnd doubt = JudgeFlush(in reply);
            if (doubt != EpochEnd.None && !state.IsGivenUp)
            {
                // It may not say ok over changes that have to be sent again first: it waits for the next epoch (S-22).
                Doubt(doubt);
                place.MustPublish = true;
                return;
            }

            if (doubt == EpochEnd.None && reply.Status == DstStatus.Ok)
            {
                _order.RaiseStable(Mutations.Has(Mutation.FlushCoversTooMuch) ? _order.Last : place.Captured);
            }
        }

        EndLeg(leg, state.IsGivenUp && reply.Status == DstStatus.Ok && state.Request.Operation == Operation.Flush
            ? state.GivenUpStatus
            : reply.Status);
    }

    /// <summary>What the reply to a flush means for the epoch (S-20, S-22).</summary>
    private EpochEnd JudgeFlush(in FinishedReply reply)
    {
        if (Mutations.Has(Mutation.FlushNotJudged))
        {
            return EpochEnd.None;
        }

        if (reply.BootId != _session.BootId || reply.Generation != _session.Generation)
        {
            return EpochEnd.ServerChanged;
        }

        return reply.Status != DstStatus.Ok && _writeBack && !_lost ? EpochEnd.FlushFailed : EpochEnd.None;
    }

    /// <summary>A leg is final: logged if it was a change, then everything it held is given back.</summary>
    private void EndLeg(int leg, DstStatus status)
    {
        ref LegState state = ref _legs[leg];
        EndChange(leg, status);
        if (state.Place == LegPlace.Waiting)
        {
            Remove(ref _waiting, leg, Links.Waiting);
        }
        else if (state.Place == LegPlace.InFlight)
        {
            FreeSlot(leg);
        }

        if (state.Again)
        {
            _againCount--;
        }

        if (!state.IsGivenUp)
        {
            Remove(ref _arrived, leg, Links.Arrived);
        }

        state.Place = LegPlace.Free;
        LegCount--;
        Effects.Add(new LaneEffect { Kind = LaneEffectKind.Complete, Leg = leg, Status = status });
        if (Mutations.Has(Mutation.CompletedTwice))
        {
            Effects.Add(new LaneEffect { Kind = LaneEffectKind.Complete, Leg = leg, Status = status });
        }

        TellWhenResent();
    }

    private void FreeSlot(int leg)
    {
        ref LegState state = ref _legs[leg];
        int slot = state.Slot;
        bool free = _replies.TryAbandon(slot);
        Must.Be(free, $"lane {_lane} slot {slot} is given back while RX has it");
        Remove(ref _sent, leg, Links.Sent);
        InFlightCount--;
        _payloadBytes -= DataBytes(in state.Request);
        _slots[slot].Use = SlotUse.Free;
        _slots[slot].Leg = None;
        _slots[slot].MustPublish = false;
        state.Slot = None;
        if (!Mutations.Has(Mutation.SlotLeak))
        {
            _freeSlots[_freeCount++] = slot;
        }
    }

    /// <summary>
    /// Ends a leg before its reply. Only one that was never sent under a live epoch ends at once; any other ends the
    /// epoch and waits until RX and TX have let go (S-13).
    /// </summary>
    private void GiveUp(int leg, DstStatus status)
    {
        ref LegState state = ref _legs[leg];
        bool onTheWire = state.Place == LegPlace.InFlight
            && Stage is LaneStage.Resending or LaneStage.Open or LaneStage.Closing;
        if (Mutations.Has(Mutation.LogEmptiedByBudget))
        {
            _log.Drop();
        }

        bool abandons = Mutations.Has(Mutation.BufferBackEarly)
            || (Mutations.Has(Mutation.GivenUpOnLiveEpoch) && onTheWire && _replies.IsWaiting(state.Slot));
        if (!onTheWire || abandons)
        {
            if (onTheWire && Mutations.Has(Mutation.BufferBackEarly))
            {
                Doubt(EpochEnd.Abandoned);
            }

            EndLeg(leg, status);
            return;
        }

        state.IsGivenUp = true;
        state.GivenUpStatus = status;
        Remove(ref _arrived, leg, Links.Arrived);
        Doubt(EpochEnd.Abandoned);
    }

    /// <summary>
    /// The server has refused the data of a write, whose buffer may be damaged here: sent again a few times, then it
    /// ends (S-33). Whatever else the server names is not believed (S-14).
    /// </summary>
    private void NoteBadWrite(int wireSlot, ulong sequence)
    {
        int slot = wireSlot - _share.FirstSlot;
        if (sequence == 0 || slot < 0 || slot >= _requestSlots || _slots[slot].Use != SlotUse.Leg
            || _slots[slot].Sequence != sequence || !_replies.IsWaiting(slot))
        {
            return;
        }

        int leg = _slots[slot].Leg;
        ref LegState state = ref _legs[leg];
        if (state.Request.Operation == Operation.Write && !state.IsGivenUp)
        {
            BadDataCount++;
            if (++state.BadData >= ClientLimits.BadChecksumsMax)
            {
                GiveUp(leg, DstStatus.ProtectionError);
            }
        }
    }

    private void FailAll(DstStatus status, bool forEver, long nowMs)
    {
        Must.Be(status != DstStatus.Ok, $"lane {_lane} is to fail with Ok");
        _failStatus = forEver ? status : _failStatus;

        // Bounded by the legs: each turn takes one from the list.
        while (_arrived.First != None)
        {
            GiveUp(_arrived.First, status);
        }

        Dispatch(nowMs);
    }

    /// <summary>A change waits while its range or its place in the log is not free (S-21).</summary>
    private bool TryAdmitChange(ref LegState state)
    {
        if (!_writeBack || !state.Request.IsChange || Mutations.Has(Mutation.OverlapNotHeld))
        {
            return true;
        }

        int dataBytes = (int)DataBytes(in state.Request);
        if (!_lost)
        {
            _log.Trim(_order.Stable);
            if (!_log.TryReserve(dataBytes))
            {
                _wantsRoom = true;
                return false;
            }
        }

        long offset = state.Request.OffsetBytes;
        long length = state.Request.LengthBytes;
        RangeClaim claim = _order.TryClaim(_lane, offset, length);
        if (claim == RangeClaim.Shared && OverlapsOwnChange(offset, length))
        {
            WakeOthers(_order.Release(_lane, offset, length));
            claim = RangeClaim.Refused;
        }

        if (claim == RangeClaim.Refused)
        {
            if (!_lost)
            {
                _log.Unreserve(dataBytes);
            }

            return false;
        }

        state.IsReserved = !_lost;
        state.IsClaimed = true;
        return true;
    }

    private bool OverlapsOwnChange(long offset, long length)
    {
        // Bounded by the slots.
        for (int leg = _sent.First; leg != None; leg = _legs[leg].SentLink.Next)
        {
            ref readonly Request other = ref _legs[leg].Request;
            if (other.IsChange && other.OffsetBytes < offset + length && offset < other.OffsetBytes + other.LengthBytes)
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>
    /// Logs an acknowledged change, then gives its range back: in this order, or a later change of another lane could
    /// get a smaller sequence (S-21).
    /// </summary>
    private void EndChange(int leg, DstStatus status)
    {
        ref LegState state = ref _legs[leg];
        if (state.IsReserved)
        {
            int dataBytes = (int)DataBytes(in state.Request);
            if (status == DstStatus.Ok && !_lost && !IsLeftOut(in state.Request))
            {
                LogEntry entry = _log.Append(_order.Next(), in state.Request);
                if (dataBytes > 0)
                {
                    Effects.Add(new LaneEffect
                    {
                        Kind = LaneEffectKind.CopyToLog,
                        Leg = leg,
                        Buffer = state.Buffer,
                        ArenaOffset = entry.ArenaOffset,
                        DataBytes = dataBytes,
                        EntryPlace = entry.Place,
                    });
                }
            }
            else
            {
                _log.Unreserve(dataBytes);
            }
        }

        ReleaseRange(ref state);
    }

    private static bool IsLeftOut(in Request request) =>
        (Mutations.Has(Mutation.FuaNotLogged) && (request.Flags & RequestFlags.Fua) != RequestFlags.None)
        || (Mutations.Has(Mutation.ZeroesNotLogged) && request.Operation != Operation.Write);

    private void ReleaseRange(ref LegState state)
    {
        if (state.IsClaimed)
        {
            WakeOthers(_order.Release(_lane, state.Request.OffsetBytes, state.Request.LengthBytes));
        }

        state.IsClaimed = false;
        state.IsReserved = false;
    }

    private void WakeOthers(ulong lanes)
    {
        if (lanes != 0)
        {
            Effects.Add(new LaneEffect { Kind = LaneEffectKind.WakeLanes, Lanes = lanes });
        }
    }

    private void PutLast(int leg)
    {
        _legs[leg].Place = LegPlace.Waiting;
        Append(ref _waiting, leg, Links.Waiting);
    }

    private void PutFirst(int leg)
    {
        ref LegState state = ref _legs[leg];
        state.Place = LegPlace.Waiting;
        state.WaitingLink = new Link(None, _waiting.First);
        if (_waiting.First == None)
        {
            _waiting.Last = leg;
        }
        else
        {
            _legs[_waiting.First].WaitingLink.Previous = leg;
        }

        _waiting.First = leg;
    }

    private void Append(ref LinkEnds ends, int leg, Links links)
    {
        LinkOf(leg, links) = new Link(ends.Last, None);
        if (ends.Last == None)
        {
            ends.First = leg;
        }
        else
        {
            LinkOf(ends.Last, links).Next = leg;
        }

        ends.Last = leg;
    }

    private void Remove(ref LinkEnds ends, int leg, Links links)
    {
        Link link = LinkOf(leg, links);
        if (link.Previous == None)
        {
            ends.First = link.Next;
        }
        else
        {
            LinkOf(link.Previous, links).Next = link.Next;
        }

        if (link.Next == None)
        {
            ends.Last = link.Previous;
        }
        else
        {
            LinkOf(link.Next, links).Previous = link.Previous;
        }
    }

    private ref Link LinkOf(int leg, Links links)
    {
        ref LegState state = ref _legs[leg];
        if (links == Links.Sent)
        {
            return ref state.SentLink;
        }

        return ref links == Links.Waiting ? ref state.WaitingLink : ref state.ArrivedLink;
    }

    private struct Link(int previous, int next)
    {
        internal int Previous = previous;
        internal int Next = next;
    }

    private struct LinkEnds
    {
        internal static LinkEnds Empty => new() { First = None, Last = None };

        internal int First;
        internal int Last;
    }

    private struct LegState
    {
        internal Request Request;
        internal nint Buffer;
        internal long ArrivedMs;
        internal int Slot;
        internal int Tries;
        internal Link WaitingLink;
        internal Link SentLink;
        internal Link ArrivedLink;
        internal LegPlace Place;
        internal DstStatus GivenUpStatus;
        internal byte BadData;
        internal bool Again;
        internal bool IsGivenUp;
        internal bool IsReserved;
        internal bool IsClaimed;
    }

    private struct SlotState
    {
        internal ulong Sequence;
        internal long SentMs;
        internal long Captured;
        internal long OffsetBytes;
        internal long LengthBytes;
        internal int Leg;
        internal SlotUse Use;
        internal bool MustPublish;
    }
}
