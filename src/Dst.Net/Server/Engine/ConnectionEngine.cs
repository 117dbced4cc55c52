using Dst.Core.Requests;
using Dst.Core.Sessions;
using Dst.Core.Wire;
using Dst.IO.Memory;
using Dst.IO.Rings;

namespace Dst.Net.Server.Engine;

/// <summary>
/// The data path of the connections of one engine thread: receive, check, disk, reply, all on one ring, so that no
/// request changes its thread. What a connection may do is decided by its <see cref="ServerLane"/>; this type moves
/// bytes. Engine thread only. After its start it allocates nothing, takes no lock and waits nowhere.
/// </summary>
internal sealed unsafe partial class ConnectionEngine : IRequestCompletion, IRingClient, ITurnEnd, IDisposable
{
    private const long TicksPerMs = 1_000_000;

    private readonly RingLoop _loop;
    private readonly IRequestHandler _disk;
    private readonly TagPool _tags;
    private readonly BuddyArena _connectionMemory;
    private readonly LastWords _lastWords;
    private readonly Action _trustDisk;
    private readonly SpscRing<EngineOrder> _orders;
    private readonly Action<EngineReport> _report;
    private readonly LoopTicker _ticker;
    private readonly LiveConnection?[] _connections = new LiveConnection?[2 * ServerLimits.ConnectionsMax];
    private readonly LiveConnection[] _dirty = new LiveConnection[4 * ServerLimits.ConnectionsMax];
    private readonly byte _client;
    private readonly int _maxRequestBytes;
    private int _connectionCount;
    private int _dirtyCount;
    private StarvedList _starved;
    private bool _roomIsShort;
    private bool _stopping;
    private long _nowTicks;

    /// <summary>Makes an engine without connections. Engine thread, before its loop runs.</summary>
    /// <param name="loop">The thread's loop.</param>
    /// <param name="disk">Where requests go; its results come back to this object.</param>
    /// <param name="memory">Requests and the memory of everything.</param>
    /// <param name="ways">To and from the session thread.</param>
    public ConnectionEngine(RingLoop loop, IRequestHandler disk, in EngineMemory memory, in EngineWays ways)
    {
        _loop = loop;
        _disk = disk;
        _tags = memory.Tags;
        _connectionMemory = memory.Connections;
        _maxRequestBytes = memory.MaxRequestBytes;
        _lastWords = ways.LastWords;
        _trustDisk = ways.TrustDisk;
        _orders = ways.Orders;
        _report = ways.Report;
        _client = loop.Add(this);
        _ticker = new LoopTicker(loop, ServerLimits.TickMs, OnTick);
        loop.AtTurnEnd(this);
    }

    /// <summary>What the kernel was asked to do; part of an operation's token.</summary>
    private enum Act
    {
        Receive,
        Send,
    }

    /// <summary>Counters of the connections. Any thread may read.</summary>
    public EngineCounters Counters { get; } = new();

    /// <inheritdoc/>
    public void OnCompletion(ulong token, int result, long nowTicks)
    {
        _nowTicks = nowTicks;
        LiveConnection connection = _connections[(int)(token >> 1)]!;
        if ((Act)(token & 1) == Act.Receive)
        {
            OnReceived(connection, result);
        }
        else
        {
            OnSent(connection, result);
        }
    }

    /// <inheritdoc/>
    public void OnWake(long nowTicks)
    {
        _nowTicks = nowTicks;
        while (_orders.TryTake(out EngineOrder order))
        {
            Obey(in order);
        }
    }

    /// <inheritdoc/>
    public void OnTurnEnd(long nowTicks)
    {
        _nowTicks = nowTicks;
        FeedStarved();
        for (int i = 0; i < _dirtyCount; i++)
        {
            LiveConnection connection = _dirty[i];
            connection.Dirty = false;
            Pump(connection);
        }

        _dirtyCount = 0;
        if (_stopping && _connectionCount == 0)
        {
            _loop.Stop();
        }
    }

    /// <inheritdoc/>
    public void Complete(int tag, DstStatus status)
    {
        ref RequestTag at = ref _tags[tag];
        LiveConnection connection = at.Connection!;
        Follow(connection, tag, connection.Lane.OnDone(at.Slot, status));
    }

