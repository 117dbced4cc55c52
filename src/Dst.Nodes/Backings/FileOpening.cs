using Dst.Core.Specs;
using Dst.Interop;

namespace Dst.Nodes.Backings;

/// <summary>Opens files that exist. One call per object.</summary>
/// <param name="spec">What the user wrote.</param>
/// <param name="request">What the device wants.</param>
/// <param name="host">Where to look.</param>
internal sealed class FileOpening(FileNodeSpec spec, BackingRequest request, HostView host)
{
    /// <summary>Opens, or makes what is missing and may be made.</summary>
    public Backing Open()
    {
        if (!spec.Path.StartsWith('/'))
        {
            throw Refusal.Usage($"file {spec.Path}: give an absolute path");
        }

        int located = Native.Locate(spec.Path);
        if (located == -Errno.ENOENT)
        {
            return Missing();
        }

        if (located < 0)
        {
            throw Refusal.CannotOpen("file", spec.Path, located);
        }

        try
        {
            return OpenLocated(located);
        }
        finally
        {
            Libc.Close(located);
        }
    }

    /// <summary>Opens the very file that was checked, with or without the page cache.</summary>
    /// <param name="fd">A descriptor that names it.</param>
    /// <param name="spec">Decides about the page cache.</param>
    /// <param name="path">For messages.</param>
    /// <param name="readOnly">Without the right to write.</param>
    internal static int OpenForUse(int fd, FileNodeSpec spec, string path, bool readOnly)
    {
        int access = readOnly ? LinuxAbi.O_RDONLY : LinuxAbi.O_RDWR;
        int result = Native.Reopen(fd, access | (spec.Buffered ? 0 : LinuxAbi.O_DIRECT));
        if (result is -Errno.EINVAL or -Errno.EOPNOTSUPP && !spec.Buffered)
        {
            throw NoDirectIo(path);
        }

        return result >= 0 ? result : throw Refusal.CannotOpen("file", path, result);
    }

    /// <summary>Alignment of an opened file.</summary>
    internal static IoAlignment AlignmentOf(int fd, FileNodeSpec spec, string path, FileFacts facts, int floorBytes)
    {
        if (spec.Buffered)
        {
            return IoAlignment.Buffered;
        }

        if (facts.DirectAlignment is { } reported)
        {
            return reported is { Offset: > 0, Memory: > 0 }
                ? IoAlignment.From(reported.Offset, reported.Memory)
                    ?? throw TooCoarse(path, uint.Max(reported.Offset, reported.Memory))
                : throw NoDirectIo(path);
        }

        IoAlignment? found = IoAlignment.Probe(fd, floorBytes, out int error);
        return error != 0 ? throw Refusal.CallFailed("read", path, error) : found ?? throw NoDirectIo(path);
    }

    /// <summary>Refuses a place that lies on a DST device of this host (U-28).</summary>
    internal static void CheckCycle(string what, CycleReport report)
    {
        if (report.DstDevice is { } device)
        {
            throw Refusal.Usage(
                $"{what} lies on the DST device /dev/{device} of this host, which would wait for itself; "
                + "give a backing elsewhere");
        }

        if (!report.IsComplete)
        {
            throw Refusal.Usage(
                $"{what} lies on more than {CycleWalk.MaxSteps} disks and file systems, too many to check; "
                + "give a simpler backing");
        }
    }

    private static BackingException NoDirectIo(string path) =>
        Refusal.Usage($"file {path}: its file system has no direct I/O (O_DIRECT) in blocks of at most "
            + $"{IoAlignment.MaxBytes} bytes; add ,buffered to the node or use another file system");

    private static BackingException TooCoarse(string path, uint bytes) =>
        Refusal.Usage($"file {path}: its file system wants direct I/O in blocks of {bytes} bytes, a device has at most "
            + $"{IoAlignment.MaxBytes}; add ,buffered to the node or use another file system");

    private Backing Missing()
    {
        if (request.Restore)
        {
            throw Refusal.Failure(
                $"file {spec.Path} is missing (ENOENT); put it back or mount what holds it, or remove the device");
        }

        if (spec.SizeBytes is null)
        {
            throw Refusal.Usage($"file {spec.Path} does not exist (ENOENT); give size= to create it, such as ,size=4G");
        }

        return new FileCreation(spec, request, host).Create();
    }

    private Backing OpenLocated(int located)
    {
        string path = Native.PathOf(located) ?? spec.Path;
        Check(Native.Stat(located, out FileFacts facts), "look at", path);
        if (facts.Kind != FileKind.Regular)
        {
            string hint = facts.Kind == FileKind.BlockDevice
                ? $"; for disks write dev:{spec.Path}"
                : "; give a regular file";
            throw Refusal.Usage($"{path} is {facts.Kind.Describe()}, not a regular file{hint}");
        }

        CycleReport below = new CycleWalk(host, request.IsDstDevice).OfFile(facts);
        CheckCycle($"file {path}", below);
        if (new Holders(host).OtherUse(facts) is { } use)
        {
            throw Refusal.Busy($"file {path} is in use: {use}");
        }

        int fd = OpenForUse(located, spec, path, request.ReadOnly);
        try
        {
            return Finish(fd, path, facts, below.LogicalBlockBytes);
        }
        catch
        {
            Libc.Close(fd);
            throw;
        }
    }

    private Backing Finish(int fd, string path, FileFacts before, int floorBytes)
    {
        BackingLock.LockFile(fd, path, before, request, host);
        Check(Native.Stat(fd, out FileFacts facts), "look at", path);
        string identity = FileIdentity.Of(fd, facts);
        if (request is { Restore: true, ExpectedIdentity: { } expected } && !FileIdentity.Matches(expected, identity))
        {
            throw Refusal.Failure(
                $"file {path} is another file than the device was made with: it is {identity}, it was {expected}; "
                + "put the old one back, or remove the device and add it anew");
        }

        long sizeBytes = FileLimits.UsableBytes(spec, path, facts.SizeBytes, request);
        IoAlignment alignment = AlignmentOf(fd, spec, path, facts, floorBytes);
        FileLimits.CheckMultiples(spec, alignment.BlockSizeBytes);
        FileLimits.CheckMinimum($"file {path}", sizeBytes, alignment.BlockSizeBytes, request);
        FileAbilities abilities = request.ReadOnly ? default : AbilityProbe.OfExistingFile(fd, path, facts);
        // Zeroing a file with holes would fill them: only one that is whole has room to keep.
        bool keeps = !spec.Sparse && facts.AllocatedBytes >= facts.SizeBytes;
        return new Backing
        {
            Fd = fd,
            IsBlockDevice = false,
            IsDirect = !spec.Buffered,
            SizeBytes = sizeBytes,
            OffsetBytes = spec.OffsetBytes,
            LengthBytes = facts.SizeBytes,
            BlockSizeBytes = alignment.BlockSizeBytes,
            MemoryAlignmentBytes = alignment.MemoryBytes,
            VolatileCache = true,
            KeepsAllocation = keeps,
            CanDiscard = abilities.CanDiscard(keeps),
            DiscardGranularityBytes = abilities.CanDiscard(keeps) ? abilities.GranularityBytes : 0,
            CanWriteZeroes = abilities.CanZero,
            Identity = identity,
            Path = path,
            Created = false,
        };
    }

    private static void Check(int result, string what, string path)
    {
        if (result < 0)
        {
            throw Refusal.CallFailed(what, path, result);
        }
    }
}
