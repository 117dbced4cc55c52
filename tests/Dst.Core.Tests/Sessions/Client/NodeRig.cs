using Dst.Core.Requests;
using Dst.Core.Sessions.Client;
using Dst.Core.Wire;
using Xunit;

namespace Dst.Core.Tests.Sessions.Client;

/// <summary>A node without lanes and sockets: the test is server, threads and disk.</summary>
internal sealed class NodeRig
{
    internal const ulong Boot = 100;
    internal static readonly UInt128 Identity = 77;

    private readonly int _lanes;
    private bool _lanesClosed;

    internal NodeRig(int lanes = 2, Func<ClientNodeOptions, ClientNodeOptions>? change = null, long logBytes = 1 << 21)
    {
        _lanes = lanes;
        Shared = new ClientNodeShared(lanes, lanes, 8, logBytes, 16);
        ClientNodeOptions options = Options((ushort)lanes);
        Node = new ClientNode(change?.Invoke(options) ?? options, Shared);
    }

    internal ClientNodeShared Shared { get; }

    internal ClientNode Node { get; }

    internal long NowMs { get; set; } = 1000;

    internal List<NodeEffect> All { get; } = [];

    /// <summary>What the server grants next; the epoch stands beside.</summary>
    internal AttachOkMessage Grant = new()
    {
        Token = 5,
        Identity = Identity,
        Geometry = new ExportGeometry(1 << 30, 1 << 20, 512, 1 << 20, 0, ExportCapabilities.None),
        BootId = Boot,
        WriteErrorGeneration = 1,
        Credits = new CreditGrant(2, 8, 4 << 20),
        Checksum = ChecksumKind.Xxh3,
    };

    internal ulong Epoch { get; set; } = 10;

    internal List<(int Connection, FrameHeader Header, byte[] Body)> Sent { get; } = [];

    internal static ClientNodeOptions Options(ushort connections, ulong lastEpoch = 0, ServerNote note = default,
        bool takeOver = false, AccessKind access = AccessKind.ReadWrite, ExportFacts known = default) => new()
        {
            Export = new WireText("disk"),
            Device = new DeviceId(9, 0),
            Incarnation = 3,
            Credits = new CreditGrant(connections, 8, 4 << 20),
            LastEpoch = lastEpoch,
            Note = note,
            TakeOver = takeOver,
            Access = access,
            Known = known,
        };

    internal List<NodeEffect> Take()
    {
        List<NodeEffect> effects = [];
        for (int i = 0; i < Node.Effects.Count; i++)
        {
            NodeEffect effect = Node.Effects[i];
            effects.Add(effect);
            if (effect.Kind == NodeEffectKind.SendFrame)
            {
                ReadOnlySpan<byte> frame = Node.FrameOf(in effect);
                Assert.Equal(WireError.None, FrameCodec.TryRead(frame, out FrameHeader header));
                Sent.Add((effect.Connection, header, frame[WireLimits.HeaderBytes..].ToArray()));
            }
        }

        Node.Effects.Clear();
        All.AddRange(effects);
        return effects;
    }

    internal List<NodeEffect> Do(Action<ClientNode> action)
    {
        action(Node);
        return Take();
    }

    internal List<NodeEffect> Connected(int connection = 0) => Do(node => node.OnConnected(connection, 1, NowMs));

    internal List<NodeEffect> Frame(int connection, ReadOnlySpan<byte> frame)
    {
        Assert.Equal(WireError.None, FrameCodec.TryRead(frame, out FrameHeader header));
        Node.OnFrame(connection, in header, frame[WireLimits.HeaderBytes..], NowMs);
        return Take();
    }

    internal List<NodeEffect> Plain(FrameKind kind, ulong epoch = 0, ulong sequence = 0, int connection = 0)
    {
        byte[] frame = new byte[WireLimits.HeaderBytes];
        MessageCodec.WritePlain(kind, epoch, sequence, frame);
        return Frame(connection, frame);
    }

    internal List<NodeEffect> Hello(int connection = 0, ulong boot = 0)
    {
        HelloReply hello = new()
        {
            Version = 1,
            Nonce = 8,
            Checksums = DataChecksum.KnownKinds,
            BootId = boot == 0 ? Grant.BootId : boot,
        };
        byte[] frame = new byte[WireLimits.ControlFrameMaxBytes];
        return Frame(connection, frame.AsSpan(0, MessageCodec.Write(in hello, frame)));
    }

    internal List<NodeEffect> AttachOk(int connection = 0)
    {
        byte[] frame = new byte[WireLimits.ControlFrameMaxBytes];
        return Frame(connection, frame.AsSpan(0, MessageCodec.Write(Epoch, in Grant, frame)));
    }

    internal List<NodeEffect> Completed(params CompletedEntry[] entries)
    {
        byte[] frame = new byte[WireLimits.ControlFrameMaxBytes];
        return Frame(0, frame.AsSpan(0, MessageCodec.WriteCompleted(Epoch, entries, frame)));
    }

