using Dst.Interop;

namespace Dst.IO.Rings;

/// <summary>
/// How often a ring is entered again that the kernel would not let us enter: short of memory (EAGAIN), with completions
/// that it has no room for (EBUSY), or under signals (EINTR). A host that is short of memory for seconds must not take
/// a device with it; a kernel that never lets us in must not look like a quiet device. One for each entry.
/// </summary>
internal struct EnterPatience
{
    /// <summary>How long it is tried.</summary>
    public const int LimitMs = 30_000;

    /// <summary>
    /// Who comes back after so long was in: a quiet ring waits for hours between two signals of the collector.
    /// </summary>
    public const int WaitedMs = 1_000;

    /// <summary>Tries before the first pause.</summary>
    private const int TriesWithoutPause = 100;

    private const int PauseMs = 1;

    private int _tries;
    private long _beganMs;
    private long _lastMs;

    /// <summary>Waits a moment, unless a signal was all that stood in the way.</summary>
    /// <param name="error">What the kernel said, negative; 0 when it took nothing.</param>
    /// <param name="nowMs">Monotonic time.</param>
    /// <returns>False when there is nothing more to hope for.</returns>
    public bool TryAgain(int error, long nowMs)
    {
        if (error is not (0 or -Errno.EINTR or -Errno.EAGAIN or -Errno.EBUSY))
        {
            return false;
        }

        if (_tries == 0 || nowMs - _lastMs >= WaitedMs)
        {
            _tries = 0;
            _beganMs = nowMs;
        }

        _tries++;
        _lastMs = nowMs;
        if (error != -Errno.EINTR && _tries > TriesWithoutPause)
        {
            Thread.Sleep(PauseMs);
        }

        return nowMs - _beganMs < LimitMs;
    }
}
