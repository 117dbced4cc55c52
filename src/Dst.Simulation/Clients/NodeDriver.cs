using Dst.Core.Requests;
using Dst.Core.Sessions.Client;
using Dst.Core.Wire;
using Dst.Simulation.Checks;
using Dst.Simulation.Engine;
using Dst.Simulation.Network;
using Dst.Simulation.Plans;
using Dst.Simulation.Servers;

namespace Dst.Simulation.Clients;

/// <summary>A node's session thread: its machine, its rings, its connections, its notes on disk.</summary>
internal sealed class NodeDriver : Actor
{
    private const int TakeNews = 0;
    private const int TakeRx = 1;
    private const int TakeTx = 2;
    private const int Connected = 3;
    private const int ConnectFailed = 4;
    private const int EpochNoted = 5;
    private const int ServerNoted = 6;
    private const int Tick = 7;
    private const int Operate = 8;

    /// <summary>What a server has sent is read no later than this.</summary>
    private const long LateUs = 130_000_000;

    private readonly Queue<LaneNews>[] _news;
    private readonly Queue<NodeOrder> _asked = new();
    private readonly Queue<RxMessage>[] _rx;
    private readonly Queue<EpochEnd>[] _tx;
    private readonly ByteRing[] _bodies;
    private readonly Wire[] _wires;
    private readonly Link?[] _connecting;
    private readonly byte[] _body = new byte[WireLimits.ControlFrameMaxBytes];
    private readonly Chance _chance;
    private ulong _lastGranted;
    private ulong _lastNoted;
    private bool _notesEpoch;
    private bool _notesServer;
    private ClientNodePhase _phase;
    private bool _lost;
    private bool _isAccepted;
    private ServerNote _pendingNote;
    private long _pendingSinceUs;

    /// <summary>A node of a new life of a target.</summary>
    public NodeDriver(World world, Target target, int index, ClientNodeOptions options, Writer writer)
        : base(world, target.Process)
    {
        Plan plan = world.Plan;
        Target = target;
        Index = index;
        Writer = writer;
        Name = $"{target.Name}/n{index}";
        _chance = new Chance(world.Seed, 5_000_000 + options.Incarnation);
        ClientNodeShared shared = new(
            plan.Queues, plan.Connections, options.Credits.Requests, plan.LogBytes, plan.LogEntries);
        Shared = shared;
        Node = new ClientNode(options, shared);
        Lanes = new LaneDriver[plan.Queues];
        _news = new Queue<LaneNews>[plan.Queues];
        for (int i = 0; i < Lanes.Length; i++)
        {
            Lanes[i] = new LaneDriver(world, this, i, plan.Depth, plan.LogBytes, shared, target.Host.Budget);
            _news[i] = new Queue<LaneNews>();
        }

        _wires = new Wire[plan.Connections];
        _rx = new Queue<RxMessage>[plan.Connections];
        _tx = new Queue<EpochEnd>[plan.Connections];
        _bodies = new ByteRing[plan.Connections];
        _connecting = new Link?[plan.Connections];
        for (int i = 0; i < _wires.Length; i++)
        {
            _wires[i] = new Wire(world, this, i);
            _rx[i] = new Queue<RxMessage>();
            _tx[i] = new Queue<EpochEnd>();
            _bodies[i] = new ByteRing();
        }

        _lost = options.Note.Lost;
    }

    /// <summary>Its target.</summary>
    public Target Target { get; }

    /// <summary>Place in the device, and number of the server.</summary>
    public int Index { get; }

    /// <summary>For people.</summary>
    public string Name { get; }

    /// <summary>Who its changes are of.</summary>
    public Writer Writer { get; }

    /// <summary>The machine.</summary>
    public ClientNode Node { get; }

    /// <summary>What its lanes share.</summary>
    public ClientNodeShared Shared { get; }

    /// <summary>Its lanes, by queue.</summary>
    public LaneDriver[] Lanes { get; }