    internal List<NodeEffect> Error(
        RefusalCode code, ulong epoch = 0, int connection = 0, ushort slot = 0, ulong sequence = 0)
    {
        ErrorMessage message = new()
        {
            Epoch = epoch,
            Holder = new WireText("host2"),
            Slot = slot,
            Sequence = sequence,
        };
        byte[] frame = new byte[WireLimits.ControlFrameMaxBytes];
        return Frame(connection, frame.AsSpan(0, MessageCodec.Write(code, in message, frame)));
    }

    internal List<NodeEffect> JoinOk(int connection)
    {
        byte[] frame = new byte[WireLimits.ControlFrameMaxBytes];
        return Frame(connection, frame.AsSpan(0, MessageCodec.WriteJoinOk(Epoch, (ushort)connection, frame)));
    }

    internal List<NodeEffect> News(LaneNewsKind kind, DstStatus status = DstStatus.Ok, EpochEnd reason = EpochEnd.None)
    {
        int from = All.Count;
        for (int lane = 0; lane < _lanes; lane++)
        {
            One(lane, new LaneNews { Kind = kind, Status = status, Reason = reason });
            if (kind is LaneNewsKind.Recovered or LaneNewsKind.Doubt)
            {
                break;
            }
        }

        return All[from..];
    }

    internal List<NodeEffect> One(int lane, LaneNews news) => Do(node => node.OnLane(lane, in news, NowMs));

    /// <summary>From a started node to ATTACH on the first connection.</summary>
    internal void ToAttaching()
    {
        Connected();
        Hello();
        Assert.Equal(ClientNodePhase.Attaching, Node.Phase);
    }

    internal void ToJoining()
    {
        ToAttaching();
        Assert.Contains(AttachOk(), effect => effect.Kind == NodeEffectKind.NoteEpoch && effect.Epoch == Epoch);
        Do(node => node.OnEpochNoted(true, NowMs));
        Assert.Equal(ClientNodePhase.Joining, Node.Phase);
    }

    /// <summary>All connections joined: lanes settle.</summary>
    internal List<NodeEffect> ToSettling()
    {
        ToJoining();
        for (int i = 1; i < Grant.Credits.Connections; i++)
        {
            Connected(i);
            Hello(i);
            JoinOk(i);
        }

        return Plain(FrameKind.BeginOk, Epoch);
    }

    internal void ToLive()
    {
        ToSettling();
        News(LaneNewsKind.Settled);
        if (Node.Phase == ClientNodePhase.Recovering)
        {
            News(LaneNewsKind.Recovered);
        }

        if (Node.Phase == ClientNodePhase.NotingServer)
        {
            Do(node => node.OnServerNoted(true, NowMs));
        }

        News(LaneNewsKind.Resent);
        Assert.Equal(ClientNodePhase.Live, Node.Phase);
    }

    /// <summary>An operator removes the device; its lanes close.</summary>
    internal void Leave()
    {
        Do(node => node.Leave(NowMs));
        News(LaneNewsKind.Closed);
        _lanesClosed = true;
    }

    /// <summary>Everybody lets go of the epoch that is ending.</summary>
    internal void LetAllGo(bool lanesUp = true)
    {
        Assert.Equal(ClientNodePhase.Ending, Node.Phase);
        if (lanesUp && !_lanesClosed)
        {
            News(LaneNewsKind.Closed);
        }

        for (int i = 0; i < _lanes; i++)
        {
            int connection = i;
            if (IsUp(i))
            {
                Do(node => node.OnRxEnded(connection, NowMs));
                Do(node => node.OnTxEnded(connection, NowMs));
            }
        }

        if (lanesUp)
        {
            News(LaneNewsKind.Quiet);
        }
    }

    /// <summary>Waits until the next attempt begins.</summary>
    internal List<NodeEffect> NextTry()
    {
        Assert.Equal(ClientNodePhase.Pausing, Node.Phase);
        NowMs = Node.NextTryMs;
        Epoch++;
        return Do(node => node.Tick(NowMs));
    }

    internal IEnumerable<LaneOrder> Orders(LaneOrderKind kind) =>
        All.Where(effect => effect.Kind == NodeEffectKind.Order && effect.Order.Kind == kind).Select(e => e.Order);

    internal AttachMessage LastAttach()
    {
        byte[] body = Sent.FindLast(sent => sent.Header.Kind == FrameKind.Attach).Body;
        Assert.Equal(WireError.None, MessageCodec.TryRead(body, out AttachMessage attach));
        return attach;
    }

    private bool IsUp(int connection)
    {
        int connects = All.Count(effect => effect.Kind == NodeEffectKind.Connect && effect.Connection == connection);
        int frees = All.Count(effect => effect.Kind == NodeEffectKind.Free && effect.Connection == connection);
        int hellos = Sent.Count(sent => sent.Connection == connection && sent.Header.Kind == FrameKind.Hello);
        return connects > frees && hellos > frees;
    }
}
