using Dst.Core.Sessions.Client;
using Dst.Core.Wire;
using Dst.Simulation.Engine;
using Dst.Simulation.Network;

namespace Dst.Simulation.Clients;

/// <summary>
/// One connection of a node: its RX and TX threads and its socket. RX reads straight into the buffer of the request
/// that waits; TX copies from the request's buffer when the socket has room, so a buffer may be held by either (S-13).
/// Each lane has an outbox and so has the node's thread, whose frames go first: TX sees a frame a hop after it was put,
/// in the order of its outbox and of no other.
/// </summary>
internal sealed class Wire(World world, NodeDriver node, int number) : Actor(world, node.Process), IEndpoint
{
    private const int EndRx = 0;
    private const int EndTx = 1;
    private const int ReadOn = 2;
    private const int WriteOn = 3;
    private const int TakeFrame = 4;

    private readonly Outbox[] _outboxes = [.. Enumerable.Range(0, node.Lanes.Length + 1).Select(_ => new Outbox())];
    private readonly byte[] _scratch = new byte[WireLimits.ControlFrameMaxBytes];
    private readonly byte[] _outgoing = new byte[WireLimits.ControlFrameMaxBytes];
    private readonly byte[] _chunk = new byte[16 * 1024];
    private Link? _link;
    private TxItem _item;
    private Outbox? _from;
    private int _life;
    private bool _lost;
    private bool _shut;
    private FrameHeader _header;
    private RxStage _stage;
    private ReplyTarget _target;
    private LaneDriver? _claimed;
    private int _placed;
    private int _drain;
    private int _tableBytes;

    private enum RxStage
    {
        Header,
        Body,
        Table,
        Data,
        Drain,
    }

    /// <summary>RX runs.</summary>
    public bool RxRuns { get; private set; }

    /// <summary>TX runs.</summary>
    public bool TxRuns { get; private set; }

    /// <summary>A bit of its connection has turned round.</summary>
    public bool IsDamaged => _link?.IsDamaged == true;

    /// <summary>Bytes that came.</summary>
    public long Received { get; private set; }

    /// <summary>Bytes that went.</summary>
    public long Sent { get; private set; }

    /// <summary>RX may match replies of this epoch; nothing before.</summary>
    public bool Serves { get; set; }

    /// <summary>Of the session.</summary>
    public ulong Epoch { get; set; }

    /// <summary>Of the session.</summary>
    public ChecksumKind Checksum { get; set; }

    /// <summary>The connection stands.</summary>
    public void Start(Link link)
    {
        _link = link;
        link.Up.Writer = this;
        link.Down.Reader = this;
        RxRuns = TxRuns = true;
        _lost = _shut = false;
        Serves = false;
        Received = Sent = 0;
        ClearTx();
        _life++;
        _stage = RxStage.Header;
        _claimed = null;
        if (link.Down.Inbox.Count > 0 || link.Down.IsBroken)
        {
            OnReadable();
        }
    }

    /// <summary>Shuts the socket down; RX and TX end soon (S-13).</summary>
    public void Shut()
    {
        _shut = true;
        Post(World.HopUs(), EndRx);
        Post(World.HopUs(), EndTx);
    }

    /// <summary>Closes the socket: nobody uses it any more.</summary>
    public void Free()
    {
        World.Check(!RxRuns && !TxRuns, $"{node.Name} connection {number} is closed while RX or TX runs");
        _link?.Close(byClient: true);
        _link = null;
    }

    /// <summary>The process is gone: the kernel closes the socket; its send buffer drains on.</summary>
    public void Kill(bool power)
    {
        if (power)
        {
            _link?.LosePower(ofClient: true);
        }
        else
        {
            _link?.Close(byClient: true);
        }

        _link = null;
        RxRuns = TxRuns = false;
    }

