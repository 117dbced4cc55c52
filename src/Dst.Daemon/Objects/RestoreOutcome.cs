namespace Dst.Daemon.Objects;

/// <summary>How one try to bring an object back ended.</summary>
/// <param name="Reason">Null when there is nothing left to do.</param>
/// <param name="Final">Trying again cannot help.</param>
/// <param name="Pid">The process that is in the way.</param>
internal sealed record RestoreOutcome(string? Reason, bool Final = false, int? Pid = null);
