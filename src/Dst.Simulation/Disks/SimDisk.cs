using Dst.Core.Requests;
using Dst.Simulation.Checks;
using Dst.Simulation.Engine;

namespace Dst.Simulation.Disks;

/// <summary>
/// The disk of an export, with a volatile cache. A block holds one value. Requests take effect at some instant between
/// submission and answer, in any order; at a cut each block keeps any of the values that it had since it was last
/// durable. The disk outlives the processes that use it, and so do their requests (S-09).
/// </summary>
internal sealed class SimDisk : Actor, IStableBlocks
{
    private const int Apply = 0;
    private const int Answer = 1;

    private readonly ulong[] _current;
    private readonly ulong[] _durable;
    private readonly Failure[] _failures;
    private readonly List<Dirty> _dirty = [];
    private readonly List<DiskOp?> _slots = [];
    private readonly HashSet<int> _settled = [];
    private readonly Stack<DiskOp> _free = new();
    private readonly Chance _chance;
    private long _changes;
    private long _serials;

    /// <summary>A disk full of zeroes.</summary>
    public SimDisk(World world, int index, int blocks)
        : base(world, null)
    {
        Index = index;
        _current = new ulong[blocks];
        _durable = new ulong[blocks];
        _failures = new Failure[blocks];
        Array.Fill(_failures, new Failure(-1, -1));
        _chance = new Chance(world.Seed, 100 + (ulong)index);
        History = new BlockHistory(world, this, blocks);
    }

    /// <summary>Number of the node.</summary>
    public int Index { get; }

    /// <inheritdoc/>
    public string NameOf(ulong value) =>
        value == 0 ? "zeroes" : $"write {value >> 20} of block {value & 0xFFFFF}";

    /// <summary>Blocks.</summary>
    public int Blocks => _current.Length;

    /// <summary>What was asked of the blocks by whom; judges every answer.</summary>
    public BlockHistory History { get; }

    /// <summary>Requests that it has.</summary>
    public int OpCount { get; private set; }

    /// <summary>The newest epoch that an ATTACH_OK was sent for; nothing older may take effect.</summary>
    public ulong NewestGrant { get; set; }

    /// <summary>Requests stay with the disk until then.</summary>
    public long StuckUntilUs { get; set; }

    /// <summary>Writes fail until then.</summary>
    public long FullUntilUs { get; set; }

    /// <summary>When a flush failed last; -1 for never.</summary>
    public long FlushFailedUs { get; private set; } = -1;

    /// <summary>The next so many changes or reads fail.</summary>
    public int ErrorsLeft { get; set; }

    /// <summary>The next so many flushes fail.</summary>
    public int FlushErrorsLeft { get; set; }

