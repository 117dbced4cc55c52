using Dst.Control;
using Dst.Daemon.Devices;
using Dst.Daemon.Logging;

namespace Dst.Daemon.Exports;

/// <content>The end of an export: served, not served, or served without this daemon's doing.</content>
internal sealed partial class ExportWorker
{
    /// <summary>Removes the export.</summary>
    /// <param name="force">Whoever uses it, and whatever is lost.</param>
    /// <param name="timeout">How long requests in flight may take.</param>
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
                return new RemovalReport([$"export {Name} was being created; creation was given up"]);
            }

            return _session is { } session
                ? await RemoveLiveAsync(session, force, timeout)
                : await RemoveDeadAsync(force, timeout);
        }
        catch (OperationCanceledException)
        {
            throw new ControlException(ControlErrorCode.Failure, $"export {Name} is not removed: dstd is stopping");
        }
        finally
        {
            _gate.Leave();
            ResumeRestore();
        }
    }

    private async Task<RemovalReport> RemoveLiveAsync(ServerSession session, bool force, TimeSpan timeout)
    {
        List<string> notes = [];
        if (await session.FindAsync(Name, _lifetime) is { } served && UserOf(served) is { } user)
        {
            if (!force)
            {
                throw new ControlException(
                    ControlErrorCode.Busy,
                    $"export {Name} is {user}; remove the device there first, end its hold with "
                    + $"'dstctl release-export {Name}', or use --force, which cuts it off");
            }

            notes.Add($"it was {user}, which is cut off");
        }

        ExportRecord record = _view.Record!;
        Save(record with { Removing = true });
        Show(view => view with { State = DeviceState.Stopping });
        try
        {
            await CloseAsync(session, force, timeout);
        }
        catch (ControlException) when (!session.Process.Exited.IsCompleted)
        {
            Show(view => view with { State = DeviceState.Live });
            Save(record);
            throw;
        }
        catch (ControlException)
        {
            // The server has died meanwhile, and the export with it.
        }

        _session = null;
        if (notes.Count > 0)
        {
            _services.Log.ExportWarning(Name, $"removed by force: {string.Join("; ", notes)}");
        }

        Forget();
        return new RemovalReport(notes);
    }

    private async Task<RemovalReport> RemoveDeadAsync(bool force, TimeSpan timeout)
    {
        if (_stored is { Untouchable: true, Problem: { } untouchable })
        {
            throw new ControlException(ControlErrorCode.Failure, $"export {Name} is not removed: {untouchable}");
        }

        if (_stored is { Record: null, Problem: { } problem } && !force)
        {
            throw new ControlException(
                ControlErrorCode.Failure, $"export {Name} is not removed: {problem}; --force removes it all the same");
        }

        List<string> notes = [];
        ServerSession? session = await _services.Server.FindAsync(_lifetime);
        if (session is not null && await session.FindAsync(Name, _lifetime) is not null)
        {
            if (!force)
            {
                throw new ControlException(
                    ControlErrorCode.Busy,
                    $"export {Name}: server (pid {session.Process.Pid}) still serves it; --force ends that");
            }

            await CloseAsync(session, force, timeout);
            notes.Add($"server (pid {session.Process.Pid}) still served it");
        }

        Forget();
        return new RemovalReport(notes);
    }

    private async Task CloseAsync(ServerSession session, bool force, TimeSpan timeout)
    {
        ServerRequest close = new()
        {
            RequestId = 0,
            Command = ServerProtocol.ServerCommand.CloseExport,
            Name = Name,
            FailPending = force,
            TimeoutMs = (int)timeout.TotalMilliseconds,
        };
        await session.AskAsync(close, $"closing export {Name}", timeout + _services.Timing.StopGrace, _lifetime);
    }

    private static string? UserOf(ServedExport served) =>
        served.Held ? $"held by {(served.Holder is { Length: > 0 } ? served.Holder : "a client")}"
        : served.Peers is { Count: > 0 } ? $"read by {string.Join(", ", served.Peers)}"
        : null;

    // A removal that was refused must not end the tries to bring the export back.
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
}
