using Dst.Core.Requests;
using Dst.Core.Sessions.Client;
using Dst.Core.Wire;
using Xunit;
using static Dst.Core.Tests.Sessions.Client.LaneRig;

namespace Dst.Core.Tests.Sessions.Client;

/// <summary>Lanes of a write-back node (S-21, S-22).</summary>
public sealed class ReplayTests
{
    private readonly LaneRig _rig = new(lanes: 2);

    public ReplayTests()
    {
        _rig.Session.WriteBack = true;
    }

    private void Write(int leg, Request request, int lane = 0, DstStatus status = DstStatus.Ok)
    {
        LaneEffect sent = _rig.Submit(leg, request, lane).Find(IsSend);
        Assert.Equal(leg, sent.Leg);
        _rig.Answer(sent, lane, status);
    }

    private List<LaneEffect> Recover(bool replay = true)
    {
        _rig.Down(0);
        _rig.Down(1);
        _rig.NextEpoch(_rig.Session.BootId + 1);
        _rig.Order(LaneOrderKind.Settle, 0);
        _rig.Order(LaneOrderKind.Settle, 1);
        return _rig.Order(LaneOrderKind.Recover, 0, box => box.Order.ReplayLog = replay);
    }

    /// <summary>
    /// One write is answered; the answer to another is lost, and the next epoch's table says it is done.
    /// </summary>
    /// <returns>Its copy to the log.</returns>
    private LaneEffect WriteThenSettle(Request answered, Request completed)
    {
        _rig.Up();
        Write(0, answered);
        LaneEffect lost = Assert.Single(_rig.Submit(1, completed));
        _rig.Down(0);
        _rig.Down(1);
        _rig.NextEpoch(Boot, generation: 1);
        _rig.Shared.Completed.Add(new CompletedEntry(0, lost.Header.Slot, 0, lost.Header.Sequence));
        List<LaneEffect> settled = _rig.Order(LaneOrderKind.Settle, 0);
        Assert.Contains(settled, IsEnd(1));
        LaneEffect copy = Assert.Single(settled, effect => effect.Kind == LaneEffectKind.CopyToLog);
        _rig.Order(LaneOrderKind.Settle, 1);
        return copy;
    }

    [Fact]
    public void An_acknowledged_write_is_copied_before_it_completes()
    {
        _rig.Up();
        LaneEffect sent = Assert.Single(_rig.Submit(0, LaneRig.Write(0, 1024)));
        List<LaneEffect> effects = _rig.Answer(sent);
        Assert.Equal([LaneEffectKind.CopyToLog, LaneEffectKind.Complete], effects.Select(effect => effect.Kind));
        Assert.Equal((0L, 1024, sent.Buffer), (effects[0].ArenaOffset, effects[0].DataBytes, effects[0].Buffer));
        Write(0, LaneRig.Write(8192), status: DstStatus.IoError);
        Assert.Equal(1, _rig.Shared.Order.Last); // a failed write is not acknowledged
    }

    [Fact]
    public void Overlapping_changes_of_a_lane_wait_for_each_other_reads_do_not()
    {
        _rig.Up();
        LaneEffect first = Assert.Single(_rig.Submit(0, LaneRig.Write(0, 4096)));
        Assert.Single(_rig.Submit(1, LaneRig.Write(4096)));
        Assert.Single(_rig.Submit(2, Read(0, 4096)));
        Assert.Empty(_rig.Submit(3, new Request(Operation.Discard, RequestFlags.None, 2048, 512)));
        Assert.Equal(3, _rig.Answer(first).Find(IsSend).Leg);
    }

    [Fact]
    public void Overlapping_changes_of_two_lanes_wait_and_the_other_lane_is_woken()
    {
        _rig.Up();
        LaneEffect first = Assert.Single(_rig.Submit(0, LaneRig.Write(0)));
        Assert.Empty(_rig.Submit(0, LaneRig.Write(0), lane: 1));
        LaneEffect wake = _rig.Answer(first).Find(effect => effect.Kind == LaneEffectKind.WakeLanes);
        Assert.Equal(0b10UL, wake.Lanes);
        Assert.Single(_rig.Wake(1), IsSend);
    }

