using System.Text;
using Dst.Interop;

namespace Dst.Nodes.Backings;

/// <summary>The system calls of this folder in the shapes it wants; each gives a value or -errno. Any thread.</summary>
internal static class Native
{
    private const uint StatMask = LinuxAbi.STATX_BASIC_STATS | LinuxAbi.STATX_BTIME | LinuxAbi.STATX_MNT_ID
        | LinuxAbi.STATX_DIOALIGN;

    private const int MaxLinkBytes = 4096;

    /// <summary>Unit of stx_blocks, whatever the file system's own.</summary>
    private const int StatBlockBytes = 512;

    private const int MaxInterrupts = 1000;

    /// <summary>Finds what a path leads to without opening it: neither FIFO nor device notices (D-10).</summary>
    /// <returns>
    /// A descriptor that only names the file, or -errno; -ELOOP for ways through /proc/PID/fd and the like.
    /// </returns>
    public static int Locate(string path, bool directory = false) =>
        Libc.Openat2(
            LinuxAbi.AT_FDCWD,
            path,
            LinuxAbi.O_PATH | LinuxAbi.O_CLOEXEC | (directory ? LinuxAbi.O_DIRECTORY : 0),
            OpenAbi.RESOLVE_NO_MAGICLINKS);

    /// <summary>Opens the very file that a descriptor names, however its path has changed meanwhile.</summary>
    public static int Reopen(int fd, int flags)
    {
        int result = -Errno.EINTR;
        for (int i = 0; i < MaxInterrupts && result == -Errno.EINTR; i++)
        {
            result = Libc.Open(SelfPath(fd), flags | LinuxAbi.O_CLOEXEC | LinuxAbi.O_NOCTTY);
        }

        return result;
    }

    /// <summary>Name of a descriptor in /proc.</summary>
    public static string SelfPath(int fd) => $"/proc/self/fd/{fd}";

    /// <summary>Path of an open file as the kernel knows it now, or null when it has none any more.</summary>
    public static string? PathOf(int fd)
    {
        string? path = ReadLink(SelfPath(fd));
        return path is null || !path.StartsWith('/') || path.EndsWith(" (deleted)", StringComparison.Ordinal)
            ? null
            : path;
    }

    /// <summary>What a symbolic link says, or null.</summary>
    public static string? ReadLink(string path)
    {
        byte[] target = new byte[MaxLinkBytes];
        int length = Libc.Readlinkat(LinuxAbi.AT_FDCWD, path, target);
        return length <= 0 || length == MaxLinkBytes ? null : Encoding.UTF8.GetString(target, 0, length);
    }

    /// <summary>Facts of an open or located file.</summary>
    public static int Stat(int fd, out FileFacts facts)
    {
        int result = Libc.Fstatx(fd, StatMask, out Statx raw);
        facts = ToFacts(raw);
        return result;
    }

    /// <summary>Facts of what a path leads to; automounts are left alone.</summary>
    public static int StatPath(string path, bool follow, out FileFacts facts)
    {
        int flags = LinuxAbi.AT_NO_AUTOMOUNT | (follow ? 0 : LinuxAbi.AT_SYMLINK_NOFOLLOW);
        int result = Libc.Statx(path, flags, StatMask, out Statx raw);
        facts = ToFacts(raw);
        return result;
    }

    /// <summary>Facts of what has a name in an open folder, a link not followed.</summary>
    public static int StatAt(int folder, string name, out FileFacts facts)
    {
        int flags = LinuxAbi.AT_NO_AUTOMOUNT | LinuxAbi.AT_SYMLINK_NOFOLLOW;
        int result = Libc.Statx(folder, [.. Encoding.UTF8.GetBytes(name), 0], flags, StatMask, out Statx raw);
        facts = ToFacts(raw);
        return result;
    }

    /// <summary>
    /// Sets, looks at or removes the lock of a whole file, held by the descriptor's open file description.
    /// </summary>
    public static int Lock(int fd, int command, short type, out int holderPid)
    {
        FileLock range = new() { Type = type };
        int result = Libc.Fcntl(fd, command, ref range);
        holderPid = range.Type == LinuxAbi.F_UNLCK ? 0 : range.Pid;
        return result;
    }

    /// <summary>A number that a block device driver answers with, or -errno.</summary>
    public static long AskDisk64(int fd, uint request)
    {
        long value = 0;
        int result = Libc.Ioctl(fd, request, ref value);
        return result < 0 ? result : value;
    }

    /// <inheritdoc cref="AskDisk64"/>
    public static int AskDisk32(int fd, uint request)
    {
        int value = 0;
        int result = Libc.Ioctl(fd, request, ref value);
        return result < 0 ? result : value;
    }

    /// <summary>Allocates a range, however often a signal comes first.</summary>
    public static int Fallocate(int fd, int mode, long offsetBytes, long lengthBytes)
    {
        int result = -Errno.EINTR;
        for (int i = 0; i < MaxInterrupts && result == -Errno.EINTR; i++)
        {
            result = Libc.Fallocate(fd, mode, offsetBytes, lengthBytes);
        }

        return result;
    }

    private static FileFacts ToFacts(in Statx raw) => new()
    {
        Mode = raw.Mode,
        FileSystem = new DeviceNumber(raw.DevMajor, raw.DevMinor),
        Disk = new DeviceNumber(raw.RdevMajor, raw.RdevMinor),
        Inode = raw.Ino,
        SizeBytes = (long)raw.Size,
        AllocatedBytes = (long)raw.Blocks * StatBlockBytes,
        Birth = (raw.Mask & LinuxAbi.STATX_BTIME) != 0 ? (raw.Btime.TvSec, raw.Btime.TvNsec) : null,
        MountId = (raw.Mask & LinuxAbi.STATX_MNT_ID) != 0 ? raw.MntId : null,
        DirectAlignment = (raw.Mask & LinuxAbi.STATX_DIOALIGN) != 0 ? (raw.DioOffsetAlign, raw.DioMemAlign) : null,
    };
}
