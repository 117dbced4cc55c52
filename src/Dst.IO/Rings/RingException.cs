namespace Dst.IO.Rings;

/// <summary>The kernel refused to make or to arm a ring. Start-up only; a running ring never throws.</summary>
/// <param name="message">One line: what failed, why (errno name), what to do.</param>
public sealed class RingException(string message) : Exception(message);
