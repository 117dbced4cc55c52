using Tmds.Linux;

namespace Dst.Interop;

// Memory: mapping, advice, locking.
public static unsafe partial class Libc
{
    /// <summary>Maps memory.</summary>
    /// <returns>The address (always positive), or -errno.</returns>
    public static nint Mmap(nint address, nuint lengthBytes, int protection, int flags, int fd, long offsetBytes)
    {
        void* mapped = LibC.mmap((void*)address, (size_t)lengthBytes, protection, flags, fd, (off_t)offsetBytes);
        return (nint)mapped == -1 ? LastError() : (nint)mapped;
    }

    /// <summary>Unmaps memory.</summary>
    public static int Munmap(nint address, nuint lengthBytes) =>
        Result(LibC.munmap((void*)address, (size_t)lengthBytes));

    /// <summary>Advises the kernel of a range (MADV_); MADV_POPULATE_WRITE gives it pages now or says why not.</summary>
    public static int Madvise(nint address, nuint lengthBytes, int advice) =>
        Result(LibC.madvise((void*)address, (size_t)lengthBytes, advice));

    /// <summary>Keeps a range in memory.</summary>
    public static int Mlock(nint address, nuint lengthBytes) => Result(LibC.mlock((void*)address, (size_t)lengthBytes));

    /// <summary>Keeps a range in memory, with MLOCK_ONFAULT only what is touched.</summary>
    public static int Mlock2(nint address, nuint lengthBytes, int flags) =>
        NativeMethods.Result(NativeMethods.Mlock2((void*)address, lengthBytes, flags));

    /// <summary>Lets a range be swapped out again.</summary>
    public static int Munlock(nint address, nuint lengthBytes) =>
        Result(LibC.munlock((void*)address, (size_t)lengthBytes));

    /// <summary>Keeps all memory of the process in memory (MCL_).</summary>
    public static int Mlockall(int flags) => Result(LibC.mlockall(flags));
}
