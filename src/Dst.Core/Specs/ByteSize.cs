using System.Diagnostics.CodeAnalysis;
using System.Globalization;

namespace Dst.Core.Specs;

/// <summary>Sizes as people write them: whole numbers, optionally with K, M, G or T (powers of 1024). Pure; any thread.</summary>
public static class ByteSize
{
    private const string Suffixes = "KMGT";

    /// <summary>Reads a size of 0 to 2^63-1 bytes.</summary>
    /// <param name="text">Such as 512, 64K or 4G.</param>
    /// <param name="bytes">The size.</param>
    /// <param name="error">Why not, one line that names the text.</param>
    public static bool TryParse(string text, out long bytes, [NotNullWhen(false)] out string? error)
    {
        bytes = 0;
        error = null;
        int shift = 0;
        int digits = text.Length;
        if (digits > 0 && Suffixes.IndexOf(text[^1], StringComparison.Ordinal) is int place and >= 0)
        {
            shift = 10 * (place + 1);
            digits--;
        }

        if (digits == 0)
        {
            error = text.Length == 0
                ? "a size is missing"
                : $"size {SpecText.Quote(text)}: a number must come before {text}";
            return false;
        }

        for (int i = 0; i < digits; i++)
        {
            char c = text[i];
            if (!char.IsAsciiDigit(c))
            {
                error = $"size {SpecText.Quote(text)}: {WhyNotWhole(text)}";
                return false;
            }

            int digit = c - '0';
            if (bytes > (long.MaxValue - digit) / 10)
            {
                return TooLarge(text, out bytes, out error);
            }

            bytes = bytes * 10 + digit;
        }

        if (bytes > long.MaxValue >> shift)
        {
            return TooLarge(text, out bytes, out error);
        }

        bytes <<= shift;
        return true;
    }

    /// <summary>The shortest text that <see cref="TryParse"/> reads back to the same value: 4G, 1536M, 1000.</summary>
    /// <param name="bytes">Not negative.</param>
    public static string ToSpec(long bytes)
    {
        int unit = -1;
        while (bytes != 0 && unit < Suffixes.Length - 1 && bytes % 1024 == 0)
        {
            bytes /= 1024;
            unit++;
        }

        string number = bytes.ToString(CultureInfo.InvariantCulture);
        return unit < 0 ? number : number + Suffixes[unit];
    }

    /// <summary>A size for people, rounded down to one decimal: 4 GiB, 1.5 GiB, 1000 B.</summary>
    /// <param name="bytes">Not negative.</param>
    public static string Format(long bytes)
    {
        int unit = -1;
        long whole = bytes;
        long rest = 0;
        while (whole >= 1024 && unit < Suffixes.Length - 1)
        {
            rest = whole % 1024;
            whole /= 1024;
            unit++;
        }

        if (unit < 0)
        {
            return string.Create(CultureInfo.InvariantCulture, $"{bytes} B");
        }

        long tenths = rest * 10 / 1024;
        return tenths == 0
            ? string.Create(CultureInfo.InvariantCulture, $"{whole} {Suffixes[unit]}iB")
            : string.Create(CultureInfo.InvariantCulture, $"{whole}.{tenths} {Suffixes[unit]}iB");
    }

    private static bool TooLarge(string text, out long bytes, out string error)
    {
        bytes = 0;
        error = $"size {SpecText.Quote(text)}: larger than 2^63-1 bytes";
        return false;
    }

    private static string WhyNotWhole(string text)
    {
        if (text[0] == '-')
        {
            return "a size cannot be negative";
        }

        return text.Contains('.', StringComparison.Ordinal)
            ? "must be a whole number, write 1536M for one and a half G"
            : "must be a whole number, optionally followed by K, M, G or T";
    }
}
