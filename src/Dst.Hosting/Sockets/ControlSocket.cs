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

    private ControlSocket(string path, Socket listener)
    {
        _path = path;
        _listener = listener;
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
            listener.Bind(new UnixDomainSocketEndPoint(path));
        }
        finally
        {
            _ = Libc.Umask(mask);
        }

        listener.Listen(ConnectionsMax);
        _ = AcceptAsync(listener, serve);
        return new ControlSocket(path, listener);
    }

    /// <summary>Takes the socket away; connections go on.</summary>
    public void Dispose()
    {
        File.Delete(_path);
        _listener.Dispose();
    }

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
}
