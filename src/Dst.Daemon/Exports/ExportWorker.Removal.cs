using Dst.Control;
using Dst.Daemon.Logging;
using Dst.Daemon.Objects;

namespace Dst.Daemon.Exports;

/// <content>The end of an export: served, not served, or served without this daemon's doing.</content>
internal sealed partial class ExportWorker
{
    /// <inheritdoc/>
    protected override async Task<RemovalReport> RemoveLiveAsync(ServerSession session, bool force, TimeSpan timeout)
    {
        List<string> notes = [];
        bool isUnderWay = View.Record!.Removing;
        if (!isUnderWay && await session.FindAsync(Name, Lifetime) is { } served && UserOf(served) is { } user)
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

        ExportRecord record = View.Record!;
        Save(record with { Removing = true });
        Show(view => view with { State = ObjectState.Stopping, Reason = null });
        try
        {
            notes.AddRange(await CloseAsync(session, force, timeout));
        }
        catch (ControlException) when (!session.Process.Exited.IsCompleted)
        {
            if (await StateInAsync(session) is { } state)
            {
                ShowNotRemoved(state, record);
                throw;
            }

            // Done after all, only later than it was waited for.
        }
        catch (ControlException)
        {
            // The server has died meanwhile, and the export with it.
        }

        Session = null;
        if (notes.Count > 0)
        {
            _services.Log.ExportWarning(Name, $"removed: {string.Join("; ", notes)}");
        }

        Forget();
        return new RemovalReport(notes);
    }

    /// <inheritdoc/>
    protected override async Task<RemovalReport> RemoveDeadAsync(bool force, TimeSpan timeout)
    {
        if (Stored is { Untouchable: true, Problem: { } untouchable })
        {
            throw new ControlException(ControlErrorCode.Failure, $"export {Name} is not removed: {untouchable}");
        }

        if (Stored is { Record: null, Problem: { } problem } && !force)
        {
            throw new ControlException(
                ControlErrorCode.Failure, $"export {Name} is not removed: {problem}; --force removes it all the same");
        }

        List<string> notes = [];
        ServerSession? session = await _services.Server.FindAsync(Lifetime);
        if (session is not null && await session.FindAsync(Name, Lifetime) is not null)
        {
            if (!force)
            {
                throw new ControlException(
                    ControlErrorCode.Busy,
                    $"export {Name}: server (pid {session.Process.Pid}) still serves it; --force ends that");
            }

            notes.AddRange(await CloseAsync(session, force, timeout));
            notes.Add($"server (pid {session.Process.Pid}) still served it");
        }

        _served.RefuseIfServed();
        Forget();
        return new RemovalReport(notes);
    }

    // What the server makes of the export, null when it has none; what does not tell may well have stopped it.
    private async Task<string?> StateInAsync(ServerSession session)
    {
        try
        {
            return (await session.FindAsync(Name, Lifetime))?.State;
        }
        catch (ControlException)
        {
            return ObjectState.Stopping;
        }
    }

    private void ShowNotRemoved(string state, ExportRecord record)
    {
        if (string.Equals(state, ObjectState.Live, StringComparison.Ordinal))
        {
            Show(view => view with { State = ObjectState.Live });
            Save(record with { Removing = false });
            return;
        }

        Show(view => view with
        {
            Reason = $"its disk still has requests and nobody is served any more; repeat remove-export {Name}",
        });
    }

    private async Task<IReadOnlyList<string>> CloseAsync(ServerSession session, bool force, TimeSpan timeout)
    {
        ServerRequest close = new()
        {
            RequestId = 0,
            Command = ServerProtocol.ServerCommand.CloseExport,
            Name = Name,
            FailPending = force,
            TimeoutMs = (int)timeout.TotalMilliseconds,
        };
        ServerReply reply = await session.AskAsync(
            close, $"closing export {Name}", timeout + _services.Timing.StopGrace, Lifetime);
        return reply.Notes ?? [];
    }

    private static string? UserOf(ServedExport served) =>
        served.Held ? $"held by {(served.Holder is { Length: > 0 } ? served.Holder : "a client")}"
        : served.Peers is { Count: > 0 } ? $"read by {string.Join(", ", served.Peers)}"
        : null;
}
