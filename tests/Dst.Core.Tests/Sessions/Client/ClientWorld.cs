using Dst.Core.Requests;
using Dst.Core.Sessions.Client;
using Dst.Core.Wire;

namespace Dst.Core.Tests.Sessions.Client;

/// <summary>
/// Node, lanes and a scripted server in one thread: every hop between threads is an event that chance may delay. Faults:
/// connections cut at any point, also within a reply's body; power cuts of the server; failing flushes; fewer slots after a
/// restart. Every read and every good flush is checked against the history.
/// </summary>
internal sealed class ClientWorld
{
    private const int Lanes = 2;
    private const int Legs = 5;
    private const int StepsMax = 200_000;

    // Neighbours, the same stripe, and another stripe.
    private static readonly long[] Starts = [0, 1, 2, 3, 100, 600, 601];

    private readonly Random _random;
    private readonly ScriptedServer _server;
    private readonly ClientNodeShared _shared = new(Lanes, Lanes, 8, 4096, 32);
    private readonly ClientNode _node;
    private readonly ClientLane[] _lanes = new ClientLane[Lanes];
    private readonly ReplySlots[] _replies = new ReplySlots[Lanes];
    private readonly Queue<LaneOrder>[] _orders = [new(), new()];
    private readonly Queue<(int Lane, LaneNews News)> _news = new();
    private readonly bool[] _wakes = new bool[Lanes];
    private readonly Queue<Action> _events = new();
    private readonly WorldConnection?[] _connections = new WorldConnection?[Lanes];
    private readonly bool[] _rxEnds = new bool[Lanes];
    private readonly bool[] _txEnds = new bool[Lanes];
    private readonly bool[] _lostTold = new bool[Lanes];
    private readonly ulong[] _served = new ulong[Lanes];
    private readonly LegRun?[,] _legs = new LegRun?[Lanes, Legs];
    private readonly Dictionary<(int Lane, long Offset), long> _arena = [];
    private readonly List<Change> _history = [];
    private long _clock;
    private long _nowMs;
    private long _nextVersion = 1;
    private bool _healed;

    internal ClientWorld(int seed, bool writeBack)
    {
        _random = new Random(seed);
        _server = new ScriptedServer(_random, writeBack, 8);
        _node = new ClientNode(NodeRig.Options(Lanes), _shared);
        for (int i = 0; i < Lanes; i++)
        {
            _replies[i] = new ReplySlots(8);
            _lanes[i] = new ClientLane(new ClientLaneOptions(i, Legs), _replies[i], _shared, default);
        }
    }

    internal long Completions { get; private set; }

    internal long Epochs { get; private set; }

    internal long Replays { get; private set; }

    /// <summary>Runs a workload with faults, then heals and waits for all of it.</summary>
    internal void Run(int requests)
    {
        _node.Start(_nowMs);
        DrainNode();
        int left = requests;
        for (int step = 0; step < StepsMax; step++)
        {
            if (left > 0 && _random.Next(6) == 0)
            {
                left -= SubmitOne() ? 1 : 0;
            }

            _healed = left == 0;
            if (!_healed && _random.Next(200) == 0)
            {
                Fault();
            }

            Step();
            if (_healed && IsIdle())
            {
                return;
            }
        }

        throw new InvalidOperationException($"not done after {StepsMax} steps: {_node.Phase}, {_node.LastEnd}");
    }

    private bool IsIdle()
    {
        foreach (LegRun? leg in _legs)
        {
            if (leg is not null)
            {
                return false;
            }
        }

        return true;
    }

    private void Fault()
    {
        switch (_random.Next(6))
        {
            case 0:
                _server.PowerCut();
                _server.Requests = (ushort)(_random.Next(4) == 0 ? 6 : 8);
                CutAll();
                break;
            case 1:
                // Not again and again: a replay that always fails is a loss, which has tests of its own.
                _server.FailFlushes = _node.Phase == ClientNodePhase.Live ? 1 : _server.FailFlushes;
                break;
            default:
                if (_connections[_random.Next(Lanes)] is { } connection)
                {
                    connection.IsCut = true;
                }

                break;
        }
    }

    private void CutAll()
    {
        foreach (WorldConnection? connection in _connections)
        {
            if (connection is not null)
            {
                connection.IsCut = true;
                connection.Attached = false;
                connection.Pending.Clear();
            }
        }
    }

    private bool SubmitOne()
    {
        int lane = _random.Next(Lanes);
        int leg = _random.Next(Legs);
        if (_legs[lane, leg] is not null)
        {
            return false;
        }

        long first = Starts[_random.Next(Starts.Length)];
        int count = 1 + _random.Next(2);
        (Operation operation, RequestFlags flags) = _random.Next(10) switch
        {
            0 => (Operation.Flush, RequestFlags.None),
            1 => (Operation.WriteZeroes, RequestFlags.None),
            2 => (Operation.Write, RequestFlags.Fua),
            < 6 => (Operation.Read, RequestFlags.None),
            _ => (Operation.Write, RequestFlags.None),
        };
        Request request = new(
            operation,
            flags,
            operation == Operation.Flush ? 0 : first * ScriptedServer.BlockBytes,
            operation == Operation.Flush ? 0 : count * ScriptedServer.BlockBytes);
        LegRun run = new(request, first, count, _clock++);
        for (int i = 0; i < count && request.IsChange; i++)
        {
            run.Versions[i] = operation == Operation.Write ? _nextVersion++ : 0;
            Change change = new(first + i, run.Versions[i], run.Begin, (flags & RequestFlags.Fua) != RequestFlags.None);
            _history.Add(change);
            run.Changes.Add(change);
        }

        _legs[lane, leg] = run;
        _lanes[lane].Submit(leg, in request, leg, _nowMs);
        DrainLane(lane);
        return true;
    }

