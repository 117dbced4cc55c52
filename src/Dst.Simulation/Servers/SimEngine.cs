using System.Runtime.InteropServices;
using Dst.Core.Requests;
using Dst.Core.Sessions;
using Dst.Core.Wire;
using Dst.Simulation.Checks;
using Dst.Simulation.Disks;
using Dst.Simulation.Engine;
using Dst.Simulation.Plans;

namespace Dst.Simulation.Servers;

/// <summary>
/// An engine thread of a server's export: live connections, their requests, the way to the disk and back. One flush of
/// the export is with the disk at a time, and a failed one is answered only when its mark is durable (C-16, S-24).
/// </summary>
internal sealed class SimEngine : Actor, IDiskOwner
{
    private const int Read = 0;
    private const int TakeOrder = 1;
    private const int ToDisk = 3;
    private const int FromDisk = 4;
    private const int Tick = 5;
    private const int FlushFailed = 6;
    private const int PoisonCleared = 7;
    private const int FlushTurn = 8;

    private readonly SessionThread _server;
    private readonly Queue<EngineOrder> _orders = new();
    private readonly Queue<DiskOp> _failed = new();
    private readonly Queue<DiskOp> _cleared = new();
    private readonly Queue<DiskOp> _toDisk = new();
    private readonly Queue<DiskOp> _fromDisk = new();
    private readonly List<Peer> _peers = [];
    private readonly byte[] _bytes = new byte[(64 * Plan.BlockBytes) + 1024];
    private readonly string _name;

    /// <summary>A thread without connections.</summary>
    public SimEngine(World world, SessionThread server, int number)
        : base(world, server.Process!)
    {
        _server = server;
        _name = $"{server.Name}/e{number}";
        Owner = server.Process!;
        Post(world.Chance.Below(200_000), Tick);
    }

    /// <inheritdoc/>
    public SimProcess Owner { get; }

    /// <summary>An order of the session thread.</summary>
    public void Order(EngineOrderKind kind, Peer peer, RefusalCode code = RefusalCode.None)
    {
        _orders.Enqueue(new EngineOrder(kind, peer, code));
        Post(World.HopUs(), TakeOrder);
    }

    /// <summary>Bytes came.</summary>
    public void PostRead(Peer peer) => Post(World.HopUs(), Read, peer.Id);

    /// <summary>The mark of failed flushes is durable.</summary>
    public void PostFlushFailed(DiskOp op)
    {
        _failed.Enqueue(op);
        Post(World.HopUs(), FlushFailed);
    }

    /// <summary>The poison was taken away, or not.</summary>
    public void PostPoisonCleared(DiskOp op, bool cleared)
    {
        _cleared.Enqueue(op);
        Post(World.HopUs(), PoisonCleared, cleared ? 1 : 0);
    }

    /// <summary>The disk has no flush any more.</summary>
    public void PostFlushTurn() => Post(World.HopUs(), FlushTurn);

    /// <inheritdoc/>
    public void OnDisk(DiskOp op)
    {
        _fromDisk.Enqueue(op);
        Post(World.HopUs(), FromDisk);
    }

    /// <inheritdoc/>
    public override void On(int kind, long a, long b)
    {
        switch (kind)
        {
            case Read when _server.Find((int)a) is { } peer:
                peer.ReadPosted = false;
                ReadAll(peer);
                break;
            case TakeOrder:
                Obey(_orders.Dequeue());
                break;
            case ToDisk:
                Submit(_toDisk.Dequeue());
                break;
            case FromDisk:
                OnAnswer(_fromDisk.Dequeue());
                break;
            case FlushFailed:
                Done(_failed.Dequeue(), DstStatus.IoError);
                break;
            case PoisonCleared:
                DiskOp op = _cleared.Dequeue();
                Peer ofFlush = (Peer)op.Peer!;
                Follow(ofFlush, ofFlush.Lane!.OnPoisonCleared(op.Slot, a == 1), op);
                break;
            case FlushTurn:
                _server.StartFlush();
                break;
            case Tick:
                OnTick();
                break;
            default:
                break;
        }
    }

    /// <inheritdoc/>
    public override string Describe(int kind, long a, long b) => kind switch
    {
        Read => $"{_name} reads of {_server.Find((int)a)?.Name}",
        TakeOrder => $"{_name} order {DescribeOrder()}",
        ToDisk => $"{_name} gives {_toDisk.TryPeek(out DiskOp? op)}{op?.Operation} {op?.Block}+{op?.Count} to the disk",
        FromDisk => $"{_name} hears of the disk",
        FlushTurn => $"{_name} may flush",
        FlushFailed => $"{_name} answers a failed flush",
        PoisonCleared => $"{_name} the poison is {(a == 1 ? "gone" : "still there")}",
        _ => $"{_name} tick",
    };

