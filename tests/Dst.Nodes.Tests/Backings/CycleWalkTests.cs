using Dst.Nodes.Backings;
using Xunit;

namespace Dst.Nodes.Tests.Backings;

public class CycleWalkTests
{
    private static DeviceNumber Number(string text) => DeviceNumber.Parse(text)!.Value;

    private static CycleReport Disk(FakeHost host, string number, Func<int, bool>? isOurs = null) =>
        new CycleWalk(host, isOurs).OfDisk(Number(number));

    private static CycleReport File(FakeHost host, string path)
    {
        Assert.True(host.TryStat(path, out FileFacts? facts));
        return new CycleWalk(host, null).OfFile(facts);
    }

    [Fact]
    public void AnOrdinaryDiskAndItsPartitionsLieOnNothingOfOurs()
    {
        using FakeHost host = new();
        host.AddDisk("sda", "8:0", null, ("queue/logical_block_size", "4096"));
        host.AddDisk("sda1", "8:1", "sda");
        Assert.Equal(new CycleReport(null, true, 4096), Disk(host, "8:0"));
        Assert.Equal(new CycleReport(null, true, 4096), Disk(host, "8:1"));
        Assert.Equal(new CycleReport(null, true, 0), Disk(host, "9:9"));
    }

    [Fact]
    public void DstDisksAndTheirPartitionsAreFoundUnlessTheyAreSomeoneElses()
    {
        using FakeHost host = new();
        host.AddDisk("ublkb12", "259:3");
        host.AddDisk("ublkb12p1", "259:4", "ublkb12");
        Assert.Equal("ublkb12", Disk(host, "259:3").DstDevice);
        Assert.Equal("ublkb12", Disk(host, "259:4").DstDevice);
        Assert.Equal("ublkb12", Disk(host, "259:4", id => id == 12).DstDevice);
        Assert.Null(Disk(host, "259:4", id => id != 12).DstDevice);
    }

    [Fact]
    public void TheWayDownLeadsThroughMapperRaidAndLoop()
    {
        using FakeHost host = new();
        host.AddDisk("ublkb0", "259:0");
        host.AddDisk("ublkb0p2", "259:2", "ublkb0");
        host.AddDisk("sda", "8:0");
        host.AddDisk("md0", "9:0");
        host.AddSlave("md0", "sda");
        host.Link("/sys/devices/md0/slaves/ublkb0p2", "/sys/devices/ublkb0/ublkb0p2");
        host.AddDisk("dm-0", "252:0");
        host.AddSlave("dm-0", "md0");
        host.AddDisk("loop3", "7:3", null, ("loop/backing_file", "/mnt/image"));
        host.AddStat("/mnt/image", FileKind.Regular, Number("252:0"), mountId: 40);
        host.Write("/proc/self/mountinfo", "40 1 252:0 / /mnt rw - ext4 /dev/dm-0 rw");
        host.AddDisk("zram0", "253:0", null, ("backing_dev", "/dev/loop3"));
        Assert.Equal("ublkb0", Disk(host, "252:0").DstDevice);
        Assert.Equal("ublkb0", Disk(host, "7:3").DstDevice);
        Assert.Equal("ublkb0", Disk(host, "253:0").DstDevice);
        Assert.Equal("ublkb0", File(host, "/mnt/image").DstDevice);
        Assert.Null(Disk(host, "8:0").DstDevice);
    }

    [Fact]
    public void EveryDiskOfABtrfsIsSeen()
    {
        using FakeHost host = new();
        host.AddDisk("sda", "8:0");
        host.AddDisk("ublkb1", "259:1");
        host.AddDisk("sdb", "8:16");
        host.Link("/sys/fs/btrfs/0000-1/devices/sda", "/sys/devices/sda");
        host.Link("/sys/fs/btrfs/0000-1/devices/ublkb1", "/sys/devices/ublkb1");
        host.Link("/sys/fs/btrfs/0000-2/devices/sdb", "/sys/devices/sdb");
        host.Write(
            "/proc/self/mountinfo", "50 1 0:44 /sub /a rw - btrfs /dev/sda rw\n51 1 0:45 / /b rw - btrfs /dev/sdb rw");
        host.AddStat("/a/image", FileKind.Regular, Number("0:99"), mountId: 50);
        host.AddStat("/b/image", FileKind.Regular, Number("0:98"), mountId: 51);
        Assert.Equal("ublkb1", File(host, "/a/image").DstDevice);
        Assert.Null(File(host, "/b/image").DstDevice);
    }

