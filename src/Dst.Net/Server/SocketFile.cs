using System.Net;
using System.Net.Sockets;
using Dst.Interop;

namespace Dst.Net.Server;

/// <summary>The file of a Unix socket that listens. Nothing but such a file is ever removed. Session thread.</summary>
internal sealed class SocketFile
{
    private readonly string _path;
    private readonly Statx _bound;

    private SocketFile(string path, in Statx bound)
    {
        _path = path;
        _bound = bound;
    }

    /// <summary>
    /// Binds a socket to a path. A file that a dead server left behind is replaced; one that somebody serves is not,
    /// and what is no socket least of all.
    /// </summary>
    /// <param name="path">Absolute path.</param>
    /// <param name="file">What is at the path then.</param>
    /// <exception cref="ServerException">Something else is there; it is as it was.</exception>
    /// <exception cref="SocketException">The kernel refuses.</exception>
    /// <exception cref="IOException">Somebody serves the socket that is there.</exception>
    public static Socket Bind(string path, out SocketFile file)
    {
        if (TryLook(path, out Statx there))
        {
            ReplaceDead(path, in there);
        }

        Socket socket = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            socket.Bind(new PathEndPoint(path));
            _ = TryLook(path, out Statx bound);
            file = new SocketFile(path, in bound);
            if (OperatingSystem.IsLinux())
            {
                File.SetUnixFileMode(path, UnixFileMode.UserRead | UnixFileMode.UserWrite);
            }

            return socket;
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    /// <summary>
    /// Removes the file if it is still the one that was bound. While the socket is open, or its number could be another
    /// file's.
    /// </summary>
    public void Remove() => Remove(_path, in _bound);

    private static void ReplaceDead(string path, in Statx there)
    {
        if ((there.Mode & LinuxAbi.S_IFMT) != LinuxAbi.S_IFSOCK)
        {
            throw new ServerException(
                $"unix:{path}: cannot listen: there is {KindOf(there.Mode)}, which is no socket; choose another path");
        }

        using Socket probe = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            probe.Connect(new UnixDomainSocketEndPoint(path));
        }
        catch (SocketException e) when (e.SocketErrorCode == SocketError.ConnectionRefused)
        {
            Remove(path, in there);
            return;
        }

        throw new IOException("somebody serves this socket");
    }

    private static void Remove(string path, in Statx expected)
    {
        if (TryLook(path, out Statx there)
            && (there.Ino, there.DevMajor, there.DevMinor) == (expected.Ino, expected.DevMajor, expected.DevMinor))
        {
            File.Delete(path);
        }
    }

    /// <summary>What is at the path itself, a link not followed.</summary>
    private static bool TryLook(string path, out Statx found) =>
        Libc.Statx(
            path, LinuxAbi.AT_SYMLINK_NOFOLLOW, LinuxAbi.STATX_TYPE | LinuxAbi.STATX_INO, out found) >= 0;

    private static string KindOf(int mode) => (mode & LinuxAbi.S_IFMT) switch
    {
        LinuxAbi.S_IFREG => "a file",
        LinuxAbi.S_IFLNK => "a symbolic link",
        LinuxAbi.S_IFDIR => "a folder",
        LinuxAbi.S_IFBLK or LinuxAbi.S_IFCHR => "a device",
        _ => "something",
    };

    /// <summary>
    /// The runtime removes whatever is at the path of an endpoint of its own when the socket closes; not of this one.
    /// </summary>
    private sealed class PathEndPoint(string path) : EndPoint
    {
        public override AddressFamily AddressFamily => AddressFamily.Unix;

        public override SocketAddress Serialize() => new UnixDomainSocketEndPoint(path).Serialize();
    }
}
