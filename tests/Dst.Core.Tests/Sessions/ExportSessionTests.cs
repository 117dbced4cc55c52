using Dst.Core.Requests;
using Dst.Core.Sessions;
using Dst.Core.Wire;
using Xunit;

namespace Dst.Core.Tests.Sessions;

public sealed class ExportSessionTests
{
    private static readonly DeviceId A = ExportBed.A;
    private static readonly DeviceId B = ExportBed.B;

    private static AttachMessage Message(
        DeviceId device, ulong replaces, ulong incarnation = 5, bool takeOver = false) =>
        ExportBed.Message(device, replaces, incarnation, takeOver);

    private static bool Has(SessionEffect[] effects, SessionEffectKind kind, int connection) =>
        effects.Any(e => e.Kind == kind && e.Connection == connection);

    /// <summary>S-02: every grant is greater than all before, over restarts too (S-03).</summary>
    [Fact]
    public void Epochs_only_rise()
    {
        ExportBed bed = new();
        ulong last = 0;
        for (int i = 0; i < 10; i++)
        {
            Live live = bed.Granted(Message(A, last));
            Assert.True(live.Epoch > last);
            Assert.Equal(live.Epoch, bed.OnDisk.Used);
            last = live.Epoch;
            if (i % 3 == 0)
            {
                bed.Restart();
            }
        }
    }

    /// <summary>S-02: an ATTACH that sat in a buffer fences nothing newer.</summary>
    [Fact]
    public void An_old_attach_is_refused()
    {
        ExportBed bed = new();
        Live first = bed.Granted(Message(A, 0));
        Live second = bed.Granted(Message(A, first.Epoch));
        bed.Take();
        Assert.Equal(RefusalCode.Fenced, bed.Refusal(Message(A, 0)));
        Assert.Equal(RefusalCode.Fenced, bed.Refusal(Message(A, first.Epoch)));
        Assert.Equal(RefusalCode.Fenced, bed.Refusal(Message(A, second.Epoch + 1)));
        Assert.Equal(second.Epoch, bed.Session.Epoch);
        Assert.Equal(LaneAction.Run, second.Send(Operation.Read, 0, 1).Action);
    }

    /// <summary>
    /// S-02: an epoch that was granted but never begun may be replaced by its device, by either name.
    /// </summary>
    [Fact]
    public void A_lost_grant_can_be_replaced()
    {
        ExportBed bed = new();
        Live lost = bed.Granted(Message(A, 0), begin: false);
        Live again = bed.Granted(Message(A, 0), begin: false);
        Live noted = bed.Granted(Message(A, lost.Epoch));
        Assert.Equal(RefusalCode.Fenced, bed.Refusal(Message(A, again.Epoch)));
        Live unused = bed.Granted(Message(A, noted.Epoch), begin: false);
        Live old = bed.Granted(Message(A, noted.Epoch), begin: false);
        Assert.True(old.Epoch > unused.Epoch);
        bed.Granted(Message(A, unused.Epoch));
    }

    /// <summary>S-02: only the same device may name an epoch that was granted and never begun.</summary>
    [Theory]
    [InlineData(1, 3, RefusalCode.None)]
    [InlineData(2, 3, RefusalCode.None)]
    [InlineData(2, 5, RefusalCode.None)]
    [InlineData(2, 6, RefusalCode.None)]
    [InlineData(1, 5, RefusalCode.Fenced)]
    [InlineData(1, 6, RefusalCode.Fenced)]
    [InlineData(2, 4, RefusalCode.Fenced)]
    [InlineData(2, 7, RefusalCode.Fenced)]
    [InlineData(2, 2, RefusalCode.Fenced)]
    [InlineData(3, 0, RefusalCode.None)]
    public void An_unused_epoch_belongs_to_its_device(int device, ulong replaces, RefusalCode expected)
    {
        HoldRecord record = new() { Used = 3, First = 5, Granted = 6, Holder = B };
        Assert.Equal(expected, record.Check(new DeviceId((UInt128)(uint)device, 0), replaces, takeOver: false));
    }

    /// <summary>S-03: a copy of the client's state stays out as soon as the other one has begun.</summary>
    [Fact]
    public void A_cloned_client_is_fenced()
    {
        ExportBed bed = new();
        Live first = bed.Granted(Message(A, 0));
        Live clone = bed.Granted(Message(A, first.Epoch, incarnation: 9));
        Assert.Equal(RefusalCode.Fenced, bed.Refusal(Message(A, first.Epoch)));
        bed.Restart();
        Assert.Equal(RefusalCode.Fenced, bed.Refusal(Message(A, first.Epoch)));
        bed.Granted(Message(A, clone.Epoch, incarnation: 9));
    }

