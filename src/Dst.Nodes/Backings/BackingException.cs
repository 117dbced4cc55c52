namespace Dst.Nodes.Backings;

/// <summary>Why a backing could not be had; decides the exit code of whoever asked.</summary>
public enum BackingFailure
{
    /// <summary>What was asked can never work: no such file, wrong kind, bad size or offset.</summary>
    Usage,

    /// <summary>It is there but someone uses it, or it came into being meanwhile.</summary>
    Busy,

    /// <summary>
    /// The host said no: permissions, full disk, I/O errors, another or a shrunk backing than before.
    /// </summary>
    Failure,
}

/// <summary>
/// A backing could not be opened or made. The message is one line for people: what, which path, why, what to do.
/// </summary>
/// <param name="kind">Class of the failure.</param>
/// <param name="message">One line for people.</param>
public sealed class BackingException(BackingFailure kind, string message) : Exception(message)
{
    /// <summary>Class of the failure.</summary>
    public BackingFailure Kind { get; } = kind;
}
