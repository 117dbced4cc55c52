using System.Diagnostics.CodeAnalysis;
using Dst.Core.Specs;

namespace Dst.Core.Volumes;

/// <summary>What a node, once opened, says of itself.</summary>
public sealed record NodeProperties
{
    /// <summary>What errors call the node, such as its specification.</summary>
    public required string Name { get; init; }

    /// <summary>Bytes that can be stored, before rounding.</summary>
    public required long SizeBytes { get; init; }

    /// <summary>Smallest unit of its I/O: a power of two, at most 4096 (C-13).</summary>
    public required int LogicalBlockBytes { get; init; }

    /// <summary>Completed writes may be lost with the power until a flush (C-03).</summary>
    public required bool VolatileCache { get; init; }

    /// <summary>Refuses every change (C-12).</summary>
    public bool ReadOnly { get; init; }

    /// <summary>Can discard.</summary>
    public bool CanDiscard { get; init; }

    /// <summary>Unit in which a discard frees space; 0 or 1 where there is none.</summary>
    public int DiscardGranularityBytes { get; init; }

    /// <summary>Can write zeroes without data.</summary>
    public bool CanWriteZeroes { get; init; }

    /// <summary>Longest read or write that it takes; null for no limit of its own.</summary>
    public int? MaxIoBytes { get; init; }

    /// <summary>Longest discard or write-zeroes that it takes; null for no limit of its own.</summary>
    public long? MaxChangeBytes { get; init; }
}

/// <summary>What the user wants of a device; null means to be derived.</summary>
public sealed record GeometryOptions
{
    /// <summary>Hardware queues, 1 to <see cref="VolumeLimits.QueuesMax"/>.</summary>
    public int? Queues { get; init; }

    /// <summary>Tags per queue, 1 to <see cref="VolumeLimits.DepthTagsMax"/>.</summary>
    public int? DepthTags { get; init; }

    /// <summary>Largest read or write: a multiple of 4096, at most <see cref="VolumeLimits.MaxIoMaxBytes"/>.</summary>
    public int? MaxIoBytes { get; init; }

    /// <summary>Logical block: 512 or 4096.</summary>
    public int? BlockSizeBytes { get; init; }

    /// <summary>Bound of the locked I/O buffers.</summary>
    public long? MemoryBytes { get; init; }

    /// <summary>No request changes a block.</summary>
    public bool ReadOnly { get; init; }
}

/// <summary>
/// Everything about a device that follows from its nodes and from what the user wants; derived once, at creation. Pure;
/// any thread.
/// </summary>
public sealed record GeometryPlan
{
    /// <summary>Most queues that are chosen without being asked for.</summary>
    public const int DefaultQueuesMax = 4;

    /// <summary>Most tags per queue that are chosen without being asked for.</summary>
    public const int DefaultDepthTags = 128;

    /// <summary>Largest request unless asked for otherwise.</summary>
    public const int DefaultMaxIoBytes = 1024 * 1024;

    /// <summary>Bound of the locked I/O buffers unless asked for otherwise.</summary>
    public const long DefaultMemoryBytes = 128L * 1024 * 1024;

    private GeometryPlan()
    {
    }

    /// <summary>Hardware queues.</summary>
    public required int Queues { get; init; }

    /// <summary>Tags per queue.</summary>
    public required int DepthTags { get; init; }

    /// <summary>Largest read or write.</summary>
    public required int MaxIoBytes { get; init; }

    /// <summary>Logical block.</summary>
    public required int BlockSizeBytes { get; init; }

    /// <summary>Bound that queues × depth × largest request were made to fit.</summary>
    public required long MemoryBytes { get; init; }

    /// <summary>Length of the volume.</summary>
    public required long SizeBytes { get; init; }

    /// <summary>No request changes a block.</summary>
    public required bool ReadOnly { get; init; }

    /// <summary>
    /// At least one node keeps completed writes in a volatile cache (C-03). Never set on a read-only volume.
    /// </summary>
    public required bool VolatileCache { get; init; }

