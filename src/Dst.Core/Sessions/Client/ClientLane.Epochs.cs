using Dst.Core.Requests;
using Dst.Core.Wire;

namespace Dst.Core.Sessions.Client;

/// <summary>The part of a lane that goes from one epoch to the next.</summary>
public sealed partial class ClientLane
{
    private void Settle(in LaneSession session)
    {
        Must.Be(Stage == LaneStage.Down, $"lane {_lane} settles while {Stage}");
        Must.Be(
            session.Share.Slots >= ClientLimits.LaneSlotsMin && session.Share.Slots <= _slots.Length,
            $"lane {_lane} gets {session.Share}");
        Stage = LaneStage.Settled;
        _doubted = false;
        AnswerCompleted();

        // Before some take new ids and stand among those that wait.
        EndSpentTries();
        bool logReturns = _lost && !session.Lost;
        bool moves = session.Share != _share || logReturns;
        if (session.DropLog)
        {
            _log.Drop();
        }

        _lost = session.Lost;
        _writeBack |= session.WriteBack;
        _session = session;
        if (moves)
        {
            MoveToWaiting();
            TakeShare(session.Share, session.SequenceBase);
        }

        Tell(new LaneNews { Kind = LaneNewsKind.Settled });
    }

    /// <summary>
    /// Changes that the server has completed are answered and logged now, before a replay: sent again later they would
    /// only be answered from its table, and the replay would have undone them (S-10, S-22).
    /// </summary>
    private void AnswerCompleted()
    {
        // Bounded by the slots.
        for (int leg = _sent.First; leg != None;)
        {
            int next = _legs[leg].SentLink.Next;
            ref SlotState place = ref _slots[_legs[leg].Slot];
            int wireSlot = _share.FirstSlot + _legs[leg].Slot;
            if (_legs[leg].Request.IsChange
                && _shared.Completed.TryFind(_share.Connection, wireSlot, place.Sequence, out ushort wire))
            {
                EndLeg(leg, WireStatus.TryFromWire(wire, out DstStatus status) ? status : DstStatus.IoError);
            }

            leg = next;
        }
    }

    /// <summary>With other slots than before, what is in flight takes new ids, first of all that wait.</summary>
    private void MoveToWaiting()
    {
        // Bounded by the slots; from the last, so that the first sent stands first.
        while (_sent.Last != None)
        {
            int leg = _sent.Last;
            ref LegState state = ref _legs[leg];
            FreeSlot(leg);
            if (state.IsReserved)
            {
                _log.Unreserve((int)DataBytes(in state.Request));
            }

            ReleaseRange(ref state);
            SetAgain(leg);
            PutFirst(leg);
        }
    }

    private void TakeShare(LaneShare share, ulong sequenceBase)
    {
        int own = int.Clamp(share.Slots / 4, 1, ClientLimits.OwnSlotsMax);
        _share = share;
        _requestSlots = share.Slots - own;
        _sequenceBase = ulong.Max(_sequenceBase, sequenceBase);
        _freeCount = 0;
        for (int slot = _requestSlots - 1; slot >= 0; slot--)
        {
            _freeSlots[_freeCount++] = slot;
        }
    }

    private void EndSpentTries()
    {
        if (!_budget.EndsWithError || _budget.RetriesMax == 0 || Mutations.Has(Mutation.RetriesForgotten))
        {
            return;
        }

        for (int leg = _sent.First; leg != None;)
        {
            int next = _legs[leg].SentLink.Next;
            EndSpentTries(leg, _legs[leg].Tries);
            leg = next;
        }

        // What was not sent again since it took new ids; reads that were put back have counted the try to come.
        for (int leg = _waiting.First; leg != None;)
        {
            int next = _legs[leg].WaitingLink.Next;
            EndSpentTries(leg, _legs[leg].Again ? _legs[leg].Tries : _legs[leg].Tries - 1);
            leg = next;
        }
    }