    /// <summary>S-04: one writer; its connection's loss and a restart do not end the hold.</summary>
    [Fact]
    public void A_second_client_is_refused_with_the_holders_name()
    {
        ExportBed bed = new();
        Live first = bed.Granted(Message(A, 0));
        Assert.Equal(RefusalCode.Held, bed.Refusal(Message(B, 0)));
        Assert.Equal(RefusalCode.Held, bed.Refusal(Message(B, first.Epoch)));
        Assert.Equal(first.Epoch, bed.Session.Epoch);
        bed.Lost(first.Connection);
        Assert.Equal(RefusalCode.Held, bed.Refusal(Message(B, 0)));
        bed.Restart();
        Assert.Equal(RefusalCode.Held, bed.Refusal(Message(B, 0)));
        byte[] frame = new byte[WireLimits.ControlFrameMaxBytes];
        int length = bed.Session.WriteRefusal(RefusalCode.Held, frame);
        Assert.Equal(WireError.None, MessageCodec.TryRead(frame.AsSpan(64, length - 64), out ErrorMessage error));
        Assert.Equal("host1 at 192.0.2.1", error.Holder.ToString());
        Assert.Equal(first.Epoch, error.Epoch);
        Assert.Contains("export disk1: another device holds it", error.Text.ToString(), StringComparison.Ordinal);
        Assert.Contains("host1 at 192.0.2.1", error.Text.ToString(), StringComparison.Ordinal);
    }

    /// <summary>
    /// S-04: take-over names the epoch; the fenced one never comes back, even after the new holder left.
    /// </summary>
    [Fact]
    public void A_taken_over_client_never_returns()
    {
        ExportBed bed = new();
        Live first = bed.Granted(Message(A, 0));
        Assert.Equal(RefusalCode.Fenced, bed.Refusal(Message(B, first.Epoch + 5, takeOver: true)));
        Assert.Equal(RefusalCode.Held, bed.Refusal(Message(B, 0, takeOver: true)));
        bed.Take();
        int second = bed.Attach(Message(B, first.Epoch, takeOver: true));
        SessionEffect[] effects = bed.Take();
        Assert.Contains(effects, e => e is { Kind: SessionEffectKind.Close, Code: RefusalCode.EpochOver }
            && e.Connection == first.Connection);
        Live live = bed.Begun(second, begin: false);
        Assert.Equal(RefusalCode.Held, bed.Refusal(Message(A, first.Epoch)));
        bed.Session.Begin(second, bed.NowMs);
        bed.Take();
        Assert.Equal(RefusalCode.Fenced, bed.Refusal(Message(A, first.Epoch)));
        bed.Session.Goodbye(second, bed.NowMs);
        Assert.True(Has(bed.Take(), SessionEffectKind.SendGoodbye, second));
        bed.Restart();
        Assert.Equal(RefusalCode.Fenced, bed.Refusal(Message(A, first.Epoch)));
        Assert.True(live.Epoch > first.Epoch);
    }

    /// <summary>S-04: goodbye is durable before it is answered.</summary>
    [Fact]
    public void Goodbye_gives_the_hold_back()
    {
        ExportBed bed = new();
        Live live = bed.Granted(Message(A, 0));
        Live joined = bed.Join(live, 1);
        bed.PersistAtOnce = false;
        bed.Session.Goodbye(joined.Connection, bed.NowMs);
        SessionEffect[] effects = bed.Take();
        Assert.True(Has(effects, SessionEffectKind.Close, live.Connection));
        Assert.False(Has(effects, SessionEffectKind.SendGoodbye, joined.Connection));
        Assert.True(bed.OnDisk.Held);
        bed.Persist();
        Assert.True(Has(bed.Take(), SessionEffectKind.SendGoodbye, joined.Connection));
        Assert.False(bed.OnDisk.Held);
        bed.PersistAtOnce = true;
        Live next = bed.Granted(Message(B, 0));
        Assert.Equal(RefusalCode.Fenced, bed.Refusal(Message(A, live.Epoch)));
        Assert.True(next.Epoch > live.Epoch);
    }

    [Fact]
    public void The_last_holder_may_come_back_while_nobody_used_the_export_since()
    {
        ExportBed bed = new();
        Live live = bed.Granted(Message(A, 0));
        bed.Session.Goodbye(live.Connection, bed.NowMs);
        bed.Take();
        Assert.Equal(RefusalCode.None, bed.Refusal(Message(A, live.Epoch)));
    }

