using CsCheck;
using Dst.Core.Requests;
using Dst.Core.Sessions;
using Dst.Core.Wire;
using Xunit;

namespace Dst.Core.Tests.Sessions;

public sealed class ServerLaneTests
{
    private const Operation Read = Operation.Read;
    private const Operation Write = Operation.Write;
    private const Operation Flush = Operation.Flush;

    private static Live Open(CacheMode cache = CacheMode.WriteThrough) =>
        new ExportBed(cache).Granted(ExportBed.Message(ExportBed.A, 0));

    private static void Violates(Live live, in FrameHeader header)
    {
        LaneVerdict verdict = live.Lane.OnHeader(in header);
        Assert.Equal((LaneAction.Close, RefusalCode.Protocol), (verdict.Action, verdict.Code));
        Assert.True(live.Lane.IsClosed);
        Assert.Equal(0, live.Lane.InFlightCount);
    }

    /// <summary>S-01: each kind on a live connection.</summary>
    [Fact]
    public void Every_kind_of_frame_has_its_answer()
    {
        foreach (FrameKind kind in Enum.GetValues<FrameKind>())
        {
            Live live = Open();
            FrameHeader header = kind == FrameKind.Request
                ? live.Request(Read, 0, 1)
                : new FrameHeader { Kind = kind, Epoch = live.Epoch, Sequence = 9, Status = 1 };
            LaneVerdict verdict = live.Lane.OnHeader(in header);
            (LaneAction, RefusalCode) expected = kind switch
            {
                FrameKind.Request => (LaneAction.Run, RefusalCode.None),
                FrameKind.Ping => (LaneAction.SendPong, RefusalCode.None),
                FrameKind.Pong => (LaneAction.None, RefusalCode.None),
                FrameKind.Goodbye => (LaneAction.Goodbye, RefusalCode.None),
                FrameKind.Error => (LaneAction.Close, RefusalCode.None),
                _ => (LaneAction.Close, RefusalCode.Protocol),
            };
            Assert.Equal(expected, (verdict.Action, verdict.Code));
            Assert.Equal(kind == FrameKind.Ping ? 9UL : 0, verdict.Sequence);
            Assert.Equal(expected.Item1 is LaneAction.Close or LaneAction.Goodbye, live.Lane.IsClosed);
            if (live.Lane.IsClosed)
            {
                Assert.Equal(LaneAction.None, live.Lane.OnHeader(live.Request(Read, 1, 1)).Action);
            }
        }

        Live malformed = Open();
        Assert.Equal(RefusalCode.Protocol, malformed.Lane.OnMalformed(WireError.Magic).Code);
    }

    [Fact]
    public void Goodbye_leaves_what_runs_without_an_answer()
    {
        Live live = Open();
        Assert.Equal(LaneAction.Run, live.Send(Flush, 0, 1).Action);
        LaneVerdict verdict = live.Lane.OnHeader(new FrameHeader { Kind = FrameKind.Goodbye, Epoch = live.Epoch });
        Assert.Equal(LaneAction.Goodbye, verdict.Action);
        verdict = live.Lane.OnDone(0, DstStatus.Ok);
        Assert.True(verdict is { Action: LaneAction.None, Drained: true });
        Violates(Open(), new FrameHeader { Kind = FrameKind.Goodbye, Epoch = 99 });
    }

    /// <summary>S-03: nothing runs before the first use is durable.</summary>
    [Fact]
    public void Requests_before_begin_are_a_violation()
    {
        ExportBed bed = new();
        Live live = bed.Granted(ExportBed.Message(ExportBed.A, 0), begin: false);
        Violates(live, live.Request(Read, 0, 1));
    }

    [Fact]
    public void Foreign_epoch_slot_or_credit_is_a_violation()
    {
        Live live = Open();
        FrameHeader header = live.Request(Read, 0, 1);
        header.Epoch++;
        Violates(live, in header);
        live = Open();
        Violates(live, live.Request(Read, live.Ok.Credits.Requests, 1));
        live = Open();
        Violates(live, live.Request(Read, 0, 1, 0, ExportBed.MaxRequestBytes + 4096));
        live = Open();
        live.Send(Read, 3, 1);
        LaneVerdict busy = live.Lane.OnHeader(live.Request(Read, 3, 2));
        Assert.Equal((LaneAction.Close, RefusalCode.Protocol), (busy.Action, busy.Code));
        live = Open();
        header = live.Request(Write, 0, 1);
        header.BodyBytes = (uint)DataChecksum.BodyBytes(ChecksumKind.Crc32C, 4096);
        Violates(live, in header);
    }

