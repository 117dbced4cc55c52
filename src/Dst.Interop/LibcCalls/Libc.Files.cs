using Tmds.Linux;

namespace Dst.Interop;

// Files: opening, reading, attributes, names, locks.
public static unsafe partial class Libc
{
    /// <summary>Opens a file. O_CLOEXEC is the caller's to give.</summary>
    /// <returns>The descriptor, or -errno.</returns>
    public static int Open(ReadOnlySpan<byte> path, int flags, uint mode = 0) =>
        Openat(LinuxAbi.AT_FDCWD, path, flags, mode);

    /// <inheritdoc cref="Open(ReadOnlySpan{byte}, int, uint)"/>
    public static int Open(string path, int flags, uint mode = 0) => Openat(LinuxAbi.AT_FDCWD, path, flags, mode);

    /// <summary>Opens a file below a directory.</summary>
    /// <returns>The descriptor, or -errno.</returns>
    public static int Openat(int dirFd, ReadOnlySpan<byte> path, int flags, uint mode = 0)
    {
        if (!IsTerminated(path))
        {
            return -Errno.EINVAL;
        }

        fixed (byte* p = path)
        {
            return Result(LibC.openat(dirFd, p, flags, (mode_t)mode));
        }
    }

    /// <inheritdoc cref="Openat(int, ReadOnlySpan{byte}, int, uint)"/>
    public static int Openat(int dirFd, string path, int flags, uint mode = 0)
    {
        Span<byte> buffer = stackalloc byte[MaxPathBytes];
        int length = Encode(path, buffer);
        return length < 0 ? length : Openat(dirFd, buffer[..length], flags, mode);
    }

    /// <summary>Closes a descriptor. Whatever it returns, the descriptor is gone: never call it twice.</summary>
    public static int Close(int fd) => Result(LibC.close(fd));

    /// <summary>Closes all descriptors from <paramref name="first"/> to <paramref name="last"/>.</summary>
    public static int CloseRange(uint first, uint last, uint flags = 0) =>
        (int)NativeMethods.Result(NativeMethods.Syscall(
            LinuxAbi.__NR_close_range, (nint)first, (nint)last, (nint)flags, 0, 0, 0));

    /// <summary>Reads at the descriptor's own position.</summary>
    /// <returns>Bytes read, 0 at the end, or -errno.</returns>
    public static long Read(int fd, Span<byte> buffer)
    {
        fixed (byte* p = buffer)
        {
            return Read(fd, p, (nuint)buffer.Length);
        }
    }

    /// <inheritdoc cref="Read(int, Span{byte})"/>
    public static long Read(int fd, void* buffer, nuint lengthBytes) =>
        Result((long)LibC.read(fd, buffer, (size_t)lengthBytes));

    /// <summary>Writes at the descriptor's own position.</summary>
    /// <returns>Bytes written, which may be fewer than asked, or -errno.</returns>
    public static long Write(int fd, ReadOnlySpan<byte> buffer)
    {
        fixed (byte* p = buffer)
        {
            return Write(fd, p, (nuint)buffer.Length);
        }
    }

    /// <inheritdoc cref="Write(int, ReadOnlySpan{byte})"/>
    public static long Write(int fd, void* buffer, nuint lengthBytes) =>
        Result((long)LibC.write(fd, buffer, (size_t)lengthBytes));

    /// <summary>Reads at an offset in bytes.</summary>
    /// <returns>Bytes read, 0 at the end, or -errno.</returns>
    public static long Pread(int fd, Span<byte> buffer, long offsetBytes)
    {
        fixed (byte* p = buffer)
        {
            return Pread(fd, p, (nuint)buffer.Length, offsetBytes);
        }
    }

    /// <inheritdoc cref="Pread(int, Span{byte}, long)"/>
    public static long Pread(int fd, void* buffer, nuint lengthBytes, long offsetBytes) =>
        Result((long)LibC.pread(fd, buffer, (size_t)lengthBytes, (off_t)offsetBytes));

