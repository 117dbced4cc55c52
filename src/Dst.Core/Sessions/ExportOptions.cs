using Dst.Core.Wire;

namespace Dst.Core.Sessions;

/// <summary>What an export is, as its session needs it.</summary>
public sealed record ExportOptions
{
    /// <summary>Its name.</summary>
    public required WireText Name { get; init; }

    /// <summary>Its UUID, not 0, made with it (S-07).</summary>
    public required UInt128 Identity { get; init; }

    /// <summary>Size and limits.</summary>
    public required ExportGeometry Geometry { get; init; }

    /// <summary>What an acknowledgement means (S-21).</summary>
    public CacheMode Cache { get; init; }

    /// <summary>Drawn at the start of the process, not 0 (S-20).</summary>
    public required ulong BootId { get; init; }

    /// <summary>Most connections of the writer's session.</summary>
    public int ConnectionsMax { get; init; } = 16;

    /// <summary>Most slots of a connection; for each, an entry of the completed table is kept (S-10).</summary>
    public int SlotsMax { get; init; } = 256;

    /// <summary>Most connections that only read.</summary>
    public int ReadersMax { get; init; } = 64;
}
