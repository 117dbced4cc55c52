using Dst.Core.Wire;

namespace Dst.Core.Sessions;

/// <summary>What the driver of an export does for it.</summary>
public enum SessionEffectKind
{
    /// <summary>
    /// Stop reading the connection at once, send the ERROR that <c>WriteRefusal</c> writes if that can be (none for
    /// <see cref="RefusalCode.None"/>), close. Its lane is detached on its own thread.
    /// </summary>
    Close,

    /// <summary>Send ATTACH_WAIT: <c>A</c> requests with the disk, <c>B</c> ms waited (S-05).</summary>
    SendWait,

    /// <summary>
    /// Make <c>PendingHold</c> durable (written beside, synced, renamed, folder synced), then call <c>HoldPersisted</c>
    /// (S-03).
    /// </summary>
    PersistHold,

    /// <summary>
    /// Send the frames of <c>WriteGrant</c> in one go, tell the connection it is granted; if it only reads, hand
    /// its lane to its engine thread.
    /// </summary>
    Grant,

    /// <summary>Send JOIN_OK with number <c>A</c>, hand the lane to its engine thread.</summary>
    Joined,

    /// <summary>Send BEGIN_OK, hand the lane to its engine thread.</summary>
    Begun,

    /// <summary>Send GOODBYE and close: the hold is given back.</summary>
    SendGoodbye,

    /// <summary>An operator's release is done (<c>A</c> = 1) or could not be made durable (<c>A</c> = 0).</summary>
    Released,

    /// <summary>Nothing of the export runs any more: its nodes may be closed.</summary>
    Stopped,
}

/// <summary>One thing to do.</summary>
/// <param name="Kind">What.</param>
/// <param name="Connection">The connection it is about; -1 for none.</param>
/// <param name="Code">With Close: why.</param>
/// <param name="A">See the kind.</param>
/// <param name="B">See the kind.</param>
public readonly record struct SessionEffect(
    SessionEffectKind Kind, int Connection = -1, RefusalCode Code = RefusalCode.None, long A = 0, long B = 0);

/// <summary>
/// Effects in the order in which they came, with a fixed bound; one more than that ends the process. The driver takes
/// them one by one after each event, and may call the session again while it does.
/// </summary>
public sealed class EffectList
{
    private readonly SessionEffect[] _ring;
    private int _first;

    /// <summary>An empty list.</summary>
    /// <param name="capacity">Most effects that wait.</param>
    public EffectList(int capacity) => _ring = new SessionEffect[capacity];

    /// <summary>Effects that wait.</summary>
    public int Count { get; private set; }

    /// <summary>Takes the oldest effect.</summary>
    /// <param name="effect">What to do.</param>
    /// <returns>False when there is none.</returns>
    public bool TryTake(out SessionEffect effect)
    {
        effect = default;
        if (Count == 0)
        {
            return false;
        }

        effect = _ring[_first];
        _first = (_first + 1) % _ring.Length;
        Count--;
        return true;
    }

    internal void Add(in SessionEffect effect)
    {
        Must.Be(Count < _ring.Length, $"more than {_ring.Length} effects: were the last ones taken?");
        _ring[(_first + Count) % _ring.Length] = effect;
        Count++;
    }
}