    /// <summary>Writes at an offset in bytes.</summary>
    /// <returns>Bytes written, which may be fewer than asked, or -errno.</returns>
    public static long Pwrite(int fd, ReadOnlySpan<byte> buffer, long offsetBytes)
    {
        fixed (byte* p = buffer)
        {
            return Pwrite(fd, p, (nuint)buffer.Length, offsetBytes);
        }
    }

    /// <inheritdoc cref="Pwrite(int, ReadOnlySpan{byte}, long)"/>
    public static long Pwrite(int fd, void* buffer, nuint lengthBytes, long offsetBytes) =>
        Result((long)LibC.pwrite(fd, buffer, (size_t)lengthBytes, (off_t)offsetBytes));

    /// <summary>Reads at an offset with RWF_ flags.</summary>
    /// <returns>Bytes read, 0 at the end, or -errno.</returns>
    public static long Preadv2(int fd, IoVec* vectors, int count, long offsetBytes, uint rwFlags) =>
        NativeMethods.Result(NativeMethods.Preadv2(fd, vectors, count, offsetBytes, (int)rwFlags));

    /// <summary>Writes at an offset with RWF_ flags.</summary>
    /// <returns>Bytes written, or -errno.</returns>
    public static long Pwritev2(int fd, IoVec* vectors, int count, long offsetBytes, uint rwFlags) =>
        NativeMethods.Result(NativeMethods.Pwritev2(fd, vectors, count, offsetBytes, (int)rwFlags));

    /// <summary>Moves the descriptor's position; SEEK_DATA and SEEK_HOLE find allocated parts.</summary>
    public static long Lseek(int fd, long offsetBytes, int whence) =>
        Result((long)LibC.lseek(fd, (off_t)offsetBytes, whence));

    /// <summary>Makes data and attributes durable.</summary>
    public static int Fsync(int fd) => Result(LibC.fsync(fd));

    /// <summary>Makes data durable, and what is needed to read it.</summary>
    public static int Fdatasync(int fd) => Result(LibC.fdatasync(fd));

    /// <summary>Makes the whole file system of the descriptor durable.</summary>
    public static int Syncfs(int fd) => Result(LibC.syncfs(fd));

    /// <summary>Sets the length of a file.</summary>
    public static int Ftruncate(int fd, long lengthBytes) => Result(LibC.ftruncate(fd, (off_t)lengthBytes));

    /// <summary>Allocates, zeroes or frees a range of a file (FALLOC_FL_).</summary>
    public static int Fallocate(int fd, int mode, long offsetBytes, long lengthBytes) =>
        Result(LibC.fallocate(fd, mode, (off_t)offsetBytes, (off_t)lengthBytes));

    /// <summary>Asks a driver, with an argument that is a number.</summary>
    /// <returns>The driver's value, or -errno.</returns>
    public static int Ioctl(int fd, uint request, nint argument = 0) =>
        NativeMethods.Result(NativeMethods.Ioctl(fd, request, argument));

    /// <summary>Asks a driver, with an argument that it reads or fills.</summary>
    /// <returns>The driver's value, or -errno.</returns>
    public static int Ioctl<T>(int fd, uint request, ref T argument)
        where T : unmanaged
    {
        fixed (T* p = &argument)
        {
            return NativeMethods.Result(NativeMethods.Ioctl(fd, request, (nint)p));
        }
    }

    /// <summary>Asks for attributes of a name (STATX_).</summary>
    public static int Statx(int dirFd, ReadOnlySpan<byte> path, int flags, uint mask, out Statx result)
    {
        result = default;
        if (!IsTerminated(path))
        {
            return -Errno.EINVAL;
        }

        fixed (byte* p = path)
        fixed (Statx* r = &result)
        {
            return NativeMethods.Result(NativeMethods.Statx(dirFd, p, flags, mask, r));
        }
    }

    /// <inheritdoc cref="Statx(int, ReadOnlySpan{byte}, int, uint, out Interop.Statx)"/>
    public static int Statx(string path, int flags, uint mask, out Statx result)
    {
        Span<byte> buffer = stackalloc byte[MaxPathBytes];
        int length = Encode(path, buffer);
        if (length < 0)
        {
            result = default;
            return length;
        }

        return Statx(LinuxAbi.AT_FDCWD, buffer[..length], flags, mask, out result);
    }

