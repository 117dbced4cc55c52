using System.Globalization;
using System.Text;

namespace Dst.Cli.Output;

/// <summary>Text from elsewhere, made safe for a terminal and for one line.</summary>
internal static class Printable
{
    /// <summary>The text with every control character written as \xNN (\uNNNN); what is printable stays.</summary>
    public static string Line(string text)
    {
        if (!text.AsSpan().ContainsAnyInRange('\0', '\u001f') && !text.AsSpan().ContainsAnyInRange('\u007f', '\u009f')
            && !text.AsSpan().ContainsAny('\u2028', '\u2029'))
        {
            return text;
        }

        var safe = new StringBuilder(text.Length);
        foreach (char c in text)
        {
            if (c is '\r' or '\n')
            {
                safe.Append(' ');
            }
            else if (char.IsControl(c))
            {
                safe.Append(CultureInfo.InvariantCulture, $"\\x{(int)c:x2}");
            }
            else
            {
                safe.Append(c is '\u2028' or '\u2029' ? ' ' : c);
            }
        }

        return safe.ToString();
    }
}