    /// <summary>Milliseconds of the machine's clock.</summary>
    public long NowMs => Target.Host.NowMs;

    /// <summary>The server of its export.</summary>
    public SimServer Server => Target.Host.Servers[Index];

    /// <summary>Begins.</summary>
    public void Start()
    {
        Node.Start(NowMs);
        Drain();
        Post(1000 + World.Chance.Below(100_000), Tick);
    }

    /// <summary>A lane reports.</summary>
    public void FromLane(int lane, in LaneNews news)
    {
        _news[lane].Enqueue(news);
        Post(World.HopUs(), TakeNews, lane);
    }

    /// <summary>RX reports.</summary>
    public void FromRx(in RxMessage message, ReadOnlySpan<byte> body = default)
    {
        _bodies[message.Wire].Write(body);
        _rx[message.Wire].Enqueue(message);
        Post(World.HopUs(), TakeRx, message.Wire);
    }

    /// <summary>TX met an error, or (no reason) has let go.</summary>
    public void FromTx(int wire, EpochEnd reason)
    {
        _tx[wire].Enqueue(reason);
        Post(World.HopUs(), TakeTx, wire);
    }

    /// <summary>An operator's order, on the node's thread.</summary>
    public void Ask(NodeOrder order)
    {
        _asked.Enqueue(order);
        Post(World.HopUs(), Operate);
    }

    /// <summary>The connection of a lane.</summary>
    public Wire WireOf(int lane) => _wires[ShareOf(lane).Connection];

    /// <summary>The lane of a slot on a connection.</summary>
    public LaneDriver? LaneAt(int wire, int wireSlot, out int slot)
    {
        for (int lane = 0; lane < Lanes.Length; lane++)
        {
            LaneShare share = ShareOf(lane);
            slot = wireSlot - share.FirstSlot;
            if (share.Connection == wire && slot >= 0 && slot < share.Slots)
            {
                return Lanes[lane];
            }
        }

        slot = -1;
        return null;
    }

