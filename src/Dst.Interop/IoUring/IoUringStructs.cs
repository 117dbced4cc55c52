using System.Diagnostics.CodeAnalysis;
using System.Runtime.InteropServices;

namespace Dst.Interop;

#pragma warning disable CS1591 // fields mirror C members, which their attribute names

/// <summary>One submission of 64 bytes. Lives in the mapped ring; only the ring's owning thread writes it.</summary>
[StructLayout(LayoutKind.Explicit, Size = 64)]
[NativeName("io_uring_sqe")]
public struct IoUringSqe
{
    [FieldOffset(0), NativeName("opcode")] public byte Opcode;
    [FieldOffset(1), NativeName("flags")] public byte Flags;
    [FieldOffset(2), NativeName("ioprio")] public ushort Ioprio;
    [FieldOffset(4), NativeName("fd")] public int Fd;
    [FieldOffset(8), NativeName("off")] public ulong Off;
    [FieldOffset(8), NativeName("addr2")] public ulong Addr2;
    [FieldOffset(8), NativeName("cmd_op")] public uint CmdOp;
    [FieldOffset(16), NativeName("addr")] public ulong Addr;
    [FieldOffset(24), NativeName("len")] public uint Len;

    /// <summary>The union of per-opcode flags: rw_flags, fsync_flags, poll32_events, msg_flags, timeout_flags, …</summary>
    [FieldOffset(28), NativeName("rw_flags")] public uint OpFlags;
    [FieldOffset(32), NativeName("user_data")] public ulong UserData;
    [FieldOffset(40), NativeName("buf_index")] public ushort BufIndex;
    [FieldOffset(40), NativeName("buf_group")] public ushort BufGroup;
    [FieldOffset(42), NativeName("personality")] public ushort Personality;
    [FieldOffset(44), NativeName("file_index")] public uint FileIndex;
    [FieldOffset(48), NativeName("addr3")] public ulong Addr3;
    [FieldOffset(56), NativeName("__pad2")] public ulong Pad2;

    /// <summary>
    /// The 16 bytes of a URING_CMD in a 64-byte entry (a <see cref="UblkIoCmd"/> fits exactly).
    /// </summary>
    /// <typeparam name="T">Unmanaged, at most 16 bytes; the call does not compile to anything but an address.</typeparam>
    [UnscopedRef]
    public ref T Command<T>()
        where T : unmanaged => ref System.Runtime.CompilerServices.Unsafe.As<ulong, T>(ref Addr3);
}

/// <summary>One submission of 128 bytes (<c>IORING_SETUP_SQE128</c>): the same head, then 80 bytes of command.</summary>
[StructLayout(LayoutKind.Explicit, Size = 128)]
[NativeName("io_uring_sqe", ExtraBytes = 64)]
public struct IoUringSqe128
{
    [FieldOffset(0), NativeName("opcode")] public byte Opcode;
    [FieldOffset(1), NativeName("flags")] public byte Flags;
    [FieldOffset(2), NativeName("ioprio")] public ushort Ioprio;
    [FieldOffset(4), NativeName("fd")] public int Fd;
    [FieldOffset(8), NativeName("off")] public ulong Off;
    [FieldOffset(8), NativeName("cmd_op")] public uint CmdOp;
    [FieldOffset(16), NativeName("addr")] public ulong Addr;
    [FieldOffset(24), NativeName("len")] public uint Len;
    [FieldOffset(28), NativeName("rw_flags")] public uint OpFlags;
    [FieldOffset(32), NativeName("user_data")] public ulong UserData;
    [FieldOffset(40), NativeName("buf_index")] public ushort BufIndex;
    [FieldOffset(42), NativeName("personality")] public ushort Personality;
    [FieldOffset(44), NativeName("file_index")] public uint FileIndex;
    [FieldOffset(48), NativeName("cmd")] public CommandArea Cmd;

    /// <summary>The command area seen as a command structure such as <see cref="UblkCtrlCmd"/>.</summary>
    /// <typeparam name="T">Unmanaged, at most 80 bytes.</typeparam>
    [UnscopedRef]
    public ref T Command<T>()
        where T : unmanaged => ref System.Runtime.CompilerServices.Unsafe.As<CommandArea, T>(ref Cmd);

    /// <summary>80 bytes that only the receiving driver understands.</summary>
    [StructLayout(LayoutKind.Sequential, Size = 80)]
    public struct CommandArea
    {
        public ulong First;
    }
}

