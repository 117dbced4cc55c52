using Dst.Core.Requests;
using Dst.Core.Sessions.Client;
using Dst.Core.Wire;
using Xunit;
using static Dst.Core.Tests.Sessions.Client.LaneRig;

namespace Dst.Core.Tests.Sessions.Client;

public sealed class ClientLaneTests
{
    private readonly LaneRig _rig = new();

    [Fact]
    public void A_healthy_request_is_sent_at_once_and_ends_with_its_reply()
    {
        _rig.Up();
        LaneEffect sent = Assert.Single(_rig.Submit(3, Write(4096, 1024, RequestFlags.Fua)));
        Assert.Equal(LaneEffectKind.Send, sent.Kind);
        Assert.Equal((1UL, 1UL, FrameFlags.Fua), (sent.Header.Epoch, sent.Header.Sequence, sent.Header.Flags));
        Assert.Equal(
            (4096UL, 1024UL, 1024U), (sent.Header.OffsetBytes, sent.Header.LengthBytes, sent.Header.BodyBytes));
        Assert.False(sent.Again);
        LaneEffect end = Assert.Single(_rig.Answer(sent, status: DstStatus.NoSpace));
        Assert.True(IsEnd(3, DstStatus.NoSpace)(end));
        Assert.Equal(0, _rig.Lane.LegCount);
        Assert.Equal(2UL, Assert.Single(_rig.Submit(3, Read())).Header.Sequence);
    }

    [Fact]
    public void What_does_not_fit_slots_or_credits_waits_in_order()
    {
        _rig.Session.Share = new LaneShare(0, 0, Slots, 4096);
        _rig.Up();
        LaneEffect first = Assert.Single(_rig.Submit(0, Read(0, 4096)));
        Assert.Empty(_rig.Submit(1, Read(0, 512)));
        Assert.Empty(_rig.Submit(2, Flush));
        List<LaneEffect> after = _rig.Answer(first);
        Assert.Equal([0, 1, 2], after.Select(effect => effect.Leg));
        for (int leg = 3; leg < Legs; leg++)
        {
            _rig.Submit(leg, Flush);
        }

        Assert.Equal(Slots - 2, _rig.Lane.InFlightCount); // two slots are kept back
    }

    [Fact]
    public void Nothing_is_sent_before_the_gate_is_open()
    {
        Assert.Empty(_rig.Submit(0, Write()));
        Assert.DoesNotContain(_rig.Order(LaneOrderKind.Settle), IsSend);
        Assert.DoesNotContain(_rig.Order(LaneOrderKind.Resend), IsSend);
        Assert.Single(_rig.Order(LaneOrderKind.Open), IsSend);
    }

    [Fact]
    public void Resends_keep_their_ids_and_go_before_anything_new()
    {
        _rig.Up();
        LaneEffect one = Assert.Single(_rig.Submit(0, Write()));
        LaneEffect two = Assert.Single(_rig.Submit(1, Write(4096)));
        _rig.Down();
        Assert.Empty(_rig.Submit(2, Read()));
        _rig.NextEpoch();
        _rig.Order(LaneOrderKind.Settle);
        List<LaneEffect> again = _rig.Order(LaneOrderKind.Resend);
        Assert.Equal([0, 1], again.Select(effect => effect.Leg));
        Assert.All(again, effect => Assert.True(effect.Again && effect.Header.Epoch == 2));
        Assert.Equal(one.Header.Sequence, again[0].Header.Sequence);
        Assert.Equal(two.Header.Slot, again[1].Header.Slot);
        Assert.DoesNotContain(_rig.Answer(again[1]), IsSend);
        Assert.Contains(_rig.Answer(again[0]), IsNews(LaneNewsKind.Resent));
        Assert.Single(_rig.Order(LaneOrderKind.Open), IsSend);
        Assert.Equal(2, _rig.Lane.ResendCount);
    }

    [Fact]
    public void Reads_in_flight_wait_for_every_change_that_is_sent_again()
    {
        _rig.Up();
        LaneEffect read = Assert.Single(_rig.Submit(0, Read()));
        Assert.Single(_rig.Submit(1, Write()));
        Assert.Single(_rig.Submit(2, Read(4096)));
        _rig.Down();
        _rig.NextEpoch();
        _rig.Order(LaneOrderKind.Settle);
        LaneEffect change = Assert.Single(_rig.Order(LaneOrderKind.Resend), IsSend);
        Assert.Equal(1, change.Leg);
        List<LaneEffect> answered = _rig.Answer(change);
        Assert.Contains(answered, IsNews(LaneNewsKind.Resent));
        Assert.DoesNotContain(answered, IsSend);
        List<LaneEffect> reads = [.. _rig.Order(LaneOrderKind.Open).Where(IsSend)];
        Assert.Equal([0, 2], reads.Select(effect => effect.Leg));
        Assert.All(reads, effect => Assert.True(
            effect.Header.Slot != read.Header.Slot || effect.Header.Sequence > read.Header.Sequence));
        Assert.Equal(3, _rig.Lane.ResendCount);
    }

