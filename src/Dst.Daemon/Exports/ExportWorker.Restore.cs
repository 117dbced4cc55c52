using Dst.Control;
using Dst.Daemon.Devices;
using Dst.Daemon.Logging;
using Dst.Daemon.Store;

namespace Dst.Daemon.Exports;

/// <content>What an earlier daemon or a dead server left: adopted, brought back, rolled back or ended.</content>
internal sealed partial class ExportWorker
{
    private async Task RestoreLoopAsync(StoredRecord<ExportRecord> stored, CancellationToken cancel)
    {
        TimeSpan pause = _services.Timing.RetryFirst;
        string lastReason = "";
        try
        {
            while (true)
            {
                await _gate.EnterAsync(DeviceState.Starting, Timeout.InfiniteTimeSpan);
                (string? Reason, bool Final) outcome;
                try
                {
                    outcome = await RestoreOnceAsync(stored, cancel);
                }
                finally
                {
                    _gate.Leave();
                }

                if (outcome.Reason is not { } reason)
                {
                    return;
                }

                if (!string.Equals(lastReason, reason, StringComparison.Ordinal))
                {
                    _services.Log.ExportFailed(Name, reason);
                    lastReason = reason;
                }

                string again = outcome.Final ? "" : $"; tried again every {pause.TotalSeconds:0.#} s";
                Show(view => view with { State = DeviceState.Failed, Reason = reason + again, Pid = null });
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
            // Removed, or the daemon ends.
        }
    }

    private async Task<(string? Reason, bool Final)> RestoreOnceAsync(
        StoredRecord<ExportRecord> stored, CancellationToken cancel)
    {
        cancel.ThrowIfCancellationRequested();
        if (_gone || _session is not null)
        {
            return (null, true);
        }

        try
        {
            ServerSession? session = await _services.Server.FindAsync(cancel);
            if (session is not null && await session.FindAsync(Name, cancel) is { } served)
            {
                return Adopt(session, served);
            }

            ExportRecord? record = _view.Record;
            if (record is null && stored.Problem is { } problem)
            {
                return (problem, true);
            }

            if (record is { IsHalfMade: true, Removing: false } && stored.Warning is { } warning)
            {
                return ($"{warning}, and that one is not complete; remove the export and add it again", true);
            }

            if (record is null or { Removing: true } or { IsHalfMade: true })
            {
                EndUnfinished(record);
                return (null, true);
            }

            return ((await ServeAsync(record, cancel))?.Message, false);
        }
        catch (ControlException e)
        {
            return (e.Message, false);
        }
        catch (Exception e) when (e is not OperationCanceledException)
        {
            // Whatever it was, an export that nobody tries again would show "starting" for ever.
            return ($"export {Name} is not brought back: {e.Message.ReplaceLineEndings(" ")}", false);
        }
    }

    private (string? Reason, bool Final) Adopt(ServerSession session, ServedExport served)
    {
        if (!string.Equals(served.State, DeviceState.Live, StringComparison.Ordinal))
        {
            return ($"server (pid {session.Process.Pid}) still has it, {served.State}", false);
        }

        if (_view.Record is not { Layout: not null } record)
        {
            string why = _stored?.Problem ?? "no record of it is kept";
            return ($"{why}; the server (pid {session.Process.Pid}) goes on with it, --force ends that", true);
        }

        if (record.Uuid != served.Uuid)
        {
            return (
                $"server (pid {session.Process.Pid}) serves another export of this name ({served.Uuid}); "
                + "--force ends that",
                true);
        }

        ExportRecord adopted = record with { Removing = false, Starting = false };
        if (record.IsHalfMade || record.Removing || _stored?.Warning is not null)
        {
            Save(adopted);
            Save(adopted);
        }

        GoLive(session, adopted);
        _services.Log.ExportAdopted(Name, session.Process.Pid);
        return (null, true);
    }

    // D-02: what an earlier daemon left half made is rolled back, what it left half removed is ended.
    private void EndUnfinished(ExportRecord? record)
    {
        if (record is null)
        {
            Vanish();
            return;
        }

        Forget();
        if (!record.Removing)
        {
            _services.Log.ExportWarning(Name, "creation of an earlier dstd was rolled back");
        }
    }
}