/// <summary>One completion of 16 bytes.</summary>
[StructLayout(LayoutKind.Sequential)]
[NativeName("io_uring_cqe")]
public struct IoUringCqe
{
    [NativeName("user_data")] public ulong UserData;
    [NativeName("res")] public int Res;
    [NativeName("flags")] public uint Flags;
}

/// <summary>Where the parts of the submission ring lie, in bytes from the start of its mapping.</summary>
[StructLayout(LayoutKind.Explicit, Size = 40)]
[NativeName("io_sqring_offsets")]
public struct SqRingOffsets
{
    [FieldOffset(0), NativeName("head")] public uint Head;
    [FieldOffset(4), NativeName("tail")] public uint Tail;
    [FieldOffset(8), NativeName("ring_mask")] public uint RingMask;
    [FieldOffset(12), NativeName("ring_entries")] public uint RingEntries;
    [FieldOffset(16), NativeName("flags")] public uint Flags;
    [FieldOffset(20), NativeName("dropped")] public uint Dropped;
    [FieldOffset(24), NativeName("array")] public uint Array;
    [FieldOffset(32), NativeName("user_addr")] public ulong UserAddr;
}

/// <summary>Where the parts of the completion ring lie, in bytes from the start of its mapping.</summary>
[StructLayout(LayoutKind.Explicit, Size = 40)]
[NativeName("io_cqring_offsets")]
public struct CqRingOffsets
{
    [FieldOffset(0), NativeName("head")] public uint Head;
    [FieldOffset(4), NativeName("tail")] public uint Tail;
    [FieldOffset(8), NativeName("ring_mask")] public uint RingMask;
    [FieldOffset(12), NativeName("ring_entries")] public uint RingEntries;
    [FieldOffset(16), NativeName("overflow")] public uint Overflow;
    [FieldOffset(20), NativeName("cqes")] public uint Cqes;
    [FieldOffset(24), NativeName("flags")] public uint Flags;
    [FieldOffset(32), NativeName("user_addr")] public ulong UserAddr;
}

/// <summary>What a ring shall be, and after setup what it is. Must be zeroed where not used.</summary>
[StructLayout(LayoutKind.Explicit, Size = 120)]
[NativeName("io_uring_params")]
public struct IoUringParams
{
    [FieldOffset(0), NativeName("sq_entries")] public uint SqEntries;
    [FieldOffset(4), NativeName("cq_entries")] public uint CqEntries;
    [FieldOffset(8), NativeName("flags")] public uint Flags;
    [FieldOffset(12), NativeName("sq_thread_cpu")] public uint SqThreadCpu;
    [FieldOffset(16), NativeName("sq_thread_idle")] public uint SqThreadIdle;
    [FieldOffset(20), NativeName("features")] public uint Features;
    [FieldOffset(24), NativeName("wq_fd")] public uint WqFd;
    [FieldOffset(40), NativeName("sq_off")] public SqRingOffsets SqOff;
    [FieldOffset(80), NativeName("cq_off")] public CqRingOffsets CqOff;
}

/// <summary>Head of the answer to <c>IORING_REGISTER_PROBE</c>; <see cref="IoUringProbeOp"/> entries follow it at once.</summary>
[StructLayout(LayoutKind.Explicit, Size = 16)]
[NativeName("io_uring_probe")]
public struct IoUringProbe
{
    /// <summary>Greatest opcode the kernel knows.</summary>
    [FieldOffset(0), NativeName("last_op")] public byte LastOp;

    /// <summary>Entries the kernel filled in.</summary>
    [FieldOffset(1), NativeName("ops_len")] public byte OpsLen;
}

/// <summary>One opcode in the answer to <c>IORING_REGISTER_PROBE</c>.</summary>
[StructLayout(LayoutKind.Explicit, Size = 8)]
[NativeName("io_uring_probe_op")]
public struct IoUringProbeOp
{
    [FieldOffset(0), NativeName("op")] public byte Op;
    [FieldOffset(2), NativeName("flags")] public ushort Flags;
}

/// <summary>Extended argument of io_uring_enter: signal mask and time limit.</summary>
[StructLayout(LayoutKind.Sequential)]
[NativeName("io_uring_getevents_arg")]
public struct GetEventsArg
{
    [NativeName("sigmask")] public ulong Sigmask;
    [NativeName("sigmask_sz")] public uint SigmaskSz;
    [NativeName("min_wait_usec")] public uint MinWaitUsec;