    /// <summary>S-04: an operator ends a dead client's hold.</summary>
    [Fact]
    public void Release_ends_the_hold()
    {
        ExportBed bed = new();
        Live live = bed.Granted(Message(A, 0));
        live.Send(Operation.Write, 0, 1);
        bed.Session.Release(bed.NowMs);
        SessionEffect[] effects = bed.Take();
        Assert.Contains(effects, e => e is { Kind: SessionEffectKind.Close, Code: RefusalCode.Released });
        Assert.DoesNotContain(effects, e => e.Kind == SessionEffectKind.Released);
        Assert.Equal(RefusalCode.Busy, bed.Refusal(Message(A, live.Epoch)));
        live.Lane.OnDone(0, DstStatus.Ok);
        bed.Session.LaneDrained(bed.NowMs);
        Assert.Contains(bed.Take(), e => e is { Kind: SessionEffectKind.Released, A: 1 });
        Assert.False(bed.OnDisk.Held);
        bed.Granted(Message(B, 0));
    }

    [Fact]
    public void Release_keeps_a_client_out_that_was_not_there()
    {
        ExportBed bed = new();
        Live first = bed.Granted(Message(A, 0));
        bed.Lost(first.Connection);
        bed.Session.Release(bed.NowMs);
        Assert.Contains(bed.Take(), e => e is { Kind: SessionEffectKind.Released, A: 1 });
        Assert.Equal(RefusalCode.Fenced, bed.Refusal(Message(A, first.Epoch)));
        bed.Restart();
        Assert.Equal(RefusalCode.Fenced, bed.Refusal(Message(A, first.Epoch)));
        Live second = bed.Granted(Message(B, 0), begin: false);
        Live again = bed.Granted(Message(B, 0));
        Assert.True(again.Epoch > second.Epoch && second.Epoch > first.Epoch + 1);
        Assert.Equal(RefusalCode.Fenced, bed.Refusal(Message(A, first.Epoch)));
    }

    /// <summary>S-04: an epoch that was granted and never begun is over, too.</summary>
    [Fact]
    public void Release_keeps_a_client_out_that_has_not_begun()
    {
        ExportBed bed = new();
        Live first = bed.Granted(Message(A, 0), begin: false);
        bed.Lost(first.Connection);
        bed.Session.Release(bed.NowMs);
        bed.Take();
        Assert.Equal(RefusalCode.Fenced, bed.Refusal(Message(A, first.Epoch)));
    }

    /// <summary>S-04: asked for again, it is answered.</summary>
    [Fact]
    public void Release_without_a_hold_is_answered_too()
    {
        ExportBed bed = new();
        bed.Session.Release(bed.NowMs);
        Assert.Contains(bed.Take(), e => e is { Kind: SessionEffectKind.Released, A: 1 });
    }

    /// <summary>S-05: the drain waits for what the disk has, and says so each second.</summary>
    [Fact]
    public void Attach_waits_for_the_disk()
    {
        ExportBed bed = new();
        Live live = bed.Granted(Message(A, 0));
        Live joined = bed.Join(live, 1);
        live.Send(Operation.Write, 0, 1);
        joined.Send(Operation.Read, 0, 1);
        int next = bed.Attach(Message(A, live.Epoch));
        SessionEffect[] effects = bed.Take();
        Assert.True(Has(effects, SessionEffectKind.Close, live.Connection));
        Assert.True(Has(effects, SessionEffectKind.Close, joined.Connection));
        Assert.False(Has(effects, SessionEffectKind.Grant, next));
        for (int second = 1; second <= 3; second++)
        {
            bed.NowMs += 999;
            bed.Session.Tick(bed.NowMs);
            Assert.Empty(bed.Take());
            bed.NowMs += 1;
            Assert.Equal(bed.NowMs, bed.Session.NextMs);
            bed.Session.Tick(bed.NowMs);
            Assert.Equal([new SessionEffect(SessionEffectKind.SendWait, next, A: 2, B: 1000 * second)], bed.Take());
        }

        live.Lane.OnDone(0, DstStatus.Ok);
        bed.Session.LaneDrained(bed.NowMs);
        Assert.Empty(bed.Take());
        Assert.True(joined.Lane.OnDone(0, DstStatus.Ok).Drained);
        bed.Session.LaneDrained(bed.NowMs);
        Assert.True(Has(bed.Take(), SessionEffectKind.Grant, next));
        Assert.Equal(long.MaxValue, bed.Session.NextMs);
    }

    /// <summary>S-05: whoever gives up during the drain gets nothing; the epoch stays raised.</summary>
    [Fact]
    public void A_client_that_leaves_during_the_drain_is_forgotten()
    {
        ExportBed bed = new();
        Live live = bed.Granted(Message(A, 0));
        live.Send(Operation.Write, 0, 1);
        int gone = bed.Attach(Message(A, live.Epoch));
        bed.Lost(gone);
        bed.Take();
        live.Lane.OnDone(0, DstStatus.Ok);
        bed.Session.LaneDrained(bed.NowMs);
        Assert.Empty(bed.Take());
        Assert.Equal(0UL, bed.Session.Epoch);
        Assert.Equal(RefusalCode.EpochOver, live.Send(Operation.Read, 1, 1).Code);
        Live next = bed.Granted(Message(A, live.Epoch));
        Assert.Single(next.Completed);
    }

