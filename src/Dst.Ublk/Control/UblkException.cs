namespace Dst.Ublk.Control;

/// <summary>A control command of the ublk driver failed.</summary>
/// <param name="errno">Positive errno; 0 when it was not the kernel that refused.</param>
/// <param name="message">One line: which command, on which device, why, what to do.</param>
public sealed class UblkException(int errno, string message) : Exception(message)
{
    /// <summary>Positive errno, or 0.</summary>
    public int ErrorNumber { get; } = errno;

    /// <summary>The kernel has not answered in the time allowed; the command goes on inside it.</summary>
    public bool TimedOut { get; init; }
}