    /// <summary>S-31: bytes in flight stay within the grant, and come back with the reply.</summary>
    [Fact]
    public void Payload_beyond_the_grant_is_a_violation()
    {
        Live live = Open();
        int fitting = (int)(live.Ok.Credits.PayloadBytes / ExportBed.MaxRequestBytes);
        Assert.InRange(fitting, 1, 7);
        for (int slot = 0; slot < fitting; slot++)
        {
            Assert.Equal(LaneAction.Run, live.Send(Read, slot, 1, 0, ExportBed.MaxRequestBytes).Action);
        }

        live.Lane.OnDone(0, DstStatus.Ok);
        Assert.Equal(LaneAction.Run, live.Send(Flush, 7, 1).Action);
        Assert.Equal(LaneAction.Run, live.Send(Read, 0, 2, 0, ExportBed.MaxRequestBytes).Action);
        Assert.Equal(LaneAction.Close, live.Send(Read, fitting, 1).Action);
    }

    /// <summary>S-14: not before the body is there; S-33: not with a wrong checksum.</summary>
    [Fact]
    public void A_write_runs_only_complete_and_right()
    {
        Live live = Open();
        Assert.Equal(LaneAction.ReceiveBody, live.Lane.OnHeader(live.Request(Write, 0, 1)).Action);
        Assert.Equal(0, live.Lane.InFlightCount);
        LaneVerdict verdict = live.Lane.OnBody(0, checksumsMatch: false);
        Assert.Equal((LaneAction.Close, RefusalCode.Checksum), (verdict.Action, verdict.Code));
        Assert.Equal((0, 1UL), (verdict.Slot, verdict.Sequence));
        Assert.Equal(0, live.Lane.InFlightCount);
        live.Bed.Lost(live.Connection);

        Live again = live.Bed.Granted(ExportBed.Message(ExportBed.A, live.Epoch));
        Assert.Empty(again.Completed);
        Assert.Equal(LaneAction.Run, again.Send(Write, 0, 1).Action);
    }

    /// <summary>S-05: what the disk does not have is dropped.</summary>
    [Fact]
    public void A_half_received_write_is_dropped_with_its_connection()
    {
        Live live = Open();
        live.Lane.OnHeader(live.Request(Write, 0, 1));
        live.Lane.Detach();
        Assert.Equal(0, live.Lane.ActiveCount);
        Assert.Equal(0, live.Lane.InFlightCount);
    }

    /// <summary>
    /// S-06: a thread that has counted is seen by the drain; one that counts after the epoch was raised runs nothing.
    /// </summary>
    [Fact]
    public void A_request_is_counted_before_its_epoch_is_checked()
    {
        ExportBed bed = new();
        Live live = bed.Granted(ExportBed.Message(ExportBed.A, 0));

        // Stopped between the halves: the drain has to wait although nothing runs yet.
        live.Lane.Count();
        Assert.True(live.Lane.IsCurrent());
        int next = bed.Attach(ExportBed.Message(ExportBed.A, live.Epoch));
        Assert.DoesNotContain(bed.Take(), e => e.Kind == SessionEffectKind.Grant);
        Assert.False(live.Lane.IsCurrent());
        Assert.True(bed.Session.IsDraining);
        Assert.Null(bed.Session.LaneOf(next));
    }

    /// <summary>S-06: the thread is stopped after its look, and an attach comes.</summary>
    [Fact]
    public void A_drain_waits_for_a_thread_that_has_looked_but_not_submitted()
    {
        ExportBed bed = new();
        Live live = bed.Granted(ExportBed.Message(ExportBed.A, 0));
        int next = 0;
        bed.Session.Gate.LookedHook = () => next = bed.Attach(ExportBed.Message(ExportBed.A, live.Epoch));
        Assert.Equal(LaneAction.Run, live.Send(Read, 0, 1).Action);
        bed.Session.Gate.LookedHook = null;
        Assert.DoesNotContain(bed.Take(), e => e.Kind == SessionEffectKind.Grant);
        Assert.True(live.Lane.OnDone(0, DstStatus.Ok).Drained);
        bed.Session.LaneDrained(bed.NowMs);
        Assert.Contains(bed.Take(), e => e.Kind == SessionEffectKind.Grant && e.Connection == next);
    }

