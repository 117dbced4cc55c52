using Dst.Control;
using Dst.Daemon.Store;

namespace Dst.Daemon.Objects;

/// <summary>
/// Everything that is done to one device or export, one operation at a time; a stuck one blocks no other object and no
/// status (D-09). Any thread may call; a second operation is refused as busy.
/// </summary>
internal abstract class ObjectWorker<TView, TRecord, TSession> : IObjectWorker<TRecord>
    where TView : ObjectView<TRecord>
    where TRecord : class
    where TSession : class
{
    private readonly Lock _viewLock = new();
    private readonly string _kind;
    private readonly RecordStore<TRecord> _store;
    private readonly Timing _timing;
    private readonly Action<string> _onGone;
    private CancellationTokenSource _cancel;
    private volatile TView _view;
    private volatile TSession? _session;
    private volatile bool _isGone;

    /// <summary>Makes a worker that does nothing yet.</summary>
    /// <param name="kind">What it is, as in <see cref="NameSpace"/>.</param>
    /// <param name="name">Its name.</param>
    /// <param name="view">What it shows at first.</param>
    /// <param name="store">The records of its kind.</param>
    /// <param name="timing">Limits.</param>
    /// <param name="onGone">Called once, with the name, when the object exists no more.</param>
    /// <param name="lifetime">Ends with the daemon.</param>
    protected ObjectWorker(
        string kind,
        string name,
        TView view,
        RecordStore<TRecord> store,
        Timing timing,
        Action<string> onGone,
        CancellationToken lifetime)
    {
        _kind = kind;
        Name = name;
        _view = view;
        _store = store;
        _timing = timing;
        _onGone = onGone;
        Lifetime = lifetime;
        Gate = new OperationGate($"{kind} {name}", timing);
        _cancel = CancellationTokenSource.CreateLinkedTokenSource(lifetime);
    }

    /// <inheritdoc/>
    public string Name { get; }

    /// <inheritdoc/>
    public string State => _view.State;

    /// <inheritdoc/>
    public Task Work { get; private set; } = Task.CompletedTask;

    /// <summary>What the object shows now; never waits.</summary>
    public TView View => _view;

    /// <summary>Lets one operation at a time to the object.</summary>
    protected OperationGate Gate { get; }

    /// <summary>Ends with the daemon.</summary>
    protected CancellationToken Lifetime { get; }

    /// <summary>Who serves the object; null while nobody does. Set by whoever has the gate.</summary>
    protected TSession? Session
    {
        get => _session;
        set => _session = value;
    }

    /// <summary>What was found at start, or is brought back; null for an object that this daemon made.</summary>
    protected StoredRecord<TRecord>? Stored { get; set; }

    /// <summary>The object exists no more.</summary>
    protected bool IsGone => _isGone;

    /// <inheritdoc/>
    public void Restore(StoredRecord<TRecord> stored)
    {
        Stored = stored;
        CancellationToken cancel = _cancel.Token;
        Work = Task.Run(() => RestoreLoopAsync(stored, cancel));
    }

    /// <summary>Removes the object.</summary>
    /// <param name="force">Whoever uses it, and whatever is lost.</param>
    /// <param name="timeout">How long passing users, flush and requests in flight may take.</param>
    /// <returns>What was lost.</returns>
    /// <exception cref="ControlException">Why it was not removed.</exception>
    public async Task<RemovalReport> RemoveAsync(bool force, TimeSpan timeout)
    {
        bool creating = Gate.IsDoing(ObjectState.Creating);
        bool restoring = Gate.IsDoing(ObjectState.Starting);
        bool giveUp = (creating && force) || restoring || (Stored is not null && _session is null);
        if (giveUp)
        {
            await _cancel.CancelAsync();
        }

        try
        {
            await Gate.EnterAsync(ObjectState.Stopping, giveUp ? timeout : TimeSpan.Zero);
        }
        catch (ControlException)
        {
            ResumeRestore();
            throw;
        }

        try
        {
            if (_isGone)
            {
                return new RemovalReport([$"{_kind} {Name} was being created; creation was given up"]);
            }

            return _session is { } session
                ? await RemoveLiveAsync(session, force, timeout)
                : await RemoveDeadAsync(force, timeout);
        }
        catch (Exception e) when (e is IOException or TimeoutException)
        {
            throw new ControlException(
                ControlErrorCode.Failure, $"{_kind} {Name} is not removed: {e.Message.ReplaceLineEndings(" ")}");
        }
        catch (OperationCanceledException)
        {
            throw new ControlException(ControlErrorCode.Failure, $"{_kind} {Name} is not removed: dstd is stopping");
        }
        finally
        {
            Gate.Leave();
            ResumeRestore();
        }
    }

    /// <summary>Begins the creation; its outcome is that of <see cref="Work"/>.</summary>
    /// <param name="record">Stored first.</param>
    /// <param name="begin">What follows; it gets the token that gives it up, and has the gate.</param>
    protected void Create(TRecord record, Func<CancellationToken, Task> begin)
    {
        CancellationToken cancel = _cancel.Token;
        Work = Task.Run(async () =>
        {
            await Gate.EnterAsync(ObjectState.Creating, Timeout.InfiniteTimeSpan);
            try
            {
                if (_isGone)
                {
                    // Removed before this had the gate: nobody would ever find what is made now.
                    throw new ControlException(
                        ControlErrorCode.Failure, $"{_kind} {Name} was removed before it was made");
                }

                SaveFirst(record);
                await begin(cancel);
            }
            finally
            {
                Gate.Leave();
            }
        });
    }

    /// <summary>Changes what is shown.</summary>
    protected void Show(Func<TView, TView> change)
    {
        lock (_viewLock)
        {
            _view = change(_view);
        }
    }

    /// <summary>Stores the record durably, then shows it.</summary>
    protected void Save(TRecord record)
    {
        _store.Save(record);
        Show(view => view with { Record = record });
    }

    /// <summary>The object exists no more; its name is free.</summary>
    protected void Vanish()
    {
        if (!_isGone)
        {
            _isGone = true;
            _onGone(Name);
        }
    }

    /// <summary>Drops the record and everything kept beside it, then the object.</summary>
    protected void Forget()
    {
        DropRecord();
        LogRemoved();
        Vanish();
    }

    /// <summary>Undoes a creation: nothing is left but, if it cannot be undone, the reason.</summary>
    /// <param name="error">Why it failed.</param>
    /// <param name="unclean">What stands in the way of undoing it; null for nothing.</param>
    /// <returns>What to tell besides the error: nothing, or that the object is still there and why.</returns>
    protected string RollBack(ControlError error, ControlError? unclean = null)
    {
        if (unclean is null)
        {
            try
            {
                DropRecord();
                Vanish();
                return "";
            }
            catch (ControlException e)
            {
                unclean = e.Error;
            }
        }

        Show(view => view with
        {
            State = ObjectState.Failed,
            Reason = $"creation failed ({error.Message}) and is not undone ({unclean.Message}); remove it",
        });
        return $"; the creation is not undone ({unclean.Message}); remove {Name}";
    }

    /// <summary>
    /// Removes the record, then what is kept beside it: a crash in between leaves what nobody reads, never an object
    /// without its mark (C-16).
    /// </summary>
    protected abstract void DropRecord();

    /// <summary>One try to bring the object back; has the gate.</summary>
    protected abstract Task<RestoreOutcome> RestoreOnceAsync(StoredRecord<TRecord> stored, CancellationToken cancel);

    /// <summary>Removes an object that is served; has the gate.</summary>
    protected abstract Task<RemovalReport> RemoveLiveAsync(TSession session, bool force, TimeSpan timeout);

    /// <summary>Removes an object that nobody of ours serves; has the gate.</summary>
    protected abstract Task<RemovalReport> RemoveDeadAsync(bool force, TimeSpan timeout);

    /// <summary>Says in the log that it was removed.</summary>
    protected abstract void LogRemoved();

    /// <summary>Says in the log why it is not live.</summary>
    protected abstract void LogFailed(string reason);

    private void SaveFirst(TRecord record)
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
    }

    // Tried again for as long as it takes.
    private async Task RestoreLoopAsync(StoredRecord<TRecord> stored, CancellationToken cancel)
    {
        TimeSpan pause = _timing.RetryFirst;
        string lastReason = "";
        try
        {
            while (await TryRestoreAsync(stored, cancel) is { Reason: { } reason } outcome)
            {
                if (!string.Equals(lastReason, reason, StringComparison.Ordinal))
                {
                    LogFailed(reason);
                    lastReason = reason;
                }

                string again = outcome.Final ? "" : $"; tried again every {pause.TotalSeconds:0.#} s";
                Show(view => view with { State = ObjectState.Failed, Reason = reason + again, Pid = outcome.Pid });
                if (outcome.Final)
                {
                    return;
                }

                await Task.Delay(pause, cancel);
                pause = pause * 2 < _timing.RetryLongest ? pause * 2 : _timing.RetryLongest;
            }
        }
        catch (OperationCanceledException)
        {
            // Removed, or the daemon ends; what was not live yet undoes itself.
        }
    }

    private async Task<RestoreOutcome> TryRestoreAsync(StoredRecord<TRecord> stored, CancellationToken cancel)
    {
        await Gate.EnterAsync(ObjectState.Starting, Timeout.InfiniteTimeSpan);
        try
        {
            cancel.ThrowIfCancellationRequested();

            // What had the object meanwhile has ended it, or made it live.
            return _isGone || _session is not null ? new RestoreOutcome(null) : await RestoreOnceAsync(stored, cancel);
        }
        catch (ControlException e)
        {
            return new RestoreOutcome(e.Message);
        }
        catch (Exception e) when (e is not OperationCanceledException)
        {
            // Whatever it was, an object that nobody tries again would show "starting" for ever.
            return new RestoreOutcome($"{_kind} {Name} is not brought back: {e.Message.ReplaceLineEndings(" ")}");
        }
        finally
        {
            Gate.Leave();
        }
    }

    // A removal that was refused must not end the tries to bring the object back.
    private void ResumeRestore()
    {
        lock (_viewLock)
        {
            bool givenUp = _cancel.IsCancellationRequested && !Lifetime.IsCancellationRequested;
            if (!_isGone && _session is null && Stored is { } stored && givenUp)
            {
                _cancel = CancellationTokenSource.CreateLinkedTokenSource(Lifetime);
                Restore(stored);
            }
        }
    }
}
