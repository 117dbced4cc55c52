using System.Diagnostics;
using System.Net.Sockets;
using Dst.Core.Specs;
using Dst.Interop;
using Dst.Nodes.Backings;
using Dst.Nodes.Faults;
using Dst.Nodes.Local;
using Xunit;

namespace Dst.Nodes.Tests.Backings;

[Collection(Processes)]
public class FileOpeningTests
{
    /// <summary>Tests that start processes, which inherit descriptors, run one after the other.</summary>
    public const string Processes = "processes";

    private const int MiB = 1 << 20;

    private static BackingException Refused(FileNodeSpec spec, BackingRequest request = default)
    {
        BackingException e = Assert.Throws<BackingException>(() => BackingOpener.OpenFile(spec, request).Dispose());
        Assert.DoesNotContain('\n', e.Message);
        Assert.Contains(Path.GetFileName(spec.Path), e.Message, StringComparison.Ordinal);
        return e;
    }

    [Theory]
    [InlineData(false, false)]
    [InlineData(false, true)]
    [InlineData(true, false)]
    [InlineData(true, true)]
    public void AnExistingFileIsOpenedWithItsFacts(bool onTmpfs, bool buffered)
    {
        using TemporaryFolder folder = new(onTmpfs);
        string path = folder.Filled("a.img", MiB + 512);
        using Backing backing = BackingOpener.OpenFile(new FileNodeSpec(path, Buffered: buffered), default);

        Assert.False(backing.IsBlockDevice);
        Assert.Equal(!buffered, backing.IsDirect);
        Assert.Equal(MiB + 512, backing.SizeBytes);
        Assert.Equal(0, backing.OffsetBytes);
        Assert.Contains(backing.BlockSizeBytes, new[] { 512, 4096 });
        Assert.InRange(backing.MemoryAlignmentBytes, 1, backing.BlockSizeBytes);
        Assert.True(backing.VolatileCache);
        Assert.False(backing.Created);
        Assert.Equal(path, backing.Path);
        Assert.StartsWith("file:fsuuid=", backing.Identity, StringComparison.Ordinal);
        int flags = Libc.Fcntl(backing.Fd, LinuxAbi.F_GETFL);
        Assert.Equal(!buffered, (flags & LinuxAbi.O_DIRECT) != 0);
        Assert.Equal(0, flags & LinuxAbi.O_NONBLOCK);
        Assert.Equal(1, Libc.Fcntl(backing.Fd, LinuxAbi.F_GETFD));
        Assert.Equal(["a.img"], folder.Names);
    }

    [Fact]
    public void AbilitiesAreThoseOfTheFileSystem()
    {
        using TemporaryFolder memory = new(onTmpfs: true);
        using Backing onTmpfs = BackingOpener.OpenFile(new FileNodeSpec(memory.Filled("a", MiB)), default);
        Assert.True(onTmpfs.CanDiscard);
        Assert.False(onTmpfs.CanWriteZeroes);
        Assert.Equal(4096, onTmpfs.DiscardGranularityBytes);

        using TemporaryFolder folder = new();
        string path = folder.Filled("a", MiB);
        using Backing there = BackingOpener.OpenFile(new FileNodeSpec(path), default);
        bool works = Libc.Fallocate(there.Fd, BlockAbi.FALLOC_FL_ZERO_RANGE, 0, 4096) == 0;
        Assert.Equal(works, there.CanWriteZeroes);
        Assert.Equal(MiB, new FileInfo(path).Length);
    }

    [Theory]
    [InlineData(false, false, false, true)]
    [InlineData(true, false, false, false)]
    [InlineData(false, true, false, false)]
    [InlineData(false, false, true, false)]
    [InlineData(true, true, false, false)]
    public void AFileThatIsWhollyAllocatedKeepsItsRoomUnlessItIsSparse(
        bool hasHoles, bool sparse, bool onTmpfs, bool zeroes)
    {
        using TemporaryFolder folder = new(onTmpfs);
        string path = folder.Filled("a", hasHoles ? MiB : 0);
        if (!hasHoles)
        {
            File.WriteAllBytes(path, new byte[MiB]);
            Run.Command("sync", path);
        }

        using Backing backing = BackingOpener.OpenFile(new FileNodeSpec(path, Sparse: sparse), default);
        bool canZero = backing.CanWriteZeroes;
        Assert.True(onTmpfs ? !canZero : canZero, "the file systems of the tests are not as expected");
        Assert.Equal(zeroes || onTmpfs, backing.KeepsAllocation);
        Assert.Equal(!onTmpfs, backing.CanDiscard);
        Assert.Equal(backing.CanDiscard, backing.DiscardGranularityBytes > 0);
    }