    /// <summary>Address of a <see cref="KernelTimespec"/>, or 0.</summary>
    [NativeName("ts")] public ulong Ts;
}

/// <summary>Seconds and nanoseconds as the kernel wants them on every architecture.</summary>
[StructLayout(LayoutKind.Sequential)]
[NativeName("__kernel_timespec")]
public struct KernelTimespec
{
    [NativeName("tv_sec")] public long TvSec;
    [NativeName("tv_nsec")] public long TvNsec;

    /// <summary>A span of <paramref name="timeNs"/> nanoseconds, not negative.</summary>
    public static KernelTimespec FromNanoseconds(long timeNs) =>
        new() { TvSec = timeNs / 1_000_000_000, TvNsec = timeNs % 1_000_000_000 };
}

/// <summary>Argument of <c>IORING_REGISTER_FILES_UPDATE</c>, and of ring-fd registration (fd in <see cref="Data"/>).</summary>
[StructLayout(LayoutKind.Explicit, Size = 16)]
[NativeName("io_uring_rsrc_update")]
public struct RsrcUpdate
{
    [FieldOffset(0), NativeName("offset")] public uint Offset;
    [FieldOffset(8), NativeName("data")] public ulong Data;
}

/// <summary>Argument of <c>IORING_REGISTER_FILES_UPDATE</c> under its older name.</summary>
[StructLayout(LayoutKind.Explicit, Size = 16)]
[NativeName("io_uring_files_update")]
public struct FilesUpdate
{
    [FieldOffset(0), NativeName("offset")] public uint Offset;
    [FieldOffset(8), NativeName("fds")] public ulong Fds;
}

/// <summary>Argument of the updates that carry tags.</summary>
[StructLayout(LayoutKind.Explicit, Size = 32)]
[NativeName("io_uring_rsrc_update2")]
public struct RsrcUpdate2
{
    [FieldOffset(0), NativeName("offset")] public uint Offset;
    [FieldOffset(8), NativeName("data")] public ulong Data;
    [FieldOffset(16), NativeName("tags")] public ulong Tags;
    [FieldOffset(24), NativeName("nr")] public uint Nr;
}

/// <summary>Argument of <c>IORING_REGISTER_FILES2</c> and <c>IORING_REGISTER_BUFFERS2</c>.</summary>
[StructLayout(LayoutKind.Explicit, Size = 32)]
[NativeName("io_uring_rsrc_register")]
public struct RsrcRegister
{
    [FieldOffset(0), NativeName("nr")] public uint Nr;
    [FieldOffset(4), NativeName("flags")] public uint Flags;
    [FieldOffset(16), NativeName("data")] public ulong Data;
    [FieldOffset(24), NativeName("tags")] public ulong Tags;
}

/// <summary>Argument of <c>IORING_REGISTER_SYNC_CANCEL</c>.</summary>
[StructLayout(LayoutKind.Explicit, Size = 64)]
[NativeName("io_uring_sync_cancel_reg")]
public struct SyncCancelReg
{
    [FieldOffset(0), NativeName("addr")] public ulong Addr;
    [FieldOffset(8), NativeName("fd")] public int Fd;
    [FieldOffset(12), NativeName("flags")] public uint Flags;
    [FieldOffset(16), NativeName("timeout")] public KernelTimespec Timeout;
    [FieldOffset(32), NativeName("opcode")] public byte Opcode;
}

/// <summary>Argument of <c>IORING_REGISTER_PBUF_RING</c>.</summary>
[StructLayout(LayoutKind.Explicit, Size = 40)]
[NativeName("io_uring_buf_reg")]
public struct BufReg
{
    [FieldOffset(0), NativeName("ring_addr")] public ulong RingAddr;
    [FieldOffset(8), NativeName("ring_entries")] public uint RingEntries;
    [FieldOffset(12), NativeName("bgid")] public ushort Bgid;
    [FieldOffset(14), NativeName("flags")] public ushort Flags;
}

/// <summary>One buffer of a provided-buffer ring.</summary>
[StructLayout(LayoutKind.Sequential)]
[NativeName("io_uring_buf")]
public struct UringBuf
{
    [NativeName("addr")] public ulong Addr;
    [NativeName("len")] public uint Len;
    [NativeName("bid")] public ushort Bid;

    /// <summary>In the first buffer of the ring this is the ring's tail.</summary>
    [NativeName("resv")] public ushort Resv;
}