    /// <summary>Asks for attributes of an open file (STATX_). Takes the place of fstat.</summary>
    public static int Fstatx(int fd, uint mask, out Statx result) =>
        Statx(fd, "\0"u8, LinuxAbi.AT_EMPTY_PATH, mask, out result);

    /// <summary>Asks which file system holds an open file.</summary>
    public static int Fstatfs(int fd, out StatFs result)
    {
        result = default;
        fixed (StatFs* r = &result)
        {
            return NativeMethods.Result(NativeMethods.Fstatfs(fd, r));
        }
    }

    /// <summary>Removes a name; with AT_REMOVEDIR an empty directory.</summary>
    public static int Unlinkat(int dirFd, ReadOnlySpan<byte> path, int flags = 0)
    {
        if (!IsTerminated(path))
        {
            return -Errno.EINVAL;
        }

        fixed (byte* p = path)
        {
            return Result(LibC.unlinkat(dirFd, p, flags));
        }
    }

    /// <inheritdoc cref="Unlinkat(int, ReadOnlySpan{byte}, int)"/>
    public static int Unlinkat(int dirFd, string path, int flags = 0)
    {
        Span<byte> buffer = stackalloc byte[MaxPathBytes];
        int length = Encode(path, buffer);
        return length < 0 ? length : Unlinkat(dirFd, buffer[..length], flags);
    }

    /// <summary>Renames in one step, over an existing name unless RENAME_NOREPLACE is given.</summary>
    public static int Renameat(
        int oldDirFd, ReadOnlySpan<byte> oldPath, int newDirFd, ReadOnlySpan<byte> newPath, uint flags = 0)
    {
        if (!IsTerminated(oldPath) || !IsTerminated(newPath))
        {
            return -Errno.EINVAL;
        }

        fixed (byte* from = oldPath)
        fixed (byte* to = newPath)
        {
            return NativeMethods.Result(NativeMethods.Renameat2(oldDirFd, from, newDirFd, to, flags));
        }
    }

    /// <inheritdoc cref="Renameat(int, ReadOnlySpan{byte}, int, ReadOnlySpan{byte}, uint)"/>
    public static int Renameat(int oldDirFd, string oldPath, int newDirFd, string newPath, uint flags = 0)
    {
        Span<byte> from = stackalloc byte[MaxPathBytes];
        Span<byte> to = stackalloc byte[MaxPathBytes];
        int fromLength = Encode(oldPath, from);
        int toLength = Encode(newPath, to);
        return int.Min(fromLength, toLength) < 0
            ? int.Min(fromLength, toLength)
            : Renameat(oldDirFd, from[..fromLength], newDirFd, to[..toLength], flags);
    }

    /// <summary>Gives a file a further name; with AT_SYMLINK_FOLLOW and /proc/self/fd/N, a file opened with O_TMPFILE.</summary>
    public static int Linkat(int oldDirFd, string oldPath, int newDirFd, string newPath, int flags)
    {
        Span<byte> from = stackalloc byte[MaxPathBytes];
        Span<byte> to = stackalloc byte[MaxPathBytes];
        int fromLength = Encode(oldPath, from);
        int toLength = Encode(newPath, to);
        if (int.Min(fromLength, toLength) < 0)
        {
            return int.Min(fromLength, toLength);
        }

        fixed (byte* f = from)
        fixed (byte* t = to)
        {
            return Result(LibC.linkat(oldDirFd, f, newDirFd, t, flags));
        }
    }