    [Fact]
    public void WhereNoFileCanBeMadeBesideTheAbilitiesComeFromTheFileItself()
    {
        using TemporaryFolder folder = new(onTmpfs: true);
        string path = folder.Filled("a", 5 * 4096);
        File.WriteAllBytes(path, [.. Enumerable.Repeat((byte)7, 5 * 4096)]);
        int fd = Libc.Open(path, LinuxAbi.O_RDWR | LinuxAbi.O_CLOEXEC);
        Assert.Equal(0, Native.Stat(fd, out FileFacts facts));
        FileAbilities abilities = AbilityProbe.OfExistingFile(fd, "/proc/self/a", facts);
        Libc.Close(fd);

        Assert.True(abilities.CanPunch);
        Assert.False(abilities.CanZero);
        Assert.All(File.ReadAllBytes(path), b => Assert.Equal(7, b));
        Assert.Equal(5 * 4096, new FileInfo(path).Length);
    }

    [Fact]
    public void SizeAndOffsetCutAWindow()
    {
        using TemporaryFolder folder = new();
        FileNodeSpec spec = new(folder.Filled("a.img", 8 * MiB), SizeBytes: 2 * MiB, OffsetBytes: MiB);
        using Backing backing = BackingOpener.OpenFile(spec, default);
        Assert.Equal(2 * MiB, backing.SizeBytes);
        Assert.Equal(MiB, backing.OffsetBytes);
        Assert.Equal(8 * MiB, backing.LengthBytes);

        using TemporaryFolder other = new();
        using Backing rest = BackingOpener.OpenFile(
            new FileNodeSpec(other.Filled("b", 8 * MiB), OffsetBytes: MiB), default);
        Assert.Equal(7 * MiB, rest.SizeBytes);
    }

    [Theory]
    [InlineData(8 * MiB, 9L * MiB, 0, "size=")]
    [InlineData(8 * MiB, 8L * MiB, 512, "size=")]
    [InlineData(8 * MiB, null, 8 * MiB, "beyond its end")]
    [InlineData(8 * MiB, null, 9 * MiB, "beyond its end")]
    [InlineData(8 * MiB, 1000L, 0, "no multiple")]
    [InlineData(8 * MiB, null, 1000, "no multiple")]
    [InlineData(8 * MiB, 512L, long.MaxValue - 511, "beyond what a file can have")]
    [InlineData(0, null, 0, "is empty")]
    [InlineData(300, null, 0, "too small")]
    public void SizesThatCannotBeAreRefused(int lengthBytes, long? size, long offset, string words)
    {
        using TemporaryFolder folder = new();
        string path = folder.Filled("a.img", lengthBytes);
        BackingException e = Refused(new FileNodeSpec(path, size, offset));
        Assert.Equal(BackingFailure.Usage, e.Kind);
        Assert.Contains(words, e.Message, StringComparison.Ordinal);
        Assert.Equal(lengthBytes, new FileInfo(path).Length);
    }

    [Fact]
    public void AFileThatIsSmallerThanANodeMustBeIsRefused()
    {
        using TemporaryFolder folder = new();
        FileNodeSpec spec = new(folder.Filled("a.img", MiB - 512));
        BackingException e = Refused(spec, new BackingRequest { MinimumSizeBytes = MiB });
        Assert.Equal(BackingFailure.Usage, e.Kind);
        Assert.Contains("too small", e.Message, StringComparison.Ordinal);
        BackingOpener.OpenFile(spec, new BackingRequest { MinimumSizeBytes = MiB - 512 }).Dispose();
    }

    [Fact]
    public void WhatIsNoRegularFileIsRefusedWithoutTouchingIt()
    {
        using TemporaryFolder folder = new();
        Directory.CreateDirectory(folder.File("directory"));
        Assert.Equal(0, Run.Command("mkfifo", folder.File("fifo")).Status);
        using Socket socket = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        socket.Bind(new UnixDomainSocketEndPoint(folder.File("socket")));
        foreach (string path in new[] { "directory", "fifo", "socket" }.Select(folder.File).Append("/dev/null"))
        {
            long start = Stopwatch.GetTimestamp();
            BackingException e = Refused(new FileNodeSpec(path, SizeBytes: MiB));
            Assert.Equal(BackingFailure.Usage, e.Kind);
            Assert.Contains("not a regular file", e.Message, StringComparison.Ordinal);
            Assert.InRange(Stopwatch.GetElapsedTime(start).TotalSeconds, 0, 5);
        }
    }

