using System.Runtime.InteropServices;

namespace Dst.Interop;

#pragma warning disable CS1591 // the names are the kernel's own, and so is their meaning

/// <summary>How openat2 is to open a file.</summary>
[StructLayout(LayoutKind.Explicit, Size = 24)]
[NativeName("open_how")]
public struct OpenHow
{
    [FieldOffset(0), NativeName("flags")] public ulong Flags;
    [FieldOffset(8), NativeName("mode")] public ulong Mode;

    /// <summary>RESOLVE_ bits.</summary>
    [FieldOffset(16), NativeName("resolve")] public ulong Resolve;
}

/// <summary>Numbers of openat2 and of file attributes.</summary>
public static class OpenAbi
{
    public const int __NR_openat2 = 437;
    public const ulong RESOLVE_NO_XDEV = 1;
    public const ulong RESOLVE_NO_MAGICLINKS = 2;
    public const ulong RESOLVE_NO_SYMLINKS = 4;
    public const ulong RESOLVE_BENEATH = 8;
    public const ulong RESOLVE_IN_ROOT = 0x10ul;
    public const uint FS_IOC_SETFLAGS = 0x40086602u;
}

// Backings: opening with rules for the way there.
public static unsafe partial class Libc
{
    /// <summary>Opens a file and says how its path may be walked (D-10). O_CLOEXEC is the caller's to give.</summary>
    /// <param name="dirFd">Directory that a relative path counts from, or AT_FDCWD.</param>
    /// <param name="path">The file.</param>
    /// <param name="flags">O_ flags.</param>
    /// <param name="resolve">RESOLVE_ flags.</param>
    /// <returns>The descriptor, or -errno.</returns>
    public static int Openat2(int dirFd, string path, int flags, ulong resolve)
    {
        Span<byte> buffer = stackalloc byte[MaxPathBytes];
        int length = Encode(path, buffer);
        if (length < 0)
        {
            return length;
        }

        OpenHow how = new() { Flags = (uint)flags, Resolve = resolve };
        fixed (byte* p = buffer)
        {
            return (int)NativeMethods.Result(NativeMethods.Syscall(
                OpenAbi.__NR_openat2, dirFd, (nint)p, (nint)(&how), sizeof(OpenHow), 0, 0));
        }
    }
}