    [Fact]
    public void A_second_attach_of_the_device_replaces_the_first()
    {
        ExportBed bed = new();
        Live live = bed.Granted(Message(A, 0));
        live.Send(Operation.Write, 0, 1);
        int first = bed.Attach(Message(A, live.Epoch));
        bed.Take();
        int second = bed.Attach(Message(A, live.Epoch));
        Assert.Contains(bed.Take(), e => e.Connection == first && e.Code == RefusalCode.EpochOver);
        Assert.Equal(RefusalCode.Busy, bed.Refusal(Message(B, live.Epoch, takeOver: true)));
        live.Lane.OnDone(0, DstStatus.Ok);
        bed.Session.LaneDrained(bed.NowMs);
        Assert.True(Has(bed.Take(), SessionEffectKind.Grant, second));
    }

    /// <summary>S-03: nothing takes effect before it is on disk.</summary>
    [Fact]
    public void A_grant_and_its_first_use_wait_for_the_disk()
    {
        ExportBed bed = new() { PersistAtOnce = false };
        int connection = bed.Attach(Message(A, 0));
        Assert.Equal([new SessionEffect(SessionEffectKind.PersistHold)], bed.Take());
        Assert.Equal(0UL, bed.Session.Epoch);
        bed.Persist();
        Assert.True(Has(bed.Take(), SessionEffectKind.Grant, connection));
        Live live = bed.Begun(connection, begin: false);
        Assert.Equal(
            (true, A, live.Epoch, 0UL),
            (bed.OnDisk.Held, bed.OnDisk.Holder, bed.OnDisk.Granted, bed.OnDisk.Used));
        bed.Session.Begin(connection, bed.NowMs);
        bed.Session.Begin(connection, bed.NowMs);
        Assert.Equal([new SessionEffect(SessionEffectKind.PersistHold)], bed.Take());
        Assert.False(bed.Session.Gate.HasBegun(live.Epoch));
        bed.Persist();
        Assert.True(Has(bed.Take(), SessionEffectKind.Begun, connection));
        Assert.Equal(live.Epoch, bed.OnDisk.Used);
        bed.Session.Begin(connection, bed.NowMs);
        Assert.Empty(bed.Take());
    }

    [Fact]
    public void What_cannot_be_noted_does_not_happen()
    {
        ExportBed bed = new() { PersistFails = true };
        Assert.Equal(RefusalCode.Unstable, bed.Refusal(Message(A, 0)));
        Assert.Equal(0, bed.Budget.UsedBytes);
        bed.PersistFails = false;
        Live live = bed.Granted(Message(A, 0), begin: false);
        Assert.True(live.Epoch > 1, "an epoch that may be on disk was given again");
        bed.PersistFails = true;
        bed.Session.Begin(live.Connection, bed.NowMs);
        bed.Drain();
        Assert.Contains(bed.Take(), e => e is { Kind: SessionEffectKind.Close, Code: RefusalCode.Unstable });
        Assert.Equal(0UL, bed.Session.Epoch);
        bed.PersistFails = false;
        live = bed.Granted(Message(A, live.Epoch));
        bed.PersistFails = true;
        bed.Session.Goodbye(live.Connection, bed.NowMs);
        bed.Drain();
        Assert.Contains(bed.Take(), e => e is { Kind: SessionEffectKind.Close, Code: RefusalCode.Unstable });
        Assert.True(bed.OnDisk.Held);
    }

    [Fact]
    public void A_client_that_is_lost_while_its_grant_is_written_gets_nothing()
    {
        ExportBed bed = new() { PersistAtOnce = false };
        int connection = bed.Attach(Message(A, 0));
        bed.Lost(connection);
        bed.Take();
        bed.Persist();
        Assert.Empty(bed.Take());
        Assert.Equal((0UL, 0L), (bed.Session.Epoch, bed.Budget.UsedBytes));
        int first = bed.Attach(Message(A, 0));
        int second = bed.Attach(Message(A, 0));
        bed.Take();
        bed.Persist();
        Assert.Equal([new SessionEffect(SessionEffectKind.PersistHold)], bed.Take());
        bed.Persist();
        SessionEffect[] effects = bed.Take();
        Assert.True(Has(effects, SessionEffectKind.Grant, second));
        Assert.False(Has(effects, SessionEffectKind.Grant, first));
    }

