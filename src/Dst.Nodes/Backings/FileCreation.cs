using Dst.Core.Specs;
using Dst.Interop;

namespace Dst.Nodes.Backings;

/// <summary>
/// Makes files: without a name until they are whole, locked and durable, so that neither failure nor kill leaves
/// anything behind. File systems that cannot do that get the name first, and it is taken back on failure.
/// One call per object.
/// </summary>
/// <param name="spec">What the user wrote, with a size.</param>
/// <param name="request">What the device wants.</param>
/// <param name="host">Where to look.</param>
internal sealed class FileCreation(FileNodeSpec spec, BackingRequest request, HostView host)
{
    /// <summary>Mode of new files.</summary>
    public const uint Mode = 0x180; // 0600

    /// <summary>Bytes that are allocated between two looks at progress and cancellation.</summary>
    public const long ChunkBytes = 64L << 20;

    private readonly string _folder = Path.GetDirectoryName(spec.Path) ?? "/";
    private readonly string _name = Path.GetFileName(spec.Path);
    private readonly long _lengthBytes = FileLimits.EndOf(spec, spec.SizeBytes ?? 0);
    private string _path = spec.Path;
    private bool _isNamed;

    /// <summary>False takes the way of file systems that cannot make a file without a name; for tests.</summary>
    public bool MayBeNameless { get; init; } = true;

    /// <summary>
    /// Removes a file's name from its folder, durably, if it is still that file's: by the folder itself, whose path may
    /// lead elsewhere since mounts were detached.
    /// </summary>
    /// <param name="folder">Descriptor of the folder.</param>
    /// <param name="name">The name in it.</param>
    /// <param name="fd">The file.</param>
    public static void TakeBack(int folder, string name, int fd)
    {
        if (Native.Stat(fd, out FileFacts mine) == 0
            && Native.StatAt(folder, name, out FileFacts named) == 0
            && mine.IsSameFile(named))
        {
            Libc.Unlinkat(folder, name);
            Libc.Fsync(folder);
        }
    }

    /// <summary>Makes the file.</summary>
    public Backing Create()
    {
        if (request.ReadOnly)
        {
            throw Refusal.Usage(
                $"file {spec.Path} does not exist and is not made for a read-only device; make it first");
        }

        if (spec.SizeBytes is null or 0)
        {
            throw Refusal.Usage($"file {spec.Path}: size=0 makes no node; give a size, such as size=4G");
        }

        FileLimits.CheckMinimum($"file {spec.Path}", spec.SizeBytes.Value, NodeSpec.UnitBytes, request);
        FileLimits.CheckMultiples(spec, NodeSpec.UnitBytes);
        if (Native.StatPath(spec.Path, follow: false, out FileFacts there) == 0)
        {
            throw Refusal.Usage(
                $"{spec.Path} is {there.Kind.Describe()} that leads to nothing; "
                + "remove it or give the file it should lead to");
        }

        int folder = OpenFolder(out int floorBytes);
        int first = -1;
        int fd = -1;
        bool isDone = false;
        try
        {
            first = MakeEmpty(folder);
            fd = FileOpening.OpenForUse(first, spec, _path, readOnly: false);
            Backing backing = Finish(fd, folder, floorBytes);
            isDone = true;
            return backing;
        }
        finally
        {
            if (!isDone)
            {
                Withdraw(folder);
                CloseAll(fd);
            }

            // A file that was made keeps its folder: it may have to be taken back.
            CloseAll(first, isDone ? -1 : folder);
        }
    }

    private int OpenFolder(out int floorBytes)
    {
        int located = Native.Locate(_folder, directory: true);
        if (located < 0)
        {
            throw Refusal.CannotOpen("folder", _folder, located);
        }

        try
        {
            string folder = Native.PathOf(located) ?? _folder;
            _path = Path.Join(folder, _name);
            if (Native.Stat(located, out FileFacts facts) is < 0 and int error)
            {
                throw Refusal.CallFailed("look at", folder, error);
            }

            CycleReport below = new CycleWalk(host, request.IsDstDevice).OfFile(facts);
            FileOpening.CheckCycle($"folder {folder}", below);
            floorBytes = below.LogicalBlockBytes;
            int opened = Native.Reopen(located, LinuxAbi.O_RDONLY | LinuxAbi.O_DIRECTORY);
            return opened >= 0 ? opened : throw Refusal.CannotOpen("folder", folder, opened);
        }
        finally
        {
            Libc.Close(located);
        }
    }

    private int MakeEmpty(int folder)
    {
        int fd = MayBeNameless
            ? Libc.Openat(folder, ".", LinuxAbi.O_TMPFILE | LinuxAbi.O_RDWR | LinuxAbi.O_CLOEXEC, Mode)
            : -Errno.EOPNOTSUPP;
        if (fd is -Errno.EOPNOTSUPP or -Errno.EISDIR or -Errno.ENOENT or -Errno.EINVAL)
        {
            int flags = LinuxAbi.O_CREAT | LinuxAbi.O_EXCL | LinuxAbi.O_NOFOLLOW | LinuxAbi.O_RDWR | LinuxAbi.O_CLOEXEC;
            fd = Libc.Openat(folder, _name, flags, Mode);
            _isNamed = fd >= 0;
        }

        return fd switch
        {
            >= 0 => fd,
            -Errno.EEXIST => throw Appeared(),
            -Errno.ENOSPC or -Errno.EDQUOT => throw Full(folder, fd),
            _ => throw Refusal.CannotOpen("new file", _path, fd),
        };
    }

