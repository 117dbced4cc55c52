using Dst.Core.Requests;
using Dst.Core.Traces;
using Dst.Simulation.Checks;
using Dst.Simulation.Engine;

namespace Dst.Simulation.Recorded;

/// <summary>A trace of one life of a process.</summary>
/// <param name="Name">For people.</param>
/// <param name="Bytes">From the head on.</param>
public sealed record Recording(string Name, ReadOnlyMemory<byte> Bytes);

/// <summary>How a check ended.</summary>
/// <param name="Violation">The rule that was broken and where; null for none.</param>
/// <param name="Requests">Requests that were answered.</param>
/// <param name="BlocksRead">Blocks whose content was judged.</param>
/// <param name="Flushes">Flushes that said ok.</param>
public sealed record CheckResult(string? Violation, long Requests, long BlocksRead, long Flushes);

/// <summary>
/// Real programs judged by the rules of the simulated world: what a network node of a device was asked and answered
/// (<c>trace:PATH,dst://…</c>), and what the disk of its export was asked (<c>trace:PATH,file:…</c>). Both begin as
/// zeroes; the node is all of the export, and the disk all of its nodes.
/// </summary>
public sealed class RecordedRun : IStepClock
{
    private readonly List<Event> _events = [];
    private readonly Dictionary<(int Source, int Lane), Flying> _flying = [];
    private readonly Dictionary<int, Writer> _writers = [];
    private readonly IReadOnlyList<Recording> _recordings;
    private readonly int _nodes;
    private readonly RecordedDisk? _disk;
    private readonly BlockHistory _history;
    private int _life = -1;
    private long _requests;
    private long _blocksRead;
    private long _flushes;

    private RecordedRun(IReadOnlyList<Recording> recordings, int nodes, int blocks)
    {
        _recordings = recordings;
        _nodes = nodes;
        _disk = nodes < recordings.Count ? new RecordedDisk(blocks) : null;
        _history = new BlockHistory(this, _disk ?? (IStableBlocks)new Unknown(), blocks)
        {
            OldestRead = () => _flying.Values.Where(flying => flying.Record.Operation == Operation.Read)
                .Select(flying => flying.Begun).DefaultIfEmpty(long.MaxValue).Min(),
        };
    }

    /// <inheritdoc/>
    long IStepClock.Steps => Steps;

    private long Steps { get; set; }

    /// <summary>Judges a run.</summary>
    /// <param name="node">Lives of the target, in any order.</param>
    /// <param name="disk">Lives of the server, in any order; none when only reads are to be judged.</param>
    public static CheckResult Check(IReadOnlyList<Recording> node, IReadOnlyList<Recording> disk)
    {
        RecordedRun? run = null;
        try
        {
            int blocks = 0;
            foreach (Recording recording in node.Concat(disk))
            {
                if (!TraceCodec.TryReadHead(recording.Bytes.Span, out TraceHead head))
                {
                    World.Fail($"{recording.Name} is no trace");
                }

                blocks = int.Max(blocks, (int)(head.SizeBytes / TraceCodec.BlockBytes));
            }

            run = new RecordedRun([.. node, .. disk], node.Count, blocks);
            run.Read();
            run.Walk();
            return run.Result(null);
        }
        catch (ViolationException e)
        {
            return run?.Result(e.Message) ?? new CheckResult(e.Message, 0, 0, 0);
        }
    }

    /// <summary>A content, for people.</summary>
    internal static string NameOf(ulong value) => value == 0 ? "zeroes" : $"content {value:x16}";

    private CheckResult Result(string? violation) => new(violation, _requests, _blocksRead, _flushes);

    private void Read()
    {
        for (int source = 0; source < _recordings.Count; source++)
        {
            ReadOnlySpan<byte> bytes = _recordings[source].Bytes.Span;
            _ = TraceCodec.TryReadHead(bytes, out TraceHead head);
            if (TraceCodec.HeadBytes + head.UsedBytes > bytes.Length)
            {
                World.Fail($"{_recordings[source].Name}: the run did not fit into the trace");
            }

            long end = TraceCodec.HeadBytes + head.UsedBytes;
            for (long at = TraceCodec.HeadBytes; at < end;)
            {
                bool whole = TraceCodec.TryRead(bytes[(int)at..(int)end], out TraceRecord record, out int length);
                if (whole)
                {
                    _events.Add(new Event(record, source, (int)at));
                }

                // A place that was taken by a thread that died before it wrote its length hides what is behind it.
                at = length == 0 ? end : at + length;
            }
        }

        _events.Sort((left, right) =>
        {
            int byTime = left.Record.AtNs.CompareTo(right.Record.AtNs);
            int bySource = byTime != 0 ? byTime : left.Source.CompareTo(right.Source);
            return bySource != 0 ? bySource : left.At.CompareTo(right.At);
        });
    }