    [Fact]
    public void An_attach_that_was_outrun_by_a_begin_is_refused()
    {
        ExportBed bed = new();
        Live first = bed.Granted(Message(A, 0));
        Live second = bed.Granted(Message(A, first.Epoch), begin: false);
        bed.PersistAtOnce = false;
        bed.Session.Begin(second.Connection, bed.NowMs);
        int clone = bed.Attach(Message(A, first.Epoch, incarnation: 9));
        bed.Take();
        bed.Persist();
        SessionEffect[] effects = bed.Take();
        Assert.Contains(effects, e => e.Connection == clone && e.Code == RefusalCode.Fenced);
        Assert.DoesNotContain(effects, e => e.Kind == SessionEffectKind.Begun);
    }

    /// <summary>S-07: what the server can see of it.</summary>
    [Fact]
    public void Another_or_a_smaller_export_is_refused()
    {
        ExportBed bed = new();
        Assert.Equal(RefusalCode.Identity, bed.Refusal(Message(A, 0) with { ExpectedIdentity = 78 }));
        Assert.Equal(
            RefusalCode.Size, bed.Refusal(Message(A, 0) with { ExpectedSizeBytes = ExportBed.SizeBytes + 4096 }));
        Assert.Equal(RefusalCode.None, bed.Refusal(
            Message(A, 0) with { ExpectedIdentity = ExportBed.Identity, ExpectedSizeBytes = ExportBed.SizeBytes }));
    }

    /// <summary>S-08: a second connection joins and fences nothing; the loss of one ends all.</summary>
    [Fact]
    public void Connections_share_one_epoch()
    {
        ExportBed bed = new();
        Live first = bed.Granted(Message(A, 0));
        Live second = bed.Join(first, 1);
        Assert.Equal(first.Epoch, second.Lane.Epoch);
        Assert.Equal(LaneAction.Run, first.Send(Operation.Write, 0, 1).Action);
        Assert.Equal(LaneAction.Run, second.Send(Operation.Write, 0, 1).Action);
        bed.Lost(second.Connection);
        Assert.True(Has(bed.Take(), SessionEffectKind.Close, first.Connection));
        Assert.Equal(0UL, bed.Session.Epoch);
        Assert.Equal(RefusalCode.EpochOver, first.Send(Operation.Read, 1, 1).Code);
    }

    [Theory]
    [InlineData(0, 1, 1, RefusalCode.EpochOver)]
    [InlineData(1, 0, 1, RefusalCode.Token)]
    [InlineData(1, 1, 2, RefusalCode.Token)]
    [InlineData(1, 1, 0, RefusalCode.Token)]
    public void A_wrong_join_is_refused_and_fences_nothing(int epoch, int token, ushort number, RefusalCode expected)
    {
        ExportBed bed = new();
        Live first = bed.Granted(Message(A, 0));
        int connection = bed.NewConnection();
        JoinMessage join = new() { Token = token == 1 ? first.Ok.Token : 5, Connection = number };
        bed.Session.Join(connection, epoch == 1 ? first.Epoch : first.Epoch + 1, in join);
        Assert.Equal([new SessionEffect(SessionEffectKind.Close, connection, expected)], bed.Take());
        Assert.Equal(LaneAction.Run, first.Send(Operation.Read, 0, 1).Action);
    }

    [Fact]
    public void A_number_can_be_joined_once()
    {
        ExportBed bed = new();
        Live first = bed.Granted(Message(A, 0));
        bed.Join(first, 1);
        int connection = bed.NewConnection();
        bed.Session.Join(connection, first.Epoch, new JoinMessage { Token = first.Ok.Token, Connection = 1 });
        Assert.Equal([new SessionEffect(SessionEffectKind.Close, connection, RefusalCode.Token)], bed.Take());
    }

    /// <summary>S-10: tables belong to numbers of connections and outlive them.</summary>
    [Fact]
    public void The_completed_list_covers_all_connections()
    {
        ExportBed bed = new();
        Live first = bed.Granted(Message(A, 0));
        Live second = bed.Join(first, 1);
        first.Do(Operation.Write, 3, 9);
        second.Do(Operation.WriteZeroes, 5, 2);
        bed.Lost(first.Connection);
        Live next = bed.Granted(Message(A, first.Epoch));
        Assert.Equal([new CompletedEntry(0, 3, 0, 9), new CompletedEntry(1, 5, 0, 2)], next.Completed);
        Live again = bed.Join(next, 1);
        Assert.Equal(LaneAction.Reply, again.Send(Operation.WriteZeroes, 5, 2).Action);
        bed.Restart();
        Assert.Empty(bed.Granted(Message(A, next.Epoch)).Completed);
    }