    [Fact]
    public void On_a_write_through_node_overlapping_changes_run_together_and_nothing_is_logged()
    {
        LaneRig rig = new();
        rig.Up();
        LaneEffect first = Assert.Single(rig.Submit(0, LaneRig.Write()));
        Assert.Single(rig.Submit(1, LaneRig.Write()));
        Assert.Single(rig.Answer(first));
        Assert.Equal(0, rig.Shared.Order.Last);
    }

    [Fact]
    public void Replay_sends_each_changed_byte_once_in_the_order_of_the_node_then_one_flush()
    {
        _rig.Up();
        Write(0, LaneRig.Write(0));
        Write(1, LaneRig.Write(0, 1024, RequestFlags.Fua), lane: 1);
        Write(2, new Request(Operation.WriteZeroes, RequestFlags.NoUnmap, 512, 512));
        Write(3, new Request(Operation.Discard, RequestFlags.None, 1 << 20, 4096), lane: 1);
        List<LaneEffect> sent = Recover();
        List<FrameHeader> order = [];
        while (sent.Find(IsSend) is { Kind: LaneEffectKind.SendLog } entry)
        {
            order.Add(entry.Header);
            sent.Remove(entry);
            sent.AddRange(_rig.Answer(entry));
        }

        Assert.Equal([0UL, 512UL, 1UL << 20], order.Select(header => header.OffsetBytes));
        Assert.Equal([512UL, 512UL, 4096UL], order.Select(header => header.LengthBytes));
        Assert.Equal([FrameFlags.None, FrameFlags.NoUnmap, FrameFlags.None], order.Select(h => h.Flags));
        LaneEffect flush = sent.Find(IsSend);
        Assert.Equal((Operation.Flush, FrameFlags.Replayed), (flush.Header.Operation, flush.Header.Flags));
        Assert.Equal(0, _rig.Shared.Order.Stable);
        Assert.Contains(_rig.Answer(flush), IsNews(LaneNewsKind.Recovered));
        Assert.Equal(4, _rig.Shared.Order.Stable);
    }

    [Fact]
    public void Older_data_is_never_replayed_over_newer()
    {
        _rig.Up();
        Write(0, LaneRig.Write(0, 2048));
        Write(1, LaneRig.Write(512, 512));
        Write(2, LaneRig.Write(8192, 512));
        List<LaneEffect> sent = Recover();
        List<LaneEffect> order = [];
        while (sent.Find(IsSend) is { Kind: LaneEffectKind.SendLog } entry)
        {
            order.Add(entry);
            sent.Remove(entry);
            sent.AddRange(_rig.Answer(entry));
        }

        Assert.Equal([0UL, 1024UL, 512UL, 8192UL], order.Select(effect => effect.Header.OffsetBytes));
        Assert.Equal([512, 1024, 512, 512], order.Select(effect => effect.DataBytes));
        Assert.Equal([0L, 1024L, 2048L, 2560L], order.Select(effect => effect.ArenaOffset));
        Assert.Equal([true, false, true, true], order.Select(effect => effect.EntryBegins));
    }

    [Fact]
    public void An_entry_begins_anew_with_each_replay()
    {
        _rig.Up();
        Write(0, LaneRig.Write(0, 2048));
        Write(1, LaneRig.Write(512, 512));
        for (int i = 0; i < 2; i++)
        {
            // Cut after the first part.
            List<LaneEffect> sent = Recover().FindAll(IsSend);
            Assert.Equal([true, false], sent.Select(effect => effect.EntryBegins));
            _rig.Answer(sent[0]);
        }
    }

    /// <summary>What lies at the beginning was overwritten: the first part that goes begins the entry.</summary>
    [Fact]
    public void An_entry_begins_with_the_first_part_that_is_sent()
    {
        _rig.Up();
        Write(0, LaneRig.Write(0, 2048));
        Write(1, LaneRig.Write(0, 512));
        List<LaneEffect> sent = Recover().FindAll(IsSend);
        Assert.Equal([(512UL, true), (0UL, true)], sent.Select(one => (one.Header.OffsetBytes, one.EntryBegins)));
    }

