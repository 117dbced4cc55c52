using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Runtime.CompilerServices;

namespace Dst.Core;

/// <summary>
/// Assertions that stay in release builds. A broken one ends the process: a data plane that no longer knows its own
/// state must not write another block. Costs a branch and allocates nothing while it holds. Any thread.
/// </summary>
public static class Must
{
    /// <summary>Set by the tests of this project, once: called instead of ending the process; must throw.</summary>
    internal static Action<string>? FailHook { get; set; }

    /// <summary>Ends the process with <paramref name="message"/> unless <paramref name="condition"/> holds.</summary>
    /// <param name="condition">What must be true.</param>
    /// <param name="message">Object and state, one line.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Be([DoesNotReturnIf(false)] bool condition, string message)
    {
        if (!condition)
        {
            Fail(message);
        }
    }

    /// <summary>As above; the message is only put together when the condition does not hold.</summary>
    /// <param name="condition">What must be true.</param>
    /// <param name="message">Object and state, one line.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Be(
        [DoesNotReturnIf(false)] bool condition,
        [InterpolatedStringHandlerArgument(nameof(condition))] ref MustMessage message)
    {
        if (!condition)
        {
            Fail(message.ToStringAndClear());
        }
    }

    /// <summary>Ends the process with <paramref name="message"/>.</summary>
    /// <param name="message">Object and state, one line.</param>
    [DoesNotReturn]
    [MethodImpl(MethodImplOptions.NoInlining)]
    public static void Fail(string message)
    {
        FailHook?.Invoke(message);
        Environment.FailFast("DST bug: " + message);
    }
}

/// <summary>Puts the message of <see cref="Must"/> together, only when it is needed.</summary>
[InterpolatedStringHandler]
public ref struct MustMessage
{
    private DefaultInterpolatedStringHandler _handler;

    /// <summary>Called by the compiler.</summary>
    /// <param name="literalLength">Characters outside the holes.</param>
    /// <param name="formattedCount">Number of holes.</param>
    /// <param name="condition">The asserted condition.</param>
    /// <param name="needed">True when the message is to be put together.</param>
    public MustMessage(int literalLength, int formattedCount, bool condition, out bool needed)
    {
        needed = !condition;
        _handler = condition
            ? default
            : new DefaultInterpolatedStringHandler(literalLength, formattedCount, CultureInfo.InvariantCulture);
    }

    /// <summary>Called by the compiler.</summary>
    /// <param name="value">Text outside the holes.</param>
    public void AppendLiteral(string value) => _handler.AppendLiteral(value);

    /// <summary>Called by the compiler.</summary>
    /// <param name="value">What fills a hole.</param>
    /// <typeparam name="T">Its type.</typeparam>
    public void AppendFormatted<T>(T value) => _handler.AppendFormatted(value);

    /// <summary>Called by the compiler.</summary>
    /// <param name="value">What fills a hole.</param>
    /// <param name="format">How it is written.</param>
    /// <typeparam name="T">Its type.</typeparam>
    public void AppendFormatted<T>(T value, string? format) => _handler.AppendFormatted(value, format);

    internal string ToStringAndClear() => _handler.ToStringAndClear();
}
