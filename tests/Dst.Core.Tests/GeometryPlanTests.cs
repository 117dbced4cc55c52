using CsCheck;
using Dst.Core.Volumes;
using Xunit;

namespace Dst.Core.Tests;

public sealed class GeometryPlanTests
{
    private const long GiB = 1L << 30;
    private const int MiB = 1 << 20;

    private static readonly NodeProperties Disk = new()
    {
        Name = "file:/a",
        SizeBytes = 4 * GiB,
        LogicalBlockBytes = 512,
        VolatileCache = true,
        CanDiscard = true,
        DiscardGranularityBytes = 4096,
        CanWriteZeroes = true,
    };

    private static readonly GeometryOptions Defaults = new();

    private static GeometryPlan Derive(GeometryOptions options, int cpus, params NodeProperties[] nodes)
    {
        Assert.True(GeometryPlan.TryDerive(nodes, options, cpus, out GeometryPlan? plan, out string? error), error);
        Assert.Null(error);
        return plan;
    }

    private static string Refusal(GeometryOptions options, int cpus, params NodeProperties[] nodes)
    {
        Assert.False(GeometryPlan.TryDerive(nodes, options, cpus, out GeometryPlan? plan, out string? error));
        Assert.Null(plan);
        Assert.DoesNotContain('\n', error);
        return error;
    }

    [Theory]
    [InlineData(1, 1, 128)]
    [InlineData(2, 2, 64)]
    [InlineData(3, 3, 42)]
    [InlineData(4, 4, 32)]
    [InlineData(64, 4, 32)]
    public void Queues_follow_the_cpus_and_the_depth_the_memory(int cpus, int queues, int depth)
    {
        GeometryPlan plan = Derive(Defaults, cpus, Disk);
        Assert.Equal((queues, depth, MiB, 128L * MiB), (plan.Queues, plan.DepthTags, plan.MaxIoBytes, plan.MemoryBytes));
    }

    [Fact]
    public void Depth_grows_no_further_than_its_default_where_memory_abounds()
    {
        GeometryPlan plan = Derive(new GeometryOptions { MemoryBytes = 64 * GiB }, 4, Disk);
        Assert.Equal(128, plan.DepthTags);
    }

    [Fact]
    public void Explicit_values_are_taken_as_they_are()
    {
        GeometryOptions options = new()
        {
            Queues = 8,
            DepthTags = 256,
            MaxIoBytes = 64 * 1024,
            BlockSizeBytes = 4096,
            MemoryBytes = 128L * MiB,
        };
        GeometryPlan plan = Derive(options, 1, Disk);
        Assert.Equal((8, 256, 65536, 4096), (plan.Queues, plan.DepthTags, plan.MaxIoBytes, plan.BlockSizeBytes));
        Assert.Equal(128L * MiB, plan.MemoryBytes);
    }

    [Fact]
    public void Explicit_values_beyond_the_memory_are_refused_with_the_formula()
    {
        Assert.Equal(
            "queues 2 × depth 128 × max-io 1M = 256M of buffers, more than --memory 128M: "
            + "lower --queues, --depth or --max-io, or give --memory 256M",
            Refusal(new GeometryOptions { DepthTags = 128 }, 2, Disk));
        Assert.Contains("queues 64 × depth 1 × max-io 16M = 1G", Refusal(
            new GeometryOptions { Queues = 64, MaxIoBytes = 16 * MiB }, 2, Disk), StringComparison.Ordinal);
        Assert.Contains("more than --memory 1M", Refusal(
            new GeometryOptions { MemoryBytes = MiB }, 2, Disk), StringComparison.Ordinal);
    }

