using Dst.Control;
using Dst.Core.Volumes;
using Dst.Daemon.Logging;
using Dst.Daemon.Objects;
using Dst.Daemon.Store;

namespace Dst.Daemon.Exports;

/// <summary>
/// Everything that is done to one export, one operation at a time; a stuck one blocks no other export and no status
/// (D-09). Any thread may call; a second operation is refused as busy.
/// </summary>
internal sealed partial class ExportWorker : ObjectWorker<ExportView, ExportRecord, ServerSession>
{
    private readonly ExportServices _services;
    private readonly ServedVolume _served;

    /// <summary>Makes a worker that does nothing yet.</summary>
    /// <param name="services">What it works with.</param>
    /// <param name="name">Name of the export.</param>
    /// <param name="view">What it shows at first.</param>
    /// <param name="onGone">Called once, with the name, when the export exists no more.</param>
    /// <param name="lifetime">Ends with the daemon.</param>
    public ExportWorker(
        ExportServices services, string name, ExportView view, Action<string> onGone, CancellationToken lifetime)
        : base(NameSpace.Export, name, view, services.Store, services.Timing, onGone, lifetime)
    {
        _services = services;
        _served = new ServedVolume(NameSpace.Export, name, services.Options.State.ExportMarks(name));
    }

    /// <summary>Begins the creation.</summary>
    /// <exception cref="ControlException">A process that no record tells of serves an export of that name.</exception>
    public void Create(ExportRecord record)
    {
        _served.RefuseIfServed();
        Create(record, cancel => CreateAsync(record, cancel));
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
        await Gate.EnterAsync(request.Command, TimeSpan.Zero);
        try
        {
            if (Session is not { } session)
            {
                throw new ControlException(
                    ControlErrorCode.Failure,
                    $"export {Name} is not served now ({View.Reason ?? View.State}); try again when it is live");
            }

            await session.AskAsync(request, $"{doing} export {Name}", limit, Lifetime);
        }
        finally
        {
            Gate.Leave();
        }
    }

    private async Task CreateAsync(ExportRecord record, CancellationToken cancel)
    {
        if (await ServeAsync(record, cancel) is { } error)
        {
            _services.Log.ExportNotCreated(Name, error.Message);
            string stays = RollBack(error);
            throw new ControlException(error.Code, error.Message + stays);
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
        Session = session;
        List<string> warnings = Stored?.Warning is { } warning ? [warning] : [];
        if (session.Warning is { } lacks)
        {
            warnings.Add($"server: {lacks}");
        }

        Show(_ => new ExportView(ObjectState.Live, record) { Pid = session.Process.Pid, Warnings = warnings });
        _ = WatchAsync(session);
    }

    // Clients wait and come back: the server is started again and gets the export again.
    private async Task WatchAsync(ServerSession session)
    {
        await session.Process.Exited;
        await Gate.EnterAsync(OperationGate.Clearing, Timeout.InfiniteTimeSpan);
        try
        {
            if (!ReferenceEquals(Session, session) || Lifetime.IsCancellationRequested || IsGone)
            {
                return;
            }

            string how = await session.Process.EndAsync();
            Session = null;
            _services.Log.ExportFailed(Name, how);
            Show(old => new ExportView(ObjectState.Starting, old.Record) { Reason = $"{how}; bringing it back" });
            Restore(new StoredRecord<ExportRecord>(Name, View.Record, null, null, false));
        }
        finally
        {
            Gate.Leave();
        }
    }

    /// <inheritdoc/>
    protected override void DropRecord()
    {
        _services.Store.Remove(Name);
        StateDirectory state = _services.Options.State;
        try
        {
            if (_served.Problem() is { } problem)
            {
                _services.Log.ExportWarning(Name, $"its error marks stay: {problem}");
                return;
            }

            File.Delete(state.ExportMarks(Name));
            File.Delete(state.ExportHold(Name));
            for (int i = 0; i < VolumeLimits.NodesMax; i++)
            {
                File.Delete(state.ExportNodeEpoch(Name, i));
            }

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

    /// <inheritdoc/>
    protected override void LogRemoved() => _services.Log.ExportRemoved(Name);

    /// <inheritdoc/>
    protected override void LogFailed(string reason) => _services.Log.ExportFailed(Name, reason);

    private static bool SameLayout(ExportLayout left, ExportLayout right) =>
        System.Text.Json.JsonSerializer.SerializeToUtf8Bytes(left, ControlJson.Default.ExportLayout).AsSpan()
            .SequenceEqual(
                System.Text.Json.JsonSerializer.SerializeToUtf8Bytes(right, ControlJson.Default.ExportLayout));
}
