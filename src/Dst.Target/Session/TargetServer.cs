using System.Net.Sockets;
using Dst.Control;
using Dst.Target.Devices;

namespace Dst.Target.Session;

/// <summary>The target's socket: any number of daemons after one another, at most a few at once.</summary>
internal sealed class TargetServer(RunDirectory run, TargetIdentity identity, TargetLog log)
{
    /// <summary>
    /// Connections at once: the daemon, a successor whose predecessor's end is not seen yet, and somebody who looks.
    /// </summary>
    private const int ConnectionsMax = 8;

    /// <summary>Serves until <see cref="TargetLife"/> says that it is over.</summary>
    /// <returns>Exit code.</returns>
    public int Run()
    {
        string path = run.TargetSocket(identity.Name);
        Directory.CreateDirectory(run.Targets);
        File.Delete(path);
        using var listener = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        uint mask = Dst.Interop.Libc.Umask(0x7f);
        listener.Bind(new UnixDomainSocketEndPoint(path));
        _ = Dst.Interop.Libc.Umask(mask);
        listener.Listen(ConnectionsMax);
        var life = new TargetLife(new TargetDevice(run, identity.Name, log), identity, log);
        _ = AcceptAsync(listener, life);
        int code = life.WaitForEnd();
        File.Delete(path);
        return code;
    }

    private static async Task AcceptAsync(Socket listener, TargetLife life)
    {
        using var places = new SemaphoreSlim(ConnectionsMax);
        while (true)
        {
            await places.WaitAsync();
            Socket socket = await listener.AcceptAsync();
            _ = ServeAsync(socket, life, places);
        }
    }

    private static async Task ServeAsync(Socket socket, TargetLife life, SemaphoreSlim places)
    {
        life.Arrived();
        using (var session = new TargetSession(socket, life))
        {
            await session.RunAsync();
        }

        life.Departed();
        places.Release();
    }
}
