using Dst.Simulation.Engine;

namespace Dst.Simulation.Checks;

/// <summary>One node of one life of a target: whoever has sent a change and may have to send it again.</summary>
internal sealed class Writer(int kernel, ulong incarnation, bool keepsLog)
{
    /// <summary>Life of the kernel's device; a reboot or a new device is another.</summary>
    public int Kernel { get; } = kernel;

    /// <summary>Incarnation of the target.</summary>
    public ulong Incarnation { get; } = incarnation;

    /// <summary>True while its acknowledged changes are in a log that it can replay.</summary>
    public bool Replays { get; set; } = keepsLog;
}

/// <summary>
/// What each block of a disk may hold. Every change is an entry with the steps at which it was begun and ended; what a
/// read may return, and what must be on stable storage when a FLUSH is answered ok, follows from their order alone
/// (invariants 1 to 3): an entry is out of the question once another began after its end and ended before the question.
/// </summary>
internal sealed class BlockHistory
{
    /// <summary>A block with so many entries is to be flushed before it is written again.</summary>
    public const int EntriesMany = 40;

    private const long Never = long.MaxValue;

    private readonly IStepClock _clock;
    private readonly IStableBlocks _disk;
    private readonly Entry[][] _entries;
    private readonly int[] _counts;
    private readonly List<int> _touched = [];
    private readonly bool[] _isTouched;
    private readonly long[] _calmSince;
    private long _transientAt;
    private ulong _holder;
    private long _grantedAt;

    /// <summary>All zeroes, durable.</summary>
    public BlockHistory(IStepClock clock, IStableBlocks disk, int blocks)
    {
        _clock = clock;
        _disk = disk;
        _entries = new Entry[blocks][];
        _counts = new int[blocks];
        _isTouched = new bool[blocks];
        _calmSince = new long[blocks];
        Array.Fill(_calmSince, -1);
        for (int i = 0; i < blocks; i++)
        {
            _entries[i] = new Entry[4];
            _entries[i][0] = new Entry
            {
                Begun = -1,
                Ended = -1,
                DeadAt = Never,
                SeenAt = Never,
                GoneAt = Never,
                Flags = Flags.Covered,
            };
            _counts[i] = 1;
        }
    }

    /// <summary>Step at which the oldest read began that is not answered.</summary>
    public Func<long> OldestRead { get; set; } = static () => Never;

    /// <summary>The block has so many unflushed changes that the next should be a flush.</summary>
    public bool IsFull(int block) => _counts[block] >= EntriesMany;

    /// <summary>A change was given to the device.</summary>
    /// <param name="block">On the disk.</param>
    /// <param name="value">What it writes.</param>
    /// <param name="optional">A discard: afterwards the block may hold this or what it had.</param>
    /// <param name="writer">Who.</param>
    public void Begin(int block, ulong value, bool optional, Writer writer)
    {
        ref int count = ref _counts[block];
        if (count == _entries[block].Length)
        {
            Array.Resize(ref _entries[block], 2 * count);
        }

        _entries[block][count++] = new Entry
        {
            Value = value,
            Begun = _clock.Steps,
            Ended = Never,
            DeadAt = Never,
            SeenAt = Never,
            GoneAt = Never,
            Writer = writer,
            Flags = optional ? Flags.Optional : Flags.None,
        };
        if (!_isTouched[block])
        {
            _isTouched[block] = true;
            _touched.Add(block);
        }
    }

    /// <summary>A change was answered.</summary>
    /// <param name="block">As begun.</param>
    /// <param name="begun">Step of the beginning.</param>
    /// <param name="good">Status Ok.</param>
    /// <param name="durable">The answer says that it is on stable storage (FUA, write-through).</param>
    /// <param name="writer">The life that answered.</param>
    public void End(int block, long begun, bool good, bool durable, Writer writer)
    {
        Entry[] entries = _entries[block];
        int count = _counts[block];
        for (int i = 0; i < count; i++)
        {
            ref Entry entry = ref entries[i];
            if (entry.Begun != begun || entry.Ended != Never)
            {
                continue;
            }

            entry.Ended = _clock.Steps;
            entry.Writer = writer;
            entry.Flags &= ~Flags.Lost;
            if (!good)
            {
                // What a failed change left may be there or not, now and after a replay.
                entry.Flags |= Flags.Optional;
                entry.SeenAt = Never;
                Revive(entries.AsSpan(0, count));
            }

            bool atRisk = (entry.Flags & Flags.AtRisk) != Flags.None;
            bool isFenced = _holder != 0 && writer.Incarnation != _holder;
            if (atRisk && (isFenced || !writer.Replays) && entry.Ended != Never)
            {
                // It was done before the loss and answered after it, by one who keeps no log or may use it no more.
                Lose(ref entry);
            }

            if (good && durable && (entry.Flags & Flags.Optional) == Flags.None)
            {
                Cover(block, i);
                CheckDurable(block, "an acknowledgement that says durable");
            }

            return;
        }

        World.Fail($"disk {_disk.Index} block {block}: a change begun at #{begun} ended twice");
    }

