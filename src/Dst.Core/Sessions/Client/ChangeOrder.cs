using Dst.Core.Wire;

namespace Dst.Core.Sessions.Client;

/// <summary>What became of an attempt to claim a range.</summary>
public enum RangeClaim : byte
{
    /// <summary>Another lane has changes in flight nearby; nothing is claimed.</summary>
    Refused,

    /// <summary>Claimed, and this lane had nothing in flight there.</summary>
    Alone,

    /// <summary>Claimed beside other changes of this lane, which has to compare the exact ranges.</summary>
    Shared,
}

/// <summary>
/// The one order of a write-back node's changes, over all its lanes (S-21). An acknowledged change takes the next
/// sequence. Two overlapping changes are never in flight together: within a lane the exact ranges are compared, between
/// lanes the stripes that they touch. A lane gives its stripes back after it took the sequence, so of two overlapping
/// changes the later one has the greater sequence whichever lane it is on. Any thread; lock-free.
/// </summary>
public sealed class ChangeOrder
{
    private const int LaneShift = 24;
    private const int PadLongs = 16;
    private const int SequenceAt = PadLongs;
    private const int StableAt = 2 * PadLongs;
    private const int WaitingAt = 3 * PadLongs;

    // A stripe's word: 0 when free, else lane + 1 and, below, how many changes of the lane touch it.
    private readonly int[] _stripes = new int[ClientLimits.Stripes];
    private readonly long[] _words = new long[4 * PadLongs];

    /// <summary>Sequence of the change that was acknowledged last; a flush issued now covers all up to it.</summary>
    public long Last => Volatile.Read(ref _words[SequenceAt]);

    /// <summary>Changes up to this sequence are durable.</summary>
    public long Stable => Volatile.Read(ref _words[StableAt]);

    /// <summary>The sequence of a change that was just acknowledged.</summary>
    public long Next() => Interlocked.Increment(ref _words[SequenceAt]);

    /// <summary>A flush that was issued when <see cref="Last"/> was this much was answered ok (S-22).</summary>
    /// <param name="captured">The value of then.</param>
    public void RaiseStable(long captured)
    {
        long seen = Stable;

        // Each failed turn means that another flush raised it.
        while (seen < captured)
        {
            long before = Interlocked.CompareExchange(ref _words[StableAt], captured, seen);
            if (before == seen)
            {
                return;
            }

            seen = before;
        }
    }

    /// <summary>Claims the stripes of a range before its change is sent, all or none.</summary>
    /// <param name="lane">The caller's lane.</param>
    /// <param name="offsetBytes">First byte.</param>
    /// <param name="lengthBytes">1 to <see cref="WireLimits.ChangeMaxBytes"/>.</param>
    public RangeClaim TryClaim(int lane, long offsetBytes, long lengthBytes)
    {
        RangeClaim result = TryClaimOnce(lane, offsetBytes, lengthBytes);
        if (result == RangeClaim.Refused)
        {
            // Who gives a stripe back after this sees the bit; who gave it back before is seen by the second attempt.
            Interlocked.Or(ref _words[WaitingAt], 1L << lane);
            result = TryClaimOnce(lane, offsetBytes, lengthBytes);
        }

        return result;
    }

    /// <summary>Gives the stripes of a range back.</summary>
    /// <param name="lane">The caller's lane, which claimed them.</param>
    /// <param name="offsetBytes">First byte.</param>
    /// <param name="lengthBytes">As claimed.</param>
    /// <returns>Bits of the lanes that waited and are to be woken.</returns>
    public ulong Release(int lane, long offsetBytes, long lengthBytes)
    {
        ReleaseRun(lane, offsetBytes / ClientLimits.StripeBytes, CountOf(offsetBytes, lengthBytes));
        return Volatile.Read(ref _words[WaitingAt]) == 0
            ? 0
            : (ulong)Interlocked.Exchange(ref _words[WaitingAt], 0) & ~(1UL << lane);
    }

    private static int CountOf(long offsetBytes, long lengthBytes)
    {
        Must.Be(lengthBytes is > 0 and <= WireLimits.ChangeMaxBytes, $"change of {lengthBytes} bytes");
        long first = offsetBytes / ClientLimits.StripeBytes;
        return (int)((offsetBytes + lengthBytes - 1) / ClientLimits.StripeBytes - first) + 1;
    }

    private RangeClaim TryClaimOnce(int lane, long offsetBytes, long lengthBytes)
    {
        long first = offsetBytes / ClientLimits.StripeBytes;
        int count = CountOf(offsetBytes, lengthBytes);
        RangeClaim result = RangeClaim.Alone;
        for (int i = 0; i < count; i++)
        {
            ref int word = ref _stripes[(first + i) & (ClientLimits.Stripes - 1)];
            int seen = Volatile.Read(ref word);
            bool mine = seen >> LaneShift == lane + 1;
            int wanted = mine ? seen + 1 : ((lane + 1) << LaneShift) | 1;

            // Only the owner changes a word that is his, so this fails only when another lane was faster.
            if ((seen != 0 && !mine) || Interlocked.CompareExchange(ref word, wanted, seen) != seen)
            {
                ReleaseRun(lane, first, i);
                return RangeClaim.Refused;
            }

            result = mine ? RangeClaim.Shared : result;
        }

        return result;
    }

    private void ReleaseRun(int lane, long first, int count)
    {
        for (int i = 0; i < count; i++)
        {
            ref int word = ref _stripes[(first + i) & (ClientLimits.Stripes - 1)];
            int seen = Volatile.Read(ref word);
            Must.Be(seen >> LaneShift == lane + 1, $"lane {lane} gives back a stripe of word {seen:x}");
            int left = seen - 1;

            // Full fence: the waiting bits are read after the stripe is free.
            Interlocked.Exchange(ref word, (left & ((1 << LaneShift) - 1)) == 0 ? 0 : left);
        }
    }
}
