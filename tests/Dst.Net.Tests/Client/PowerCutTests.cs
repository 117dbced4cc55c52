using Dst.Core.Requests;
using Dst.Core.Wire;
using Dst.Net.Client;

namespace Dst.Net.Tests.Client;

/// <summary>
/// A server over a disk that forgets what was not flushed, and its power cut: what FLUSH, FUA or write-through promised
/// is in the file; what was only acknowledged comes back from the client (S-20 to S-24).
/// </summary>
public sealed class PowerCutTests
{
    private const int Block = 4096;
    private const int Blocks = 256;

    /// <summary>What a power cut cannot tear.</summary>
    private const int Sector = 512;

    private const int TimeoutMs = 60_000;

    [Theory]
    [InlineData(CacheMode.WriteThrough)]
    [InlineData(CacheMode.WriteBack)]
    public void What_was_promised_is_in_the_file_after_a_cut_that_nobody_survives(CacheMode cache)
    {
        for (int seed = 1; seed <= 3; seed++)
        {
            using TestServer server = new(holds: new MemoryHolds());
            Disk disk = new(seed, cache);
            server.Add($"volatile:{seed},file:~/a,size={Blocks * Block}", server.Settings(cache: cache));
            using (NetworkNode node = TestNode.Open(TestNode.Unix(server)))
            {
                using TestQueue queue = TestQueue.Start(1, node)[0];
                disk.Change(queue, 60);
                Assert.Equal(DstStatus.Ok, queue.Flush());
                disk.Flushed();
                disk.Change(queue, 30);
            }

            server.Stop();
            disk.IsIn(File.ReadAllBytes(Path.Join(server.Folder, "a")));
        }
    }

    [Theory]
    [InlineData(CacheMode.WriteThrough)]
    [InlineData(CacheMode.WriteBack)]
    public void Cuts_under_load_cost_no_error_and_no_byte(CacheMode cache)
    {
        const string Spec = "volatile:5,file:~/a,size=16M";
        using TestServer server = new(holds: new MemoryHolds());
        server.Add(Spec, server.Settings(cache: cache));
        using NetworkNode node = TestNode.Open(TestNode.Unix(server), queues: 2, pauseMaxMs: 20);
        TestQueue[] queues = TestQueue.Start(2, node);
        Load[] loads = [new(0, 8 << 20, 600, 32 * 1024, 5), new(8 << 20, 8 << 20, 600, 32 * 1024, 6)];
        for (int i = 0; i < 2; i++)
        {
            queues[i].Begin(loads[i]);
        }

        for (int i = 0; i < 4; i++)
        {
            Thread.Sleep(100);
            PowerCut(server, Spec, cache);
        }

        NetworkNodeTests.Run([], loads, 120_000);
        Array.ForEach(queues, queue => queue.Dispose());
    }

    [Fact]
    public void A_second_cut_during_the_replay_and_reads_meanwhile_see_nothing_old()
    {
        // A delay, so that a replay takes long enough to be cut.
        string spec = $"delay:2,volatile:0,file:~/a,size={Blocks * Block}";
        using TestServer server = new(holds: new MemoryHolds());
        server.Add(spec, server.Settings(cache: CacheMode.WriteBack));
        Disk disk = new(9, CacheMode.WriteBack);
        using (NetworkNode node = TestNode.Open(TestNode.Unix(server), pauseMaxMs: 20))
        {
            using TestQueue queue = TestQueue.Start(1, node)[0];
            for (int cut = 0; cut < 3; cut++)
            {
                // The flush at the end of a replay empties the log.
                disk.Change(queue, 100);
                long replayed = node.Status.ReplayedBytes;
                PowerCut(server, spec, CacheMode.WriteBack);
                TestServer.Eventually(() => node.Status.ReplayedBytes > replayed, "a replay");
                TestQueue.Job read = queue.BeginRead(Block);
                PowerCut(server, spec, CacheMode.WriteBack);
                Assert.True(read.Ends(TimeoutMs) && read.Status == DstStatus.Ok, $"a read does not end: {node.Status}");
                Assert.Equal(disk.Content(0), read.Data);
            }

            for (int block = 0; block < Blocks; block++)
            {
                Assert.Equal(disk.Content(block), queue.Read(block * Block, Block));
            }

            Assert.Equal(DstStatus.Ok, queue.Flush());
            disk.Flushed();
            Assert.False(node.Status.LostUnflushedWrites);
        }

        server.Stop();
        disk.IsIn(File.ReadAllBytes(Path.Join(server.Folder, "a")));
    }

