using System.Buffers.Binary;
using System.Numerics;
using System.Runtime.InteropServices;
using Dst.Interop;
using Dst.Nodes.Backings;

namespace Dst.Nodes.Marks;

/// <summary>Whether a node has lost writes.</summary>
/// <param name="IsPoisoned">No FLUSH and no FUA of the node may say ok.</param>
/// <param name="Errno">
/// What the flush failed with, positive; EIO where the record itself was damaged; 0 for a good node.
/// </param>
/// <param name="UnixTimeSeconds">When the record was written.</param>
/// <param name="IsDamaged">
/// The record had a bad checksum: until it is cleared nobody knows, so the node counts as poisoned.
/// </param>
public readonly record struct NodeMark(bool IsPoisoned, int Errno, long UnixTimeSeconds, bool IsDamaged);

/// <summary>The marks file of a device cannot be used; the message is one line for people.</summary>
/// <param name="message">One line for people.</param>
/// <param name="isOwned">Another process has them.</param>
public sealed class NodeMarksException(string message, bool isOwned = false) : Exception(message)
{
    /// <summary>Another process has them.</summary>
    public bool IsOwned { get; } = isOwned;
}

/// <summary>
/// The error marks of a device's nodes (C-16): a failed flush is on the disk before its answer leaves, and outlives
/// target, daemon and host. One record of 512 bytes per node, so that no write can tear two (C-14); all are written at
/// creation, so that no later one needs room. Used by one thread at a time; writes block, so never by a queue's.
/// </summary>
public sealed unsafe class NodeMarks : IDisposable
{
    /// <summary>Records of a file.</summary>
    public const int MaxNodes = 64;

    /// <summary>Bytes of a record.</summary>
    public const int RecordBytes = 512;

    /// <summary>Newest format that is understood.</summary>
    public const uint FormatVersion = 1;

    private const ulong Magic = 0x314b52414d545344; // "DSTMARK1"
    private const int ChecksumAt = RecordBytes - sizeof(uint);
    private const int MaxInterrupts = 1000;
    private const uint Mode = 0x180; // 0600

    private readonly NodeMark[] _marks = new NodeMark[MaxNodes];
    private readonly byte* _record = (byte*)NativeMemory.AlignedAlloc(RecordBytes, RecordBytes);
    private readonly int _folderFd;
    private readonly string _path;
    private int _fd;

    private NodeMarks(int fd, string path, int folderFd = -1)
    {
        _fd = fd;
        _path = path;
        _folderFd = folderFd;
    }

    /// <summary>The mark of a node as last read or written; after a write that failed, the worse of both.</summary>
    /// <param name="index">0 to 63.</param>
    public NodeMark this[int index] => _marks[index];

    /// <summary>
    /// Makes a file of clean marks, durably, and owns it; what was there under this name is replaced in one step.
    /// </summary>
    /// <param name="path">Where.</param>
    /// <exception cref="NodeMarksException">It cannot be made, or somebody owns it; nothing has changed.</exception>
    public static NodeMarks Create(string path)
    {
        if (IsOwned(path))
        {
            throw Owned(path);
        }

        int folder = Libc.Open(
            Path.GetDirectoryName(path) ?? "/", LinuxAbi.O_RDONLY | LinuxAbi.O_DIRECTORY | LinuxAbi.O_CLOEXEC);
        if (folder < 0)
        {
            throw Cannot("create", path, folder);
        }

        string name = Path.GetFileName(path);
        string temporary = name + ".new";
        int fd = Libc.Openat(
            folder,
            temporary,
            LinuxAbi.O_RDWR | LinuxAbi.O_CREAT | LinuxAbi.O_TRUNC | LinuxAbi.O_NOFOLLOW | LinuxAbi.O_CLOEXEC,
            Mode);
        if (fd < 0)
        {
            Libc.Close(folder);
            throw Cannot("create", path, fd);
        }

        NodeMarks marks = new(fd, path, folder);
        int error = Libc.Flock(fd, LinuxAbi.LOCK_EX | LinuxAbi.LOCK_NB);
        error = error < 0 ? error : marks.WriteAllClean();
        error = error < 0 ? error : Libc.Renameat(folder, temporary, folder, name);
        if (error < 0)
        {
            Libc.Unlinkat(folder, temporary);
        }

        error = error < 0 ? error : Libc.Fsync(folder);
        if (error < 0)
        {
            marks.Dispose();
            throw Cannot("create", path, error);
        }

        return marks;
    }

