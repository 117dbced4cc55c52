using System.Globalization;

namespace Dst.IO.Processes;

/// <summary>When a process began: what tells it from a later one of the same number (D-04). Any thread.</summary>
public static class ProcessStart
{
    /// <summary>Place of starttime in /proc/PID/stat, counted from the state, which follows the name.</summary>
    private const int StartField = 19;

    /// <summary>Looks a process up.</summary>
    /// <param name="pid">Its number in our own pid namespace.</param>
    /// <returns>
    /// Clock ticks from boot to its start, which execve does not change; null when there is none of that number, or
    /// only a dead one that nobody has waited for.
    /// </returns>
    public static long? TicksOf(int pid)
    {
        string stat;
        try
        {
            stat = File.ReadAllText(string.Create(CultureInfo.InvariantCulture, $"/proc/{pid}/stat"));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }

        // The name may hold spaces and brackets; nothing after it does.
        string[] fields = stat[(stat.LastIndexOf(')') + 1)..].Split(' ', StringSplitOptions.RemoveEmptyEntries);
        return fields.Length > StartField
            && fields[0] is not ("Z" or "X")
            && long.TryParse(fields[StartField], NumberStyles.None, CultureInfo.InvariantCulture, out long ticks)
            ? ticks
            : null;
    }
}
