using Dst.Core.Requests;
using Dst.Core.Wire;

namespace Dst.Core.Sessions.Client;

/// <summary>Where a lane is in the life of an epoch.</summary>
public enum LaneStage : byte
{
    /// <summary>Nothing of it is on a wire.</summary>
    Down,

    /// <summary>The completed table was used; only the lane's own requests may be on the wire.</summary>
    Settled,

    /// <summary>What was in flight is sent again; all else waits (S-12).</summary>
    Resending,

    /// <summary>Requests flow.</summary>
    Open,

    /// <summary>Nothing more is sent; RX or TX may still hold something.</summary>
    Closing,
}

/// <summary>Sizes of a lane; fixed for its life.</summary>
/// <param name="Lane">Number in the node.</param>
/// <param name="Legs">Legs that the queue can have in flight at once: valid leg numbers are below.</param>
public readonly record struct ClientLaneOptions(int Lane, int Legs);

/// <summary>
/// One ublk queue's end of a network node: slots, credits, requests that wait, their order, resends, the log. Owned by
/// the queue's thread; RX touches only its <see cref="ReplySlots"/>, the node's thread talks to it by orders and news.
/// A healthy request crosses only this machine. Allocates nothing after construction.
/// </summary>
/// <remarks>
/// Rules: ids of slot and sequence (S-10); nothing is sent twice under one epoch (S-11); resends before anything new,
/// on all lanes (S-12, the node opens them together); whatever gives up a request that was sent ends the epoch, and its
/// leg is final only when RX and TX have let go (S-13); overlapping changes of a write-back node never in flight
/// together (S-21); budgets (S-15).
/// </remarks>
public sealed partial class ClientLane
{
    private const int None = -1;

    private readonly int _lane;
    private readonly ReplySlots _replies;
    private readonly ClientNodeShared _shared;
    private readonly ChangeOrder _order;
    private readonly ReplayLog _log;
    private readonly LegState[] _legs;
    private readonly SlotState[] _slots;
    private readonly int[] _freeSlots;
    private readonly int[] _replayAt;
    private LinkEnds _waiting = LinkEnds.Empty;
    private LinkEnds _sent = LinkEnds.Empty;
    private LinkEnds _arrived = LinkEnds.Empty;
    private int _freeCount;
    private int _requestSlots;
    private LaneSession _session;
    private LaneShare _share;
    private RequestBudget _budget;
    private long _payloadBytes;
    private long _heldUntilMs;
    private int _againCount;
    private ulong _sequenceBase;
    private ulong _highestSequence;
    private DstStatus _failStatus;
    private bool _held;
    private bool _writeBack;
    private bool _lost;
    private bool _doubted;
    private bool _resentTold;

    /// <summary>A lane that is down, with every leg free.</summary>
    /// <param name="options">Sizes.</param>
    /// <param name="replies">Its border with RX, <see cref="ClientNodeShared.SlotsPerConnection"/> slots.</param>
    /// <param name="shared">What it shares with the other lanes.</param>
    /// <param name="budget">The first budget.</param>
    public ClientLane(
        in ClientLaneOptions options, ReplySlots replies, ClientNodeShared shared, in RequestBudget budget)
    {
        Must.Be((uint)options.Lane < (uint)shared.Lanes, $"lane {options.Lane} of {shared.Lanes}");
        Must.Be(options.Legs is >= 1 and <= ClientLimits.LegsMax, $"{options.Legs} legs");
        Must.Be(replies.Count == shared.SlotsPerConnection, $"{replies.Count} of {shared.SlotsPerConnection} slots");
        _lane = options.Lane;
        _replies = replies;
        _shared = shared;
        _order = shared.Order;
        _log = shared.Logs[_lane];
        _budget = budget;
        _legs = new LegState[options.Legs];
        _slots = new SlotState[replies.Count];
        _freeSlots = new int[replies.Count];
        _replayAt = new int[shared.Lanes];
        for (int i = 0; i < _slots.Length; i++)
        {
            _slots[i].Leg = None;
        }

        // A reply leads to at most a copy, a completion, a wake, news and a new send; an order to as much for each leg.
        Effects = new EffectList<LaneEffect>((4 * options.Legs) + (4 * replies.Count) + 64);
    }

    /// <summary>What is to be done; the driver drains it after every call.</summary>
    public EffectList<LaneEffect> Effects { get; }

    /// <summary>Where the lane is.</summary>
    public LaneStage Stage { get; private set; }