    /// <summary>
    /// Whether a process has these marks for its own, and so serves their volume, though nobody may be able to reach
    /// it. The kernel ends that with the process, however it ends.
    /// </summary>
    /// <param name="path">Where; nobody owns what is not there.</param>
    /// <exception cref="NodeMarksException">It cannot be told.</exception>
    public static bool IsOwned(string path)
    {
        int fd = Libc.Open(path, LinuxAbi.O_RDONLY | LinuxAbi.O_NOFOLLOW | LinuxAbi.O_NONBLOCK | LinuxAbi.O_CLOEXEC);
        if (fd == -Errno.ENOENT)
        {
            return false;
        }

        int error = fd < 0 ? fd : Libc.Flock(fd, LinuxAbi.LOCK_SH | LinuxAbi.LOCK_NB);
        if (fd >= 0)
        {
            Libc.Close(fd);
        }

        return error switch
        {
            >= 0 => false,
            -Errno.EAGAIN => true,
            _ => throw Cannot("look at", path, error),
        };
    }

    /// <summary>Opens the file of an existing device. Records that are damaged or cut off count as poisoned.</summary>
    /// <param name="path">Where.</param>
    /// <exception cref="NodeMarksException">
    /// It is missing, cannot be read, or is of a newer format; it is left as it is.
    /// </exception>
    public static NodeMarks Open(string path)
    {
        int fd = Libc.Open(path, LinuxAbi.O_RDWR | LinuxAbi.O_NOFOLLOW | LinuxAbi.O_NONBLOCK | LinuxAbi.O_CLOEXEC);
        if (fd < 0)
        {
            throw Cannot("open", path, fd);
        }

        NodeMarks marks = new(fd, path);
        try
        {
            for (int index = 0; index < MaxNodes; index++)
            {
                marks._marks[index] = marks.Read(index, path);
            }

            return marks;
        }
        catch
        {
            marks.Dispose();
            throw;
        }
    }

    /// <summary>The marks of a volume that this process is to serve, its own from here on.</summary>
    /// <param name="path">Where.</param>
    /// <param name="isNew">The volume is being made: its marks are clean, and replace what was there.</param>
    /// <exception cref="NodeMarksException">They cannot be had, or another process serves the volume.</exception>
    public static NodeMarks OfVolume(string path, bool isNew)
    {
        if (isNew)
        {
            return Create(path);
        }

        NodeMarks marks = Open(path);
        try
        {
            marks.Own();
            return marks;
        }
        catch
        {
            marks.Dispose();
            throw;
        }
    }

    /// <summary>
    /// Takes the marks for this process alone, for as long as they are open: who serves a volume, or changes its marks,
    /// does so first.
    /// </summary>
    /// <exception cref="NodeMarksException">Another process has them.</exception>
    public void Own()
    {
        int error = Libc.Flock(_fd, LinuxAbi.LOCK_EX | LinuxAbi.LOCK_NB);
        if (error < 0)
        {
            throw error == -Errno.EAGAIN ? Owned(_path) : Cannot("lock", _path, error);
        }
    }

    /// <summary>
    /// Removes the file that <see cref="Create"/> made, wherever its path leads now; nothing that has taken its name.
    /// </summary>
    public void Remove()
    {
        if (_folderFd >= 0)
        {
            FileCreation.TakeBack(_folderFd, Path.GetFileName(_path), _fd);
        }
    }

    /// <summary>Marks a node as having lost writes and makes that durable. Allocates nothing.</summary>
    /// <param name="index">0 to 63.</param>
    /// <param name="errno">What the flush failed with; its sign does not matter.</param>
    /// <returns>0, or -errno: then the mark holds in this object but maybe not on the disk; may be repeated.</returns>
    public int Poison(int index, int errno)
    {
        long now = Now();
        int positive = errno == int.MinValue ? Errno.EIO : int.Abs(errno);
        _marks[index] = new NodeMark(true, positive, now, false);
        return WriteDurably(index, isPoisoned: true, positive, now);
    }

    /// <summary>Takes a node's mark away, durably. Allocates nothing.</summary>
    /// <param name="index">0 to 63.</param>
    /// <returns>0, or -errno: then the mark stays.</returns>
    public int Clear(int index)
    {
        NodeMark old = _marks[index];
        long now = Now();
        int result = WriteDurably(index, isPoisoned: false, 0, now);
        if (result == 0)
        {
            _marks[index] = new NodeMark(false, 0, now, false);
        }
        else if (old.IsPoisoned)
        {
            // The clean record may be on its way to the disk nevertheless; send the old one after it.
            WriteDurably(index, isPoisoned: true, old.Errno, old.UnixTimeSeconds);
        }

        return result;
    }

    /// <summary>Closes the file.</summary>
    public void Dispose()
    {
        if (_fd >= 0)
        {
            Libc.Close(_fd);
            if (_folderFd >= 0)
            {
                Libc.Close(_folderFd);
            }

            _fd = -1;
            NativeMemory.AlignedFree(_record);
        }
    }

    private static long Now() => DateTimeOffset.UtcNow.ToUnixTimeSeconds();

    private static NodeMarksException Cannot(string what, string path, int error) =>
        new($"cannot {what} the error marks {path}: {Errno.Describe(error)}; check the state directory");

