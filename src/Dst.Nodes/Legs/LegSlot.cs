using Dst.Core.Requests;

namespace Dst.Nodes.Legs;

/// <summary>
/// One leg on its way through a node. A queue has one slot for each leg that all its tags can have at once; the node
/// that a leg goes to is the only one to use its slot until it reports the leg done. Queue thread.
/// </summary>
public struct LegSlot
{
    /// <summary>What to do.</summary>
    public Operation Operation;

    /// <summary>FUA and the like, the same for each leg of a transaction (C-04).</summary>
    public RequestFlags Flags;

    /// <summary>State of the node that has the leg; its own meaning.</summary>
    public byte Stage;

    /// <summary>How often the node tried again after an interruption.</summary>
    public ushort Repeats;

    /// <summary>Index of the node that has the leg; -1 when the slot is free.</summary>
    public short Node;

    /// <summary>Next slot of a list that the node keeps; -1 ends it.</summary>
    public int Next;

    /// <summary>First byte on the node, moved on by partial transfers.</summary>
    public long OffsetBytes;

    /// <summary>Bytes still to do.</summary>
    public long RemainingBytes;

    /// <summary>Bytes of the whole leg.</summary>
    public long LengthBytes;

    /// <summary>Data of a read or write, moved on by partial transfers.</summary>
    public nint Buffer;

    /// <summary>When the leg began.</summary>
    public long StartTicks;
}

/// <summary>Where nodes report finished legs. Queue thread.</summary>
public interface ILegSink
{
    /// <summary>The leg of a slot is final: the node touches neither slot nor buffer any more.</summary>
    void LegDone(int slot, DstStatus status, long nowTicks);
}
