using System.Globalization;

namespace Dst.Hosting;

/// <summary>
/// For tests only: collects garbage at a fixed pace while requests run, so that the collector's signals meet io_uring
/// at every place (U-10). Started when the environment says so; the product never does.
/// </summary>
public static class ForcedCollections
{
    /// <summary>Environment variable that holds the pace in ms, 1 to 10,000.</summary>
    public const string Variable = "DST_TEST_COLLECT_MS";

    private const int PaceMaxMs = 10_000;

    /// <summary>Starts the thread if the environment asks for it. Before anything is served.</summary>
    /// <returns>What to log; null when it was not asked for.</returns>
    public static string? StartIfAsked()
    {
        string? text = Environment.GetEnvironmentVariable(Variable);
        if (!int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int paceMs)
            || paceMs is < 1 or > PaceMaxMs)
        {
            return null;
        }

        new Thread(() => Run(paceMs)) { IsBackground = true, Name = "dst-test-gc" }.Start();
        return $"{Variable}: collecting garbage every {paceMs} ms";
    }

    private static void Run(int paceMs)
    {
        while (true)
        {
            Thread.Sleep(paceMs);
            GC.Collect();
        }
    }
}
