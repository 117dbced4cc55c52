using Dst.IO.Measure;
using Xunit;

namespace Dst.IO.Tests;

public sealed class MeasureTests
{
    [Theory]
    [InlineData(0)]
    [InlineData(7)]
    [InlineData(8)]
    [InlineData(1_000)]
    [InlineData(123_456_789)]
    [InlineData(600_000_000_000)]
    public void A_duration_lies_in_its_bucket_to_an_eighth(long ns)
    {
        int bucket = LatencyHistogram.BucketOf(ns);
        long upper = LatencyHistogram.UpperBoundNs(bucket);
        long lower = bucket == 0 ? -1 : LatencyHistogram.UpperBoundNs(bucket - 1);
        Assert.InRange(ns, lower + 1, upper);
        Assert.True(upper - lower <= Math.Max(1, (ns / 8) + 1));
    }

    [Fact]
    public void Buckets_never_fall_behind_one_another()
    {
        for (int i = 1; i < LatencyHistogram.Buckets; i++)
        {
            Assert.True(LatencyHistogram.UpperBoundNs(i) > LatencyHistogram.UpperBoundNs(i - 1));
            Assert.Equal(i, LatencyHistogram.BucketOf(LatencyHistogram.UpperBoundNs(i)));
        }

        Assert.Equal(LatencyHistogram.Buckets - 1, LatencyHistogram.BucketOf(long.MaxValue));
        Assert.Equal(0, LatencyHistogram.BucketOf(0));
    }

    [Fact]
    public void Percentiles_of_known_values()
    {
        var histogram = new LatencyHistogram();
        for (int i = 1; i <= 1000; i++)
        {
            histogram.Record(i * 1000L);
        }

        histogram.Record(-5);
        Span<long> sums = new long[LatencyHistogram.Buckets];
        histogram.AddTo(sums);
        Assert.Equal(1001, LatencyHistogram.Total(sums));
        Assert.InRange(LatencyHistogram.PercentileNs(sums, 500), 500_000, 563_000);
        Assert.InRange(LatencyHistogram.PercentileNs(sums, 990), 990_000, 1_114_000);
        Assert.Equal(1_000_000, histogram.MaxNs);
    }

    [Fact]
    public void Counters_tell_success_from_failure_and_what_is_in_flight()
    {
        var counters = new OperationCounters(5);
        counters.Begin();
        counters.Begin();
        counters.End(1, 4096, succeeded: true, 10);
        Assert.Equal(1, counters.InFlight);
        counters.End(1, 4096, succeeded: false, 10);
        Assert.Equal(
            (0L, 2L, 4096L, 1L),
            (counters.InFlight, counters.FinishedOf(1), counters.BytesOf(1), counters.FailedOf(1)));
        Assert.Equal(0, counters.FinishedOf(0));
    }

    [Fact]
    public void WorkThatIsCountedWhileSomebodyGoesToSleepWakesIt()
    {
        const int TryMs = 2_000;
        const int LostMs = 5_000;
        using var signal = new ActivitySignal();
        long begun = 0;
        long counted = 0;
        var worker = new Thread(() =>
        {
            for (long i = 1; ; i++)
            {
                long now;
                while ((now = Volatile.Read(ref begun)) >= 0 && now < i)
                {
                }

                if (now < 0)
                {
                    return;
                }

                Volatile.Write(ref counted, i);
                signal.Touch();
            }
        });
        worker.Start();
        long lost = 0;
        long end = Environment.TickCount64 + TryMs;
        for (long i = 1; lost == 0 && Environment.TickCount64 < end; i++)
        {
            // Both at the same moment, a little apart in another way each time.
            Volatile.Write(ref begun, i);
            for (long pause = i % 128; pause > 0; pause--)
            {
                _ = Volatile.Read(ref begun);
            }

            signal.Arm();
            if (Volatile.Read(ref counted) < i)
            {
                long start = Environment.TickCount64;
                signal.Wait(LostMs);
                bool waitedInVain = Environment.TickCount64 - start >= LostMs;
                lost = waitedInVain && Volatile.Read(ref counted) == i ? i : 0;
            }

            while (Volatile.Read(ref counted) < i)
            {
            }
        }

        Volatile.Write(ref begun, -1);
        worker.Join();
        Assert.Equal(0, lost);
    }
}
