using Dst.Core.Specs;
using Dst.Interop;
using Dst.Nodes.Backings;
using Xunit;

namespace Dst.Nodes.Tests.Backings;

public class FileCreationTests
{
    private const long MiB = 1 << 20;

    private static Backing Create(FileNodeSpec spec, bool nameless, BackingRequest request = default) =>
        new FileCreation(spec, request, HostView.Real) { MayBeNameless = nameless }.Create();

    [Theory]
    [InlineData(true, true, false)]
    [InlineData(true, false, false)]
    [InlineData(false, true, false)]
    [InlineData(false, true, true)]
    [InlineData(false, false, false)]
    public void ANewFileIsPreallocatedLockedAndPrivate(bool onTmpfs, bool nameless, bool buffered)
    {
        using TemporaryFolder folder = new(onTmpfs);
        RecordedEvents events = new();
        FileNodeSpec spec = new(folder.File("new.img"), SizeBytes: 150 * MiB, OffsetBytes: MiB, Buffered: buffered);
        string identity;
        using (Backing backing = Create(spec, nameless, new BackingRequest { Events = events }))
        {
            Assert.True(backing.Created);
            Assert.Equal(150 * MiB, backing.SizeBytes);
            Assert.Equal(MiB, backing.OffsetBytes);
            Assert.Equal(folder.File("new.img"), backing.Path);
            Assert.Equal(["new.img"], folder.Names);
            Assert.Equal(!buffered, (Libc.Fcntl(backing.Fd, LinuxAbi.F_GETFL) & LinuxAbi.O_DIRECT) != 0);
            Assert.Equal(0, Libc.Fstatx(backing.Fd, LinuxAbi.STATX_BASIC_STATS, out Statx facts));
            Assert.Equal((ulong)(151 * MiB), facts.Size);
            Assert.True(facts.Blocks * 512 >= (ulong)(151 * MiB), $"only {facts.Blocks} blocks");
            Assert.True(backing.KeepsAllocation);
            Assert.Equal(backing.CanWriteZeroes, backing.CanDiscard);
            Assert.Equal(0x8180, facts.Mode);
            Assert.Equal(
                BackingFailure.Busy, Assert.Throws<BackingException>(() => BackingOpener.OpenFile(spec, default)).Kind);
            identity = backing.Identity;
        }

        Assert.Equal([(64 * MiB, 151 * MiB), (128 * MiB, 151 * MiB), (151 * MiB, 151 * MiB)], events.Steps);
        BackingRequest restore = new() { Restore = true, ExpectedIdentity = identity, MinimumSizeBytes = 150 * MiB };
        using Backing again = BackingOpener.OpenFile(spec, restore);
        Assert.False(again.Created);
        Assert.Equal(identity, again.Identity);
    }