    private string DescribeOrder() =>
        _orders.TryPeek(out EngineOrder order) ? $"{order.Kind} {order.Peer.Name} {order.Code}" : "";

    private void Obey(EngineOrder order)
    {
        Peer peer = order.Peer;
        switch (order.Kind)
        {
            case EngineOrderKind.Adopt when peer.Home == PeerHome.Moving:
                OnAdopt(peer);
                break;
            case EngineOrderKind.Detach:
                Close(peer, order.Code);
                break;
            case EngineOrderKind.Goodbye when peer.Home != PeerHome.Gone:
                Span<byte> frame = stackalloc byte[WireLimits.HeaderBytes];
                peer.Send(frame[..MessageCodec.WritePlain(FrameKind.Goodbye, peer.Machine.Epoch, 0, frame)]);
                peer.Lane!.Detach();
                peer.EndTold = true;
                peer.CloseSoon();
                break;
            default:
                break;
        }
    }

    private void OnAdopt(Peer peer)
    {
        peer.Home = PeerHome.Engine;
        peer.Timers = new LaneTimers(pings: true, _server.NowMs);
        peer.HasHeader = false;
        peer.BodySlot = -1;
        _peers.Add(peer);
        ReadAll(peer);
    }

    private void ReadAll(Peer peer)
    {
        if (peer.Home != PeerHome.Engine || peer.Closing)
        {
            return;
        }

        ByteRing inbox = peer.Link.Up.Inbox;
        if (inbox.Count > 0)
        {
            peer.Timers.Received(_server.NowMs);
        }

        while (peer.Home == PeerHome.Engine && !peer.Closing && Owner.Alive && ReadFrame(peer, inbox))
        {
        }

        bool over = peer.Link.Up.IsBroken || peer.Link.Up.IsEnded;
        if (peer.Home == PeerHome.Engine && !peer.Closing && over && Owner.Alive)
        {
            Close(peer, RefusalCode.None);
        }
    }

    private bool ReadFrame(Peer peer, ByteRing inbox)
    {
        if (peer.BodySlot >= 0)
        {
            return ReadBody(peer, inbox);
        }

        if (inbox.Count < WireLimits.HeaderBytes)
        {
            return false;
        }

        inbox.Read(_bytes.AsSpan(0, WireLimits.HeaderBytes));
        WireError error = FrameCodec.TryRead(_bytes, out peer.Header);
        if (error != WireError.None)
        {
            Follow(peer, peer.Lane!.OnMalformed(error), null);
            return false;
        }

        World.Check(
            peer.Header.Kind != FrameKind.Request
                || !ExportChanges.Forbids(_server.Change, AccessOf(peer)),
            $"{_name}: {peer.Name} uses an export that is not what it remembers: {_server.Change} (S-07)");
        _server.Arm(this);
        LaneVerdict verdict = peer.Lane!.OnHeader(in peer.Header);
        _server.Arm(null);
        if (!Owner.Alive)
        {
            return false;
        }

        World.Coverage.Hit(Machine.ServerLane, (int)verdict.Action, HappenedOf(in peer.Header));
        if (verdict.Action == LaneAction.ReceiveBody)
        {
            peer.BodySlot = verdict.Slot;
            _server.BeforeBody(this);
            return Owner.Alive;
        }

        Follow(peer, in verdict, null);
        return true;
    }

    private bool ReadBody(Peer peer, ByteRing inbox)
    {
        int length = (int)peer.Header.BodyBytes;
        if (inbox.Count < length)
        {
            return false;
        }

        Span<byte> body = _bytes.AsSpan(0, length);
        inbox.Read(body);
        int slot = peer.BodySlot;
        peer.BodySlot = -1;
        ChecksumKind kind = peer.Lane!.Checksum;
        int table = length - (int)peer.Header.LengthBytes;
        bool good = DataChecksum.FindMismatch(kind, body[table..], body[..table]) < 0;
        _server.Arm(this);
        LaneVerdict verdict = peer.Lane.OnBody(slot, good);
        _server.Arm(null);
        if (!Owner.Alive)
        {
            return false;
        }

        World.Coverage.Hit(Machine.ServerLane, (int)verdict.Action, 20 + (good ? 1 : 0));
        DiskOp? op = null;
        if (verdict.Action == LaneAction.Run)
        {
            op = _server.Disk.Take();
            ReadOnlySpan<ulong> words = MemoryMarshal.Cast<byte, ulong>(body[table..]);
            const int WordsPerBlock = Plan.BlockBytes / sizeof(ulong);
            for (int i = 0; i < words.Length / WordsPerBlock; i++)
            {
                ReadOnlySpan<ulong> block = words.Slice(i * WordsPerBlock, WordsPerBlock);
                op.Values[i] = block[0];
                World.Check(!block.ContainsAnyExcept(block[0]), $"{_name}: a write of {peer.Name} mixes two blocks");
            }
        }

        Follow(peer, in verdict, op);
        return true;
    }

