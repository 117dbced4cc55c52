using Dst.IO.Rings;
using Dst.Nodes.Health;
using Dst.Nodes.Legs;

namespace Dst.Nodes;

/// <summary>
/// A place that holds a run of the volume's bytes. Shared by all queues; each queue talks to it through a
/// <see cref="NodeQueue"/> of its own. Properties are fixed after opening; any thread may read them.
/// </summary>
public abstract class Node : IDisposable
{
    /// <summary>Kind of the node as in its specification.</summary>
    public abstract string Type { get; }

    /// <summary>Its address without options, for people.</summary>
    public abstract string Address { get; }

    /// <summary>Usable bytes, not yet rounded to blocks.</summary>
    public abstract long SizeBytes { get; }

    /// <summary>Smallest piece it reads or writes: 512 or 4096.</summary>
    public abstract int BlockSizeBytes { get; }

    /// <summary>Completed writes may be lost at a power cut until FLUSH (C-03).</summary>
    public abstract bool VolatileCache { get; }

    /// <summary>It can discard.</summary>
    public abstract bool CanDiscard { get; }

    /// <summary>Granularity of its discards; 0 without.</summary>
    public abstract int DiscardGranularityBytes { get; }

    /// <summary>It can write zeroes without being sent them.</summary>
    public abstract bool CanWriteZeroes { get; }

    /// <summary>What tells its backing from any other (D-10); "none" without one.</summary>
    public abstract string Identity { get; }

    /// <summary>The file that a ring registers for it, or -1.</summary>
    public virtual int Fd => -1;

    /// <summary>Whether a failed flush has poisoned it (C-16); null for nodes that cannot lose anything.</summary>
    public virtual NodeHealth? Health => null;

    /// <summary>The node that has the data: this one, or what is inside those that delay or fail requests.</summary>
    public virtual Node Innermost => this;

    /// <summary>The queue's end of this node. Queue thread, before the queue serves.</summary>
    public abstract NodeQueue CreateQueue(in NodeQueueContext context);

    /// <summary>
    /// Gives back what it holds elsewhere, as its volume is not to come back (S-04). After every queue has ended,
    /// before <see cref="Dispose"/>. Control threads; may block for seconds.
    /// </summary>
    /// <returns>What stays held and how to end that, one line for people; null when nothing does.</returns>
    public virtual string? LeaveForGood() => null;

    /// <summary>
    /// Closes the nodes of a volume. After every queue has ended. Control threads; may block for seconds.
    /// </summary>
    /// <param name="nodes">The nodes, in order.</param>
    /// <param name="forGood">The volume is not to come back (S-04).</param>
    /// <returns>What stays held all the same, a line for people each.</returns>
    public static IReadOnlyList<string> CloseAll(IReadOnlyList<Node> nodes, bool forGood)
    {
        List<string> notes = [];
        for (int i = 0; i < nodes.Count; i++)
        {
            if (forGood && nodes[i].LeaveForGood() is { } held)
            {
                notes.Add($"node {i}: {held}");
            }

            nodes[i].Dispose();
        }

        return notes;
    }

    /// <summary>Closes the backing. After every queue has ended.</summary>
    public virtual void Dispose()
    {
    }
}

/// <summary>What a node's end at a queue needs of that queue.</summary>
/// <param name="Loop">The queue's loop.</param>
/// <param name="QueueIndex">The queue's index.</param>
/// <param name="NodeIndex">The node's place in the map.</param>
/// <param name="FileIndex">The node's fixed file in the queue's ring; -1 without.</param>
/// <param name="Slots">The queue's legs.</param>
/// <param name="Sink">Where finished legs go.</param>
public readonly record struct NodeQueueContext(
    RingLoop Loop, int QueueIndex, int NodeIndex, int FileIndex, LegSlot[] Slots, ILegSink Sink);

/// <summary>One queue's end of a node. Every member is for the queue's thread.</summary>
public abstract class NodeQueue : IDisposable
{
    /// <summary>
    /// Takes the leg that a slot describes; its end comes through <see cref="ILegSink.LegDone"/>, possibly before this
    /// returns.
    /// </summary>
    public abstract void Submit(int slot, long nowTicks);

    /// <summary>
    /// Ends with an error what the node only holds back (a delay), as soon as it can. What a disk holds cannot be
    /// called back.
    /// </summary>
    public virtual void FailPending(long nowTicks)
    {
    }

    /// <summary>Gives native memory back. After the loop has ended.</summary>
    public virtual void Dispose()
    {
    }
}
