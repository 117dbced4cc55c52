using Dst.Control;
using Dst.Daemon.Devices;
using Dst.Daemon.Logging;
using Dst.Daemon.Store;

namespace Dst.Daemon.Exports;

/// <summary>
/// Everything that is done to one export, one operation at a time; a stuck one blocks no other export and no status
/// (D-09). Any thread may call; a second operation is refused as busy.
/// </summary>
internal sealed partial class ExportWorker
{
    private readonly ExportServices _services;
    private readonly Action<ExportWorker> _onGone;
    private readonly OperationGate _gate;
    private readonly CancellationToken _lifetime;
    private readonly Lock _viewLock = new();
    private CancellationTokenSource _cancel;
    private volatile ExportView _view;
    private volatile ServerSession? _session;
    private StoredRecord<ExportRecord>? _stored;
    private volatile bool _gone;

    /// <summary>Makes a worker that does nothing yet.</summary>
    /// <param name="services">What it works with.</param>
    /// <param name="name">Name of the export.</param>
    /// <param name="view">What it shows at first.</param>
    /// <param name="onGone">Called once when the export exists no more.</param>
    /// <param name="lifetime">Ends with the daemon.</param>
    public ExportWorker(
        ExportServices services,
        string name,
        ExportView view,
        Action<ExportWorker> onGone,
        CancellationToken lifetime)
    {
        _services = services;
        Name = name;
        _view = view;
        _onGone = onGone;
        _lifetime = lifetime;
        _gate = new OperationGate($"export {name}", services.Timing);
        _cancel = CancellationTokenSource.CreateLinkedTokenSource(lifetime);
    }

    /// <summary>Name of the export.</summary>
    public string Name { get; }

    /// <summary>What the export shows now; never waits.</summary>
    public ExportView View => _view;

    /// <summary>The creation or the restore, which outlives the call that began it.</summary>
    public Task Work { get; private set; } = Task.CompletedTask;

    /// <summary>Begins the creation; its outcome is that of <see cref="Work"/>.</summary>
    public void Create(ExportRecord record)
    {
        CancellationToken cancel = _cancel.Token;
        Work = Task.Run(() => CreateAsync(record, cancel));
    }

    /// <summary>Begins adoption or restore from what was found at start, tried again for as long as it takes.</summary>
    public void Restore(StoredRecord<ExportRecord> stored)
    {
        _stored = stored;
        CancellationToken cancel = _cancel.Token;
        Work = Task.Run(() => RestoreLoopAsync(stored, cancel));
    }

    /// <summary>Shows an event of the server. Never waits.</summary>
    public void OnEvent(ServerReply reply) => Show(view => view.IsLive ? view : view with
    {
        ProgressBytes = reply.ProgressBytes ?? view.ProgressBytes,
        ProgressTotalBytes = reply.ProgressTotalBytes ?? view.ProgressTotalBytes,
        Reason = reply.Waiting ?? view.Reason,
    });

    /// <summary>Ends the hold of a client that will not come back (S-04).</summary>
    /// <param name="timeout">How long its running requests may take.</param>
    /// <exception cref="ControlException">Why it still holds.</exception>
    public Task ReleaseAsync(TimeSpan timeout) => CallAsync(
        new ServerRequest
        {
            RequestId = 0,
            Command = ServerProtocol.ServerCommand.ReleaseExport,
            Name = Name,
            TimeoutMs = (int)timeout.TotalMilliseconds,
        },
        "releasing",
        timeout + _services.Timing.StopGrace);

    /// <summary>Clears the error marks of all nodes (C-16).</summary>
    /// <exception cref="ControlException">Why a mark stays.</exception>
    public Task ClearErrorAsync() => CallAsync(
        new ServerRequest { RequestId = 0, Command = ServerProtocol.ServerCommand.ClearError, Name = Name },
        "clearing errors of",
        _services.Timing.Start);

    private async Task CallAsync(ServerRequest request, string doing, TimeSpan limit)
    {
        await _gate.EnterAsync(request.Command, TimeSpan.Zero);
        try
        {
            if (_session is not { } session)
            {
                throw new ControlException(
                    ControlErrorCode.Failure,
                    $"export {Name} is not served now ({_view.Reason ?? _view.State}); try again when it is live");
            }

            await session.AskAsync(request, $"{doing} export {Name}", limit, _lifetime);
        }
        finally
        {
            _gate.Leave();
        }
    }

    private async Task CreateAsync(ExportRecord record, CancellationToken cancel)
    {
        await _gate.EnterAsync(DeviceState.Creating, Timeout.InfiniteTimeSpan);
        try
        {
            try
            {
                Save(record);
            }
            catch (ControlException)
            {
                Vanish();
                throw;
            }

            if (await ServeAsync(record, cancel) is { } error)
            {
                _services.Log.ExportNotCreated(Name, error.Message);
                RollBack(error);
                throw new ControlException(error.Code, error.Message);
            }
        }
        finally
        {
            _gate.Leave();
        }
    }

