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
    /// Make <c>PendingHold</c> durable (written beside, synced, renamed, folder synced), then call <c>HoldPersisted</c> (S-03).
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
/// A list of effects with a fixed bound; one more than that ends the process. The driver drains it after each event.
/// </summary>
public sealed class EffectList
{
    private readonly SessionEffect[] _effects;

    /// <summary>An empty list.</summary>
    /// <param name="capacity">Most effects of one event.</param>
    public EffectList(int capacity) => _effects = new SessionEffect[capacity];

    /// <summary>Effects, oldest first; valid until <see cref="Clear"/>.</summary>
    public ReadOnlySpan<SessionEffect> Pending => _effects.AsSpan(0, Count);

    /// <summary>Number of effects.</summary>
    public int Count { get; private set; }

    /// <summary>The driver has done them all.</summary>
    public void Clear() => Count = 0;

    internal void Add(in SessionEffect effect)
    {
        Must.Be(Count < _effects.Length, $"more than {_effects.Length} effects: were the last ones drained?");
        _effects[Count++] = effect;
    }
}