    public static TheoryData<string, GeometryOptions> WrongOptions => new()
    {
        { "--queues 0: must be 1 to 64", new GeometryOptions { Queues = 0 } },
        { "--queues 65", new GeometryOptions { Queues = 65 } },
        { "--queues -1", new GeometryOptions { Queues = -1 } },
        { "--depth 0: must be 1 to 4096", new GeometryOptions { DepthTags = 0 } },
        { "--depth 4097", new GeometryOptions { DepthTags = 4097 } },
        { "--max-io 0", new GeometryOptions { MaxIoBytes = 0 } },
        { "--max-io 512", new GeometryOptions { MaxIoBytes = 512 } },
        { "--max-io 5000", new GeometryOptions { MaxIoBytes = 5000 } },
        { "--max-io -4096", new GeometryOptions { MaxIoBytes = -4096 } },
        { "--max-io 16781312", new GeometryOptions { MaxIoBytes = 16 * MiB + 4096 } },
        { "--block-size 1024: must be 512 or 4096", new GeometryOptions { BlockSizeBytes = 1024 } },
        { "--block-size 0", new GeometryOptions { BlockSizeBytes = 0 } },
        { "--memory 0", new GeometryOptions { MemoryBytes = 0 } },
        { "--memory -1", new GeometryOptions { MemoryBytes = -1 } },
    };

    [Theory]
    [MemberData(nameof(WrongOptions))]
    public void Wrong_options_are_refused_by_name(string reason, GeometryOptions options) =>
        Assert.StartsWith(reason, Refusal(options, 2, Disk), StringComparison.Ordinal);

    [Fact]
    public void Block_is_the_largest_of_the_nodes()
    {
        NodeProperties coarse = Disk with { Name = "dev:/dev/sdb", LogicalBlockBytes = 4096 };
        Assert.Equal(512, Derive(Defaults, 1, Disk, Disk).BlockSizeBytes);
        Assert.Equal(4096, Derive(Defaults, 1, Disk, coarse).BlockSizeBytes);
        Assert.Equal(4096, Derive(new GeometryOptions { BlockSizeBytes = 4096 }, 1, Disk).BlockSizeBytes);
        Assert.Equal(
            "--block-size 512: node 1 (dev:/dev/sdb) has blocks of 4096, use --block-size 4096",
            Refusal(new GeometryOptions { BlockSizeBytes = 512 }, 1, Disk, coarse));
        Assert.Equal(512, Derive(Defaults, 1, Disk with { LogicalBlockBytes = 1 }).BlockSizeBytes);
        Assert.Equal(4096, Derive(Defaults, 1, Disk with { LogicalBlockBytes = 2048 }).BlockSizeBytes);
        Assert.Contains("blocks of 8192", Refusal(Defaults, 1, Disk with { LogicalBlockBytes = 8192 }), StringComparison.Ordinal);
        Assert.Contains("blocks of 520", Refusal(Defaults, 1, Disk with { LogicalBlockBytes = 520 }), StringComparison.Ordinal);
        Assert.Contains("blocks of 0", Refusal(Defaults, 1, Disk with { LogicalBlockBytes = 0 }), StringComparison.Ordinal);
    }

    [Fact]
    public void Length_of_a_node_is_its_size_in_whole_blocks()
    {
        NodeProperties odd = Disk with { SizeBytes = GiB + 4095 };
        GeometryPlan small = Derive(Defaults, 1, odd, Disk);
        Assert.Equal([GiB + 3584, 4 * GiB], small.NodeLengthsBytes);
        Assert.Equal(5 * GiB + 3584, small.SizeBytes);
        Assert.Equal([GiB, 4 * GiB], Derive(new GeometryOptions { BlockSizeBytes = 4096 }, 1, odd, Disk).NodeLengthsBytes);
        VolumeMap map = small.CreateMap();
        Assert.Equal((small.SizeBytes, 2, MiB, 512), (map.SizeBytes, map.NodeCount, map.MaxRequestBytes, map.BlockSizeBytes));
    }

