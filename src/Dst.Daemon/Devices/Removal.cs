using Dst.Control;
using Dst.Daemon.Kernel;

namespace Dst.Daemon.Devices;

/// <summary>
/// The removal of one live device: nobody uses it (or force), everything is flushed, then the target stops it (U-20 …
/// U-24). One object a removal.
/// </summary>
internal sealed class Removal
{
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(200);
    private static readonly TimeSpan GonePause = TimeSpan.FromMilliseconds(10);
    private static readonly TimeSpan LeastStop = TimeSpan.FromSeconds(1);

    private readonly DeviceServices _services;
    private readonly TargetSession _session;
    private readonly string _name;
    private readonly int _ublkId;
    private readonly string _blockDevice;
    private readonly TimeSpan _timeout;
    private readonly long _begin = TimeProvider.System.GetTimestamp();
    private readonly List<string> _notes = [];

    public Removal(
        DeviceServices services, TargetSession session, string name, int ublkId, string blockDevice, TimeSpan timeout)
    {
        _services = services;
        _session = session;
        _name = name;
        _ublkId = ublkId;
        _blockDevice = blockDevice;
        _timeout = timeout;
    }

    /// <summary>The answer to the stop that did not come in time; null for one that did.</summary>
    public Task<TargetReply>? LateReply { get; private set; }

    /// <summary>What force threw away, one line each.</summary>
    public IReadOnlyList<string> Notes => _notes;

    private TimeSpan Remaining => TimeSpan.FromTicks(
        long.Max(0, (_timeout - TimeProvider.System.GetElapsedTime(_begin)).Ticks));

    /// <summary>
    /// Makes sure that nobody uses the device and all is flushed; refuses otherwise, with the device as before.
    /// </summary>
    /// <exception cref="ControlException">Who holds it, or why the flush failed.</exception>
    public async Task<DeviceHold> SecureAsync(CancellationToken cancel)
    {
        while (true)
        {
            RefuseIfEnded();
            if (_services.Users.Lasting(_ublkId) is { Count: > 0 } users)
            {
                throw InUse(users);
            }

            IReadOnlyList<string> openers = _services.Users.Openers(_ublkId);
            if (openers.Count == 0)
            {
                DeviceHold hold = await _services.Helpers.HoldAsync(_blockDevice, LeastOf(Remaining));
                if (hold.Outcome == HoldOutcome.Held)
                {
                    return hold;
                }

                await hold.DisposeAsync();
                openers = Judge(hold);
            }

            if (Remaining == TimeSpan.Zero)
            {
                throw InUse(openers);
            }

            await Task.Delay(Pause, cancel);
        }
    }

    /// <summary>Notes who uses the device, and flushes it if that is possible in short time.</summary>
    /// <returns>The hold, or null when there is none to be had.</returns>
    public async Task<DeviceHold?> SecureByForceAsync()
    {
        foreach (string user in _services.Users.Lasting(_ublkId).Concat(_services.Users.Openers(_ublkId)))
        {
            _notes.Add($"{user}; it loses its device");
        }

        DeviceHold hold;
        try
        {
            hold = await _services.Helpers.HoldAsync(_blockDevice, _services.Timing.ForcedFlush);
        }
        catch (IOException e)
        {
            _notes.Add($"writes not flushed before may be lost: {e.Message}");
            return null;
        }

        if (hold.Outcome == HoldOutcome.Held)
        {
            return hold;
        }

        _notes.Add(
            $"writes not flushed before may be lost: {(hold.Text.Length == 0 ? "the device is in use" : hold.Text)}");
        await hold.DisposeAsync();
        return null;
    }

    /// <summary>
    /// Has the target stop and delete the device while it is held, and lets it go once the kernel has taken the disk
    /// away (U-22). Bounded here, because the kernel never gives up a request of a privileged device (U-12).
    /// </summary>
    /// <returns>True when the device is gone; false when the target did not answer in time.</returns>
    /// <exception cref="ControlException">The target refused; the device is as before.</exception>
    public async Task<bool> StopAsync(DeviceHold? hold, bool force)
    {
        TimeSpan limit = LeastOf(Remaining);
        TargetRequest stop = new()
        {
            RequestId = 0,
            Command = TargetProtocol.TargetCommand.Stop,
            FailPending = force,
            TimeoutMs = (int)limit.TotalMilliseconds,
        };
        Task<TargetReply> reply = _session.AskAsync(stop, "stopping", limit: null, CancellationToken.None);
        Task late = Task.Delay(limit + _services.Timing.StopGrace);
        while (!reply.IsCompleted && !late.IsCompleted && BlockDevice.Exists(_services.Options.SysRoot, _ublkId))
        {
            await Task.WhenAny(reply, Task.Delay(GonePause));
        }

        if (hold is not null)
        {
            await hold.DisposeAsync();
        }

        if (await Task.WhenAny(reply, late) != reply)
        {
            LateReply = reply;
            return false;
        }

        try
        {
            _notes.AddRange((await reply).Notes ?? []);
            return true;
        }
        catch (ControlException e) when (_session.Process.Exited.IsCompleted)
        {
            _notes.Add(e.Message);
            return true;
        }
    }

    private IReadOnlyList<string> Judge(DeviceHold hold) => hold.Outcome switch
    {
        HoldOutcome.Busy => [hold.Text.Length == 0 ? "somebody has it open exclusively" : hold.Text],
        HoldOutcome.TimedOut => throw new ControlException(
            ControlErrorCode.TimedOut,
            $"device {_name} is not removed: {hold.Text}; allow more with --timeout, or lose writes with --force"),
        _ => throw new ControlException(
            ControlErrorCode.Failure,
            $"device {_name} is not removed: {hold.Text}; --force removes it and loses unflushed writes"),
    };

    private void RefuseIfEnded()
    {
        if (_session.Process.Exited.IsCompleted)
        {
            throw new ControlException(
                ControlErrorCode.Failure, $"target of device {_name} ended meanwhile; remove it again");
        }
    }

    private ControlException InUse(IReadOnlyList<string> users) =>
        new(ControlErrorCode.Busy, $"device {_name} is in use: {string.Join("; ", users)}");

    private static TimeSpan LeastOf(TimeSpan remaining) => remaining < LeastStop ? LeastStop : remaining;
}