    /// <summary>Legs that the lane has. Any thread may read; so with all that follow.</summary>
    public int LegCount { get; private set; }

    /// <summary>Legs whose request was sent and is not answered.</summary>
    public int InFlightCount { get; private set; }

    /// <summary>Requests sent again so far.</summary>
    public long ResendCount { get; private set; }

    /// <summary>Bytes of data replayed so far, by this lane for all.</summary>
    public long ReplayedBytes { get; private set; }

    /// <summary>Legs that ended with an error because their budget was spent.</summary>
    public long BudgetEndCount { get; private set; }

    /// <summary>Replies whose data did not match.</summary>
    public long BadDataCount { get; private set; }

    /// <summary>How long the oldest leg has been here.</summary>
    /// <param name="nowMs">Time of the caller, milliseconds of the lane's clock. Queue thread.</param>
    public long OldestMs(long nowMs) => _arrived.First == None ? 0 : nowMs - _legs[_arrived.First].ArrivedMs;

    /// <summary>Takes a leg. Its end is an effect, perhaps of this very call.</summary>
    /// <param name="leg">A free leg.</param>
    /// <param name="request">Offsets count from the node's start; a range is valid for the export.</param>
    /// <param name="buffer">Data; untouched once the leg is final.</param>
    /// <param name="nowMs">Now.</param>
    public void Submit(int leg, in Request request, nint buffer, long nowMs)
    {
        ref LegState state = ref LegAt(leg);
        Must.Be(state.Place == LegPlace.Free, $"lane {_lane} leg {leg} submitted while {state.Place}");
        Must.Be(
            request.Operation == Operation.Flush || (request.LengthBytes > 0 && request.OffsetBytes >= 0),
            $"lane {_lane} leg {leg}: {request}");
        state = new LegState { Request = request, Buffer = buffer, ArrivedMs = nowMs, Slot = None };
        LegCount++;
        Append(ref _arrived, leg, Links.Arrived);
        if (_failStatus != DstStatus.Ok)
        {
            EndLeg(leg, _failStatus);
            return;
        }

        // Behind those that wait already, or a waiting one could starve.
        if (!(IsFlowing || RunsAhead(in request)) || _waiting.First != None || !TryStart(leg, nowMs))
        {
            PutLast(leg);
            FlushEarly(nowMs);
        }
    }

    /// <summary>Takes what RX has finished.</summary>
    /// <param name="nowMs">Now.</param>
    public void OnReplies(long nowMs)
    {
        // Each slot is at most once in the ring, and is not used again before the dispatch below.
        while (_replies.TryTake(out FinishedReply reply))
        {
            if (_slots[reply.Slot].Use == SlotUse.Leg)
            {
                OnReply(in reply);
            }
            else
            {
                OnOwnReply(in reply, nowMs);
            }
        }

        Dispatch(nowMs);
    }

    /// <summary>Another lane has given something back, or time has passed: tries what waits.</summary>
    /// <param name="nowMs">Now.</param>
    public void OnWake(long nowMs) => Dispatch(nowMs);

    /// <summary>Looks at deadlines and budgets; at least each 100 ms while there are legs.</summary>
    /// <param name="nowMs">Now.</param>
    public void Tick(long nowMs)
    {
        if (Stage is LaneStage.Settled or LaneStage.Resending or LaneStage.Open && IsOverdue(nowMs))
        {
            // Slow is not lost: only a new epoch makes a resend safe (S-11).
            Doubt(EpochEnd.Deadline);
        }

        if (Mutations.Has(Mutation.ResendByTimer))
        {
            ResendSlow(nowMs);
        }

        bool counts = _budget.EndsWithError && _budget.RetryTimeMs != 0 && !_held
            && !Mutations.Has(Mutation.BudgetForgotten);

        // Bounded by the legs: each turn takes one from the list.
        while (counts && _arrived.First != None && IsSpent(in _legs[_arrived.First], nowMs))
        {
            BudgetEndCount++;
            GiveUp(_arrived.First, Stage == LaneStage.Open ? DstStatus.TimedOut : DstStatus.LinkLost);
        }

        Dispatch(nowMs);
    }

