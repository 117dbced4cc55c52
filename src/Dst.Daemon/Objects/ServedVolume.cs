using Dst.Control;
using Dst.Daemon.Store;

namespace Dst.Daemon.Objects;

/// <summary>
/// Tells whether some process serves a device or an export, also one that cannot be reached at its socket: who serves
/// keeps the error marks locked for as long as it lives. Any thread.
/// </summary>
/// <param name="kind">Of what, as in <see cref="NameSpace"/>.</param>
/// <param name="name">Its name.</param>
/// <param name="marksPath">Its error marks.</param>
internal sealed class ServedVolume(string kind, string name, string marksPath)
{
    /// <summary>Null when no process serves it; else what is said about it.</summary>
    /// <exception cref="IOException">It cannot be told.</exception>
    public string? Problem() => InstanceLock.HeldBy(marksPath) is not null
        ? $"{kind} {name}: a process that cannot be reached at its socket serves it; "
            + $"end that process first (see 'fuser {marksPath}')"
        : null;

    /// <summary>Refuses whatever needs that nobody serves it.</summary>
    /// <exception cref="ControlException">Some process serves it.</exception>
    public void RefuseIfServed()
    {
        if (Problem() is { } problem)
        {
            throw new ControlException(ControlErrorCode.Busy, problem);
        }
    }
}
