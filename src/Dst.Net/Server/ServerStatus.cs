using Dst.Core.Wire;
using Dst.Net.Server.Engine;
using Dst.Nodes.Engine;

namespace Dst.Net.Server;

/// <summary>A server at one moment.</summary>
public sealed record ServerStatus
{
    /// <summary>Drawn at the start of the process (S-20).</summary>
    public required ulong BootId { get; init; }

    /// <summary>Addresses it listens on, with real ports.</summary>
    public required IReadOnlyList<string> Listening { get; init; }

    /// <summary>Connections in whatever state.</summary>
    public required int Connections { get; init; }

    /// <summary>Of these, those that have not attached (S-32).</summary>
    public required int Unattached { get; init; }

    /// <summary>Lines about peers that the log was spared.</summary>
    public required long SuppressedLogLines { get; init; }

    /// <summary>The exports.</summary>
    public required IReadOnlyList<ExportStatus> Exports { get; init; }
}

/// <summary>An export at one moment.</summary>
public sealed record ExportStatus
{
    /// <summary>Its name.</summary>
    public required string Name { get; init; }

    /// <summary>As it was made.</summary>
    public required ExportSettings Settings { get; init; }

    /// <summary>Size and limits.</summary>
    public required ExportGeometry Geometry { get; init; }

    /// <summary>Its part of the payload budget (S-31).</summary>
    public required long MemoryBytes { get; init; }

    /// <summary>Epoch of the running session; 0 without.</summary>
    public required ulong Epoch { get; init; }

    /// <summary>Newest epoch that a client has begun; what a take-over names.</summary>
    public required ulong UsedEpoch { get; init; }

    /// <summary>A device holds it (S-04).</summary>
    public required bool IsHeld { get; init; }

    /// <summary>Name and address of the device that holds it, or held it last.</summary>
    public required string Holder { get; init; }

    /// <summary>Requests of an ended session are with the disk (S-05).</summary>
    public required bool IsDraining { get; init; }

    /// <summary>Requests of the writer that the disk has.</summary>
    public required int InFlight { get; init; }

    /// <summary>Flushes fail (S-24).</summary>
    public required bool IsPoisoned { get; init; }

    /// <summary>Boot id that clients are told.</summary>
    public required ulong BootId { get; init; }

    /// <summary>Failed changes and flushes so far (S-20).</summary>
    public required ulong WriteErrorGeneration { get; init; }

    /// <summary>Its connections.</summary>
    public required IReadOnlyList<ConnectionStatus> Connections { get; init; }

    /// <summary>Counters of its engine threads; live objects, readable at any time by any thread until the export is removed.</summary>
    public required IReadOnlyList<EngineStatus> Engines { get; init; }
}

/// <summary>A connection at one moment.</summary>
/// <param name="Id">Its number.</param>
/// <param name="Peer">Where it comes from.</param>
/// <param name="Epoch">Epoch of its session; 0 for one that only reads.</param>
/// <param name="IsLive">Requests may come.</param>
/// <param name="InFlight">Requests that the disk has.</param>
public sealed record ConnectionStatus(int Id, string Peer, ulong Epoch, bool IsLive, int InFlight);

/// <summary>Counters of an engine thread.</summary>
/// <param name="Queue">Requests and legs, with latencies.</param>
/// <param name="Net">Bytes and what went wrong.</param>
public sealed record EngineStatus(VolumeQueue Queue, EngineCounters Net);