    [Fact]
    public void ASparseFileTakesNoRoom()
    {
        using TemporaryFolder folder = new();
        using Backing backing = Create(
            new FileNodeSpec(folder.File("new.img"), 64L << 30, Sparse: true), nameless: true);
        Assert.Equal(64L << 30, backing.SizeBytes);
        Assert.Equal(0, Libc.Fstatx(backing.Fd, LinuxAbi.STATX_BASIC_STATS, out Statx facts));
        Assert.True(facts.Blocks < 1024);
        Assert.True(backing is { KeepsAllocation: false, CanDiscard: true });
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void CancellingLeavesNothingBehind(bool nameless)
    {
        using TemporaryFolder folder = new(onTmpfs: true);
        using CancellationTokenSource stop = new();
        RecordedEvents events = new() { OnProgress = stop.Cancel };
        BackingRequest request = new() { Events = events, CancellationToken = stop.Token };
        FileNodeSpec spec = new(folder.File("new.img"), 512 * MiB);
        Assert.Throws<OperationCanceledException>(() => Create(spec, nameless, request));
        Assert.Single(events.Steps);
        Assert.Empty(folder.Names);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void AFullDiskIsSaidAndNothingStays(bool nameless)
    {
        using TemporaryFolder folder = new(onTmpfs: true);
        BackingException e = Assert.Throws<BackingException>(
            () => Create(new FileNodeSpec(folder.File("new.img"), 1L << 42), nameless));
        Assert.Equal(BackingFailure.Failure, e.Kind);
        Assert.Contains("ENOSPC", e.Message, StringComparison.Ordinal);
        Assert.Contains("free", e.Message, StringComparison.Ordinal);
        Assert.Empty(folder.Names);
    }

    [Fact]
    public void AFileThatAppearsMeanwhileIsLeftAlone()
    {
        using TemporaryFolder folder = new();
        string path = folder.File("new.img");
        RecordedEvents events = new() { OnProgress = () => File.WriteAllText(path, "theirs") };
        BackingException e = Assert.Throws<BackingException>(
            () => Create(new FileNodeSpec(path, MiB), nameless: true, new BackingRequest { Events = events }));
        Assert.Equal(BackingFailure.Busy, e.Kind);
        Assert.Contains("EEXIST", e.Message, StringComparison.Ordinal);
        Assert.Equal("theirs", File.ReadAllText(path));
        Assert.Equal(["new.img"], folder.Names);
    }

    [Theory]
    [InlineData(0L, 0L, "size=0")]
    [InlineData(MiB + 1000, 0L, "no multiple")]
    [InlineData(MiB, 1000L, "no multiple")]
    [InlineData(MiB - 512, 0L, "too small")]
    [InlineData(long.MaxValue - 511, 1024L, "beyond what a file can have")]
    public void BadSizesAreRefusedBeforeAnythingIsMade(long size, long offset, string words)
    {
        using TemporaryFolder folder = new();
        BackingException e = Assert.Throws<BackingException>(() => BackingOpener.OpenFile(
            new FileNodeSpec(folder.File("new.img"), size, offset), new BackingRequest { MinimumSizeBytes = MiB }));
        Assert.Contains(words, e.Message, StringComparison.Ordinal);
        Assert.Equal(BackingFailure.Usage, e.Kind);
        Assert.Empty(folder.Names);
    }

    [Fact]
    public void FoldersThatAreMissingLinksToNothingAndReadOnlyVolumesAreRefused()
    {
        using TemporaryFolder folder = new();
        FileNodeSpec spec = new(folder.File("none/new.img"), MiB);
        BackingException missing = Assert.Throws<BackingException>(() => BackingOpener.OpenFile(spec, default));
        Assert.Equal(BackingFailure.Usage, missing.Kind);
        Assert.Contains($"{folder.Path}/none", missing.Message, StringComparison.Ordinal);

        File.CreateSymbolicLink(folder.File("dangling"), "nothing");
        FileNodeSpec dangling = new(folder.File("dangling"), MiB);
        BackingException link = Assert.Throws<BackingException>(() => BackingOpener.OpenFile(dangling, default));
        Assert.Contains("leads to nothing", link.Message, StringComparison.Ordinal);

        FileNodeSpec fresh = new(folder.File("new.img"), MiB);
        BackingRequest reading = new() { ReadOnly = true };
        Assert.Throws<BackingException>(() => BackingOpener.OpenFile(fresh, reading));
        Assert.Equal(["dangling"], folder.Names);
    }

    [Fact]
    public void ACreationCanBeUndoneButOnlyOnesOwn()
    {
        using TemporaryFolder folder = new();
        FileNodeSpec spec = new(folder.File("new.img"), MiB);
        using (Backing mine = BackingOpener.OpenFile(spec, default))
        {
            mine.UndoCreation();
            Assert.Empty(folder.Names);
        }

        using (Backing mine = BackingOpener.OpenFile(spec, default))
        {
            File.Delete(spec.Path);
            folder.Filled("new.img", MiB);
            mine.UndoCreation();
            Assert.Equal(["new.img"], folder.Names);
        }

        using (Backing theirs = BackingOpener.OpenFile(spec, default))
        {
            theirs.UndoCreation();
            Assert.Equal(["new.img"], folder.Names);
        }
    }

    [Fact]
    public void AFileThatWasMadeIsTakenBackWhereverItsPathLeadsNow()
    {
        using TemporaryFolder folder = new();
        Directory.CreateDirectory(folder.File("disks"));
        FileNodeSpec spec = new(folder.File("disks/new.img"), MiB, 0, true, true);
        using Backing mine = BackingOpener.OpenFile(spec, default);
        Directory.Move(folder.File("disks"), folder.File("moved"));
        Directory.CreateDirectory(folder.File("disks"));
        mine.UndoCreation();
        Assert.Empty(Directory.GetFiles(folder.File("moved")));
    }

    [Theory]
    [InlineData(512, 0, "size=512")]
    [InlineData(8192 + 512, 0, "size=8704")]
    [InlineData(8192, 512, "offset=512")]
    public void OnADiskOf4096ByteBlocksMultiplesOf512AreRefused(long size, long offset, string named)
    {
        // A file system that does not say its alignment: the disk below does.
        using TemporaryFolder folder = new(onTmpfs: true);
        Assert.Equal(0, Native.StatPath(folder.Path, follow: true, out FileFacts facts));
        using FakeHost host = new();
        host.AddDisk("sda", facts.FileSystem.ToString(), null, ("queue/logical_block_size", "4096"));
        foreach (bool nameless in (bool[])[true, false])
        {
            FileNodeSpec spec = new(folder.File("new.img"), size, offset);
            BackingException e = Assert.Throws<BackingException>(
                () => new FileCreation(spec, default, host) { MayBeNameless = nameless }.Create());
            Assert.Equal(BackingFailure.Usage, e.Kind);
            Assert.Contains(named, e.Message, StringComparison.Ordinal);
            Assert.Contains("4096", e.Message, StringComparison.Ordinal);
            Assert.Empty(folder.Names);
        }
    }
}
