using System.Text.Json.Serialization;

namespace Dst.Control;

/// <summary>What an acknowledgement of a server means (S-21).</summary>
[JsonConverter(typeof(JsonStringEnumConverter<ExportCache>))]
public enum ExportCache
{
    /// <summary>The data is durable.</summary>
    [JsonStringEnumMemberName("write-through")] WriteThrough,

    /// <summary>The data is durable after a flush; clients keep what they may have to send again.</summary>
    [JsonStringEnumMemberName("write-back")] WriteBack,
}

/// <summary>What a user asks for with <c>add-export</c>. Values that are null are chosen by the server.</summary>
public sealed record ExportRequest
{
    /// <summary>1 to 64 of [A-Za-z0-9._-], starting with a letter or digit; no device has it.</summary>
    public required string Name { get; init; }

    /// <summary>Node specifications in the order of the map, 1 to 64, as typed.</summary>
    public required IReadOnlyList<string> Nodes { get; init; }

    /// <summary>No client may change a block, and the nodes are opened read-only.</summary>
    public bool ReadOnly { get; init; }

    /// <summary>What an acknowledgement means.</summary>
    public ExportCache Cache { get; init; }

    /// <summary>Addresses, ADDR:PORT or unix:/PATH; null for loopback with the usual port.</summary>
    public IReadOnlyList<string>? Listen { get; init; }

    /// <summary>Networks of clients in CIDR notation; null for loopback only.</summary>
    public IReadOnlyList<string>? Allow { get; init; }

    /// <summary>Logical block size: 512 or 4096.</summary>
    public int? BlockSizeBytes { get; init; }

    /// <summary>Largest read or write.</summary>
    public int? MaxIoBytes { get; init; }

    /// <summary>Bound of the locked I/O buffers.</summary>
    public long? MemoryBytes { get; init; }
}

/// <summary>
/// Everything about an export that is derived once, at creation, stored before a client can see it, and never computed
/// anew: clients rely on it (S-07).
/// </summary>
public sealed record ExportLayout
{
    /// <summary>Length of the export: the sum of the nodes' lengths.</summary>
    public required long SizeBytes { get; init; }

    /// <summary>Logical block size.</summary>
    public required int BlockSizeBytes { get; init; }

    /// <summary>Largest read or write.</summary>
    public required int MaxIoBytes { get; init; }

    /// <summary>Largest discard or write-zeroes.</summary>
    public required long MaxChangeBytes { get; init; }

    /// <summary>Granularity of a discard; 0 where there is none.</summary>
    public required int DiscardGranularityBytes { get; init; }

    /// <summary>No request changes a block.</summary>
    public required bool ReadOnly { get; init; }

    /// <summary>Clients may discard.</summary>
    public required bool CanDiscard { get; init; }

    /// <summary>Clients may write zeroes without sending them.</summary>
    public required bool CanWriteZeroes { get; init; }

    /// <summary>At least one node keeps completed writes in a cache that a flush empties (C-03).</summary>
    public required bool VolatileCache { get; init; }

    /// <summary>The nodes in the order of the map.</summary>
    public required IReadOnlyList<NodeGeometry> Nodes { get; init; }
}

/// <summary>What dstd keeps of one export in its state directory.</summary>
public sealed record ExportRecord
{
    /// <summary>What was asked for.</summary>
    public required ExportRequest Request { get; init; }

    /// <summary>Drawn at creation; tells clients this export from any other of its name (S-07).</summary>
    public required Guid Uuid { get; init; }

    /// <summary>Null until the nodes were opened for the first time (D-02).</summary>
    public ExportLayout? Layout { get; init; }

    /// <summary>It was not served yet: whoever finds this rolls back (D-02).</summary>
    public bool Starting { get; init; }

    /// <summary>Removal has begun to end it: whoever finds this goes on with that (D-02).</summary>
    public bool Removing { get; init; }

    /// <summary>Creation has not come to its end.</summary>
    [JsonIgnore]
    public bool IsHalfMade => Layout is null || Starting;
}

/// <summary>An export as people and scripts see it.</summary>
public sealed record ExportStatus
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

    /// <summary>Identity that clients remember.</summary>
    public required Guid Uuid { get; init; }

    /// <summary>Process id of the server, when it runs.</summary>
    public int? Pid { get; init; }

    /// <summary>Length of the export.</summary>
    public long? SizeBytes { get; init; }

    /// <summary>Logical block size.</summary>
    public int? BlockSizeBytes { get; init; }

    /// <summary>Largest read or write.</summary>
    public int? MaxIoBytes { get; init; }

    /// <summary>No request changes a block.</summary>
    public bool ReadOnly { get; init; }

    /// <summary>What an acknowledgement means.</summary>
    public ExportCache Cache { get; init; }

    /// <summary>Addresses it is reached by.</summary>
    public IReadOnlyList<string> Listen { get; init; } = [];

    /// <summary>Networks its clients may come from.</summary>
    public IReadOnlyList<string> Allow { get; init; } = [];

    /// <summary>Epoch of the running session; 0 without.</summary>
    public long? Epoch { get; init; }

    /// <summary>A device holds it (S-04).</summary>
    public bool? Held { get; init; }

    /// <summary>The device that holds it, or held it last.</summary>
    public string? Holder { get; init; }

    /// <summary>Connections of clients.</summary>
    public int? Connections { get; init; }

    /// <summary>Counters of the export by the names of the status tree.</summary>
    public IReadOnlyDictionary<string, long> Counters { get; init; } =
        new Dictionary<string, long>(StringComparer.Ordinal);

    /// <summary>The nodes in the order of the map.</summary>
    public IReadOnlyList<NodeStatus> Nodes { get; init; } = [];

    /// <summary>What an operator should know, one line each.</summary>
    public IReadOnlyList<string> Warnings { get; init; } = [];
}
