using Dst.Control;
using Dst.Daemon.Kernel;
using Dst.Daemon.Logging;
using Dst.Daemon.Store;

namespace Dst.Daemon.Devices;

/// <content>What an earlier daemon left: adopted, brought back, rolled back or ended.</content>
internal sealed partial class DeviceWorker
{
    private async Task RestoreLoopAsync(StoredRecord<DeviceRecord> stored, CancellationToken cancel)
    {
        TimeSpan pause = _services.Timing.RetryFirst;
        string lastReason = "";
        try
        {
            while (true)
            {
                await _gate.EnterAsync(DeviceState.Starting, Timeout.InfiniteTimeSpan);
                RestoreOutcome outcome;
                try
                {
                    outcome = await RestoreOnceAsync(stored, cancel);
                }
                finally
                {
                    _gate.Leave();
                }

                if (outcome.Reason is null)
                {
                    return;
                }

                string again = outcome.Final ? "" : $"; tried again every {pause.TotalSeconds:0.#} s";
                if (!string.Equals(lastReason, outcome.Reason, StringComparison.Ordinal))
                {
                    _services.Log.DeviceFailed(Name, outcome.Reason);
                    lastReason = outcome.Reason;
                }

                Show(view => view with
                {
                    State = DeviceState.Failed,
                    Reason = outcome.Reason + again,
                    Pid = outcome.Pid,
                });
                if (outcome.Final)
                {
                    return;
                }

                await Task.Delay(pause, cancel);
                pause = pause * 2 < _services.Timing.RetryLongest ? pause * 2 : _services.Timing.RetryLongest;
            }
        }
        catch (OperationCanceledException)
        {
            // Removed, or the daemon ends; a target that was not live yet undoes itself.
        }
    }

    private async Task<RestoreOutcome> RestoreOnceAsync(StoredRecord<DeviceRecord> stored, CancellationToken cancel)
    {
        cancel.ThrowIfCancellationRequested();
        if (_gone || _session is not null)
        {
            // What had the device meanwhile has ended it, or made it live.
            return new(null);
        }

        try
        {
            if (await FindRunningAsync(cancel) is { } found)
            {
                return found;
            }

            DeviceRecord? record = _view.Record;
            if (record is null && stored.Problem is { } problem)
            {
                return new(problem, Final: true);
            }

            ControlError? left = await _services.Leftovers.ClearAsync(
                Name, _view.UblkId, ended: false, TimeSpan.Zero, cancel);
            if (left is not null && !(record is { IsHalfMade: true } && left.Code == ControlErrorCode.Busy))
            {
                return new(left.Message);
            }

            if (record is { IsHalfMade: true, Removing: false } && stored.Warning is { } warning)
            {
                return new($"{warning}, and that one is not complete; remove the device and add it again", Final: true);
            }

            return record is null or { Removing: true } or { IsHalfMade: true }
                ? EndUnfinished(record)
                : new((await BringUpAsync(record, CreationWishes.None, cancel)).Error?.Message);
        }
        catch (ControlException e)
        {
            return new(e.Message);
        }
        catch (Exception e) when (e is not OperationCanceledException)
        {
            // Whatever it was, a device that nobody tries again would show "starting" for ever.
            return new($"device {Name} is not brought back: {e.Message.ReplaceLineEndings(" ")}");
        }
    }

    // D-02: what an earlier daemon left half made is rolled back, what it left half removed is ended.
    private RestoreOutcome EndUnfinished(DeviceRecord? record)
    {
        if (record is null)
        {
            Vanish();
            return new(null);
        }

        Forget();
        if (record.Removing)
        {
            _services.Log.RemovalEnded(Name);
        }
        else
        {
            _services.Log.CreationRolledBack(Name);
            if (SpecLayers.FilesMade(record.Request) is { Length: > 0 } files)
            {
                _services.Log.DeviceWarning(
                    Name, $"files made for it may be left, if its target was killed too: {files}");
            }
        }

        return new(null);
    }

    // Null when nobody serves the device, so that it may be brought back.
    private async Task<RestoreOutcome?> FindRunningAsync(CancellationToken cancel)
    {
        TargetConnection? connection = await TargetConnection.OpenAsync(
            _services.Options.Run.TargetSocket(Name), _services.Timing.Hello, static _ => { }, cancel);
        if (connection is null)
        {
            return null;
        }

        ServingProcess process = ServingProcess.Adopt(connection.Process, "target");
        if (TargetHelloCheck.Problem(connection.Hello, Name) is { } problem)
        {
            connection.Dispose();
            return new(problem, Pid: process.Pid);
        }

        if (connection.Hello is { State: DeviceState.Live, Geometry: { } geometry })
        {
            if (_view.Record is { } record)
            {
                try
                {
                    Adopt(new TargetSession(_services, Name, process, connection), record, geometry);
                    return new(null);
                }
                catch
                {
                    connection.Dispose();
                    throw;
                }
            }

            connection.Dispose();
            string why = _stored?.Problem ?? "no record of it is kept";
            return new($"{why}; its target (pid {process.Pid}) goes on, --force ends it", Pid: process.Pid);
        }

        bool stopping = string.Equals(connection.Hello.State, DeviceState.Stopping, StringComparison.Ordinal);
        Task<bool> end = stopping
            ? process.WaitAsync(_services.Timing.ProcessEnd)
            : process.EndWithinAsync(_services.Timing.ProcessEnd, Name, _services.Log);
        connection.Dispose();
        return await end ? null : new($"target (pid {process.Pid}) is {connection.Hello.State}", Pid: process.Pid);
    }

    private void Adopt(TargetSession session, DeviceRecord record, DeviceGeometry geometry)
    {
        DeviceRecord adopted =
            record with { Geometry = record.Geometry ?? geometry, Removing = false, Starting = false };
        if (record.IsHalfMade || record.Removing || _stored?.Warning is not null)
        {
            Save(adopted);
            Save(adopted);
        }

        GoLive(session, adopted, BlockDevice.PathOf(geometry.UblkId));
        _services.Log.DeviceAdopted(Name, session.Process.Pid);
    }

    /// <summary>How one try to bring a device back ended.</summary>
    /// <param name="Reason">Null when there is nothing left to do.</param>
    /// <param name="Final">Trying again cannot help.</param>
    /// <param name="Pid">The process that is in the way.</param>
    private sealed record RestoreOutcome(string? Reason, bool Final = false, int? Pid = null);
}
