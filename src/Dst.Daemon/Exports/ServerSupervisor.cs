using Dst.Control;
using Dst.Daemon.Logging;
using Dst.Daemon.Objects;
using Dst.Daemon.Store;

namespace Dst.Daemon.Exports;

/// <summary>
/// The one server of exports: found when an earlier daemon left it, started when the first export needs it, started
/// again after it died, with pauses that grow while it keeps dying; ended when no export is left. Any thread.
/// </summary>
/// <param name="options">Directories, programs, limits.</param>
/// <param name="log">The log.</param>
/// <param name="onEvent">Called for every event of the server.</param>
internal sealed class ServerSupervisor(DaemonOptions options, ILogger log, Action<ServerReply> onEvent) : IDisposable
{
    private static readonly TimeSpan ConnectPause = TimeSpan.FromMilliseconds(20);

    private readonly SemaphoreSlim _one = new(1, 1);
    private volatile ServerSession? _session;
    private TimeSpan _pause = TimeSpan.Zero;
    private long _startedAt;

    /// <summary>The server, when there is one.</summary>
    public ServerSession? Current => _session is { Process.Exited.IsCompleted: false } session ? session : null;

    /// <summary>The server that runs, without starting one.</summary>
    /// <returns>Null when none runs.</returns>
    /// <exception cref="ControlException">Somebody answers at its socket who cannot be spoken to.</exception>
    public async Task<ServerSession?> FindAsync(CancellationToken cancel)
    {
        await _one.WaitAsync(cancel);
        try
        {
            return Current ?? await AdoptAsync(cancel);
        }
        finally
        {
            _one.Release();
        }
    }

    /// <summary>The server, started when none runs.</summary>
    /// <exception cref="ControlException">It cannot be had.</exception>
    public async Task<ServerSession> EnsureAsync(CancellationToken cancel)
    {
        await _one.WaitAsync(cancel);
        try
        {
            return Current ?? await AdoptAsync(cancel) ?? await StartAsync(cancel);
        }
        finally
        {
            _one.Release();
        }
    }

    /// <summary>Ends the server when nothing needs it.</summary>
    /// <param name="isWanted">Looked at when nobody can be starting one.</param>
    public async Task StopIdleAsync(Func<bool> isWanted)
    {
        await _one.WaitAsync();
        try
        {
            if (isWanted() || Current is not { } session)
            {
                return;
            }

            ServerRequest stop = new() { RequestId = 0, Command = ServerProtocol.ServerCommand.Stop };
            await session.AskAsync(stop, "stopping it", options.Timing.Hello, CancellationToken.None);
            await session.Process.WaitAsync(options.Timing.ProcessEnd);
            session.Dispose();
            _session = null;
        }
        catch (ControlException e)
        {
            // It ends by itself when it has had nothing to serve for a while.
            log.ServerWarning(e.Message);
        }
        finally
        {
            _one.Release();
        }
    }

    /// <summary>Closes the connection; the server goes on.</summary>
    public void Dispose()
    {
        _session?.Dispose();
        _one.Dispose();
    }

    private async Task<ServerSession?> AdoptAsync(CancellationToken cancel)
    {
        ServerConnection? connection = await ServerConnection.OpenAsync(
            options.Run.ServerSocket, options.Timing.Hello, onEvent, cancel);
        if (connection is null)
        {
            return null;
        }

        ServerSession session = Accept(ServingProcess.Adopt(connection.Process, "server"), connection);
        log.ServerAdopted(session.Process.Pid);
        return session;
    }

    private async Task<ServerSession> StartAsync(CancellationToken cancel)
    {
        await Task.Delay(NextPause(), cancel);
        RefuseBesideAnother();
        ClearTree();
        ServingProcess process = ServingProcess.StartServer(options);
        try
        {
            ServerSession session = await ConnectAsync(process, cancel);
            log.ServerStarted(process.Pid);
            return session;
        }
        catch
        {
            // Whatever it was: a server that nobody knows would keep the socket.
            process.Kill();
            await process.WaitAsync(options.Timing.ProcessEnd);
            throw;
        }
    }

    // One that lives on without its socket, such as after somebody emptied the run directory.
    private void RefuseBesideAnother()
    {
        string? owner = InstanceLock.HeldBy(options.Run.ServerLock) ?? InstanceLock.HeldBy(options.State.ServerLock);
        if (owner is not null)
        {
            throw new ControlException(
                ControlErrorCode.Busy,
                $"a dst-server{owner} that does not answer at {options.Run.ServerSocket} serves here still; "
                + "end that process, exports then come back by themselves");
        }
    }

    private async Task<ServerSession> ConnectAsync(ServingProcess process, CancellationToken cancel)
    {
        long begin = TimeProvider.System.GetTimestamp();
        while (options.Timing.Connect - TimeProvider.System.GetElapsedTime(begin) is var left && left > TimeSpan.Zero)
        {
            if (process.Exited.IsCompleted)
            {
                throw new ControlException(
                    ControlErrorCode.Failure,
                    $"{await process.EndAsync()} before it served anything; its log says more");
            }

            ServerConnection? connection = await ServerConnection.OpenAsync(
                options.Run.ServerSocket, options.Timing.AtLeastHello(left), onEvent, cancel);
            if (connection is not null && connection.Process.Pid == process.Pid)
            {
                return Accept(process, connection);
            }

            connection?.Dispose();
            await Task.Delay(ConnectPause, cancel);
        }

        throw new ControlException(
            ControlErrorCode.TimedOut,
            $"server (pid {process.Pid}) did not open its socket within {options.Timing.Connect.TotalSeconds:0.#} s");
    }

    private ServerSession Accept(ServingProcess process, ServerConnection connection)
    {
        if (connection.Hello.Protocol is > ServerProtocol.Version or < ServerProtocol.Version - 1)
        {
            string problem = $"server (pid {process.Pid}, version {connection.Hello.Version}) speaks protocol "
                + $"{connection.Hello.Protocol}, this dstd {ServerProtocol.Version}; use the dstd of its version";
            connection.Dispose();
            throw new ControlException(ControlErrorCode.Failure, problem);
        }

        _session?.Dispose();
        ServerSession session = new(options, process, connection, onEvent);
        _session = session;
        return session;
    }

    // No pause for a server that has lived a while; one that dies at once must not keep the host busy.
    private TimeSpan NextPause()
    {
        bool livedLong = _startedAt == 0
            || TimeProvider.System.GetElapsedTime(_startedAt) > options.Timing.ServerSettled + _pause;
        TimeSpan next = _pause * 2 < options.Timing.ServerPauseLongest ? _pause * 2 : options.Timing.ServerPauseLongest;
        _pause = livedLong ? TimeSpan.Zero
            : next == TimeSpan.Zero ? options.Timing.ServerPauseFirst
            : next;
        _startedAt = TimeProvider.System.GetTimestamp();
        return _pause;
    }

    // Of a server that died: nobody may take its numbers for those of the next one.
    private void ClearTree()
    {
        foreach (string tree in (string[])[options.Run.Server, options.Run.Exports])
        {
            try
            {
                if (Directory.Exists(tree))
                {
                    Directory.Delete(tree, recursive: true);
                }
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                log.ServerWarning(e.Message);
            }
        }
    }
}