    /// <summary>True when RX or TX may still touch some of a buffer (S-13).</summary>
    public bool Holds(nint buffer, int bytes)
    {
        if (_claimed is not null && _target.Buffer != 0 && Overlaps(_target.Buffer, _target.DataBytes, buffer, bytes))
        {
            return true;
        }

        if (_from is not null && _item.LogLane < 0 && Overlaps(_item.Buffer, _item.DataBytes, buffer, bytes))
        {
            return true;
        }

        foreach (Outbox outbox in _outboxes)
        {
            foreach (TxItem item in outbox.Frames)
            {
                if (item.LogLane < 0 && Overlaps(item.Buffer, item.DataBytes, buffer, bytes))
                {
                    return true;
                }
            }
        }

        return false;
    }

    /// <summary>A control frame is to be sent.</summary>
    public void Send(ReadOnlySpan<byte> frame)
    {
        if (TxRuns && !_shut)
        {
            Put(0, frame, new TxItem { HeadBytes = frame.Length, LogLane = -1 });
        }
    }

    /// <summary>A request is to be sent: header, then for a write its checksums and data.</summary>
    public void Send(int lane, in FrameHeader header, nint buffer, int logLane, long arenaOffset, int dataBytes)
    {
        if (!TxRuns || _shut)
        {
            return;
        }

        Span<byte> head = stackalloc byte[WireLimits.HeaderBytes + WireLimits.ChecksumMaxBytes];
        FrameCodec.Write(in header, head);
        int table = 0;
        if (dataBytes > 0)
        {
            table = DataChecksum.TableBytes(Checksum, dataBytes);
            Span<byte> data = _chunk.AsSpan(0, dataBytes);
            CopyData(buffer, logLane, arenaOffset, 0, data);
            DataChecksum.WriteTable(Checksum, data, head.Slice(WireLimits.HeaderBytes, table));
        }

        Put(1 + lane, head[..(WireLimits.HeaderBytes + table)], new TxItem
        {
            HeadBytes = WireLimits.HeaderBytes + table,
            Buffer = buffer,
            LogLane = logLane,
            ArenaOffset = arenaOffset,
            DataBytes = dataBytes,
        });
    }

    /// <inheritdoc/>
    public void OnReadable() => Post(World.HopUs(), ReadOn);

    /// <inheritdoc/>
    public void OnWritable() => Post(World.HopUs(), WriteOn);

    /// <inheritdoc/>
    public override void On(int kind, long a, long b)
    {
        switch (kind)
        {
            case EndRx when RxRuns:
                RxRuns = false;
                if (_claimed is not null)
                {
                    _claimed.Replies.LetGo(_target.Slot);
                    _claimed = null;
                }

                node.FromRx(new RxMessage { Kind = RxKind.RxEnded, Wire = number });
                break;
            case EndTx when TxRuns:
                TxRuns = false;
                ClearTx();
                node.FromTx(number, EpochEnd.None);
                break;
            case ReadOn when RxRuns && _link is not null && !_lost:
                ReadAll();
                break;
            case WriteOn when TxRuns && _link is not null:
                PumpTx();
                break;
            case TakeFrame when TxRuns && _link is not null && b == _life:
                _outboxes[a].Seen++;
                PumpTx();
                break;
            default:
                break;
        }
    }

    /// <inheritdoc/>
    public override string Describe(int kind, long a, long b) => kind switch
    {
        EndRx => $"{node.Name} RX {number} ends{(_claimed is null ? "" : " within a body")}",
        EndTx => $"{node.Name} TX {number} ends{(_from is not null ? " within a frame" : "")}",
        ReadOn => $"{node.Name} RX {number} reads {_link?.Down.Inbox.Count} B",
        TakeFrame => $"{node.Name} TX {number} sees a frame of {(a == 0 ? "the node" : $"lane {a - 1}")}",
        _ => $"{node.Name} TX {number} goes on, {_outboxes.Sum(outbox => outbox.Frames.Count)} frames wait",
    };

    private static bool Overlaps(nint left, int leftBytes, nint right, int rightBytes) =>
        leftBytes > 0 && left < right + rightBytes && right < left + leftBytes;