    [Fact]
    public void A_request_of_an_epoch_that_is_over_never_runs()
    {
        ExportBed bed = new();
        Live live = bed.Granted(ExportBed.Message(ExportBed.A, 0));
        live.Lane.OnHeader(live.Request(Write, 0, 1));
        Live next = bed.Granted(ExportBed.Message(ExportBed.A, live.Epoch));
        LaneVerdict verdict = live.Lane.OnBody(0, checksumsMatch: true);
        Assert.Equal((LaneAction.Close, RefusalCode.EpochOver), (verdict.Action, verdict.Code));
        Assert.True(verdict.Drained);
        Assert.Equal(0, live.Lane.InFlightCount);

        // The successor's table knows nothing of it.
        Assert.Equal(LaneAction.Run, next.Send(Write, 0, 1).Action);
    }

    /// <summary>S-10: a change that is done is answered, not run again; reads and flushes run again.</summary>
    [Fact]
    public void A_resent_change_is_answered_from_the_table()
    {
        ExportBed bed = new();
        Live live = bed.Granted(ExportBed.Message(ExportBed.A, 0));
        live.Do(Write, 0, 1);
        live.Do(Operation.Discard, 1, 5, DstStatus.NoSpace);
        live.Do(Read, 2, 1);
        live.Do(Flush, 3, 1);
        Live next = bed.Granted(ExportBed.Message(ExportBed.A, live.Epoch));
        Assert.Equal(
            [new CompletedEntry(0, 0, 0, 1), new CompletedEntry(0, 1, WireStatus.ToWire(DstStatus.NoSpace), 5)],
            next.Completed);
        Assert.Equal(LaneAction.Reply, next.Send(Write, 0, 1).Action);
        FrameHeader reply = next.Reply(0);
        Assert.Equal((FrameKind.Reply, Write, next.Epoch, 1UL, (ushort)0, 4096UL),
            (reply.Kind, reply.Operation, reply.Epoch, reply.Sequence, reply.Status, reply.LengthBytes));
        Assert.Equal(LaneAction.Reply, next.Send(Operation.Discard, 1, 5).Action);
        Assert.Equal(WireStatus.ToWire(DstStatus.NoSpace), next.Reply(1).Status);
        Assert.Equal(LaneAction.Run, next.Send(Read, 2, 1).Action);
        Assert.Equal(LaneAction.Run, next.Send(Flush, 3, 1).Action);
        Assert.Equal(2, next.Lane.InFlightCount);
    }

    /// <summary>S-10: what ended after its connection was lost is known all the same.</summary>
    [Fact]
    public void A_change_that_ends_during_the_drain_is_in_the_list()
    {
        ExportBed bed = new();
        Live live = bed.Granted(ExportBed.Message(ExportBed.A, 0));
        Assert.Equal(LaneAction.Run, live.Send(Write, 4, 7).Action);
        bed.Lost(live.Connection);
        live.Lane.Detach();
        int next = bed.Attach(ExportBed.Message(ExportBed.A, live.Epoch));
        Assert.DoesNotContain(bed.Take(), e => e.Kind == SessionEffectKind.Grant);
        LaneVerdict verdict = live.Lane.OnDone(4, DstStatus.Ok);
        Assert.Equal((LaneAction.None, true), (verdict.Action, verdict.Drained));
        bed.Session.LaneDrained(bed.NowMs);
        Assert.Contains(bed.Take(), e => e.Kind == SessionEffectKind.Grant && e.Connection == next);
        Assert.Equal([new CompletedEntry(0, 4, 0, 7)], bed.Begun(next).Completed);
    }

