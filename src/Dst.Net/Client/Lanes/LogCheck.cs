using Dst.Core.Wire;

namespace Dst.Net.Client.Lanes;

/// <summary>
/// Checks the copy of a change in the replay log, which may be sent in many parts (N-25, S-22): as a whole before the
/// first, then with each part the chunks it lies in, against the table that the whole has proven. So no part goes that
/// was damaged meanwhile, and an entry of many parts costs no look at all of it for each. Queue thread.
/// </summary>
internal sealed class LogCheck
{
    private readonly byte[] _table = new byte[WireLimits.ChunksMax * WireLimits.ChecksumMaxBytes];
    private ChecksumKind _kind;
    private bool _isGood;

    /// <summary>Bytes that were summed up so far.</summary>
    public long SummedBytes { get; private set; }

    /// <summary>True when an entry's copy is what was acknowledged. Its parts follow, before another entry.</summary>
    /// <param name="sum">What was noted of the table that the change was sent with.</param>
    /// <param name="whole">All of the copy.</param>
    public bool Begin(LogSum sum, ReadOnlySpan<byte> whole)
    {
        _kind = sum.Kind;
        _isGood = true;
        if (_kind != ChecksumKind.None)
        {
            Span<byte> table = _table.AsSpan(0, DataChecksum.TableBytes(_kind, whole.Length));
            DataChecksum.WriteTable(_kind, whole, table);
            SummedBytes += whole.Length;
            _isGood = LogSum.Of(_kind, table) == sum;
        }

        return _isGood;
    }

    /// <summary>True when a part is what it was when the whole was good; none is of an entry that was not.</summary>
    /// <param name="whole">All of the copy.</param>
    /// <param name="at">Where the part begins.</param>
    /// <param name="length">Its length, at least 1.</param>
    public bool IsIntact(ReadOnlySpan<byte> whole, int at, int length)
    {
        if (!_isGood || _kind == ChecksumKind.None)
        {
            return _isGood;
        }

        int first = at / WireLimits.ChunkBytes;
        int last = (at + length - 1) / WireLimits.ChunkBytes;
        int from = first * WireLimits.ChunkBytes;
        ReadOnlySpan<byte> chunks = whole[from..int.Min((last + 1) * WireLimits.ChunkBytes, whole.Length)];
        int sumBytes = DataChecksum.SizeBytes(_kind);
        SummedBytes += chunks.Length;
        _isGood = DataChecksum.FindMismatch(
            _kind, chunks, _table.AsSpan(first * sumBytes, (last - first + 1) * sumBytes)) < 0;
        return _isGood;
    }
}
