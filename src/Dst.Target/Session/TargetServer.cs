using System.Net.Sockets;
using Dst.Control;
using Dst.Hosting;
using Dst.Hosting.Sockets;
using Dst.Target.Devices;

namespace Dst.Target.Session;

/// <summary>The target's socket and the device behind it.</summary>
internal sealed class TargetServer(RunDirectory run, TargetIdentity identity, ProcessLog log)
{
    /// <summary>Serves until <see cref="TargetLife"/> says that it is over.</summary>
    /// <returns>Exit code.</returns>
    public int Run()
    {
        var life = new TargetLife(new TargetDevice(run, identity.Name, log), identity, log);
        using ControlSocket socket = ControlSocket.Listen(
            run.TargetSocket(identity.Name), peer => ServeAsync(peer, life));
        return life.WaitForEnd();
    }

    private static async Task ServeAsync(Socket socket, TargetLife life)
    {
        life.Arrived();
        try
        {
            using var session = new TargetSession(socket, life);
            await session.RunAsync();
        }
        finally
        {
            life.Departed();
        }
    }
}