    [Fact]
    public void A_change_in_the_completed_table_is_answered_and_not_sent_again()
    {
        _rig.Up();
        LaneEffect write = Assert.Single(_rig.Submit(0, Write()));
        LaneEffect read = Assert.Single(_rig.Submit(1, Read()));
        LaneEffect other = Assert.Single(_rig.Submit(2, Write(4096)));
        _rig.Down();
        CompletedEntry Done(LaneEffect sent, ulong sequence) => new(0, sent.Header.Slot, 3, sequence);
        _rig.Shared.Completed.Add(Done(write, write.Header.Sequence));
        _rig.Shared.Completed.Add(Done(read, read.Header.Sequence));
        _rig.Shared.Completed.Add(Done(other, other.Header.Sequence + 1));
        _rig.NextEpoch();
        Assert.Contains(_rig.Order(LaneOrderKind.Settle), IsEnd(0, DstStatus.NoSpace));
        Assert.Equal([2], _rig.Order(LaneOrderKind.Resend).Where(IsSend).Select(effect => effect.Leg));
    }

    [Fact]
    public void A_deadline_ends_the_epoch_and_sends_nothing()
    {
        LaneRig rig = new(budget: new RequestBudget(1000, 0, 0, EndsWithError: true));
        rig.Up();
        rig.Submit(0, Write());
        Assert.Empty(rig.Tick(1000));
        LaneEffect doubt = Assert.Single(rig.Tick(1001));
        Assert.True(IsDoubt(EpochEnd.Deadline)(doubt));
        Assert.Empty(rig.Tick(5000)); // told once, and nothing is sent under an epoch that is doubted
        Assert.Empty(rig.Submit(1, Read()));
    }

    [Fact]
    public void A_request_given_up_in_flight_ends_the_epoch_and_waits_for_RX()
    {
        _rig.Up();
        LaneEffect sent = Assert.Single(_rig.Submit(0, Read()));
        Assert.Equal(ReplyVerdict.Take, _rig.Claim(sent));
        List<LaneEffect> failed = _rig.Order(LaneOrderKind.Fail, change: box => box.Order.Status = DstStatus.IoError);
        Assert.True(IsDoubt(EpochEnd.Abandoned)(Assert.Single(failed)));
        Assert.DoesNotContain(_rig.Order(LaneOrderKind.Close), IsEnd(0, DstStatus.IoError));
        MustFail.Message(() => _rig.Order(LaneOrderKind.LetGo)); // RX has the buffer still
    }

    [Fact]
    public void Its_leg_ends_once_everybody_has_let_go_and_its_id_never_comes_back()
    {
        _rig.Up();
        LaneEffect sent = Assert.Single(_rig.Submit(0, Read()));
        _rig.Claim(sent);
        _rig.Order(LaneOrderKind.Fail, change: box => box.Order.Status = DstStatus.TimedOut);
        _rig.LetGo(sent);
        Assert.Contains(_rig.Down(), IsEnd(0, DstStatus.TimedOut));
        _rig.NextEpoch();
        _rig.Up();
        Assert.NotEqual(ReplyVerdict.Take, _rig.Claim(sent));
        LaneEffect next = Assert.Single(_rig.Submit(0, Read()));
        Assert.True(next.Header.Slot != sent.Header.Slot || next.Header.Sequence > sent.Header.Sequence);
    }

    [Fact]
    public void A_reply_that_came_before_the_end_counts()
    {
        _rig.Up();
        LaneEffect sent = Assert.Single(_rig.Submit(0, Write()));
        _rig.Order(LaneOrderKind.Fail, change: box => box.Order.Status = DstStatus.TimedOut);
        Assert.Contains(_rig.Answer(sent), IsEnd(0));
        Assert.DoesNotContain(_rig.Down(), effect => effect.Kind == LaneEffectKind.Complete);
    }

