using System.Text;
using Xunit;

namespace Dst.Interop.Tests;

public sealed class LibcTests : IDisposable
{
    private const int PageBytes = 4096;

    private readonly string _directory = Directory.CreateTempSubdirectory("dst-interop-").FullName;

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    [Fact]
    public void Failing_calls_return_minus_errno()
    {
        Assert.Equal(-Errno.ENOENT, Libc.Open(Path("none"), LinuxAbi.O_RDONLY));
        Assert.Equal(-Errno.EBADF, Libc.Close(-1));
        Assert.Equal(-Errno.EBADF, Libc.Pread(-1, new byte[1], 0));
        Assert.Equal(-Errno.EINVAL, Libc.Mmap(0, 0, 0, LinuxAbi.MAP_PRIVATE | LinuxAbi.MAP_ANONYMOUS, -1, 0));
        Assert.Equal(-Errno.ENOTTY, WithFile("f", fd => Libc.Ioctl(fd, BlockAbi.BLKFLSBUF)));
        Assert.Equal(-Errno.ENOENT, Libc.Execve(Path("none"), ["none"], []));
        Assert.Equal(-Errno.ENOENT, Libc.Statx(Path("none"), 0, LinuxAbi.STATX_SIZE, out _));
    }

    [Fact]
    public void Paths_that_c_cannot_carry_are_refused()
    {
        const int flags = LinuxAbi.O_RDONLY;

        Assert.Equal(-Errno.EINVAL, Libc.Open("/tmp\0/x", flags));
        Assert.Equal(-Errno.EINVAL, Libc.Open("/tmp"u8, flags));
        Assert.Equal(-Errno.EINVAL, Libc.Open(ReadOnlySpan<byte>.Empty, flags));
        Assert.Equal(-Errno.EILSEQ, Libc.Open("/tmp/\ud800", flags));
        Assert.Equal(-Errno.ENAMETOOLONG, Libc.Open('/' + new string('x', PageBytes), flags));
        Assert.Equal(-Errno.EINVAL, Libc.Execve("/bin/true", ["a\0b"], []));
        Assert.Equal(-Errno.EILSEQ, Libc.Umount2("/\udc00", 0));
        Assert.Equal(-Errno.EINVAL, Libc.Umount2("/tmp\0", 0));
    }

    [Fact]
    public void A_file_is_written_read_and_described()
    {
        int fd = Libc.Open(Path("ä"), LinuxAbi.O_RDWR | LinuxAbi.O_CREAT | LinuxAbi.O_CLOEXEC, 0x180);
        byte[] back = new byte[3];

        Assert.Equal(3, Libc.Pwrite(fd, "abc"u8, 5));
        Assert.Equal(3, Libc.Pread(fd, back, 5));
        Assert.Equal("abc"u8.ToArray(), back);
        Assert.Equal(0, Libc.Pread(fd, back, 8));
        Assert.Equal(0, Libc.Ftruncate(fd, PageBytes));
        Assert.Equal(0, Libc.Fallocate(fd, BlockAbi.FALLOC_FL_KEEP_SIZE, 0, 2 * PageBytes));
        Assert.Equal(0, Libc.Fdatasync(fd));
        Assert.Equal(0, Libc.Fsync(fd));
        Assert.Equal(0, Libc.Fstatx(fd, LinuxAbi.STATX_BASIC_STATS, out Statx stat));
        Assert.Equal((ulong)PageBytes, stat.Size);
        Assert.Equal(LinuxAbi.S_IFREG | 0x180, stat.Mode);
        Assert.True(File.Exists(Path("ä")));
        Assert.Equal(0, Libc.Close(fd));
    }

    [Fact]
    public void Names_are_made_moved_and_removed()
    {
        const int here = LinuxAbi.AT_FDCWD;
        File.WriteAllText(Path("a"), "a");
        File.WriteAllText(Path("b"), "b");
        Span<byte> target = stackalloc byte[16];

        Assert.Equal(-Errno.EEXIST, Libc.Renameat(here, Path("a"), here, Path("b"), LinuxAbi.RENAME_NOREPLACE));
        Assert.Equal(0, Libc.Renameat(here, Path("a"), here, Path("b")));
        Assert.Equal("a", File.ReadAllText(Path("b")));
        Assert.Equal(0, Libc.Linkat(here, Path("b"), here, Path("c"), 0));
        Assert.Equal(0, Libc.Symlinkat("elsewhere", here, Path("link")));
        Assert.Equal(9, Libc.Readlinkat(here, Path("link"), target));
        Assert.Equal("elsewhere", Encoding.UTF8.GetString(target[..9]));
        Assert.Equal(0, Libc.Mkdirat(here, Path("d"), 0x1c0));
        Assert.Equal(-Errno.EISDIR, Libc.Unlinkat(here, Path("d")));
        Assert.Equal(0, Libc.Unlinkat(here, Path("d"), LinuxAbi.AT_REMOVEDIR));
        Assert.Equal(0, Libc.Unlinkat(here, Path("c")));
        Assert.Equal(-Errno.ENOENT, Libc.Unlinkat(here, Path("c")));
    }

