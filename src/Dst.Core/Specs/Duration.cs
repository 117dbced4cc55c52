using System.Diagnostics.CodeAnalysis;
using System.Globalization;

namespace Dst.Core.Specs;

/// <summary>
/// Spans of time as people write them: whole numbers with ms, s, m or h; seconds when nothing follows. Pure; any
/// thread.
/// </summary>
public static class Duration
{
    private static readonly (string Suffix, long Ms)[] Units =
        [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)];

    /// <summary>Reads a span of 1 ms to <paramref name="maxMs"/>.</summary>
    /// <param name="text">Such as 500ms, 30, 30s or 5m.</param>
    /// <param name="maxMs">Longest that is allowed.</param>
    /// <param name="spanMs">The span in milliseconds.</param>
    /// <param name="error">Why not, one line that names the text.</param>
    public static bool TryParse(string text, long maxMs, out long spanMs, [NotNullWhen(false)] out string? error)
    {
        int digits = text.AsSpan().IndexOfAnyExceptInRange('0', '9');
        digits = digits < 0 ? text.Length : digits;
        string suffix = digits == text.Length ? "s" : text[digits..];
        long unitMs = 0;
        foreach ((string name, long ms) in Units)
        {
            unitMs = string.Equals(name, suffix, StringComparison.Ordinal) ? ms : unitMs;
        }

        spanMs = 0;
        if (unitMs == 0 || !SpecText.TryParseWhole(text.AsSpan(0, digits), out long count))
        {
            error = digits == text.Length && digits > 0
                ? $"time {SpecText.Quote(text)}: must be 1ms to {ToSpec(maxMs)}"
                : $"time {SpecText.Quote(text)}: must be a whole number followed by ms, s, m or h";
            return false;
        }

        error = count >= 1 && count <= maxMs / unitMs
            ? null
            : $"time {SpecText.Quote(text)}: must be 1ms to {ToSpec(maxMs)}";
        spanMs = error is null ? count * unitMs : 0;
        return error is null;
    }

    /// <summary>The text with the largest unit that has a whole number of them: 1h, 90s, 1500ms.</summary>
    /// <param name="spanMs">At least 1.</param>
    public static string ToSpec(long spanMs)
    {
        int unit = Units.Length - 1;
        while (spanMs % Units[unit].Ms != 0)
        {
            unit--;
        }

        return (spanMs / Units[unit].Ms).ToString(CultureInfo.InvariantCulture) + Units[unit].Suffix;
    }
}