    private void Follow(Peer peer, in LaneVerdict verdict, DiskOp? op)
    {
        switch (verdict.Action)
        {
            case LaneAction.Run:
                Run(peer, verdict.Slot, op ?? _server.Disk.Take());
                op = null;
                break;
            case LaneAction.RunFlush:
                DiskOp flush = _server.Disk.Take();
                Fill(flush, peer, verdict.Slot, new Request(Operation.Flush, RequestFlags.None, 0, 0));
                _toDisk.Enqueue(flush);
                Post(World.HopUs(), ToDisk);
                break;
            case LaneAction.ClearPoison:
                _server.ClearPoison(this, op!);
                op = null;
                break;
            case LaneAction.Reply:
                Reply(peer, verdict.Slot, op);
                break;
            case LaneAction.SendPong:
                Span<byte> pong = stackalloc byte[WireLimits.HeaderBytes];
                peer.Send(pong[..MessageCodec.WritePlain(FrameKind.Pong, 0, verdict.Sequence, pong)]);
                break;
            case LaneAction.Goodbye:
                _server.FromEngine(new EngineReport(EngineReportKind.Goodbye, peer.Id, RefusalCode.None));
                break;
            case LaneAction.Close:
                Close(peer, verdict.Code);
                break;
            default:
                break;
        }

        if (op is not null)
        {
            _server.Disk.Give(op);
        }

        if (verdict.Drained)
        {
            _server.FromEngine(new EngineReport(EngineReportKind.Drained, peer.Id, RefusalCode.None));
        }
    }

    private void Run(Peer peer, int slot, DiskOp op)
    {
        Fill(op, peer, slot, peer.Lane!.RequestAt(slot));

        // Of FLUSH requests the lane lets only those through that follow a replay.
        op.MayRunPoisoned = op.Operation == Operation.Flush && _server.Session.Gate.IsPoisoned;
        World.Check(
            !op.MayRunPoisoned || AccessOf(peer) == AccessKind.ReadWrite,
            $"{_name}: a FLUSH of {peer.Name}, which only reads, may take the poison away (S-24)");
        _toDisk.Enqueue(op);

        // The way from the check to the disk is an event of its own.
        Post(World.HopUs(), ToDisk);
    }

    /// <summary>Who joined has no ATTACH of its own; only readers live without an epoch (S-24).</summary>
    private static AccessKind AccessOf(Peer peer) =>
        peer.Machine.Epoch == 0 ? AccessKind.ReadOnly : AccessKind.ReadWrite;

    private void Fill(DiskOp op, Peer peer, int slot, in Request request)
    {
        op.Operation = request.Operation;
        op.Fua = (request.Flags & RequestFlags.Fua) != RequestFlags.None;
        op.Block = (int)(request.OffsetBytes / Plan.BlockBytes);
        op.Count = (int)(request.LengthBytes / Plan.BlockBytes);
        op.Owner = this;
        op.Peer = peer;
        op.Slot = slot;
        op.Epoch = peer.Lane!.Epoch;
        if (op.Values.Length < op.Count)
        {
            op.Values = new ulong[op.Count];
        }
    }

    private void Submit(DiskOp op)
    {
        if (World.MaybeCrash())
        {
            _server.Crash(power: false);
            return;
        }

        if (op.Operation == Operation.Flush)
        {
            _server.QueueFlush(op);
        }
        else if (op.Fua && _server.IsPoisoned)
        {
            op.Status = DstStatus.IoError;
            OnDisk(op);
        }
        else
        {
            _server.Disk.Submit(op);
        }
    }

