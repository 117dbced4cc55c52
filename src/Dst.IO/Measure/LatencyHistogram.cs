using System.Numerics;
using System.Runtime.CompilerServices;

namespace Dst.IO.Measure;

/// <summary>
/// Durations in buckets whose width is an eighth of their value: 8 buckets per power of two of nanoseconds, up to about
/// 18 minutes. One thread records, any thread reads: a reader may miss the newest values, never sees torn ones.
/// </summary>
public sealed class LatencyHistogram
{
    private const int SubBits = 3;
    private const int SubBuckets = 1 << SubBits;
    private const int PowersMax = 40;

    /// <summary>Number of buckets.</summary>
    public const int Buckets = (PowersMax - SubBits + 1) * SubBuckets;

    private readonly long[] _counts = new long[Buckets];
    private long _maxNs;

    /// <summary>Records one duration. Owner thread.</summary>
    /// <param name="ticks">
    /// Ticks of <see cref="System.Diagnostics.Stopwatch"/>, which are nanoseconds on Linux; negative counts as 0.
    /// </param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Record(long ticks)
    {
        long ns = ticks < 0 ? 0 : ticks;
        ref long count = ref _counts[BucketOf(ns)];
        Volatile.Write(ref count, count + 1);
        if (ns > _maxNs)
        {
            Volatile.Write(ref _maxNs, ns);
        }
    }

    /// <summary>Adds this histogram's counts to a sum, for percentiles over several owners.</summary>
    /// <param name="sums">At least <see cref="Buckets"/> long.</param>
    public void AddTo(Span<long> sums)
    {
        for (int i = 0; i < Buckets; i++)
        {
            sums[i] += Volatile.Read(ref _counts[i]);
        }
    }

    /// <summary>Longest duration so far, in nanoseconds.</summary>
    public long MaxNs => Volatile.Read(ref _maxNs);

    /// <summary>Sum of all counts.</summary>
    public static long Total(ReadOnlySpan<long> sums)
    {
        long total = 0;
        foreach (long count in sums)
        {
            total += count;
        }

        return total;
    }

    /// <summary>
    /// Upper bound of the bucket that holds the given share of all durations, in nanoseconds; 0 when there are none.
    /// </summary>
    /// <param name="sums">Counts from <see cref="AddTo"/>.</param>
    /// <param name="perMille">Share in thousandths, 1 to 1000.</param>
    public static long PercentileNs(ReadOnlySpan<long> sums, int perMille)
    {
        long total = Total(sums);
        long wanted = ((total * perMille) + 999) / 1000;
        long seen = 0;
        for (int i = 0; i < Buckets && total > 0; i++)
        {
            seen += sums[i];
            if (seen >= wanted)
            {
                return UpperBoundNs(i);
            }
        }

        return 0;
    }

    internal static int BucketOf(long ns)
    {
        if (ns < SubBuckets)
        {
            return (int)ns;
        }

        int power = Math.Min(BitOperations.Log2((ulong)ns), PowersMax - 1);
        long sub = power == PowersMax - 1 && ns >> PowersMax != 0
            ? SubBuckets - 1
            : (ns >> (power - SubBits)) & (SubBuckets - 1);
        return ((power - SubBits + 1) * SubBuckets) + (int)sub;
    }

    internal static long UpperBoundNs(int bucket)
    {
        if (bucket < SubBuckets)
        {
            return bucket;
        }

        int power = (bucket / SubBuckets) + SubBits - 1;
        long sub = bucket % SubBuckets;
        return ((SubBuckets + sub + 1) << (power - SubBits)) - 1;
    }
}