    [Fact]
    public void A_change_of_the_completed_table_is_replayed_too()
    {
        LaneEffect copy = WriteThenSettle(LaneRig.Write(0), LaneRig.Write(4096));
        List<LaneEffect> sent = _rig.Order(LaneOrderKind.Recover, 0, box => box.Order.ReplayLog = true).FindAll(IsSend);
        Assert.Equal(
            [(LaneEffectKind.SendLog, 0UL), (LaneEffectKind.SendLog, 4096UL)],
            sent.Select(effect => (effect.Kind, effect.Header.OffsetBytes)));
        Assert.Equal(copy.ArenaOffset, sent[1].ArenaOffset);
    }

    [Fact]
    public void A_change_of_the_completed_table_is_newer_than_what_it_overwrites()
    {
        LaneEffect copy = WriteThenSettle(LaneRig.Write(0), LaneRig.Write(0));
        LaneEffect one = Assert.Single(_rig.Order(LaneOrderKind.Recover, 0, box => box.Order.ReplayLog = true), IsSend);
        Assert.Equal((LaneEffectKind.SendLog, copy.ArenaOffset), (one.Kind, one.ArenaOffset));
        Assert.Equal(Operation.Flush, Assert.Single(_rig.Answer(one), IsSend).Header.Operation);
    }

    [Fact]
    public void Entries_leave_only_by_a_good_flush_that_was_issued_after_them()
    {
        _rig.Up();
        Write(0, LaneRig.Write(0));
        LaneEffect flush = Assert.Single(_rig.Submit(1, Flush));
        Write(2, LaneRig.Write(4096));
        Assert.Contains(_rig.Answer(flush), IsEnd(1));
        Assert.Equal(1, _rig.Shared.Order.Stable);
        LaneEffect bad = Assert.Single(_rig.Submit(1, Flush));
        Assert.True(IsDoubt(EpochEnd.FlushFailed)(Assert.Single(_rig.Answer(bad, status: DstStatus.IoError))));
        Assert.Equal(1, _rig.Shared.Order.Stable);
        LaneEffect entry = Assert.Single(Recover(), IsSend);
        Assert.Equal(4096UL, entry.Header.OffsetBytes);
    }

    [Fact]
    public void A_cut_during_replay_begins_it_anew()
    {
        _rig.Up();
        Write(0, LaneRig.Write(0));
        Write(1, LaneRig.Write(4096));
        List<LaneEffect> first = Recover().FindAll(IsSend);
        Assert.Equal(2, first.Count);
        _rig.Answer(first[0]);
        Assert.Equal(2, Recover().FindAll(IsSend).Count);
    }

    [Theory]
    [InlineData(DstStatus.IoError)]
    [InlineData(DstStatus.NoSpace)]
    public void A_replay_that_fails_says_so_and_empties_nothing(DstStatus status)
    {
        _rig.Up();
        Write(0, LaneRig.Write(0));
        LaneEffect entry = Assert.Single(Recover(), IsSend);
        LaneEffect news = _rig.Answer(entry, status: status).Find(IsNews(LaneNewsKind.Recovered));
        Assert.Equal(status, news.News.Status);
        Assert.Single(Recover(), IsSend);
    }

    [Fact]
    public void A_copy_that_is_damaged_ends_the_replay_and_is_never_flushed_over()
    {
        _rig.Up();
        LaneEffect first = Assert.Single(_rig.Submit(0, LaneRig.Write(0)));
        LaneEffect copy = _rig.Answer(first).Find(effect => effect.Kind == LaneEffectKind.CopyToLog);
        Write(1, LaneRig.Write(4096, 1024));
        Write(2, LaneRig.Write(4608));
        List<LaneEffect> sent = Recover().FindAll(IsSend);
        Assert.Equal(copy.EntryPlace, sent[0].EntryPlace);
        Assert.NotEqual(copy.EntryPlace, sent[1].EntryPlace);
        Assert.Equal((512, 1024, 512L), (sent[1].DataBytes, sent[1].EntryBytes, sent[1].EntryArenaOffset));
        Assert.Equal(DstStatus.ProtectionError, Assert.Single(_rig.DamageLog()).News.Status);
        Assert.All(sent.Where(effect => effect.EntryPlace != copy.EntryPlace), effect =>
            Assert.DoesNotContain(_rig.Answer(effect), IsSend));
        Assert.Equal(0, _rig.Shared.Order.Stable);
        Assert.Equal(1, _rig.Lane.BadDataCount);
    }

