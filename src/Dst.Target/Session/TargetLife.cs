using Dst.Control;
using Dst.Hosting;
using Dst.Target.Devices;

namespace Dst.Target.Session;

/// <summary>
/// Decides when the process ends and with which code, and lets one thread at a time to the device. It ends when the
/// device was stopped in order, was lost, or when the connection that was making it is gone. Any thread.
/// </summary>
internal sealed class TargetLife
{
    /// <summary>
    /// Long for a dstd to connect to what it has just started, short for a process that nobody knows.
    /// </summary>
    public static readonly TimeSpan MakerLimit = TimeSpan.FromSeconds(30);

    private readonly TargetDevice _device;
    private readonly ProcessLog _log;
    private readonly Lock _deviceLock = new();
    private readonly TaskCompletionSource<int> _end = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TimeSpan _makerLimit;
    private readonly Timer _makerTimer;
    private int _connections;
    private bool _stopped;

    /// <summary>Begins with a new device.</summary>
    /// <param name="device">The device.</param>
    /// <param name="identity">What the target is.</param>
    /// <param name="log">Told why it ends.</param>
    /// <param name="makerLimit">
    /// How long a target with nothing to serve waits for a connection; null: <see cref="MakerLimit"/>.
    /// </param>
    public TargetLife(TargetDevice device, TargetIdentity identity, ProcessLog log, TimeSpan? makerLimit = null)
    {
        _makerLimit = makerLimit ?? MakerLimit;
        _makerTimer = new Timer(_ => EndUnlessWanted(), null, _makerLimit, Timeout.InfiniteTimeSpan);
        _device = device;
        _log = log;
        Identity = identity;
        device.Lost += () => _end.TrySetResult(TargetExit.Failed);
    }

    /// <summary>What the target is.</summary>
    public TargetIdentity Identity { get; }

    /// <summary>What it says first on every connection.</summary>
    public TargetHello Hello() => new()
    {
        Protocol = TargetProtocol.Version,
        Version = Identity.Version,
        Name = Identity.Name,
        Pid = Environment.ProcessId,
        State = _device.State,
        Geometry = _device.Geometry,
        Refusal = Identity.Refusal,
    };

    /// <summary>Does something with the device; waits for whoever does so now.</summary>
    /// <exception cref="ControlException">The target refuses to serve.</exception>
    public T Do<T>(Func<TargetDevice, T> step)
    {
        if (Identity.Refusal is not null)
        {
            throw new ControlException(ControlErrorCode.Failure, Identity.Refusal);
        }

        lock (_deviceLock)
        {
            return step(_device);
        }
    }

    /// <summary>Lets flushes of a node, or of all, through again (C-16).</summary>
    /// <exception cref="ControlException">Its mark stays.</exception>
    public void ClearError(int? nodeIndex) => Do(each =>
    {
        each.ClearError(nodeIndex);
        return true;
    });

    /// <summary>Stops the device; the process ends once <see cref="Leave"/> is called.</summary>
    /// <returns>What stays held elsewhere, a line for people each.</returns>
    /// <exception cref="ControlException">It goes on as it was.</exception>
    public IReadOnlyList<string> Stop(bool failPending, int timeoutMs) => Do(each =>
    {
        IReadOnlyList<string> notes = each.Stop(failPending, timeoutMs);
        _stopped = true;
        return notes;
    });

    /// <summary>
    /// A reply was sent, or a connection is lost: ends the process when there is nothing more to serve. A device that
    /// is live outlives every connection.
    /// </summary>
    /// <param name="lostOpener">The connection that was making the device is lost.</param>
    public void Leave(bool lostOpener)
    {
        lock (_deviceLock)
        {
            if (_stopped)
            {
                _end.TrySetResult(TargetExit.Ok);
            }
            else if (lostOpener && _device.State is not "live")
            {
                _end.TrySetResult(TargetExit.Failed);
            }
        }
    }

    /// <summary>Somebody has connected.</summary>
    public void Arrived() => Interlocked.Increment(ref _connections);

    /// <summary>A connection has ended, and all that it had asked for.</summary>
    public void Departed()
    {
        if (Interlocked.Decrement(ref _connections) == 0)
        {
            _makerTimer.Change(_makerLimit, Timeout.InfiniteTimeSpan);
        }
    }

    /// <summary>A target that refuses to serve has told why: it ends.</summary>
    public void Refused() => _end.TrySetResult(TargetExit.Failed);

    /// <summary>Ends the process at once: the kernel device is in a state that only this resolves.</summary>
    public void Fail(string reason) => TargetExit.Now(_device, Identity, reason);

    /// <summary>Waits for the end and frees what is left of the device. Main thread.</summary>
    /// <returns>Exit code.</returns>
    public int WaitForEnd()
    {
        int code = _end.Task.GetAwaiter().GetResult();
        lock (_deviceLock)
        {
            try
            {
                CleanUp();
            }
            catch (Exception e)
            {
                // The kernel takes back what we cannot: a target that must end ends.
                _log.Write($"clearing up failed: {e.Message.ReplaceLineEndings(" ")}");
            }
        }

        return code;
    }

    private void CleanUp()
    {
        if (_device.State is "live")
        {
            _log.Write("the kernel device was stopped by somebody else");
            _device.Release();
        }
        else if (_device.State is "new" or "open")
        {
            _device.Undo();
        }
    }

    // Its dstd died before it connected, or before it said what to open: nobody will ever end this process.
    private void EndUnlessWanted()
    {
        if (Volatile.Read(ref _connections) == 0 && _device.State is "new" && _end.TrySetResult(TargetExit.Failed))
        {
            _log.Write($"nobody has told what to serve for {_makerLimit.TotalSeconds:0.#} s; the target ends");
        }
    }
}
