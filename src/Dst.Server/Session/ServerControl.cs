using System.Net.Sockets;
using Dst.Control;
using Dst.Hosting;
using Dst.Hosting.Sockets;
using Dst.Net.Server;
using Dst.Nodes.Backings;
using Dst.Server.Exports;
using Dst.Server.Status;

namespace Dst.Server.Session;

/// <summary>
/// What dstd can have done: exports opened, committed, closed; and when the process ends. One step at a time for each
/// export, those of different exports beside each other. Any thread.
/// </summary>
internal sealed class ServerControl : IDisposable
{
    private readonly ServerOptions _options;
    private readonly ProcessLog _log;
    private readonly FileHoldStore _holds;
    private readonly ServerHost _host;
    private readonly ServerPublisher _publisher;
    private readonly Lock _lock = new();
    private readonly Dictionary<string, ExportWork> _exports = new(StringComparer.Ordinal);
    private readonly TaskCompletionSource<int> _end = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Timer _idleTimer;
    private int _connections;
    private bool _ending;

    /// <summary>Starts a server without exports.</summary>
    /// <param name="options">How.</param>
    /// <param name="log">Takes lines for people.</param>
    public ServerControl(ServerOptions options, ProcessLog log)
    {
        _options = options;
        _log = log;
        Directory.CreateDirectory(options.State.Exports);
        _holds = new FileHoldStore(options.State.Exports);
        _host = new ServerHost(new ServerHostOptions
        {
            Holds = _holds,
            Log = log.Write,
            MemoryBytes = options.MemoryBytes,
            Software = $"dst-server {options.Version}",
        });
        _publisher = new ServerPublisher(options, _host);
        _idleTimer = new Timer(_ => EndIfIdle(), null, options.IdleLimit, Timeout.InfiniteTimeSpan);
    }

    /// <summary>Serves dstd until the process shall end. Main thread.</summary>
    /// <returns>Exit code.</returns>
    public int Run()
    {
        using ControlSocket socket = ControlSocket.Listen(_options.Run.ServerSocket, ServeAsync);
        _publisher.Start();
        int code = _end.Task.GetAwaiter().GetResult();
        _publisher.Stop();
        if (!_host.Stop())
        {
            _log.Write("a disk does not answer; the server ends without it, its backings stay locked until it is done");
        }

        return code;
    }

    /// <summary>Ends the process in good order; exports and holds stay on record.</summary>
    public void Terminate()
    {
        lock (_lock)
        {
            _ending = true;
        }

        _log.Write("terminated; clients are told to come back");
        _end.TrySetResult(ServerExit.Ok);
    }

    /// <summary>What is said first on every connection.</summary>
    public ServerHello Hello() => new()
    {
        Protocol = ServerProtocol.Version,
        Version = _options.Version,
        Pid = Environment.ProcessId,
        Exports = Served(),
        Warning = _options.Warning,
    };

    /// <summary>What is served, by name.</summary>
    public IReadOnlyList<ServedExport> Served()
    {
        Dictionary<string, Dst.Net.Server.ExportStatus> live =
            _host.Status().Exports.ToDictionary(export => export.Name, StringComparer.Ordinal);
        lock (_lock)
        {
            return [.. _exports.Values.OrderBy(work => work.Name, StringComparer.Ordinal).Select(Describe)];
        }

        ServedExport Describe(ExportWork work)
        {
            Dst.Net.Server.ExportStatus? now = live.GetValueOrDefault(work.Name);
            return new ServedExport
            {
                Name = work.Name,
                Uuid = work.Record.Uuid,
                State = work.State,
                Held = now?.IsHeld ?? false,
                Holder = now?.Holder ?? "",
                Peers = [.. (now?.Connections ?? []).Select(connection => connection.Peer)],
            };
        }
    }

    /// <summary>Opens the nodes of an export.</summary>
    /// <exception cref="ControlException">Why it cannot be.</exception>
    /// <exception cref="OperationCanceledException">The daemon that asked is gone.</exception>
    public ExportLayout Open(ExportRecord record, IBackingEvents events, CancellationToken cancellation)
    {
        // The addresses are looked at before a file is made.
        _ = AddressRules.Check(record.Request.Name, record.Request.Listen, record.Request.Allow);
        var work = new ExportWork(record, _options.State, _log);
        lock (_lock)
        {
            if (_ending)
            {
                throw new ControlException(ControlErrorCode.Failure, "the server is ending");
            }

            if (_exports.TryGetValue(work.Name, out ExportWork? same))
            {
                throw new ControlException(ControlErrorCode.Busy, $"export {work.Name} is {same.State} already");
            }

            _exports.Add(work.Name, work);
        }

        try
        {
            return work.Open(_holds, events, cancellation);
        }
        catch
        {
            Drop(work);
            throw;
        }
    }

    /// <summary>Lets clients in.</summary>
    /// <exception cref="ControlException">It was not opened, or cannot be served.</exception>
    public void Commit(string name)
    {
        ExportWork work = Take(name, ExportWorkState.Open, ExportWorkState.Opening);
        try
        {
            work.Commit(_host);
        }
        catch
        {
            Drop(work);
            throw;
        }

        _publisher.Add(work);
        _log.Write($"export {name} is live: {work.Layout!.SizeBytes} bytes on {work.Layout.Nodes.Count} nodes");
    }

