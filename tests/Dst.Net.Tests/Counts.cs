using System.Globalization;

namespace Dst.Net.Tests;

/// <summary>How often a test does what it does: less in each run, more where a variable says so.</summary>
internal static class Counts
{
    /// <summary>The number in a variable of the environment, or the usual one.</summary>
    public static int Of(string variable, int usual) =>
        int.TryParse(Environment.GetEnvironmentVariable(variable), CultureInfo.InvariantCulture, out int count)
            ? count
            : usual;
}
