using CsCheck;
using Dst.Core.Transactions;
using Xunit;

namespace Dst.Core.Tests;

public sealed class FlushLedgerTests
{
    private const int Nodes = 3;
    private const int Queues = 3;

    internal readonly record struct Step(int Kind, int Queue, int Node, int Pick);

    private static readonly Gen<Step> GenStep = Gen.Select(
        Gen.Int[0, 3],
        Gen.Int[0, Queues - 1],
        Gen.Int[0, Nodes - 1],
        Gen.Int[0, 1000],
        (kind, queue, node, pick) => new Step(kind, queue, node, pick));

    [Fact]
    public void Every_node_starts_dirty_and_is_clean_after_a_flush()
    {
        FlushLedger ledger = new(2, 1);
        Assert.True(ledger.IsDirty(0));
        Assert.True(ledger.TryCapture(0, out long captured));
        ledger.FlushSucceeded(0, captured);
        Assert.False(ledger.IsDirty(0));
        Assert.True(ledger.IsDirty(1));
        Assert.Equal(0, ledger.Completed(0));
    }

    [Fact]
    public void Flushes_that_end_in_the_other_order_take_nothing_back()
    {
        FlushLedger ledger = new(1, 2);
        ledger.ChangeCompleted(0, 0);
        ledger.TryCapture(0, out long early);
        ledger.ChangeCompleted(1, 0);
        ledger.TryCapture(0, out long late);
        ledger.FlushSucceeded(0, late);
        ledger.FlushSucceeded(0, early);
        Assert.False(ledger.IsDirty(0));
        Assert.Equal(2, ledger.Completed(0));
    }

    [Theory]
    [InlineData(0, 1)]
    [InlineData(65, 1)]
    [InlineData(1, 0)]
    [InlineData(1, 65)]
    public void Limits_are_kept(int nodes, int queues) => MustFail.Message(() => _ = new FlushLedger(nodes, queues));

    [Theory]
    [InlineData(-1, 0)]
    [InlineData(2, 0)]
    [InlineData(0, -1)]
    [InlineData(0, 17)]
    public void Counters_beyond_the_ledger_end_the_process(int queue, int node)
    {
        FlushLedger ledger = new(17, 2);
        MustFail.Message(() => ledger.ChangeCompleted(queue, node));
    }

    /// <summary>
    /// Against sets of changes: a node is clean only if each of its changes was there when a good flush began.
    /// </summary>
    [Fact]
    public void Node_is_dirty_exactly_while_a_change_is_not_covered() =>
        GenStep.Array[1, 100].Sample(
            steps =>
            {
                FlushLedger ledger = new(Nodes, Queues);
                int[] changes = new int[Nodes];
                int[] covered = [-1, -1, -1];
                List<(int Node, long Captured, int Changes)> flushes = [];
                foreach (Step step in steps)
                {
                    switch (step.Kind)
                    {
                        case 0:
                            ledger.ChangeCompleted(step.Queue, step.Node);
                            changes[step.Node]++;
                            break;
                        case 1:
                            ledger.TryCapture(step.Node, out long captured);
                            flushes.Add((step.Node, captured, changes[step.Node]));
                            break;
                        case 2 when flushes.Count > 0:
                            (int node, long count, int had) = flushes[step.Pick % flushes.Count];
                            flushes.RemoveAt(step.Pick % flushes.Count);
                            ledger.FlushSucceeded(node, count);
                            covered[node] = int.Max(covered[node], had);
                            break;
                        case 3 when flushes.Count > 0:
                            flushes.RemoveAt(step.Pick % flushes.Count);
                            break;
                        default:
                            break;
                    }

                    for (int node = 0; node < Nodes; node++)
                    {
                        Assert.Equal(changes[node] > covered[node], ledger.IsDirty(node));
                        Assert.Equal(changes[node], ledger.Completed(node));
                    }
                }
            },
            iter: 2000);

    /// <summary>
    /// Queues that write and flush at once, each on a thread. A node here is a volatile cache: per queue the newest
    /// write it took and the newest one that a flush made stable. A flush that found the node clean, or that succeeded,
    /// must leave everything stable that had been completed before it began.
    /// </summary>
    [Fact]
    public void No_flush_of_many_threads_forgets_a_completed_write()
    {
        const int ThreadCount = 4;
        const int Turns = 60_000;
        FlushLedger ledger = new(1, ThreadCount);
        long[] written = new long[ThreadCount * 16];
        long[] completed = new long[ThreadCount * 16];
        long[] stable = new long[ThreadCount * 16];
        int forgotten = 0;
        int skipped = 0;
        Thread[] threads = new Thread[ThreadCount];
        for (int t = 0; t < ThreadCount; t++)
        {
            int queue = t;
            threads[t] = new Thread(() =>
            {
                uint seed = (uint)queue * 2654435761 + 1;
                long[] before = new long[ThreadCount];
                for (int turn = 0; turn < Turns; turn++)
                {
                    seed = seed * 1664525 + 1013904223;
                    if (seed >> 29 < 3)
                    {
                        long number = written[queue * 16] + 1;
                        Volatile.Write(ref written[queue * 16], number);
                        ledger.ChangeCompleted(queue, 0);
                        Volatile.Write(ref completed[queue * 16], number);
                        continue;
                    }

                    for (int q = 0; q < ThreadCount; q++)
                    {
                        before[q] = Volatile.Read(ref completed[q * 16]);
                    }

                    if (!ledger.TryCapture(0, out long captured))
                    {
                        Interlocked.Increment(ref skipped);
                    }
                    else if (seed >> 28 != 15)
                    {
                        FlushCache(written, stable, ThreadCount);
                        ledger.FlushSucceeded(0, captured);
                    }
                    else
                    {
                        continue; // a flush that failed
                    }

                    for (int q = 0; q < ThreadCount; q++)
                    {
                        if (Volatile.Read(ref stable[q * 16]) < before[q])
                        {
                            Interlocked.Increment(ref forgotten);
                        }
                    }
                }
            });
        }

        foreach (Thread thread in threads)
        {
            thread.Start();
        }

        foreach (Thread thread in threads)
        {
            thread.Join();
        }

        Assert.Equal(0, forgotten);
        Assert.True(skipped > 0, "no flush ever found the node clean: the test shows nothing");
        Assert.Equal(Enumerable.Range(0, ThreadCount).Sum(q => completed[q * 16]), ledger.Completed(0));
    }

    private static void FlushCache(long[] written, long[] stable, int queueCount)
    {
        for (int q = 0; q < queueCount; q++)
        {
            long number = Volatile.Read(ref written[q * 16]);
            long seen = Volatile.Read(ref stable[q * 16]);
            while (seen < number)
            {
                long was = Interlocked.CompareExchange(ref stable[q * 16], number, seen);
                if (was == seen)
                {
                    break;
                }

                seen = was;
            }
        }
    }
}