    /// <summary>Gives memory back. After the loop has ended.</summary>
    public void Dispose() => _ticker.Dispose();

    private static ulong Token(LiveConnection connection, Act act) => ((ulong)connection.Index << 1) | (ulong)act;

    private long NowMs => _nowTicks / TicksPerMs;

    private void Obey(in EngineOrder order)
    {
        switch (order.Kind)
        {
            case EngineOrderKind.Adopt:
                Adopt(order.Connection!);
                break;
            case EngineOrderKind.Close:
                BeginClose(order.Connection!, order.Code, order.Frame);
                break;
            case EngineOrderKind.Goodbye or EngineOrderKind.Finish:
                BeginFinish(order.Connection!, in order);
                break;
            case EngineOrderKind.PoisonCleared:
                LiveConnection waiting = order.Connection!;
                Follow(waiting, order.Tag, waiting.Lane.OnPoisonCleared(_tags[order.Tag].Slot, order.Succeeded));
                break;
            default:
                StopAll();
                break;
        }
    }

    /// <summary>Does what the lane says. With a tag, the verdict is about that tag's request.</summary>
    private void Follow(LiveConnection connection, int tag, in LaneVerdict verdict)
    {
        switch (verdict.Action)
        {
            case LaneAction.Run:
                Request request = connection.Lane.RequestAt(verdict.Slot);
                _disk.Submit(tag, in request, _tags[tag].Buffer, _nowTicks);
                break;
            case LaneAction.RunFlush:
                Request flush = new(Operation.Flush, RequestFlags.None, 0, 0);
                _disk.Submit(tag, in flush, 0, _nowTicks);
                break;
            case LaneAction.ClearPoison:
                _report(new EngineReport(EngineReportKind.ClearPoison, connection) { Tag = tag });
                break;
            case LaneAction.Reply:
                QueueReply(connection, tag, verdict.Slot);
                break;
            case LaneAction.SendPong:
                QueuePong(connection, verdict.Sequence);
                break;
            case LaneAction.Goodbye:
                connection.State = LiveState.Leaving;
                _report(new EngineReport(EngineReportKind.Goodbye, connection));
                break;
            case LaneAction.Close:
                Drop(connection, tag);
                CountClose(verdict.Code);
                BeginClose(
                    connection,
                    verdict.Code,
                    verdict.Sequence == 0 ? null : _lastWords.About(verdict.Code, verdict.Slot, verdict.Sequence));
                break;
            default:
                Drop(connection, tag);
                break;
        }

        if (verdict.Drained)
        {
            _report(new EngineReport(EngineReportKind.Drained, connection));
        }
    }

    private void Drop(LiveConnection connection, int tag)
    {
        if (tag >= 0)
        {
            _tags.Give(tag);
            ReapIfDone(connection);
        }
    }

    private void CountClose(RefusalCode code)
    {
        if (code == RefusalCode.Protocol)
        {
            Counters.Add(NetCounter.BadFrames);
        }
        else if (code == RefusalCode.Checksum)
        {
            Counters.Add(NetCounter.BadChecksums);
        }
    }

    private void MarkDirty(LiveConnection connection)
    {
        if (!connection.Dirty)
        {
            connection.Dirty = true;
            _dirty[_dirtyCount++] = connection;
        }
    }
}

/// <summary>What an engine works in; all of it is there from the start (S-31).</summary>
/// <param name="Tags">Requests and their data.</param>
/// <param name="Connections">
/// Staging and messages of connections: apart, so that no number of them takes the room of data.
/// </param>
/// <param name="MaxRequestBytes">Longest read or write of the export.</param>
internal readonly record struct EngineMemory(TagPool Tags, BuddyArena Connections, int MaxRequestBytes);

/// <summary>How an engine and the world around it reach one another.</summary>
/// <param name="Orders">From the session thread.</param>
/// <param name="Report">To the session thread; does not block.</param>
/// <param name="LastWords">Refusals of the export.</param>
/// <param name="TrustDisk">
/// Lets one flush through to nodes that have lost writes, because all of these were sent again (S-24).
/// </param>
internal readonly record struct EngineWays(
    SpscRing<EngineOrder> Orders, Action<EngineReport> Report, LastWords LastWords, Action TrustDisk);
