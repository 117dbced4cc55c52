using System.Buffers.Binary;
using Dst.Core.Requests;
using Dst.Net.Client;

namespace Dst.Net.Tests.Client;

/// <summary>A device that only reads, under load, while a writer goes on and the server restarts (S-04).</summary>
public sealed class ReaderTests
{
    private const string Spec = "file:~/a,size=16M";
    private const long MemoryBytes = 256 << 20;
    private const int Length = 512;
    private const int Blocks = 64;
    private const int Readers = 2;
    private const int Restarts = 5;
    private const int TimeoutMs = 60_000;

    [Theory]
    [InlineData("")]
    [InlineData(",connections=4")]
    public void Reads_never_fail_and_are_never_old_while_the_server_restarts(string options)
    {
        using TestServer server = new(MemoryBytes);
        server.Add(Spec, TestNode.Roomy(server));
        using NetworkNode writer = TestNode.Open(TestNode.Unix(server), pauseMaxMs: 50);
        using TestQueue writes = TestQueue.Start(1, writer)[0];
        using NetworkNode reader = TestNode.Open(
            TestNode.Unix(server, options), queues: Readers, device: 2, readOnly: true, pauseMaxMs: 50);
        TestQueue[] reads = TestQueue.Start(Readers, reader);
        long[] acknowledged = new long[Blocks];
        using CancellationTokenSource end = new();
        Thread writing = new(() => Write(writes, acknowledged, end.Token)) { IsBackground = true };
        string?[] problems = new string?[Readers];
        long[] counts = new long[Readers];
        Thread[] reading =
        [
            .. Enumerable.Range(0, Readers).Select(i => new Thread(
                () => problems[i] = Read(reads[i], acknowledged, ref counts[i], end.Token))
            {
                IsBackground = true,
            }),
        ];
        writing.Start();
        Array.ForEach(reading, thread => thread.Start());
        for (int i = 0; i < Restarts; i++)
        {
            Thread.Sleep(300);
            server.Stop();
            Thread.Sleep(i * 50);
            server.Start(MemoryBytes);
            server.Add(Spec, TestNode.Roomy(server));
            long soFar = counts.Sum();
            TestServer.Eventually(() => Interlocked.Read(ref counts[0]) > 0 && counts.Sum() > soFar + 100, "it reads");
        }

        end.Cancel();
        Assert.True(writing.Join(TimeoutMs) && reading.All(thread => thread.Join(TimeoutMs)), $"{reader.Status}");
        Assert.All(problems, Assert.Null);
        Assert.InRange(reader.Status.Reconnects, Restarts, 4 * Restarts);
        Array.ForEach(reads, queue => queue.Dispose());
    }

    private static void Write(TestQueue queue, long[] acknowledged, CancellationToken end)
    {
        byte[] data = new byte[Length];
        for (long version = 1; !end.IsCancellationRequested; version++)
        {
            int block = (int)(version % Blocks);
            BinaryPrimitives.WriteInt64LittleEndian(data, version);
            if (queue.Write(block * Length, data) == DstStatus.Ok)
            {
                Volatile.Write(ref acknowledged[block], version);
            }
        }
    }

    private static string? Read(TestQueue queue, long[] acknowledged, ref long count, CancellationToken end)
    {
        long[] before = new long[Blocks];
        while (!end.IsCancellationRequested)
        {
            for (int block = 0; block < Blocks; block++)
            {
                before[block] = Volatile.Read(ref acknowledged[block]);
            }

            TestQueue.Job[] jobs = [.. Enumerable.Range(0, 8).Select(_ => queue.BeginRead(Blocks * Length))];
            foreach (TestQueue.Job job in jobs)
            {
                if (!job.Ends(TimeoutMs) || job.Status != DstStatus.Ok)
                {
                    return $"a read ends with {job.Status}";
                }

                for (int block = 0; block < Blocks; block++)
                {
                    long version = BinaryPrimitives.ReadInt64LittleEndian(job.Data.AsSpan(block * Length));
                    if (version < before[block])
                    {
                        return $"block {block} is of write {version}, {before[block]} was acknowledged before";
                    }
                }
            }

            Interlocked.Add(ref count, jobs.Length);
        }

        return null;
    }
}