    private static void Revive(Span<Entry> entries)
    {
        foreach (ref Entry entry in entries)
        {
            entry.DeadAt = (entry.Flags & Flags.Gone) == Flags.None ? Never : entry.DeadAt;
        }
    }

    /// <summary>The requests of a kernel that is gone: nobody hears how they end.</summary>
    /// <param name="kernel">The kernel.</param>
    public void Abandon(int kernel)
    {
        foreach (int block in _touched)
        {
            Span<Entry> entries = _entries[block].AsSpan(0, _counts[block]);
            foreach (ref Entry entry in entries)
            {
                bool mine = entry.Writer is not null && entry.Writer.Kernel == kernel;
                if (mine && (entry.Flags & Flags.Covered) == Flags.None)
                {
                    entry.Ended = entry.Ended == Never ? _clock.Steps : entry.Ended;
                    entry.Flags |= Flags.Optional;
                    entry.SeenAt = Never;
                    Revive(entries);
                }
            }
        }
    }

    /// <summary>Judges what a read returned.</summary>
    /// <param name="block">On the disk.</param>
    /// <param name="value">What it returned.</param>
    /// <param name="begun">Step at which the read began.</param>
    /// <param name="lenient">
    /// A reader beside a writer: while the writer makes good a loss, the reader may see anything that is not older than
    /// what a FLUSH or FUA has covered.
    /// </param>
    public void CheckRead(int block, ulong value, long begun, bool lenient)
    {
        Span<Entry> entries = _entries[block].AsSpan(0, _counts[block]);
        bool settled = true;
        int found = -1;
        for (int i = 0; i < entries.Length; i++)
        {
            ref Entry entry = ref entries[i];
            Flags unsure = entry.Flags & (Flags.Lost | Flags.Transient | Flags.Optional | Flags.AtRisk);
            settled &= (entry.Flags & Flags.Gone) != Flags.None || unsure == Flags.None;
            bool isOut = lenient ? IsOutForReader(block, in entry, begun) : IsOut(entries, in entry, begun);
            if (entry.Value == value && !isOut)
            {
                found = i;
            }
        }

        if (found < 0)
        {
            string who = lenient ? "a reader's read" : "a read";
            World.Fail(
                $"disk {_disk.Index} block {block}: {who} begun at #{begun} returned {_disk.NameOf(value)}, "
                + $"allowed are {List(entries, begun)}");
        }

        if (!settled || lenient)
        {
            return;
        }

        // What had ended before this read began and was not returned comes before what was returned.
        long now = _clock.Steps;
        for (int i = 0; i < entries.Length; i++)
        {
            ref Entry entry = ref entries[i];
            if (entry.Value == value && value == 0)
            {
                // Which of several zeroes it was cannot be told.
                continue;
            }

            if (entry.Value == value)
            {
                entry.SeenAt = long.Min(entry.SeenAt, now);
            }
            else if (entry.Ended < begun)
            {
                entry.DeadAt = long.Min(entry.DeadAt, now);
            }
        }
    }

    /// <summary>
    /// A FLUSH that a kernel began at a step was answered ok: every change of it that ended before is on stable storage
    /// now, or something newer.
    /// </summary>
    /// <param name="kernel">The kernel.</param>
    /// <param name="begun">Step at which it began.</param>
    public void OnFlushOk(int kernel, long begun)
    {
        int kept = 0;
        for (int i = 0; i < _touched.Count; i++)
        {
            int block = _touched[i];
            for (int j = 0; j < _counts[block]; j++)
            {
                ref Entry entry = ref _entries[block][j];
                bool mine = entry.Writer is not null && entry.Writer.Kernel == kernel && entry.Ended < begun;
                if (mine && (entry.Flags & (Flags.Optional | Flags.Covered)) == Flags.None)
                {
                    j = Cover(block, j);
                }
            }

            CheckDurable(block, "FLUSH ok");
            if (_counts[block] > 1)
            {
                _touched[kept++] = block;
            }
            else
            {
                _isTouched[block] = false;
            }
        }

        _touched.RemoveRange(kept, _touched.Count - kept);
    }

    /// <summary>The disk lost what no flush covered. What nobody can replay is gone for readers.</summary>
    public void OnLoss()
    {
        PutAtRisk();
        MarkLoss(readable: false);
    }