    [Theory]
    [InlineData("rw,lowerdir=/low:/mnt/b\\134:x,upperdir=/up", "/mnt/b:x")]
    [InlineData("rw,lowerdir=/low,upperdir=/mnt\\040a,workdir=/w", "/mnt a")]
    [InlineData("rw,lowerdir+=/low,lowerdir+=/mnt/c,upperdir=/up", "/mnt/c")]
    public void EveryLayerOfAnOverlayIsSeen(string options, string layer)
    {
        using FakeHost host = new();
        host.AddDisk("sda", "8:0");
        host.AddDisk("ublkb1", "259:1");
        host.AddStat("/low", FileKind.Directory, Number("8:0"));
        host.AddStat("/up", FileKind.Directory, Number("8:0"));
        host.AddStat(layer, FileKind.Directory, Number("259:1"));
        host.AddStat("/image", FileKind.Regular, Number("0:50"), mountId: 60);
        host.Write("/proc/self/mountinfo", $"60 1 0:50 / / rw shared:1 - overlay overlay {options}");
        Assert.Equal("ublkb1", File(host, "/image").DstDevice);
    }

    [Fact]
    public void FurtherDisksOfXfsAndBcachefsAreSeenAndRemoteOnesAreNot()
    {
        using FakeHost host = new();
        host.AddDisk("sda", "8:0");
        host.AddDisk("ublkb1", "259:1");
        host.Write(
            "/proc/self/mountinfo",
            "60 1 8:0 / /x rw - xfs /dev/sda rw,logdev=/dev/ublkb1\n"
            + "61 1 0:61 / /y rw - bcachefs /dev/sda:/dev/ublkb1 rw\n"
            + "62 1 0:62 / /z rw - virtiofs /dev/ublkb1 rw");
        host.AddStat("/x/image", FileKind.Regular, Number("8:0"), mountId: 60);
        host.AddStat("/y/image", FileKind.Regular, Number("0:61"), mountId: 61);
        host.AddStat("/z/image", FileKind.Regular, Number("0:62"), mountId: 62);
        Assert.Equal("ublkb1", File(host, "/x/image").DstDevice);
        Assert.Equal("ublkb1", File(host, "/y/image").DstDevice);
        Assert.Null(File(host, "/z/image").DstDevice);
    }

    [Fact]
    public void CirclesAndDepthsEnd()
    {
        using FakeHost host = new();
        host.AddDisk("dm-0", "252:0");
        host.AddDisk("dm-1", "252:1");
        host.AddSlave("dm-0", "dm-1");
        host.AddSlave("dm-1", "dm-0");
        Assert.Equal(new CycleReport(null, true, 0), Disk(host, "252:0"));

        for (int i = 2; i <= 2 + CycleWalk.MaxSteps; i++)
        {
            host.AddDisk($"dm-{i}", $"252:{i}");
            if (i > 2)
            {
                host.AddSlave($"dm-{i - 1}", $"dm-{i}");
            }
        }

        CycleReport report = Disk(host, "252:2");
        Assert.False(report.IsComplete);
        BackingException e = Assert.Throws<BackingException>(() => FileOpening.CheckCycle("disk /dev/dm-2", report));
        Assert.Equal(BackingFailure.Usage, e.Kind);
    }

    [Fact]
    public void TheRealHostIsWalkedWithoutHarm()
    {
        using TemporaryFolder folder = new();
        string path = folder.Filled("a", 4096);
        Assert.Equal(0, Native.StatPath(path, follow: true, out FileFacts facts));
        CycleReport report = new CycleWalk(HostView.Real, null).OfFile(facts);
        Assert.True(report.IsComplete);
        Assert.Null(report.DstDevice);
    }

    [Theory]
    [InlineData("")]
    [InlineData("36 35 98:0 / /mnt rw")]
    [InlineData("36 35 98 / /mnt rw - ext4 /dev/sda rw")]
    [InlineData("36 35 98:0 / /mnt rw - ext4")]
    public void LinesThatAreNoMountsAreNone(string line) => Assert.Null(MountTable.Parse(line));
}
