using System.Text.Json.Serialization;

namespace Dst.Control;

/// <summary>
/// What a user asks for with <c>add-device</c>. Values that are null are chosen by the target from the nodes and the
/// machine.
/// </summary>
public sealed record DeviceRequest
{
    /// <summary>1 to 64 of [A-Za-z0-9._-], starting with a letter or digit.</summary>
    public required string Name { get; init; }

    /// <summary>Node specifications in the order of the map, 1 to 64, as typed.</summary>
    public required IReadOnlyList<string> Nodes { get; init; }

    /// <summary>Number N of /dev/ublkbN.</summary>
    public int? Id { get; init; }

    /// <summary>Hardware queues.</summary>
    public int? Queues { get; init; }

    /// <summary>Tags per queue.</summary>
    public int? DepthTags { get; init; }

    /// <summary>Largest request.</summary>
    public int? MaxIoBytes { get; init; }

    /// <summary>Logical block size: 512 or 4096.</summary>
    public int? BlockSizeBytes { get; init; }

    /// <summary>Bound of the locked I/O buffers.</summary>
    public long? MemoryBytes { get; init; }

    /// <summary>The kernel device is read-only, and so is every node.</summary>
    public bool ReadOnly { get; init; }
}

/// <summary>
/// Everything about a device that is derived once, at creation, stored before the device is seen by anybody, and never
/// computed anew.
/// </summary>
public sealed record DeviceGeometry
{
    /// <summary>Number N of /dev/ublkbN and /dev/ublkcN.</summary>
    public required int UblkId { get; init; }

    /// <summary>Hardware queues; fewer serve while the machine has fewer processors.</summary>
    public required int Queues { get; init; }

    /// <summary>Tags per queue.</summary>
    public required int DepthTags { get; init; }

    /// <summary>Largest read or write.</summary>
    public required int MaxIoBytes { get; init; }

    /// <summary>Logical block size.</summary>
    public required int BlockSizeBytes { get; init; }

    /// <summary>Length of the device: the sum of the nodes' lengths.</summary>
    public required long SizeBytes { get; init; }

    /// <summary>Bound of the locked I/O buffers that queues, depth and largest request were made to fit.</summary>
    public required long MemoryBytes { get; init; }

    /// <summary>No request changes a block.</summary>
    public required bool ReadOnly { get; init; }

    /// <summary>At least one node keeps completed writes in a cache that a FLUSH empties (C-03).</summary>
    public required bool VolatileCache { get; init; }

    /// <summary>Largest discard; 0 where a node cannot discard.</summary>
    public required long MaxDiscardBytes { get; init; }

    /// <summary>Largest write-zeroes; 0 where a node cannot write zeroes.</summary>
    public required long MaxWriteZeroesBytes { get; init; }

    /// <summary>Granularity of a discard; 0 where there is none.</summary>
    public required int DiscardGranularityBytes { get; init; }

    /// <summary>The nodes in the order of the map.</summary>
    public required IReadOnlyList<NodeGeometry> Nodes { get; init; }
}

/// <summary>One node's place in the map and what tells its backing from any other.</summary>
public sealed record NodeGeometry
{
    /// <summary>The specification it was made from; on restore <c>size=</c> and <c>sparse</c> create nothing.</summary>
    public required string Spec { get; init; }

    /// <summary>Kind of the node: file, dev, zero, mem, delay, error.</summary>
    public required string Type { get; init; }

    /// <summary>Its address without options, for people.</summary>
    public required string Address { get; init; }

    /// <summary>First byte of the volume that it holds.</summary>
    public required long StartBytes { get; init; }

    /// <summary>Bytes of the volume that it holds; the backing may never be shorter.</summary>
    public required long LengthBytes { get; init; }

    /// <summary>Lasting identity of the backing (D-10), "none" for nodes without one. Compared as a whole.</summary>
    public required string Identity { get; init; }

    /// <summary>Of a network node: what the export was when the device was made (S-07).</summary>
    public NodeExport? Export { get; init; }
}

/// <summary>What a device remembers of the export behind a network node (S-07).</summary>
public sealed record NodeExport
{
    /// <summary>Identity of the export.</summary>
    public required Guid Uuid { get; init; }

    /// <summary>Its length.</summary>
    public required long SizeBytes { get; init; }

    /// <summary>Its logical block size.</summary>
    public required int BlockSizeBytes { get; init; }

    /// <summary>Its largest read or write.</summary>
    public required int MaxIoBytes { get; init; }

    /// <summary>Its largest discard or write-zeroes.</summary>
    public required long MaxChangeBytes { get; init; }

    /// <summary>Granularity of its discards.</summary>
    public required int DiscardGranularityBytes { get; init; }

    /// <summary>Its abilities, as the protocol numbers them.</summary>
    public required int Capabilities { get; init; }

    /// <summary>What its acknowledgements meant.</summary>
    public required ExportCache Cache { get; init; }
}

/// <summary>What dstd keeps of one device in its state directory.</summary>
public sealed record DeviceRecord
{
    /// <summary>What was asked for.</summary>
    public required DeviceRequest Request { get; init; }

    /// <summary>Drawn at creation; names this device to servers and marks, whatever its name becomes.</summary>
    public required Guid Uuid { get; init; }

    /// <summary>
    /// Null as long as creation has not come to the point where the kernel may show the device (D-02).
    /// </summary>
    public DeviceGeometry? Geometry { get; init; }

    /// <summary>
    /// Removal has come to the point of no return: whoever finds this ends it instead of bringing the device back
    /// (D-02).
    /// </summary>
    public bool Removing { get; init; }

