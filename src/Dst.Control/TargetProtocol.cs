namespace Dst.Control;

/// <summary>
/// The private protocol between dstd and one dst-target: JSON documents, one a line, over the target's own Unix stream
/// socket. The target speaks first (<see cref="TargetHello"/>); then each request of dstd has one reply, with events in
/// between. Until the device is live the target ends when the connection that sent <see cref="TargetCommand.Open"/> is
/// lost, and undoes all it did; from then on it outlives every connection.
/// </summary>
public static class TargetProtocol
{
    /// <summary>Version of the protocol. A daemon adopts targets of its own version and of the one before.</summary>
    public const int Version = 1;

    /// <summary>Longest line either side accepts.</summary>
    public const int MaxLineBytes = 1 << 20;

    /// <summary>Verbs of a request.</summary>
    public static class TargetCommand
    {
        /// <summary>Open the nodes, derive or check the geometry, make the kernel device (not yet started).</summary>
        public const string Open = "open";

        /// <summary>Serve: fetch, start, publish. Only after dstd has stored the geometry.</summary>
        public const string Start = "start";

        /// <summary>
        /// Stop and delete the kernel device, end the process. The reply comes when the device is gone.
        /// </summary>
        public const string Stop = "stop";

        /// <summary>Clear a node's error mark, or all.</summary>
        public const string ClearError = "clear-error";

        /// <summary>Tell a network node something: see <see cref="NodeOrder"/>.</summary>
        public const string OrderNode = "order-node";
    }
}

/// <summary>First line of the target on every connection.</summary>
public sealed record TargetHello
{
    /// <summary><see cref="TargetProtocol.Version"/> of the target.</summary>
    public required int Protocol { get; init; }

    /// <summary>Version of the program.</summary>
    public required string Version { get; init; }

    /// <summary>Name of the device.</summary>
    public required string Name { get; init; }

    /// <summary>Process id.</summary>
    public required int Pid { get; init; }

    /// <summary>new, open, live or stopping.</summary>
    public required string State { get; init; }

    /// <summary>Geometry it serves; null while new.</summary>
    public DeviceGeometry? Geometry { get; init; }

    /// <summary>Why it refuses to serve at all (for example a missing capability); null when it does not.</summary>
    public string? Refusal { get; init; }
}

/// <summary>One request of dstd.</summary>
public sealed record TargetRequest
{
    /// <summary>Chosen by dstd, comes back in the reply.</summary>
    public required long RequestId { get; init; }

    /// <summary>A verb of <see cref="TargetProtocol.TargetCommand"/>.</summary>
    public required string Command { get; init; }

    /// <summary>With open: what to make, or, with a geometry inside, what to bring back.</summary>
    public DeviceRecord? Record { get; init; }

    /// <summary>With open: where the target keeps its durable marks.</summary>
    public string? StateDirectory { get; init; }

    /// <summary>With stop: end requests in flight with an error first instead of waiting for them.</summary>
    public bool FailPending { get; init; }

    /// <summary>With stop: how long requests in flight may take before the stop is refused as timed out.</summary>
    public int? TimeoutMs { get; init; }

    /// <summary>With clear-error: the node, all when null. With order-node: the node.</summary>
    public int? NodeIndex { get; init; }

    /// <summary>With order-node: a word of <see cref="NodeOrder"/>.</summary>
    public string? Order { get; init; }

    /// <summary>With order-node and set: what changes.</summary>
    public NodeSettings? Settings { get; init; }

    /// <summary>With open: an operator wants the holders of network nodes fenced, once (S-04).</summary>
    public bool TakeOver { get; init; }

    /// <summary>With open: how long network nodes of a new device may take to attach; null for no limit.</summary>
    public int? NodeTimeoutMs { get; init; }
}

/// <summary>
/// One line from the target after its hello: the reply to a request, or an event when <see cref="RequestId"/> is null.
/// </summary>
public sealed record TargetReply
{
    /// <summary>The request this answers; null for an event.</summary>
    public long? RequestId { get; init; }

    /// <summary>Set when the request failed; the target has undone what the request did.</summary>
    public ControlError? Error { get; init; }

    /// <summary>With open: the geometry to store before start.</summary>
    public DeviceGeometry? Geometry { get; init; }

    /// <summary>With start: path of the block device.</summary>
    public string? BlockDevice { get; init; }

    /// <summary>With stop: what it leaves behind, a line for people each; null for nothing.</summary>
    public IReadOnlyList<string>? Notes { get; init; }

    /// <summary>Event: bytes of a new file that are preallocated.</summary>
    public long? ProgressBytes { get; init; }

    /// <summary>Event: bytes to preallocate in all.</summary>
    public long? ProgressTotalBytes { get; init; }

    /// <summary>Event: what the target waits for, for people (for example a backing's lock).</summary>
    public string? Waiting { get; init; }
}