    private void EndSpentTries(int leg, int tries)
    {
        if (tries >= _budget.RetriesMax)
        {
            BudgetEndCount++;
            EndLeg(leg, DstStatus.LinkLost);
        }
    }

    private void Resend(bool lost, long nowMs)
    {
        Must.Be(Stage == LaneStage.Settled, $"lane {_lane} sends again while {Stage}");
        _lost = lost;
        for (int leg = _sent.First; _lost && leg != None;)
        {
            int next = _legs[leg].SentLink.Next;
            if (AsksForDurability(in _legs[leg].Request))
            {
                EndLeg(leg, DstStatus.IoError);
            }

            leg = next;
        }

        PutReadsBack();
        Stage = LaneStage.Resending;
        for (int leg = _sent.First; leg != None; leg = _legs[leg].SentLink.Next)
        {
            SetAgain(leg);
            CountResend(leg);
            PublishLeg(_legs[leg].Slot, nowMs, again: true);
        }

        Dispatch(nowMs);
        TellWhenResent();
    }

    /// <summary>
    /// Reads wait until every change that is sent again is answered, like new requests: one that overtook such a change
    /// would return what was there before it, though an earlier read may have returned its data already (S-12).
    /// </summary>
    private void PutReadsBack()
    {
        for (int leg = _waiting.First; leg != None; leg = _legs[leg].WaitingLink.Next)
        {
            if (_legs[leg].Again && _legs[leg].Request.Operation == Operation.Read)
            {
                _legs[leg].Again = false;
                _againCount--;
                CountResend(leg);
            }
        }

        // From the last, so that the first sent stands first.
        for (int leg = _sent.Last; leg != None;)
        {
            int previous = _legs[leg].SentLink.Previous;
            if (_legs[leg].Request.Operation == Operation.Read)
            {
                FreeSlot(leg);
                CountResend(leg);
                PutFirst(leg);
            }

            leg = previous;
        }
    }

    private void CountResend(int leg)
    {
        _legs[leg].Tries++;
        ResendCount++;
    }

    private void SetAgain(int leg)
    {
        if (!_legs[leg].Again)
        {
            _legs[leg].Again = true;
            _againCount++;
        }
    }

    /// <summary>Tells the node, once in an epoch, that nothing sent again is unanswered (S-12).</summary>
    private void TellWhenResent()
    {
        if (Stage == LaneStage.Resending && _againCount == 0 && !_resentTold)
        {
            _resentTold = true;
            Tell(new LaneNews { Kind = LaneNewsKind.Resent });
        }
    }

    private void LetGo(long nowMs)
    {
        Must.Be(Stage == LaneStage.Closing, $"lane {_lane} is let go while {Stage}");
        OnReplies(nowMs);
        for (int slot = _requestSlots; slot < _share.Slots; slot++)
        {
            bool free = _replies.TryAbandon(slot);
            Must.Be(free, $"lane {_lane} slot {slot} is let go while RX has it");
            _slots[slot].Use = SlotUse.Free;
        }

        _recovery = RecoveryStep.None;
        _replaysInFlight = 0;
        _earlyFlush = false;
        Stage = LaneStage.Down;
        _resentTold = false;
        for (int leg = _sent.First; leg != None;)
        {
            int next = _legs[leg].SentLink.Next;
            ref LegState state = ref _legs[leg];
            ref SlotState place = ref _slots[state.Slot];
            Must.Be(
                place.MustPublish || _replies.IsWaiting(state.Slot),
                $"lane {_lane} slot {state.Slot} is let go while RX has it");
            if (state.IsGivenUp)
            {
                EndLeg(leg, state.GivenUpStatus);
            }
            else if (Mutations.Has(Mutation.ErrorOnReconnect))
            {
                EndLeg(leg, DstStatus.IoError);
            }
            else if (state.Again)
            {
                state.Again = false;
                _againCount--;
            }

            leg = next;
        }

        Tell(new LaneNews { Kind = LaneNewsKind.Quiet, Sequence = _highestSequence });
    }
}
