using Dst.Daemon.Kernel;
using Xunit;

namespace Dst.Daemon.Tests;

public sealed class DeviceUsersTests : IDisposable
{
    private readonly string _root = Directory.CreateTempSubdirectory("dstd-").FullName;
    private readonly DeviceUsers _users;

    public DeviceUsersTests()
    {
        _users = new DeviceUsers($"{_root}/proc", $"{_root}/sys");
        Write("sys/block/ublkb3/dev", "259:7\n");
        Write("sys/block/ublkb3/ublkb3p1/dev", "259:8\n");
        Write("sys/block/ublkb3/ublkb3p1/partition", "1\n");
        Write("proc/1/comm", "init\n");
        Write("proc/1/mountinfo", "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n");
        Directory.CreateDirectory($"{_root}/proc/1/fd");
        Write("proc/swaps", "Filename Type Size Used Priority\n/dev/sda2 partition 1 0 -2\n");
    }

    public void Dispose() => Directory.Delete(_root, recursive: true);

    [Fact]
    public void A_free_device_has_no_users()
    {
        Assert.Empty(_users.Lasting(3));
        Assert.Empty(_users.Openers(3));
    }

    [Theory]
    [InlineData("30 22 259:7 / /mnt\\040a rw - ext4 /dev/whatever rw", "ublkb3 is mounted at /mnt a")]
    [InlineData("30 22 259:8 / /part rw shared:1 master:2 - xfs /dev/x rw", "ublkb3p1 is mounted at /part")]
    [InlineData("30 22 0:45 / /btr rw - btrfs /dev/ublkb3 rw", "ublkb3 is mounted at /btr")]
    public void Mounts_of_another_namespace_are_found(string line, string expected)
    {
        Write("proc/77/mountinfo", line + "\n");
        Assert.Equal([expected], _users.Lasting(3));
        Assert.Empty(_users.Lasting(33));
    }

    [Theory]
    [InlineData("sys/fs/ext4/ublkb3/x")]
    [InlineData("sys/fs/btrfs/0000-1111/devices/ublkb3/x")]
    public void A_detached_mount_is_found_by_its_file_system(string file)
    {
        Write(file, "");
        Assert.Contains("where no process sees it", Assert.Single(_users.Lasting(3)), StringComparison.Ordinal);
    }

    [Fact]
    public void Swap_holders_and_loops_are_found()
    {
        Write("proc/swaps", "Filename Type Size Used Priority\n/dev/ublkb3p1\tpartition 1 0 -2\n");
        Write("sys/block/ublkb3/holders/dm-0/x", "");
        Write("sys/block/loop4/loop/backing_file", "/dev/ublkb3\n");
        Assert.Equal(
            ["ublkb3p1 is used as swap", "ublkb3 is held by dm-0", "ublkb3 is the backing of loop4"],
            _users.Lasting(3));
        Assert.Equal(["ublkb3p1 is used as swap"], _users.Swaps(3));
    }

    [Fact]
    public void Openers_are_named()
    {
        Write("proc/4711/comm", "dd\n");
        Directory.CreateDirectory($"{_root}/proc/4711/fd");
        File.CreateSymbolicLink($"{_root}/proc/4711/fd/0", "socket:[1]");
        File.CreateSymbolicLink($"{_root}/proc/4711/fd/5", "/dev/ublkb3p1");
        Assert.Equal(["ublkb3p1 is open in dd (pid 4711)"], _users.Openers(3));
    }

    [Fact]
    public void Only_block_devices_have_a_device_number() => Assert.Null(Native.BlockDeviceNumber("/dev/null"));

    [Theory]
    [InlineData("plain", "plain")]
    [InlineData("a\\040b\\134c", "a b\\c")]
    [InlineData("end\\04", "end\\04")]
    [InlineData("not\\089", "not\\089")]
    public void Escapes_are_undone(string text, string plain) => Assert.Equal(plain, DeviceUsers.Unescape(text));

    private void Write(string path, string text)
    {
        Directory.CreateDirectory(Path.GetDirectoryName($"{_root}/{path}")!);
        File.WriteAllText($"{_root}/{path}", text);
    }
}