    private void Step()
    {
        int lane = _random.Next(Lanes);
        switch (_random.Next(8))
        {
            case 0 when _orders[lane].TryDequeue(out LaneOrder order):
                _lanes[lane].OnOrder(in order, _nowMs);
                DrainLane(lane);
                break;
            case 1 when _news.TryDequeue(out (int Lane, LaneNews News) news):
                _node.OnLane(news.Lane, in news.News, _nowMs);
                DrainNode();
                break;
            case 2 when _events.TryDequeue(out Action? action):
                action();
                DrainNode();
                break;
            case 3:
                _nowMs = _node.Phase == ClientNodePhase.Pausing ? _node.NextTryMs : _nowMs + _random.Next(3);
                _node.Tick(_nowMs);
                DrainNode();
                break;
            case 4 when _replies[lane].HasFinished || _wakes[lane]:
                _wakes[lane] = false;
                _lanes[lane].OnReplies(_nowMs);
                DrainLane(lane);
                break;
            case 5 or 6 when _connections[lane] is { } connection:
                StepConnection(lane, connection);
                break;
            case 7:
                _lanes[lane].Tick(_nowMs);
                DrainLane(lane);
                break;
            default:
                break;
        }
    }

    /// <summary>Server, RX and TX of one connection.</summary>
    private void StepConnection(int number, WorldConnection connection)
    {
        // What was sent before the cut may still arrive, and what the disk has is done.
        if (!connection.IsCut || (connection.Attached && _random.Next(2) == 0))
        {
            _server.Step(connection);
        }

        if (_rxEnds[number])
        {
            return;
        }

        if (connection.IsCut && !_lostTold[number] && _random.Next(3) == 0)
        {
            _lostTold[number] = true;
            _events.Enqueue(() => _node.OnLost(number, EpochEnd.ConnectionLost, _nowMs));
        }
        else if (connection.ToClient.TryDequeue(out WorldFrame? frame))
        {
            Receive(number, connection, frame);
        }
    }

    private void Receive(int number, WorldConnection connection, WorldFrame frame)
    {
        if (frame.Header.Kind != FrameKind.Reply)
        {
            _events.Enqueue(() => _node.OnFrame(number, in FrameHeaderOf(frame), frame.Body, _nowMs));
            return;
        }

        FrameHeader header = frame.Header;
        ReplyVerdict verdict = _replies[number].Claim(in header, header.Slot, _served[number], ChecksumKind.None, out ReplyTarget target);
        if (verdict != ReplyVerdict.Take)
        {
            throw new InvalidOperationException($"an honest reply was {verdict}: epoch {header.Epoch}, {_served[number]}");
        }

        if (connection.IsCut && _random.Next(2) == 0)
        {
            _replies[number].LetGo(target.Slot);
            connection.ToClient.Clear();
            return;
        }

        if (target.DataBytes > 0)
        {
            // The buffer's address is the leg.
            frame.Blocks.CopyTo(_legs[number, (int)target.Buffer]!.Versions, 0);
        }

        _replies[number].Finish(target.Slot, in header, dataGood: true);
    }

    private static ref readonly FrameHeader FrameHeaderOf(WorldFrame frame) => ref new HeaderBox(frame.Header).Header;

    private void DrainNode()
    {
        for (int i = 0; i < _node.Effects.Count; i++)
        {
            NodeEffect effect = _node.Effects[i];
            int number = effect.Connection;
            switch (effect.Kind)
            {
                case NodeEffectKind.Connect:
                    Connect(number);
                    break;
                case NodeEffectKind.SendFrame:
                    ReadOnlySpan<byte> bytes = _node.FrameOf(in effect);
                    FrameCodec.TryRead(bytes, out FrameHeader header);
                    _connections[number]?.ToServer.Enqueue(new WorldFrame(header, bytes[WireLimits.HeaderBytes..].ToArray(), []));
                    break;
                case NodeEffectKind.Serve:
                    _served[number] = effect.Epoch;
                    Epochs++;
                    break;
                case NodeEffectKind.Shut:
                    Shut(number);
                    break;
                case NodeEffectKind.Free:
                    _connections[number] = null;
                    break;
                case NodeEffectKind.Order:
                    _orders[effect.Lane].Enqueue(effect.Order);
                    break;
                case NodeEffectKind.NoteEpoch:
                    _events.Enqueue(() => _node.OnEpochNoted(true, _nowMs));
                    break;
                default:
                    _events.Enqueue(() => _node.OnServerNoted(true, _nowMs));
                    break;
            }
        }

        _node.Effects.Clear();
    }

