namespace Dst.Core.Sessions.Client;

/// <summary>
/// Which bytes of which entry a replay sends: each as it was last (S-22). Made once for a replay, while the logs stand
/// still: the bounds of all entries cut the node into runs, and of each run the newest entry that covers it is known.
/// Owned by the lane that replays. Allocates nothing after construction.
/// </summary>
/// <remarks>A few times n log n for n entries; a part is found in as many steps as its entry covers runs.</remarks>
public sealed class ReplayPlan
{
    private readonly ReplayLog[] _logs;
    private readonly int[] _left;
    private readonly long[] _bounds;
    private readonly long[] _newest;
    private readonly int[] _next;
    private int _count;

    /// <summary>A plan of nothing.</summary>
    /// <param name="logs">The logs of all lanes.</param>
    public ReplayPlan(ReplayLog[] logs)
    {
        int entries = 0;
        foreach (ReplayLog log in logs)
        {
            entries += log.Places;
        }

        _logs = logs;
        _left = new int[logs.Length];
        _bounds = new long[2 * entries];
        _newest = new long[2 * entries];
        _next = new int[2 * entries];
    }

    /// <summary>Looks at all entries that are not durable.</summary>
    /// <param name="stable">From <see cref="ChangeOrder.Stable"/>.</param>
    public void Make(long stable)
    {
        CollectBounds(stable);
        for (int lane = 0; lane < _logs.Length; lane++)
        {
            _left[lane] = _logs[lane].Count;
        }

        for (int run = 0; run < _count; run++)
        {
            _newest[run] = 0;
            _next[run] = run;
        }

        // Bounded by the entries: the newest first, so a run that has an owner keeps it.
        while (TryTakeNewest(stable, out LogEntry entry))
        {
            // What was discarded may be anything: it hides nothing.
            if (entry.Operation != Requests.Operation.Discard)
            {
                Cover(in entry);
            }
        }
    }

    /// <summary>The next part of an entry that no later one overwrites.</summary>
    /// <param name="entry">An entry of a log.</param>
    /// <param name="from">Where on the node the part before ended; 0 for the first.</param>
    /// <param name="start">Where the part begins.</param>
    /// <param name="stop">Where it ends.</param>
    public bool TryFindPart(in LogEntry entry, long from, out long start, out long stop)
    {
        long end = entry.OffsetBytes + entry.LengthBytes;
        int run = RunAt(long.Max(entry.OffsetBytes, from));
        while (_bounds[run] < end && _newest[run] > entry.Sequence)
        {
            run++;
        }

        start = _bounds[run];
        while (_bounds[run] < end && _newest[run] <= entry.Sequence)
        {
            run++;
        }

        stop = _bounds[run];
        return start < end;
    }

    private void CollectBounds(long stable)
    {
        int count = 0;
        foreach (ReplayLog log in _logs)
        {
            for (int i = log.Count - 1; i >= 0 && log.At(i).Sequence > stable; i--)
            {
                ref readonly LogEntry entry = ref log.At(i);
                _bounds[count++] = entry.OffsetBytes;
                _bounds[count++] = entry.OffsetBytes + entry.LengthBytes;
            }
        }

        _bounds.AsSpan(0, count).Sort();
        _count = 0;
        for (int i = 0; i < count; i++)
        {
            if (i == 0 || _bounds[i] != _bounds[_count - 1])
            {
                _bounds[_count++] = _bounds[i];
            }
        }
    }

    private bool TryTakeNewest(long stable, out LogEntry entry)
    {
        int from = -1;
        long newest = stable;
        for (int lane = 0; lane < _logs.Length; lane++)
        {
            if (_left[lane] > 0 && _logs[lane].At(_left[lane] - 1).Sequence > newest)
            {
                newest = _logs[lane].At(_left[lane] - 1).Sequence;
                from = lane;
            }
        }

        entry = from < 0 ? default : _logs[from].At(--_left[from]);
        return from >= 0;
    }

    private void Cover(in LogEntry entry)
    {
        long end = entry.OffsetBytes + entry.LengthBytes;
        int run = FreeFrom(RunAt(entry.OffsetBytes));
        while (_bounds[run] < end)
        {
            _newest[run] = entry.Sequence;
            _next[run] = run + 1;
            run = FreeFrom(run + 1);
        }
    }

    /// <summary>
    /// The first run without an owner; the last bound begins none and never has one. What is walked over is made
    /// shorter for the next.
    /// </summary>
    private int FreeFrom(int run)
    {
        while (_next[run] != run)
        {
            _next[run] = _next[_next[run]];
            run = _next[run];
        }

        return run;
    }

    private int RunAt(long bound)
    {
        int run = _bounds.AsSpan(0, _count).BinarySearch(bound);
        Must.Be(run >= 0, $"{bound} is no bound of the replay");
        return run;
    }
}
