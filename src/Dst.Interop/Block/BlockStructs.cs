using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Dst.Interop;

#pragma warning disable CS1591 // fields mirror C members, which their attribute names

/// <summary>Answer of <c>FS_IOC_GETFSUUID</c>: the lasting identity of a file system (D-10).</summary>
[StructLayout(LayoutKind.Explicit, Size = 17)]
[NativeName("fsuuid2")]
public struct FsUuid2
{
    /// <summary>Bytes of <see cref="Uuid"/> that count.</summary>
    [FieldOffset(0), NativeName("len")] public byte Len;
    [FieldOffset(1), NativeName("uuid")] public UuidBytes Uuid;

    /// <summary>16 bytes in the order of the text form.</summary>
    [InlineArray(16)]
    [SuppressMessage("Usage", "CA1823:Avoid unused private fields", Justification = "element of the inline array")]
    public struct UuidBytes
    {
        private byte _first;
    }
}

/// <summary>What backs a loop device.</summary>
[StructLayout(LayoutKind.Explicit, Size = 232)]
[NativeName("loop_info64")]
public struct LoopInfo64
{
    /// <summary>Device number of the file system that holds the backing file.</summary>
    [FieldOffset(0), NativeName("lo_device")] public ulong Device;
    [FieldOffset(8), NativeName("lo_inode")] public ulong Inode;
    [FieldOffset(16), NativeName("lo_rdevice")] public ulong Rdevice;
    [FieldOffset(24), NativeName("lo_offset")] public ulong Offset;
    [FieldOffset(32), NativeName("lo_sizelimit")] public ulong Sizelimit;
    [FieldOffset(40), NativeName("lo_number")] public uint Number;
    [FieldOffset(52), NativeName("lo_flags")] public uint Flags;
    [FieldOffset(56), NativeName("lo_file_name")] public NameBytes FileName;

    /// <summary>A name of at most 63 bytes, ended by a zero.</summary>
    [InlineArray(BlockAbi.LO_NAME_SIZE)]
    [SuppressMessage("Usage", "CA1823:Avoid unused private fields", Justification = "element of the inline array")]
    public struct NameBytes
    {
        private byte _first;
    }
}
