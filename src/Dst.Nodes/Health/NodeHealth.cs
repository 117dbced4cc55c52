namespace Dst.Nodes.Health;

/// <summary>Whether a node may still say that a flush went well.</summary>
public enum NodeHealthState
{
    /// <summary>No flush has failed.</summary>
    Live,

    /// <summary>A flush has failed; the durable mark is being made. No flush is answered meanwhile.</summary>
    Marking,

    /// <summary>The mark is durable: every FLUSH and FUA fails until an operator clears it.</summary>
    Poisoned,
}

/// <summary>
/// Poison of one node (C-16, S-24): the kernel reports a failed write-back once, so after it no later flush can be
/// believed. Queue threads report the failure, the keeper makes it durable and says so, queue threads then answer. All
/// members any thread.
/// </summary>
/// <param name="keeperSignal">Wakes the keeper.</param>
public sealed class NodeHealth(Action keeperSignal)
{
    private int _state;
    private int _errno;

    /// <summary>The state now.</summary>
    public NodeHealthState State => (NodeHealthState)Volatile.Read(ref _state);

    /// <summary>Positive errno of the last flush that failed; means nothing while the node is live.</summary>
    public int ErrorNumber => Volatile.Read(ref _errno);

    /// <summary>
    /// A flush failed. Queue thread. It counts on a marked node too: an operator may be taking that mark away just now.
    /// </summary>
    public void Report(int errno)
    {
        // The errno may be overwritten by a second queue's report; either is true.
        Volatile.Write(ref _errno, errno);
        const int Marking = (int)NodeHealthState.Marking;
        if (Interlocked.Exchange(ref _state, Marking) != Marking)
        {
            keeperSignal();
        }
    }

    /// <summary>
    /// Whoever kept everything since the last good flush has sent it again: the next flush may be believed, for it covers all of that. The durable mark
    /// stays until that flush went well and the keeper was told to clear it (S-24). Queue thread.
    /// </summary>
    public void Trust() =>
        Interlocked.CompareExchange(ref _state, (int)NodeHealthState.Live, (int)NodeHealthState.Poisoned);

    /// <summary>The mark is durable, or was found at start. Keeper thread.</summary>
    internal void SetPoisoned(int errno)
    {
        Volatile.Write(ref _errno, errno);
        Volatile.Write(ref _state, (int)NodeHealthState.Poisoned);
    }

    /// <summary>
    /// The mark was taken away by an operator. Keeper thread. Only a marked node becomes live: a failure reported
    /// meanwhile is still to be marked.
    /// </summary>
    internal void SetLive() =>
        Interlocked.CompareExchange(ref _state, (int)NodeHealthState.Live, (int)NodeHealthState.Poisoned);
}
