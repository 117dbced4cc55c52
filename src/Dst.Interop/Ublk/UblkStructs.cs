using System.Runtime.InteropServices;

namespace Dst.Interop;

#pragma warning disable CS1591 // fields mirror C members, which their attribute names

/// <summary>A control command, in the command area of a 128-byte submission to /dev/ublk-control.</summary>
[StructLayout(LayoutKind.Explicit, Size = 32)]
[NativeName("ublksrv_ctrl_cmd")]
public struct UblkCtrlCmd
{
    [FieldOffset(0), NativeName("dev_id")] public uint DevId;

    /// <summary>65535 for commands that concern no queue.</summary>
    [FieldOffset(4), NativeName("queue_id")] public ushort QueueId;

    /// <summary>Bytes at <see cref="Addr"/>.</summary>
    [FieldOffset(6), NativeName("len")] public ushort Len;
    [FieldOffset(8), NativeName("addr")] public ulong Addr;

    /// <summary>The one inline argument of the command.</summary>
    [FieldOffset(16), NativeName("data")] public ulong Data;
    [FieldOffset(24), NativeName("dev_path_len")] public ushort DevPathLen;
}

/// <summary>What a device is: asked for at ADD_DEV, answered by GET_DEV_INFO2.</summary>
[StructLayout(LayoutKind.Explicit, Size = 64)]
[NativeName("ublksrv_ctrl_dev_info")]
public struct UblkCtrlDevInfo
{
    [FieldOffset(0), NativeName("nr_hw_queues")] public ushort NrHwQueues;
    [FieldOffset(2), NativeName("queue_depth")] public ushort QueueDepth;

    /// <summary>One of UBLK_S_DEV_.</summary>
    [FieldOffset(4), NativeName("state")] public ushort State;
    [FieldOffset(8), NativeName("max_io_buf_bytes")] public uint MaxIoBufBytes;
    [FieldOffset(12), NativeName("dev_id")] public uint DevId;
    [FieldOffset(16), NativeName("ublksrv_pid")] public int UblksrvPid;

    /// <summary>UBLK_F_ bits; read back after ADD_DEV, the kernel drops what it does not know.</summary>
    [FieldOffset(24), NativeName("flags")] public ulong Flags;
    [FieldOffset(32), NativeName("ublksrv_flags")] public ulong UblksrvFlags;
    [FieldOffset(40), NativeName("owner_uid")] public uint OwnerUid;
    [FieldOffset(44), NativeName("owner_gid")] public uint OwnerGid;
}

/// <summary>One request, in the read-only shared array of its queue at [tag].</summary>
[StructLayout(LayoutKind.Explicit, Size = 24)]
[NativeName("ublksrv_io_desc")]
public struct UblkIoDesc
{
    /// <summary>Operation in bits 0-7, UBLK_IO_F_ bits above.</summary>
    [FieldOffset(0), NativeName("op_flags")] public uint OpFlags;
    [FieldOffset(4), NativeName("nr_sectors")] public uint NrSectors;
    [FieldOffset(4), NativeName("nr_zones")] public uint NrZones;
    [FieldOffset(8), NativeName("start_sector")] public ulong StartSector;
    [FieldOffset(16), NativeName("addr")] public ulong Addr;

    /// <summary>One of UBLK_IO_OP_.</summary>
    public readonly uint Op => OpFlags & 0xff;
}

/// <summary>A fetch or commit of one tag, in the command area of a submission to /dev/ublkcN.</summary>
[StructLayout(LayoutKind.Explicit, Size = 16)]
[NativeName("ublksrv_io_cmd")]
public struct UblkIoCmd
{
    [FieldOffset(0), NativeName("q_id")] public ushort QId;
    [FieldOffset(2), NativeName("tag")] public ushort Tag;

    /// <summary>Bytes done, or -errno; read at commit only.</summary>
    [FieldOffset(4), NativeName("result")] public int Result;
    [FieldOffset(8), NativeName("addr")] public ulong Addr;
    [FieldOffset(8), NativeName("zone_append_lba")] public ulong ZoneAppendLba;
}

/// <summary>How a request's pages are registered as a fixed buffer by themselves; carried in the submission's addr.</summary>
[StructLayout(LayoutKind.Explicit, Size = 8)]
[NativeName("ublk_auto_buf_reg")]
public struct UblkAutoBufReg
{
    [FieldOffset(0), NativeName("index")] public ushort Index;
    [FieldOffset(2), NativeName("flags")] public byte Flags;
}

/// <summary>Head of one element of a batch.</summary>
[StructLayout(LayoutKind.Sequential)]
[NativeName("ublk_elem_header")]
public struct UblkElemHeader
{
    [NativeName("tag")] public ushort Tag;
    [NativeName("buf_index")] public ushort BufIndex;
    [NativeName("result")] public int Result;
}

/// <summary>A batch of fetches or commits.</summary>
[StructLayout(LayoutKind.Explicit, Size = 16)]
[NativeName("ublk_batch_io")]
public struct UblkBatchIo
{
    [FieldOffset(0), NativeName("q_id")] public ushort QId;
    [FieldOffset(2), NativeName("flags")] public ushort Flags;
    [FieldOffset(4), NativeName("nr_elem")] public ushort NrElem;
    [FieldOffset(6), NativeName("elem_bytes")] public byte ElemBytes;
}

