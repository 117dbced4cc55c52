using System.Runtime.CompilerServices;

namespace Dst.IO.Measure;

/// <summary>
/// Counts of one owner (a queue, or a queue's use of a node) by operation. One thread writes, without locks or fences
/// beyond release; any thread reads each value whole, though not all of one moment.
/// </summary>
public sealed class OperationCounters
{
    // 128 bytes on each side keep two owners' arrays off one another's cache lines.
    private const int PadLongs = 16;
    private const int Fields = 3;
    private const int Finished = 0;
    private const int Bytes = 1;
    private const int Failed = 2;

    private readonly long[] _values;
    private readonly int _startedIndex;

    /// <summary>Makes counters for operations 0 to <paramref name="operations"/> - 1.</summary>
    public OperationCounters(int operations)
    {
        _values = new long[PadLongs + (operations * Fields) + 2 + PadLongs];
        _startedIndex = PadLongs + (operations * Fields);
        Latency = new LatencyHistogram[operations];
        for (int i = 0; i < operations; i++)
        {
            Latency[i] = new LatencyHistogram();
        }
    }

    /// <summary>Durations by operation.</summary>
    public LatencyHistogram[] Latency { get; }

    /// <summary>Operations begun and not ended. Any thread.</summary>
    public long InFlight
    {
        get
        {
            // Ended first: the difference is then never negative.
            long ended = Volatile.Read(ref _values[_startedIndex + 1]);
            return Volatile.Read(ref _values[_startedIndex]) - ended;
        }
    }

    /// <summary>An operation begins. Owner thread.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Begin() => Add(_startedIndex, 1);

    /// <summary>An operation ended. Owner thread.</summary>
    /// <param name="operation">Its number.</param>
    /// <param name="bytes">Bytes it moved, counted when it succeeded.</param>
    /// <param name="succeeded">False counts it as an error.</param>
    /// <param name="durationTicks">Ticks since it began.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void End(int operation, long bytes, bool succeeded, long durationTicks)
    {
        int index = PadLongs + (operation * Fields);
        Add(index + Finished, 1);
        Add(succeeded ? index + Bytes : index + Failed, succeeded ? bytes : 1);
        Add(_startedIndex + 1, 1);
        Latency[operation].Record(durationTicks);
    }

    /// <summary>Operations of a kind that ended, well or not. Any thread.</summary>
    public long FinishedOf(int operation) => Volatile.Read(ref _values[PadLongs + (operation * Fields) + Finished]);

    /// <summary>Bytes that operations of a kind moved. Any thread.</summary>
    public long BytesOf(int operation) => Volatile.Read(ref _values[PadLongs + (operation * Fields) + Bytes]);

    /// <summary>Operations of a kind that failed. Any thread.</summary>
    public long FailedOf(int operation) => Volatile.Read(ref _values[PadLongs + (operation * Fields) + Failed]);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Add(int index, long amount)
    {
        ref long value = ref _values[index];
        Volatile.Write(ref value, value + amount);
    }
}
