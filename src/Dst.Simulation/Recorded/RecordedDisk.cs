using Dst.Simulation.Checks;

namespace Dst.Simulation.Recorded;

/// <summary>
/// What a recorded disk has promised to keep: of each block the changes that a flush or FUA has covered, but for those
/// that another covered one has replaced.
/// </summary>
/// <param name="blocks">Blocks of it.</param>
internal sealed class RecordedDisk(int blocks) : IStableBlocks
{
    private readonly Change[]?[] _covered = new Change[]?[blocks];
    private readonly List<Change> _open = [];
    private ulong[] _values = new ulong[8];

    /// <inheritdoc/>
    public int Index => 0;

    /// <inheritdoc/>
    public string NameOf(ulong value) => RecordedRun.NameOf(value);

    /// <inheritdoc/>
    public ReadOnlySpan<ulong> DurableAt(int block)
    {
        if (_covered[block] is not { } changes)
        {
            _values[0] = 0;
            return _values.AsSpan(0, 1);
        }

        _values = _values.Length < changes.Length ? new ulong[2 * changes.Length] : _values;
        for (int i = 0; i < changes.Length; i++)
        {
            _values[i] = changes[i].Value;
        }

        return _values.AsSpan(0, changes.Length);
    }

    /// <summary>A change ended well.</summary>
    /// <param name="change">The change.</param>
    /// <param name="covered">It is durable by itself (FUA).</param>
    public void Add(in Change change, bool covered)
    {
        if (covered)
        {
            Cover(in change);
        }
        else
        {
            _open.Add(change);
        }
    }

    /// <summary>A flush ended well: what its life had ended before it began is durable.</summary>
    /// <param name="life">Life of the server.</param>
    /// <param name="begun">Step at which the flush began.</param>
    public void Flush(int life, long begun)
    {
        _open.RemoveAll(change =>
        {
            bool isCovered = change.Life == life && change.Ended < begun;
            if (isCovered)
            {
                Cover(in change);
            }

            return isCovered;
        });
    }

    private void Cover(in Change change)
    {
        List<Change> kept = [];
        foreach (Change old in _covered[change.Block] ?? [new Change { Begun = -1, Ended = -1 }])
        {
            if (old.Ended >= change.Begun || change.IsOptional)
            {
                kept.Add(old);
            }
        }

        // One that was replaced before it was covered does not come back.
        Change added = change;
        if (!kept.Exists(other => !other.IsOptional && other.Begun > added.Ended))
        {
            kept.Add(change);
        }

        _covered[change.Block] = [.. kept];
    }

    /// <summary>One block of a change.</summary>
    internal readonly record struct Change
    {
        public int Block { get; init; }

        public ulong Value { get; init; }

        /// <summary>A discard: afterwards the block may hold this or what it had.</summary>
        public bool IsOptional { get; init; }

        public int Life { get; init; }

        public long Begun { get; init; }

        public long Ended { get; init; }
    }
}
