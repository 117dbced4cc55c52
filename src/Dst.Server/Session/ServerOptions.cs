using Dst.Control;
using Dst.Net.Server;

namespace Dst.Server.Session;

/// <summary>What one server works with. Set once before it starts, then only read.</summary>
internal sealed record ServerOptions
{
    /// <summary>Socket and status trees.</summary>
    public required RunDirectory Run { get; init; }

    /// <summary>Hold records and error marks.</summary>
    public required StateDirectory State { get; init; }

    /// <summary>Version of the program.</summary>
    public required string Version { get; init; }

    /// <summary>What the process lacks; null when nothing.</summary>
    public string? Warning { get; init; }

    /// <summary>Payload budget of all exports together (S-31).</summary>
    public long MemoryBytes { get; init; } = ServerLimits.DefaultMemoryBytes;

    /// <summary>
    /// How long a server with nothing to serve waits for a daemon: its dstd died before it said what to serve, or ended
    /// after the last export was removed.
    /// </summary>
    public TimeSpan IdleLimit { get; init; } = TimeSpan.FromSeconds(30);
}

/// <summary>Exit codes of a server.</summary>
internal static class ServerExit
{
    /// <summary>It was told to end, or had nothing to serve.</summary>
    public const int Ok = 0;

    /// <summary>It could not serve.</summary>
    public const int Failed = 1;

    /// <summary>Wrong arguments.</summary>
    public const int Usage = 2;
}
