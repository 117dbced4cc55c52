using Dst.Core.Requests;
using Dst.Core.Sessions.Client;
using Xunit;

namespace Dst.Core.Tests.Sessions.Client;

public sealed class ChangeOrderTests
{
    private const long Stripe = ClientLimits.StripeBytes;
    private readonly ChangeOrder _order = new();

    [Fact]
    public void Lanes_exclude_each_other_by_stripe_and_are_woken()
    {
        Assert.Equal(RangeClaim.Alone, _order.TryClaim(0, Stripe - 512, 1024));
        Assert.Equal(RangeClaim.Refused, _order.TryClaim(1, 0, 512));
        Assert.Equal(RangeClaim.Refused, _order.TryClaim(2, Stripe, 512));
        Assert.Equal(RangeClaim.Alone, _order.TryClaim(3, 2 * Stripe, 512));
        Assert.Equal(RangeClaim.Shared, _order.TryClaim(0, 4096, 512));
        Assert.Equal(0b110UL, _order.Release(0, Stripe - 512, 1024));
        Assert.Equal(RangeClaim.Refused, _order.TryClaim(1, 0, 512)); // the second claim of lane 0 is still there
        Assert.Equal(RangeClaim.Alone, _order.TryClaim(2, Stripe, 512));
        Assert.Equal(0b10UL, _order.Release(0, 4096, 512));
        Assert.Equal(RangeClaim.Alone, _order.TryClaim(1, 0, 512));
    }

    [Fact]
    public void A_refused_claim_leaves_nothing_behind()
    {
        Assert.Equal(RangeClaim.Alone, _order.TryClaim(0, 3 * Stripe, 512));
        Assert.Equal(RangeClaim.Refused, _order.TryClaim(1, 0, 4 * Stripe));
        Assert.Equal(RangeClaim.Alone, _order.TryClaim(2, 0, 3 * Stripe));
    }

    [Fact]
    public void The_longest_change_touches_no_stripe_twice()
    {
        const long longest = 1L << 30;
        Assert.Equal(RangeClaim.Alone, _order.TryClaim(0, Stripe - 512, longest));
        Assert.Equal(0UL, _order.Release(0, Stripe - 512, longest));
        Assert.Equal(RangeClaim.Alone, _order.TryClaim(1, 0, longest));
    }

    [Fact]
    public void Giving_back_what_is_anothers_ends_the_process()
    {
        _order.TryClaim(0, 0, 512);
        MustFail.Message(() => _order.Release(1, 0, 512));
    }

    [Fact]
    public void Stable_only_rises()
    {
        _order.RaiseStable(5);
        _order.RaiseStable(3);
        Assert.Equal(5, _order.Stable);
    }

    /// <summary>
    /// What two lanes do under a claim of the same stripe never happens at once, and nobody waits for ever.
    /// </summary>
    [Fact]
    public void Two_threads_never_hold_one_stripe_together()
    {
        const int rounds = 100_000;
        int inside = 0;
        int together = 0;
        long[] sequences = new long[2];
        void Run(int lane)
        {
            for (int i = 0; i < rounds; i++)
            {
                while (_order.TryClaim(lane, 512 * lane, 512) == RangeClaim.Refused)
                {
                    Thread.SpinWait(1);
                }

                if (Interlocked.Increment(ref inside) != 1)
                {
                    Interlocked.Increment(ref together);
                }

                sequences[lane] = _order.Next();
                Interlocked.Decrement(ref inside);
                _order.Release(lane, 512 * lane, 512);
            }
        }

        Thread other = new(() => Run(1));
        other.Start();
        Run(0);
        other.Join();
        Assert.Equal(0, together);
        Assert.Equal(2 * rounds, _order.Last);
        Assert.Equal(2 * rounds, Math.Max(sequences[0], sequences[1]));
    }
}

public sealed class ReplayLogTests
{
    private static Request Write(long offset, int length) => new(Operation.Write, RequestFlags.None, offset, length);

    [Fact]
    public void Room_is_reserved_before_and_data_goes_round_the_arena()
    {
        ReplayLog log = new(1000, 8);
        Assert.True(log.TryReserve(600));
        Assert.False(log.TryReserve(600));
        Assert.True(log.TryReserve(300));
        Assert.True(log.IsHalfFull);
        Assert.Equal(0, log.Append(1, Write(0, 600)).ArenaOffset);
        Assert.Equal(600, log.Append(2, Write(0, 300)).ArenaOffset);
        log.Trim(1);
        Assert.Equal(1, log.Count);
        Assert.Equal(300, log.UsedBytes);
        Assert.True(log.TryReserve(600));
        Assert.Equal(900, log.Append(3, Write(0, 600)).ArenaOffset);
        Assert.True(log.TryReserve(50));
        Assert.Equal(500, log.Append(4, Write(0, 50)).ArenaOffset);
    }

    [Fact]
    public void Entries_without_data_are_bounded_too()
    {
        ReplayLog log = new(0, 4);
        for (int i = 1; i <= 4; i++)
        {
            Assert.True(log.TryReserve(0));
            log.Append(i, new Request(Operation.Discard, RequestFlags.None, 0, 1 << 30));
        }

        Assert.False(log.TryReserve(0));
        log.Trim(2);
        Assert.Equal(3, log.At(0).Sequence);
        Assert.True(log.TryReserve(0));
        log.Unreserve(0);
        log.Drop();
        Assert.Equal(0, log.Count);
        MustFail.Message(() => log.Unreserve(0));
    }

    [Fact]
    public void Order_is_kept()
    {
        ReplayLog log = new(100, 4);
        log.TryReserve(1);
        log.TryReserve(1);
        log.Append(5, Write(0, 1));
        MustFail.Message(() => log.Append(5, Write(0, 1)));
        MustFail.Message(() => log.At(1));
    }
}
