using System.Net.Sockets;
using Dst.Control;
using Dst.Target.Devices;

namespace Dst.Target.Session;

/// <summary>The target's socket: any number of daemons after one another, at most a few at once.</summary>
internal sealed class TargetServer(RunDirectory run, TargetIdentity identity, TargetLog log)
{
    /// <summary>Connections at once: the daemon, a successor whose predecessor's end is not seen yet, and somebody who looks.</summary>
    private const int ConnectionsMax = 8;

    private readonly Lock _deviceLock = new();
    private readonly TaskCompletionSource<int> _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Serves until the device is stopped or lost, or the daemon that was making it is gone.</summary>
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
        var device = new TargetDevice(run, identity.Name, log);
        device.Lost += () => _ended.TrySetResult(TargetExit.Failed);
        _ = AcceptAsync(listener, device);
        int code = _ended.Task.GetAwaiter().GetResult();
        lock (_deviceLock)
        {
            if (device.State == "live")
            {
                log.Write("the kernel device was stopped by somebody else");
                device.Release();
            }
            else if (device.State is "new" or "open")
            {
                device.Undo();
            }
        }

        File.Delete(path);
        return code;
    }

    private async Task AcceptAsync(Socket listener, TargetDevice device)
    {
        using var places = new SemaphoreSlim(ConnectionsMax);
        while (true)
        {
            await places.WaitAsync();
            Socket socket = await listener.AcceptAsync();
            _ = ServeAsync(socket, device, places);
        }
    }

    private async Task ServeAsync(Socket socket, TargetDevice device, SemaphoreSlim places)
    {
        using var session = new TargetSession(socket, device, identity, _deviceLock);
        if (await session.RunAsync())
        {
            _ended.TrySetResult(session.StoppedDevice ? TargetExit.Ok : TargetExit.Failed);
        }

        places.Release();
    }
}
