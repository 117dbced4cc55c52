using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;
using System.Text;

namespace Dst.Core.Wire;

/// <summary>
/// A short UTF-8 text that lives inside its owner, so that machines keep names without allocating. Bytes that are no
/// UTF-8 or would disturb a terminal are never stored: they are replaced by '?' (N-36). Any thread.
/// </summary>
public readonly struct WireText : IEquatable<WireText>
{
    private readonly Bytes _bytes;
    private readonly byte _length;

    /// <summary>Takes a text; what is longer than <see cref="WireLimits.TextMaxBytes"/> is cut.</summary>
    /// <param name="text">Characters.</param>
    public WireText(string text)
        : this(Encoding.UTF8.GetBytes(text))
    {
    }

    /// <summary>
    /// Takes bytes; what is longer than <see cref="WireLimits.TextMaxBytes"/> is cut between characters.
    /// </summary>
    /// <param name="utf8">Any bytes.</param>
    public WireText(ReadOnlySpan<byte> utf8)
    {
        Span<byte> target = _bytes;
        int length = 0;
        while (utf8.Length > 0)
        {
            bool good = Rune.DecodeFromUtf8(utf8, out Rune rune, out int taken) == System.Buffers.OperationStatus.Done
                && IsPrintable(rune);
            int needed = good ? taken : 1;
            if (length + needed > WireLimits.TextMaxBytes)
            {
                break;
            }

            if (good)
            {
                utf8[..taken].CopyTo(target[length..]);
            }
            else
            {
                target[length] = (byte)'?';
            }

            length += needed;
            utf8 = utf8[int.Max(taken, 1)..];
        }

        _length = (byte)length;
    }

    /// <summary>Bytes of the text.</summary>
    public int LengthBytes => _length;

    /// <summary>True for no text.</summary>
    public bool IsEmpty => _length == 0;

    /// <summary>The bytes, valid as long as the text's owner.</summary>
    [UnscopedRef]
    public ReadOnlySpan<byte> Utf8 => ((ReadOnlySpan<byte>)_bytes)[.._length];

    /// <summary>True when both hold the same bytes.</summary>
    /// <param name="left">One.</param>
    /// <param name="right">The other.</param>
    public static bool operator ==(WireText left, WireText right) => left.Equals(right);

    /// <summary>True when they differ.</summary>
    /// <param name="left">One.</param>
    /// <param name="right">The other.</param>
    public static bool operator !=(WireText left, WireText right) => !left.Equals(right);

    /// <inheritdoc/>
    public bool Equals(WireText other) => Utf8.SequenceEqual(other.Utf8);

    /// <inheritdoc/>
    public override bool Equals(object? obj) => obj is WireText other && Equals(other);

    /// <inheritdoc/>
    public override int GetHashCode()
    {
        HashCode hash = default;
        hash.AddBytes(Utf8);
        return hash.ToHashCode();
    }

    /// <summary>The characters; allocates.</summary>
    public override string ToString() => Encoding.UTF8.GetString(Utf8);

    private static bool IsPrintable(Rune rune) => !Rune.IsControl(rune)
        && Rune.GetUnicodeCategory(rune) is not (System.Globalization.UnicodeCategory.LineSeparator
            or System.Globalization.UnicodeCategory.ParagraphSeparator
            or System.Globalization.UnicodeCategory.Format);

    [InlineArray(WireLimits.TextMaxBytes)]
    private struct Bytes
    {
        private byte _first;
    }
}