    /// <summary>S-10: the list is as long as the credits need.</summary>
    [Fact]
    public void A_long_completed_list_comes_in_many_frames()
    {
        ExportOptions options = new()
        {
            Name = new WireText("x"),
            Identity = 1,
            BootId = 1,
            Geometry = new ExportGeometry(1 << 30, 4096, 4096, 4096, 0, ExportCapabilities.None),
            ConnectionsMax = 1,
            SlotsMax = 600,
        };
        ExportSession session = new(options, default, new CreditBudget(1 << 30), poisoned: false);
        HashSet<(ushort, ulong)> seen = [];
        ulong epoch = 0;
        for (int round = 0; round < 2; round++)
        {
            AttachMessage message = Message(A, epoch) with { Credits = new CreditGrant(1, 600, 1 << 22) };
            session.Attach(round, in message, default, 3, 0);
            Drain(session);
            int frames = 0;
            byte[] frame = new byte[WireLimits.ControlFrameMaxBytes];
            while (session.WriteGrant(round, frames, frame) > 0)
            {
                FrameCodec.TryRead(frame, out FrameHeader header);
                for (int i = 0; header.Kind == FrameKind.Completed && i < header.BodyBytes / 16; i++)
                {
                    MessageCodec.TryReadCompleted(frame.AsSpan(64, (int)header.BodyBytes), i, out CompletedEntry entry);
                    Assert.True(seen.Add((entry.Slot, entry.Sequence)));
                }

                frames++;
            }

            Assert.Equal(round == 0 ? 1 : 4, frames);
            epoch = session.Epoch;
            session.Begin(round, 0);
            Drain(session);
            ServerLane lane = session.LaneOf(round)!;
            for (int slot = 0; slot < 600 && round == 0; slot++)
            {
                lane.OnHeader(new FrameHeader
                {
                    Kind = FrameKind.Request,
                    Operation = Operation.Write,
                    Epoch = epoch,
                    Slot = (ushort)slot,
                    Sequence = 7,
                    LengthBytes = 4096,
                    BodyBytes = (uint)DataChecksum.BodyBytes(ChecksumKind.Xxh3, 4096),
                });
                lane.OnBody(slot, true);
                lane.OnDone(slot, DstStatus.Ok);
            }
        }

        Assert.Equal(600, seen.Count);
    }

    private static void Drain(ExportSession session)
    {
        while (session.Effects.TryTake(out SessionEffect effect))
        {
            if (effect.Kind == SessionEffectKind.PersistHold)
            {
                session.HoldPersisted(true, 0);
            }
        }
    }

    /// <summary>S-20, S-23: a loss behind the export is told by a new boot id and ends the session.</summary>
    [Fact]
    public void A_new_boot_id_ends_the_session()
    {
        ExportBed bed = new(CacheMode.WriteBack);
        Live live = bed.Granted(Message(A, 0));
        live.Do(Operation.Write, 0, 1);
        live.Send(Operation.Write, 1, 1);
        bed.Session.ChangeBootId(99, bed.NowMs);
        Assert.True(Has(bed.Take(), SessionEffectKind.Close, live.Connection));
        live.Lane.OnDone(1, DstStatus.Ok);
        Live next = bed.Granted(Message(A, live.Epoch));
        Assert.Equal(99UL, next.Ok.BootId);
        Assert.Empty(next.Completed);
    }

    /// <summary>S-23: what waited while the disk behind lost changes may be answered, but for reads.</summary>
    [Fact]
    public void A_read_that_a_loss_has_overtaken_is_not_answered()
    {
        ExportBed bed = new(CacheMode.WriteBack);
        Live live = bed.Granted(Message(A, 0));
        live.Send(Operation.Write, 0, 1);
        live.Send(Operation.Read, 1, 1);
        bed.Session.ChangeBootId(99, bed.NowMs);
        Assert.Equal(LaneAction.Reply, live.Lane.OnDone(0, DstStatus.Ok).Action);
        LaneVerdict verdict = live.Lane.OnDone(1, DstStatus.Ok);
        Assert.Equal((LaneAction.Close, RefusalCode.EpochOver), (verdict.Action, verdict.Code));
        Assert.True(verdict.Drained);
        Assert.Equal(LaneAction.None, live.Lane.OnHeader(live.Request(Operation.Read, 2, 1)).Action);
    }

    /// <summary>S-24: the mark is told at attach.</summary>
    [Fact]
    public void Attach_tells_of_poison()
    {
        ExportBed bed = new(CacheMode.WriteBack, poisoned: true);
        Live live = bed.Granted(Message(A, 0));
        Assert.True(live.Ok.Poisoned);

        // Nobody knows who wrote what is lost.
        Assert.Equal(LaneAction.Reply, live.Send(Operation.Flush, 0, 1, flags: FrameFlags.Replayed).Action);
        bed.Session.SetPoison(false);
        Assert.False(bed.Granted(Message(A, live.Epoch)).Ok.Poisoned);
    }

