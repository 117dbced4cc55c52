using Dst.Core.Requests;
using Dst.Core.Sessions.Client;
using Dst.Core.Wire;
using Xunit;

namespace Dst.Core.Tests.Sessions.Client;

public sealed class ReplySlotsTests
{
    private const ulong Epoch = 7;
    private const ChecksumKind Kind = ChecksumKind.Crc32C;
    private readonly ReplySlots _slots = new(4);

    private static FrameHeader Reply(ulong sequence, Operation operation = Operation.Read) => new()
    {
        Kind = FrameKind.Reply,
        Operation = operation,
        Epoch = Epoch,
        Sequence = sequence,
        Slot = 2,
        OffsetBytes = 4096,
        LengthBytes = 512,
        BodyBytes = operation == Operation.Read ? 516u : 0,
    };

    private void Publish(ulong sequence, Operation operation = Operation.Read) =>
        _slots.Publish(2, new WaitingReply(Epoch, sequence, operation, 4096, 512, 0x1000));

    private ReplyVerdict Claim(FrameHeader header, int slot = 2, ulong epoch = Epoch) =>
        _slots.Claim(in header, slot, epoch, Kind, out _);

    [Fact]
    public void A_matching_reply_is_claimed_finished_and_taken_once()
    {
        Publish(5);
        FrameHeader header = Reply(5);
        Assert.Equal(ReplyVerdict.Take, _slots.Claim(in header, 2, Epoch, Kind, out ReplyTarget target));
        Assert.Equal(new ReplyTarget(2, 0x1000, 512), target);
        Assert.False(_slots.HasFinished);
        _slots.Finish(2, in header, dataGood: true);
        Assert.True(_slots.HasFinished);
        Assert.True(_slots.TryTake(out FinishedReply reply));
        Assert.Equal((2, 5UL, DstStatus.Ok, true), (reply.Slot, reply.Sequence, reply.Status, reply.DataGood));
        Assert.False(_slots.TryTake(out _));
        Assert.Equal(ReplyVerdict.Drain, Claim(header)); // the same reply once more (N-35)
    }

    [Fact]
    public void Every_field_that_differs_is_found_before_a_byte_is_placed()
    {
        Publish(5);
        Assert.Equal(ReplyVerdict.Break, Claim(Reply(5), slot: 4));
        Assert.Equal(ReplyVerdict.Break, Claim(Reply(5), slot: -1));
        Assert.Equal(ReplyVerdict.Break, Claim(Reply(6)));
        Assert.Equal(ReplyVerdict.Drain, Claim(Reply(4)));
        Assert.Equal(ReplyVerdict.Break, Claim(Reply(5), slot: 1)); // a slot that was never used
        Assert.Equal(ReplyVerdict.Break, Claim(Reply(5) with { Epoch = 8 }));
        Assert.Equal(ReplyVerdict.Break, Claim(Reply(5) with { Epoch = 8 }, epoch: 8)); // foreign to the slot
        Assert.Equal(ReplyVerdict.Break, Claim(Reply(5, Operation.Write)));
        Assert.Equal(ReplyVerdict.Break, Claim(Reply(5) with { OffsetBytes = 0 }));
        Assert.Equal(ReplyVerdict.Break, Claim(Reply(5) with { LengthBytes = 1024, BodyBytes = 1028 }));
        Assert.Equal(ReplyVerdict.Break, Claim(Reply(5) with { BodyBytes = 520 })); // the table of another kind
        Assert.Equal(ReplyVerdict.Break, Claim(Reply(5) with { BodyBytes = 0 }));
        Assert.Equal(ReplyVerdict.Break, Claim(Reply(5) with { Status = 1 }));
        Assert.True(_slots.IsWaiting(2));
        Assert.Equal(ReplyVerdict.Take, Claim(Reply(5) with { Status = 1, BodyBytes = 0 }));
    }

    [Fact]
    public void An_abandoned_slot_cannot_be_claimed_and_a_claimed_one_not_abandoned()
    {
        Publish(1);
        Assert.True(_slots.TryAbandon(2));
        Assert.Equal(ReplyVerdict.Drain, Claim(Reply(1)));
        Publish(2);
        Assert.Equal(ReplyVerdict.Take, Claim(Reply(2)));
        Assert.False(_slots.TryAbandon(2));
        _slots.LetGo(2);
        Assert.True(_slots.TryAbandon(2));
        Publish(3);
        Assert.Equal(ReplyVerdict.Take, Claim(Reply(3)));
        FrameHeader header = Reply(3);
        _slots.Finish(2, in header, dataGood: false);
        Assert.False(_slots.TryAbandon(2));
        Assert.True(_slots.TryTake(out FinishedReply reply));
        Assert.False(reply.DataGood);
        Assert.True(_slots.TryAbandon(2));
    }