    private void Walk()
    {
        foreach (Event item in _events)
        {
            Steps++;
            if (item.Source < _nodes && item.Source != _life)
            {
                EnterLife(item.Source);
            }

            if (item.Record.Kind == TraceKind.Begin)
            {
                Begin(item);
            }
            else
            {
                End(item);
            }
        }

        foreach (((int source, _), Flying flying) in _flying)
        {
            if (source == _life)
            {
                World.Fail($"{_recordings[source].Name}: {flying.Record} was never answered");
            }
        }
    }

    private void EnterLife(int source)
    {
        if (_life >= 0)
        {
            _history.Abandon(_life);
            foreach ((int Source, int Lane) key in _flying.Keys.Where(key => key.Source == _life).ToArray())
            {
                _flying.Remove(key);
            }
        }

        _life = source;
        _writers[source] = new Writer(source, (ulong)source + 1, keepsLog: true);
    }

    private void Begin(in Event item)
    {
        TraceRecord record = item.Record;
        if (record.OffsetBytes % TraceCodec.BlockBytes != 0 || record.LengthBytes % TraceCodec.BlockBytes != 0)
        {
            World.Fail($"{_recordings[item.Source].Name}: {record} is not of whole blocks");
        }

        if (!_flying.TryAdd((item.Source, record.Lane), new Flying(record, Steps, item.At)))
        {
            World.Fail($"{_recordings[item.Source].Name}: {record} uses a slot that is in flight");
        }

        if (item.Source >= _nodes || !IsChange(record.Operation))
        {
            return;
        }

        for (int i = 0; i < BlocksOf(in record); i++)
        {
            ulong value = ValueOf(item.Source, item.At, in record, i);
            _history.Begin(
                FirstBlockOf(in record) + i, value, record.Operation == Operation.Discard, _writers[item.Source]);
        }
    }

    private void End(in Event item)
    {
        TraceRecord record = item.Record;
        if (!_flying.Remove((item.Source, record.Lane), out Flying flying))
        {
            World.Fail($"{_recordings[item.Source].Name}: {record} was answered and not asked, or answered twice");
        }

        if (flying.Record.Operation != record.Operation || flying.Record.OffsetBytes != record.OffsetBytes)
        {
            World.Fail($"{_recordings[item.Source].Name}: {flying.Record} was answered as {record}");
        }

        if (item.Source >= _nodes)
        {
            EndOnDisk(item.Source, in record, in flying);
            return;
        }

        _requests++;
        bool good = record.Status == DstStatus.Ok;
        if (!good && !(record.Operation is Operation.Discard && record.Status == DstStatus.NotSupported))
        {
            World.Fail($"{_recordings[item.Source].Name}: {record}: an error that nobody asked for");
        }

        switch (record.Operation)
        {
            case Operation.Flush:
                _flushes++;
                _history.OnFlushOk(_life, flying.Begun);
                break;
            case Operation.Read:
                for (int i = 0; i < BlocksOf(in record); i++)
                {
                    _blocksRead++;
                    ulong value = ValueOf(item.Source, item.At, in record, i);
                    _history.CheckRead(FirstBlockOf(in record) + i, value, flying.Begun, lenient: false);
                }

                break;
            default:
                bool durable = good && (record.Flags & RequestFlags.Fua) != RequestFlags.None;
                for (int i = 0; i < BlocksOf(in record); i++)
                {
                    _history.End(
                        FirstBlockOf(in record) + i, flying.Begun, good, durable, _writers[item.Source]);
                }

                break;
        }
    }

    private void EndOnDisk(int source, in TraceRecord record, in Flying flying)
    {
        if (record.Status != DstStatus.Ok)
        {
            return;
        }

        if (record.Operation == Operation.Flush)
        {
            _disk!.Flush(source, flying.Begun);
            return;
        }

        for (int i = 0; IsChange(record.Operation) && i < BlocksOf(in record); i++)
        {
            TraceRecord begun = flying.Record;
            var change = new RecordedDisk.Change
            {
                Block = FirstBlockOf(in record) + i,
                Value = ValueOf(source, flying.At, in begun, i),
                IsOptional = record.Operation == Operation.Discard,
                Life = source,
                Begun = flying.Begun,
                Ended = Steps,
            };
            _disk!.Add(in change, (record.Flags & RequestFlags.Fua) != RequestFlags.None);
        }
    }

    private ulong ValueOf(int source, int at, in TraceRecord record, int index) =>
        record.Blocks == 0 ? 0 : TraceCodec.Value(_recordings[source].Bytes.Span[at..], index);

    private static bool IsChange(Operation operation) => operation is not (Operation.Read or Operation.Flush);

    private static int FirstBlockOf(in TraceRecord record) => (int)(record.OffsetBytes / TraceCodec.BlockBytes);

    private static int BlocksOf(in TraceRecord record) => (int)(record.LengthBytes / TraceCodec.BlockBytes);

    private readonly record struct Event(TraceRecord Record, int Source, int At);

    private readonly record struct Flying(TraceRecord Record, long Begun, int At);

    private sealed class Unknown : IStableBlocks
    {
        public int Index => 0;

        public string NameOf(ulong value) => RecordedRun.NameOf(value);

        public ReadOnlySpan<ulong> DurableAt(int block) => [];
    }
}