    [Fact]
    public void Small_and_empty_nodes_are_refused_by_name()
    {
        NodeProperties small = Disk with { Name = "file:/small", SizeBytes = MiB + 511 };
        Assert.Equal(MiB, Derive(Defaults, 1, small).SizeBytes);
        Assert.Equal(
            "node 1 (file:/small): 1048575 is too small, at least the largest request 1M is needed (--max-io)",
            Refusal(Defaults, 1, Disk, small with { SizeBytes = MiB - 1 }));
        Assert.Equal("node 0 (file:/small): is empty", Refusal(Defaults, 1, small with { SizeBytes = 0 }));
        Assert.Contains("is empty", Refusal(Defaults, 1, small with { SizeBytes = -5 }), StringComparison.Ordinal);
        Assert.Equal(4096, Derive(new GeometryOptions { MaxIoBytes = 4096 }, 1, small with { SizeBytes = 4096 }).SizeBytes);
    }

    [Fact]
    public void Number_and_sum_of_nodes_are_bounded()
    {
        Assert.Contains("1 to 64 nodes, not 0", Refusal(Defaults, 1), StringComparison.Ordinal);
        Assert.Contains(
            "1 to 64 nodes, not 65", Refusal(Defaults, 1, Enumerable.Repeat(Disk, 65).ToArray()), StringComparison.Ordinal);
        Assert.Equal(64 * 4 * GiB, Derive(Defaults, 1, Enumerable.Repeat(Disk, 64).ToArray()).SizeBytes);
        NodeProperties huge = Disk with { SizeBytes = long.MaxValue };
        Assert.Contains("larger than 2^63-1", Refusal(Defaults, 1, huge, Disk), StringComparison.Ordinal);
    }

    [Fact]
    public void Cache_is_volatile_when_one_node_s_is()
    {
        NodeProperties safe = Disk with { VolatileCache = false };
        Assert.False(Derive(Defaults, 1, safe, safe).VolatileCache);
        Assert.True(Derive(Defaults, 1, safe, Disk).VolatileCache);
    }

    [Fact]
    public void Discard_needs_every_node_and_has_the_coarsest_unit()
    {
        NodeProperties coarse = Disk with { DiscardGranularityBytes = 3 * 4096 };
        GeometryPlan plan = Derive(Defaults, 1, Disk, coarse);
        Assert.Equal((12288, GiB - GiB % 12288), (plan.DiscardGranularityBytes, plan.MaxDiscardBytes));
        Assert.Equal(512, Derive(Defaults, 1, Disk with { DiscardGranularityBytes = 1 }).DiscardGranularityBytes);
        Assert.Equal(1024, Derive(Defaults, 1, Disk with { DiscardGranularityBytes = 700 }).DiscardGranularityBytes);

        plan = Derive(Defaults, 1, Disk, Disk with { CanDiscard = false });
        Assert.Equal((0, 0L, GiB), (plan.DiscardGranularityBytes, plan.MaxDiscardBytes, plan.MaxWriteZeroesBytes));

        NodeProperties small = Disk with { SizeBytes = MiB, DiscardGranularityBytes = 2 * MiB };
        plan = Derive(Defaults, 1, Disk, small);
        Assert.Equal((0, 0L, (long)MiB), (plan.DiscardGranularityBytes, plan.MaxDiscardBytes, plan.MaxWriteZeroesBytes));
        Assert.Equal(0, Derive(Defaults, 1, Disk with { DiscardGranularityBytes = int.MaxValue }).MaxDiscardBytes);
    }

    [Fact]
    public void Write_zeroes_needs_every_node()
    {
        Assert.Equal(GiB, Derive(Defaults, 1, Disk).MaxWriteZeroesBytes);
        GeometryPlan plan = Derive(Defaults, 1, Disk, Disk with { CanWriteZeroes = false });
        Assert.Equal((0L, GiB), (plan.MaxWriteZeroesBytes, plan.MaxDiscardBytes));
    }