    private void Put(int outbox, ReadOnlySpan<byte> head, in TxItem item)
    {
        _outboxes[outbox].Heads.Write(head);
        _outboxes[outbox].Frames.Enqueue(item);
        Post(World.HopUs(), TakeFrame, outbox, _life);
    }

    private void ClearTx()
    {
        _from = null;
        foreach (Outbox outbox in _outboxes)
        {
            outbox.Heads.Clear();
            outbox.Frames.Clear();
            outbox.Seen = 0;
        }
    }

    /// <summary>The next frame that TX sees, once the last is wholly sent.</summary>
    private bool HasFrame()
    {
        for (int i = 0; i < _outboxes.Length && _from is null; i++)
        {
            if (_outboxes[i].Seen > 0)
            {
                _from = _outboxes[i];
                _from.Seen--;
                _item = _from.Frames.Dequeue();
            }
        }

        return _from is not null;
    }

    private void PumpTx()
    {
        while (_link is not null && TxRuns && HasFrame())
        {
            Span<byte> bytes = _outgoing;
            bool head = _item.HeadBytes > 0;
            int wanted = head ? _item.HeadBytes : int.Min(_item.DataBytes - _item.Done, _outgoing.Length);
            if (wanted == 0)
            {
                _from = null;
                continue;
            }

            bytes = bytes[..wanted];
            if (head)
            {
                _from!.Heads.Peek(bytes);
            }
            else
            {
                CopyData(_item.Buffer, _item.LogLane, _item.ArenaOffset, _item.Done, bytes);
            }

            int taken = _link.Up.Write(bytes);
            if (taken < 0)
            {
                node.FromTx(number, EpochEnd.ConnectionLost);
                return;
            }

            Sent += taken;
            if (head)
            {
                _from!.Heads.Skip(taken);
                _item.HeadBytes -= taken;
            }
            else
            {
                _item.Done += taken;
            }

            if (taken < wanted)
            {
                return;
            }
        }
    }

    private void CopyData(nint buffer, int logLane, long arenaOffset, int done, Span<byte> target)
    {
        if (logLane < 0)
        {
            node.Target.Memory(buffer + done, target.Length).CopyTo(target);
            return;
        }

        byte[] arena = node.Lanes[logLane].Arena;
        int at = (int)((arenaOffset + done) % arena.Length);
        int first = int.Min(target.Length, arena.Length - at);
        arena.AsSpan(at, first).CopyTo(target);
        arena.AsSpan(0, target.Length - first).CopyTo(target[first..]);
    }

    private void ReadAll()
    {
        ByteRing inbox = _link!.Down.Inbox;
        while (!_lost && ReadSome(inbox))
        {
        }

        if (!_lost && inbox.Count == 0 && (_link.Down.IsBroken || _link.Down.IsEnded))
        {
            Lose(EpochEnd.ConnectionLost);
        }
    }

    private void Lose(EpochEnd reason)
    {
        _lost = true;
        node.FromRx(new RxMessage { Kind = RxKind.Lost, Wire = number, Reason = reason });
    }

    /// <summary>Takes the next piece of the stream; false when there is not enough of it.</summary>
    private bool ReadSome(ByteRing inbox)
    {
        switch (_stage)
        {
            case RxStage.Header:
                if (inbox.Count < WireLimits.HeaderBytes)
                {
                    return false;
                }

                inbox.Read(_scratch.AsSpan(0, WireLimits.HeaderBytes));
                Received += WireLimits.HeaderBytes;
                OnHeader();
                return true;
            case RxStage.Body:
                if (inbox.Count < _header.BodyBytes)
                {
                    return false;
                }

                inbox.Read(_scratch.AsSpan(0, (int)_header.BodyBytes));
                Received += _header.BodyBytes;
                _stage = RxStage.Header;
                Hand();
                return true;
            case RxStage.Table:
                if (inbox.Count < _tableBytes)
                {
                    return false;
                }

                inbox.Read(_scratch.AsSpan(0, _tableBytes));
                Received += _tableBytes;
                _stage = RxStage.Data;
                return true;
            case RxStage.Drain:
                int skipped = int.Min(_drain, inbox.Count);
                inbox.Skip(skipped);
                Received += skipped;
                _drain -= skipped;
                _stage = _drain == 0 ? RxStage.Header : RxStage.Drain;
                return skipped > 0;
            default:
                return Place(inbox);
        }
    }