    [Fact]
    public void A_replay_on_a_server_that_changed_again_is_not_good()
    {
        _rig.Up();
        Write(0, LaneRig.Write(0));
        LaneEffect flush = _rig.Answer(Assert.Single(Recover(), IsSend)).Find(IsSend);
        _rig.Session.Generation++;
        Assert.True(IsDoubt(EpochEnd.ServerChanged)(Assert.Single(_rig.Answer(flush))));
        Assert.Equal(0, _rig.Shared.Order.Stable);
    }

    [Fact]
    public void A_log_that_fills_forces_a_flush_on_a_slot_kept_back()
    {
        _rig.Up();
        Write(0, LaneRig.Write(0, 4096));
        LaneEffect second = Assert.Single(_rig.Submit(0, LaneRig.Write(8192, 4096)), IsSend);
        for (int leg = 1; leg < Slots - 2; leg++)
        {
            Assert.Single(_rig.Submit(leg, Read()), IsSend);
        }

        // All request slots are taken, the arena of 8192 bytes is reserved.
        LaneEffect flush = _rig.Wake(0).Find(IsSend);
        if (flush.Kind != LaneEffectKind.Send)
        {
            flush = _rig.All.Find(effect => IsSend(effect) && effect.Leg == -1);
        }

        Assert.Equal(Operation.Flush, flush.Header.Operation);
        Assert.Empty(_rig.Submit(9, LaneRig.Write(1 << 20)));
        _rig.Answer(flush);
        Assert.Equal(1, _rig.Shared.Order.Stable);
        Assert.Contains(_rig.Answer(second), effect => IsSend(effect) && effect.Leg == 9);
    }

    [Fact]
    public void A_large_write_forces_a_flush_of_a_log_that_is_not_half_full()
    {
        _rig.Up();
        Write(0, LaneRig.Write(0, 2048));
        LaneEffect flush = Assert.Single(_rig.Submit(1, LaneRig.Write(8192, 8192)), IsSend);
        Assert.Equal(Operation.Flush, flush.Header.Operation);
        Assert.Equal(1, _rig.Answer(flush).Find(IsSend).Leg);
    }

    [Fact]
    public void After_a_loss_flush_and_fua_fail_and_the_rest_goes_on()
    {
        _rig.Up();
        LaneEffect inFlight = Assert.Single(_rig.Submit(5, Flush));
        _rig.Down();
        _rig.NextEpoch();
        _rig.Session.Lost = true;
        _rig.Order(LaneOrderKind.Settle);
        Assert.Contains(_rig.Order(LaneOrderKind.Resend), IsEnd(5, DstStatus.IoError));
        _rig.Order(LaneOrderKind.Open);
        Assert.Contains(_rig.Submit(0, Flush), IsEnd(0, DstStatus.IoError));
        Assert.Contains(_rig.Submit(0, LaneRig.Write(0, 512, RequestFlags.Fua)), IsEnd(0, DstStatus.IoError));
        LaneEffect write = Assert.Single(_rig.Submit(0, LaneRig.Write()));
        Assert.DoesNotContain(_rig.Answer(write), effect => effect.Kind == LaneEffectKind.CopyToLog);
        Assert.Equal(5, inFlight.Leg);
    }

    [Fact]
    public void When_the_loss_is_accepted_what_is_in_flight_finds_its_place_in_the_log()
    {
        _rig.Session.Lost = true;
        _rig.Up();
        LaneEffect write = Assert.Single(_rig.Submit(0, LaneRig.Write()));
        _rig.Down();
        _rig.NextEpoch();
        _rig.Session.Lost = false;
        _rig.Session.DropLog = true;
        _rig.Order(LaneOrderKind.Settle);
        LaneEffect flush = Assert.Single(_rig.Order(LaneOrderKind.Recover), IsSend);
        Assert.Equal(FrameFlags.None, flush.Header.Flags); // nothing was sent again, so nothing is said (S-24)
        _rig.Answer(flush);
        LaneEffect again = Assert.Single(_rig.Order(LaneOrderKind.Resend), IsSend);
        Assert.True(again.Header.Sequence > write.Header.Sequence || again.Header.Slot != write.Header.Slot);
        Assert.Contains(_rig.Answer(again), effect => effect.Kind == LaneEffectKind.CopyToLog);
    }
}
