using Dst.Control;

namespace Dst.Daemon.Objects;

/// <summary>
/// Lets one operation at a time to a device and tells the others which one has it. Any thread; an operation enters,
/// works and leaves.
/// </summary>
/// <param name="subject">The object, as in "device a".</param>
/// <param name="timing">Limits.</param>
internal sealed class OperationGate(string subject, Timing timing)
{
    /// <summary>What follows the death of a target; nobody asked for it and it ends soon.</summary>
    public const string Clearing = "clearing up after its target";

    private readonly SemaphoreSlim _operation = new(1, 1);
    private volatile string _doing = "";

    /// <summary>Whether this operation has the device now.</summary>
    public bool IsDoing(string operation) => string.Equals(_doing, operation, StringComparison.Ordinal);

    /// <summary>Waits for the device.</summary>
    /// <param name="doing">The operation, in words or as the state it shows.</param>
    /// <param name="wait">How long to wait for another operation; one that clears up is waited for in any case.</param>
    /// <exception cref="ControlException">Another operation has it.</exception>
    public async Task EnterAsync(string doing, TimeSpan wait)
    {
        bool extend = IsDoing(Clearing) && wait != Timeout.InfiniteTimeSpan;
        if (!await _operation.WaitAsync(extend ? wait + timing.Release + timing.Helper : wait))
        {
            string what = _doing switch
            {
                ObjectState.Creating => "it is being created; removing it with --force gives that up",
                ObjectState.Starting => "it is being brought back",
                ObjectState.Stopping => "it is being removed",
                "" => "another operation has it",
                var other => $"{other} has it",
            };
            throw new ControlException(ControlErrorCode.Busy, $"{subject} is busy: {what}");
        }

        _doing = doing;
    }

    /// <summary>Gives the device to the next operation.</summary>
    public void Leave()
    {
        _doing = "";
        _operation.Release();
    }
}