    private bool Place(ByteRing inbox)
    {
        int count = int.Min(inbox.Count, _target.DataBytes - _placed);
        if (count > 0)
        {
            inbox.Read(node.Target.Memory(_target.Buffer + _placed, count));
            Received += count;
            _placed += count;
        }

        if (_placed < _target.DataBytes)
        {
            return false;
        }

        Span<byte> data = node.Target.Memory(_target.Buffer, _target.DataBytes);
        Finish(DataChecksum.FindMismatch(Checksum, data, _scratch.AsSpan(0, _tableBytes)) < 0);
        return true;
    }

    private void OnHeader()
    {
        WireError error = FrameCodec.TryRead(_scratch, out _header);
        if (error != WireError.None)
        {
            Lose(EpochEnd.Protocol);
        }
        else if (_header.Kind != FrameKind.Reply)
        {
            _stage = _header.BodyBytes > 0 ? RxStage.Body : RxStage.Header;
            if (_header.BodyBytes == 0)
            {
                Hand();
            }
        }
        else if (!Serves)
        {
            Lose(EpochEnd.Protocol);
        }
        else
        {
            OnReply();
        }
    }

    private void OnReply()
    {
        LaneDriver? lane = node.LaneAt(number, _header.Slot, out int slot);
        ReplyVerdict verdict = ReplyVerdict.Break;
        if (lane is not null)
        {
            verdict = lane.Replies.Claim(in _header, slot, Epoch, Checksum, out _target);
        }

        switch (verdict)
        {
            case ReplyVerdict.Take:
                _claimed = lane;
                _placed = 0;
                _tableBytes = (int)_header.BodyBytes - _target.DataBytes;
                if (_target.DataBytes == 0)
                {
                    Finish(good: true);
                }
                else
                {
                    _stage = RxStage.Table;
                }

                break;
            case ReplyVerdict.Drain:
                _drain = (int)_header.BodyBytes;
                _stage = _drain > 0 ? RxStage.Drain : RxStage.Header;
                break;
            default:
                Lose(EpochEnd.Protocol);
                break;
        }
    }

    private void Finish(bool good)
    {
        LaneDriver lane = _claimed!;
        _claimed = null;
        _stage = RxStage.Header;
        lane.Replies.Finish(_target.Slot, in _header, good);
        lane.WakeForReplies();
    }

    private void Hand() => node.FromRx(
        new RxMessage { Kind = RxKind.Frame, Wire = number, Header = _header },
        _scratch.AsSpan(0, (int)_header.BodyBytes));

    private sealed class Outbox
    {
        internal ByteRing Heads { get; } = new();

        internal Queue<TxItem> Frames { get; } = new();

        /// <summary>Frames whose hop is over.</summary>
        internal int Seen { get; set; }
    }

    private struct TxItem
    {
        internal int HeadBytes;
        internal nint Buffer;
        internal int LogLane;
        internal long ArenaOffset;
        internal int DataBytes;
        internal int Done;
    }
}

/// <summary>What RX tells the node's thread.</summary>
internal enum RxKind
{
    /// <summary>A whole control frame.</summary>
    Frame,

    /// <summary>The connection is lost.</summary>
    Lost,

    /// <summary>RX has let go.</summary>
    RxEnded,
}

/// <summary>A message of RX; order is kept.</summary>
internal struct RxMessage
{
    /// <summary>What.</summary>
    public RxKind Kind;

    /// <summary>Connection.</summary>
    public int Wire;

    /// <summary>Lost: why.</summary>
    public EpochEnd Reason;

    /// <summary>Frame: its header.</summary>
    public FrameHeader Header;
}
