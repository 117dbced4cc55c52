using Dst.Core.Requests;
using Dst.Simulation.Engine;

namespace Dst.Simulation.Disks;

/// <summary>Who is told that a request left the disk.</summary>
internal interface IDiskOwner
{
    /// <summary>The process that gave it; told only while it lives.</summary>
    SimProcess Owner { get; }

    /// <summary>A request is done.</summary>
    void OnDisk(DiskOp op);
}

/// <summary>A request that the disk has. Objects are used again.</summary>
internal sealed class DiskOp
{
    /// <summary>What.</summary>
    public Operation Operation;

    /// <summary>Durable when it ends.</summary>
    public bool Fua;

    /// <summary>First block.</summary>
    public int Block;

    /// <summary>Blocks.</summary>
    public int Count;

    /// <summary>A value for each block: to be written, or as read.</summary>
    public ulong[] Values = [];

    /// <summary>How it ended.</summary>
    public DstStatus Status;

    /// <summary>Epoch under which it was submitted; 0 of a reader.</summary>
    public ulong Epoch;

    /// <summary>Who asked.</summary>
    public IDiskOwner? Owner;

    /// <summary>The connection's.</summary>
    public object? Peer;

    /// <summary>Its slot.</summary>
    public int Slot;

    /// <summary>Number among all requests of the disk.</summary>
    public long Serial;

    /// <summary>Of a flush: changes up to this number are covered.</summary>
    public long Captured;

    /// <summary>Of a flush: it is the one after a replay, which may take the poison away.</summary>
    public bool MayRunPoisoned;

    /// <summary>It has had its effect; the answer is on its way.</summary>
    public bool Applied;
}
