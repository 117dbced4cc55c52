using Dst.Control;
using Dst.Daemon.Kernel;
using Dst.Daemon.Logging;
using Dst.Daemon.Objects;

namespace Dst.Daemon.Devices;

/// <content>The end of a device: live, dead, or served by a target that could not be adopted.</content>
internal sealed partial class DeviceWorker
{
    private volatile Task<TargetReply>? _lateStop;

    /// <inheritdoc/>
    protected override async Task<RemovalReport> RemoveLiveAsync(TargetSession session, bool force, TimeSpan timeout)
    {
        DeviceView before = View;
        int ublkId = before.UblkId ?? throw new ControlException(
            ControlErrorCode.Failure, $"device {Name} has no number");
        Removal removal = new(
            _services, session, Name, ublkId, before.BlockDevice ?? BlockDevice.PathOf(ublkId), timeout);
        DeviceHold? hold = force
            ? await removal.SecureByForceAsync()
            : await removal.SecureAsync(Lifetime);
        await using (hold)
        {
            bool gone = await StopAsync(session, removal, hold, force);
            if (!gone && !force)
            {
                _lateStop = removal.LateReply;
                _ = TakeLateAsync(session, removal.LateReply!);
                throw new ControlException(
                    ControlErrorCode.TimedOut,
                    $"device {Name}: target (pid {session.Process.Pid}) is still stopping; "
                    + "it is removed when that ends, or by --force");
            }
        }

        await EndLiveAsync(session, ublkId);
        if (removal.Notes.Count > 0)
        {
            _services.Log.DeviceForced(Name, string.Join("; ", removal.Notes));
        }

        return new RemovalReport(removal.Notes);
    }

    // What the target says in the end: done, then its end is seen, or refused, then the device goes on.
    private async Task TakeLateAsync(TargetSession session, Task<TargetReply> reply)
    {
        try
        {
            await reply;
            return;
        }
        catch (Exception e)
        {
            _services.Log.DeviceWarning(Name, $"not stopped: {e.Message.ReplaceLineEndings(" ")}");
        }

        await Gate.EnterAsync("a late answer of its target", Timeout.InfiniteTimeSpan);
        try
        {
            bool goesOn = ReferenceEquals(Session, session) && ReferenceEquals(_lateStop, reply)
                && !session.IsLost && !session.Process.Exited.IsCompleted && !Lifetime.IsCancellationRequested;
            if (goesOn && View.Record is { Removing: true } record)
            {
                Show(view => view with { State = ObjectState.Live });
                Save(record with { Removing = false });
            }
        }
        catch (ControlException e)
        {
            _services.Log.DeviceWarning(Name, e.Message);
        }
        finally
        {
            Gate.Leave();
        }
    }

    private async Task<bool> StopAsync(TargetSession session, Removal removal, DeviceHold? hold, bool force)
    {
        DeviceRecord record = View.Record!;
        _lateStop = null;
        bool marked = false;
        try
        {
            await session.ReconnectAsync(Lifetime);
            Save(record with { Removing = true });
            marked = true;
            Show(view => view with { State = ObjectState.Stopping });
            return await removal.StopAsync(hold, force);
        }
        catch (ControlException) when (!force)
        {
            if (marked)
            {
                // Not what it was before: an earlier stop may have gone unanswered.
                Show(view => view with { State = ObjectState.Live });
                Save(record with { Removing = false });
            }

            throw;
        }
        catch (ControlException)
        {
            // By force: the process is killed next, its device ends with it.
            return false;
        }
    }

    private async Task EndLiveAsync(TargetSession session, int ublkId)
    {
        if (!await session.Process.EndWithinAsync(_services.Timing.ProcessEnd, Name, _services.Log))
        {
            throw new ControlException(
                ControlErrorCode.TimedOut,
                $"device {Name}: target (pid {session.Process.Pid}) hangs in the kernel and does not end");
        }

        session.Dispose();
        Session = null;
        ControlError? left = await _services.Leftovers.ClearAsync(
            Name, ublkId, ended: true, _services.Timing.Release, Lifetime);
        if (left is not null)
        {
            string how = $"stopped, but {left.Message}; remove it again";
            Show(old => new DeviceView(ObjectState.Failed, old.Record) { Reason = how });
            throw new ControlException(left.Code, $"device {Name} is {how}");
        }

        Forget();
    }

    /// <inheritdoc/>
    protected override async Task<RemovalReport> RemoveDeadAsync(bool force, TimeSpan timeout)
    {
        if (Stored is { Untouchable: true, Problem: { } untouchable })
        {
            throw new ControlException(ControlErrorCode.Failure, $"device {Name} is not removed: {untouchable}");
        }

        if (Stored is { Record: null, Problem: { } problem } && !force)
        {
            throw new ControlException(
                ControlErrorCode.Failure, $"device {Name} is not removed: {problem}; --force removes it all the same");
        }

        List<string> notes = [];
        await StopStrangerAsync(force, notes);
        _served.RefuseIfServed();
        ControlError? left = await _services.Leftovers.ClearAsync(
            Name, View.UblkId, ended: true, _services.Timing.Release, Lifetime);
        if (left is { Code: not ControlErrorCode.Busy })
        {
            throw new ControlException(left.Code, $"device {Name} is not removed: {left.Message}; remove it again");
        }

        if (left is not null)
        {
            notes.Add(left.Message);
        }

        Forget();
        return new RemovalReport(notes);
    }

    // A target that this daemon could not adopt may still serve the device.
    private async Task StopStrangerAsync(bool force, List<string> notes)
    {
        using TargetConnection? connection = await TargetConnection.OpenAsync(
            _services.Options.Run.TargetSocket(Name), _services.Timing.Hello, static _ => { }, Lifetime);
        if (connection is null)
        {
            return;
        }

        if (!force)
        {
            throw new ControlException(
                ControlErrorCode.Busy,
                $"device {Name}: target (pid {connection.Process.Pid}) still serves it; --force ends that");
        }

        ServingProcess process = ServingProcess.Adopt(connection.Process, "target");
        TargetSession session = new(_services, Name, process, connection);
        TargetRequest stop = new() { RequestId = 0, Command = TargetProtocol.TargetCommand.Stop, FailPending = true };
        try
        {
            await session.AskAsync(stop, "stopping", _services.Timing.StopGrace, Lifetime);
        }
        catch (Exception e) when (e is ControlException or TimeoutException)
        {
            notes.Add($"{e.Message}; killed");
        }

        notes.Add($"target (pid {process.Pid}) was ended with whatever it had not written");
        if (!await process.EndWithinAsync(_services.Timing.ProcessEnd, Name, _services.Log))
        {
            throw new ControlException(
                ControlErrorCode.TimedOut, $"device {Name}: target (pid {process.Pid}) does not end");
        }
    }
}
