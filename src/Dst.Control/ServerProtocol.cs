namespace Dst.Control;

/// <summary>
/// The private protocol between dstd and dst-server: JSON documents, one a line, over the server's own Unix stream
/// socket. The server speaks first (<see cref="ServerHello"/>); then each request of dstd has one reply, in any order,
/// with events in between. An export that was opened and not committed is undone when its connection is lost; from the
/// commit on it outlives every connection.
/// </summary>
public static class ServerProtocol
{
    /// <summary>Version of the protocol. A daemon adopts servers of its own version and of the one before.</summary>
    public const int Version = 1;

    /// <summary>Longest line either side accepts: a hello with all exports.</summary>
    public const int MaxLineBytes = 4 << 20;

    /// <summary>Verbs of a request.</summary>
    public static class ServerCommand
    {
        /// <summary>Open the nodes of an export, derive or check its layout. No client sees it yet.</summary>
        public const string OpenExport = "open-export";

        /// <summary>Serve what was opened. Only after dstd has stored the layout.</summary>
        public const string CommitExport = "commit-export";

        /// <summary>End an export: clients are told that it is gone, running requests awaited, nodes closed.</summary>
        public const string CloseExport = "close-export";

        /// <summary>End the hold of a client that will not come back (S-04).</summary>
        public const string ReleaseExport = "release-export";

        /// <summary>Clear the error marks of an export (C-16).</summary>
        public const string ClearError = "clear-error";

        /// <summary>Tell what is served.</summary>
        public const string Status = "status";

        /// <summary>End the process; refused while it serves anything.</summary>
        public const string Stop = "stop";
    }
}

/// <summary>What the server says of one of its exports.</summary>
public sealed record ServedExport
{
    /// <summary>Its name.</summary>
    public required string Name { get; init; }

    /// <summary>Its identity.</summary>
    public required Guid Uuid { get; init; }

    /// <summary>opening, open, live or stopping.</summary>
    public required string State { get; init; }

    /// <summary>A device holds it (S-04).</summary>
    public bool Held { get; init; }

    /// <summary>The device that holds it, or held it last.</summary>
    public string Holder { get; init; } = "";

    /// <summary>Where its connections come from.</summary>
    public IReadOnlyList<string> Peers { get; init; } = [];
}

/// <summary>First line of the server on every connection.</summary>
public sealed record ServerHello
{
    /// <summary><see cref="ServerProtocol.Version"/> of the server.</summary>
    public required int Protocol { get; init; }

    /// <summary>Version of the program.</summary>
    public required string Version { get; init; }

    /// <summary>Process id.</summary>
    public required int Pid { get; init; }

    /// <summary>What it serves.</summary>
    public IReadOnlyList<ServedExport> Exports { get; init; } = [];

    /// <summary>What it lacks; null when nothing.</summary>
    public string? Warning { get; init; }
}

/// <summary>One request of dstd.</summary>
public sealed record ServerRequest
{
    /// <summary>Chosen by dstd, comes back in the reply.</summary>
    public required long RequestId { get; init; }

    /// <summary>A verb of <see cref="ServerProtocol.ServerCommand"/>.</summary>
    public required string Command { get; init; }

    /// <summary>The export, but for open-export, status and stop.</summary>
    public string? Name { get; init; }

    /// <summary>With open-export: what to make, or, with a layout inside, what to bring back.</summary>
    public ExportRecord? Record { get; init; }

    /// <summary>With close-export: end requests that nodes hold back with an error instead of waiting.</summary>
    public bool FailPending { get; init; }

    /// <summary>With close-export and release-export: how long requests in flight may take.</summary>
    public int? TimeoutMs { get; init; }
}

/// <summary>
/// One line from the server after its hello: the reply to a request, or an event when <see cref="RequestId"/> is null.
/// </summary>
public sealed record ServerReply
{
    /// <summary>The request this answers; null for an event.</summary>
    public long? RequestId { get; init; }

    /// <summary>Set when the request failed; the server has undone what the request did.</summary>
    public ControlError? Error { get; init; }

    /// <summary>With open-export: the layout to store before the commit.</summary>
    public ExportLayout? Layout { get; init; }

    /// <summary>With status: what is served.</summary>
    public IReadOnlyList<ServedExport>? Exports { get; init; }

    /// <summary>With close-export: what it leaves behind, a line for people each; null for nothing.</summary>
    public IReadOnlyList<string>? Notes { get; init; }

    /// <summary>Event: the export it is about.</summary>
    public string? Name { get; init; }

    /// <summary>Event: bytes of a new file that are preallocated.</summary>
    public long? ProgressBytes { get; init; }

    /// <summary>Event: bytes to preallocate in all.</summary>
    public long? ProgressTotalBytes { get; init; }

    /// <summary>Event: what the server waits for, for people.</summary>
    public string? Waiting { get; init; }
}