    /// <summary>S-24: the writer of before the restart may replay, another one may not.</summary>
    [Theory]
    [InlineData(5, true)]
    [InlineData(6, false)]
    public void After_a_restart_only_the_same_writer_clears_poison(ulong incarnation, bool mayClear)
    {
        ExportBed bed = new(CacheMode.WriteBack);
        Live live = bed.Granted(Message(A, 0, incarnation: 5));
        bed.Poisoned = true;
        bed.Restart();
        Live next = bed.Granted(Message(A, live.Epoch, incarnation));
        LaneVerdict verdict = next.Send(Operation.Flush, 0, 1, flags: FrameFlags.Replayed);
        Assert.Equal(mayClear ? LaneAction.Run : LaneAction.Reply, verdict.Action);
        Assert.Equal(!mayClear, bed.OnDisk.MixedWriters);
    }

    /// <summary>S-31: shares, floors and refusals of the budget; slots stay the same for an incarnation.</summary>
    [Fact]
    public void Credits_come_out_of_one_budget()
    {
        ExportBed bed = new(budgetBytes: 3 << 20);
        Live live = bed.Granted(Message(A, 0));
        Assert.Equal(new CreditGrant(2, 8, 1 << 20), live.Ok.Credits);
        Assert.Equal(2 << 20, bed.Budget.UsedBytes);
        Live reader = bed.Granted(ExportBed.Reader(), begin: false);
        Assert.Equal(RefusalCode.NoCredits, bed.Refusal(ExportBed.Reader()));
        bed.Lost(live.Connection);
        Assert.Equal(1 << 20, bed.Budget.UsedBytes);
        live = bed.Granted(Message(A, live.Epoch) with { Credits = new CreditGrant(1, 4, 1 << 20) });
        Assert.Equal(new CreditGrant(2, 8, 1 << 20), live.Ok.Credits);
        bed.Lost(live.Connection);
        bed.Lost(reader.Connection);
        Assert.Equal(0, bed.Budget.UsedBytes);

        ExportBed small = new(budgetBytes: (1 << 20) - 1);
        Assert.Equal(RefusalCode.NoCredits, small.Refusal(Message(A, 0)));
    }

    [Fact]
    public void A_budget_shared_by_many_leaves_something_for_the_next()
    {
        CreditBudget budget = new(256 << 20);
        for (int i = 0; i < 15; i++)
        {
            CreditGrant wanted = new(1, 128, 1 << 30);
            Assert.True(budget.TryTake(wanted, 1 << 20, 256, 16, true, out CreditGrant grant));
            Assert.True(grant.PayloadBytes >= 1 << 20);
        }

        CreditBudget full = new(1 << 20);
        Assert.True(full.TryTake(new CreditGrant(4, 500, 1), 1 << 20, 256, 16, true, out CreditGrant one));
        Assert.Equal(new CreditGrant(1, 256, 1 << 20), one);
        Assert.False(full.TryTake(one, 1 << 20, 256, 16, true, out _));
        full.Return(one);
        Assert.False(full.TryTake(new CreditGrant(4, 5, 1), 1 << 20, 256, 16, mayShrink: false, out _));
        MustFail.Message(() => full.Return(one));
    }

    /// <summary>S-31: lanes that share a connection each have room for a largest request.</summary>
    [Theory]
    [InlineData(1, 4, 1, 4)]
    [InlineData(2, 5, 2, 3)]
    [InlineData(4, 4, 4, 1)]
    [InlineData(4, 8, 4, 2)]
    public void A_grant_has_room_for_every_lane(ushort connections, int lanes, ushort granted, uint largest)
    {
        const uint Largest = 1 << 20;
        CreditBudget budget = new((long)granted * largest * Largest);
        CreditGrant wanted = new(connections, 128, 1);
        Assert.True(budget.TryTake(wanted, Largest, 256, 16, true, out CreditGrant grant, lanes));
        Assert.Equal(new CreditGrant(granted, 128, largest * Largest), grant);
        Assert.Equal(0, budget.FreeBytes);
        budget.Return(grant);
        CreditBudget small = new(((long)lanes * Largest) - 1);
        Assert.False(small.TryTake(wanted, Largest, 256, 16, true, out _, lanes));
        Assert.Equal(0, small.UsedBytes);
    }

    [Fact]
    public void A_reader_gets_room_for_its_lanes_on_its_one_connection()
    {
        const int Lanes = 4;
        ExportBed bed = new(budgetBytes: Lanes * (long)ExportBed.MaxRequestBytes);
        AttachMessage message = ExportBed.Reader();
        message.Lanes = Lanes;
        Live reader = bed.Granted(message, begin: false);
        Assert.Equal((uint)(Lanes * ExportBed.MaxRequestBytes), reader.Ok.Credits.PayloadBytes);
        Assert.Equal(1, reader.Ok.Credits.Connections);
    }

