using Dst.Control;
using Dst.Daemon.Kernel;
using Dst.Daemon.Logging;
using Dst.Daemon.Store;

namespace Dst.Daemon.Devices;

/// <summary>
/// Everything that is done to one device, one operation at a time; a stuck one blocks no other device and no status
/// (D-09). Any thread may call; a second operation is refused as busy.
/// </summary>
internal sealed partial class DeviceWorker : IDisposable
{
    private readonly DeviceServices _services;
    private readonly Action<DeviceWorker> _onGone;
    private readonly Func<DeviceWorker, int, ControlError?> _claimId;
    private readonly OperationGate _gate;
    private CancellationTokenSource _cancel;
    private readonly CancellationToken _lifetime;
    private readonly QueueAttributes _attributes;
    private readonly Lock _viewLock = new();
    private volatile DeviceView _view;
    private TargetSession? _session;
    private StoredRecord<DeviceRecord>? _stored;
    private volatile bool _gone;

    /// <summary>Makes a worker that does nothing yet.</summary>
    /// <param name="services">What it works with.</param>
    /// <param name="name">Name of the device.</param>
    /// <param name="view">What it shows at first.</param>
    /// <param name="onGone">Called once when the device exists no more.</param>
    /// <param name="claimId">Answers why a number cannot be this device's, null when it can.</param>
    /// <param name="lifetime">Ends with the daemon.</param>
    public DeviceWorker(
        DeviceServices services,
        string name,
        DeviceView view,
        Action<DeviceWorker> onGone,
        Func<DeviceWorker, int, ControlError?> claimId,
        CancellationToken lifetime)
    {
        _services = services;
        Name = name;
        _gate = new OperationGate($"device {name}", services.Timing);
        _view = view;
        _onGone = onGone;
        _claimId = claimId;
        _lifetime = lifetime;
        _cancel = CancellationTokenSource.CreateLinkedTokenSource(lifetime);
        _attributes = new QueueAttributes(services.Helpers, services.Options);
    }

    /// <summary>Name of the device.</summary>
    public string Name { get; }

    /// <summary>What the device shows now; never waits.</summary>
    public DeviceView View => _view;

    /// <summary>The creation or the restore, which outlives the call that began it.</summary>
    public Task Work { get; private set; } = Task.CompletedTask;

    /// <summary>Begins the creation; its outcome is that of <see cref="Work"/>.</summary>
    public void Create(DeviceRecord record, CreationWishes wishes) =>
        Work = Task.Run(() => CreateAsync(record, wishes));

    /// <summary>Begins adoption or restore from what was found at start, tried again for as long as it takes.</summary>
    public void Restore(StoredRecord<DeviceRecord> stored)
    {
        _stored = stored;
        CancellationToken cancel = _cancel.Token;
        Work = Task.Run(() => RestoreLoopAsync(stored, cancel));
    }

    /// <summary>The write cache mode of the kernel device; waits a moment at most.</summary>
    public Task<string?> WriteCacheAsync() =>
        _view is { IsLive: true, Record.Geometry: { VolatileCache: true, UblkId: var id } }
            ? _attributes.WriteCacheAsync(id)
            : Task.FromResult<string?>(null);

    /// <summary>Removes the device.</summary>
    /// <param name="force">Whoever uses it, and whatever is lost.</param>
    /// <param name="timeout">How long passing openers, flush and requests in flight may take.</param>
    /// <returns>What was lost.</returns>
    /// <exception cref="ControlException">Why it was not removed.</exception>
    public async Task<RemovalReport> RemoveAsync(bool force, TimeSpan timeout)
    {
        bool creating = _gate.IsDoing(DeviceState.Creating);
        bool restoring = _gate.IsDoing(DeviceState.Starting);
        bool giveUp = (creating && force) || restoring || (_stored is not null && _session is null);
        if (giveUp)
        {
            await _cancel.CancelAsync();
        }

        try
        {
            await _gate.EnterAsync(DeviceState.Stopping, giveUp ? timeout : TimeSpan.Zero);
        }
        catch (ControlException)
        {
            ResumeRestore();
            throw;
        }

        try
        {
            if (_gone)
            {
                return new RemovalReport([$"device {Name} was being created; creation was given up"]);
            }

            return _session is { } session
                ? await RemoveLiveAsync(session, force, timeout)
                : await RemoveDeadAsync(force);
        }
        catch (Exception e) when (e is IOException or TimeoutException)
        {
            throw new ControlException(
                ControlErrorCode.Failure, $"device {Name} is not removed: {e.Message.ReplaceLineEndings(" ")}");
        }
        catch (OperationCanceledException)
        {
            throw new ControlException(ControlErrorCode.Failure, $"device {Name} is not removed: dstd is stopping");
        }
        finally
        {
            _gate.Leave();
            ResumeRestore();
        }
    }

