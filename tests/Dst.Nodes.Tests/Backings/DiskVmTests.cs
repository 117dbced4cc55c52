using System.Buffers.Binary;
using System.Diagnostics;
using Dst.Core.Specs;
using Dst.Interop;
using Dst.Nodes.Backings;
using Xunit;

namespace Dst.Nodes.Tests.Backings;

/// <summary>Needs root and kernel disks: loop for most, brd and scsi_debug for a few.</summary>
[Collection(FileOpeningTests.Processes)]
public sealed class DiskVmTests : IDisposable
{
    private const long MiB = 1 << 20;

    private readonly TemporaryFolder _folder = new();
    private readonly List<string> _loops = [];

    public void Dispose()
    {
        foreach (string loop in _loops)
        {
            Run.Command("losetup", "-d", loop);
        }

        _folder.Dispose();
    }

    private static BackingException Refused(string path, BackingRequest request = default)
    {
        BackingException e = Assert.Throws<BackingException>(
            () => BackingOpener.OpenDisk(new DeviceNodeSpec(path), request).Dispose());
        Assert.DoesNotContain('\n', e.Message);
        return e;
    }

    private static Backing Open(string path, BackingRequest request = default) =>
        BackingOpener.OpenDisk(new DeviceNodeSpec(path), request);

    private static Backing OpenSoon(string path)
    {
        for (int i = 0; i < 100; i++)
        {
            try
            {
                return Open(path);
            }
            catch (BackingException e) when (e.Kind != BackingFailure.Busy)
            {
                Thread.Sleep(100);
            }
        }

        return Open(path);
    }

    private static void Need(string module, params string[] options)
    {
        if (Libc.Geteuid() != 0)
        {
            Assert.Skip("needs root");
        }

        if (!Directory.Exists($"/sys/module/{module}") && Run.Command("modprobe", [module, .. options]).Status != 0)
        {
            Assert.Skip($"this kernel has no module {module}");
        }
    }

    /// <summary>Writes an MBR with one partition.</summary>
    private static void WritePartitionTable(string path, uint startSector, uint sectors)
    {
        byte[] sector = new byte[512];
        BinaryPrimitives.WriteUInt32LittleEndian(sector.AsSpan(440), 0x1a2b3c4d);
        sector[450] = 0x83;
        BinaryPrimitives.WriteUInt32LittleEndian(sector.AsSpan(454), startSector);
        BinaryPrimitives.WriteUInt32LittleEndian(sector.AsSpan(458), sectors);
        BinaryPrimitives.WriteUInt16LittleEndian(sector.AsSpan(510), 0xaa55);
        using FileStream file = File.OpenWrite(path);
        file.Write(sector);
    }

    /// <summary>Makes a loop device out of a new file.</summary>
    private string Loop(string name, params string[] options)
    {
        Need("loop");
        string file = File.Exists(_folder.File(name)) ? _folder.File(name) : _folder.Filled(name, 16 * MiB);
        (int status, string loop) = Run.Command("losetup", ["-f", "--show", .. options, file]);
        if (status != 0)
        {
            Assert.Skip("this host makes no loop devices");
        }

        _loops.Add(loop);
        return loop;
    }

    [Theory]
    [InlineData(512)]
    [InlineData(4096)]
    public void ADiskIsOpenedWithItsFacts(int blockBytes)
    {
        string loop = Loop("a", "-b", $"{blockBytes}");
        using Backing backing = Open(loop);
        Assert.True(backing.IsBlockDevice);
        Assert.True(backing.IsDirect);
        Assert.Equal(16 * MiB, backing.SizeBytes);
        Assert.Equal(blockBytes, backing.BlockSizeBytes);
        Assert.InRange(backing.MemoryAlignmentBytes, 1, blockBytes);
        Assert.True(backing.CanWriteZeroes);
        Assert.Equal(loop, backing.Path);
        Assert.StartsWith("disk:loop=(file:", backing.Identity, StringComparison.Ordinal);
        Assert.True((Libc.Fcntl(backing.Fd, LinuxAbi.F_GETFL) & LinuxAbi.O_DIRECT) != 0);
        Assert.Equal(1, Libc.Fcntl(backing.Fd, LinuxAbi.F_GETFD));
        Assert.Equal(0, Libc.Fallocate(
            backing.Fd, BlockAbi.FALLOC_FL_ZERO_RANGE | BlockAbi.FALLOC_FL_KEEP_SIZE, 0, blockBytes));
    }

