using System.Numerics;
using Dst.Interop;

namespace Dst.Ublk.Control;

/// <summary>
/// What a disk shall look like to the kernel, in bytes; <see cref="ToKernel"/> turns it into the driver's sectors and
/// shifts.
/// </summary>
public readonly record struct DeviceParameters
{
    private const int SectorShift = 9;

    /// <summary>Length of the disk, a multiple of the block size.</summary>
    public required long SizeBytes { get; init; }

    /// <summary>Logical block size, 512 or 4096.</summary>
    public required int BlockSizeBytes { get; init; }

    /// <summary>Largest read or write.</summary>
    public required int MaxIoBytes { get; init; }

    /// <summary>No request changes a block (C-12).</summary>
    public required bool ReadOnly { get; init; }

    /// <summary>Completed writes are durable only after FLUSH; FUA is understood (C-03).</summary>
    public required bool VolatileCache { get; init; }

    /// <summary>Largest discard, 0 for none (C-09).</summary>
    public required long MaxDiscardBytes { get; init; }

    /// <summary>Granularity of discards.</summary>
    public required int DiscardGranularityBytes { get; init; }

    /// <summary>Largest write-zeroes, 0 for none (C-09).</summary>
    public required long MaxWriteZeroesBytes { get; init; }

    /// <summary>
    /// The driver's form. Discard parameters need one segment and a granularity that is not 0 (C-07).
    /// </summary>
    public UblkParams ToKernel()
    {
        uint attributes = 0;
        attributes |= ReadOnly ? UblkAbi.UBLK_ATTR_READ_ONLY : 0;
        attributes |= VolatileCache ? UblkAbi.UBLK_ATTR_VOLATILE_CACHE | UblkAbi.UBLK_ATTR_FUA : 0;
        byte logicalShift = (byte)BitOperations.Log2((uint)BlockSizeBytes);
        byte pageShift = 12;
        UblkParams parameters = default;
        parameters.Types = UblkAbi.UBLK_PARAM_TYPE_BASIC;
        parameters.Basic = new UblkParamBasic
        {
            Attrs = attributes,
            LogicalBsShift = logicalShift,
            PhysicalBsShift = Math.Max(logicalShift, pageShift),
            IoMinShift = Math.Max(logicalShift, pageShift),
            IoOptShift = Math.Max(logicalShift, pageShift),
            MaxSectors = (uint)(MaxIoBytes >> SectorShift),
            DevSectors = (ulong)(SizeBytes >> SectorShift),
        };
        if (MaxDiscardBytes > 0 || MaxWriteZeroesBytes > 0)
        {
            parameters.Types |= UblkAbi.UBLK_PARAM_TYPE_DISCARD;
            parameters.Discard = new UblkParamDiscard
            {
                DiscardGranularity = (uint)Math.Max(DiscardGranularityBytes, BlockSizeBytes),
                MaxDiscardSectors = (uint)(MaxDiscardBytes >> SectorShift),
                MaxWriteZeroesSectors = (uint)(MaxWriteZeroesBytes >> SectorShift),
                MaxDiscardSegments = 1,
            };
        }

        return parameters;
    }

    /// <summary>
    /// Says how the parameters in force differ from those that were asked for; null when they do not.
    /// </summary>
    /// <param name="asked">What SET_PARAMS was given.</param>
    /// <param name="got">What GET_PARAMS tells. Device numbers, which the kernel adds, do not count.</param>
    public static string? Difference(in UblkParams asked, in UblkParams got)
    {
        List<string> differences = [];
        Compare("parts", asked.Types, got.Types & ~UblkAbi.UBLK_PARAM_TYPE_DEVT);
        Compare("attributes", asked.Basic.Attrs, got.Basic.Attrs);
        Compare("logical block shift", asked.Basic.LogicalBsShift, got.Basic.LogicalBsShift);
        Compare("physical block shift", asked.Basic.PhysicalBsShift, got.Basic.PhysicalBsShift);
        Compare("optimal I/O shift", asked.Basic.IoOptShift, got.Basic.IoOptShift);
        Compare("smallest I/O shift", asked.Basic.IoMinShift, got.Basic.IoMinShift);
        Compare("max sectors", asked.Basic.MaxSectors, got.Basic.MaxSectors);
        Compare("chunk sectors", asked.Basic.ChunkSectors, got.Basic.ChunkSectors);
        Compare("sectors", asked.Basic.DevSectors, got.Basic.DevSectors);
        Compare("boundary mask", asked.Basic.VirtBoundaryMask, got.Basic.VirtBoundaryMask);
        if ((asked.Types & UblkAbi.UBLK_PARAM_TYPE_DISCARD) != 0)
        {
            Compare("discard alignment", asked.Discard.DiscardAlignment, got.Discard.DiscardAlignment);
            Compare("discard granularity", asked.Discard.DiscardGranularity, got.Discard.DiscardGranularity);
            Compare("discard sectors", asked.Discard.MaxDiscardSectors, got.Discard.MaxDiscardSectors);
            Compare("write-zeroes sectors", asked.Discard.MaxWriteZeroesSectors, got.Discard.MaxWriteZeroesSectors);
            Compare("discard segments", asked.Discard.MaxDiscardSegments, got.Discard.MaxDiscardSegments);
        }

        return differences.Count == 0 ? null : string.Join(", ", differences);

        void Compare(string what, ulong wanted, ulong found)
        {
            if (wanted != found)
            {
                differences.Add($"{what} {found} instead of {wanted}");
            }
        }
    }
}