    /// <summary>A flush failed; pages may have gone back to what they were.</summary>
    /// <param name="reverts">They did.</param>
    public void OnFlushFailed(bool reverts)
    {
        PutAtRisk();
        if (reverts)
        {
            MarkLoss(readable: true);
        }
    }

    /// <summary>Another incarnation holds the export: whoever else wrote cannot make good what was lost.</summary>
    /// <param name="incarnation">Of the holder.</param>
    public void OnGrant(ulong incarnation)
    {
        _grantedAt = _clock.Steps;
        _holder = incarnation;
        foreach (int block in _touched)
        {
            foreach (ref Entry entry in _entries[block].AsSpan(0, _counts[block]))
            {
                bool other = entry.Writer is not null && entry.Writer.Incarnation != incarnation;
                if (other && entry.Ended != Never && (entry.Flags & (Flags.Covered | Flags.AtRisk)) == Flags.AtRisk)
                {
                    Lose(ref entry);
                }
            }
        }
    }

    /// <summary>A node's status says that unflushed writes are lost.</summary>
    /// <param name="writer">The node.</param>
    public void OnLost(Writer writer)
    {
        writer.Replays = false;
        foreach (int block in _touched)
        {
            foreach (ref Entry entry in _entries[block].AsSpan(0, _counts[block]))
            {
                // A replay that ended half-way has put older changes over newer ones.
                if (entry.Writer == writer && entry.Ended != Never && (entry.Flags & Flags.Covered) == Flags.None)
                {
                    Lose(ref entry);
                }
            }
        }
    }

    /// <summary>A node has replayed and is live: what its reads could see in between is over.</summary>
    public void OnLive()
    {
        if (_transientAt > _grantedAt)
        {
            // It happened in this very session: the replay is still to come.
            return;
        }

        foreach (int block in _touched)
        {
            foreach (ref Entry entry in _entries[block].AsSpan(0, _counts[block]))
            {
                entry.Flags &= ~Flags.Transient;
            }
        }
    }

    /// <summary>An operator accepted the loss: what was lost need not be there when a FLUSH says ok (S-23).</summary>
    /// <param name="kernel">Of the device.</param>
    public void Accept(int kernel)
    {
        foreach (int block in _touched)
        {
            foreach (ref Entry entry in _entries[block].AsSpan(0, _counts[block]))
            {
                bool mine = entry.Writer is not null && entry.Writer.Kernel == kernel;
                bool endangered = (entry.Flags & (Flags.AtRisk | Flags.Lost)) != Flags.None;
                if (mine && endangered && (entry.Flags & Flags.Covered) == Flags.None)
                {
                    Lose(ref entry);
                    entry.Flags |= Flags.Optional;
                }
            }
        }
    }

    /// <summary>Whatever was begun before this and is not durable may be lost, in part those still in flight.</summary>
    private void PutAtRisk()
    {
        foreach (int block in _touched)
        {
            foreach (ref Entry entry in _entries[block].AsSpan(0, _counts[block]))
            {
                entry.Flags |= (entry.Flags & Flags.Covered) == Flags.None ? Flags.AtRisk : Flags.None;
            }
        }
    }

    private void MarkLoss(bool readable)
    {
        _transientAt = readable ? _clock.Steps : _transientAt;
        foreach (int block in _touched)
        {
            foreach (ref Entry entry in _entries[block].AsSpan(0, _counts[block]))
            {
                if ((entry.Flags & Flags.Gone) != Flags.None)
                {
                    continue;
                }

                if ((entry.Flags & Flags.Covered) != Flags.None || entry.Writer is null)
                {
                    entry.DeadAt = Never;
                    continue;
                }

                entry.DeadAt = Never;
                entry.SeenAt = Never;
                if (!entry.Writer.Replays)
                {
                    if (entry.Ended != Never)
                    {
                        Lose(ref entry);
                    }
                }
                else if (readable)
                {
                    entry.Flags |= Flags.Transient;
                }
            }
        }
    }

    private void Lose(ref Entry entry)
    {
        if ((entry.Flags & Flags.Gone) != Flags.None)
        {
            return;
        }

        entry.Flags |= Flags.Lost;
        entry.LostAt = _clock.Steps;
        entry.DeadAt = Never;
        entry.SeenAt = Never;
    }