    [Fact]
    public void ADiskIsHeldByOneAloneAndTheSecondIsTold()
    {
        string loop = Loop("a");
        using Backing backing = Open(loop);
        BackingException e = Refused(loop);
        Assert.Equal(BackingFailure.Busy, e.Kind);
        Assert.Contains("this same device", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void AMountedDiskIsRefusedAndTheMountNamed()
    {
        string loop = Loop("a");
        if (Run.Command("mkfs.ext4", "-q", loop).Status != 0)
        {
            Assert.Skip("no mkfs.ext4");
        }

        string mount = _folder.File("mount");
        Directory.CreateDirectory(mount);
        Assert.Equal(0, Run.Command("mount", loop, mount).Status);
        try
        {
            BackingException e = Refused(loop);
            Assert.Equal(BackingFailure.Busy, e.Kind);
            Assert.Contains($"mounted on {mount}", e.Message, StringComparison.Ordinal);
        }
        finally
        {
            Run.Command("umount", mount);
        }

        Open(loop).Dispose();
    }

    [Fact]
    public void SwapIsRefused()
    {
        string loop = Loop("a");
        if (Run.Command("mkswap", loop).Status != 0 || Run.Command("swapon", loop).Status != 0)
        {
            Assert.Skip("this host takes no swap");
        }

        try
        {
            BackingException e = Refused(loop);
            Assert.Equal(BackingFailure.Busy, e.Kind);
            Assert.Contains("swap", e.Message, StringComparison.Ordinal);
        }
        finally
        {
            Run.Command("swapoff", loop);
        }
    }

    [Fact]
    public void APartitionOfAHeldDiskIsRefusedAndTheOtherWayRound()
    {
        WritePartitionTable(_folder.Filled("a", 16 * MiB), startSector: 2048, sectors: 8192);
        string loop = Loop("a", "-P");
        string part = $"{loop}p1";
        for (int i = 0; i < 50 && !File.Exists(part); i++)
        {
            Thread.Sleep(100);
        }

        if (!File.Exists(part))
        {
            Assert.Skip("this host shows no partitions of loop devices");
        }

        using (Backing whole = Open(loop))
        {
            Assert.Equal(BackingFailure.Busy, Refused(part).Kind);
        }

        // Closing the whole disk makes udev read its table again; the partition is gone for a moment.
        using Backing backing = OpenSoon(part);
        Assert.Equal(4 * MiB, backing.SizeBytes);
        Assert.Contains("part", backing.Identity, StringComparison.Ordinal);
        Assert.StartsWith("disk:loop=(file:", backing.Identity, StringComparison.Ordinal);
        Assert.Equal(BackingFailure.Busy, Refused(loop).Kind);
    }

    [Fact]
    public void TheFileBehindALoopIsRefusedAsFileAndTheLoopOfALoopAsDisk()
    {
        string loop = Loop("a");
        BackingException e = Assert.Throws<BackingException>(
            () => BackingOpener.OpenFile(new FileNodeSpec(_folder.File("a")), default));
        Assert.Equal(BackingFailure.Busy, e.Kind);
        Assert.Contains(loop, e.Message, StringComparison.Ordinal);

        (int status, string upper) = Run.Command("losetup", "-f", "--show", loop);
        Assert.Equal(0, status);
        _loops.Insert(0, upper);
        Assert.Contains(upper, Refused(loop).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void AReadOnlyDiskServesReadOnlyVolumesAlone()
    {
        string loop = Loop("a", "-r");
        BackingException e = Refused(loop);
        Assert.Equal(BackingFailure.Usage, e.Kind);
        Assert.Contains("read-only", e.Message, StringComparison.Ordinal);
        using Backing backing = Open(loop, new BackingRequest { ReadOnly = true });
        Assert.False(backing.CanDiscard);
        Assert.False(backing.CanWriteZeroes);
    }

    [Fact]
    public void ARestoredDiskHasToBeTheSameAndAsLarge()
    {
        string loop = Loop("a");
        string identity;
        using (Backing backing = Open(loop))
        {
            identity = backing.Identity;
        }

        BackingRequest restore = new() { Restore = true, ExpectedIdentity = identity, MinimumSizeBytes = 16 * MiB };
        Open(loop, restore).Dispose();
        BackingException shrunk = Refused(loop, restore with { MinimumSizeBytes = 17 * MiB });
        Assert.Equal(BackingFailure.Failure, shrunk.Kind);
        Assert.Contains("shrunk", shrunk.Message, StringComparison.Ordinal);

        BackingException other = Refused(Loop("b"), restore);
        Assert.Equal(BackingFailure.Failure, other.Kind);
        Assert.Contains(identity, other.Message, StringComparison.Ordinal);

        BackingException boot = Refused(loop, restore with { ExpectedIdentity = "disk:boot=another,diskseq=1" });
        Assert.Equal(BackingFailure.Failure, boot.Kind);
        Assert.Contains("no lasting identity", boot.Message, StringComparison.Ordinal);
        Assert.Contains("add it again", boot.Message, StringComparison.Ordinal);

        Run.Command("losetup", "-d", loop);
        _loops.Remove(loop);
        Open(Loop("a"), restore).Dispose();
    }

    [Fact]
    public async Task ARestoredDiskIsWaitedFor()
    {
        string loop = Loop("a");
        Backing holder = Open(loop);
        using SemaphoreSlim waiting = new(0);
        BackingRequest restore =
            new() { Restore = true, Events = new RecordedEvents { OnWaiting = () => waiting.Release() } };
        Task<Backing> opening = Task.Run(() => Open(loop, restore), TestContext.Current.CancellationToken);
        Assert.True(await waiting.WaitAsync(TimeSpan.FromSeconds(30), TestContext.Current.CancellationToken));
        holder.Dispose();
        (await opening.WaitAsync(TimeSpan.FromSeconds(30), TestContext.Current.CancellationToken)).Dispose();
    }

    [Fact]
    public void AProcessThatHasTheDiskOpenIsNamed()
    {
        string loop = Loop("a");
        using ForeignHolder holder = new(loop, withLock: false);
        Assert.Equal(0, Native.StatPath(loop, follow: true, out FileFacts facts));
        Assert.Contains(
            $"process {holder.Id} (sleep)", new Holders(HostView.Real).OfDisk(facts.Disk), StringComparison.Ordinal);
    }

    [Fact]
    public void WhatIsNoDiskIsRefused()
    {
        string file = _folder.Filled("file", MiB);
        BackingException e = Refused(file);
        Assert.Equal(BackingFailure.Usage, e.Kind);
        Assert.Contains($"file:{file}", e.Message, StringComparison.Ordinal);
        Assert.Equal(BackingFailure.Usage, Refused("/dev/null").Kind);
        Assert.Equal(BackingFailure.Usage, Refused(_folder.Path).Kind);
        Assert.Equal(BackingFailure.Usage, Refused(_folder.File("none")).Kind);
        Assert.Equal(BackingFailure.Failure, Refused(_folder.File("none"), new BackingRequest { Restore = true }).Kind);
    }

    [Fact]
    public void ADiskWithoutLastingIdentityIsKnownForThisBoot()
    {
        Need("brd", "rd_nr=1", "rd_size=16384");
        if (!File.Exists("/dev/ram0"))
        {
            Assert.Skip("no /dev/ram0");
        }

        using Backing backing = Open("/dev/ram0");
        Assert.Matches("^disk:boot=[0-9a-f-]{36},diskseq=[0-9]+$", backing.Identity);
    }

    [Fact]
    public void AScsiDiskIsKnownByItsWwidAndSaysWhatItCan()
    {
        Need("scsi_debug", "dev_size_mb=64", "sector_size=4096", "lbpu=1", "lbpws=1");
        Run.Command("modprobe", "sd_mod");
        string? name = null;
        for (int i = 0; i < 100 && name is null; i++)
        {
            Thread.Sleep(100);
            name = HostView.Real.List("/sys/block").FirstOrDefault(
                n => HostView.Real.Text($"/sys/block/{n}/device/model") is "scsi_debug" && File.Exists($"/dev/{n}"));
        }

        if (name is null)
        {
            Assert.Skip("no scsi_debug disk appeared");
        }

        using Backing backing = OpenSoon($"/dev/{name}");
        Assert.StartsWith("disk:wwid=naa.", backing.Identity, StringComparison.Ordinal);
        Assert.Equal(4096, backing.BlockSizeBytes);
        Assert.True(backing.CanDiscard);
        Assert.InRange(backing.DiscardGranularityBytes, 4096, 1 << 20);
        long start = Stopwatch.GetTimestamp();
        Assert.Equal(BackingFailure.Busy, Refused($"/dev/{name}").Kind);
        Assert.InRange(Stopwatch.GetElapsedTime(start).TotalSeconds, 0.9, 60);
    }
}
