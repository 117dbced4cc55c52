using System.Numerics;
using Dst.Interop;

namespace Dst.Ublk.Control;

/// <summary>What a disk shall look like to the kernel, in bytes; <see cref="ToKernel"/> turns it into the driver's sectors and shifts.</summary>
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

    /// <summary>The driver's form. Discard parameters need one segment and a granularity that is not 0 (C-07).</summary>
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
}
