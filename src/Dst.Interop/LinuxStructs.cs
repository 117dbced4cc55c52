using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Dst.Interop;

#pragma warning disable CS1591 // fields mirror C members, which their attribute names

/// <summary>A point in time of a file.</summary>
[StructLayout(LayoutKind.Explicit, Size = 16)]
[NativeName("statx_timestamp")]
public struct StatxTimestamp
{
    [FieldOffset(0), NativeName("tv_sec")] public long TvSec;
    [FieldOffset(8), NativeName("tv_nsec")] public uint TvNsec;
}

/// <summary>Attributes of a file. A field counts only when its bit is in <see cref="Mask"/>.</summary>
[StructLayout(LayoutKind.Explicit, Size = 256)]
[NativeName("statx")]
public struct Statx
{
    /// <summary>STATX_ bits of the fields that are valid.</summary>
    [FieldOffset(0x00), NativeName("stx_mask")] public uint Mask;
    [FieldOffset(0x04), NativeName("stx_blksize")] public uint Blksize;
    [FieldOffset(0x08), NativeName("stx_attributes")] public ulong Attributes;
    [FieldOffset(0x10), NativeName("stx_nlink")] public uint Nlink;
    [FieldOffset(0x14), NativeName("stx_uid")] public uint Uid;
    [FieldOffset(0x18), NativeName("stx_gid")] public uint Gid;
    [FieldOffset(0x1c), NativeName("stx_mode")] public ushort Mode;
    [FieldOffset(0x20), NativeName("stx_ino")] public ulong Ino;
    [FieldOffset(0x28), NativeName("stx_size")] public ulong Size;

    /// <summary>Allocated, in units of 512 bytes.</summary>
    [FieldOffset(0x30), NativeName("stx_blocks")] public ulong Blocks;
    [FieldOffset(0x38), NativeName("stx_attributes_mask")] public ulong AttributesMask;
    [FieldOffset(0x40), NativeName("stx_atime")] public StatxTimestamp Atime;
    [FieldOffset(0x50), NativeName("stx_btime")] public StatxTimestamp Btime;
    [FieldOffset(0x60), NativeName("stx_ctime")] public StatxTimestamp Ctime;
    [FieldOffset(0x70), NativeName("stx_mtime")] public StatxTimestamp Mtime;
    [FieldOffset(0x80), NativeName("stx_rdev_major")] public uint RdevMajor;
    [FieldOffset(0x84), NativeName("stx_rdev_minor")] public uint RdevMinor;
    [FieldOffset(0x88), NativeName("stx_dev_major")] public uint DevMajor;
    [FieldOffset(0x8c), NativeName("stx_dev_minor")] public uint DevMinor;
    [FieldOffset(0x90), NativeName("stx_mnt_id")] public ulong MntId;
    [FieldOffset(0x98), NativeName("stx_dio_mem_align")] public uint DioMemAlign;
    [FieldOffset(0x9c), NativeName("stx_dio_offset_align")] public uint DioOffsetAlign;
    [FieldOffset(0xa0), NativeName("stx_subvol")] public ulong Subvol;
    [FieldOffset(0xa8), NativeName("stx_atomic_write_unit_min")] public uint AtomicWriteUnitMin;
    [FieldOffset(0xac), NativeName("stx_atomic_write_unit_max")] public uint AtomicWriteUnitMax;
    [FieldOffset(0xb0), NativeName("stx_atomic_write_segments_max")] public uint AtomicWriteSegmentsMax;
    [FieldOffset(0xb4), NativeName("stx_dio_read_offset_align")] public uint DioReadOffsetAlign;
    [FieldOffset(0xb8), NativeName("stx_atomic_write_unit_max_opt")] public uint AtomicWriteUnitMaxOpt;
}

/// <summary>A byte range lock; of an open file description with F_OFD_SETLK, where <see cref="Pid"/> must be 0.</summary>
[StructLayout(LayoutKind.Explicit, Size = 32)]
[NativeName("flock")]
public struct FileLock
{
    /// <summary>F_RDLCK, F_WRLCK or F_UNLCK.</summary>
    [FieldOffset(0), NativeName("l_type")] public short Type;
    [FieldOffset(2), NativeName("l_whence")] public short Whence;
    [FieldOffset(8), NativeName("l_start")] public long Start;

    /// <summary>Bytes; 0 means to the end, however far it moves.</summary>
    [FieldOffset(16), NativeName("l_len")] public long Len;

    /// <summary>Answer of F_OFD_GETLK: the holder, or -1 when it holds an open file description lock.</summary>
    [FieldOffset(24), NativeName("l_pid")] public int Pid;
}