    [Fact]
    public void MissingThingsAreSaidAsWhatTheyAre()
    {
        using TemporaryFolder folder = new();
        BackingException missing = Refused(new FileNodeSpec(folder.File("none")));
        Assert.Equal(BackingFailure.Usage, missing.Kind);
        Assert.Contains("size=", missing.Message, StringComparison.Ordinal);

        BackingException gone = Refused(
            new FileNodeSpec(folder.File("none"), MiB), new BackingRequest { Restore = true });
        Assert.Equal(BackingFailure.Failure, gone.Kind);
        Assert.Contains("missing", gone.Message, StringComparison.Ordinal);
        Assert.Empty(folder.Names);

        BackingException relative = Refused(new FileNodeSpec("here.img", MiB));
        Assert.Contains("absolute", relative.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void LinksAreFollowedOnceAndMagicOnesAreNot()
    {
        using TemporaryFolder folder = new();
        string path = folder.Filled("real.img", MiB);
        File.CreateSymbolicLink(folder.File("link"), "real.img");
        using (Backing backing = BackingOpener.OpenFile(new FileNodeSpec(folder.File("link")), default))
        {
            Assert.Equal(path, backing.Path);
        }

        using FileStream open = File.OpenRead(path);
        string magic = $"/proc/self/fd/{open.SafeFileHandle.DangerousGetHandle()}";
        Assert.Equal(BackingFailure.Usage, Refused(new FileNodeSpec(magic)).Kind);
        File.CreateSymbolicLink(folder.File("circle"), "circle");
        Assert.Equal(BackingFailure.Usage, Refused(new FileNodeSpec(folder.File("circle"))).Kind);
    }

    [Fact]
    public void ARestoredFileHasToBeTheSame()
    {
        using TemporaryFolder folder = new();
        FileNodeSpec spec = new(folder.Filled("a.img", 2 * MiB));
        string identity;
        using (Backing first = BackingOpener.OpenFile(spec, default))
        {
            identity = first.Identity;
        }

        BackingRequest restore = new() { Restore = true, ExpectedIdentity = identity, MinimumSizeBytes = 2 * MiB };
        BackingOpener.OpenFile(spec, restore).Dispose();
        File.Move(spec.Path, folder.File("elsewhere"));
        BackingOpener.OpenFile(spec with { Path = folder.File("elsewhere") }, restore).Dispose();

        folder.Filled("a.img", 2 * MiB);
        BackingException exchanged = Refused(spec, restore);
        Assert.Equal(BackingFailure.Failure, exchanged.Kind);
        Assert.Contains(identity, exchanged.Message, StringComparison.Ordinal);
        Assert.Equal(2, exchanged.Message.Split("file:fsuuid=").Length - 1);

        File.Move(folder.File("elsewhere"), spec.Path, overwrite: true);
        using (FileStream file = File.OpenWrite(spec.Path))
        {
            file.SetLength(MiB);
        }

        BackingException shrunk = Refused(spec, restore);
        Assert.Equal(BackingFailure.Failure, shrunk.Kind);
        Assert.Contains("shrunk", shrunk.Message, StringComparison.Ordinal);
        Assert.Contains($"{MiB}", shrunk.Message, StringComparison.Ordinal);
        Assert.Contains($"{2 * MiB}", shrunk.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void AReadOnlyVolumeOpensForReadingAndSharesTheFile()
    {
        using TemporaryFolder folder = new();
        FileNodeSpec spec = new(folder.Filled("a.img", MiB));
        BackingRequest reading = new() { ReadOnly = true };
        using Backing one = BackingOpener.OpenFile(spec, reading);
        using Backing two = BackingOpener.OpenFile(spec, reading);
        Assert.Equal(LinuxAbi.O_RDONLY, Libc.Fcntl(one.Fd, LinuxAbi.F_GETFL) & LinuxAbi.O_ACCMODE);
        Assert.False(one.CanDiscard);
        Assert.False(one.CanWriteZeroes);
        Assert.Equal(BackingFailure.Busy, Refused(spec).Kind);
    }

    [Fact]
    public void TheSameFileIsFoundAmongNodesThatShareIt()
    {
        using TemporaryFolder folder = new();
        BackingRequest reading = new() { ReadOnly = true };
        File.CreateSymbolicLink(folder.File("link"), folder.Filled("a.img", MiB));
        Node[] nodes = [Open("b.img", MiB), new MemoryNode(MiB, keeps: false), Open("a.img", null)];
        using Node again = new DelayNode(1, Open("link", null));
        using Node other = Open("c.img", MiB);
        using Node memory = new MemoryNode(MiB, keeps: false);
        Assert.Equal(2, SameBacking.Find(nodes, again));
        Assert.Equal(-1, SameBacking.Find(nodes, other));
        Assert.Equal(-1, SameBacking.Find(nodes, memory));
        Array.ForEach(nodes, node => node.Dispose());

        BackingNode Open(string name, long? fill)
        {
            string path = fill is { } bytes ? folder.Filled(name, bytes) : folder.File(name);
            Backing backing = BackingOpener.OpenFile(new FileNodeSpec(path), reading);
            return new BackingNode("file", backing, static () => { });
        }
    }

    [Fact]
    public void TheSameFileTwiceIsRefusedByEveryNameItHas()
    {
        using TemporaryFolder folder = new();
        FileNodeSpec spec = new(folder.Filled("a.img", MiB));
        Assert.Equal(0, Libc.Linkat(LinuxAbi.AT_FDCWD, spec.Path, LinuxAbi.AT_FDCWD, folder.File("hard"), 0));
        using Backing backing = BackingOpener.OpenFile(spec, default);
        foreach (string name in new[] { "a.img", "hard" })
        {
            BackingException e = Refused(spec with { Path = folder.File(name) });
            Assert.Equal(BackingFailure.Busy, e.Kind);
            Assert.Contains("this same device", e.Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void AFileLockedByAnotherProcessIsRefusedAndTheProcessNamed()
    {
        using TemporaryFolder folder = new();
        FileNodeSpec spec = new(folder.Filled("a.img", MiB));
        using ForeignHolder holder = new(spec.Path, withLock: true);
        long start = Stopwatch.GetTimestamp();
        BackingException e = Refused(spec);
        Assert.Equal(BackingFailure.Busy, e.Kind);
        Assert.Contains($"process {holder.Id} (sleep)", e.Message, StringComparison.Ordinal);
        Assert.InRange(Stopwatch.GetElapsedTime(start).TotalSeconds, 0.9, 10);
    }

    [Fact]
    public async Task ARestoredFileWaitsForTheLockOfADeadOwner()
    {
        using TemporaryFolder folder = new();
        FileNodeSpec spec = new(folder.Filled("a.img", MiB));
        ForeignHolder holder = new(spec.Path, withLock: true);
        using SemaphoreSlim waiting = new(0);
        RecordedEvents events = new() { OnWaiting = () => waiting.Release() };
        BackingRequest restore = new() { Restore = true, Events = events };
        Task<Backing> opening = Task.Run(
            () => BackingOpener.OpenFile(spec, restore), TestContext.Current.CancellationToken);
        Assert.True(await waiting.WaitAsync(TimeSpan.FromSeconds(30), TestContext.Current.CancellationToken));
        await Task.Delay(1500, TestContext.Current.CancellationToken);
        Assert.False(opening.IsCompleted);
        Assert.Contains($"process {holder.Id}", events.Waits.Single(), StringComparison.Ordinal);
        holder.Dispose();
        (await opening.WaitAsync(TimeSpan.FromSeconds(30), TestContext.Current.CancellationToken)).Dispose();
    }

    [Fact]
    public void WaitingEndsWhenItIsCancelled()
    {
        using TemporaryFolder folder = new();
        FileNodeSpec spec = new(folder.Filled("a.img", MiB));
        using Backing holder = BackingOpener.OpenFile(spec, default);
        using CancellationTokenSource stop = new();
        BackingRequest restore = new()
        {
            Restore = true,
            Events = new RecordedEvents { OnWaiting = stop.Cancel },
            CancellationToken = stop.Token,
        };
        Assert.Throws<OperationCanceledException>(() => BackingOpener.OpenFile(spec, restore));
    }

    [Fact]
    public void RefusalsLeaveNoDescriptorAndNoLock()
    {
        using TemporaryFolder folder = new();
        string path = folder.Filled("a.img", MiB);
        string[] before = Directory.GetFiles(folder.Path);
        for (int i = 0; i < 20; i++)
        {
            Refused(new FileNodeSpec(path, SizeBytes: 1000));
            Refused(new FileNodeSpec(path, SizeBytes: 2 * MiB));
        }

        Assert.DoesNotContain(
            Directory.GetFiles("/proc/self/fd").Select(f => Native.ReadLink(f)),
            target => target?.StartsWith(folder.Path, StringComparison.Ordinal) == true);
        Assert.Equal(before, Directory.GetFiles(folder.Path));
        BackingOpener.OpenFile(new FileNodeSpec(path), default).Dispose();
    }
}