    /// <summary>Carries out an order of the node.</summary>
    /// <param name="order">The order.</param>
    /// <param name="nowMs">Now.</param>
    public void OnOrder(in LaneOrder order, long nowMs)
    {
        switch (order.Kind)
        {
            case LaneOrderKind.Settle:
                Settle(in order.Session);
                break;
            case LaneOrderKind.Recover:
                BeginRecovery(order.ReplayLog, nowMs);
                break;
            case LaneOrderKind.Resend:
                Resend(order.Session.Lost, nowMs);
                break;
            case LaneOrderKind.Open:
                Must.Be(Stage == LaneStage.Resending && _againCount == 0, $"lane {_lane} opened while {Stage}");
                Stage = LaneStage.Open;
                Dispatch(nowMs);
                break;
            case LaneOrderKind.Close:
                Must.Be(Stage is not (LaneStage.Down or LaneStage.Closing), $"lane {_lane} closed while {Stage}");
                Stage = LaneStage.Closing;
                NoteBadWrite(order.BadSlot, order.BadSequence);
                Tell(new LaneNews { Kind = LaneNewsKind.Closed });
                break;
            case LaneOrderKind.LetGo:
                LetGo(nowMs);
                break;
            case LaneOrderKind.Fail:
                FailAll(order.Status, order.ForEver, nowMs);
                break;
            case LaneOrderKind.Budget:
                _budget = order.Budget;
                break;
            case LaneOrderKind.Hold:
                _held = true;
                break;
            default:
                Must.Be(order.Kind == LaneOrderKind.Unhold, $"lane {_lane} got order {(int)order.Kind}");
                _held = false;
                _heldUntilMs = nowMs;
                Dispatch(nowMs);
                break;
        }
    }

    /// <summary>Of a broken variant only.</summary>
    private bool RunsAhead(in Request request)
    {
        bool early = Stage is LaneStage.Settled or LaneStage.Resending && !_held && !_doubted;
        return early && ((Mutations.Has(Mutation.ReadsBeforeReplay) && request.Operation == Operation.Read)
            || (Mutations.Has(Mutation.NewBeforeResends) && Stage == LaneStage.Resending));
    }

    /// <summary>Of a broken variant only.</summary>
    private void ResendSlow(long nowMs)
    {
        if (Stage == LaneStage.Open && _sent.First != None && nowMs - _slots[_legs[_sent.First].Slot].SentMs > 1_000
            && _replies.IsWaiting(_legs[_sent.First].Slot))
        {
            PublishLeg(_legs[_sent.First].Slot, nowMs, again: true);
        }
    }

    private bool IsFlowing => Stage == LaneStage.Open && !_held && !_doubted;

    private bool IsSpent(in LegState leg, long nowMs) =>
        nowMs - long.Max(leg.ArrivedMs, _heldUntilMs) > _budget.RetryTimeMs
        || Mutations.Has(Mutation.BudgetSpentAtOnce);