    [Fact]
    public void A_reply_of_the_epoch_before_is_not_taken_after_a_resend()
    {
        Publish(1);
        _slots.Republish(2, Epoch + 1);
        Assert.Equal(ReplyVerdict.Break, Claim(Reply(1)));
        Assert.Equal(ReplyVerdict.Take, Claim(Reply(1) with { Epoch = Epoch + 1 }, epoch: Epoch + 1));
    }

    [Fact]
    public void Few_strays_are_borne_many_are_not()
    {
        Publish(2);
        for (int i = 0; i < ClientLimits.StrayRepliesMax; i++)
        {
            Assert.Equal(ReplyVerdict.Drain, Claim(Reply(1)));
        }

        Assert.Equal(ReplyVerdict.Break, Claim(Reply(1)));
        Assert.Equal(ClientLimits.StrayRepliesMax + 1, _slots.StrayCount);
        Assert.Equal(ReplyVerdict.Drain, Claim(Reply(1) with { Epoch = 8 }, epoch: 8));
    }

    [Fact]
    public void Misuse_ends_the_process()
    {
        FrameHeader header = Reply(1);
        MustFail.Message(() => Publish(0));
        Publish(3);
        MustFail.Message(() => Publish(4));
        MustFail.Message(() => _slots.Finish(2, in header, true));
        MustFail.Message(() => _slots.LetGo(2));
        MustFail.Message(() => _slots.Republish(1, Epoch));
        Assert.True(_slots.TryAbandon(2));
        MustFail.Message(() => Publish(2)); // a sequence that was used already (N-07)
        MustFail.Message(() => _slots.TryAbandon(4));
    }

    [Fact]
    public void Flush_replies_bring_boot_id_and_generation()
    {
        _slots.Publish(2, new WaitingReply(Epoch, 1, Operation.Flush, 0, 0, 0));
        FrameHeader header = Reply(1, Operation.Flush) with { OffsetBytes = 11, LengthBytes = 12, Status = 1 };
        Assert.Equal(ReplyVerdict.Take, Claim(header));
        _slots.Finish(2, in header, dataGood: true);
        Assert.True(_slots.TryTake(out FinishedReply reply));
        Assert.Equal((11UL, 12UL, DstStatus.IoError), (reply.BootId, reply.Generation, reply.Status));
    }

    /// <summary>
    /// Two threads: RX claims while the queue gives up. Who gives up and succeeds must never see the claim of that sequence
    /// succeed, and the other way round; every claimed reply comes through the ring once.
    /// </summary>
    [Fact]
    public void Claims_and_abandonments_exclude_each_other()
    {
        const int rounds = 200_000;
        ulong published = 0;
        long claimed = 0;
        bool stop = false;
        Thread rx = new(() =>
        {
            while (!Volatile.Read(ref stop))
            {
                ulong sequence = Volatile.Read(ref published);
                if (sequence == 0)
                {
                    continue;
                }

                FrameHeader header = Reply(sequence, Operation.Write) with { Epoch = sequence };
                if (_slots.Claim(in header, 2, sequence, Kind, out _) == ReplyVerdict.Take)
                {
                    claimed++;
                    _slots.Finish(2, in header, dataGood: true);
                }
            }
        });
        rx.Start();
        long taken = 0;
        long abandoned = 0;
        for (ulong i = 1; i <= rounds; i++)
        {
            // The epoch follows the sequence, so that the strays of one round do not count for the next.
            _slots.Publish(2, new WaitingReply(i, i, Operation.Write, 4096, 512, 0));
            Volatile.Write(ref published, i);
            Thread.SpinWait((int)(i % 64));
            if (_slots.TryAbandon(2))
            {
                abandoned++;
                continue;
            }

            FinishedReply reply;
            while (!_slots.TryTake(out reply))
            {
                Thread.SpinWait(1);
            }

            Assert.Equal(i, reply.Sequence);
            taken++;
        }

        Volatile.Write(ref stop, true);
        rx.Join();
        Assert.Equal(claimed, taken);
        Assert.Equal(rounds, taken + abandoned);
    }
}
