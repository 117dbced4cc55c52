using CsCheck;
using Dst.Interop;
using Dst.Nodes.Backings;
using Xunit;

namespace Dst.Nodes.Tests.Backings;

public class IdentityTests
{
    private const string Uuid = "file:fsuuid=7d1c9f52-8c1b-4a51-9a3e-0d1f2b3c4d5e";

    private static string Disk(FakeHost host, string number, Func<string, string?>? files = null) =>
        new DiskIdentity(host, files ?? (_ => null)).Of(DeviceNumber.Parse(number)!.Value);

    private static FakeHost Host()
    {
        FakeHost host = new();
        host.Write("/proc/sys/kernel/random/boot_id", "b-1");
        return host;
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void AFileKeepsItsIdentityOverRenameAndGrowthAndTwoFilesNeverShareOne(bool onTmpfs)
    {
        using TemporaryFolder folder = new(onTmpfs);
        string Identity(string path)
        {
            int fd = Libc.Open(path, LinuxAbi.O_RDONLY | LinuxAbi.O_CLOEXEC);
            Assert.Equal(0, Native.Stat(fd, out FileFacts facts));
            string identity = FileIdentity.Of(fd, facts);
            Libc.Close(fd);
            return identity;
        }

        string one = Identity(folder.Filled("one", 512));
        string two = Identity(folder.Filled("two", 512));
        Assert.Matches("^file:fsuuid=([0-9a-f-]{36}|none/0x[0-9a-f]+),ino=[0-9]+,btime=([0-9]+\\.[0-9]{9}|none)$", one);
        Assert.False(FileIdentity.Matches(one, two));
        File.Move(folder.File("one"), folder.File("three"));
        File.AppendAllText(folder.File("three"), "more");
        Assert.Equal(one, Identity(folder.File("three")));
    }

    [Theory]
    [InlineData($"{Uuid},ino=12,btime=5.000000001", $"{Uuid},ino=12,btime=5.000000001", true)]
    [InlineData($"{Uuid},ino=12,btime=5.000000001", $"{Uuid},ino=12,btime=5.000000002", false)]
    [InlineData($"{Uuid},ino=12,btime=5.000000001", $"{Uuid},ino=13,btime=5.000000001", false)]
    [InlineData($"{Uuid},ino=12,btime=5.000000001", $"{Uuid}0,ino=12,btime=5.000000001", false)]
    [InlineData($"{Uuid},ino=12,btime=none", $"{Uuid},ino=12,btime=5.000000001", true)]
    [InlineData($"{Uuid},ino=12,btime=5.000000001", "file:fsuuid=none/0xef53,ino=12,btime=5.000000001", true)]
    [InlineData($"{Uuid},ino=12,btime=5.000000001", "file:fsuuid=none/0xef53,ino=12,btime=6.000000001", false)]
    [InlineData($"{Uuid},ino=12,btime=5.000000001", "file:fsuuid=none/0xef53,ino=12,btime=none", false)]
    [InlineData("file:fsuuid=none/0x1,ino=12,btime=5.0", "file:fsuuid=none/0x2,ino=12,btime=5.0", false)]
    [InlineData("file:fsuuid=none/0x1,ino=12,btime=none", "file:fsuuid=none/0x1,ino=12,btime=none", true)]
    [InlineData("file:fsuuid=none/0x1,ino=12,btime=none", "file:fsuuid=none/0x1,ino=12,btime=1.0", false)]
    [InlineData("disk:wwid=x", "file:fsuuid=none/0x1,ino=12,btime=1.0", false)]
    [InlineData("", $"{Uuid},ino=12,btime=5.000000001", false)]
    public void APartThatOneKernelDoesNotTellIsLeftOut(string stored, string found, bool same)
    {
        Assert.Equal(same, FileIdentity.Matches(stored, found));
        Assert.Equal(same, FileIdentity.Matches(found, stored));
    }

    [Fact]
    public void ComparingForeignTextNeverFails() =>
        Gen.Select(Gen.String, Gen.String).Sample((a, b) =>
            FileIdentity.Matches("file:" + a, "file:" + b) == FileIdentity.Matches("file:" + b, "file:" + a));

    [Fact]
    public void DisksAreKnownByWhatTheirMakersWrote()
    {
        using FakeHost host = Host();
        host.AddDisk("nvme0n1", "259:0", null, ("wwid", "eui.0025385b21404f2c"), ("diskseq", "4"));
        host.AddDisk("sda", "8:0", null, ("device/wwid", "t10.ATA     Maker,Model   S3RIAL  "), ("diskseq", "5"));
        host.AddDisk("vda", "254:0", null, ("serial", "backup-1"), ("diskseq", "6"));
        host.AddDisk("mmcblk0", "179:0", null, ("device/cid", "1501004d"), ("device/serial", "0x1"));
        host.AddDisk("dm-0", "252:0", null, ("dm/uuid", "LVM-abc"), ("diskseq", "7"));
        Assert.Equal("disk:wwid=eui.0025385b21404f2c", Disk(host, "259:0"));
        Assert.Equal("disk:wwid=t10.ATA_Maker_Model_S3RIAL", Disk(host, "8:0"));
        Assert.Equal("disk:serial=backup-1", Disk(host, "254:0"));
        Assert.Equal("disk:cid=1501004d", Disk(host, "179:0"));
        Assert.Equal("disk:dm=LVM-abc", Disk(host, "252:0"));
    }

    [Fact]
    public void RaidsAreKnownByTheirUuid()
    {
        using FakeHost host = Host();
        host.AddDisk("md0", "9:0", null, ("md/uuid", "aaaa-bbbb"), ("diskseq", "1"));
        host.AddDisk("md1", "9:1", null, ("diskseq", "2"));
        host.Write("/run/udev/data/b9:1", "N:md1\nE:MD_UUID=1:2:3:4\nE:OTHER=x");
        Assert.Equal("disk:md=aaaa-bbbb", Disk(host, "9:0"));
        Assert.Equal("disk:md=1:2:3:4", Disk(host, "9:1"));
    }

    [Fact]
    public void PartitionsAreKnownByTheirDiskAndTheirPlaceOnIt()
    {
        using FakeHost host = Host();
        host.AddDisk("sda", "8:0", null, ("device/wwid", "naa.5"));
        host.AddDisk("sda1", "8:1", "sda", ("uevent", "MAJOR=8\nPARTN=1\nPARTUUID=1a2b-01"));
        host.AddDisk("sda2", "8:2", "sda", ("start", "4096"));
        Assert.Equal("disk:wwid=naa.5,partuuid=1a2b-01", Disk(host, "8:1"));
        Assert.Equal("disk:wwid=naa.5,part=1,start=4096", Disk(host, "8:2"));
    }

    [Fact]
    public void LoopsAreKnownByTheirFileAndPlace()
    {
        using FakeHost host = Host();
        host.AddDisk(
            "loop0",
            "7:0",
            null,
            ("loop/backing_file", "/a"),
            ("loop/offset", "512"),
            ("loop/sizelimit", "0"),
            ("diskseq", "9"));
        Assert.Equal("disk:loop=(file:x),offset=512,limit=0", Disk(host, "7:0", p => p is "/a" ? "file:x" : null));
        Assert.Equal("disk:boot=b-1,diskseq=9", Disk(host, "7:0"));
    }

    [Fact]
    public void DisksWithoutAnythingLastingAreKnownForOneBoot()
    {
        using FakeHost host = Host();
        host.AddDisk("ram0", "1:0", null, ("diskseq", "9"));
        host.AddDisk("ram0p1", "1:1", "ram0", ("start", "64"));
        string identity = Disk(host, "1:0");
        Assert.Equal("disk:boot=b-1,diskseq=9", identity);
        Assert.Equal("disk:boot=b-1,diskseq=9,part=1,start=64", Disk(host, "1:1"));
        DiskIdentity identities = new(host, _ => null);
        Assert.False(identities.IsOfOtherBoot(identity));
        Assert.False(identities.IsOfOtherBoot("disk:wwid=naa.5"));
        host.Write("/proc/sys/kernel/random/boot_id", "b-2");
        Assert.True(identities.IsOfOtherBoot(identity));
    }
}
