using Dst.Core.Sessions;
using Dst.Core.Wire;
using Dst.Simulation.Plans;

namespace Dst.Simulation.Servers;

/// <summary>What stands under an export's name while its clients are away (S-07).</summary>
internal enum ExportChange
{
    /// <summary>The export that the clients know.</summary>
    None,

    /// <summary>Another export, or the same one made anew.</summary>
    Exchanged,

    /// <summary>A copy, made before its holder's newest epoch.</summary>
    Copied,

    /// <summary>It is smaller.</summary>
    Shrunk,

    /// <summary>It may not be written any more.</summary>
    ReadOnly,

    /// <summary>Its blocks are larger.</summary>
    LargerBlocks,

    /// <summary>Its longest request is shorter.</summary>
    SmallerRequests,

    /// <summary>It was write-through and is write-back.</summary>
    WriteBack,

    /// <summary>It is larger: that alone is no reason to refuse.</summary>
    Grown,
}

/// <summary>What a changed export looks like, and to whom it is another.</summary>
internal static class ExportChanges
{
    /// <summary>How many there are.</summary>
    public static int Count { get; } = Enum.GetValues<ExportChange>().Length;

    /// <summary>True when a client that knew the export must not use it like this.</summary>
    public static bool Forbids(ExportChange change, AccessKind access) => change switch
    {
        ExportChange.None or ExportChange.Grown => false,
        ExportChange.ReadOnly or ExportChange.WriteBack => access == AccessKind.ReadWrite,
        _ => true,
    };

    /// <summary>True when the server itself can tell from an ATTACH that names what its client remembers.</summary>
    public static bool IsSeenByServer(ExportChange change, AccessKind access) =>
        change is ExportChange.Exchanged or ExportChange.Shrunk
        || (change == ExportChange.ReadOnly && access == AccessKind.ReadWrite);

    /// <summary>The export as its server offers it.</summary>
    public static ExportOptions Of(ExportOptions options, ExportChange change)
    {
        ExportGeometry geometry = options.Geometry;
        const uint LargeBytes = 4096;
        ExportCapabilities readOnly = geometry.Capabilities | ExportCapabilities.ReadOnly;
        uint longestBytes = uint.Max(geometry.MaxRequestBytes, LargeBytes);
        return change switch
        {
            ExportChange.Exchanged => options with { Identity = options.Identity ^ 2 },
            ExportChange.Shrunk => options with
            {
                Geometry = geometry with { SizeBytes = geometry.SizeBytes - geometry.BlockBytes },
            },
            ExportChange.ReadOnly => options with { Geometry = geometry with { Capabilities = readOnly } },
            ExportChange.LargerBlocks => options with
            {
                Geometry = geometry with { BlockBytes = LargeBytes, MaxRequestBytes = longestBytes },
            },
            ExportChange.SmallerRequests => options with
            {
                Geometry = geometry with { MaxRequestBytes = geometry.MaxRequestBytes - Plan.BlockBytes },
            },
            ExportChange.WriteBack => options with { Cache = CacheMode.WriteBack },
            ExportChange.Grown => options with
            {
                Geometry = geometry with { SizeBytes = geometry.SizeBytes + geometry.BlockBytes },
            },
            _ => options,
        };
    }
}
