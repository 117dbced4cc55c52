namespace Dst.Control;

/// <summary>
/// File names of the status tree below /run/dst/devices/NAME, one value a file, each ending in a newline. The target
/// writes them, everybody may read. Numbers are decimal; sizes are bytes.
/// </summary>
public static class StatusTree
{
    /// <summary>creating, starting, live or stopping; dstd removes the tree of a dead target.</summary>
    public const string State = "state";

    /// <summary>Length of the device or node.</summary>
    public const string Size = "size";

    /// <summary>Number N of /dev/ublkbN.</summary>
    public const string UblkId = "ublk_id";

    /// <summary>Path of the block device.</summary>
    public const string BlockDevice = "block_device";

    /// <summary>Process id of the target.</summary>
    public const string Pid = "pid";

    /// <summary>Hardware queues.</summary>
    public const string Queues = "queues";

    /// <summary>Tags per queue.</summary>
    public const string Depth = "depth";

    /// <summary>Largest read or write.</summary>
    public const string MaxIo = "max_io";

    /// <summary>Logical block size.</summary>
    public const string BlockSize = "block_size";

    /// <summary>1 or 0.</summary>
    public const string ReadOnly = "read_only";

    /// <summary>Longest time between two turns of a queue thread since start, in microseconds.</summary>
    public const string QueueGapMax = "queue_gap_max_us";

    /// <summary>Counters that a device and each of its nodes have.</summary>
    public static readonly IReadOnlyList<string> Counters =
        ["reads", "writes", "flushes", "discards", "write_zeroes", "read_bytes", "write_bytes", "errors", "inflight"];

    /// <summary>
    /// Operations with a file latency_OP in each node's folder: "count N p50_us N p99_us N max_us N".
    /// </summary>
    public static readonly IReadOnlyList<string> LatencyOperations =
        ["read", "write", "flush", "discard", "write_zeroes"];

    /// <summary>Folder of the nodes, one folder each, named by index from 0.</summary>
    public const string Nodes = "nodes";

    /// <summary>Kind of a node.</summary>
    public const string NodeType = "type";

    /// <summary>Address of a node.</summary>
    public const string NodeAddress = "address";

    /// <summary>First byte of the volume that a node holds.</summary>
    public const string NodeStart = "start";

    /// <summary>Why a node is in its state; absent or empty when there is nothing to say.</summary>
    public const string NodeReason = "reason";
}