    [Fact]
    public void Ids_that_no_honest_client_sends_are_violations()
    {
        Live live = Open();
        live.Do(Write, 0, 5);
        Violates(live, live.Request(Read, 0, 4));

        live = Open();
        live.Do(Write, 0, 5);
        Assert.Equal(LaneAction.Close, live.Send(Write, 0, 5).Action);

        live = Open();
        live.Do(Read, 0, 5);
        Violates(live, live.Request(Read, 0, 5));

        live = Open();
        live.Do(Write, 0, 5);
        Live next = live.Bed.Granted(ExportBed.Message(ExportBed.A, live.Epoch));
        Violates(next, next.Request(Read, 0, 5));

        live = Open();
        live.Do(Write, 0, 5);
        next = live.Bed.Granted(ExportBed.Message(ExportBed.A, live.Epoch));
        Assert.Equal(LaneAction.Close, next.Send(Write, 0, 4).Action);

        live = Open();
        live.Do(Write, 0, 5);
        next = live.Bed.Granted(ExportBed.Message(ExportBed.A, live.Epoch));
        Assert.Equal(LaneAction.Reply, next.Send(Write, 0, 5).Action);
        Assert.Equal(LaneAction.Close, next.Send(Write, 0, 5).Action);
    }

    /// <summary>S-10: a successor of the target counts anew.</summary>
    [Fact]
    public void Another_incarnation_empties_the_table()
    {
        ExportBed bed = new();
        Live live = bed.Granted(ExportBed.Message(ExportBed.A, 0, incarnation: 5));
        live.Do(Write, 0, 1);
        Live next = bed.Granted(ExportBed.Message(ExportBed.A, live.Epoch, incarnation: 6));
        Assert.Empty(next.Completed);
        Assert.Equal(LaneAction.Run, next.Send(Write, 0, 1).Action);
    }

    [Theory]
    [InlineData(Operation.Read, 0, 512, DstStatus.Invalid)]
    [InlineData(Operation.Read, 512, 4096, DstStatus.Invalid)]
    [InlineData(Operation.Read, ExportBed.SizeBytes, 4096, DstStatus.Invalid)]
    [InlineData(Operation.Read, ExportBed.SizeBytes - 4096, 8192, DstStatus.Invalid)]
    [InlineData(Operation.Read, ExportBed.SizeBytes - 4096, 4096, DstStatus.Ok)]
    [InlineData(Operation.Write, ExportBed.SizeBytes - 4096, 8192, DstStatus.Invalid)]
    [InlineData(Operation.Discard, 0, (1 << 28) + 4096, DstStatus.Invalid)]
    [InlineData(Operation.Discard, 0, 1 << 28, DstStatus.Ok)]
    [InlineData(Operation.WriteZeroes, 1UL << 62, 4096, DstStatus.Invalid)]
    public void Ranges_are_checked(Operation operation, ulong offset, ulong length, DstStatus expected)
    {
        Live live = Open();
        LaneVerdict verdict = live.Send(operation, 0, 1, offset, length);
        Assert.Equal(expected == DstStatus.Ok ? LaneAction.Run : LaneAction.Reply, verdict.Action);
        if (expected != DstStatus.Ok)
        {
            Assert.Equal(WireStatus.ToWire(expected), live.Reply(0).Status);
            Assert.Equal(0, live.Lane.InFlightCount);
        }
    }

    [Fact]
    public void Read_only_is_enforced_on_every_request()
    {
        ExportBed bed = new(readOnly: true);
        Assert.Equal(RefusalCode.ReadOnlyExport, bed.Refusal(ExportBed.Message(ExportBed.A, 0)));
        foreach (ExportBed each in (ExportBed[])[bed, new ExportBed()])
        {
            Live live = each.Granted(ExportBed.Reader(), begin: false);
            Assert.Equal(0UL, live.Epoch);
            Assert.Equal(LaneAction.Reply, live.Send(Write, 0, 1).Action);
            Assert.Equal(WireStatus.ToWire(DstStatus.ReadOnly), live.Reply(0).Status);
            Assert.Equal(LaneAction.Reply, live.Send(Operation.Discard, 1, 1).Action);
            Assert.Equal(LaneAction.Reply, live.Send(Operation.WriteZeroes, 2, 1).Action);
            Assert.Equal(LaneAction.Run, live.Send(Read, 3, 1).Action);
            Assert.Equal(LaneAction.Run, live.Send(Flush, 4, 1).Action);
            live.Lane.OnDone(3, DstStatus.Ok);
            FrameHeader reply = live.Reply(3);
            Assert.Equal(DataChecksum.BodyBytes(ChecksumKind.Xxh3, 4096), (int)reply.BodyBytes);
        }
    }