    /// <summary>
    /// Largest discard, a multiple of the granularity; 0 where a node cannot discard or nothing may be changed.
    /// </summary>
    public required long MaxDiscardBytes { get; init; }

    /// <summary>Unit of a discard, a multiple of the block size; 0 where there is none.</summary>
    public required int DiscardGranularityBytes { get; init; }

    /// <summary>Largest write-zeroes; 0 where a node cannot or nothing may be changed (C-08).</summary>
    public required long MaxWriteZeroesBytes { get; init; }

    /// <summary>Lengths in the order of the map: each node's size in whole blocks (C-19).</summary>
    public required IReadOnlyList<long> NodeLengthsBytes { get; init; }

    /// <summary>Derives a plan.</summary>
    /// <param name="nodes">In the order of the map.</param>
    /// <param name="options">What the user wants.</param>
    /// <param name="cpuCount">CPUs that this process may use, at least 1.</param>
    /// <param name="plan">The plan.</param>
    /// <param name="error">Why not, one line that names the node or the option and what would do.</param>
    public static bool TryDerive(
        IReadOnlyList<NodeProperties> nodes,
        GeometryOptions options,
        int cpuCount,
        [NotNullWhen(true)] out GeometryPlan? plan,
        [NotNullWhen(false)] out string? error)
    {
        Must.Be(cpuCount >= 1, $"{cpuCount} CPUs");
        plan = null;
        error = CheckNodes(nodes, options);
        if (error is not null)
        {
            return false;
        }

        if (!TryChooseBlockSize(nodes, options, out int blockSizeBytes, out error)
            || !TryChooseMaxIo(nodes, options, blockSizeBytes, out int maxIoBytes, out error)
            || !TryChooseQueues(options, cpuCount, maxIoBytes, out int queues, out int depthTags, out error)
            || !TryChooseLengths(nodes, blockSizeBytes, maxIoBytes, out long[]? lengths, out error))
        {
            return false;
        }

        VolumeMap map = new(lengths, blockSizeBytes, maxIoBytes);
        long maxChangeBytes = ChooseMaxChange(nodes, map.MaxChangeBytes, blockSizeBytes);
        int granularity = options.ReadOnly ? 0 : ChooseGranularity(nodes, blockSizeBytes, maxChangeBytes);
        plan = new GeometryPlan
        {
            Queues = queues,
            DepthTags = depthTags,
            MaxIoBytes = maxIoBytes,
            BlockSizeBytes = blockSizeBytes,
            MemoryBytes = MemoryOf(options),
            SizeBytes = map.SizeBytes,
            ReadOnly = options.ReadOnly,
            VolatileCache = !options.ReadOnly && AnyVolatile(nodes),
            DiscardGranularityBytes = granularity,
            MaxDiscardBytes = granularity == 0 ? 0 : maxChangeBytes - maxChangeBytes % granularity,
            MaxWriteZeroesBytes = options.ReadOnly || !AllWriteZeroes(nodes) ? 0 : maxChangeBytes,
            NodeLengthsBytes = lengths,
        };
        return true;
    }

    /// <summary>The map of this plan.</summary>
    public VolumeMap CreateMap()
    {
        long[] lengths = new long[NodeLengthsBytes.Count];
        for (int i = 0; i < lengths.Length; i++)
        {
            lengths[i] = NodeLengthsBytes[i];
        }

        return new VolumeMap(lengths, BlockSizeBytes, MaxIoBytes);
    }

    private static string? CheckNodes(IReadOnlyList<NodeProperties> nodes, GeometryOptions options)
    {
        if (nodes.Count is < 1 or > VolumeLimits.NodesMax)
        {
            return $"a device has 1 to {VolumeLimits.NodesMax} nodes, not {nodes.Count}";
        }

        for (int i = 0; i < nodes.Count; i++)
        {
            NodeProperties node = nodes[i];
            int block = node.LogicalBlockBytes;
            if (block is < 1 or > VolumeLimits.BlockSizeMaxBytes || (block & (block - 1)) != 0)
            {
                return $"{Describe(nodes, i)}: blocks of {block} bytes cannot be served, only powers of two up to "
                    + $"{VolumeLimits.BlockSizeMaxBytes}";
            }

            if (node.ReadOnly && !options.ReadOnly)
            {
                return $"{Describe(nodes, i)}: is read-only, make the device with --read-only";
            }
        }

        return null;
    }