    private void Connect(int number) => _events.Enqueue(() =>
    {
        _connections[number] = new WorldConnection();
        _rxEnds[number] = _txEnds[number] = _lostTold[number] = false;
        _node.OnConnected(number, 1, _nowMs);
        if (_shutEarly[number])
        {
            Shut(number);
        }
    });

    private readonly bool[] _shutEarly = new bool[Lanes];

    private void Shut(int number)
    {
        if (_connections[number] is not { } connection)
        {
            _shutEarly[number] = true;
            return;
        }

        _shutEarly[number] = false;
        connection.IsCut = true;
        _rxEnds[number] = true;
        _events.Enqueue(() => _node.OnRxEnded(number, _nowMs));
        _events.Enqueue(() => _node.OnTxEnded(number, _nowMs));
    }

    private void DrainLane(int lane)
    {
        for (int i = 0; i < _lanes[lane].Effects.Count; i++)
        {
            LaneEffect effect = _lanes[lane].Effects[i];
            switch (effect.Kind)
            {
                case LaneEffectKind.Send:
                    LegRun? run = effect.Leg >= 0 ? _legs[lane, effect.Leg] : null;
                    SendRequest(lane, effect.Header, run is null ? [] : [.. run.Versions]);
                    break;
                case LaneEffectKind.SendLog:
                    Replays++;
                    SendRequest(lane, effect.Header, FromArena(effect.LogLane, effect.ArenaOffset, effect.DataBytes));
                    break;
                case LaneEffectKind.CopyToLog:
                    for (int at = 0; at < effect.DataBytes; at += ScriptedServer.BlockBytes)
                    {
                        long version = _legs[lane, effect.Leg]!.Versions[at / ScriptedServer.BlockBytes];
                        _arena[(lane, (effect.ArenaOffset + at) % _shared.Logs[lane].ArenaBytes)] = version;
                    }

                    break;
                case LaneEffectKind.Complete:
                    Complete(lane, effect.Leg, effect.Status);
                    break;
                case LaneEffectKind.Tell:
                    _news.Enqueue((lane, effect.News));
                    break;
                default:
                    _wakes[1 - lane] |= (effect.Lanes & (1UL << (1 - lane))) != 0;
                    break;
            }
        }

        _lanes[lane].Effects.Clear();
    }

    private long[] FromArena(int lane, long offset, int bytes) =>
    [
        .. Enumerable.Range(0, bytes / ScriptedServer.BlockBytes).Select(
            i => _arena[(lane, (offset + i * ScriptedServer.BlockBytes) % _shared.Logs[lane].ArenaBytes)]),
    ];

    private void SendRequest(int lane, FrameHeader header, long[] blocks)
    {
        if (_connections[lane] is { } connection && !_rxEnds[lane])
        {
            connection.ToServer.Enqueue(new WorldFrame(header, [], blocks));
        }
    }

    private void Complete(int lane, int leg, DstStatus status)
    {
        LegRun run = _legs[lane, leg]!;
        _legs[lane, leg] = null;
        Completions++;
        if (status != DstStatus.Ok)
        {
            throw new InvalidOperationException($"{run.Request} ended with {status}: faults may not be seen");
        }

        foreach (Change change in run.Changes)
        {
            change.End = _clock;
            if (change.Fua)
            {
                Check(change.Block, _server.Durable(change.Block), run.Begin, "FUA");
            }
        }

        for (int i = 0; i < run.Count && run.Request.Operation == Operation.Read; i++)
        {
            Check(run.First + i, run.Versions[i], run.Begin, "read");
        }

        foreach (long block in run.Request.Operation == Operation.Flush ? Starts.Concat(Starts.Select(s => s + 1)) : [])
        {
            Check(block, _server.Durable(block), run.Begin, "flush");
        }

        _clock++;
    }

    /// <summary>A value is allowed unless a change that began after its own end had ended before the asking began.</summary>
    private void Check(long block, long version, long begin, string what)
    {
        List<Change> changes = _history.FindAll(change => change.Block == block);
        changes.Add(new Change(block, 0, -1, false) { End = -1 });
        bool allowed = changes.Exists(own => own.Version == version
            && !changes.Exists(newer => newer.Begin > own.End && newer.End < begin));
        if (!allowed)
        {
            throw new InvalidOperationException($"{what} of block {block} found {version}, which is too old");
        }
    }

    private sealed class HeaderBox(FrameHeader header)
    {
        internal readonly FrameHeader Header = header;
    }

    private sealed record LegRun(Request Request, long First, int Count, long Begin)
    {
        internal long[] Versions { get; } = new long[2];

        internal List<Change> Changes { get; } = [];
    }

    private sealed class Change(long block, long version, long begin, bool fua)
    {
        internal long Block { get; } = block;

        internal long Version { get; } = version;

        internal long Begin { get; } = begin;

        internal bool Fua { get; } = fua;

        internal long End { get; set; } = long.MaxValue;
    }
}
