using Dst.Core.Requests;
using Dst.Core.Specs;

namespace Dst.Core.Volumes;

/// <summary>Limits that hold for every volume.</summary>
public static class VolumeLimits
{
    /// <summary>Most nodes of one volume.</summary>
    public const int NodesMax = 64;

    /// <summary>Most delay nodes of one volume, nested ones included: each needs room of its own in every queue.</summary>
    public const int DelayNodesMax = 64;

    /// <summary>Most legs of one request that has a range. No node is smaller than the largest request.</summary>
    public const int RangeLegsMax = 2;

    /// <summary>Smallest logical block.</summary>
    public const int BlockSizeMinBytes = 512;

    /// <summary>Largest logical block.</summary>
    public const int BlockSizeMaxBytes = 4096;

    /// <summary>Unit of the largest request: the page of the kernel's buffers.</summary>
    public const int MaxIoUnitBytes = 4096;

    /// <summary>Largest value of the largest request.</summary>
    public const int MaxIoMaxBytes = 16 * 1024 * 1024;

    /// <summary>
    /// No discard or write-zeroes is longer, so that one request cannot occupy a node for minutes (C-09).
    /// </summary>
    public const long MaxChangeMaxBytes = 1L << 30;

    /// <summary>Most hardware queues.</summary>
    public const int QueuesMax = 64;

    /// <summary>Most tags of one queue.</summary>
    public const int DepthTagsMax = 4096;
}

/// <summary>The part of a request that one node carries out.</summary>
public struct Leg
{
    /// <summary>Place of the node in the map, from 0.</summary>
    public int NodeIndex;

    /// <summary>Flags of the request, the same for each of its legs (C-04).</summary>
    public RequestFlags Flags;

    /// <summary>First byte, counted from the node's start; 0 for a flush.</summary>
    public long NodeOffsetBytes;

    /// <summary>Bytes touched; 0 for a flush.</summary>
    public long LengthBytes;

    /// <summary>Where this leg's data begins in the request's buffer; 0 for a flush.</summary>
    public long RequestOffsetBytes;
}

/// <summary>
/// The linear map: nodes one after the other, in order, each with its length rounded to whole blocks. Immutable; any
/// thread. Looking up allocates nothing.
/// </summary>
public sealed class VolumeMap
{
    private readonly long[] _starts; // one more than nodes: the last is the size

    /// <summary>Joins nodes to a volume.</summary>
    /// <param name="nodeLengthsBytes">
    /// 1 to <see cref="VolumeLimits.NodesMax"/> lengths, multiples of the block size.
    /// </param>
    /// <param name="blockSizeBytes">Logical block: 512 or 4096.</param>
    /// <param name="maxRequestBytes">Largest read or write; no node may be shorter.</param>
    /// <exception cref="ArgumentException">A limit is broken; the message is for people.</exception>
    public VolumeMap(ReadOnlySpan<long> nodeLengthsBytes, int blockSizeBytes, int maxRequestBytes)
    {
        if (Check(nodeLengthsBytes, blockSizeBytes, maxRequestBytes) is string error)
        {
            throw new ArgumentException(error, nameof(nodeLengthsBytes));
        }

        _starts = new long[nodeLengthsBytes.Length + 1];
        long smallest = long.MaxValue;
        for (int i = 0; i < nodeLengthsBytes.Length; i++)
        {
            _starts[i + 1] = _starts[i] + nodeLengthsBytes[i];
            smallest = long.Min(smallest, nodeLengthsBytes[i]);
        }

        BlockSizeBytes = blockSizeBytes;
        MaxRequestBytes = maxRequestBytes;
        long longest = long.Min(smallest, VolumeLimits.MaxChangeMaxBytes);
        MaxChangeBytes = longest - longest % blockSizeBytes;
    }

    /// <summary>Length of the volume.</summary>
    public long SizeBytes => _starts[^1];

    /// <summary>Number of nodes.</summary>
    public int NodeCount => _starts.Length - 1;

    /// <summary>Logical block.</summary>
    public int BlockSizeBytes { get; }

    /// <summary>Largest read or write.</summary>
    public int MaxRequestBytes { get; }

    /// <summary>Largest discard or write-zeroes: the smallest node or 1 GiB, in whole blocks (C-09).</summary>
    public long MaxChangeBytes { get; }