    /// <summary>
    /// The geometry is stored but no START has been seen to succeed: whoever finds this takes the device back, unless a
    /// target serves it (D-02). Records without this field are of devices that were started.
    /// </summary>
    public bool Starting { get; init; }

    /// <summary>Nothing shows that the device ever existed: its creation can only be undone.</summary>
    [JsonIgnore]
    public bool IsHalfMade => Geometry is null || Starting;
}

/// <summary>A device as people and scripts see it.</summary>
public sealed record DeviceStatus
{
    /// <summary>Version of this document; grows when a field changes its meaning or goes.</summary>
    public int Schema { get; init; } = 1;

    /// <summary>Name given at creation.</summary>
    public required string Name { get; init; }

    /// <summary>creating, starting, live, stopping or failed.</summary>
    public required string State { get; init; }

    /// <summary>Why it is in that state, where there is something to say.</summary>
    public string? Reason { get; init; }

    /// <summary>Set while a file is being preallocated: bytes done.</summary>
    public long? ProgressBytes { get; init; }

    /// <summary>Set while a file is being preallocated: bytes in all.</summary>
    public long? ProgressTotalBytes { get; init; }

    /// <summary>Drawn at creation.</summary>
    public required Guid Uuid { get; init; }

    /// <summary>Number N of /dev/ublkbN.</summary>
    public int? UblkId { get; init; }

    /// <summary>Path of the block device, when live.</summary>
    public string? BlockDevice { get; init; }

    /// <summary>Process id of the target, when it runs.</summary>
    public int? Pid { get; init; }

    /// <summary>Length of the device.</summary>
    public long? SizeBytes { get; init; }

    /// <summary>Hardware queues.</summary>
    public int? Queues { get; init; }

    /// <summary>Tags per queue.</summary>
    public int? DepthTags { get; init; }

    /// <summary>Largest read or write.</summary>
    public int? MaxIoBytes { get; init; }

    /// <summary>Logical block size.</summary>
    public int? BlockSizeBytes { get; init; }

    /// <summary>No request changes a block.</summary>
    public bool ReadOnly { get; init; }

    /// <summary>Counters of the device by the names of the status tree (reads, write_bytes, inflight, …).</summary>
    public IReadOnlyDictionary<string, long> Counters { get; init; } =
        new Dictionary<string, long>(StringComparer.Ordinal);

    /// <summary>The nodes in the order of the map.</summary>
    public IReadOnlyList<NodeStatus> Nodes { get; init; } = [];

    /// <summary>What an operator should know, one line each.</summary>
    public IReadOnlyList<string> Warnings { get; init; } = [];
}

/// <summary>A node as people and scripts see it.</summary>
public sealed record NodeStatus
{
    /// <summary>Place in the map, from 0.</summary>
    public required int Index { get; init; }

    /// <summary>Kind of the node.</summary>
    public required string Type { get; init; }

    /// <summary>Its address without options.</summary>
    public required string Address { get; init; }

    /// <summary>First byte of the volume that it holds.</summary>
    public required long StartBytes { get; init; }

    /// <summary>Bytes of the volume that it holds.</summary>
    public required long SizeBytes { get; init; }

    /// <summary>live, poisoned, waiting (for the backing's lock) or down.</summary>
    public required string State { get; init; }

    /// <summary>Why, where there is something to say.</summary>
    public string? Reason { get; init; }

    /// <summary>Of a network node: the address that it is connected to, or was last.</summary>
    public string? Peer { get; init; }

    /// <summary>Counters of the node by the names of the status tree.</summary>
    public IReadOnlyDictionary<string, long> Counters { get; init; } =
        new Dictionary<string, long>(StringComparer.Ordinal);

    /// <summary>Latency of the node by operation, one line each as in the status tree.</summary>
    public IReadOnlyDictionary<string, string> Latency { get; init; } =
        new Dictionary<string, string>(StringComparer.Ordinal);
}

/// <summary>What the daemon says of itself.</summary>
/// <param name="Version">Version of the program.</param>
/// <param name="Api">Version of the HTTP API.</param>
/// <param name="Pid">Process id.</param>
/// <param name="RunDirectory">Where its sockets and status tree are.</param>
/// <param name="StateDirectory">Where its records are.</param>
public sealed record DaemonInfo(string Version, int Api, int Pid, string RunDirectory, string StateDirectory);

/// <summary>What a removal did.</summary>
/// <param name="Notes">
/// What <c>--force</c> threw away or could not do, one line each; empty for a clean removal.
/// </param>
public sealed record RemovalReport(IReadOnlyList<string> Notes);

/// <summary>Which node's error mark is to be cleared.</summary>
/// <param name="Index">Index of the node; all nodes when null.</param>
public sealed record ClearErrorRequest(int? Index);

/// <summary>What an operator tells a network node; the words of the API and of the target's protocol.</summary>
public static class NodeOrder
{
    /// <summary>Requests wait.</summary>
    public const string Suspend = "suspend";

    /// <summary>Requests go on.</summary>
    public const string Resume = "resume";

    /// <summary>Requests that wait end with an error.</summary>
    public const string Fail = "fail";

    /// <summary>Budgets of requests change.</summary>
    public const string Set = "set";
}

/// <summary>Budgets of a network node's requests (S-15); what is null stays as it is.</summary>
public sealed record NodeSettings
{
    /// <summary>Time from a request's arrival; 0 for no limit.</summary>
    public long? DeadlineMs { get; init; }

    /// <summary>Times it may be sent again; 0 for no limit.</summary>
    public int? Retries { get; init; }

    /// <summary>Time from its first failure; 0 for no limit.</summary>
    public long? RetryTimeMs { get; init; }

    /// <summary>A request whose budget is spent ends with an error instead of waiting.</summary>
    public bool? EndsWithError { get; init; }
}
