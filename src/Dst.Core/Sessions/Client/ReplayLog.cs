using Dst.Core.Requests;

namespace Dst.Core.Sessions.Client;

/// <summary>One acknowledged change that no good flush has covered yet.</summary>
/// <param name="Sequence">Its place in the order of the node.</param>
/// <param name="Operation">Write, discard or write-zeroes.</param>
/// <param name="Flags">As asked; replays leave FUA away, a flush follows.</param>
/// <param name="OffsetBytes">First byte on the node.</param>
/// <param name="LengthBytes">Bytes.</param>
/// <param name="ArenaOffset">Where its data is; it may go round the end of the arena.</param>
/// <param name="Place">Which of the log's entries it is: no two that are there at a time have the same.</param>
public readonly record struct LogEntry(
    long Sequence,
    Operation Operation,
    RequestFlags Flags,
    long OffsetBytes,
    long LengthBytes,
    long ArenaOffset,
    int Place)
{
    /// <summary>Bytes of data: writes only.</summary>
    public int DataBytes => Operation == Operation.Write ? (int)LengthBytes : 0;
}

/// <summary>
/// A lane's part of the replay log (S-21): every change that was acknowledged since the last good flush, FUA, zeroes
/// and discards among them, in order. Its data lives in a ring of native memory that the driver owns; this type deals
/// out offsets. Room is reserved before a change is sent, so an acknowledgement always finds its place. Owned by the
/// lane's thread; while all lanes are down the thread of the replay reads it.
/// </summary>
public sealed class ReplayLog
{
    private readonly LogEntry[] _entries;
    private readonly long _arenaBytes;
    private long _first;
    private long _next;
    private int _reservedEntries;
    private long _reservedBytes;
    private long _usedBytes;
    private long _writeAt;

    /// <summary>An empty log.</summary>
    /// <param name="arenaBytes">Bytes of data that fit.</param>
    /// <param name="entries">Most entries, 1 to <see cref="ClientLimits.LogEntriesMax"/>.</param>
    public ReplayLog(long arenaBytes, int entries)
    {
        Must.Be(
            arenaBytes >= 0 && entries is >= 1 and <= ClientLimits.LogEntriesMax, $"log of {arenaBytes}, {entries}");
        _arenaBytes = arenaBytes;
        _entries = new LogEntry[entries];
    }

    /// <summary>Most entries.</summary>
    public int Places => _entries.Length;

    /// <summary>Bytes of the arena.</summary>
    public long ArenaBytes => _arenaBytes;

    /// <summary>Entries in the log.</summary>
    public int Count => (int)(_next - _first);

    /// <summary>Bytes of their data.</summary>
    public long UsedBytes => _usedBytes;

    /// <summary>True when a flush should be made before the room ends.</summary>
    public bool IsHalfFull =>
        (_usedBytes + _reservedBytes) * 2 > _arenaBytes || (Count + _reservedEntries) * 2 > _entries.Length;

    /// <summary>Keeps room for a change that is about to be sent.</summary>
    /// <param name="dataBytes">Bytes of its data.</param>
    public bool TryReserve(int dataBytes)
    {
        if (_usedBytes + _reservedBytes + dataBytes > _arenaBytes || Count + _reservedEntries >= _entries.Length)
        {
            return false;
        }

        _reservedBytes += dataBytes;
        _reservedEntries++;
        return true;
    }

    /// <summary>Gives reserved room back: the change was not acknowledged.</summary>
    /// <param name="dataBytes">As reserved.</param>
    public void Unreserve(int dataBytes)
    {
        _reservedBytes -= dataBytes;
        _reservedEntries--;
        Must.Be(_reservedBytes >= 0 && _reservedEntries >= 0, "more room of the log given back than reserved");
    }

    /// <summary>Appends an acknowledged change to reserved room.</summary>
    /// <param name="sequence">From <see cref="ChangeOrder.Next"/>.</param>
    /// <param name="request">The change.</param>
    /// <returns>Its entry, which says where its data has to be.</returns>
    public LogEntry Append(long sequence, in Request request)
    {
        int place = (int)(_next % _entries.Length);
        LogEntry entry = new(
            sequence, request.Operation, request.Flags, request.OffsetBytes, request.LengthBytes, _writeAt, place);
        Must.Be(request.IsChange, $"{request} in the replay log");
        Must.Be(Count == 0 || At(Count - 1).Sequence < sequence, $"sequence {sequence} is not above the last one");
        Unreserve(entry.DataBytes);
        _entries[place] = entry;
        _next++;
        _usedBytes += entry.DataBytes;
        _writeAt = _arenaBytes == 0 ? 0 : (_writeAt + entry.DataBytes) % _arenaBytes;
        return entry;
    }

    /// <summary>Entry by age.</summary>
    /// <param name="index">0, the oldest, to <see cref="Count"/> - 1.</param>
    public ref readonly LogEntry At(int index)
    {
        Must.Be((uint)index < (uint)Count, $"entry {index} of {Count}");
        return ref _entries[(_first + index) % _entries.Length];
    }

    /// <summary>Drops what a good flush has covered; nothing else ever drops an entry but an operator (S-22).</summary>
    /// <param name="stable">From <see cref="ChangeOrder.Stable"/>.</param>
    public void Trim(long stable)
    {
        while (_first < _next && _entries[_first % _entries.Length].Sequence <= stable)
        {
            _usedBytes -= _entries[_first % _entries.Length].DataBytes;
            _first++;
        }
    }

    /// <summary>Drops every entry: an operator has accepted the loss (S-23).</summary>
    public void Drop() => Trim(long.MaxValue);
}