    private void OnAnswer(DiskOp op)
    {
        if (op.Operation == Operation.Flush)
        {
            // Whoever flushes next sees the failure first.
            bool failed = op.Status != DstStatus.Ok;
            if (failed)
            {
                _server.FlushHasFailed(this, op);
            }

            _server.FlushIsOver();
            if (failed)
            {
                return;
            }
        }

        Done(op, op.Status);
    }

    private void Done(DiskOp op, DstStatus status)
    {
        Peer peer = (Peer)op.Peer!;
        _server.Arm(this);
        LaneVerdict verdict = peer.Lane!.OnDone(op.Slot, status);
        _server.Arm(null);
        World.Coverage.Hit(Machine.ServerLane, (int)verdict.Action, 24 + (int)op.Operation);
        if (World.MaybeCrash())
        {
            _server.Crash(power: false);
            return;
        }

        Follow(peer, in verdict, op);
    }

    private void Reply(Peer peer, int slot, DiskOp? op)
    {
        if (peer.Home != PeerHome.Engine || peer.Closing)
        {
            return;
        }

        Span<byte> frame = _bytes;
        int body = peer.Lane!.WriteReply(slot, frame);
        if (body > 0)
        {
            int bytes = op!.Count * Plan.BlockBytes;
            int table = body - bytes;
            Span<byte> data = frame.Slice(WireLimits.HeaderBytes + table, bytes);
            Span<ulong> words = MemoryMarshal.Cast<byte, ulong>(data);
            for (int i = 0; i < op.Count; i++)
            {
                words.Slice(i * (Plan.BlockBytes / sizeof(ulong)), Plan.BlockBytes / sizeof(ulong)).Fill(op.Values[i]);
            }

            DataChecksum.WriteTable(peer.Lane.Checksum, data, frame.Slice(WireLimits.HeaderBytes, table));
        }

        peer.Send(frame[..(WireLimits.HeaderBytes + body)]);
    }

    private void Close(Peer peer, RefusalCode code)
    {
        if (peer.Home == PeerHome.Gone || peer.Closing)
        {
            TellEnd(peer, code);
            return;
        }

        peer.Lane?.Detach();
        if (code != RefusalCode.None)
        {
            Span<byte> frame = stackalloc byte[WireLimits.ControlFrameMaxBytes];
            peer.Send(frame[.._server.Session.WriteRefusal(code, frame)]);
        }

        TellEnd(peer, code);
        _peers.Remove(peer);
        peer.CloseSoon();
    }

    private void TellEnd(Peer peer, RefusalCode code)
    {
        if (!peer.EndTold)
        {
            peer.EndTold = true;
            _server.FromEngine(new EngineReport(EngineReportKind.Ended, peer.Id, code, peer.Link.IsDamaged));
        }
    }

    private void OnTick()
    {
        for (int i = _peers.Count - 1; i >= 0; i--)
        {
            Peer peer = _peers[i];
            if (peer.Home != PeerHome.Engine)
            {
                _peers.RemoveAt(i);
                continue;
            }

            switch (peer.Timers.Tick(_server.NowMs))
            {
                case LivenessAction.SendPing:
                    peer.Send(_bytes.AsSpan(0, MessageCodec.WritePlain(FrameKind.Ping, 0, (ulong)World.Steps, _bytes)));
                    break;
                case LivenessAction.Dead:
                    Close(peer, RefusalCode.None);
                    peer.Close();
                    break;
                default:
                    break;
            }
        }

        Post(200_000, Tick);
    }

    private static int HappenedOf(in FrameHeader header) =>
        header.Kind == FrameKind.Request ? 32 + (int)header.Operation : (int)header.Kind;
}

/// <summary>What the session thread tells an engine.</summary>
internal enum EngineOrderKind
{
    /// <summary>A connection is live.</summary>
    Adopt,

    /// <summary>A connection ends: no more of it is read.</summary>
    Detach,

    /// <summary>The hold is given back: the last frame.</summary>
    Goodbye,
}

/// <summary>A message to an engine; order is kept.</summary>
internal readonly record struct EngineOrder(EngineOrderKind Kind, Peer Peer, RefusalCode Code);

/// <summary>What an engine tells the session thread.</summary>
internal enum EngineReportKind
{
    /// <summary>A connection is over.</summary>
    Ended,

    /// <summary>The last request of a connection has left the disk.</summary>
    Drained,

    /// <summary>A client gives the hold back.</summary>
    Goodbye,
}

/// <summary>A message to the session thread; order is kept.</summary>
internal readonly record struct EngineReport(
    EngineReportKind Kind, int Peer, RefusalCode Code, bool IsDamaged = false);
