using System.Diagnostics;
using Dst.Core.Requests;
using Dst.Core.Wire;
using Dst.Net.Client;
using Dst.Net.Client.Lanes;

namespace Dst.Net.Tests.Client;

/// <summary>A change of the replay log that is sent again in many parts (N-25, S-22).</summary>
public sealed class LogCheckTests
{
    private const int Chunk = WireLimits.ChunkBytes;
    private const int Length = (3 * Chunk) + 1000;

    [Theory]
    [InlineData(ChecksumKind.Xxh3)]
    [InlineData(ChecksumKind.Crc32C)]
    public void Damage_is_noticed_before_the_first_part_and_before_each_that_it_lies_in(ChecksumKind kind)
    {
        byte[] whole = NetworkNodeTests.Bytes(Length, 1);
        LogSum sum = SumOf(kind, whole);
        foreach (int at in (int[])[0, Chunk - 1, Chunk, (2 * Chunk) + 5, Length - 1])
        {
            LogCheck check = new();
            whole[at] ^= 1;
            Assert.False(check.Begin(sum, whole));
            whole[at] ^= 1;
            Assert.False(check.IsIntact(whole, 0, 512), "a part of what was damaged");
            Assert.True(check.Begin(sum, whole));
            Assert.True(check.IsIntact(whole, at, 1));
            whole[at] ^= 1;
            int apart = (at / Chunk) == 0 ? Chunk : 0;
            Assert.True(check.IsIntact(whole, apart, Chunk));
            Assert.False(check.IsIntact(whole, int.Max(at - 600, 0), int.Min(1200, Length - int.Max(at - 600, 0))));
            Assert.False(check.IsIntact(whole, apart, Chunk), "a part after one that was damaged");
            whole[at] ^= 1;
        }
    }

    [Fact]
    public void Without_checksums_nothing_is_summed_up()
    {
        LogCheck check = new();
        Assert.True(check.Begin(new LogSum(ChecksumKind.None, 0), new byte[Length]));
        Assert.True(check.IsIntact(new byte[Length], 5, 512));
        Assert.Equal(0, check.SummedBytes);
    }

    [Fact]
    public void Parts_cost_what_they_are_not_the_whole_each()
    {
        byte[] whole = NetworkNodeTests.Bytes(WireLimits.DataMaxBytes, 2);
        LogCheck check = new();
        Assert.True(check.Begin(SumOf(ChecksumKind.Xxh3, whole), whole));
        int parts = 0;
        for (int at = 1024; at < whole.Length; at += 1024, parts++)
        {
            Assert.True(check.IsIntact(whole, at, 512));
        }

        Assert.Equal(whole.Length + ((long)parts * Chunk), check.SummedBytes);
    }

    /// <summary>One long write, every second block of it overwritten, on a server that forgets it all.</summary>
    [Fact]
    public void A_change_of_very_many_parts_is_sent_again()
    {
        const string spec = "volatile:0,file:~/a,size=4M";
        const int block = 512;
        using TestServer server = new(holds: new MemoryHolds());
        server.Add(spec, server.Settings(cache: CacheMode.WriteBack));
        using NetworkNode node = TestNode.Open(TestNode.Unix(server, ",connections=1"), pauseMaxMs: 20);
        using TestQueue queue = TestQueue.Start(1, node)[0];
        byte[] data = NetworkNodeTests.Bytes(1 << 20, 3);
        Assert.Equal(DstStatus.Ok, queue.Write(0, data));
        for (int at = 0; at < data.Length; at += 2 * block)
        {
            byte[] over = NetworkNodeTests.Bytes(block, at);
            over.CopyTo(data, at);
            Assert.Equal(DstStatus.Ok, queue.Write(at, over));
        }

        long start = Stopwatch.GetTimestamp();
        PowerCutTests.PowerCut(server, spec, CacheMode.WriteBack);
        Assert.Equal(DstStatus.Ok, queue.Flush());
        TestContext.Current.TestOutputHelper?.WriteLine($"{Stopwatch.GetElapsedTime(start).TotalMilliseconds} ms");
        Assert.True(node.Status.ReplayedBytes >= data.Length, $"replayed {node.Status.ReplayedBytes} bytes");
        Assert.Equal(data, File.ReadAllBytes(Path.Join(server.Folder, "a"))[..data.Length]);
    }

    private static LogSum SumOf(ChecksumKind kind, byte[] data)
    {
        byte[] table = new byte[DataChecksum.TableBytes(kind, data.Length)];
        DataChecksum.WriteTable(kind, data, table);
        return LogSum.Of(kind, table);
    }
}
