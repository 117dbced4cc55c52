using Dst.IO.Rings;
using Xunit;

namespace Dst.IO.Tests;

/// <summary>Everything arrives, once and in order, and a full queue says so.</summary>
public sealed class SpscRingTests
{
    [Fact]
    public void Two_threads_lose_and_double_nothing()
    {
        const int Items = 300_000;
        SpscRing<int> ring = new(64);
        Thread producer = new(() =>
        {
            SpinWait wait = default;
            for (int i = 0; i < Items; i++)
            {
                while (!ring.TryPut(i))
                {
                    wait.SpinOnce();
                }
            }
        });
        producer.Start();
        SpinWait idle = default;
        for (int expected = 0; expected < Items;)
        {
            if (ring.TryTake(out int item))
            {
                Assert.Equal(expected++, item);
            }
            else
            {
                idle.SpinOnce();
            }
        }

        producer.Join();
        Assert.False(ring.TryTake(out _));
    }

    [Fact]
    public void A_full_queue_refuses_and_forgets_what_was_taken()
    {
        SpscRing<object> ring = new(3);
        Assert.Equal(4, ring.Capacity);
        for (int i = 0; i < 4; i++)
        {
            Assert.True(ring.TryPut(new object()));
        }

        Assert.False(ring.TryPut(new object()));
        Assert.True(ring.TryTake(out _));
        Assert.True(ring.TryPut(new object()));
    }
}
