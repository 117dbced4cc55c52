using System.Globalization;

namespace Dst.Ublk.Control;

/// <summary>
/// The processors that the running kernel could have, online or not: it gives a device no more hardware queues
/// (nr_cpu_ids in ADD_DEV). Any thread.
/// </summary>
public static class PossibleProcessors
{
    private const string ListPath = "/sys/devices/system/cpu/possible";

    /// <summary>How many; as good as endless where the kernel does not say, ADD_DEV then tells.</summary>
    public static int Count()
    {
        try
        {
            return CountOf(File.ReadAllText(ListPath)) ?? int.MaxValue;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return int.MaxValue;
        }
    }

    /// <summary>One more than the last of a list such as 0-3 or 0,2-3; null when it is none.</summary>
    internal static int? CountOf(string list)
    {
        ReadOnlySpan<char> last = list.AsSpan(list.LastIndexOfAny(['-', ',']) + 1).Trim();
        bool isNumber = int.TryParse(last, NumberStyles.None, CultureInfo.InvariantCulture, out int number);
        return isNumber && number < int.MaxValue ? number + 1 : null;
    }
}
