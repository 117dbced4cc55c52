namespace Dst.Simulation.Plans;

/// <summary>What may go wrong. A plan has a mean time between two of a kind, or 0 where it never happens.</summary>
internal enum Fault
{
    /// <summary>One direction of a connection stands still for a while; what is on its way comes long after.</summary>
    Stall,

    /// <summary>A connection carries nothing any more and nobody is told.</summary>
    HalfOpen,

    /// <summary>A connection is reset.</summary>
    Reset,

    /// <summary>A bit turns round on the wire.</summary>
    BitFlip,

    /// <summary>Nobody can connect for a while: refused, or no answer at all.</summary>
    ConnectFails,

    /// <summary>The server's process is killed; its requests stay with the disk.</summary>
    ServerCrash,

    /// <summary>The server's process stands still for up to minutes.</summary>
    ServerPause,

    /// <summary>The server's machine loses power: what no flush covered may be lost.</summary>
    PowerCut,

    /// <summary>The server goes away on purpose and comes back.</summary>
    ServerStop,

    /// <summary>The disk behind an export loses power, the server lives on and draws another boot id.</summary>
    DiskCut,

    /// <summary>A target is killed; its requests are given to its successor.</summary>
    TargetCrash,

    /// <summary>A target stands still for up to minutes.</summary>
    TargetPause,

    /// <summary>A client's machine reboots.</summary>
    ClientReboot,

    /// <summary>A copy of a client's state directory comes to life elsewhere.</summary>
    Clone,

    /// <summary>An operator lets the other client take the export over.</summary>
    TakeOver,

    /// <summary>An operator of the server ends the hold.</summary>
    Release,

    /// <summary>A device is removed, in peace or by force, and made anew.</summary>
    Remove,

    /// <summary>A request stays with the disk for long.</summary>
    DiskStuck,

    /// <summary>A request fails with EIO, in part done.</summary>
    DiskError,

    /// <summary>Writes fail with ENOSPC for a while.</summary>
    DiskFull,

    /// <summary>A flush fails; the pages count as clean.</summary>
    FsyncFails,

    /// <summary>The server cannot write its records for a while.</summary>
    ServerStateFails,

    /// <summary>A target cannot write its notes for a while.</summary>
    TargetStateFails,

    /// <summary>An operator suspends a node and resumes it.</summary>
    Suspend,

    /// <summary>An operator fails what waits.</summary>
    FailPending,

    /// <summary>An operator changes the budgets.</summary>
    Budget,

    /// <summary>A process is killed at an effect, between two of them.</summary>
    CrashAtEffect,

    /// <summary>A thread is stopped within a call, others run on.</summary>
    Preempt,

    /// <summary>A hop between two threads takes long.</summary>
    SlowHop,

    /// <summary>A server comes back with another export under the name, until somebody puts it right (S-07).</summary>
    ExportChanges,

    /// <summary>A target stops in good order; its device comes back.</summary>
    TargetStop,

    /// <summary>An operator of the server accepts what a failed flush has lost.</summary>
    ClearError,
}