    /// <summary>Clears the error mark of a node, or of all: the target does, or a helper while there is none.</summary>
    /// <exception cref="ControlException">Why the mark stays.</exception>
    public async Task ClearErrorAsync(int? nodeIndex)
    {
        await _gate.EnterAsync("clear-error", TimeSpan.Zero);
        try
        {
            await (_session is { } session ? ClearLiveAsync(session, nodeIndex) : ClearDeadAsync(nodeIndex));
        }
        catch (TimeoutException e)
        {
            throw new ControlException(ControlErrorCode.TimedOut, e.Message);
        }
        catch (IOException e)
        {
            throw new ControlException(ControlErrorCode.Failure, $"device {Name}: {e.Message.ReplaceLineEndings(" ")}");
        }
        finally
        {
            _gate.Leave();
        }
    }

    /// <summary>Closes the connection to the target, which goes on when it is live.</summary>
    public void Dispose() => _session?.Dispose();

    // A removal that was refused must not end the tries to bring the device back.
    private void ResumeRestore()
    {
        lock (_viewLock)
        {
            bool givenUp = _cancel.IsCancellationRequested && !_lifetime.IsCancellationRequested;
            if (!_gone && _session is null && _stored is { } stored && givenUp)
            {
                _cancel = CancellationTokenSource.CreateLinkedTokenSource(_lifetime);
                Restore(stored);
            }
        }
    }

    private void Show(Func<DeviceView, DeviceView> change)
    {
        lock (_viewLock)
        {
            _view = change(_view);
        }
    }

    private void Save(DeviceRecord record)
    {
        _services.Store.Save(record);
        Show(view => view with { Record = record });
    }

    private void OnTargetEvent(TargetReply reply) => Show(view => view with
    {
        ProgressBytes = reply.ProgressBytes ?? view.ProgressBytes,
        ProgressTotalBytes = reply.ProgressTotalBytes ?? view.ProgressTotalBytes,
        Reason = reply.Waiting ?? view.Reason,
    });

    private void GoLive(TargetSession session, DeviceRecord record, string blockDevice)
    {
        _session = session;
        List<string> warnings = _stored?.Warning is { } warning ? [warning] : [];
        if (_services.Links.Set(Name, blockDevice) is { } linkProblem)
        {
            warnings.Add(linkProblem);
        }

        Show(_ => new DeviceView(DeviceState.Live, record)
        {
            Pid = session.Process.Pid,
            BlockDevice = blockDevice,
            Warnings = warnings,
        });
        _ = WatchAsync(session);
    }

    private void Vanish()
    {
        _gone = true;
        _onGone(this);
    }

    private async Task WatchAsync(TargetSession session)
    {
        await session.Process.Exited;
        await _gate.EnterAsync(OperationGate.Clearing, Timeout.InfiniteTimeSpan);
        try
        {
            if (ReferenceEquals(_session, session) && !_lifetime.IsCancellationRequested)
            {
                await BuryAsync(session);
            }
        }
        catch (Exception e)
        {
            // Nobody awaits this; without a word the device would show "clearing up" for ever.
            string reason =
                $"its target ended, and clearing up failed: {e.Message.ReplaceLineEndings(" ")}; remove the device";
            _services.Log.DeviceFailed(Name, reason);
            Show(old => old with { State = DeviceState.Failed, Reason = reason });
        }
        finally
        {
            _gate.Leave();
        }
    }

    private async Task BuryAsync(TargetSession session)
    {
        string how = await session.Process.EndAsync();
        session.Dispose();
        _session = null;
        _stored = null;
        DeviceView view = _view;
        Show(old => new DeviceView(DeviceState.Failed, old.Record) { Reason = $"{how}; clearing up" });
        ControlError? left = await _services.Leftovers.ClearAsync(
            Name, view.UblkId, ended: true, _services.Timing.Release, _lifetime);
        if (_lifetime.IsCancellationRequested)
        {
            return;
        }

        if (left is null && view.Record is { Removing: true })
        {
            try
            {
                Forget();
                return;
            }
            catch (ControlException e)
            {
                left = e.Error;
            }
        }

        string reason = left is null
            ? $"{how}; remove the device, or restart dstd to bring it back"
            : $"{how}, and {left.Message}; remove the device";
        _services.Log.DeviceFailed(Name, reason);
        Show(old => old with { Reason = reason });
    }

    // Records first: a crash in between leaves a mark nobody reads, never a device without its mark (C-16).
    private void DropRecord()
    {
        _services.Store.Remove(Name);
        try
        {
            File.Delete(_services.Options.State.DeviceMarks(Name));
            for (int i = 0; i < (_view.Record?.Request.Nodes.Count ?? 0); i++)
            {
                File.Delete(_services.Options.State.NodeEpoch(Name, i));
                if (Directory.Exists(_services.Options.Run.Notes))
                {
                    File.Delete(_services.Options.Run.NodeNote(Name, i));
                }
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            _services.Log.DeviceWarning(Name, e.Message);
        }
    }

    private void Forget()
    {
        DropRecord();
        _services.Log.DeviceRemoved(Name);
        Vanish();
    }
}
