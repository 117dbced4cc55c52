using Dst.Control;

namespace Dst.Daemon;

/// <summary>What one daemon works with. Set once before it starts, then only read.</summary>
internal sealed record DaemonOptions
{
    /// <summary>Sockets, locks and status trees.</summary>
    public required RunDirectory Run { get; init; }

    /// <summary>Records that outlive the host's boot.</summary>
    public required StateDirectory State { get; init; }

    /// <summary>The program that serves one device and knows the helper verbs.</summary>
    public string TargetBinary { get; init; } = Path.Combine(AppContext.BaseDirectory, "dst-target");

    /// <summary>The program that serves all exports.</summary>
    public string ServerBinary { get; init; } = Path.Combine(AppContext.BaseDirectory, "dst-server");

    /// <summary>The program that reads kernel attributes for the daemon: dstd itself.</summary>
    public string SelfBinary { get; init; } = Path.Combine(AppContext.BaseDirectory, "dstd");

    /// <summary>Folder of the links NAME → /dev/ublkbN.</summary>
    public string LinkDirectory { get; init; } = DefaultLinkDirectory;

    /// <summary>Where procfs is.</summary>
    public string ProcRoot { get; init; } = "/proc";

    /// <summary>Where sysfs is.</summary>
    public string SysRoot { get; init; } = "/sys";

    /// <summary>How long steps may take.</summary>
    public Timing Timing { get; init; } = new();

    /// <summary>Where <see cref="LinkDirectory"/> is when nobody says otherwise.</summary>
    public const string DefaultLinkDirectory = "/dev/dst";
}

/// <summary>
/// The limit of every wait of the daemon; nothing in it waits without one, except a creation for its nodes.
/// </summary>
internal sealed record Timing
{
    /// <summary>
    /// A process that was just started must open its socket and say hello within this. Its death is seen at once, so
    /// this only tells hanging from slow, and a loaded host makes the start slow.
    /// </summary>
    public TimeSpan Connect { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>A process of an earlier daemon must say hello within this.</summary>
    public TimeSpan Hello { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>Whoever is reached in the last moment of a longer wait gets the time to say who it is.</summary>
    public TimeSpan AtLeastHello(TimeSpan left) => left > Hello ? left : Hello;

    /// <summary>A target told to start must be live within this (U-25: the partition scan is part of it).</summary>
    public TimeSpan Start { get; init; } = TimeSpan.FromSeconds(120);

    /// <summary>
    /// A target whose device is gone, or that lost its creator, must end within this before it is killed.
    /// </summary>
    public TimeSpan ProcessEnd { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>A helper that deletes a dead kernel device or reads a partition table must end within this.</summary>
    public TimeSpan Helper { get; init; } = TimeSpan.FromSeconds(20);

    /// <summary>
    /// The kernel must let go of a dead target's device within this. Before Linux 6.15 its request timer of 30 s, which
    /// is rounded up, has to fire first when every tag was in flight (U-33).
    /// </summary>
    public TimeSpan Release { get; init; } = TimeSpan.FromSeconds(45);

    /// <summary>How long a forced removal waits for its flush.</summary>
    public TimeSpan ForcedFlush { get; init; } = TimeSpan.FromSeconds(2);

    /// <summary>How much longer than its own limit a target's stop may take to answer.</summary>
    public TimeSpan StopGrace { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>How long a status may wait for a fresh queue attribute.</summary>
    public TimeSpan AttributeWait { get; init; } = TimeSpan.FromMilliseconds(300);

    /// <summary>First pause between two tries to bring a device back.</summary>
    public TimeSpan RetryFirst { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>Longest pause between two tries to bring a device back.</summary>
    public TimeSpan RetryLongest { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>A server that lived longer than this is started again without a pause.</summary>
    public TimeSpan ServerSettled { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>First pause before a server that died soon is started again.</summary>
    public TimeSpan ServerPauseFirst { get; init; } = TimeSpan.FromMilliseconds(100);

    /// <summary>Longest pause before a server that died soon is started again.</summary>
    public TimeSpan ServerPauseLongest { get; init; } = TimeSpan.FromSeconds(2);

    /// <summary>How long a stopping daemon waits for unfinished operations to be undone.</summary>
    public TimeSpan Shutdown { get; init; } = TimeSpan.FromSeconds(12);
}