    // From a stored record to clients that can come (D-02): nodes open and layout known, layout durable, commit.
    private async Task<ControlError?> ServeAsync(ExportRecord record, CancellationToken cancel)
    {
        ServerSession? session = null;
        try
        {
            session = await _services.Server.EnsureAsync(cancel);
            ExportRecord opened = await OpenAsync(session, record, cancel);
            cancel.ThrowIfCancellationRequested();
            ServerRequest commit = new()
            {
                RequestId = 0,
                Command = ServerProtocol.ServerCommand.CommitExport,
                Name = Name,
            };
            await session.AskAsync(commit, $"starting export {Name}", _services.Timing.Start, CancellationToken.None);
            GoLive(session, Complete(opened));
            _services.Log.ExportLive(Name, session.Process.Pid);
            return null;
        }
        catch (Exception e)
        {
            ControlError error = e switch
            {
                ControlException control => control.Error,
                OperationCanceledException => new(ControlErrorCode.Failure, $"export {Name}: given up on request"),
                _ => new(ControlErrorCode.Failure, $"export {Name}: {e.Message.ReplaceLineEndings(" ")}"),
            };
            await CloseQuietlyAsync(session);
            return error;
        }
    }

    private async Task<ExportRecord> OpenAsync(ServerSession session, ExportRecord record, CancellationToken cancel)
    {
        ServerRequest open = new()
        {
            RequestId = 0,
            Command = ServerProtocol.ServerCommand.OpenExport,
            Record = record,
        };
        ServerReply reply = await session.AskAsync(open, $"opening export {Name}", limit: null, cancel);
        ExportLayout layout = reply.Layout
            ?? throw new ControlException(ControlErrorCode.Failure, $"server told no layout of export {Name}");
        if (record.Layout is { } known)
        {
            return SameLayout(known, layout)
                ? record
                : throw new ControlException(
                    ControlErrorCode.Failure, $"server derived another layout of export {Name} than the stored one");
        }

        ExportRecord opened = record with { Layout = layout, Starting = true };
        Save(opened);
        return opened;
    }

    // Written twice: then the generation before the newest one can bring the export back as well.
    private ExportRecord Complete(ExportRecord record)
    {
        if (!record.Starting)
        {
            return record;
        }

        ExportRecord complete = record with { Starting = false };
        Save(complete);
        Save(complete);
        return complete;
    }

    // Of what did not come to be; while the server is still opening it, it is told to give up and asked again.
    private async Task CloseQuietlyAsync(ServerSession? session)
    {
        long begin = TimeProvider.System.GetTimestamp();
        ServerRequest close = new()
        {
            RequestId = 0,
            Command = ServerProtocol.ServerCommand.CloseExport,
            Name = Name,
            FailPending = true,
        };
        while (session is not null && TimeProvider.System.GetElapsedTime(begin) < _services.Timing.ProcessEnd)
        {
            try
            {
                await session.AskAsync(close, $"undoing export {Name}", _services.Timing.Hello, CancellationToken.None);
                return;
            }
            catch (ControlException e) when (e.Error.Code == ControlErrorCode.Busy)
            {
                await Task.Delay(_services.Timing.RetryFirst / 10, CancellationToken.None);
            }
            catch (ControlException)
            {
                return;
            }
        }
    }

    private void GoLive(ServerSession session, ExportRecord record)
    {
        _session = session;
        List<string> warnings = _stored?.Warning is { } warning ? [warning] : [];
        if (session.Warning is { } lacks)
        {
            warnings.Add($"server: {lacks}");
        }

        Show(_ => new ExportView(DeviceState.Live, record) { Pid = session.Process.Pid, Warnings = warnings });
        _ = WatchAsync(session);
    }

    // Clients wait and come back: the server is started again and gets the export again.
    private async Task WatchAsync(ServerSession session)
    {
        await session.Process.Exited;
        await _gate.EnterAsync(OperationGate.Clearing, Timeout.InfiniteTimeSpan);
        try
        {
            if (!ReferenceEquals(_session, session) || _lifetime.IsCancellationRequested || _gone)
            {
                return;
            }

            string how = await session.Process.EndAsync();
            _session = null;
            _services.Log.ExportFailed(Name, how);
            Show(old => new ExportView(DeviceState.Starting, old.Record) { Reason = $"{how}; bringing it back" });
            Restore(new StoredRecord<ExportRecord>(Name, _view.Record, null, null, false));
        }
        finally
        {
            _gate.Leave();
        }
    }

    private void RollBack(ControlError error)
    {
        try
        {
            DropRecord();
            Vanish();
        }
        catch (ControlException e)
        {
            Show(view => view with
            {
                State = DeviceState.Failed,
                Reason = $"creation failed ({error.Message}) and is not undone ({e.Error.Message}); remove it",
            });
        }
    }

    private void Save(ExportRecord record)
    {
        _services.Store.Save(record);
        Show(view => view with { Record = record });
    }

    private void Show(Func<ExportView, ExportView> change)
    {
        lock (_viewLock)
        {
            _view = change(_view);
        }
    }

    private void Vanish()
    {
        _gone = true;
        _onGone(this);
    }

    // Records first: a crash in between leaves files that the next export of this name clears away.
    private void DropRecord()
    {
        _services.Store.Remove(Name);
        StateDirectory state = _services.Options.State;
        try
        {
            File.Delete(state.ExportMarks(Name));
            File.Delete(state.ExportHold(Name));
            string tree = _services.Options.Run.Export(Name);
            if (Directory.Exists(tree))
            {
                Directory.Delete(tree, recursive: true);
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            _services.Log.ExportWarning(Name, e.Message);
        }
    }

    private void Forget()
    {
        DropRecord();
        _services.Log.ExportRemoved(Name);
        Vanish();
    }

    private static bool SameLayout(ExportLayout left, ExportLayout right) =>
        System.Text.Json.JsonSerializer.SerializeToUtf8Bytes(left, ControlJson.Default.ExportLayout).AsSpan()
            .SequenceEqual(
                System.Text.Json.JsonSerializer.SerializeToUtf8Bytes(right, ControlJson.Default.ExportLayout));
}
