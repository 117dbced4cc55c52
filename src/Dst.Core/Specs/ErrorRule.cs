using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Text;
using Dst.Core.Requests;

namespace Dst.Core.Specs;

/// <summary>Operations that an <see cref="ErrorRule"/> is about.</summary>
[Flags]
public enum ErrorOperations : byte
{
    /// <summary>None; no rule has it.</summary>
    None = 0,

    /// <summary>Reads.</summary>
    Read = 1,

    /// <summary>Writes, with FUA or without.</summary>
    Write = 2,

    /// <summary>Flushes.</summary>
    Flush = 4,

    /// <summary>Discards.</summary>
    Discard = 8,

    /// <summary>Write-zeroes.</summary>
    Zeroes = 16,

    /// <summary>Changes with FUA.</summary>
    Fua = 32,

    /// <summary>Everything.</summary>
    All = Read | Write | Flush | Discard | Zeroes | Fua,
}

/// <summary>
/// When the test node <c>error</c> fails, and with which error number: <c>OPS[@RANGE][:ERRNO]</c>. OPS is read, write,
/// flush, discard, zeroes, fua joined by +, or all. RANGE is N (only the Nth matching operation, from 1), N- (from the
/// Nth on) or N-M; without it every one. ERRNO is a name, EIO by default. Immutable; any thread.
/// </summary>
public sealed record ErrorRule
{
    private const char OperationSeparator = '+';

    private static readonly (string Name, ErrorOperations Operation)[] OperationNames =
    [
        ("read", ErrorOperations.Read),
        ("write", ErrorOperations.Write),
        ("flush", ErrorOperations.Flush),
        ("discard", ErrorOperations.Discard),
        ("zeroes", ErrorOperations.Zeroes),
        ("fua", ErrorOperations.Fua),
    ];

    private ErrorRule(ErrorOperations operations, long first, long last, int errno)
    {
        Operations = operations;
        First = first;
        Last = last;
        ErrnoNumber = errno;
    }

    /// <summary>What the rule is about; the operations it counts.</summary>
    public ErrorOperations Operations { get; }

    /// <summary>The first matching operation that fails, from 1.</summary>
    public long First { get; }

    /// <summary>The last matching operation that fails; <see cref="long.MaxValue"/> when there is no end.</summary>
    public long Last { get; }

    /// <summary>Positive Linux error number.</summary>
    public int ErrnoNumber { get; }

    /// <summary>Reads a rule.</summary>
    /// <param name="text">Such as <c>flush@2:ENOSPC</c>.</param>
    /// <param name="rule">The rule.</param>
    /// <param name="error">Why not, one line that names the piece.</param>
    public static bool TryParse(
        string text, [NotNullWhen(true)] out ErrorRule? rule, [NotNullWhen(false)] out string? error)
    {
        rule = null;
        int errno = Errno.EIO;
        int colon = text.IndexOf(':', StringComparison.Ordinal);
        if (colon >= 0 && !TryParseErrno(text[(colon + 1)..], out errno, out error))
        {
            return false;
        }

        string matching = colon >= 0 ? text[..colon] : text;
        long first = 1;
        long last = long.MaxValue;
        int at = matching.IndexOf('@', StringComparison.Ordinal);
        if (at >= 0 && !TryParseRange(matching[(at + 1)..], out first, out last, out error))
        {
            return false;
        }

        if (!TryParseOperations(at >= 0 ? matching[..at] : matching, out ErrorOperations operations, out error))
        {
            return false;
        }

        rule = new ErrorRule(operations, first, last, errno);
        return true;
    }

    /// <summary>True when the operation is one that the rule counts.</summary>
    /// <param name="operation">What the node is asked to do.</param>
    /// <param name="flags">How.</param>
    public bool Matches(Operation operation, RequestFlags flags)
    {
        ErrorOperations asked = operation switch
        {
            Operation.Read => ErrorOperations.Read,
            Operation.Write => ErrorOperations.Write,
            Operation.Flush => ErrorOperations.Flush,
            Operation.Discard => ErrorOperations.Discard,
            Operation.WriteZeroes => ErrorOperations.Zeroes,
            _ => ErrorOperations.None,
        };
        if ((flags & RequestFlags.Fua) != RequestFlags.None
            && operation is Operation.Write or Operation.WriteZeroes or Operation.Discard)
        {
            asked |= ErrorOperations.Fua;
        }

        return (asked & Operations) != ErrorOperations.None;
    }

