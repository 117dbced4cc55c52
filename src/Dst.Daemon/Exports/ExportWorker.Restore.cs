using Dst.Control;
using Dst.Daemon.Logging;
using Dst.Daemon.Objects;
using Dst.Daemon.Store;

namespace Dst.Daemon.Exports;

/// <content>What an earlier daemon or a dead server left: adopted, brought back, rolled back or ended.</content>
internal sealed partial class ExportWorker
{
    /// <inheritdoc/>
    protected override async Task<RestoreOutcome> RestoreOnceAsync(
        StoredRecord<ExportRecord> stored, CancellationToken cancel)
    {
        ServerSession? session = await _services.Server.FindAsync(cancel);
        if (session is not null && await session.FindAsync(Name, cancel) is { } served)
        {
            if (View.Record is { Removing: true } unfinished && IsStopping(served))
            {
                _ = await CloseAsync(session, force: false, TimeSpan.Zero);
                EndUnfinished(unfinished);
                return new(null);
            }

            return Adopt(session, served);
        }

        if (_served.Problem() is { } unreachable)
        {
            return new(unreachable);
        }

        ExportRecord? record = View.Record;
        if (record is null && stored.Problem is { } problem)
        {
            return new(problem, Final: true);
        }

        if (record is { IsHalfMade: true, Removing: false } && stored.Warning is { } warning)
        {
            return new($"{warning}, and that one is not complete; remove the export and add it again", Final: true);
        }

        if (record is null or { Removing: true } or { IsHalfMade: true })
        {
            EndUnfinished(record);
            return new(null);
        }

        return new((await ServeAsync(record, cancel))?.Message);
    }

    private RestoreOutcome Adopt(ServerSession session, ServedExport served)
    {
        if (!string.Equals(served.State, ObjectState.Live, StringComparison.Ordinal))
        {
            return new($"server (pid {session.Process.Pid}) still has it, {served.State}");
        }

        if (View.Record is not { Layout: not null } record)
        {
            string why = Stored?.Problem ?? "no record of it is kept";
            return new(
                $"{why}; the server (pid {session.Process.Pid}) goes on with it, --force ends that", Final: true);
        }

        if (record.Uuid != served.Uuid)
        {
            return new(
                $"server (pid {session.Process.Pid}) serves another export of this name ({served.Uuid}); "
                + "--force ends that",
                Final: true);
        }

        ExportRecord adopted = record with { Removing = false, Starting = false };
        if (record.IsHalfMade || record.Removing || Stored?.Warning is not null)
        {
            Save(adopted);
            Save(adopted);
        }

        GoLive(session, adopted);
        _services.Log.ExportAdopted(Name, session.Process.Pid);
        return new(null);
    }

    private static bool IsStopping(ServedExport served) =>
        string.Equals(served.State, ObjectState.Stopping, StringComparison.Ordinal);

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
