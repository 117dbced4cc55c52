using System.Globalization;
using System.Text;
using Dst.Interop;

namespace Dst.Server.Session;

/// <summary>
/// Keeps a second server off a directory for the life of this process (D-05). The kernel ends that with the process,
/// however it ends.
/// </summary>
internal sealed class ServerLock : IDisposable
{
    private const uint Mode = 0x180; // 0600
    private const int PidBytesMax = 16;

    private readonly int _fd;

    private ServerLock(int fd) => _fd = fd;

    /// <summary>Takes the lock.</summary>
    /// <param name="path">The lock file; made when absent, never removed. It holds the process id of its owner.</param>
    /// <param name="problem">Why it cannot be had.</param>
    /// <returns>Null when it cannot be had; nothing has changed then.</returns>
    public static ServerLock? TryTake(string path, out string problem)
    {
        problem = string.Empty;
        int fd = Libc.Open(
            path, LinuxAbi.O_RDWR | LinuxAbi.O_CREAT | LinuxAbi.O_NOFOLLOW | LinuxAbi.O_CLOEXEC, Mode);
        if (fd < 0)
        {
            problem = $"cannot open {path}: {Errno.Describe(fd)}; check the directory";
            return null;
        }

        int error = Libc.Flock(fd, LinuxAbi.LOCK_EX | LinuxAbi.LOCK_NB);
        if (error < 0)
        {
            problem = error == -Errno.EAGAIN
                ? $"another dst-server{OwnerOf(fd)} serves here: it holds {path}"
                : $"cannot lock {path}: {Errno.Describe(error)}";
            _ = Libc.Close(fd);
            return null;
        }

        // For people; whether it can be written does not matter.
        _ = Libc.Ftruncate(fd, 0);
        _ = Libc.Pwrite(
            fd, Encoding.ASCII.GetBytes(string.Create(CultureInfo.InvariantCulture, $"{Environment.ProcessId}\n")), 0);
        return new ServerLock(fd);
    }

    /// <summary>Gives it back.</summary>
    public void Dispose() => _ = Libc.Close(_fd);

    private static string OwnerOf(int fd)
    {
        Span<byte> text = stackalloc byte[PidBytesMax];
        long length = Libc.Pread(fd, text, 0);
        return length <= 0 ? string.Empty : $" (pid {Encoding.ASCII.GetString(text[..(int)length]).Trim()})";
    }
}