    private static bool TryChooseBlockSize(
        IReadOnlyList<NodeProperties> nodes,
        GeometryOptions options,
        out int blockSizeBytes,
        [NotNullWhen(false)] out string? error)
    {
        int largest = 0;
        for (int i = 1; i < nodes.Count; i++)
        {
            largest = nodes[i].LogicalBlockBytes > nodes[largest].LogicalBlockBytes ? i : largest;
        }

        int needed = nodes[largest].LogicalBlockBytes <= VolumeLimits.BlockSizeMinBytes
            ? VolumeLimits.BlockSizeMinBytes
            : VolumeLimits.BlockSizeMaxBytes;
        blockSizeBytes = options.BlockSizeBytes ?? needed;
        error = null;
        if (blockSizeBytes is not (VolumeLimits.BlockSizeMinBytes or VolumeLimits.BlockSizeMaxBytes))
        {
            error = $"--block-size {blockSizeBytes}: must be 512 or 4096";
        }
        else if (blockSizeBytes < needed)
        {
            error = $"--block-size {blockSizeBytes}: {Describe(nodes, largest)} has blocks of "
                + $"{nodes[largest].LogicalBlockBytes}, use --block-size {needed}";
        }

        return error is null;
    }

    private static long ChooseMaxChange(IReadOnlyList<NodeProperties> nodes, long mapBytes, int blockSizeBytes)
    {
        long leastBytes = mapBytes;
        for (int i = 0; i < nodes.Count; i++)
        {
            leastBytes = long.Min(leastBytes, nodes[i].MaxChangeBytes ?? mapBytes);
        }

        return leastBytes - leastBytes % blockSizeBytes;
    }

    private static bool TryChooseMaxIo(
        IReadOnlyList<NodeProperties> nodes,
        GeometryOptions options,
        int blockSizeBytes,
        out int maxIoBytes,
        [NotNullWhen(false)] out string? error)
    {
        int unit = int.Max(VolumeLimits.MaxIoUnitBytes, blockSizeBytes);
        int limitBytes = int.MaxValue;
        int strictest = -1;
        for (int i = 0; i < nodes.Count; i++)
        {
            if (nodes[i].MaxIoBytes is { } nodeBytes && nodeBytes < limitBytes)
            {
                limitBytes = nodeBytes;
                strictest = i;
            }
        }

        maxIoBytes = options.MaxIoBytes ?? int.Min(DefaultMaxIoBytes, limitBytes - limitBytes % unit);
        if (maxIoBytes > limitBytes)
        {
            error = $"--max-io {maxIoBytes}: {Describe(nodes, strictest)} takes at most {limitBytes}";
            return false;
        }

        error = maxIoBytes >= unit && maxIoBytes <= VolumeLimits.MaxIoMaxBytes && maxIoBytes % unit == 0
            ? null
            : $"--max-io {maxIoBytes}: must be a multiple of {unit}, {unit} to {VolumeLimits.MaxIoMaxBytes}";
        return error is null;
    }