    private Backing Finish(int fd, int folder, int floorBytes)
    {
        Check(Native.Stat(fd, out FileFacts facts), folder);
        BackingLock.LockFile(fd, _path, facts, request, host);
        FileAbilities abilities = AbilityProbe.OfEmptyFile(fd);
        IoAlignment alignment = FindAlignment(fd, facts, floorBytes, folder);
        FileLimits.CheckMultiples(spec, alignment.BlockSizeBytes);
        FileLimits.CheckMinimum($"file {_path}", spec.SizeBytes!.Value, alignment.BlockSizeBytes, request);
        Fill(fd, folder);
        Check(Libc.Fsync(fd), folder);
        GiveName(fd, folder);
        Check(Libc.Fsync(folder), folder);
        bool keeps = !spec.Sparse;
        return new Backing
        {
            Fd = fd,
            IsBlockDevice = false,
            IsDirect = !spec.Buffered,
            SizeBytes = spec.SizeBytes.Value,
            OffsetBytes = spec.OffsetBytes,
            LengthBytes = _lengthBytes,
            BlockSizeBytes = alignment.BlockSizeBytes,
            MemoryAlignmentBytes = alignment.MemoryBytes,
            VolatileCache = true,
            KeepsAllocation = keeps,
            CanDiscard = abilities.CanDiscard(keeps),
            DiscardGranularityBytes = abilities.CanDiscard(keeps) ? abilities.GranularityBytes : 0,
            CanWriteZeroes = abilities.CanZero,
            Identity = FileIdentity.Of(fd, facts),
            Path = _path,
            Created = true,
            FolderFd = folder,
        };
    }

    /// <summary>Reads of an empty file would try nothing, so two of the largest blocks are there meanwhile.</summary>
    private IoAlignment FindAlignment(int fd, FileFacts facts, int floorBytes, int folder)
    {
        Check(Libc.Ftruncate(fd, 2 * IoAlignment.MaxBytes), folder);
        IoAlignment alignment = FileOpening.AlignmentOf(fd, spec, _path, facts, floorBytes);
        Check(Libc.Ftruncate(fd, 0), folder);
        return alignment;
    }

    private void Fill(int fd, int folder)
    {
        if (spec.Sparse)
        {
            Check(Libc.Ftruncate(fd, _lengthBytes), folder);
            return;
        }

        // One look at the free space spares the user minutes of filling that cannot end well (C-18).
        if (Libc.Fstatfs(fd, out StatFs statFs) == 0 && statFs.BlockSize > 0
            && (ulong)(_lengthBytes / statFs.BlockSize) > statFs.BlocksFree)
        {
            throw Full(folder, -Errno.ENOSPC);
        }

        for (long done = 0; done < _lengthBytes;)
        {
            request.CancellationToken.ThrowIfCancellationRequested();
            long length = long.Min(ChunkBytes, _lengthBytes - done);
            Check(Native.Fallocate(fd, BlockAbi.FALLOC_FL_ALLOCATE_RANGE, done, length), folder);
            done += length;
            request.Events?.Progress(done, _lengthBytes);
        }
    }

    private void GiveName(int fd, int folder)
    {
        if (_isNamed)
        {
            return;
        }

        int result = Libc.Linkat(LinuxAbi.AT_FDCWD, Native.SelfPath(fd), folder, _name, LinuxAbi.AT_SYMLINK_FOLLOW);
        if (result == -Errno.EEXIST)
        {
            throw Appeared();
        }

        Check(result, folder);
        _isNamed = true;
    }

    private void Withdraw(int folder)
    {
        if (_isNamed)
        {
            Libc.Unlinkat(folder, _name);
            Libc.Fsync(folder);
        }
    }

    private static void CloseAll(params ReadOnlySpan<int> fds)
    {
        foreach (int fd in fds)
        {
            if (fd >= 0)
            {
                Libc.Close(fd);
            }
        }
    }

    private void Check(int result, int folder)
    {
        switch (result)
        {
            case >= 0:
                return;
            case -Errno.ENOSPC or -Errno.EDQUOT:
                throw Full(folder, result);
            case -Errno.EOPNOTSUPP or -Errno.ENOSYS:
                throw Refusal.Usage(
                    $"cannot preallocate file {_path}: {Errno.Describe(result)}; "
                    + "add ,sparse or use another file system");
            case -Errno.EFBIG:
                throw Refusal.Usage(
                    $"cannot create file {_path}: {_lengthBytes} bytes are more than its file system "
                    + "or the file size limit allows (EFBIG)");
            default:
                throw Refusal.CallFailed("create file", _path, result);
        }
    }

    private BackingException Appeared() =>
        Refusal.Busy(
            $"file {_path} has come into being meanwhile (EEXIST); "
            + "if it is the right one, leave size= out and try again");

    private BackingException Full(int folder, int error)
    {
        string free = Libc.Fstatfs(folder, out StatFs statFs) == 0
            ? $", {(long)statFs.BlocksAvailable * statFs.BlockSize} are free"
            : "";
        return Refusal.Failure(
            $"cannot create file {_path}: no room for {_lengthBytes} bytes{free} ({Errno.Name(error)}); "
            + "make room, or give a smaller size=");
    }
}
