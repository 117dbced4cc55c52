using CsCheck;
using Dst.Core.Volumes;
using Xunit;

namespace Dst.Core.Tests;

public sealed class VolumeMapTests
{
    private const int Block = 512;
    private const int MaxRequest = 4096;

    private static VolumeMap Map(params long[] lengths) => new(lengths, Block, MaxRequest);

    [Fact]
    public void Nodes_follow_one_another()
    {
        VolumeMap map = Map(4096, 8192 + 512, 4096);
        Assert.Equal(3, map.NodeCount);
        Assert.Equal(4096 + 8192 + 512 + 4096, map.SizeBytes);
        Assert.Equal((0L, 4096L), (map.StartBytes(0), map.LengthBytes(0)));
        Assert.Equal((4096L, 8704L), (map.StartBytes(1), map.LengthBytes(1)));
        Assert.Equal((12800L, 4096L), (map.StartBytes(2), map.LengthBytes(2)));
    }

    [Theory]
    [InlineData(0, 512, 1, 0, 0, 512)]
    [InlineData(3584, 512, 1, 0, 3584, 512)]
    [InlineData(4096, 512, 1, 1, 0, 512)]
    [InlineData(3584, 1024, 2, 0, 3584, 512)]
    [InlineData(12288, 1024, 2, 1, 8192, 512)]
    [InlineData(16384, 512, 1, 2, 3584, 512)]
    public void Range_is_cut_at_the_border(
        long offset, long length, int legCount, int firstNode, long firstOffset, long firstLength)
    {
        VolumeMap map = Map(4096, 8704, 4096);
        Leg[] legs = new Leg[2];
        Assert.Equal(legCount, map.Split(offset, length, legs));
        Assert.Equal(
            (firstNode, firstOffset, firstLength, 0L),
            (legs[0].NodeIndex, legs[0].NodeOffsetBytes, legs[0].LengthBytes, legs[0].RequestOffsetBytes));
        if (legCount == 2)
        {
            Assert.Equal(
                (firstNode + 1, 0L, length - firstLength, firstLength),
                (legs[1].NodeIndex, legs[1].NodeOffsetBytes, legs[1].LengthBytes, legs[1].RequestOffsetBytes));
        }
    }

    [Theory]
    [InlineData(-512, 512)]
    [InlineData(0, 0)]
    [InlineData(0, -512)]
    [InlineData(16896, 512)]
    [InlineData(16384, 1024)]
    [InlineData(long.MaxValue, 512)]
    [InlineData(512, long.MaxValue)]
    [InlineData(0, 12800 + 512)]
    public void Range_that_nobody_checked_ends_the_process(long offset, long length)
    {
        VolumeMap map = Map(4096, 8704, 4096);
        MustFail.Message(() => map.Split(offset, length, new Leg[2]));
    }

    [Fact]
    public void Node_beyond_the_map_ends_the_process()
    {
        VolumeMap map = Map(4096, 4096);
        MustFail.Message(() => map.StartBytes(2));
        MustFail.Message(() => map.LengthBytes(-1));
    }

    public static TheoryData<long[], int, int, string> Refused => new()
    {
        { [], 512, 4096, "1 to 64 nodes, not 0" },
        { Enumerable.Repeat(4096L, 65).ToArray(), 512, 4096, "1 to 64 nodes, not 65" },
        { [4096], 1024, 4096, "512 or 4096" },
        { [4096], 0, 4096, "512 or 4096" },
        { [4096], -512, 4096, "512 or 4096" },
        { [4096], 4096, 512, "largest request 512" },
        { [4096], 512, 513, "largest request 513" },
        { [1L << 40], 512, 32 << 20, "largest request" },
        { [4096, 4095], 512, 4096, "node 1" },
        { [4096, 3584], 512, 4096, "node 1" },
        { [0], 512, 4096, "node 0" },
        { [-4096], 512, 4096, "node 0" },
        { [long.MaxValue - 511, 4096], 512, 4096, "larger than 2^63-1" },
    };

    [Theory]
    [MemberData(nameof(Refused))]
    public void What_is_no_volume_is_refused_with_the_reason(long[] lengths, int block, int maxRequest, string reason)
    {
        Assert.Contains(reason, VolumeMap.Check(lengths, block, maxRequest), StringComparison.Ordinal);
        ArgumentException thrown = Assert.Throws<ArgumentException>(() => new VolumeMap(lengths, block, maxRequest));
        Assert.Contains(reason, thrown.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Largest_volumes_are_taken()
    {
        Assert.Null(VolumeMap.Check(Enumerable.Repeat(4096L, 64).ToArray(), 512, 4096));
        VolumeMap map = Map(long.MaxValue - 4096 - 511, 4096);
        Assert.Equal(long.MaxValue - 511, map.SizeBytes);
        Leg[] legs = new Leg[2];
        Assert.Equal(2, map.Split(map.LengthBytes(0) - 512, 1024, legs));
        Assert.Equal(1, legs[1].NodeIndex);
    }

    [Theory]
    [InlineData(new long[] { 4096 }, 512, 4096)]
    [InlineData(new long[] { 1L << 40, 8704 }, 512, 8704)]
    [InlineData(new long[] { 1L << 40, 1L << 31 }, 512, 1L << 30)]
    [InlineData(new long[] { 1L << 40, (1L << 30) - 4096 }, 4096, (1L << 30) - 4096)]
    public void Largest_change_is_the_smallest_node_or_a_gibibyte(long[] lengths, int block, long expected) =>
        Assert.Equal(expected, new VolumeMap(lengths, block, MaxRequest).MaxChangeBytes);

    /// <summary>Every block of the volume in turn, looked up as somebody would who walks along the nodes.</summary>
    [Fact]
    public void Every_block_is_where_a_walk_finds_it() =>
        Generators.NodeLengths.Sample(
            lengths =>
            {
                VolumeMap map = new(lengths, Block, MaxRequest);
                Span<Leg> legs = new Leg[2];
                int node = 0;
                long inNode = 0;
                for (long at = 0; at < map.SizeBytes; at += Block, inNode += Block)
                {
                    if (inNode == lengths[node])
                    {
                        node++;
                        inNode = 0;
                    }

                    Assert.Equal(1, map.Split(at, Block, legs));
                    Assert.Equal((node, inNode), (legs[0].NodeIndex, legs[0].NodeOffsetBytes));
                }
            },
            iter: 300);
}

internal static class Generators
{
    /// <summary>1 to 64 nodes of 8 to 40 blocks of 512 bytes, most often few.</summary>
    internal static readonly Gen<long[]> NodeLengths =
        Gen.Frequency((9, Gen.Int[1, 5]), (1, Gen.Int[6, 64]))
            .SelectMany(count => Gen.Long[8, 40].Select(blocks => blocks * 512).Array[count]);

    /// <summary>One of these.</summary>
    internal static Gen<T> Of<T>(params T[] values) => Gen.Int[0, values.Length - 1].Select(i => values[i]);
}