    [Fact]
    public void A_lock_belongs_to_the_open_file_description()
    {
        int first = WithFile("f", fd => Libc.Fcntl(fd, LinuxAbi.F_DUPFD_CLOEXEC), keep: true);
        int second = Libc.Open(Path("f"), LinuxAbi.O_RDWR | LinuxAbi.O_CLOEXEC);
        FileLock range = new() { Type = LinuxAbi.F_WRLCK };

        Assert.Equal(0, Libc.Fcntl(first, LinuxAbi.F_OFD_SETLK, ref range));
        Assert.Equal(-Errno.EAGAIN, Libc.Fcntl(second, LinuxAbi.F_OFD_SETLK, ref range));
        Assert.Equal(0, Libc.Fcntl(second, LinuxAbi.F_OFD_GETLK, ref range));
        Assert.Equal(LinuxAbi.F_WRLCK, range.Type);
        Assert.Equal(-1, range.Pid);
        Assert.Equal(0, Libc.Close(first));

        range = new FileLock { Type = LinuxAbi.F_WRLCK };
        Assert.Equal(0, Libc.Fcntl(second, LinuxAbi.F_OFD_SETLK, ref range));
        Assert.Equal(0, Libc.Close(second));
    }

    [Fact]
    public unsafe void Memory_is_mapped_populated_and_locked()
    {
        const int protection = LinuxAbi.PROT_READ | LinuxAbi.PROT_WRITE;
        nint memory = Libc.Mmap(
            0, 2 * PageBytes, protection, LinuxAbi.MAP_PRIVATE | LinuxAbi.MAP_ANONYMOUS, -1, 0);

        Assert.True(memory > 0, Errno.Describe((int)memory));
        Assert.Equal(0, Libc.Madvise(memory, 2 * PageBytes, LinuxAbi.MADV_POPULATE_WRITE));
        Assert.Equal(0, Libc.Madvise(memory, 2 * PageBytes, LinuxAbi.MADV_DONTDUMP));
        Assert.Equal(0, Libc.Madvise(memory, 2 * PageBytes, LinuxAbi.MADV_DONTFORK));
        Assert.Equal(0, Libc.Mlock(memory, 2 * PageBytes));
        *(byte*)memory = 1;
        Assert.Equal(0, Libc.Munlock(memory, 2 * PageBytes));
        Assert.Equal(0, Libc.Munmap(memory, 2 * PageBytes));
    }

    [Fact]
    public void An_eventfd_wakes_a_poll()
    {
        int fd = Libc.Eventfd(0, LinuxAbi.EFD_CLOEXEC | LinuxAbi.EFD_NONBLOCK);
        PollFd[] wait = [new() { Fd = fd, Events = LinuxAbi.POLLIN }];
        byte[] count = new byte[8];

        Assert.Equal(0, Libc.Poll(wait, 0));
        Assert.Equal(-Errno.EAGAIN, Libc.Read(fd, count));
        Assert.Equal(8, Libc.Write(fd, BitConverter.GetBytes(7ul)));
        Assert.Equal(1, Libc.Poll(wait, 0));
        Assert.Equal(LinuxAbi.POLLIN, wait[0].Revents);
        Assert.Equal(8, Libc.Read(fd, count));
        Assert.Equal(7ul, BitConverter.ToUInt64(count));
        Assert.Equal(0, Libc.Close(fd));
    }

    [Fact]
    public void The_process_knows_itself()
    {
        Span<ulong> cpus = stackalloc ulong[16];
        int pidFd = Libc.PidfdOpen(Environment.ProcessId);

        Assert.True(Libc.Gettid() > 0);
        Assert.True(pidFd >= 0, Errno.Describe(pidFd));
        Assert.Equal(0, Libc.PidfdSendSignal(pidFd, 0));
        Assert.Equal(0, Libc.Close(pidFd));
        Assert.Equal(0, Libc.GetLimit(0, LinuxAbi.RLIMIT_NOFILE, out ResourceLimit limit));
        Assert.InRange(limit.Current, 1ul, limit.Maximum);
        Assert.Equal(0, Libc.SetLimit(0, LinuxAbi.RLIMIT_NOFILE, limit));
        Assert.True(Libc.SchedGetaffinity(0, cpus) >= 0);
        Assert.NotEqual(0ul, cpus[0]);
        Assert.Equal(0, Libc.Uname(out UtsName name));
        Assert.Equal(
            File.ReadAllText("/proc/sys/kernel/osrelease").TrimEnd(),
            Encoding.UTF8.GetString(name.Release[..name.Release[..].IndexOf((byte)0)]));
        Assert.Equal(0, Libc.ClockGettime(LinuxAbi.CLOCK_REALTIME, out KernelTimespec time));
        Assert.InRange(time.TvSec - DateTimeOffset.UtcNow.ToUnixTimeSeconds(), -2, 2);
        Assert.Equal(0, Libc.GetEffectiveCapabilities(0, out ulong capabilities));
        string line = File.ReadLines("/proc/thread-self/status")
            .First(l => l.StartsWith("CapEff:", StringComparison.Ordinal));
        Assert.Equal(Convert.ToUInt64(line[7..].Trim(), 16), capabilities);
    }