    [Theory]
    [InlineData(1, false)]
    [InlineData(2, false)]
    [InlineData(9, true)]
    public void No_flush_says_ok_before_the_data_is_there(int failures, bool lost)
    {
        string spec = $"error:flush@1-{failures},volatile:0,file:~/a,size={Blocks * Block}";
        using TestServer server = new(holds: new MemoryHolds());
        server.Add(spec, server.Settings(cache: CacheMode.WriteBack));
        Disk disk = new(failures, CacheMode.WriteBack);
        using (NetworkNode node = TestNode.Open(TestNode.Unix(server), pauseMaxMs: 20))
        {
            using TestQueue queue = TestQueue.Start(1, node)[0];
            disk.Change(queue, 60, fua: false);
            DstStatus status = queue.Flush();
            Assert.Equal(lost, status != DstStatus.Ok);
            if (lost)
            {
                // Whoever asks again is told the same, until an operator takes it on himself.
                Assert.True(node.Status.LostUnflushedWrites, node.Status.ToString());
                Assert.NotEqual(DstStatus.Ok, queue.Flush());
                Assert.NotEqual(
                    DstStatus.Ok, queue.Write(0, disk.Content(0), RequestFlags.Fua));
                return;
            }

            disk.Flushed();
        }

        server.Stop();
        disk.IsIn(File.ReadAllBytes(Path.Join(server.Folder, "a")));
    }

    internal static void PowerCut(TestServer server, string spec, CacheMode cache)
    {
        server.Stop();
        server.Start();
        server.Add(spec, server.Settings(cache: cache));
    }

    /// <summary>What a client knows of its blocks: which content each has, and which one is promised.</summary>
    private sealed class Disk(int seed, CacheMode cache)
    {
        private readonly Random _random = new(seed);
        private readonly byte[][] _content = [.. Enumerable.Range(0, Blocks).Select(_ => new byte[Block])];
        private readonly List<byte[]>[] _possible =
            [.. Enumerable.Range(0, Blocks).Select(_ => new List<byte[]> { new byte[Block] })];

        public byte[] Content(int block) => _content[block];

        /// <summary>All that was acknowledged is promised now.</summary>
        public void Flushed()
        {
            for (int block = 0; block < Blocks; block++)
            {
                _possible[block] = [_content[block]];
            }
        }

        /// <summary>Writes, zeroes and discards, over one another, some with FUA.</summary>
        public void Change(TestQueue queue, int count, bool fua = true)
        {
            for (int i = 0; i < count; i++)
            {
                int first = _random.Next(Blocks / 2);
                int blocks = 1 + _random.Next(4);
                bool durable = fua && _random.Next(5) == 0;
                RequestFlags flags = durable ? RequestFlags.Fua : RequestFlags.None;
                byte[] data = new byte[blocks * Block];
                Operation operation = _random.Next(6) switch
                {
                    0 => Operation.WriteZeroes,
                    1 => Operation.Discard,
                    _ => Operation.Write,
                };
                if (operation == Operation.Write)
                {
                    _random.NextBytes(data);
                }

                Request request = new(operation, flags, first * Block, data.Length);
                Assert.Equal(DstStatus.Ok, queue.Do(request, operation == Operation.Write ? data : null));
                Note(first, data, durable || cache == CacheMode.WriteThrough);
            }
        }

        /// <summary>Every block has what was promised for it, or what came after.</summary>
        public void IsIn(byte[] file)
        {
            for (int block = 0; block < Blocks; block++)
            {
                for (int sector = 0; sector < Block; sector += Sector)
                {
                    byte[] found = file.AsSpan((block * Block) + sector, Sector).ToArray();
                    Assert.True(
                        _possible[block].Exists(one => one.AsSpan(sector, Sector).SequenceEqual(found)),
                        $"block {block} byte {sector} has none of {_possible[block].Count} contents that it may have");
                }
            }
        }

        private void Note(int first, byte[] data, bool promised)
        {
            for (int i = 0; i < data.Length / Block; i++)
            {
                byte[] content = data.AsSpan(i * Block, Block).ToArray();
                _content[first + i] = content;
                if (promised)
                {
                    _possible[first + i].Clear();
                }

                _possible[first + i].Add(content);
            }
        }
    }
}