/// <summary>Argument of UBLK_U_CMD_REG_BUF.</summary>
[StructLayout(LayoutKind.Explicit, Size = 24)]
[NativeName("ublk_shmem_buf_reg")]
public struct UblkShmemBufReg
{
    [FieldOffset(0), NativeName("addr")] public ulong Addr;
    [FieldOffset(8), NativeName("len")] public ulong Len;
    [FieldOffset(16), NativeName("flags")] public uint Flags;
}

/// <summary>Size, block sizes and cache of a device.</summary>
[StructLayout(LayoutKind.Sequential)]
[NativeName("ublk_param_basic")]
public struct UblkParamBasic
{
    /// <summary>UBLK_ATTR_ bits.</summary>
    [NativeName("attrs")] public uint Attrs;
    [NativeName("logical_bs_shift")] public byte LogicalBsShift;
    [NativeName("physical_bs_shift")] public byte PhysicalBsShift;
    [NativeName("io_opt_shift")] public byte IoOptShift;
    [NativeName("io_min_shift")] public byte IoMinShift;
    [NativeName("max_sectors")] public uint MaxSectors;
    [NativeName("chunk_sectors")] public uint ChunkSectors;
    [NativeName("dev_sectors")] public ulong DevSectors;
    [NativeName("virt_boundary_mask")] public ulong VirtBoundaryMask;
}

/// <summary>Limits of discard and write-zeroes.</summary>
[StructLayout(LayoutKind.Explicit, Size = 20)]
[NativeName("ublk_param_discard")]
public struct UblkParamDiscard
{
    [FieldOffset(0), NativeName("discard_alignment")] public uint DiscardAlignment;
    [FieldOffset(4), NativeName("discard_granularity")] public uint DiscardGranularity;
    [FieldOffset(8), NativeName("max_discard_sectors")] public uint MaxDiscardSectors;
    [FieldOffset(12), NativeName("max_write_zeroes_sectors")] public uint MaxWriteZeroesSectors;
    [FieldOffset(16), NativeName("max_discard_segments")] public ushort MaxDiscardSegments;
}

/// <summary>Device numbers, told by the kernel.</summary>
[StructLayout(LayoutKind.Sequential)]
[NativeName("ublk_param_devt")]
public struct UblkParamDevt
{
    [NativeName("char_major")] public uint CharMajor;
    [NativeName("char_minor")] public uint CharMinor;
    [NativeName("disk_major")] public uint DiskMajor;
    [NativeName("disk_minor")] public uint DiskMinor;
}

/// <summary>Limits of a zoned device.</summary>
[StructLayout(LayoutKind.Explicit, Size = 32)]
[NativeName("ublk_param_zoned")]
public struct UblkParamZoned
{
    [FieldOffset(0), NativeName("max_open_zones")] public uint MaxOpenZones;
    [FieldOffset(4), NativeName("max_active_zones")] public uint MaxActiveZones;
    [FieldOffset(8), NativeName("max_zone_append_sectors")] public uint MaxZoneAppendSectors;
}

/// <summary>Alignment of request memory.</summary>
[StructLayout(LayoutKind.Explicit, Size = 8)]
[NativeName("ublk_param_dma_align")]
public struct UblkParamDmaAlign
{
    /// <summary>Bytes less one, as a mask.</summary>
    [FieldOffset(0), NativeName("alignment")] public uint Alignment;
}

/// <summary>Limits of the segments of a request; all three are set or none.</summary>
[StructLayout(LayoutKind.Explicit, Size = 16)]
[NativeName("ublk_param_segment")]
public struct UblkParamSegment
{
    [FieldOffset(0), NativeName("seg_boundary_mask")] public ulong SegBoundaryMask;
    [FieldOffset(8), NativeName("max_segment_size")] public uint MaxSegmentSize;
    [FieldOffset(12), NativeName("max_segments")] public ushort MaxSegments;
}

/// <summary>Protection information of a device.</summary>
[StructLayout(LayoutKind.Explicit, Size = 16)]
[NativeName("ublk_param_integrity")]
public struct UblkParamIntegrity
{
    [FieldOffset(0), NativeName("flags")] public uint Flags;
    [FieldOffset(4), NativeName("max_integrity_segments")] public ushort MaxIntegritySegments;
    [FieldOffset(6), NativeName("interval_exp")] public byte IntervalExp;
    [FieldOffset(7), NativeName("metadata_size")] public byte MetadataSize;
    [FieldOffset(8), NativeName("pi_offset")] public byte PiOffset;
    [FieldOffset(9), NativeName("csum_type")] public byte CsumType;
    [FieldOffset(10), NativeName("tag_size")] public byte TagSize;
}

/// <summary>All parameters of a device. An older kernel reads and writes only the head that it knows.</summary>
[StructLayout(LayoutKind.Sequential)]
[NativeName("ublk_params")]
public struct UblkParams
{
    /// <summary>Size of this structure in bytes, to be set for both SET_PARAMS and GET_PARAMS.</summary>
    [NativeName("len")] public uint Len;

    /// <summary>UBLK_PARAM_TYPE_ bits of the parts that count.</summary>
    [NativeName("types")] public uint Types;
    [NativeName("basic")] public UblkParamBasic Basic;
    [NativeName("discard")] public UblkParamDiscard Discard;
    [NativeName("devt")] public UblkParamDevt Devt;
    [NativeName("zoned")] public UblkParamZoned Zoned;
    [NativeName("dma")] public UblkParamDmaAlign Dma;
    [NativeName("seg")] public UblkParamSegment Seg;
    [NativeName("integrity")] public UblkParamIntegrity Integrity;
}