    /// <summary>S-21: what write-through and FUA add.</summary>
    [Theory]
    [InlineData(CacheMode.WriteThrough, FrameFlags.None, true)]
    [InlineData(CacheMode.WriteBack, FrameFlags.None, false)]
    [InlineData(CacheMode.WriteBack, FrameFlags.Fua, true)]
    public void Changes_are_durable_before_they_are_answered(CacheMode cache, FrameFlags flags, bool durable)
    {
        Live live = Open(cache);
        Assert.Equal(LaneAction.Run, live.Send(Write, 0, 1, flags: flags).Action);
        Assert.Equal(durable ? RequestFlags.Fua : RequestFlags.None, live.Lane.RequestAt(0).Flags);
        Assert.Equal(LaneAction.Reply, live.Lane.OnDone(0, DstStatus.Ok).Action);
        (Operation, int)[] others = [(Operation.Discard, 1), (Operation.WriteZeroes, 2)];
        foreach ((Operation operation, int slot) in others)
        {
            live.Send(operation, slot, 1, flags: flags);
            Assert.Equal(RequestFlags.None, live.Lane.RequestAt(slot).Flags);
            LaneVerdict verdict = live.Lane.OnDone(slot, DstStatus.Ok);
            if (durable)
            {
                Assert.Equal(LaneAction.RunFlush, verdict.Action);
                Assert.Equal(1, live.Lane.InFlightCount);
                verdict = live.Lane.OnDone(slot, DstStatus.Ok);
            }

            Assert.Equal(LaneAction.Reply, verdict.Action);
        }

        live.Send(Operation.Discard, 1, 2, flags: flags);
        LaneVerdict failed = live.Lane.OnDone(1, DstStatus.IoError);
        Assert.Equal(LaneAction.Reply, failed.Action);
        live.Send(Operation.WriteZeroes, 2, 2, flags: flags | FrameFlags.NoUnmap);
        Assert.Equal(RequestFlags.NoUnmap, live.Lane.RequestAt(2).Flags);
    }

    [Fact]
    public void A_flush_that_fails_after_a_discard_fails_the_discard()
    {
        Live live = Open();
        live.Send(Operation.Discard, 0, 1);
        live.Lane.OnDone(0, DstStatus.Ok);
        Assert.Equal(LaneAction.Reply, live.Lane.OnDone(0, DstStatus.IoError).Action);
        Assert.Equal(WireStatus.ToWire(DstStatus.IoError), live.Reply(0).Status);
        Assert.Equal(1UL, live.Bed.Session.Gate.WriteErrorGeneration);
    }

    /// <summary>S-21: overlapping changes have no order in write-back.</summary>
    [Fact]
    public void Overlapping_changes_are_a_violation_in_write_back_only()
    {
        Live live = Open();
        live.Send(Write, 0, 1);
        Assert.Equal(LaneAction.Run, live.Send(Write, 1, 1).Action);

        live = Open(CacheMode.WriteBack);
        live.Send(Write, 0, 1, 8192, 8192);
        Assert.Equal(LaneAction.Run, live.Send(Write, 1, 1, 4096, 4096).Action);
        Assert.Equal(LaneAction.Run, live.Send(Write, 2, 1, 16384, 4096).Action);
        Assert.Equal(LaneAction.Run, live.Send(Read, 3, 1, 8192, 4096).Action);
        live.Lane.OnDone(1, DstStatus.Ok);
        Assert.Equal(LaneAction.Run, live.Send(Operation.Discard, 1, 2, 4096, 4096).Action);
        LaneVerdict verdict = live.Send(Operation.WriteZeroes, 4, 1, 12288, 4096);
        Assert.Equal((LaneAction.Close, RefusalCode.Protocol), (verdict.Action, verdict.Code));
    }

    /// <summary>
    /// S-20: boot id and generation in each flush reply; failures of the disk count, refusals do not.
    /// </summary>
    [Fact]
    public void Flush_replies_carry_boot_id_and_generation()
    {
        Live live = Open(CacheMode.WriteBack);
        Assert.Equal((10UL, 0UL), (live.Ok.BootId, live.Ok.WriteErrorGeneration));
        live.Do(Flush, 0, 1);
        Assert.Equal((10UL, 0UL), (live.Reply(0).OffsetBytes, live.Reply(0).LengthBytes));
        live.Do(Write, 1, 1, DstStatus.IoError);
        live.Do(Read, 1, 2, DstStatus.IoError);
        live.Do(Operation.Discard, 1, 3, DstStatus.NotSupported);
        live.Do(Flush, 0, 2, DstStatus.IoError);
        live.Do(Flush, 0, 3);
        Assert.Equal((10UL, 2UL), (live.Reply(0).OffsetBytes, live.Reply(0).LengthBytes));
        live.Bed.Session.Gate.CountWriteError();
        Assert.Equal(3UL, live.Reply(0).LengthBytes);
    }

