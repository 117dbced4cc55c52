using Dst.Core.Requests;
using Dst.Core.Wire;

namespace Dst.Core.Sessions;

/// <summary>
/// What became of the last request of each slot of one connection (S-10). It outlives the connection: the export owns
/// it, the lane that has it writes it while its requests are counted, the control thread reads and empties it only
/// when that lane is drained. Allocates nothing after construction.
/// </summary>
public sealed class CompletedTable
{
    private readonly Entry[] _entries;

    /// <summary>A table with no entry.</summary>
    /// <param name="slots">1 to <see cref="WireLimits.SlotsMax"/>.</param>
    public CompletedTable(int slots)
    {
        Must.Be(slots is >= 1 and <= WireLimits.SlotsMax, $"{slots} slots");
        _entries = new Entry[slots];
    }

    /// <summary>Slots of the table.</summary>
    public int SlotCount => _entries.Length;

    /// <summary>Forgets everything: another incarnation begins to count anew (S-10).</summary>
    public void Clear() => Array.Clear(_entries);

    /// <summary>The last change of a slot, if that was its last request.</summary>
    /// <param name="slot">The slot.</param>
    /// <param name="sequence">Its sequence.</param>
    /// <param name="status">How it ended.</param>
    /// <returns>False when there is nothing to tell.</returns>
    public bool TryGetChange(int slot, out ulong sequence, out DstStatus status)
    {
        ref readonly Entry entry = ref _entries[slot];
        sequence = entry.Sequence;
        status = entry.Status;
        return entry.IsChange;
    }

    /// <summary>What is to be done with a request, by its id alone.</summary>
    /// <param name="slot">The slot.</param>
    /// <param name="sequence">Its sequence, not 0.</param>
    /// <param name="isChange">True for changes.</param>
    /// <param name="epoch">Epoch of the lane.</param>
    /// <param name="status">With <see cref="IdVerdict.Answered"/>: how it ended then.</param>
    internal IdVerdict Look(int slot, ulong sequence, bool isChange, ulong epoch, out DstStatus status)
    {
        ref Entry entry = ref _entries[slot];
        status = entry.Status;
        if (sequence > entry.Sequence)
        {
            return IdVerdict.Run;
        }

        // On a live connection nothing is sent again (S-11); in a new session the last request of the slot may be.
        if (sequence < entry.Sequence || entry.Epoch == epoch || entry.IsChange != isChange)
        {
            return IdVerdict.Violation;
        }

        if (!isChange)
        {
            return IdVerdict.Run;
        }

        entry.Epoch = epoch;
        return IdVerdict.Answered;
    }

    /// <summary>A request of the slot is final.</summary>
    internal void Set(int slot, ulong sequence, bool isChange, ulong epoch, DstStatus status) =>
        _entries[slot] = new Entry
        {
            Sequence = sequence,
            Epoch = epoch,
            IsChange = isChange,
            Status = Mutations.Has(Mutation.TableForgetsErrors) ? DstStatus.Ok : status,
        };

    private struct Entry
    {
        internal ulong Sequence;
        internal ulong Epoch;
        internal DstStatus Status;
        internal bool IsChange;
    }
}

/// <summary>What the id of a request says.</summary>
internal enum IdVerdict
{
    /// <summary>New, or a read or flush that may run again.</summary>
    Run,

    /// <summary>A change that is done: answered from the table.</summary>
    Answered,

    /// <summary>An id that no honest client sends.</summary>
    Violation,
}