    [Fact]
    public void A_thread_gets_its_name() => OnOwnThread(() =>
    {
        Assert.Equal(0, Libc.SetThreadName("queue-3\0"u8));
        Assert.Equal("queue-3", File.ReadAllText("/proc/thread-self/comm").TrimEnd());
        Assert.Equal(-Errno.EINVAL, Libc.SetThreadName("queue-3"u8));
    });

    [Fact]
    public void A_private_mount_is_seen_by_its_thread_only()
    {
        string place = Directory.CreateDirectory(Path("mount")).FullName;
        string? refused = null;
        OnOwnThread(() =>
        {
            int result = Libc.Unshare(LinuxAbi.CLONE_NEWNS);
            if (result < 0)
            {
                refused = $"unshare: {Errno.Describe(result)}";
                return;
            }

            Assert.Equal(0, Libc.Mount(null, "/", null, LinuxAbi.MS_REC | LinuxAbi.MS_PRIVATE));
            Assert.Equal(0, Libc.Mount("none", place, "tmpfs", 0, "size=1m"));
            File.WriteAllText(System.IO.Path.Combine(place, "seen"), "");
            int fd = Libc.Open(place, LinuxAbi.O_PATH | LinuxAbi.O_DIRECTORY | LinuxAbi.O_CLOEXEC);
            Assert.Equal(0, Libc.Fstatfs(fd, out StatFs stat));
            Assert.Equal(LinuxAbi.TMPFS_MAGIC, (uint)stat.Type);
            Assert.Equal(0, Libc.Close(fd));
            Assert.Equal(0, Libc.Umount2(place, LinuxAbi.MNT_DETACH));
            Assert.Equal(0, Libc.Mount("none", place, "tmpfs", 0));
        });

        Assert.SkipWhen(refused is not null, refused ?? "");
        Assert.DoesNotContain(place, File.ReadAllText("/proc/self/mounts"), StringComparison.Ordinal);
    }

    [Fact]
    public unsafe void Calls_on_the_data_road_allocate_nothing()
    {
        int fd = Libc.MemfdCreate("allocation\0"u8, LinuxAbi.MFD_CLOEXEC);
        Span<byte> buffer = stackalloc byte[16];
        long before = 0;
        for (int i = 0; i < 2000; i++)
        {
            if (i == 1000)
            {
                before = GC.GetAllocatedBytesForCurrentThread();
            }

            Libc.Pwrite(fd, buffer, i);
            Libc.Pread(fd, buffer, i);
            Libc.Fdatasync(fd);
            Libc.Close(Libc.Open("/dev/null\0"u8, LinuxAbi.O_RDONLY));
            Libc.Open("/dev/null"u8, LinuxAbi.O_RDONLY);
            IoUringCalls.EnterTimeout(-1, 0, 1, 0, 1);
            Libc.Fstatx(fd, LinuxAbi.STATX_SIZE, out _);
        }

        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
        Assert.Equal(0, Libc.Close(fd));
    }

    private static void OnOwnThread(Action action)
    {
        Exception? failure = null;
        Thread thread = new(() =>
        {
            try
            {
                action();
            }
#pragma warning disable CA1031 // carried to the test's own thread
            catch (Exception e)
            {
                failure = e;
            }
        });
        thread.Start();
        thread.Join();
        if (failure is not null)
        {
            throw new InvalidOperationException($"on its own thread: {failure.Message}", failure);
        }
    }

    private string Path(string name) => System.IO.Path.Combine(_directory, name);

    private int WithFile(string name, Func<int, int> use, bool keep = false)
    {
        int fd = Libc.Open(Path(name), LinuxAbi.O_RDWR | LinuxAbi.O_CREAT | LinuxAbi.O_CLOEXEC, 0x180);
        int result = use(fd);
        Assert.Equal(0, Libc.Close(fd));
        Assert.True(!keep || result >= 0, Errno.Describe(result));
        return result;
    }
}
