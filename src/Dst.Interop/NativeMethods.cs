using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Dst.Interop;

/// <summary>Imports that Tmds.LibC lacks, or has with structures of its own.</summary>
internal static unsafe partial class NativeMethods
{
    private const string Library = "libc.so.6";

    /// <summary>Turns -1 of a call just made on this thread into -errno.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static nint Result(nint value) => value == -1 ? -Marshal.GetLastPInvokeError() : value;

    /// <inheritdoc cref="Result(nint)"/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static int Result(int value) => value == -1 ? -Marshal.GetLastPInvokeError() : value;

    // syscall, prctl and fcntl are variadic in C. With integers and pointers only, a fixed signature passes the
    // same registers on x86-64 and arm64.
    [LibraryImport(Library, EntryPoint = "syscall", SetLastError = true)]
    internal static partial nint Syscall(nint number, nint a, nint b, nint c, nint d, nint e, nint f);

    [LibraryImport(Library, EntryPoint = "prctl", SetLastError = true)]
    internal static partial int Prctl(int option, nuint a, nuint b, nuint c, nuint d);

    [LibraryImport(Library, EntryPoint = "ioctl", SetLastError = true)]
    internal static partial int Ioctl(int fd, nuint request, nint argument);

    [LibraryImport(Library, EntryPoint = "gettid")]
    internal static partial int Gettid();

    [LibraryImport(Library, EntryPoint = "statx", SetLastError = true)]
    internal static partial int Statx(int dirFd, byte* path, int flags, uint mask, Statx* result);

    [LibraryImport(Library, EntryPoint = "fstatfs", SetLastError = true)]
    internal static partial int Fstatfs(int fd, StatFs* result);

    [LibraryImport(Library, EntryPoint = "statfs", SetLastError = true)]
    internal static partial int Statfs(byte* path, StatFs* result);

    [LibraryImport(Library, EntryPoint = "renameat2", SetLastError = true)]
    internal static partial int Renameat2(int oldDirFd, byte* oldPath, int newDirFd, byte* newPath, uint flags);

    [LibraryImport(Library, EntryPoint = "getrandom", SetLastError = true)]
    internal static partial nint Getrandom(void* buffer, nuint length, uint flags);

    [LibraryImport(Library, EntryPoint = "capget", SetLastError = true)]
    internal static partial int Capget(CapabilityHeader* header, CapabilityData* data);

    [LibraryImport(Library, EntryPoint = "poll", SetLastError = true)]
    internal static partial int Poll(PollFd* fds, nuint count, int timeoutMs);

    [LibraryImport(Library, EntryPoint = "uname", SetLastError = true)]
    internal static partial int Uname(UtsName* name);

    [LibraryImport(Library, EntryPoint = "clock_gettime", SetLastError = true)]
    internal static partial int ClockGettime(int clock, KernelTimespec* time);

    [LibraryImport(Library, EntryPoint = "flock", SetLastError = true)]
    internal static partial int Flock(int fd, int operation);

    [LibraryImport(Library, EntryPoint = "prlimit64", SetLastError = true)]
    internal static partial int Prlimit(int pid, int resource, ResourceLimit* newLimit, ResourceLimit* oldLimit);

    [LibraryImport(Library, EntryPoint = "mlock2", SetLastError = true)]
    internal static partial int Mlock2(void* address, nuint length, int flags);

    [LibraryImport(Library, EntryPoint = "memfd_create", SetLastError = true)]
    internal static partial int MemfdCreate(byte* name, uint flags);

    [LibraryImport(Library, EntryPoint = "preadv2", SetLastError = true)]
    internal static partial nint Preadv2(int fd, IoVec* vectors, int count, long offset, int flags);

    [LibraryImport(Library, EntryPoint = "pwritev2", SetLastError = true)]
    internal static partial nint Pwritev2(int fd, IoVec* vectors, int count, long offset, int flags);

    [LibraryImport(Library, EntryPoint = "sched_setaffinity", SetLastError = true)]
    internal static partial int SchedSetaffinity(int threadId, nuint size, void* mask);

    [LibraryImport(Library, EntryPoint = "sched_getaffinity", SetLastError = true)]
    internal static partial int SchedGetaffinity(int threadId, nuint size, void* mask);

    [LibraryImport(Library, EntryPoint = "sendmsg", SetLastError = true)]
    internal static partial nint Sendmsg(int fd, MsgHdr* message, int flags);

    [LibraryImport(Library, EntryPoint = "recvmsg", SetLastError = true)]
    internal static partial nint Recvmsg(int fd, MsgHdr* message, int flags);

    [LibraryImport(Library, EntryPoint = "getsockopt", SetLastError = true)]
    internal static partial int Getsockopt(int fd, int level, int option, void* value, uint* length);

    [LibraryImport(Library, EntryPoint = "setsockopt", SetLastError = true)]
    internal static partial int Setsockopt(int fd, int level, int option, void* value, uint length);
}