    /// <summary>Only a depth that nobody asked for shrinks to fit; what was asked for is given or refused.</summary>
    private static bool TryChooseQueues(
        GeometryOptions options,
        int cpuCount,
        int maxIoBytes,
        out int queues,
        out int depthTags,
        [NotNullWhen(false)] out string? error)
    {
        queues = options.Queues ?? int.Min(cpuCount, DefaultQueuesMax);
        depthTags = options.DepthTags ?? DefaultDepthTags;
        long memoryBytes = MemoryOf(options);
        error = null;
        if (queues is < 1 or > VolumeLimits.QueuesMax)
        {
            error = $"--queues {queues}: must be 1 to {VolumeLimits.QueuesMax}";
        }
        else if (depthTags is < 1 or > VolumeLimits.DepthTagsMax)
        {
            error = $"--depth {depthTags}: must be 1 to {VolumeLimits.DepthTagsMax}";
        }
        else if (memoryBytes < 1)
        {
            error = $"--memory {memoryBytes}: must be at least one buffer of {ByteSize.ToSpec(maxIoBytes)}";
        }

        if (error is not null)
        {
            return false;
        }

        // 64 × 4096 × 16 MiB is far from overflow.
        long rowBytes = (long)queues * maxIoBytes;
        if (options.DepthTags is null)
        {
            depthTags = (int)long.Clamp(memoryBytes / rowBytes, 1, DefaultDepthTags);
        }

        long neededBytes = rowBytes * depthTags;
        if (neededBytes > memoryBytes)
        {
            string needed = ByteSize.ToSpec(neededBytes);
            error = $"queues {queues} × depth {depthTags} × max-io {ByteSize.ToSpec(maxIoBytes)} = {needed} "
                + $"of buffers, more than --memory {ByteSize.ToSpec(memoryBytes)}: lower --queues, --depth "
                + $"or --max-io, or give --memory {needed}";
        }

        return error is null;
    }

    private static bool TryChooseLengths(
        IReadOnlyList<NodeProperties> nodes,
        int blockSizeBytes,
        int maxIoBytes,
        [NotNullWhen(true)] out long[]? lengths,
        [NotNullWhen(false)] out string? error)
    {
        lengths = new long[nodes.Count];
        error = null;
        long size = 0;
        for (int i = 0; i < lengths.Length; i++)
        {
            long nodeBytes = long.Max(nodes[i].SizeBytes, 0);
            long length = nodeBytes - nodeBytes % blockSizeBytes;
            if (length < maxIoBytes)
            {
                error = nodeBytes == 0
                    ? $"{Describe(nodes, i)}: is empty"
                    : $"{Describe(nodes, i)}: {ByteSize.ToSpec(nodeBytes)} is too small, at least the largest request "
                        + $"{ByteSize.ToSpec(maxIoBytes)} is needed (--max-io)";
                return false;
            }

            if (length > long.MaxValue - size)
            {
                error = $"{Describe(nodes, i)}: with its {ByteSize.ToSpec(nodeBytes)} the device would be larger "
                    + "than 2^63-1 bytes";
                return false;
            }

            size += length;
            lengths[i] = length;
        }

        return true;
    }

    /// <summary>The coarsest unit of the nodes, in whole blocks; 0 when there can be no discard.</summary>
    private static int ChooseGranularity(IReadOnlyList<NodeProperties> nodes, int blockSizeBytes, long maxChangeBytes)
    {
        long granularity = blockSizeBytes;
        for (int i = 0; i < nodes.Count; i++)
        {
            if (!nodes[i].CanDiscard)
            {
                return 0;
            }

            granularity = long.Max(granularity, nodes[i].DiscardGranularityBytes);
        }

        granularity = (granularity + blockSizeBytes - 1) / blockSizeBytes * blockSizeBytes;
        return granularity > maxChangeBytes ? 0 : (int)granularity;
    }

    private static bool AnyVolatile(IReadOnlyList<NodeProperties> nodes)
    {
        for (int i = 0; i < nodes.Count; i++)
        {
            if (nodes[i].VolatileCache)
            {
                return true;
            }
        }

        return false;
    }

    private static bool AllWriteZeroes(IReadOnlyList<NodeProperties> nodes)
    {
        for (int i = 0; i < nodes.Count; i++)
        {
            if (!nodes[i].CanWriteZeroes)
            {
                return false;
            }
        }

        return true;
    }

    private static long MemoryOf(GeometryOptions options) => options.MemoryBytes ?? DefaultMemoryBytes;

    private static string Describe(IReadOnlyList<NodeProperties> nodes, int index) =>
        $"node {index} ({nodes[index].Name})";
}