    /// <summary>S-24: no flush says ok over lost data.</summary>
    [Fact]
    public void A_poisoned_export_flushes_only_for_the_whole_replay()
    {
        Live live = Open(CacheMode.WriteBack);
        live.Bed.Session.SetPoison(true);
        Assert.Equal(LaneAction.Reply, live.Send(Flush, 0, 1).Action);
        Assert.Equal(WireStatus.ToWire(DstStatus.IoError), live.Reply(0).Status);
        Assert.Equal(LaneAction.Run, live.Send(Write, 1, 1).Action);
        Assert.Equal(LaneAction.Run, live.Send(Flush, 0, 2, flags: FrameFlags.Replayed).Action);
        Assert.Equal(LaneAction.ClearPoison, live.Lane.OnDone(0, DstStatus.Ok).Action);
        Assert.Equal(LaneAction.Reply, live.Lane.OnPoisonCleared(0, cleared: false).Action);
        Assert.Equal(WireStatus.ToWire(DstStatus.IoError), live.Reply(0).Status);
        live.Send(Flush, 0, 3, flags: FrameFlags.Replayed);
        live.Lane.OnDone(0, DstStatus.Ok);
        live.Bed.Session.SetPoison(false);
        Assert.Equal(LaneAction.Reply, live.Lane.OnPoisonCleared(0, cleared: true).Action);
        Assert.Equal(0, live.Reply(0).Status);
        live.Do(Flush, 0, 4);
    }

    /// <summary>S-24: the one flush that a replay is let through is not for others.</summary>
    [Theory]
    [InlineData(CacheMode.WriteThrough, FrameFlags.None)]
    [InlineData(CacheMode.WriteBack, FrameFlags.Fua)]
    public void Zeroes_that_must_be_durable_fail_on_a_poisoned_export(CacheMode cache, FrameFlags flags)
    {
        Live live = Open(cache);
        Assert.Equal(LaneAction.Run, live.Send(Operation.WriteZeroes, 0, 1, flags: flags).Action);
        Assert.Equal(LaneAction.RunFlush, live.Lane.OnDone(0, DstStatus.Ok).Action);
        Assert.Equal(LaneAction.Reply, live.Lane.OnDone(0, DstStatus.Ok).Action);
        Assert.Equal(0, live.Reply(0).Status);
        Assert.Equal(LaneAction.Run, live.Send(Operation.Discard, 0, 2, flags: flags).Action);
        live.Bed.Session.SetPoison(true);
        Assert.Equal(LaneAction.Reply, live.Lane.OnDone(0, DstStatus.Ok).Action);
        Assert.Equal(WireStatus.ToWire(DstStatus.IoError), live.Reply(0).Status);
    }

    [Fact]
    public void A_replay_clears_no_poison_where_there_is_no_log()
    {
        Live live = Open(CacheMode.WriteThrough);
        live.Bed.Session.SetPoison(true);
        Assert.Equal(LaneAction.Reply, live.Send(Flush, 0, 1, flags: FrameFlags.Replayed).Action);
        Assert.Equal(WireStatus.ToWire(DstStatus.IoError), live.Reply(0).Status);
    }

    [Fact]
    public void A_second_writer_cannot_replay_what_the_first_one_wrote()
    {
        ExportBed bed = new(CacheMode.WriteBack);
        Live first = bed.Granted(ExportBed.Message(ExportBed.A, 0, incarnation: 5));
        Live second = bed.Granted(ExportBed.Message(ExportBed.A, first.Epoch, incarnation: 6));
        bed.Session.SetPoison(true);
        Assert.Equal(LaneAction.Reply, second.Send(Flush, 0, 1, flags: FrameFlags.Replayed).Action);
        bed.Session.SetPoison(false);
        second.Do(Flush, 0, 2);
        bed.Session.SetPoison(true);
        Assert.Equal(LaneAction.Run, second.Send(Flush, 0, 3, flags: FrameFlags.Replayed).Action);
    }