/// <summary>A descriptor to poll.</summary>
[StructLayout(LayoutKind.Sequential)]
[NativeName("pollfd")]
public struct PollFd
{
    [NativeName("fd")] public int Fd;
    [NativeName("events")] public short Events;
    [NativeName("revents")] public short Revents;
}

/// <summary>A buffer of a vectored call.</summary>
[StructLayout(LayoutKind.Sequential)]
[NativeName("iovec")]
public struct IoVec
{
    /// <summary>Address.</summary>
    [NativeName("iov_base")] public nint Base;

    /// <summary>Bytes.</summary>
    [NativeName("iov_len")] public nuint Len;
}

/// <summary>A message of sendmsg and recvmsg.</summary>
[StructLayout(LayoutKind.Explicit, Size = 56)]
[NativeName("msghdr")]
public struct MsgHdr
{
    [FieldOffset(0), NativeName("msg_name")] public nint Name;
    [FieldOffset(8), NativeName("msg_namelen")] public uint NameLen;
    [FieldOffset(16), NativeName("msg_iov")] public nint Iov;
    [FieldOffset(24), NativeName("msg_iovlen")] public nuint IovLen;
    [FieldOffset(32), NativeName("msg_control")] public nint Control;
    [FieldOffset(40), NativeName("msg_controllen")] public nuint ControlLen;
    [FieldOffset(48), NativeName("msg_flags")] public int Flags;
}

/// <summary>A resource limit.</summary>
[StructLayout(LayoutKind.Sequential)]
[NativeName("rlimit")]
public struct ResourceLimit
{
    /// <summary>Soft limit, or RLIM_INFINITY.</summary>
    [NativeName("rlim_cur")] public ulong Current;

    /// <summary>Hard limit, or RLIM_INFINITY.</summary>
    [NativeName("rlim_max")] public ulong Maximum;
}

/// <summary>Whose capabilities are asked for.</summary>
[StructLayout(LayoutKind.Sequential)]
[NativeName("__user_cap_header_struct")]
public struct CapabilityHeader
{
    [NativeName("version")] public uint Version;

    /// <summary>Thread id; 0 is the caller.</summary>
    [NativeName("pid")] public int Pid;
}

/// <summary>32 capabilities; version 3 uses two of these.</summary>
[StructLayout(LayoutKind.Sequential)]
[NativeName("__user_cap_data_struct")]
public struct CapabilityData
{
    [NativeName("effective")] public uint Effective;
    [NativeName("permitted")] public uint Permitted;
    [NativeName("inheritable")] public uint Inheritable;
}

/// <summary>Credentials of a Unix socket's peer (SO_PEERCRED).</summary>
[StructLayout(LayoutKind.Sequential)]
[NativeName("ucred")]
public struct PeerCredentials
{
    [NativeName("pid")] public int Pid;
    [NativeName("uid")] public uint Uid;
    [NativeName("gid")] public uint Gid;
}

/// <summary>Names of the running system.</summary>
[StructLayout(LayoutKind.Explicit, Size = 390)]
[NativeName("utsname")]
public struct UtsName
{
    [FieldOffset(0), NativeName("sysname")] public NameBytes Sysname;
    [FieldOffset(65), NativeName("nodename")] public NameBytes Nodename;

    /// <summary>Release of the kernel, <c>6.12.48-cloud-amd64</c>.</summary>
    [FieldOffset(130), NativeName("release")] public NameBytes Release;
    [FieldOffset(195), NativeName("version")] public NameBytes Version;
    [FieldOffset(260), NativeName("machine")] public NameBytes Machine;

    /// <summary>A name of at most 64 bytes, ended by a zero.</summary>
    [InlineArray(65)]
    [SuppressMessage("Usage", "CA1823:Avoid unused private fields", Justification = "element of the inline array")]
    public struct NameBytes
    {
        private byte _first;
    }
}

/// <summary>What a file system is and has.</summary>
[StructLayout(LayoutKind.Explicit, Size = 120)]
[NativeName("statfs")]
public struct StatFs
{
    /// <summary>Kind of the file system: one of the _MAGIC numbers.</summary>
    [FieldOffset(0), NativeName("f_type")] public long Type;
    [FieldOffset(8), NativeName("f_bsize")] public long BlockSize;
    [FieldOffset(16), NativeName("f_blocks")] public ulong Blocks;
    [FieldOffset(24), NativeName("f_bfree")] public ulong BlocksFree;
    [FieldOffset(32), NativeName("f_bavail")] public ulong BlocksAvailable;
    [FieldOffset(56), NativeName("f_fsid")] public ulong FsId;
    [FieldOffset(80), NativeName("f_flags")] public long Flags;
}