    /// <summary>S-31: a reader that must go comes back when there is room again.</summary>
    [Fact]
    public void Readers_do_not_keep_the_writer_from_coming_back()
    {
        ExportBed bed = new(budgetBytes: 4 * ExportBed.MaxRequestBytes);
        Live writer = bed.Granted(Message(A, 0) with { Credits = new CreditGrant(3, 8, 1 << 20) });
        Live reader = bed.Granted(ExportBed.Reader(), begin: false);
        bed.Lost(writer.Connection);
        Live second = bed.Granted(ExportBed.Reader(), begin: false);
        second.Send(Operation.Read, 0, 1);
        int back = bed.Attach(Message(A, writer.Epoch) with { Credits = new CreditGrant(3, 8, 1 << 20) });
        SessionEffect[] effects = bed.Take();
        Assert.Contains(effects, e => e.Connection == second.Connection && e.Code == RefusalCode.NoCredits);
        Assert.DoesNotContain(effects, e => e.Connection == reader.Connection);
        Assert.False(Has(effects, SessionEffectKind.Grant, back));

        second.Lane.Detach();
        Assert.True(second.Lane.OnDone(0, DstStatus.Ok).Drained);
        bed.Session.LaneDrained(bed.NowMs);
        Assert.True(Has(bed.Take(), SessionEffectKind.Grant, back));
        Live again = bed.Begun(back);
        Assert.Equal(writer.Ok.Credits.Connections, again.Ok.Credits.Connections);
        Assert.True(bed.Budget.FreeBytes >= 0);
    }

    /// <summary>Read-only attachments stand beside a writer, and end with the export.</summary>
    [Fact]
    public void Readers_need_no_hold()
    {
        ExportBed bed = new();
        Live writer = bed.Granted(Message(A, 0));
        Live one = bed.Granted(ExportBed.Reader(), begin: false);
        Live two = bed.Granted(ExportBed.Reader(), begin: false);
        Assert.Equal(RefusalCode.TooMany, bed.Refusal(ExportBed.Reader()));
        Assert.Equal(LaneAction.Run, one.Send(Operation.Read, 0, 1).Action);
        bed.Lost(writer.Connection);
        Assert.Equal(LaneAction.Run, two.Send(Operation.Read, 0, 1).Action);
        bed.Session.Goodbye(two.Connection, bed.NowMs);
        Assert.True(Has(bed.Take(), SessionEffectKind.Close, two.Connection));
        two.Lane.Detach();
        Assert.True(two.Lane.OnDone(0, DstStatus.Ok).Drained);
        bed.Session.LaneDrained(bed.NowMs);
        bed.Granted(ExportBed.Reader(), begin: false);

        bed.Session.Stop(RefusalCode.ExportGone, bed.NowMs);
        SessionEffect[] effects = bed.Take();
        Assert.Contains(effects, e => e.Connection == one.Connection && e.Code == RefusalCode.ExportGone);
        Assert.DoesNotContain(effects, e => e.Kind == SessionEffectKind.Stopped);
        Assert.Equal(RefusalCode.EpochOver, one.Send(Operation.Read, 1, 1).Code);
        one.Lane.OnDone(0, DstStatus.Ok);
        bed.Session.LaneDrained(bed.NowMs);
        Assert.Contains(bed.Take(), e => e.Kind == SessionEffectKind.Stopped);
        Assert.Equal(RefusalCode.ExportGone, bed.Refusal(ExportBed.Reader()));
        Assert.Equal(0, bed.Budget.UsedBytes);
    }

    [Fact]
    public void Stop_waits_for_the_disk_and_keeps_the_hold()
    {
        ExportBed bed = new();
        Live live = bed.Granted(Message(A, 0));
        live.Send(Operation.Write, 0, 1);
        bed.Session.Stop(RefusalCode.ShuttingDown, bed.NowMs);
        Assert.DoesNotContain(bed.Take(), e => e.Kind == SessionEffectKind.Stopped);
        Assert.Equal(RefusalCode.ShuttingDown, bed.Refusal(Message(A, live.Epoch)));
        live.Lane.OnDone(0, DstStatus.Ok);
        bed.Session.LaneDrained(bed.NowMs);
        Assert.Equal([new SessionEffect(SessionEffectKind.Stopped)], bed.Take());
        Assert.True(bed.OnDisk.Held);
        bed.Session.Release(bed.NowMs);
        Assert.Contains(bed.Take(), e => e is { Kind: SessionEffectKind.Released, A: 0 });
    }

    [Fact]
    public void Every_refusal_has_a_text_on_one_line()
    {
        HoldRecord record = default;
        HashSet<string> texts = [];
        foreach (RefusalCode code in Enum.GetValues<RefusalCode>().Where(c => c != RefusalCode.None))
        {
            string text = RefusalText.For(new WireText("disk1"), code, in record).ToString();
            Assert.StartsWith("export disk1: ", text, StringComparison.Ordinal);
            Assert.DoesNotContain('\n', text);
            Assert.True(texts.Add(text), text);
        }
    }
}
