using Dst.IO.Processes;

namespace Dst.Ublk.Control;

/// <summary>
/// Who made a device, as it fits beside the tag into the driver's own word: the process id in the lower 22 bits (the
/// kernel's limit), above it what is left of its start time, so that a reused number is not taken for the maker (D-04).
/// Any thread.
/// </summary>
/// <param name="Pid">Process id in our pid namespace.</param>
/// <param name="StartMark">1 to 1023, derived from the start time; 0 when that is not known.</param>
public readonly record struct UblkMaker(int Pid, int StartMark)
{
    private const int PidBits = 22;
    private const int PidMask = (1 << PidBits) - 1;
    private const int StartMarks = (1 << (32 - PidBits)) - 1;

    /// <summary>This process.</summary>
    public static UblkMaker Self => new(Environment.ProcessId, MarkOf(ProcessStart.TicksOf(Environment.ProcessId)));

    /// <summary>Reads the word.</summary>
    public static UblkMaker FromWord(uint word) => new((int)(word & PidMask), (int)(word >> PidBits));

    /// <summary>The word.</summary>
    public uint ToWord() => ((uint)StartMark << PidBits) | ((uint)Pid & PidMask);

    /// <summary>
    /// True while the maker runs. Of a process that began at another time it says false, but for one number in 1023;
    /// then a dead maker's device is left alone, never a living one's taken.
    /// </summary>
    public bool Lives()
    {
        long? ticks = ProcessStart.TicksOf(Pid);
        return ticks is not null && (StartMark == 0 || StartMark == MarkOf(ticks));
    }

    private static int MarkOf(long? ticks) => ticks is { } known ? 1 + (int)(known % StartMarks) : 0;
}