    /// <summary>Makes a symbolic link.</summary>
    /// <param name="target">What the link says.</param>
    /// <param name="dirFd">Directory that the name counts from.</param>
    /// <param name="path">Name of the link.</param>
    public static int Symlinkat(string target, int dirFd, string path)
    {
        Span<byte> says = stackalloc byte[MaxPathBytes];
        Span<byte> name = stackalloc byte[MaxPathBytes];
        int saysLength = Encode(target, says);
        int nameLength = Encode(path, name);
        if (int.Min(saysLength, nameLength) < 0)
        {
            return int.Min(saysLength, nameLength);
        }

        fixed (byte* s = says)
        fixed (byte* n = name)
        {
            return Result(LibC.symlinkat(s, dirFd, n));
        }
    }

    /// <summary>Reads what a symbolic link says, without a zero at its end.</summary>
    /// <returns>Bytes; as many as the buffer holds when the link may say more; or -errno.</returns>
    public static int Readlinkat(int dirFd, string path, Span<byte> target)
    {
        Span<byte> name = stackalloc byte[MaxPathBytes];
        int length = Encode(path, name);
        if (length < 0)
        {
            return length;
        }

        fixed (byte* n = name)
        fixed (byte* t = target)
        {
            return (int)Result((long)LibC.readlinkat(dirFd, n, t, (size_t)(ulong)target.Length));
        }
    }

    /// <summary>Makes a directory.</summary>
    public static int Mkdirat(int dirFd, string path, uint mode)
    {
        Span<byte> buffer = stackalloc byte[MaxPathBytes];
        int length = Encode(path, buffer);
        if (length < 0)
        {
            return length;
        }

        fixed (byte* p = buffer)
        {
            return Result(LibC.mkdirat(dirFd, p, (mode_t)mode));
        }
    }

    /// <summary>Sets the mode of an open file.</summary>
    public static int Fchmod(int fd, uint mode) => Result(LibC.fchmod(fd, (mode_t)mode));

    /// <summary>Descriptor flags, status flags, pipe sizes (F_).</summary>
    /// <returns>The command's value, or -errno.</returns>
    public static int Fcntl(int fd, int command, int argument = 0) => Result(LibC.fcntl(fd, command, argument));

    /// <summary>Record locks (F_OFD_SETLK, F_OFD_SETLKW, F_OFD_GETLK).</summary>
    /// <returns>0, or -errno: -EAGAIN where somebody else holds the range.</returns>
    public static int Fcntl(int fd, int command, ref FileLock range)
    {
        fixed (FileLock* p = &range)
        {
            return Result(LibC.fcntl(fd, command, p));
        }
    }

    /// <summary>Locks a whole file (LOCK_).</summary>
    public static int Flock(int fd, int operation) => NativeMethods.Result(NativeMethods.Flock(fd, operation));

    /// <summary>Makes a file without a name, in memory.</summary>
    /// <returns>The descriptor, or -errno.</returns>
    public static int MemfdCreate(ReadOnlySpan<byte> name, uint flags)
    {
        if (!IsTerminated(name))
        {
            return -Errno.EINVAL;
        }

        fixed (byte* n = name)
        {
            return NativeMethods.Result(NativeMethods.MemfdCreate(n, flags));
        }
    }

    /// <summary>Makes a pipe.</summary>
    public static int Pipe2(out int readFd, out int writeFd, int flags)
    {
        int* fds = stackalloc int[2];
        int result = Result(LibC.pipe2(fds, flags));
        (readFd, writeFd) = result < 0 ? (-1, -1) : (fds[0], fds[1]);
        return result;
    }

    /// <summary>Makes a counter that can be waited for (EFD_).</summary>
    /// <returns>The descriptor, or -errno.</returns>
    public static int Eventfd(uint initial, int flags) => Result(LibC.eventfd(initial, flags));

    /// <summary>Waits for descriptors.</summary>
    /// <param name="fds">What to wait for; the answers are written into it.</param>
    /// <param name="timeoutMs">Negative waits for ever.</param>
    /// <returns>Descriptors that have something to say, 0 after the time limit, or -errno.</returns>
    public static int Poll(Span<PollFd> fds, int timeoutMs)
    {
        fixed (PollFd* p = fds)
        {
            return NativeMethods.Result(NativeMethods.Poll(p, (nuint)fds.Length, timeoutMs));
        }
    }
}
