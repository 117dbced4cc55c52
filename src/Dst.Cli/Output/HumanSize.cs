using System.Globalization;

namespace Dst.Cli.Output;

/// <summary>Byte counts for people, in powers of 1024 with the suffixes that sizes are typed with.</summary>
internal static class HumanSize
{
    private const string Suffixes = "KMGTPE";
    private const int Step = 1024;

    /// <summary>512, 4K, 1.5G: whole where it is exact, else one decimal, rounded down.</summary>
    /// <param name="bytes">At least 0; below, the plain number comes back.</param>
    public static string Format(long bytes)
    {
        if (bytes < Step)
        {
            return bytes.ToString(CultureInfo.InvariantCulture);
        }

        long unit = Step;
        int power = 0;
        while (power < Suffixes.Length - 1 && bytes / unit >= Step)
        {
            unit *= Step;
            power++;
        }

        long whole = bytes / unit;
        // At most 2^60 - 1 remains, and times ten it would not fit in 64 bits.
        long tenths = (long)((Int128)(bytes % unit) * 10 / unit);
        return bytes % unit == 0
            ? string.Create(CultureInfo.InvariantCulture, $"{whole}{Suffixes[power]}")
            : string.Create(CultureInfo.InvariantCulture, $"{whole}.{tenths}{Suffixes[power]}");
    }
}
