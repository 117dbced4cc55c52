using Dst.Core.Requests;
using Dst.Core.Sessions.Client;
using Dst.Simulation.Checks;
using Dst.Simulation.Engine;

namespace Dst.Simulation.Clients;

/// <summary>A lane on its queue's thread, with the rings to and from it.</summary>
internal sealed class LaneDriver : Actor
{
    private const int TakeOrder = 0;
    private const int TakeReplies = 1;
    private const int Wake = 2;

    private readonly NodeDriver _node;
    private readonly int _number;
    private readonly Queue<LaneOrder> _orders = new();
    private bool _woken;

    /// <summary>A lane that is down.</summary>
    public LaneDriver(
        World world,
        NodeDriver node,
        int number,
        int legs,
        long arenaBytes,
        ClientNodeShared shared,
        in RequestBudget budget)
        : base(world, node.Process)
    {
        _node = node;
        _number = number;
        Replies = new ReplySlots(shared.SlotsPerConnection);
        Lane = new ClientLane(new ClientLaneOptions(number, legs), Replies, shared, in budget);
        Arena = new byte[arenaBytes];
        Name = $"{node.Name} lane {number}";
        Budgets = new BudgetTruth(world, this, legs, in budget);
        Orders = new OrderTruth(world, this, legs, in budget);
    }

    /// <summary>For people.</summary>
    public string Name { get; }

    /// <summary>Since when its process runs again.</summary>
    public long AwakeUs => Process!.PausedUntilUs;

    /// <summary>Whether its requests get their errors in time.</summary>
    public BudgetTruth Budgets { get; }

    /// <summary>Whether it does what operators have ordered.</summary>
    public OrderTruth Orders { get; }

    /// <summary>The border with RX.</summary>
    public ReplySlots Replies { get; }

    /// <summary>The machine.</summary>
    public ClientLane Lane { get; }

    /// <summary>Data of the replay log.</summary>
    public byte[] Arena { get; }

    /// <summary>The node's thread gives an order.</summary>
    public void Order(in LaneOrder order)
    {
        _orders.Enqueue(order);
        Post(World.HopUs(), TakeOrder);
    }

    /// <summary>RX has finished replies: one wake for a batch.</summary>
    public void WakeForReplies()
    {
        if (!_woken)
        {
            _woken = true;
            Post(World.HopUs(), TakeReplies);
        }
    }

    /// <summary>Another lane gave something back.</summary>
    public void WakeForRoom() => Post(World.HopUs(), Wake);

    /// <summary>A leg of a request.</summary>
    public void Submit(int leg, in Request request, nint buffer)
    {
        World.Coverage.Hit(Machine.ClientLane, (int)Lane.Stage, 16 + (int)request.Operation);
        Budgets.Begin(leg);
        Orders.Begin(leg);
        Lane.Submit(leg, in request, buffer, _node.NowMs);
        Drain();
    }

    /// <summary>Every request ends with an error, and so do those to come (U-21).</summary>
    public void Fail()
    {
        LaneOrder order = new() { Kind = LaneOrderKind.Fail, Status = DstStatus.IoError, ForEver = true };
        World.Coverage.Hit(Machine.ClientLane, (int)Lane.Stage, (int)order.Kind);
        Lane.OnOrder(in order, _node.NowMs);
        Drain();
    }

    /// <summary>Time passed.</summary>
    public void Tick()
    {
        Lane.Tick(_node.NowMs);
        Drain();
    }

    /// <inheritdoc/>
    public override void On(int kind, long a, long b)
    {
        switch (kind)
        {
            case TakeOrder:
                LaneOrder order = _orders.Dequeue();
                World.Coverage.Hit(Machine.ClientLane, (int)Lane.Stage, (int)order.Kind);
                Budgets.OnOrder(in order);
                Orders.OnOrder(in order);
                Lane.OnOrder(in order, _node.NowMs);
                break;
            case TakeReplies:
                _woken = false;
                World.Coverage.Hit(Machine.ClientLane, (int)Lane.Stage, 12);
                Lane.OnReplies(_node.NowMs);
                break;
            default:
                World.Coverage.Hit(Machine.ClientLane, (int)Lane.Stage, 13);
                Lane.OnWake(_node.NowMs);
                break;
        }

        Drain();
    }

