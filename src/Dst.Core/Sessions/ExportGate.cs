using Dst.Core.Wire;

namespace Dst.Core.Sessions;

/// <summary>
/// What the control thread of an export shares with the lanes of its connections. The control thread writes the epochs
/// and the poison; lanes read them and count write errors. All of it atomic, without locks.
/// </summary>
public sealed class ExportGate
{
    private readonly CacheMode _cache;
    private long _writerEpoch;
    private long _readerEpoch;
    private long _begunEpoch;
    private long _bootId;
    private long _writeErrors;
    private int _poisoned;
    private int _mixedWriters;

    /// <summary>A gate that lets nobody through.</summary>
    /// <param name="bootId">Drawn at the start of the process, not 0 (S-20).</param>
    /// <param name="cache">What an acknowledgement means (S-21).</param>
    public ExportGate(ulong bootId, CacheMode cache)
    {
        Must.Be(bootId != 0, "a boot id of 0");
        _bootId = (long)bootId;
        _cache = cache;
    }

    /// <summary>
    /// Set by a test: called between a lane's look at the epoch and what it does next, where a thread may be stopped
    /// (S-06).
    /// </summary>
    internal Action? LookedHook { get; set; }

    /// <summary>What an acknowledgement means (S-21). Any thread.</summary>
    public CacheMode Cache => _cache;

    /// <summary>Drawn anew whenever the server may have forgotten changes (S-20). Any thread.</summary>
    public ulong BootId => (ulong)Volatile.Read(ref _bootId);

    /// <summary>Failed changes and flushes so far (S-20). Any thread.</summary>
    public ulong WriteErrorGeneration => (ulong)Volatile.Read(ref _writeErrors);

    /// <summary>Flushes fail until the poison is taken away (S-24). Any thread.</summary>
    public bool IsPoisoned => Volatile.Read(ref _poisoned) != 0;

    /// <summary>
    /// True while more than one incarnation may have changes that no flush has covered, so that nobody's replay can be
    /// the whole truth (S-24). Any thread.
    /// </summary>
    public bool HasMixedWriters => Volatile.Read(ref _mixedWriters) != 0;

    /// <summary>True when a replay by the one writer makes good what a failed flush lost (S-24). Any thread.</summary>
    public bool ReplayMayHelp => _cache == CacheMode.WriteBack && !HasMixedWriters;

    /// <summary>True when the first use of the epoch is durable (S-03). Lanes.</summary>
    /// <param name="epoch">Epoch of the lane.</param>
    internal bool HasBegun(ulong epoch) => Volatile.Read(ref _begunEpoch) == (long)epoch;

    /// <summary>
    /// True while the epoch is the one that may change the disk. Only meaningful after the caller's request was counted
    /// with a full fence (S-06). Lanes.
    /// </summary>
    /// <param name="epoch">Epoch of the lane.</param>
    /// <param name="readOnly">The lane only reads.</param>
    internal bool IsCurrent(ulong epoch, bool readOnly) =>
        Volatile.Read(ref readOnly ? ref _readerEpoch : ref _writerEpoch) == (long)epoch;

    /// <summary>
    /// Ends every lane of older epochs, before their requests are counted (S-06). Control thread.
    /// </summary>
    /// <param name="epoch">Greater than any before.</param>
    internal void Raise(ulong epoch)
    {
        Must.Be((long)epoch > _writerEpoch, $"epoch {epoch} after {_writerEpoch}");

        // Full fence; pairs with the increment in ServerLane.Count.
        Interlocked.Exchange(ref _writerEpoch, (long)epoch);
    }

    /// <summary>As above for lanes that only read. Control thread.</summary>
    internal void RaiseReaders() => Interlocked.Increment(ref _readerEpoch);

    /// <summary>The number that lanes which only read are made with. Control thread.</summary>
    internal ulong ReaderEpoch => (ulong)Volatile.Read(ref _readerEpoch);

    /// <summary>The first use of the epoch is durable (S-03). Control thread.</summary>
    internal void Begin(ulong epoch) => Volatile.Write(ref _begunEpoch, (long)epoch);

    /// <summary>The disk behind may have lost changes that were acknowledged (S-23). Control thread.</summary>
    internal void ChangeBootId(ulong bootId) => Volatile.Write(ref _bootId, (long)bootId);

    /// <summary>Sets or takes the poison (S-24). Control thread.</summary>
    internal void SetPoison(bool poisoned) => Volatile.Write(ref _poisoned, poisoned ? 1 : 0);

    /// <summary>Another incarnation was granted an epoch. Control thread.</summary>
    internal void SetMixedWriters() => Volatile.Write(ref _mixedWriters, 1);

    /// <summary>A good flush covered everything before it. Lanes.</summary>
    internal void ClearMixedWriters() => Volatile.Write(ref _mixedWriters, 0);

    /// <summary>A change or a flush of the disk failed (S-20). Lanes.</summary>
    internal void CountWriteError() => Interlocked.Increment(ref _writeErrors);
}
