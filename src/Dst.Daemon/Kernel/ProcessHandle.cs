using System.Globalization;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Dst.Daemon.Kernel;

/// <summary>
/// One process, whoever is its parent, held by a pidfd so that a reused number never means another one (D-04). Any
/// thread.
/// </summary>
internal sealed class ProcessHandle : IDisposable
{
    private const int SocketLevel = 1;
    private const int PeerCredentials = 17;
    private const int PeerPidfd = 77;
    private const int CredentialsBytes = 12;
    private const int WatcherStackBytes = 128 * 1024;

    private readonly SafeFileHandle _file;
    private int _watched;
    private readonly TaskCompletionSource _exited = new(TaskCreationOptions.RunContinuationsAsynchronously);

    private ProcessHandle(int pid, SafeFileHandle file)
    {
        Pid = pid;
        _file = file;
    }

    /// <summary>Process id.</summary>
    public int Pid { get; }

    /// <summary>Completes when the process has ended. The first caller starts the thread that waits for it.</summary>
    public Task Exited
    {
        get
        {
            if (Interlocked.Exchange(ref _watched, 1) == 0)
            {
                Thread watcher = new(Watch, WatcherStackBytes)
                {
                    IsBackground = true,
                    Name = string.Create(CultureInfo.InvariantCulture, $"watch-{Pid}"),
                };
                watcher.Start();
            }

            return _exited.Task;
        }
    }

    /// <summary>Takes hold of a process by number; null when there is none.</summary>
    public static ProcessHandle? Open(int pid)
    {
        SafeFileHandle file = Native.OpenProcess(pid);
        return file.IsInvalid ? null : new ProcessHandle(pid, file);
    }

    /// <summary>Takes hold of the process that listens on the other end; null when it has ended.</summary>
    public static ProcessHandle? OfPeer(Socket socket)
    {
        Span<byte> credentials = stackalloc byte[CredentialsBytes];
        Span<byte> handle = stackalloc byte[sizeof(int)];
        socket.GetRawSocketOption(SocketLevel, PeerCredentials, credentials);
        int pid = MemoryMarshal.Read<int>(credentials);
        try
        {
            socket.GetRawSocketOption(SocketLevel, PeerPidfd, handle);
        }
        catch (SocketException)
        {
            return Open(pid);
        }

        return new ProcessHandle(pid, new SafeFileHandle(MemoryMarshal.Read<int>(handle), ownsHandle: true));
    }

    /// <summary>Ends the process at once.</summary>
    public void Kill() => _ = Native.SendSignal(_file, Native.SignalKill);

    /// <summary>Waits for the end; false when the limit came first.</summary>
    public async Task<bool> WaitAsync(TimeSpan limit) =>
        await Task.WhenAny(Exited, Task.Delay(limit)) == Exited;

    /// <summary>Lets the process go; a watched one is let go by its watcher when it ends.</summary>
    public void Dispose()
    {
        if (Interlocked.Exchange(ref _watched, 1) == 0)
        {
            _file.Dispose();
        }
    }

    private void Watch()
    {
        Native.PollEntry[] entries = [new() { File = (int)_file.DangerousGetHandle(), Events = Native.PollIn }];
        while (Native.Poll(entries, 1, -1) < 0 && Marshal.GetLastPInvokeError() == Native.ErrorInterrupted)
        {
        }

        _exited.TrySetResult();
        _file.Dispose();
    }
}
