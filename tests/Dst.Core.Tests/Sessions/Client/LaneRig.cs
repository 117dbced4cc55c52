using Dst.Core.Requests;
using Dst.Core.Sessions.Client;
using Dst.Core.Wire;
using Xunit;

namespace Dst.Core.Tests.Sessions.Client;

/// <summary>Lanes without a node: the test is node, RX and server.</summary>
internal sealed class LaneRig
{
    internal const int Connections = 1;
    internal const int Slots = 8;
    internal const int Legs = 16;
    internal const ulong Boot = 100;

    private readonly ReplySlots[] _replies;

    internal LaneRig(int lanes = 1, long logBytes = 8192, RequestBudget budget = default, int logEntries = 16)
    {
        Shared = new ClientNodeShared(lanes, lanes, Slots, logBytes, logEntries);
        _replies = new ReplySlots[lanes];
        Lanes = new ClientLane[lanes];
        for (int i = 0; i < lanes; i++)
        {
            _replies[i] = new ReplySlots(Slots);
            Lanes[i] = new ClientLane(new ClientLaneOptions(i, Legs), _replies[i], Shared, in budget);
        }

        Session = new LaneSession
        {
            Epoch = 1,
            BootId = Boot,
            Checksum = ChecksumKind.None,
            Share = new LaneShare(0, 0, Slots, 1 << 20),
        };
    }

    internal ClientNodeShared Shared { get; }

    internal ClientLane[] Lanes { get; }

    internal ClientLane Lane => Lanes[0];

    internal LaneSession Session;

    internal long NowMs { get; set; }

    internal List<LaneEffect> All { get; } = [];

    internal static Request Write(long offset = 0, int length = 512, RequestFlags flags = RequestFlags.None) =>
        new(Operation.Write, flags, offset, length);

    internal static Request Read(long offset = 0, int length = 512) =>
        new(Operation.Read, RequestFlags.None, offset, length);

    internal static Request Flush => new(Operation.Flush, RequestFlags.None, 0, 0);

    internal List<LaneEffect> Submit(int leg, Request request, int lane = 0)
    {
        Lanes[lane].Submit(leg, in request, 0x1000 * (leg + 1), NowMs);
        return Take(lane);
    }

    internal List<LaneEffect> Order(LaneOrderKind kind, int lane = 0, Action<OrderBox>? change = null)
    {
        OrderBox box = new() { Order = new LaneOrder { Kind = kind, Session = Session } };
        box.Order.Session.Share = Session.Share with { Connection = lane };
        change?.Invoke(box);
        Lanes[lane].OnOrder(in box.Order, NowMs);
        return Take(lane);
    }

    internal void Up()
    {
        for (int i = 0; i < Lanes.Length; i++)
        {
            Assert.Contains(Order(LaneOrderKind.Settle, i), IsNews(LaneNewsKind.Settled));
            Assert.Contains(Order(LaneOrderKind.Resend, i), IsNews(LaneNewsKind.Resent));
            Order(LaneOrderKind.Open, i);
        }
    }

    internal List<LaneEffect> Down(int lane = 0)
    {
        List<LaneEffect> effects = Order(LaneOrderKind.Close, lane);
        effects.AddRange(Order(LaneOrderKind.LetGo, lane));
        return effects;
    }

    internal void NextEpoch(ulong boot = Boot, ulong generation = 0)
    {
        Session.Epoch++;
        Session.BootId = boot;
        Session.Generation = generation;
    }

    internal ReplyVerdict Claim(LaneEffect sent, int lane = 0, DstStatus status = DstStatus.Ok)
    {
        FrameHeader header = ReplyTo(sent, status);
        return _replies[lane].Claim(in header, header.Slot, Session.Epoch, ChecksumKind.None, out _);
    }

    internal void LetGo(LaneEffect sent, int lane = 0) => _replies[lane].LetGo(sent.Header.Slot);

    internal List<LaneEffect> Finish(LaneEffect sent, int lane = 0, DstStatus status = DstStatus.Ok, bool good = true)
    {
        FrameHeader header = ReplyTo(sent, status);
        _replies[lane].Finish(header.Slot, in header, good);
        Lanes[lane].OnReplies(NowMs);
        return Take(lane);
    }

    internal List<LaneEffect> Answer(LaneEffect sent, int lane = 0, DstStatus status = DstStatus.Ok, bool good = true)
    {
        Assert.Equal(ReplyVerdict.Take, Claim(sent, lane, status));
        return Finish(sent, lane, status, good);
    }

    internal List<LaneEffect> Tick(long nowMs, int lane = 0)
    {
        NowMs = nowMs;
        Lanes[lane].Tick(nowMs);
        return Take(lane);
    }

    internal List<LaneEffect> DamageLog()
    {
        Lane.OnDamagedLog();
        return Take(0);
    }

    internal List<LaneEffect> Wake(int lane)
    {
        Lanes[lane].OnWake(NowMs);
        return Take(lane);
    }

    internal static Predicate<LaneEffect> IsNews(LaneNewsKind kind) =>
        effect => effect.Kind == LaneEffectKind.Tell && effect.News.Kind == kind;

    internal static Predicate<LaneEffect> IsDoubt(EpochEnd reason) =>
        effect => IsNews(LaneNewsKind.Doubt)(effect) && effect.News.Reason == reason;

    internal static Predicate<LaneEffect> IsEnd(int leg, DstStatus status = DstStatus.Ok) =>
        effect => effect.Kind == LaneEffectKind.Complete && effect.Leg == leg && effect.Status == status;

    internal static bool IsSend(LaneEffect effect) => effect.Kind is LaneEffectKind.Send or LaneEffectKind.SendLog;

    private List<LaneEffect> Take(int lane)
    {
        List<LaneEffect> effects = [];
        for (int i = 0; i < Lanes[lane].Effects.Count; i++)
        {
            effects.Add(Lanes[lane].Effects[i]);
        }

        Lanes[lane].Effects.Clear();
        All.AddRange(effects);
        return effects;
    }

    private FrameHeader ReplyTo(LaneEffect sent, DstStatus status)
    {
        FrameHeader header = sent.Header;
        header.Kind = FrameKind.Reply;
        header.Flags = FrameFlags.None;
        header.Status = WireStatus.ToWire(status);
        bool flush = header.Operation == Operation.Flush;
        header.OffsetBytes = flush ? Session.BootId : header.OffsetBytes;
        header.LengthBytes = flush ? Session.Generation : header.LengthBytes;
        header.BodyBytes = header.Operation == Operation.Read && status == DstStatus.Ok ? (uint)header.LengthBytes : 0;
        return header;
    }

    internal sealed class OrderBox
    {
        internal LaneOrder Order;
    }
}