    /// <summary>
    /// True while a request of another process is here: the kernel keeps the lock with them, nobody else gets it
    /// (S-09).
    /// </summary>
    public bool IsLockedFor(SimProcess process)
    {
        foreach (DiskOp? op in _slots)
        {
            if (op is not null && op.Owner!.Owner != process)
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>What a cut would leave at most.</summary>
    public ReadOnlySpan<ulong> DurableAt(int block) => new(in _durable[block]);

    /// <summary>A free request object.</summary>
    public DiskOp Take()
    {
        DiskOp op = _free.Count > 0 ? _free.Pop() : new DiskOp { Values = new ulong[64] };
        op.Applied = false;
        op.Fua = false;
        op.MayRunPoisoned = false;
        op.Status = DstStatus.Ok;
        return op;
    }

    /// <summary>Gives an object back.</summary>
    public void Give(DiskOp op)
    {
        op.Owner = null;
        op.Peer = null;
        _free.Push(op);
    }

    /// <summary>Takes a request.</summary>
    public void Submit(DiskOp op)
    {
        if (op.Values.Length < op.Count)
        {
            op.Values = new ulong[op.Count];
        }

        op.Serial = ++_serials;
        op.Captured = _changes;
        OpCount++;
        int slot = _slots.IndexOf(null);
        if (slot < 0)
        {
            slot = _slots.Count;
            _slots.Add(null);
        }

        _slots[slot] = op;
        Post(DelayUs(), Apply, slot, op.Serial);
    }

    /// <inheritdoc/>
    public override void On(int kind, long a, long b)
    {
        DiskOp? op = _slots[(int)a];
        if (op is null || op.Serial != b)
        {
            return;
        }

        if (kind == Apply)
        {
            if (StuckUntilUs > World.NowUs)
            {
                Post(StuckUntilUs - World.NowUs + _chance.Below(1000), Apply, a, b);
                return;
            }

            TakeEffect(op);
            op.Applied = true;
            Post(_chance.OneIn(4) ? DelayUs() : 0, Answer, a, b);
            return;
        }

        _slots[(int)a] = null;
        OpCount--;
        if (op.Owner is { Owner.Alive: true } owner)
        {
            owner.OnDisk(op);
        }
        else
        {
            Give(op);
        }
    }

    /// <inheritdoc/>
    public override string Describe(int kind, long a, long b)
    {
        DiskOp? op = _slots[(int)a];
        if (op is null || op.Serial != b)
        {
            return $"disk {Index} nothing";
        }

        string verb = kind == Apply ? "applies" : "answers";
        string status = kind == Apply ? "" : $": {op.Status}";
        return $"disk {Index} {verb} {op.Operation}{(op.Fua ? " FUA" : "")} {op.Block}+{op.Count} "
            + $"of epoch {op.Epoch} slot {op.Slot}{status}";
    }

    /// <summary>
    /// Power is lost: requests vanish, each of their blocks done or not; what no flush covered is kept or lost, block
    /// by block or in runs.
    /// </summary>
    public void Cut()
    {
        foreach (DiskOp? op in _slots)
        {
            for (int i = 0; op is { Applied: false } && IsChange(op) && i < op.Count; i++)
            {
                if (_chance.OneIn(2))
                {
                    Put(op.Block + i, op.Operation == Operation.Write ? op.Values[i] : 0, durable: false);
                }
            }
        }

        for (int i = 0; i < _slots.Count; i++)
        {
            _slots[i] = null;
        }

        OpCount = 0;
        StuckUntilUs = 0;
        LoseCache();
        History.OnLoss();
    }

    /// <summary>
    /// What lies behind the disk loses power while its server lives on: the cache is lost, requests wait until the
    /// server knows (S-23).
    /// </summary>
    public void CutBehind()
    {
        LoseCache();
        StuckUntilUs = long.MaxValue / 4;
        History.OnLoss();
    }

    /// <summary>Nothing fails any more.</summary>
    public void Heal()
    {
        ErrorsLeft = FlushErrorsLeft = 0;
        FullUntilUs = 0;
        if (StuckUntilUs < long.MaxValue / 8)
        {
            GoOn();
        }
    }

    /// <summary>The server knows of the loss: requests go on.</summary>
    public void GoOn()
    {
        StuckUntilUs = 0;
        for (int i = 0; i < _slots.Count; i++)
        {
            if (_slots[i] is { Applied: false } op)
            {
                // The event that waits for the end of time is of an older number.
                op.Serial = ++_serials;
                Post(DelayUs(), Apply, i, op.Serial);
            }
        }
    }

    /// <summary>Settles every block that no flush covered at one of its values.</summary>
    private void LoseCache()
    {
        // From the newest to the oldest: the first that is kept stays.
        bool keep = false;
        int run = -1;
        for (int i = _dirty.Count - 1; i >= 0; i--)
        {
            Dirty entry = _dirty[i];
            if (entry.Block / World.Plan.TearBlocks != run)
            {
                run = entry.Block / World.Plan.TearBlocks;
                keep = _chance.OneIn(2);
            }

            if (keep && _settled.Add(entry.Block))
            {
                _durable[entry.Block] = entry.Value;
            }
        }

        foreach (Dirty entry in _dirty)
        {
            _current[entry.Block] = _durable[entry.Block];
        }

        _settled.Clear();
        _dirty.Clear();
        Array.Copy(_durable, _current, _durable.Length);
    }

    private void Fail(DiskOp op, DstStatus status)
    {
        op.Status = status;
        for (int i = 0; i < op.Count; i++)
        {
            ref Failure failure = ref _failures[op.Block + i];
            failure = status == DstStatus.NoSpace
                ? failure with { NoSpaceUs = World.NowUs }
                : failure with { IoErrorUs = World.NowUs };
        }
    }

    /// <summary>True when a request that touched some of these blocks has failed like that since then.</summary>
    public bool HasFailed(DstStatus status, int block, int count, long sinceUs)
    {
        for (int i = int.Max(0, block); i < int.Min(Blocks, block + count); i++)
        {
            if ((status == DstStatus.NoSpace ? _failures[i].NoSpaceUs : _failures[i].IoErrorUs) >= sinceUs)
            {
                return true;
            }
        }

        return false;
    }

    private void TakeEffect(DiskOp op)
    {
        switch (op.Operation)
        {
            case Operation.Read:
                if (ErrorsLeft > 0)
                {
                    ErrorsLeft--;
                    Fail(op, DstStatus.IoError);
                }

                for (int i = 0; i < op.Count; i++)
                {
                    op.Values[i] = _current[op.Block + i];
                }

                break;
            case Operation.Flush:
                Flush(op);
                break;
            default:
                Change(op);
                break;
        }
    }

    private void Change(DiskOp op)
    {
        // Reads of an old epoch harm nobody; a change does (S-05, S-06, S-09).
        World.Check(
            op.Epoch >= NewestGrant,
            $"disk {Index}: a change of epoch {op.Epoch} ({op.Operation} {op.Block}+{op.Count}) takes effect "
            + $"after ATTACH_OK of epoch {NewestGrant}");
        int done = op.Count;
        if (FullUntilUs > World.NowUs)
        {
            Fail(op, DstStatus.NoSpace);
            done = _chance.OneIn(2) ? 0 : _chance.Below(op.Count + 1);
        }
        else if (ErrorsLeft > 0)
        {
            ErrorsLeft--;
            Fail(op, DstStatus.IoError);
            done = _chance.Below(op.Count + 1);
        }

        for (int i = 0; i < done; i++)
        {
            if (op.Operation != Operation.Discard)
            {
                ulong value = op.Operation == Operation.Write ? op.Values[i] : 0;
                Put(op.Block + i, value, op.Fua && op.Status == DstStatus.Ok);
            }
            else if (_chance.OneIn(2))
            {
                Put(op.Block + i, 0, durable: false);
            }
        }
    }

    private void Put(int block, ulong value, bool durable)
    {
        _current[block] = value;
        _changes++;
        if (durable)
        {
            _durable[block] = value;
            for (int i = _dirty.Count - 1; i >= 0; i--)
            {
                if (_dirty[i].Block == block)
                {
                    _dirty.RemoveAt(i);
                }
            }
        }
        else
        {
            _dirty.Add(new Dirty(block, value, _changes));
        }
    }

    private void Flush(DiskOp op)
    {
        bool fails = FlushErrorsLeft > 0;
        int covered = 0;
        while (covered < _dirty.Count && _dirty[covered].Number <= op.Captured)
        {
            Dirty entry = _dirty[covered++];
            if (!fails || _chance.OneIn(2))
            {
                _durable[entry.Block] = entry.Value;
            }
        }

        // On failure these pages are clean all the same: no later flush writes them (C-16).
        _dirty.RemoveRange(0, covered);
        if (!fails)
        {
            return;
        }

        FlushErrorsLeft--;
        op.Status = DstStatus.IoError;
        FlushFailedUs = World.NowUs;
        if (World.Plan.RevertsOnFailure)
        {
            Revert();
        }

        History.OnFlushFailed(World.Plan.RevertsOnFailure);
    }

    private void Revert()
    {
        Array.Copy(_durable, _current, _durable.Length);
        foreach (Dirty entry in _dirty)
        {
            _current[entry.Block] = entry.Value;
        }
    }

    private long DelayUs() => 1 + _chance.Wait(World.Plan.DiskUs);

    private static bool IsChange(DiskOp op) =>
        op.Operation is Operation.Write or Operation.Discard or Operation.WriteZeroes;

    private readonly record struct Failure(long IoErrorUs, long NoSpaceUs);

    private readonly record struct Dirty(int Block, ulong Value, long Number);
}
