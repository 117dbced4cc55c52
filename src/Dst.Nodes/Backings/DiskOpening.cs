using Dst.Core.Specs;
using Dst.Interop;

namespace Dst.Nodes.Backings;

/// <summary>Opens disks and partitions exclusively. One call per object.</summary>
/// <param name="spec">What the user wrote.</param>
/// <param name="request">What the device wants.</param>
/// <param name="host">Where to look.</param>
internal sealed class DiskOpening(DeviceNodeSpec spec, BackingRequest request, HostView host)
{
    /// <summary>Opens the disk.</summary>
    public Backing Open()
    {
        if (!spec.Path.StartsWith('/'))
        {
            throw Refusal.Usage($"disk {spec.Path}: give an absolute path");
        }

        int located = Native.Locate(spec.Path);
        if (located is -Errno.ENOENT && request.Restore)
        {
            throw Refusal.Failure($"disk {spec.Path} is missing (ENOENT); attach it again, or remove the device");
        }

        if (located < 0)
        {
            throw Refusal.CannotOpen("disk", spec.Path, located);
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

    private Backing OpenLocated(int located)
    {
        string path = Native.PathOf(located) ?? spec.Path;
        if (Native.Stat(located, out FileFacts facts) is < 0 and int error)
        {
            throw Refusal.CallFailed("look at", path, error);
        }

        if (facts.Kind != FileKind.BlockDevice)
        {
            string hint = facts.Kind == FileKind.Regular
                ? $"; for files write file:{spec.Path}"
                : "; give a disk or partition";
            throw Refusal.Usage($"{path} is {facts.Kind.Describe()}, not a block device{hint}");
        }

        FileOpening.CheckCycle($"disk {path}", new CycleWalk(host, request.IsDstDevice).OfDisk(facts.Disk));
        SysfsDisk? disk = SysfsDisk.Find(host, facts.Disk);
        CheckKind(disk, path);
        if (new Holders(host).OtherUse(facts) is { } use)
        {
            throw Refusal.Busy($"disk {path} is in use: {use}");
        }

        int fd = OpenForUse(located, path, facts.Disk);
        try
        {
            return Finish(fd, path, facts.Disk, disk);
        }
        catch
        {
            Libc.Close(fd);
            throw;
        }
    }

    private void CheckKind(SysfsDisk? disk, string path)
    {
        if (!request.ReadOnly && disk?.Text("ro") is "1")
        {
            throw ReadOnlyDisk(path);
        }

        if (disk?.Queue("zoned") is { } zoned and not "none")
        {
            throw Refusal.Usage(
                $"disk {path} is zoned ({zoned}) and cannot be written in any order; give another disk");
        }
    }

    private int OpenForUse(int located, string path, DeviceNumber number)
    {
        int flags = LinuxAbi.O_EXCL | LinuxAbi.O_DIRECT | (request.ReadOnly ? LinuxAbi.O_RDONLY : LinuxAbi.O_RDWR);
        int fd = BackingLock.AcquireOrError(
            () => Native.Reopen(located, flags),
            -Errno.EBUSY,
            () => $"disk {path} is in use (EBUSY): "
                + (new Holders(host).OfDisk(number) is { Length: > 0 } who ? who : "by the kernel or another process"),
            $"open disk {path}",
            request);
        return fd >= 0 ? fd
            : fd is -Errno.EROFS or -Errno.EACCES && !request.ReadOnly ? throw ReadOnlyDisk(path)
            : throw Refusal.CannotOpen("disk", path, fd);
    }

    private Backing Finish(int fd, string path, DeviceNumber number, SysfsDisk? disk)
    {
        if (!request.ReadOnly && Native.AskDisk32(fd, BlockAbi.BLKROGET) > 0)
        {
            throw ReadOnlyDisk(path);
        }

        string identity = CheckIdentity(path, number);
        long sizeBytes = Native.AskDisk64(fd, BlockAbi.BLKGETSIZE64);
        if (sizeBytes < 0)
        {
            throw Refusal.CallFailed("ask the size of disk", path, sizeBytes);
        }

        if (sizeBytes == 0 && !request.Restore)
        {
            throw Refusal.Usage($"disk {path} is empty or has no medium (0 bytes); give another disk");
        }

        IoAlignment alignment = AlignmentOf(fd, path, disk);
        FileLimits.CheckMinimum($"disk {path}", sizeBytes, alignment.BlockSizeBytes, request);
        bool canDiscard = !request.ReadOnly && disk?.QueueNumber("discard_max_bytes") > 0;
        return new Backing
        {
            Fd = fd,
            IsBlockDevice = true,
            IsDirect = true,
            SizeBytes = sizeBytes,
            OffsetBytes = 0,
            LengthBytes = sizeBytes,
            BlockSizeBytes = alignment.BlockSizeBytes,
            MemoryAlignmentBytes = alignment.MemoryBytes,
            VolatileCache = disk?.Queue("write_cache") is not "write through",
            CanDiscard = canDiscard,
            DiscardGranularityBytes = canDiscard
                ? (int)long.Clamp(disk?.QueueNumber("discard_granularity") ?? 0, alignment.BlockSizeBytes, 1 << 30)
                : 0,
            CanWriteZeroes = !request.ReadOnly,
            Identity = identity,
            Path = path,
            Created = false,
        };
    }

    private string CheckIdentity(string path, DeviceNumber number)
    {
        DiskIdentity identities = new(host, IdentityOfFile);
        string found = identities.Of(number);
        if (!request.Restore || request.ExpectedIdentity is not { } expected
            || string.Equals(found, expected, StringComparison.Ordinal))
        {
            return found;
        }

        if (identities.IsOfOtherBoot(expected))
        {
            throw Refusal.Failure(
                $"disk {path} has no lasting identity, so after a reboot nobody can tell whether it is still the same "
                + $"({expected}); if you know that it is, "
                + "remove the device and add it again: its data stay as they are");
        }

        throw Refusal.Failure(
            $"disk {path} is another disk than the device was made with: it is {found}, it was {expected}; "
            + "attach the old one, or remove the device and add it anew");
    }

    private string? IdentityOfFile(string path)
    {
        int fd = Libc.Open(path, LinuxAbi.O_RDONLY | LinuxAbi.O_CLOEXEC | LinuxAbi.O_NONBLOCK | LinuxAbi.O_NOCTTY);
        if (fd < 0)
        {
            return null;
        }

        bool isFile = Native.Stat(fd, out FileFacts facts) == 0 && facts.Kind == FileKind.Regular;
        string? identity = isFile ? FileIdentity.Of(fd, facts) : null;
        Libc.Close(fd);
        return identity;
    }

    private static IoAlignment AlignmentOf(int fd, string path, SysfsDisk? disk)
    {
        int block = Native.AskDisk32(fd, BlockAbi.BLKSSZGET);
        if (block <= 0)
        {
            throw Refusal.CallFailed("ask the block size of disk", path, block == 0 ? -Errno.EIO : block);
        }

        long memory = Native.Stat(fd, out FileFacts facts) == 0 && facts.DirectAlignment is { Memory: > 0 } reported
            ? reported.Memory
            : disk?.QueueNumber("dma_alignment") + 1 ?? block;
        return IoAlignment.From(block, memory) ?? throw Refusal.Usage(
            $"disk {path} has blocks of {block} bytes, a device has at most {IoAlignment.MaxBytes}; give another disk");
    }

    private static BackingException ReadOnlyDisk(string path) =>
        Refusal.Usage(
            $"disk {path} is read-only (EROFS); "
            + "make the device with --read-only, or the disk writable (blockdev --setrw)");
}