    private bool IsOverdue(long nowMs)
    {
        if (_budget.DeadlineMs == 0 || Mutations.Has(Mutation.DeadlineForgotten))
        {
            return false;
        }

        // Sent under this epoch only from Resending on; the list is in the order of sending.
        if (Stage != LaneStage.Settled && _sent.First != None
            && nowMs - _slots[_legs[_sent.First].Slot].SentMs > _budget.DeadlineMs)
        {
            return true;
        }

        for (int slot = _requestSlots; slot < _share.Slots; slot++)
        {
            if (_slots[slot].Use != SlotUse.Free && nowMs - _slots[slot].SentMs > _budget.DeadlineMs)
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>Starts what waits, in order, as far as slots, credits, log and ranges reach.</summary>
    private void Dispatch(long nowMs)
    {
        if (Stage == LaneStage.Resending && !_doubted)
        {
            DispatchAgain(nowMs);
        }

        // Bounded by the legs: each turn takes one from the list.
        while (_waiting.First != None)
        {
            int leg = _waiting.First;
            bool may = IsFlowing || RunsAhead(in _legs[leg].Request);
            if (!may || !TryStart(leg, nowMs))
            {
                break;
            }
        }

        FlushEarly(nowMs);
    }

    /// <summary>Changes that have to be sent again under other ids stand among what waits.</summary>
    private void DispatchAgain(long nowMs)
    {
        for (int leg = _waiting.First; leg != None;)
        {
            int next = _legs[leg].WaitingLink.Next;
            if (_legs[leg].Again && !TryStart(leg, nowMs))
            {
                return;
            }

            leg = next;
        }
    }

    /// <summary>Sends a leg's request for the first time, or ends it; false when it has to wait.</summary>
    private bool TryStart(int leg, long nowMs)
    {
        ref LegState state = ref _legs[leg];
        if (_lost && AsksForDurability(in state.Request))
        {
            EndLeg(leg, DstStatus.IoError);
            return true;
        }

        long dataBytes = DataBytes(in state.Request);
        Must.Be(dataBytes <= _share.PayloadBytes, $"lane {_lane} leg {leg}: {state.Request} is over the credits");
        if (_freeCount == 0 || _payloadBytes + dataBytes > _share.PayloadBytes || !TryAdmitChange(ref state))
        {
            return false;
        }

        if (state.Place == LegPlace.Waiting)
        {
            Remove(ref _waiting, leg, Links.Waiting);
        }

        int slot = _freeSlots[--_freeCount];
        state.Slot = slot;
        state.Place = LegPlace.InFlight;
        Append(ref _sent, leg, Links.Sent);
        InFlightCount++;
        _payloadBytes += dataBytes;
        ref SlotState place = ref _slots[slot];
        place.Use = SlotUse.Leg;
        place.Leg = leg;
        place.Captured = _order.Last;
        TakeSequence(slot);
        if (state.Again)
        {
            CountResend(leg);
        }

        PublishLeg(slot, nowMs, again: state.Again);
        return true;
    }

    private void TakeSequence(int slot)
    {
        ref SlotState place = ref _slots[slot];
        place.Sequence = ulong.Max(place.Sequence, _sequenceBase) + 1;
        place.MustPublish = true;
        _highestSequence = ulong.Max(_highestSequence, place.Sequence);
    }

    /// <summary>Makes the reply welcome, then has the request sent (S-14).</summary>
    private void PublishLeg(int slot, long nowMs, bool again)
    {
        ref SlotState place = ref _slots[slot];
        ref LegState state = ref _legs[place.Leg];
        if (place.MustPublish)
        {
            Request request = state.Request;
            bool isFlush = request.Operation == Operation.Flush;
            _replies.Publish(slot, new WaitingReply(
                _session.Epoch,
                place.Sequence,
                request.Operation,
                isFlush ? 0 : request.OffsetBytes,
                isFlush ? 0 : request.LengthBytes,
                state.Buffer));
            place.MustPublish = false;
        }
        else
        {
            _replies.Republish(slot, _session.Epoch);
        }

        place.SentMs = nowMs;
        Effects.Add(new LaneEffect
        {
            Kind = LaneEffectKind.Send,
            Leg = place.Leg,
            Again = again,
            Buffer = state.Buffer,
            Header = HeaderOf(slot, in state.Request),
        });
    }

    private FrameHeader HeaderOf(int slot, in Request request)
    {
        FrameHeader header = new()
        {
            Kind = FrameKind.Request,
            Operation = request.Operation,
            Epoch = _session.Epoch,
            Slot = (ushort)(_share.FirstSlot + slot),
            Sequence = _slots[slot].Sequence,
        };
        if (request.Operation == Operation.Flush)
        {
            return header;
        }

        header.OffsetBytes = (ulong)request.OffsetBytes;
        header.LengthBytes = (ulong)request.LengthBytes;
        if (request.IsChange)
        {
            header.Flags = (request.Flags & RequestFlags.Fua) != RequestFlags.None ? FrameFlags.Fua : FrameFlags.None;
            bool keeps = request.Operation == Operation.WriteZeroes
                && (request.Flags & RequestFlags.NoUnmap) != RequestFlags.None;
            header.Flags |= keeps ? FrameFlags.NoUnmap : FrameFlags.None;
        }

        if (request.Operation == Operation.Write)
        {
            header.BodyBytes = (uint)DataChecksum.BodyBytes(_session.Checksum, (int)request.LengthBytes);
        }

        return header;
    }

    private static long DataBytes(in Request request) =>
        request.Operation is Operation.Read or Operation.Write ? request.LengthBytes : 0;

    private static bool AsksForDurability(in Request request) => request.Operation == Operation.Flush
        || (request.IsChange && (request.Flags & RequestFlags.Fua) != RequestFlags.None);

    private void Tell(in LaneNews news) => Effects.Add(new LaneEffect { Kind = LaneEffectKind.Tell, News = news });

    /// <summary>Tells the node once that the epoch has to end.</summary>
    private void Doubt(EpochEnd reason)
    {
        if (!_doubted && Stage is LaneStage.Settled or LaneStage.Resending or LaneStage.Open)
        {
            _doubted = true;
            Tell(new LaneNews { Kind = LaneNewsKind.Doubt, Reason = reason });
        }
    }

    private ref LegState LegAt(int leg)
    {
        Must.Be((uint)leg < (uint)_legs.Length, $"lane {_lane} leg {leg} of {_legs.Length}");
        return ref _legs[leg];
    }
}