    /// <inheritdoc/>
    public override string Describe(int kind, long a, long b) => kind switch
    {
        TakeOrder => $"{_node.Name} lane {_number} ({Lane.Stage}) gets order "
            + $"{(_orders.Count > 0 ? _orders.Peek().Kind : default)}",
        TakeReplies => $"{_node.Name} lane {_number} ({Lane.Stage}) takes replies",
        _ => $"{_node.Name} lane {_number} ({Lane.Stage}) is woken",
    };

    private void Drain()
    {
        EffectList<LaneEffect> effects = Lane.Effects;
        for (int i = 0; i < effects.Count; i++)
        {
            if (World.MaybeCrash() && _node.Target.CrashAtEffect())
            {
                return;
            }

            ref readonly LaneEffect effect = ref effects[i];
            switch (effect.Kind)
            {
                case LaneEffectKind.Send:
                case LaneEffectKind.SendLog:
                    Send(in effect);
                    break;
                case LaneEffectKind.CopyToLog:
                    CopyToLog(in effect);
                    break;
                case LaneEffectKind.Complete:
                    World.Note($"{_node.Name} lane {_number} leg {effect.Leg} ends: {effect.Status}");
                    Budgets.End(effect.Leg, effect.Status);
                    Orders.End(effect.Leg);
                    _node.Target.LegDone(_number, effect.Leg, _node.Index, effect.Status);
                    break;
                case LaneEffectKind.Tell:
                    _node.FromLane(_number, in effect.News);
                    break;
                default:
                    for (int lane = 0; lane < _node.Lanes.Length; lane++)
                    {
                        if ((effect.Lanes & (1UL << lane)) != 0)
                        {
                            _node.Lanes[lane].WakeForRoom();
                        }
                    }

                    break;
            }
        }

        effects.Clear();
    }

    private void Send(in LaneEffect effect)
    {
        bool log = effect.Kind == LaneEffectKind.SendLog;
        World.Note(
            $"{_node.Name} lane {_number} sends {effect.Header.Operation} slot {effect.Header.Slot} "
            + $"sequence {effect.Header.Sequence} epoch {effect.Header.Epoch} "
            + $"{effect.Header.OffsetBytes / 512}+{effect.Header.LengthBytes / 512}{(effect.Again ? " again" : "")}"
            + $"{(log ? " from the log" : "")} {effect.Header.Flags}");
        if (effect.Leg >= 0)
        {
            Budgets.Send(effect.Leg, effect.Header.Epoch);
            Orders.Send(effect.Leg);
        }

        bool again = effect.Again && effect.Header.Operation != Operation.Read;
        ClientNodePhase phase = _node.Node.Phase;
        bool begun = phase is ClientNodePhase.Live or ClientNodePhase.Leaving or ClientNodePhase.Ending;
        World.Check(
            log || effect.Leg < 0 || again || begun,
            $"{_node.Name} lane {_number} sends a new request or a read while the node is {phase} (S-12)");
        bool write = effect.Header.Operation == Operation.Write;
        int dataBytes = write ? (int)effect.Header.LengthBytes : 0;
        World.Mark(effect.Header.Sequence + (effect.Header.OffsetBytes << 8));
        int logLane = log ? effect.LogLane : -1;
        _node.WireOf(_number).Send(
            _number, in effect.Header, effect.Buffer, logLane, effect.ArenaOffset, dataBytes);
    }

    private void CopyToLog(in LaneEffect effect)
    {
        ReadOnlySpan<byte> data = _node.Target.Memory(effect.Buffer, effect.DataBytes);
        int at = (int)(effect.ArenaOffset % Arena.Length);
        int first = int.Min(data.Length, Arena.Length - at);
        data[..first].CopyTo(Arena.AsSpan(at));
        data[first..].CopyTo(Arena);
    }
}
