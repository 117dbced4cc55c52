using Dst.Nodes.Backings;
using Xunit;

namespace Dst.Nodes.Tests.Backings;

public class HoldersTests
{
    [Fact]
    public void FilesBehindLoopSwapAndImageMountsAreFound()
    {
        using FakeHost host = new();
        DeviceNumber disk = DeviceNumber.Parse("8:0")!.Value;
        FileFacts behindLoop = host.AddStat("/a", FileKind.Regular, disk, inode: 10);
        FileFacts swap = host.AddStat("/b swap", FileKind.Regular, disk, inode: 11);
        FileFacts image = host.AddStat("/c", FileKind.Regular, disk, inode: 12);
        FileFacts free = host.AddStat("/d", FileKind.Regular, disk, inode: 13);
        host.AddDisk("loop0", "7:0");
        host.AddDisk("loop4", "7:4", null, ("loop/backing_file", "/a"));
        host.Write("/proc/swaps", "Filename\tType\tSize\tUsed\tPriority\n/b\\040swap  file\t10\t0\t-2");
        host.Write("/proc/self/mountinfo", "40 1 0:40 / /mnt ro - erofs /c ro");
        Holders holders = new(host);
        Assert.Contains("/dev/loop4", holders.OtherUse(behindLoop), StringComparison.Ordinal);
        Assert.Contains("swapoff", holders.OtherUse(swap), StringComparison.Ordinal);
        Assert.Contains("/mnt", holders.OtherUse(image), StringComparison.Ordinal);
        Assert.Null(holders.OtherUse(free));
    }

    [Fact]
    public void UsersOfADiskAndItsPartitionsAreNamed()
    {
        using FakeHost host = new();
        host.AddDisk("sda", "8:0");
        host.AddDisk("sda1", "8:1", "sda");
        host.AddDisk("sdb", "8:16");
        host.AddDisk("dm-0", "252:0");
        host.Link("/sys/devices/sda/sda1/holders/dm-0", "/sys/devices/dm-0");
        host.Write(
            "/proc/self/mountinfo",
            "40 1 8:1 / /srv\\040x rw - ext4 /dev/sda1 rw\n41 1 0:41 / /b rw - btrfs /dev/sdb rw");
        host.Write("/proc/swaps", "Filename\n/dev/sdb partition");
        Holders holders = new(host);
        Assert.Equal("part of /dev/dm-0, mounted on /srv x", holders.OfDisk(DeviceNumber.Parse("8:0")!.Value));
        Assert.Equal("mounted on /b, used as swap", holders.OfDisk(DeviceNumber.Parse("8:16")!.Value));
        Assert.Equal("", holders.OfDisk(DeviceNumber.Parse("8:32")!.Value));
    }
}
