using Dst.Control;
using Dst.Daemon.Kernel;
using Dst.Daemon.Logging;
using Dst.Daemon.Objects;

namespace Dst.Daemon.Devices;

/// <summary>
/// Everything that is done to one device, one operation at a time; a stuck one blocks no other device and no status
/// (D-09). Any thread may call; a second operation is refused as busy.
/// </summary>
internal sealed partial class DeviceWorker : ObjectWorker<DeviceView, DeviceRecord, TargetSession>, IDisposable
{
    private readonly DeviceServices _services;
    private readonly Func<DeviceWorker, int, ControlError?> _claimId;
    private readonly QueueAttributes _attributes;
    private readonly ServedVolume _served;

    /// <summary>Makes a worker that does nothing yet.</summary>
    /// <param name="services">What it works with.</param>
    /// <param name="name">Name of the device.</param>
    /// <param name="view">What it shows at first.</param>
    /// <param name="onGone">Called once, with the name, when the device exists no more.</param>
    /// <param name="claimId">Answers why a number cannot be this device's, null when it can.</param>
    /// <param name="lifetime">Ends with the daemon.</param>
    public DeviceWorker(
        DeviceServices services,
        string name,
        DeviceView view,
        Action<string> onGone,
        Func<DeviceWorker, int, ControlError?> claimId,
        CancellationToken lifetime)
        : base(NameSpace.Device, name, view, services.Store, services.Timing, onGone, lifetime)
    {
        _services = services;
        _claimId = claimId;
        _served = new ServedVolume(NameSpace.Device, name, services.Options.State.DeviceMarks(name));
        _attributes = new QueueAttributes(services.Helpers, services.Options);
    }

    /// <summary>Begins the creation.</summary>
    /// <exception cref="ControlException">A process that no record tells of serves a device of that name.</exception>
    public void Create(DeviceRecord record, CreationWishes wishes)
    {
        _served.RefuseIfServed();
        Create(record, cancel => CreateAsync(record, wishes, cancel));
    }

    /// <summary>The write cache mode of the kernel device; waits a moment at most.</summary>
    public Task<string?> WriteCacheAsync() =>
        View is { IsLive: true, Record.Geometry: { VolatileCache: true, UblkId: var id } }
            ? _attributes.WriteCacheAsync(id)
            : Task.FromResult<string?>(null);

    /// <summary>Clears the error mark of a node, or of all: the target does, or a helper while there is none.</summary>
    /// <exception cref="ControlException">Why the mark stays.</exception>
    public async Task ClearErrorAsync(int? nodeIndex)
    {
        await Gate.EnterAsync("clear-error", TimeSpan.Zero);
        try
        {
            await (Session is { } session ? ClearLiveAsync(session, nodeIndex) : ClearDeadAsync(nodeIndex));
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
            Gate.Leave();
        }
    }

    /// <summary>Closes the connection to the target, which goes on when it is live.</summary>
    public void Dispose() => Session?.Dispose();

    private void OnTargetEvent(TargetReply reply) => Show(view => view with
    {
        ProgressBytes = reply.ProgressBytes ?? view.ProgressBytes,
        ProgressTotalBytes = reply.ProgressTotalBytes ?? view.ProgressTotalBytes,
        Reason = reply.Waiting ?? view.Reason,
    });

    private void GoLive(TargetSession session, DeviceRecord record, string blockDevice)
    {
        Session = session;
        List<string> warnings = Stored?.Warning is { } warning ? [warning] : [];
        if (_services.Links.Set(Name, blockDevice) is { } linkProblem)
        {
            warnings.Add(linkProblem);
        }

        Show(_ => new DeviceView(ObjectState.Live, record)
        {
            Pid = session.Process.Pid,
            BlockDevice = blockDevice,
            Warnings = warnings,
        });
        _ = WatchAsync(session);
    }

    private async Task WatchAsync(TargetSession session)
    {
        await session.Process.Exited;
        await Gate.EnterAsync(OperationGate.Clearing, Timeout.InfiniteTimeSpan);
        try
        {
            if (ReferenceEquals(Session, session) && !Lifetime.IsCancellationRequested)
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
            Show(old => old with { State = ObjectState.Failed, Reason = reason });
        }
        finally
        {
            Gate.Leave();
        }
    }

    private async Task BuryAsync(TargetSession session)
    {
        string how = await session.Process.EndAsync();
        session.Dispose();
        Session = null;
        Stored = null;
        DeviceView view = View;
        Show(old => new DeviceView(ObjectState.Failed, old.Record) { Reason = $"{how}; clearing up" });
        ControlError? left = await _services.Leftovers.ClearAsync(
            Name, view.UblkId, ended: true, _services.Timing.Release, Lifetime);
        if (Lifetime.IsCancellationRequested)
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

    /// <inheritdoc/>
    protected override void DropRecord()
    {
        _services.Store.Remove(Name);
        try
        {
            if (_served.Problem() is { } problem)
            {
                _services.Log.DeviceWarning(Name, $"its error marks stay: {problem}");
                return;
            }

            File.Delete(_services.Options.State.DeviceMarks(Name));
            for (int i = 0; i < (View.Record?.Request.Nodes.Count ?? 0); i++)
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

    /// <inheritdoc/>
    protected override void LogRemoved() => _services.Log.DeviceRemoved(Name);

    /// <inheritdoc/>
    protected override void LogFailed(string reason) => _services.Log.DeviceFailed(Name, reason);
}