    [Fact]
    public void Read_only_node_needs_a_read_only_device()
    {
        NodeProperties readOnly = Disk with { ReadOnly = true };
        Assert.Contains("--read-only", Refusal(Defaults, 1, Disk, readOnly), StringComparison.Ordinal);
        GeometryPlan plan = Derive(new GeometryOptions { ReadOnly = true }, 1, Disk, readOnly);
        Assert.True(plan.ReadOnly);
        Assert.False(plan.VolatileCache);
        Assert.Equal((0L, 0L, 0), (plan.MaxDiscardBytes, plan.MaxWriteZeroesBytes, plan.DiscardGranularityBytes));
    }

    /// <summary>Whatever the nodes and wishes are, a plan keeps every promise or there is a reason.</summary>
    [Fact]
    public void Every_plan_keeps_its_promises()
    {
        Gen<NodeProperties> genNode = Gen.Select(
            Gen.Long[0, 40L * MiB], Generators.Of(1, 512, 4096), Gen.Bool, Gen.Bool, Gen.Int[0, 3 * MiB], Gen.Bool)
            .Select((size, block, cache, discard, granularity, zeroes) => new NodeProperties
            {
                Name = "n",
                SizeBytes = size,
                LogicalBlockBytes = block,
                VolatileCache = cache,
                CanDiscard = discard,
                DiscardGranularityBytes = granularity,
                CanWriteZeroes = zeroes,
            });
        Gen<GeometryOptions> genOptions = Gen.Select(
            Gen.Int[-1, 70], Gen.Int[-1, 300], Gen.Int[-1, 20], Generators.Of(0, 512, 4096), Gen.Long[-1, 200])
            .Select((queues, depth, io, block, memory) => new GeometryOptions
            {
                Queues = queues < 1 ? null : queues,
                DepthTags = depth < 1 ? null : depth,
                MaxIoBytes = io < 1 ? null : io * 4096,
                BlockSizeBytes = block == 0 ? null : block,
                MemoryBytes = memory < 1 ? null : memory * MiB,
            });
        int planned = 0;
        Gen.Select(genNode.Array[1, 6], genOptions, Gen.Int[1, 32]).Sample(
            (nodes, options, cpus) =>
            {
                if (!GeometryPlan.TryDerive(nodes, options, cpus, out GeometryPlan? plan, out string? error))
                {
                    Assert.False(string.IsNullOrEmpty(error));
                    return;
                }

                Interlocked.Increment(ref planned);
                Assert.InRange((long)plan.Queues * plan.DepthTags * plan.MaxIoBytes, 1, plan.MemoryBytes);
                Assert.Equal(options.Queues ?? plan.Queues, plan.Queues);
                Assert.Equal(options.DepthTags ?? plan.DepthTags, plan.DepthTags);
                Assert.All(nodes, node => Assert.True(plan.BlockSizeBytes >= node.LogicalBlockBytes));
                Assert.Null(VolumeMap.Check(plan.NodeLengthsBytes.ToArray(), plan.BlockSizeBytes, plan.MaxIoBytes));
                Assert.Equal(plan.SizeBytes, plan.NodeLengthsBytes.Sum());
                for (int i = 0; i < nodes.Length; i++)
                {
                    Assert.InRange(nodes[i].SizeBytes - plan.NodeLengthsBytes[i], 0, plan.BlockSizeBytes - 1);
                }

                long limit = plan.CreateMap().MaxChangeBytes;
                Assert.InRange(plan.MaxDiscardBytes, 0, limit);
                Assert.Equal(plan.MaxDiscardBytes == 0, plan.DiscardGranularityBytes == 0);
                Assert.True(plan.MaxDiscardBytes == 0 || plan.MaxDiscardBytes % plan.DiscardGranularityBytes == 0);
                Assert.True(plan.MaxWriteZeroesBytes == 0 || plan.MaxWriteZeroesBytes == limit);
            },
            iter: 20_000);
        Assert.True(planned > 1000, $"only {planned} plans: the test shows little");
    }
}