    private static NodeMarksException Owned(string path) => new(
        $"the error marks {path} belong to a process that serves this volume; end that process first "
        + $"(see 'fuser {path}')",
        isOwned: true);

    /// <summary>CRC-32C.</summary>
    private static uint Checksum(ReadOnlySpan<byte> data)
    {
        uint crc = uint.MaxValue;
        foreach (byte b in data)
        {
            crc = BitOperations.Crc32C(crc, b);
        }

        return ~crc;
    }

    private int WriteAllClean()
    {
        // Copy-on-write file systems need room even to overwrite; where the flag is unknown it is not needed.
        int flags = 0;
        if (Libc.Ioctl(_fd, BlockAbi.FS_IOC_GETFLAGS, ref flags) == 0)
        {
            flags |= (int)BlockAbi.FS_NOCOW_FL;
            Libc.Ioctl(_fd, OpenAbi.FS_IOC_SETFLAGS, ref flags);
        }

        long now = Now();
        for (int index = 0; index < MaxNodes; index++)
        {
            int result = Write(index, isPoisoned: false, 0, now);
            if (result < 0)
            {
                return result;
            }

            _marks[index] = new NodeMark(false, 0, now, false);
        }

        return Libc.Fsync(_fd);
    }

    private int WriteDurably(int index, bool isPoisoned, int errno, long unixTimeSeconds)
    {
        int result = Write(index, isPoisoned, errno, unixTimeSeconds);
        return result < 0 ? result : Libc.Fdatasync(_fd);
    }

    private int Write(int index, bool isPoisoned, int errno, long unixTimeSeconds)
    {
        ObjectDisposedException.ThrowIf(_fd < 0, this);
        Span<byte> record = new(_record, RecordBytes);
        record.Clear();
        BinaryPrimitives.WriteUInt64LittleEndian(record, Magic);
        BinaryPrimitives.WriteUInt32LittleEndian(record[8..], FormatVersion);
        BinaryPrimitives.WriteInt32LittleEndian(record[12..], index);
        BinaryPrimitives.WriteInt32LittleEndian(record[16..], isPoisoned ? 1 : 0);
        BinaryPrimitives.WriteInt32LittleEndian(record[20..], errno);
        BinaryPrimitives.WriteInt64LittleEndian(record[24..], unixTimeSeconds);
        BinaryPrimitives.WriteUInt32LittleEndian(record[ChecksumAt..], Checksum(record[..ChecksumAt]));
        for (int attempt = 0; attempt < MaxInterrupts; attempt++)
        {
            long written = Libc.Pwrite(_fd, _record, RecordBytes, (long)index * RecordBytes);
            if (written != -Errno.EINTR)
            {
                return written == RecordBytes ? 0 : written < 0 ? (int)written : -Errno.EIO;
            }
        }

        return -Errno.EINTR;
    }

    private NodeMark Read(int index, string path)
    {
        Span<byte> record = new(_record, RecordBytes);
        record.Clear();
        long got = Libc.Pread(_fd, record, (long)index * RecordBytes);
        if (got is < 0 and not -Errno.EIO)
        {
            throw Cannot("read", path, (int)got);
        }

        NodeMark mark = Decode(record[..(int)long.Max(got, 0)], index, out uint newer);
        return newer == 0
            ? mark
            : throw new NodeMarksException(
                $"the error marks {path} have format {newer}, this program knows {FormatVersion}; "
                + "use the newer program");
    }

    /// <summary>Judges a record; what is damaged or cut off counts as poisoned.</summary>
    /// <param name="record">What could be read of it.</param>
    /// <param name="index">The node that it must be of.</param>
    /// <param name="newerFormat">The format of a record that this program does not know; else 0.</param>
    internal static NodeMark Decode(ReadOnlySpan<byte> record, int index, out uint newerFormat)
    {
        newerFormat = 0;
        bool isSound = record.Length == RecordBytes
            && BinaryPrimitives.ReadUInt32LittleEndian(record[ChecksumAt..]) == Checksum(record[..ChecksumAt])
            && BinaryPrimitives.ReadUInt64LittleEndian(record) == Magic;
        if (isSound && BinaryPrimitives.ReadUInt32LittleEndian(record[8..]) is > FormatVersion and uint version)
        {
            newerFormat = version;
        }

        if (!isSound || newerFormat != 0 || BinaryPrimitives.ReadInt32LittleEndian(record[12..]) != index)
        {
            return new NodeMark(true, Errno.EIO, 0, true);
        }

        return new NodeMark(
            BinaryPrimitives.ReadInt32LittleEndian(record[16..]) != 0,
            BinaryPrimitives.ReadInt32LittleEndian(record[20..]),
            BinaryPrimitives.ReadInt64LittleEndian(record[24..]),
            false);
    }
}
