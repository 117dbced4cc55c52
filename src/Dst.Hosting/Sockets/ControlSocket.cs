using System.Net;
using System.Net.Sockets;
using Dst.Interop;

namespace Dst.Hosting.Sockets;

/// <summary>
/// The control socket of a serving process, mode 0600 from its first moment: any number of daemons after one another,
/// at most a few at once. Main thread.
/// </summary>
public sealed class ControlSocket : IDisposable
{
    /// <summary>
    /// Connections at once: the daemon, a successor whose predecessor's end is not seen yet, and somebody who looks.
    /// </summary>
    public const int ConnectionsMax = 8;

    private const uint PrivateUmask = 0x7f;

    private readonly string _path;
    private readonly Socket _listener;
    private readonly Statx? _bound;

    private ControlSocket(string path, Socket listener)
    {
        _path = path;
        _listener = listener;
        _bound = Look(path);
    }

    /// <summary>Listens; a socket of a dead process that is still there is replaced (D-07).</summary>
    /// <param name="path">Path of the socket; its folder is made.</param>
    /// <param name="serve">Serves one connection to its end; must not throw.</param>
    /// <exception cref="SocketException">The socket cannot be made.</exception>
    public static ControlSocket Listen(string path, Func<Socket, Task> serve)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        File.Delete(path);
        Socket listener = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        uint mask = Libc.Umask(PrivateUmask);
        try
        {
            listener.Bind(new PathEndPoint(path));
        }
        finally
        {
            _ = Libc.Umask(mask);
        }

        listener.Listen(ConnectionsMax);
        var bound = new ControlSocket(path, listener);
        _ = AcceptAsync(listener, serve);
        return bound;
    }

    /// <summary>Takes the socket away, but none of a successor; connections go on.</summary>
    public void Dispose()
    {
        // While it is open, or its number could be another file's.
        if (_bound is { } mine && Look(_path) is { } there
            && (mine.Ino, mine.DevMajor, mine.DevMinor) == (there.Ino, there.DevMajor, there.DevMinor))
        {
            File.Delete(_path);
        }

        _listener.Dispose();
    }

    private static Statx? Look(string path) =>
        Libc.Statx(path, LinuxAbi.AT_SYMLINK_NOFOLLOW, LinuxAbi.STATX_INO, out Statx found) >= 0 ? found : null;

    private static async Task AcceptAsync(Socket listener, Func<Socket, Task> serve)
    {
        using var places = new SemaphoreSlim(ConnectionsMax);
        while (true)
        {
            await places.WaitAsync();
            Socket socket;
            try
            {
                socket = await listener.AcceptAsync();
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException)
            {
                return;
            }

            _ = ServeAsync(socket, serve, places);
        }
    }

    private static async Task ServeAsync(Socket socket, Func<Socket, Task> serve, SemaphoreSlim places)
    {
        await serve(socket);
        try
        {
            places.Release();
        }
        catch (ObjectDisposedException)
        {
            // The process ends.
        }
    }

    /// <summary>
    /// The runtime removes whatever is at the path of an endpoint of its own when the socket closes; not of this one.
    /// </summary>
    private sealed class PathEndPoint(string path) : EndPoint
    {
        public override AddressFamily AddressFamily => AddressFamily.Unix;

        public override SocketAddress Serialize() => new UnixDomainSocketEndPoint(path).Serialize();

        // Of a peer that connects; nobody looks at it.
        public override EndPoint Create(SocketAddress socketAddress) => this;
    }
}