    [Fact]
    public void A_request_that_was_never_sent_ends_at_once()
    {
        _rig.Submit(0, Write());
        List<LaneEffect> failed = _rig.Order(LaneOrderKind.Fail, change: box => box.Order.Status = DstStatus.IoError);
        Assert.True(IsEnd(0, DstStatus.IoError)(Assert.Single(failed)));
        Assert.Empty(_rig.Submit(0, Write()));
    }

    [Fact]
    public void After_the_node_failed_for_ever_everything_fails()
    {
        _rig.Submit(0, Write());
        List<LaneEffect> failed = _rig.Order(LaneOrderKind.Fail, change: box =>
        {
            box.Order.Status = DstStatus.ReservationConflict;
            box.Order.ForEver = true;
        });
        Assert.Contains(failed, IsEnd(0, DstStatus.ReservationConflict));
        Assert.Contains(_rig.Submit(1, Read()), IsEnd(1, DstStatus.ReservationConflict));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_spent_budget_ends_a_request_only_when_asked(bool endsWithError)
    {
        LaneRig rig = new(budget: new RequestBudget(0, 0, 1000, endsWithError));
        rig.Submit(0, Write());
        Assert.Empty(rig.Tick(1000));
        List<LaneEffect> late = rig.Tick(1001);
        Assert.Equal(endsWithError, late.Exists(IsEnd(0, DstStatus.LinkLost)));
        Assert.Equal(1001, rig.Lane.OldestMs(1001) + (endsWithError ? 1001 : 0));
    }

    [Fact]
    public void On_a_live_connection_a_spent_budget_is_a_timeout_by_way_of_a_new_epoch()
    {
        LaneRig rig = new(budget: new RequestBudget(0, 0, 1000, EndsWithError: true));
        rig.Up();
        rig.Submit(0, Write());
        Assert.True(IsDoubt(EpochEnd.Abandoned)(Assert.Single(rig.Tick(1001))));
        Assert.Contains(rig.Down(), IsEnd(0, DstStatus.TimedOut));
        Assert.Equal(1, rig.Lane.BudgetEndCount);
    }

    [Fact]
    public void Retries_are_counted()
    {
        LaneRig rig = new(budget: new RequestBudget(0, 2, 0, EndsWithError: true));
        rig.Up();
        rig.Submit(0, Write());
        for (int i = 0; i < 2; i++)
        {
            rig.Down();
            rig.NextEpoch();
            rig.Order(LaneOrderKind.Settle);
            Assert.Single(rig.Order(LaneOrderKind.Resend), IsSend);
        }

        rig.Down();
        rig.NextEpoch();
        Assert.Contains(rig.Order(LaneOrderKind.Settle), IsEnd(0, DstStatus.LinkLost));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Retries_are_counted_when_each_epoch_has_other_slots(bool reads)
    {
        LaneRig rig = new(budget: new RequestBudget(0, 2, 0, EndsWithError: true));
        rig.Up();
        rig.Submit(0, reads ? Read() : Write());
        for (int i = 0; i < 2; i++)
        {
            MoveToNextEpoch(rig);
            List<LaneEffect> sent = rig.Order(LaneOrderKind.Resend);
            Assert.Single(reads ? rig.Order(LaneOrderKind.Open) : sent, IsSend);
        }

        Assert.Contains(MoveToNextEpoch(rig), IsEnd(0, DstStatus.LinkLost));
        Assert.DoesNotContain(rig.Order(LaneOrderKind.Resend), IsSend);
    }

    [Fact]
    public void A_budget_that_came_later_ends_what_waits_to_be_sent_again()
    {
        LaneRig rig = new();
        rig.Up();
        rig.Submit(0, Write());
        MoveToNextEpoch(rig);
        Assert.Single(rig.Order(LaneOrderKind.Resend), IsSend);
        MoveToNextEpoch(rig);
        RequestBudget budget = new(0, 1, 0, EndsWithError: true);
        rig.Order(LaneOrderKind.Budget, change: box => box.Order.Budget = budget);
        Assert.Contains(MoveToNextEpoch(rig), IsEnd(0, DstStatus.LinkLost));
    }

    [Theory]
    [InlineData(1, true)]
    [InlineData(2, false)]
    public void A_budget_that_came_later_ends_a_read_that_was_put_back(int retries, bool ends)
    {
        LaneRig rig = new();
        rig.Up();
        rig.Submit(0, Read());
        MoveToNextEpoch(rig, slotsLost: 0);
        rig.Order(LaneOrderKind.Resend);
        Assert.Single(rig.Order(LaneOrderKind.Open), IsSend);
        MoveToNextEpoch(rig, slotsLost: 0);
        rig.Order(LaneOrderKind.Resend);
        RequestBudget budget = new(0, retries, 0, EndsWithError: true);
        rig.Order(LaneOrderKind.Budget, change: box => box.Order.Budget = budget);
        Assert.Equal(ends, MoveToNextEpoch(rig, slotsLost: 0).Exists(IsEnd(0, DstStatus.LinkLost)));
    }

    /// <summary>With another share, requests that wait take new ids.</summary>
    private static List<LaneEffect> MoveToNextEpoch(LaneRig rig, int slotsLost = 1)
    {
        rig.Down();
        rig.NextEpoch();
        rig.Session.Share = rig.Session.Share with { Slots = rig.Session.Share.Slots - slotsLost };
        return rig.Order(LaneOrderKind.Settle);
    }

    [Fact]
    public void While_held_requests_wait_and_budgets_stand_still()
    {
        LaneRig rig = new(budget: new RequestBudget(0, 0, 1000, EndsWithError: true));
        rig.Up();
        rig.Order(LaneOrderKind.Hold);
        Assert.Empty(rig.Submit(0, Write()));
        Assert.Empty(rig.Tick(5000));
        Assert.Single(rig.Order(LaneOrderKind.Unhold), IsSend);
        Assert.Empty(rig.Tick(6000));
        Assert.NotEmpty(rig.Tick(6001));
    }

    [Fact]
    public void Bad_data_ends_the_epoch_and_the_second_time_the_request()
    {
        _rig.Up();
        LaneEffect sent = Assert.Single(_rig.Submit(0, Read()));
        Assert.True(IsDoubt(EpochEnd.BadData)(Assert.Single(_rig.Answer(sent, good: false))));
        Assert.DoesNotContain(_rig.Down(), effect => effect.Kind == LaneEffectKind.Complete);
        _rig.NextEpoch();
        _rig.Order(LaneOrderKind.Settle);
        Assert.DoesNotContain(_rig.Order(LaneOrderKind.Resend), IsSend);
        LaneEffect again = Assert.Single(_rig.Order(LaneOrderKind.Open), IsSend);
        Assert.True(again.Header.Sequence > sent.Header.Sequence);
        List<LaneEffect> second = _rig.Answer(again, good: false);
        Assert.Contains(second, IsDoubt(EpochEnd.BadData));
        Assert.Contains(second, IsEnd(0, DstStatus.ProtectionError));
    }

    [Fact]
    public void A_write_whose_data_the_server_refuses_is_sent_again_and_the_second_time_ends()
    {
        _rig.Up();
        LaneEffect sent = Assert.Single(_rig.Submit(0, Write()));
        Assert.Empty(DownFor(sent.Header.Slot, sent.Header.Sequence + 1));
        LaneEffect again = Again();
        Assert.Equal((sent.Header.Slot, sent.Header.Sequence), (again.Header.Slot, again.Header.Sequence));
        Assert.Empty(DownFor(again.Header.Slot, again.Header.Sequence));
        again = Again();
        Assert.Contains(DownFor(again.Header.Slot, again.Header.Sequence), IsEnd(0, DstStatus.ProtectionError));
        Assert.Equal((2L, 0), (_rig.Lane.BadDataCount, _rig.Lane.LegCount));

        LaneEffect Again()
        {
            _rig.NextEpoch();
            _rig.Order(LaneOrderKind.Settle);
            return Assert.Single(_rig.Order(LaneOrderKind.Resend), IsSend);
        }

        List<LaneEffect> DownFor(int slot, ulong sequence)
        {
            List<LaneEffect> effects = _rig.Order(LaneOrderKind.Close, change: box =>
            {
                box.Order.BadSlot = slot;
                box.Order.BadSequence = sequence;
            });
            Assert.DoesNotContain(effects, effect => effect.Kind == LaneEffectKind.Complete);
            return [.. _rig.Order(LaneOrderKind.LetGo).Where(effect => effect.Kind == LaneEffectKind.Complete)];
        }
    }

    [Theory]
    [InlineData(Boot + 1, 0)]
    [InlineData(Boot, 1)]
    public void A_flush_of_a_changed_server_does_not_end(ulong boot, ulong generation)
    {
        _rig.Up();
        LaneEffect flush = Assert.Single(_rig.Submit(0, Flush));
        _rig.Session.BootId = boot;
        _rig.Session.Generation = generation;
        Assert.True(IsDoubt(EpochEnd.ServerChanged)(Assert.Single(_rig.Answer(flush))));
        _rig.Down();
        _rig.NextEpoch(boot, generation);
        _rig.Order(LaneOrderKind.Settle);
        LaneEffect again = Assert.Single(_rig.Order(LaneOrderKind.Resend), IsSend);
        Assert.Contains(_rig.Answer(again), IsEnd(0));
    }

    [Fact]
    public void A_flush_that_was_given_up_never_says_ok_for_a_changed_server()
    {
        _rig.Up();
        LaneEffect flush = Assert.Single(_rig.Submit(0, Flush));
        _rig.Order(LaneOrderKind.Fail, change: box => box.Order.Status = DstStatus.IoError);
        _rig.Session.BootId++;
        Assert.Contains(_rig.Answer(flush), IsEnd(0, DstStatus.IoError));
    }

    [Fact]
    public void With_other_slots_requests_move_and_still_go_first()
    {
        _rig.Up();
        List<LaneEffect> sent = [.. Enumerable.Range(0, 4).SelectMany(leg => _rig.Submit(leg, Write(leg * 4096)))];
        _rig.Down();
        _rig.Submit(4, Read());
        _rig.NextEpoch(boot: Boot + 1);
        _rig.Session.Share = new LaneShare(0, 2, 3, 1 << 20);
        _rig.Session.SequenceBase = 50;
        _rig.Order(LaneOrderKind.Settle);
        List<LaneEffect> first = _rig.Order(LaneOrderKind.Resend).FindAll(IsSend);
        Assert.Equal([0, 1], first.Select(effect => effect.Leg));
        Assert.All(first, effect => Assert.True(effect.Header is { Sequence: 51, Slot: 2 or 3 }));
        foreach (LaneEffect effect in first)
        {
            // RX knows the lane's first slot.
            Assert.NotEqual(4, effect.Leg);
        }

        Assert.Equal(4, sent.Count);
    }

    [Fact]
    public void Orders_out_of_order_end_the_process()
    {
        MustFail.Message(() => _rig.Order(LaneOrderKind.Open));
        MustFail.Message(() => _rig.Order(LaneOrderKind.Close));
        MustFail.Message(() => _rig.Order(LaneOrderKind.LetGo));
        MustFail.Message(() => _rig.Order(LaneOrderKind.Resend));
        MustFail.Message(() => _rig.Order(LaneOrderKind.Recover));
        _rig.Submit(0, Write());
        MustFail.Message(() => _rig.Submit(0, Write()));
        MustFail.Message(() => _rig.Submit(Legs, Write()));
        _rig.Up();
        MustFail.Message(() => _rig.Order(LaneOrderKind.Settle));
        _rig.Order(LaneOrderKind.Close);
        MustFail.Message(() => _rig.Order(LaneOrderKind.Close));
    }

    [Fact]
    public void A_turn_allocates_nothing()
    {
        ReplySlots replies = new(Slots);
        ClientNodeShared shared = new(1, 1, Slots, 1 << 20, 64);
        ClientLane lane = new(new ClientLaneOptions(0, Legs), replies, shared, default);
        LaneSession session = _rig.Session;
        session.WriteBack = true;
        foreach (LaneOrderKind kind in new[] { LaneOrderKind.Settle, LaneOrderKind.Resend, LaneOrderKind.Open })
        {
            LaneOrder order = new() { Kind = kind, Session = session };
            lane.OnOrder(in order, 0);
            lane.Effects.Clear();
        }

        long allocated = 0;
        for (int i = 0; i < 100; i++)
        {
            long before = GC.GetAllocatedBytesForCurrentThread();
            Turn(lane, replies);
            allocated = GC.GetAllocatedBytesForCurrentThread() - before;
        }

        Assert.Equal(0, allocated);
    }

    private static void Turn(ClientLane lane, ReplySlots replies)
    {
        Request write = Write();
        lane.Submit(0, in write, 1, 0);
        for (int i = 0; i < lane.Effects.Count; i++)
        {
            if (!IsSend(lane.Effects[i]))
            {
                continue;
            }

            FrameHeader header = lane.Effects[i].Header;
            header.Kind = FrameKind.Reply;
            header.BodyBytes = 0;
            bool flush = header.Operation == Operation.Flush;
            header.OffsetBytes = flush ? Boot : header.OffsetBytes;
            replies.Claim(in header, header.Slot, 1, ChecksumKind.None, out ReplyTarget target);
            replies.Finish(target.Slot, in header, true);
            lane.OnReplies(0);
        }

        lane.Tick(0);
        lane.Effects.Clear();
    }
}
