using CsCheck;
using Dst.IO.Memory;
using Xunit;

namespace Dst.IO.Tests;

/// <summary>Blocks never overlap, and all of them come back as one.</summary>
public sealed class BuddyArenaTests
{
    private const int BlockMax = 64 * 1024;
    private const int Length = 4 * BlockMax;
    private const nint Base = 1 << 20;

    [Fact]
    public void Blocks_in_use_are_apart_aligned_and_inside() =>
        Gen.Int[1, BlockMax].Select(Gen.Bool).List[1, 200].Sample(steps =>
        {
            BuddyArena arena = new(Base, Length, BlockMax);
            List<(nint Address, int Asked)> taken = [];
            foreach ((int length, bool give) in steps)
            {
                if (give && taken.Count > 0)
                {
                    (nint address, int asked) = taken[length % taken.Count];
                    taken.RemoveAt(length % taken.Count);
                    arena.Give(address, asked);
                    continue;
                }

                nint block = arena.Take(length);
                if (block != 0)
                {
                    int bytes = BuddyArena.BlockBytes(length);
                    Assert.True(bytes >= length && (block - Base) % bytes == 0);
                    Assert.True(block >= Base && block + bytes <= Base + Length);
                    Assert.DoesNotContain(taken, other => block < other.Address + BuddyArena.BlockBytes(other.Asked) && other.Address < block + bytes);
                    taken.Add((block, length));
                }

                Assert.Equal(Length - taken.Sum(t => (long)BuddyArena.BlockBytes(t.Asked)), arena.FreeBytes);
            }

            taken.ForEach(t => arena.Give(t.Address, t.Asked));
            // Whole again: the longest blocks can all be had.
            for (int i = 0; i < Length / BlockMax; i++)
            {
                Assert.NotEqual(0, arena.Take(BlockMax));
            }

            Assert.Equal(0, arena.Take(1));
        });

    [Fact]
    public void A_full_arena_says_so_and_a_block_that_comes_back_helps()
    {
        BuddyArena arena = new(Base, BlockMax, BlockMax);
        nint first = arena.Take(BlockMax / 2);
        nint second = arena.Take((BlockMax / 2) - 1);
        Assert.Equal(0, arena.Take(1));
        arena.Give(first, BlockMax / 2);
        Assert.Equal(0, arena.Take(BlockMax));
        Assert.Equal(first, arena.Take(4096));
        arena.Give(first, 4096);
        arena.Give(second, (BlockMax / 2) - 1);
        Assert.NotEqual(0, arena.Take(BlockMax));
    }
}