    /// <summary>An entry is durable: what ended before it began can never be seen again.</summary>
    /// <returns>The entry's place now.</returns>
    private int Cover(int block, int index)
    {
        Entry[] entries = _entries[block];
        _calmSince[block] = IsCalm(block) ? _calmSince[block] : _clock.Steps;
        entries[index].Flags |= Flags.Covered;
        long begun = entries[index].Begun;
        int kept = 0;
        int place = 0;
        long oldestRead = OldestRead();
        for (int i = 0; i < _counts[block]; i++)
        {
            if (i != index && entries[i].Ended < begun && (entries[i].Flags & Flags.Gone) == Flags.None)
            {
                entries[i].Flags |= Flags.Gone;
                entries[i].GoneAt = _clock.Steps;
                entries[i].DeadAt = long.Min(entries[i].DeadAt, _clock.Steps);
            }

            // A read that began before may still return it.
            if (entries[i].GoneAt < oldestRead)
            {
                continue;
            }

            place = i == index ? kept : place;
            entries[kept++] = entries[i];
        }

        Array.Clear(entries, kept, _counts[block] - kept);
        _counts[block] = kept;
        return place;
    }

    private void CheckDurable(int block, string when)
    {
        ReadOnlySpan<ulong> values = _disk.DurableAt(block);
        if (values.IsEmpty)
        {
            return;
        }

        Span<Entry> entries = _entries[block].AsSpan(0, _counts[block]);
        foreach (ref readonly Entry entry in entries)
        {
            if (values.Contains(entry.Value) && (entry.Flags & Flags.Gone) == Flags.None)
            {
                return;
            }
        }

        World.Fail(
            $"disk {_disk.Index} block {block}: {when}, but {_disk.NameOf(values[0])} is on stable storage; "
            + $"may be {List(entries, Never)}");
    }

    /// <summary>True when a read that began at a step cannot return the entry.</summary>
    private static bool IsOut(Span<Entry> entries, in Entry entry, long begun)
    {
        if (entry.DeadAt < begun)
        {
            return true;
        }

        bool lost = (entry.Flags & Flags.Lost) != Flags.None && entry.Ended != Never;
        long end = lost ? long.Max(entry.Ended, entry.LostAt) : entry.Ended;
        foreach (ref readonly Entry other in entries)
        {
            bool counts = (other.Flags & (Flags.Optional | Flags.Lost | Flags.Transient)) == Flags.None;
            if (counts && other.Begun > end && long.Min(other.Ended, other.SeenAt) < begun)
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>
    /// The same for a read of a session beside the writer's. Nothing holds it back while the writer replays and sends
    /// again, so what was seen in flight may vanish once more; what was answered may not, unless there was a loss, and
    /// what is covered never may (S-04, S-22). At rest it is held to what the writer is.
    /// </summary>
    private bool IsOutForReader(int block, in Entry entry, long begun)
    {
        if (entry.GoneAt < begun)
        {
            return true;
        }

        if (!IsCalm(block) || _calmSince[block] >= begun)
        {
            return false;
        }

        bool atRest = true;
        Span<Entry> entries = _entries[block].AsSpan(0, _counts[block]);
        foreach (ref readonly Entry other in entries)
        {
            bool counts = (other.Flags & Flags.Optional) == Flags.None;
            if (counts && other.Begun > entry.Ended && other.Ended < begun)
            {
                return true;
            }

            atRest &= other.Ended < begun;
        }

        return atRest && IsOut(entries, in entry, begun);
    }

    /// <summary>True when nothing that a loss could have taken is still uncovered.</summary>
    private bool IsCalm(int block)
    {
        foreach (ref readonly Entry entry in _entries[block].AsSpan(0, _counts[block]))
        {
            bool settled = (entry.Flags & (Flags.Gone | Flags.Covered)) != Flags.None;
            if (!settled && (entry.Flags & (Flags.Lost | Flags.Transient | Flags.AtRisk)) != Flags.None)
            {
                return false;
            }
        }

        return true;
    }

    private string List(Span<Entry> entries, long begun)
    {
        List<string> names = [];
        foreach (ref readonly Entry entry in entries)
        {
            string state = entry.Ended == Never ? "in flight" : $"ended #{entry.Ended}";
            string barred = IsOut(entries, in entry, begun) ? " out" : "";
            names.Add($"[{_disk.NameOf(entry.Value)} begun #{entry.Begun} {state} {entry.Flags}{barred}]");
        }

        return string.Join(' ', names);
    }

    [Flags]
    private enum Flags : byte
    {
        None = 0,
        Optional = 1,
        Lost = 2,
        Transient = 4,
        Covered = 8,
        Gone = 16,
        AtRisk = 32,
    }

    private struct Entry
    {
        internal ulong Value;
        internal long Begun;
        internal long Ended;
        internal long DeadAt;
        internal long SeenAt;
        internal long LostAt;
        internal long GoneAt;
        internal Writer? Writer;
        internal Flags Flags;
    }
}
