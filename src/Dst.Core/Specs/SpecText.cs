using System.Globalization;
using System.Text;

namespace Dst.Core.Specs;

/// <summary>Helpers for the texts of specifications and of what is wrong with them.</summary>
internal static class SpecText
{
    private const int QuotedCharsMax = 64;

    /// <summary>The text between quotes, on one line, shortened, safe for a terminal.</summary>
    internal static string Quote(string text)
    {
        StringBuilder quoted = new("'");
        foreach (char c in text.AsSpan(0, int.Min(text.Length, QuotedCharsMax)))
        {
            if (char.IsControl(c) || char.IsSurrogate(c) || IsLineOrFormat(c))
            {
                quoted.Append(CultureInfo.InvariantCulture, $"\\u{(int)c:x4}");
            }
            else
            {
                quoted.Append(c);
            }
        }

        return quoted.Append(text.Length > QuotedCharsMax ? "…'" : "'").ToString();
    }

    /// <summary>A whole number of decimal digits and nothing else.</summary>
    internal static bool TryParseWhole(ReadOnlySpan<char> text, out long value)
    {
        value = 0;
        return text.Length > 0 && long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out value);
    }

    private static bool IsLineOrFormat(char c) => char.GetUnicodeCategory(c)
        is UnicodeCategory.LineSeparator or UnicodeCategory.ParagraphSeparator or UnicodeCategory.Format;
}