    /// <summary>Ends an export, whatever its state but opening.</summary>
    /// <param name="name">The export.</param>
    /// <param name="failPending">Requests that nodes hold back end with an error.</param>
    /// <param name="timeoutMs">How long running requests may take.</param>
    /// <returns>What stays held elsewhere, a line for people each.</returns>
    /// <exception cref="ControlException">
    /// No such export, or it still has requests; then it stays stopping, and this is to be called again.
    /// </exception>
    public IReadOnlyList<string> Close(string name, bool failPending, int timeoutMs)
    {
        ExportWork work = Find(name);
        if (work.State is ExportWorkState.Open)
        {
            return Abandon(work);
        }

        if (work.State is ExportWorkState.Opening)
        {
            work.GiveUp();
            throw new ControlException(ControlErrorCode.Busy, $"export {name} was being opened; that is given up");
        }

        work = TakeForRemoval(name);
        IReadOnlyList<string> notes;
        try
        {
            notes = _host.RemoveExport(name, failPending, timeoutMs);
        }
        catch (ServerException e)
        {
            // Its clients were cut off and its requests may have been failed: it cannot go back to live.
            work.IsBeingEnded = false;
            throw new ControlException(
                ControlErrorCode.TimedOut, $"{e.Message}; it serves nobody any more, so repeat remove-export {name}");
        }

        _publisher.Remove(work);
        work.State = ExportWorkState.Closed;
        Drop(work);
        _log.Write($"export {name} is closed");
        return notes;
    }

    /// <summary>Ends the hold of a client that will not come back (S-04).</summary>
    /// <exception cref="ControlException">No such export, or it was not released.</exception>
    public void Release(string name, int timeoutMs) => Call(name, () => _host.ReleaseHold(name, timeoutMs));

    /// <summary>Takes the error marks of an export away (C-16).</summary>
    /// <exception cref="ControlException">No such export, or a mark stays.</exception>
    public void ClearError(string name) => Call(name, () => _host.ClearError(name));

    /// <summary>Ends the process when nothing is served.</summary>
    /// <exception cref="ControlException">Something is.</exception>
    public void Stop()
    {
        lock (_lock)
        {
            if (_exports.Count > 0)
            {
                throw new ControlException(ControlErrorCode.Busy, $"the server still has {_exports.Count} exports");
            }

            _ending = true;
        }
    }

    /// <summary>A reply was sent: ends the process when that was asked for.</summary>
    public void Leave()
    {
        lock (_lock)
        {
            if (!_ending)
            {
                return;
            }
        }

        _end.TrySetResult(ServerExit.Ok);
    }

    /// <summary>Undoes exports that a lost connection had opened and not committed.</summary>
    public void Abandon(IEnumerable<string> names)
    {
        foreach (string name in names)
        {
            ExportWork? work;
            lock (_lock)
            {
                _ = _exports.TryGetValue(name, out work);
            }

            if (work is { State: ExportWorkState.Open })
            {
                _ = Abandon(work);
            }
        }
    }

    /// <summary>Ends all threads. After <see cref="Run"/>.</summary>
    public void Dispose()
    {
        _idleTimer.Dispose();
        _publisher.Dispose();
        _host.Dispose();
    }

    private async Task ServeAsync(Socket socket)
    {
        Interlocked.Increment(ref _connections);
        using (var session = new ServerSession(socket, this))
        {
            await session.RunAsync();
        }

        if (Interlocked.Decrement(ref _connections) == 0)
        {
            _idleTimer.Change(_options.IdleLimit, Timeout.InfiniteTimeSpan);
        }
    }

    private void EndIfIdle()
    {
        lock (_lock)
        {
            if (_exports.Count > 0 || Volatile.Read(ref _connections) > 0)
            {
                return;
            }

            _ending = true;
        }

        if (_end.TrySetResult(ServerExit.Ok))
        {
            _log.Write($"nothing to serve and no daemon for {_options.IdleLimit.TotalSeconds:0.#} s; the server ends");
        }
    }

    private IReadOnlyList<string> Abandon(ExportWork work)
    {
        lock (_lock)
        {
            if (work.State is not ExportWorkState.Open)
            {
                return [];
            }

            work.State = ExportWorkState.Stopping;
            work.IsBeingEnded = true;
        }

        IReadOnlyList<string> notes = work.Undo();
        Drop(work);
        _log.Write($"export {work.Name}: {string.Join("; ", ["given up before it was served", .. notes])}");
        return notes;
    }

    private void Call(string name, Action step)
    {
        ExportWork work = Find(name);
        if (work.State is not ExportWorkState.Live)
        {
            throw new ControlException(ControlErrorCode.Busy, $"export {name} is {work.State}");
        }

        try
        {
            step();
        }
        catch (ServerException e)
        {
            throw new ControlException(ControlErrorCode.Failure, e.Message);
        }
    }

    private ExportWork Find(string name)
    {
        lock (_lock)
        {
            return _exports.TryGetValue(name, out ExportWork? work)
                ? work
                : throw new ControlException(ControlErrorCode.NotFound, $"the server has no export {name}");
        }
    }

    private ExportWork Take(string name, string from, string to)
    {
        lock (_lock)
        {
            ExportWork work = Find(name);
            if (!string.Equals(work.State, from, StringComparison.Ordinal))
            {
                throw new ControlException(ControlErrorCode.Busy, $"export {name} is {work.State}");
            }

            work.State = to;
            return work;
        }
    }

    /// <summary>A live export, or one whose removal took too long.</summary>
    private ExportWork TakeForRemoval(string name)
    {
        lock (_lock)
        {
            ExportWork work = Find(name);
            if (work.IsBeingEnded || work.State is not (ExportWorkState.Live or ExportWorkState.Stopping))
            {
                throw new ControlException(ControlErrorCode.Busy, $"export {name} is {work.State}");
            }

            work.State = ExportWorkState.Stopping;
            work.IsBeingEnded = true;
            return work;
        }
    }

    private void Drop(ExportWork work)
    {
        lock (_lock)
        {
            _exports.Remove(work.Name);
        }
    }
}