    /// <summary>What keeps these values from being a volume, one line; null when nothing does.</summary>
    /// <param name="nodeLengthsBytes">Lengths in the order of the map.</param>
    /// <param name="blockSizeBytes">Logical block.</param>
    /// <param name="maxRequestBytes">Largest read or write.</param>
    public static string? Check(ReadOnlySpan<long> nodeLengthsBytes, int blockSizeBytes, int maxRequestBytes)
    {
        if (nodeLengthsBytes.Length is < 1 or > VolumeLimits.NodesMax)
        {
            return $"a volume has 1 to {VolumeLimits.NodesMax} nodes, not {nodeLengthsBytes.Length}";
        }

        if (blockSizeBytes is not (VolumeLimits.BlockSizeMinBytes or VolumeLimits.BlockSizeMaxBytes))
        {
            return $"block size {blockSizeBytes}: must be 512 or 4096";
        }

        if (maxRequestBytes < blockSizeBytes || maxRequestBytes > VolumeLimits.MaxIoMaxBytes
            || maxRequestBytes % blockSizeBytes != 0)
        {
            return $"largest request {maxRequestBytes}: must be a multiple of the block size {blockSizeBytes}, at most "
                + ByteSize.ToSpec(VolumeLimits.MaxIoMaxBytes);
        }

        long size = 0;
        for (int i = 0; i < nodeLengthsBytes.Length; i++)
        {
            long length = nodeLengthsBytes[i];
            if (length < maxRequestBytes || length % blockSizeBytes != 0)
            {
                return $"node {i}: length {length} must be a multiple of the block size {blockSizeBytes} and at least "
                    + $"the largest request {maxRequestBytes}";
            }

            if (length > long.MaxValue - size)
            {
                return $"node {i}: with its length {length} the volume would be larger than 2^63-1 bytes";
            }

            size += length;
        }

        return null;
    }

    /// <summary>First byte of the volume that the node holds.</summary>
    /// <param name="nodeIndex">0 to <see cref="NodeCount"/> - 1.</param>
    public long StartBytes(int nodeIndex)
    {
        Must.Be((uint)nodeIndex < (uint)NodeCount, $"node {nodeIndex} of a map of {NodeCount}");
        return _starts[nodeIndex];
    }

    /// <summary>Bytes of the volume that the node holds.</summary>
    /// <param name="nodeIndex">0 to <see cref="NodeCount"/> - 1.</param>
    public long LengthBytes(int nodeIndex)
    {
        Must.Be((uint)nodeIndex < (uint)NodeCount, $"node {nodeIndex} of a map of {NodeCount}");
        return _starts[nodeIndex + 1] - _starts[nodeIndex];
    }

    /// <summary>
    /// Cuts a range at the border of two nodes. The caller has checked the range; a wrong one ends the process.
    /// </summary>
    /// <param name="offsetBytes">First byte of the volume.</param>
    /// <param name="lengthBytes">At least 1, and no longer than the smallest node.</param>
    /// <param name="legs">Room for two.</param>
    /// <returns>Legs written: 1 or 2.</returns>
    public int Split(long offsetBytes, long lengthBytes, Span<Leg> legs)
    {
        Must.Be(
            offsetBytes >= 0 && lengthBytes > 0 && offsetBytes <= SizeBytes - lengthBytes,
            $"range {offsetBytes}+{lengthBytes} of a volume of {SizeBytes}");

        int first = NodeAt(offsetBytes);
        long head = long.Min(lengthBytes, _starts[first + 1] - offsetBytes);
        legs[0] = new Leg
        {
            NodeIndex = first,
            NodeOffsetBytes = offsetBytes - _starts[first],
            LengthBytes = head,
            RequestOffsetBytes = 0,
        };
        if (head == lengthBytes)
        {
            return 1;
        }

        long tail = lengthBytes - head;
        Must.Be(
            tail <= LengthBytes(first + 1),
            $"range {offsetBytes}+{lengthBytes} touches more than two nodes, the second is {first + 1}");
        legs[1] = new Leg
        {
            NodeIndex = first + 1,
            NodeOffsetBytes = 0,
            LengthBytes = tail,
            RequestOffsetBytes = head,
        };
        return 2;
    }

    /// <summary>The node that holds a byte of the volume.</summary>
    private int NodeAt(long offsetBytes)
    {
        // The last node whose start is not beyond the offset.
        int low = 0;
        int high = NodeCount - 1;
        while (low < high)
        {
            int middle = (low + high + 1) >>> 1;
            if (_starts[middle] <= offsetBytes)
            {
                low = middle;
            }
            else
            {
                high = middle - 1;
            }
        }

        return low;
    }
}