    /// <summary>True when the matching operation of this number is to fail.</summary>
    /// <param name="matchNumber">1 for the first operation that matched.</param>
    public bool Fails(long matchNumber) => matchNumber >= First && matchNumber <= Last;

    /// <summary>The canonical text; <see cref="TryParse"/> reads it back to the same rule.</summary>
    public override string ToString()
    {
        StringBuilder text = new();
        if (Operations == ErrorOperations.All)
        {
            text.Append("all");
        }
        else
        {
            foreach ((string name, ErrorOperations operation) in OperationNames)
            {
                if ((Operations & operation) != ErrorOperations.None)
                {
                    text.Append(text.Length > 0 ? "+" : "").Append(name);
                }
            }
        }

        if (First == Last)
        {
            text.Append(CultureInfo.InvariantCulture, $"@{First}");
        }
        else if (Last != long.MaxValue)
        {
            text.Append(CultureInfo.InvariantCulture, $"@{First}-{Last}");
        }
        else if (First != 1)
        {
            text.Append(CultureInfo.InvariantCulture, $"@{First}-");
        }

        if (ErrnoNumber != Errno.EIO)
        {
            text.Append(':').Append(Errno.NameOf(ErrnoNumber));
        }

        return text.ToString();
    }

    private static bool TryParseErrno(string text, out int errno, [NotNullWhen(false)] out string? error)
    {
        if (Errno.TryGetNumber(text, out errno))
        {
            error = null;
            return true;
        }

        StringBuilder names = new();
        foreach ((string name, _) in Errno.Known)
        {
            names.Append(names.Length > 0 ? ", " : "").Append(name);
        }

        error = text.Length == 0
            ? $"error: an error name must follow ':', one of {names}"
            : $"error: unknown error name {SpecText.Quote(text)}, known are {names}";
        return false;
    }

    private static bool TryParseRange(
        string text, out long first, out long last, [NotNullWhen(false)] out string? error)
    {
        int dash = text.IndexOf('-', StringComparison.Ordinal);
        ReadOnlySpan<char> firstText = dash >= 0 ? text.AsSpan(0, dash) : text;
        bool whole = SpecText.TryParseWhole(firstText, out first);
        if (dash < 0)
        {
            last = first;
        }
        else if (dash == text.Length - 1)
        {
            last = long.MaxValue;
        }
        else
        {
            whole &= SpecText.TryParseWhole(text.AsSpan(dash + 1), out last);
            error = whole && last < first
                ? $"error: range {SpecText.Quote(text)} ends before it begins"
                : null;
            if (error is not null)
            {
                return false;
            }
        }

        error = whole && first >= 1
            ? null
            : $"error: range {SpecText.Quote(text)} after '@' must be N, N- or N-M, counted from 1";
        return error is null;
    }

    private static bool TryParseOperations(
        string text, out ErrorOperations operations, [NotNullWhen(false)] out string? error)
    {
        operations = ErrorOperations.None;
        error = null;
        if (string.Equals(text, "all", StringComparison.Ordinal))
        {
            operations = ErrorOperations.All;
            return true;
        }

        foreach (string name in text.Split(OperationSeparator))
        {
            ErrorOperations operation = OperationByName(name);
            if (operation == ErrorOperations.None)
            {
                error = $"error: unknown operation {SpecText.Quote(name)}, "
                    + "allowed are read, write, flush, discard, zeroes, fua joined by +, or all";
                return false;
            }

            if ((operations & operation) != ErrorOperations.None)
            {
                error = $"error: operation {name} is named twice";
                return false;
            }

            operations |= operation;
        }

        return true;
    }

    private static ErrorOperations OperationByName(string name)
    {
        foreach ((string knownName, ErrorOperations operation) in OperationNames)
        {
            if (string.Equals(knownName, name, StringComparison.Ordinal))
            {
                return operation;
            }
        }

        return ErrorOperations.None;
    }
}
