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

    /// <summary>Address that a network node is connected to.</summary>
    public const string NodePeer = "peer";

    /// <summary>What went wrong last with a network node, also while it is live again; empty for nothing.</summary>
    public const string NodeLastError = "last_error";

    /// <summary>
    /// Numbers of a network node: epoch; round trip of the last ping and time to the next attempt (ms, -1 for none);
    /// requests it has and those sent; requests sent again, sessions after the first, bytes replayed.
    /// </summary>
    public static readonly IReadOnlyList<string> NetworkNumbers =
        ["epoch", "round_trip_ms", "next_try_ms", "waiting", "sent", "resends", "reconnects", "replayed_bytes"];

    /// <summary>Identity of an export, as UUID.</summary>
    public const string Identity = "identity";

    /// <summary>write-through or write-back.</summary>
    public const string Cache = "cache";

    /// <summary>Epoch of an export's running session; 0 without.</summary>
    public const string Epoch = "epoch";

    /// <summary>1 while a device holds an export, else 0.</summary>
    public const string Held = "held";

    /// <summary>The device that holds an export, or held it last.</summary>
    public const string Holder = "holder";

    /// <summary>Connections of an export, or of the server.</summary>
    public const string Connections = "connections";

    /// <summary>Bytes that an export received and sent on its connections, headers included.</summary>
    public const string NetReceived = "net_received_bytes", NetSent = "net_sent_bytes";

    /// <summary>Addresses that the server listens on, separated by blanks.</summary>
    public const string Addresses = "addresses";

    /// <summary>What the server lacks; empty when nothing.</summary>
    public const string Warning = "warning";

    /// <summary>Lines about peers that the server's log was spared.</summary>
    public const string SuppressedLines = "suppressed_log_lines";

    /// <summary>Why a node is in its state; absent or empty when there is nothing to say.</summary>
    public const string NodeReason = "reason";
}