    [Fact]
    public void A_readers_flush_says_nothing_of_older_writers()
    {
        ExportBed bed = new(CacheMode.WriteBack);
        Live reader = bed.Granted(ExportBed.Reader(), begin: false);
        Live first = bed.Granted(ExportBed.Message(ExportBed.A, 0, incarnation: 5));
        reader.Send(Flush, 0, 1);
        bed.Granted(ExportBed.Message(ExportBed.A, first.Epoch, incarnation: 6));
        reader.Lane.OnDone(0, DstStatus.Ok);
        Assert.True(bed.Session.Gate.HasMixedWriters);
    }

    /// <summary>N-33: any valid headers, bodies and ends in any order; nothing leaks and nothing dies.</summary>
    [Theory]
    [InlineData(CacheMode.WriteThrough)]
    [InlineData(CacheMode.WriteBack)]
    public void Any_order_of_frames_is_survived(CacheMode cache) =>
        Gen.Select(Gen.Int[0, 9], Gen.Int[0, 4], Gen.Int[0, 9], Gen.Int[1, 6], Gen.Int[0, 7]).Array[1, 60].Sample(
            steps =>
            {
                Live live = Open(cache);
                List<int> receiving = [];
                List<int> running = [];
                void Took(LaneVerdict verdict)
                {
                    receiving.Remove(verdict.Slot);
                    if (verdict.Action == LaneAction.ReceiveBody)
                    {
                        receiving.Add(verdict.Slot);
                    }
                    else if (verdict.Action is LaneAction.Run or LaneAction.RunFlush)
                    {
                        running.Add(verdict.Slot);
                    }
                    else if (verdict.Action == LaneAction.Reply)
                    {
                        live.Reply(verdict.Slot);
                    }
                }

                foreach ((int kind, int operation, int slot, int sequence, int block) in steps)
                {
                    if (kind < 6)
                    {
                        FrameHeader header = live.Request(
                            (Operation)operation, slot, (ulong)sequence * (ulong)(1 + kind), (ulong)block * 4096, 4096);
                        Took(live.Lane.OnHeader(in header));
                    }
                    else if (kind == 6 && receiving.Count > 0)
                    {
                        Took(live.Lane.OnBody(receiving[0], checksumsMatch: block != 0 || sequence != 6));
                    }
                    else if (kind < 9 && running.Count > 0)
                    {
                        int done = running[block % running.Count];
                        running.Remove(done);
                        Took(live.Lane.OnDone(done, sequence == 6 ? DstStatus.IoError : DstStatus.Ok));
                    }
                    else if (kind == 9 && block == 7)
                    {
                        live.Lane.Detach();
                    }

                    Assert.True(live.Lane.InFlightCount <= live.Lane.ActiveCount);
                }

                live.Lane.Detach();
                while (running.Count > 0)
                {
                    int done = running[0];
                    running.RemoveAt(0);
                    Took(live.Lane.OnDone(done, DstStatus.Ok));
                }

                Assert.Equal((0, 0), (live.Lane.ActiveCount, live.Lane.InFlightCount));
            },
            iter: 3000);

    [Fact]
    public void Requests_allocate_nothing()
    {
        Live live = Open(CacheMode.WriteBack);
        byte[] frame = new byte[WireLimits.HeaderBytes];
        FrameHeader[] headers = [live.Request(Write, 1, 1), live.Request(Read, 2, 1, 8192), live.Request(Flush, 3, 1)];
        Turn(live.Lane, headers, frame, 1);
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (ulong turn = 2; turn < 2000; turn++)
        {
            Turn(live.Lane, headers, frame, turn);
        }

        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
    }

    private static void Turn(ServerLane lane, FrameHeader[] headers, byte[] frame, ulong sequence)
    {
        for (int i = 0; i < headers.Length; i++)
        {
            headers[i].Sequence = sequence;
            if (lane.OnHeader(in headers[i]).Action == LaneAction.ReceiveBody)
            {
                lane.OnBody(headers[i].Slot, checksumsMatch: true);
            }
        }

        foreach (ref FrameHeader header in headers.AsSpan())
        {
            if (lane.OnDone(header.Slot, DstStatus.Ok).Action != LaneAction.Reply)
            {
                throw new InvalidOperationException("no reply");
            }

            lane.WriteReply(header.Slot, frame);
        }
    }
}