    /// <summary>True when RX or TX may still touch some of a buffer.</summary>
    public bool Holds(nint buffer, int bytes)
    {
        foreach (Wire wire in _wires)
        {
            if (wire.Holds(buffer, bytes))
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>The process is gone.</summary>
    public void Kill(bool power)
    {
        Writer.Replays = false;
        if (_notesEpoch && Target.Host.HasFailedWriteEffect())
        {
            Target.Host.Epochs[Index] = _lastGranted;
        }

        if (_notesServer && Target.Host.HasFailedWriteEffect())
        {
            LeaveNote();
        }

        for (int i = 0; i < _wires.Length; i++)
        {
            _wires[i].Kill(power);
            _connecting[i]?.Close(byClient: true);
            _connecting[i] = null;
        }
    }

    /// <inheritdoc/>
    public override void On(int kind, long a, long b)
    {
        switch (kind)
        {
            case TakeNews:
                LaneNews news = _news[a].Dequeue();
                Cover(16 + (int)news.Kind);
                Node.OnLane((int)a, in news, NowMs);
                break;
            case TakeRx:
                OnRx((int)a);
                break;
            case TakeTx:
                OnTx((int)a, _tx[a].Dequeue());
                break;
            case Connected:
                OnConnected((int)a);
                break;
            case ConnectFailed:
                if (_connecting[a] is not null || b == 0)
                {
                    Cover(27);
                    _connecting[a] = null;
                    Node.OnConnectFailed((int)a, NowMs);
                }

                break;
            case EpochNoted:
                Cover(b == 1 ? 28 : 29);
                OnEpochNoted((ulong)a, b == 1);
                break;
            case ServerNoted:
                Cover(b == 1 ? 30 : 31);
                OnServerNoted(b == 1);
                break;
            case Operate:
                OnOperator(_asked.Dequeue());
                break;
            default:
                OnTick();
                break;
        }

        Drain();
    }

    /// <inheritdoc/>
    public override string Describe(int kind, long a, long b) => kind switch
    {
        TakeNews => $"{Name} ({Node.Phase}) hears of lane {a}: {(_news[a].Count > 0 ? _news[a].Peek().Kind : default)}",
        TakeRx => $"{Name} ({Node.Phase}) hears of RX {a}: {DescribeRx((int)a)}",
        TakeTx => $"{Name} ({Node.Phase}) hears of TX {a}: {(_tx[a].TryPeek(out EpochEnd end) ? end : default)}",
        Connected => $"{Name} ({Node.Phase}) connection {a} stands",
        ConnectFailed => $"{Name} ({Node.Phase}) connection {a} cannot be made",
        EpochNoted => $"{Name} ({Node.Phase}) epoch {a} is {(b == 1 ? "noted" : "not noted")}",
        ServerNoted => $"{Name} ({Node.Phase}) the server is {(b == 1 ? "noted" : "not noted")}",
        Operate => $"{Name} ({Node.Phase}) operator: {(_asked.TryPeek(out NodeOrder order) ? order : default)}",
        _ => $"{Name} ({Node.Phase}) tick",
    };

    private LaneShare ShareOf(int lane)
    {
        int connections = int.Min(Node.Export.Credits.Connections, World.Plan.Connections);
        int connection = lane % connections;
        int lanes = (Lanes.Length - connection + connections - 1) / connections;
        int slots = int.Min(Node.Export.Credits.Requests, Shared.SlotsPerConnection) / lanes;
        return new LaneShare(connection, lane / connections * slots, slots, 0);
    }

    private void Cover(int happened) => World.Coverage.Hit(Machine.ClientNode, (int)Node.Phase, happened);

    private string DescribeRx(int wire)
    {
        if (!_rx[wire].TryPeek(out RxMessage message))
        {
            return "nothing";
        }

        if (message.Kind != RxKind.Frame)
        {
            return $"{message.Kind} {message.Reason}";
        }

        string code = message.Header.Kind == FrameKind.Error ? $" {(RefusalCode)message.Header.Status}" : "";
        return $"{message.Header.Kind} epoch {message.Header.Epoch}{code}";
    }

    private void OnRx(int wire)
    {
        RxMessage message = _rx[wire].Dequeue();
        Span<byte> body = _body.AsSpan(0, message.Kind == RxKind.Frame ? (int)message.Header.BodyBytes : 0);
        _bodies[wire].Read(body);
        switch (message.Kind)
        {
            case RxKind.Frame:
                Cover((int)message.Header.Kind);
                if (message.Header.Kind == FrameKind.Error)
                {
                    Target.Host.OnRefused(this, (RefusalCode)message.Header.Status, _wires[wire].IsDamaged);
                }

                Node.OnFrame(wire, in message.Header, body, NowMs);
                break;
            case RxKind.Lost:
                Cover(25);
                if (message.Reason == EpochEnd.Protocol)
                {
                    Target.Host.OnProtocolError($"{Name}: RX {wire} met what may not be", _wires[wire].IsDamaged);
                }

                Node.OnLost(wire, message.Reason, NowMs);
                World.Check(
                    Node.Phase != ClientNodePhase.Live,
                    $"{Name}: connection {wire} is lost and the epoch goes on (S-08)");
                break;
            default:
                Cover(23);
                Node.OnRxEnded(wire, NowMs);
                break;
        }
    }

    private void OnTx(int wire, EpochEnd reason)
    {
        Cover(reason == EpochEnd.None ? 24 : 25);
        if (reason == EpochEnd.None)
        {
            Node.OnTxEnded(wire, NowMs);
        }
        else
        {
            Node.OnLost(wire, reason, NowMs);
        }
    }

    private void OnConnected(int wire)
    {
        if (_connecting[wire] is not { } link)
        {
            return;
        }

        Cover(26);
        _connecting[wire] = null;
        if (link.Down.IsBroken)
        {
            Node.OnConnectFailed(wire, NowMs);
            return;
        }

        _wires[wire].Start(link);
        Node.OnConnected(wire, _chance.Next128(), NowMs);
    }

    private void OnEpochNoted(ulong epoch, bool durable)
    {
        _notesEpoch = false;
        World.Check(
            epoch > Target.Host.Epochs[Index],
            $"{Name}: epoch {epoch} noted after {Target.Host.Epochs[Index]}");
        _lastNoted = durable ? epoch : _lastNoted;
        if (durable || Target.Host.HasFailedWriteEffect())
        {
            Target.Host.Epochs[Index] = epoch;
        }

        Node.OnEpochNoted(durable, NowMs);
    }

    private void OnServerNoted(bool written)
    {
        _notesServer = false;
        if (written || Target.Host.HasFailedWriteEffect())
        {
            LeaveNote();
        }

        Node.OnServerNoted(written, NowMs);
    }

    private void LeaveNote()
    {
        Target.Host.Notes[Index] = _pendingNote;
        Target.Host.NoteSinceUs[Index] = _pendingSinceUs;
    }

    private void OnOperator(NodeOrder order)
    {
        Cover(32 + (int)order);
        Target.Host.OnOrder(order);
        foreach (LaneDriver lane in Lanes)
        {
            lane.Orders.OnAsked(order, Target.Host.Budget);
        }

        switch (order)
        {
            case NodeOrder.Suspend: Node.Suspend(); break;
            case NodeOrder.Resume: Node.Resume(); break;
            case NodeOrder.Fail: Node.FailPending(DstStatus.Offline); break;
            case NodeOrder.Budget: Node.SetBudget(Target.Host.Budget); break;
            case NodeOrder.Leave: Node.Leave(NowMs); break;
            case NodeOrder.Stop: Node.Stop(NowMs); break;
            default:
                if (Node.LostUnflushedWrites)
                {
                    _isAccepted = true;
                    Server.Disk.History.Accept(Target.Kernel.Id);
                }

                Node.ClearError(NowMs);
                break;
        }
    }

    private void OnTick()
    {
        Cover(0);
        for (int i = 0; i < _wires.Length; i++)
        {
            Node.OnTraffic(i, _wires[i].Received, _wires[i].Sent, NowMs);
        }

        Node.Tick(NowMs);
        bool sends = Node.Phase is ClientNodePhase.Resending or ClientNodePhase.Live;
        foreach (LaneDriver lane in Lanes)
        {
            lane.Budgets.Look(sends ? Node.Epoch : 0, Process!.PausedUntilUs);
            lane.Orders.Look(Process!.PausedUntilUs);
        }

        if (Node.Phase != ClientNodePhase.Closed)
        {
            Post(100_000, Tick);
        }
    }

    private void Drain()
    {
        EffectList<NodeEffect> effects = Node.Effects;
        for (int i = 0; i < effects.Count; i++)
        {
            if (World.MaybeCrash() && Target.CrashAtEffect())
            {
                return;
            }

            Do(in effects[i]);
        }

        effects.Clear();
        Watch();
    }

    private void Do(in NodeEffect effect)
    {
        int wire = effect.Connection;
        switch (effect.Kind)
        {
            case NodeEffectKind.Connect:
                Connect(wire);
                break;
            case NodeEffectKind.SendFrame:
                _wires[wire].Send(Node.FrameOf(in effect));
                break;
            case NodeEffectKind.Serve:
                World.Check(
                    Target.Host.IsReader || _lastNoted >= effect.Epoch,
                    $"{Name} sends requests of epoch {effect.Epoch} before it is noted durably");
                _wires[wire].Epoch = effect.Epoch;
                _wires[wire].Checksum = effect.Checksum;
                _wires[wire].Serves = true;
                break;
            case NodeEffectKind.Shut when _connecting[wire] is { } link:
                link.Close(byClient: true);
                _connecting[wire] = null;
                Post(World.HopUs(), ConnectFailed, wire);
                break;
            case NodeEffectKind.Shut:
                if (_wires[wire].RxRuns || _wires[wire].TxRuns)
                {
                    _wires[wire].Shut();
                }

                break;
            case NodeEffectKind.Free:
                _wires[wire].Free();
                break;
            case NodeEffectKind.Order:
                Lanes[effect.Lane].Order(in effect.Order);
                break;
            case NodeEffectKind.NoteEpoch:
                _lastGranted = effect.Epoch;
                _notesEpoch = true;
                Post(Target.Host.StateDelayUs(), EpochNoted, (long)effect.Epoch, Target.Host.StateWorks() ? 1 : 0);
                break;
            default:
                _pendingNote = effect.Note;
                _pendingSinceUs = Server.LastGrant.Epoch == Node.Epoch ? Server.LastGrant.Us : 0;
                _notesServer = true;
                Post(Target.Host.StateDelayUs(), ServerNoted, 0, Target.Host.StateWorks() ? 1 : 0);
                break;
        }
    }

    private void Connect(int wire)
    {
        Link? link = Server.Accept(Target.Host, $"{Name}.{wire}", out bool silent);
        long us = 1 + World.Chance.Wait(2 * World.Plan.LatencyUs);
        if (link is null)
        {
            // Without an answer nothing happens before the machine gives up and shuts it.
            _connecting[wire] = silent ? new Link(World, "nowhere") : null;
            if (!silent)
            {
                Post(us, ConnectFailed, wire);
            }

            return;
        }

        _connecting[wire] = link;
        Post(us, Connected, wire);
    }

    /// <summary>What the status of the node says, as the checks need it.</summary>
    private void Watch()
    {
        if (Node.LostUnflushedWrites != _lost)
        {
            _lost = Node.LostUnflushedWrites;
            Target.Host.OnLostChanged();
            World.Note($"{Name} unflushed writes are {(_lost ? "lost" : "no longer lost")}");
            if (_lost)
            {
                LossTruth.Check(this);
                Server.Disk.History.OnLost(Writer);
            }
            else
            {
                World.Check(_isAccepted, $"{Name} forgets a loss that no operator has accepted (S-23)");
                _isAccepted = false;

                // What was lost until the error was cleared is accepted with it.
                Server.Disk.History.Accept(Target.Kernel.Id);
                Writer.Replays = World.Plan.Cache == CacheMode.WriteBack;
            }
        }

        if (Node.Phase == _phase)
        {
            return;
        }

        World.Note(
            $"{Name} is {Node.Phase}{(Node.Phase == ClientNodePhase.Ending ? $", {Node.LastEnd}" : "")}, "
            + $"epoch {Node.Epoch}");
        _phase = Node.Phase;
        bool wrong = Node.LastEnd == EpochEnd.Unsuitable
            && Node.LastFault is not (ExportFault.None or ExportFault.Credits)
            && Server.ChangedUs < World.NowUs - LateUs;
        if (_phase == ClientNodePhase.Ending && (wrong || Node.LastEnd == EpochEnd.Protocol))
        {
            bool isDamaged = Array.Exists(_wires, static wire => wire.IsDamaged);
            Target.Host.OnProtocolError($"{Name} ends its session: {Node.LastEnd} {Node.LastFault}", isDamaged);
        }

        if (_phase == ClientNodePhase.Live)
        {
            Target.Host.OnLive(this);
        }
        else if (_phase == ClientNodePhase.Failed)
        {
            Writer.Replays = false;
            Target.Host.OnFailed(this);
        }
        else if (_phase == ClientNodePhase.Closed)
        {
            Target.OnClosed();
        }
    }
}
