using Dst.Core.Sessions;
using Dst.Core.Wire;
using Dst.Simulation.Checks;
using Dst.Simulation.Disks;
using Dst.Simulation.Engine;
using Dst.Simulation.Network;
using Dst.Simulation.Plans;

namespace Dst.Simulation.Servers;

/// <summary>
/// One life of a server: the session thread with the export's machine, its connections until they are live, the keeper
/// of its records, and the gate that lets one flush through at a time.
/// </summary>
internal sealed partial class SessionThread : Actor
{
    private const int TryLock = 0;
    private const int Read = 1;
    private const int TakeReport = 2;
    private const int Persisted = 3;
    private const int Tick = 4;
    private const int Marked = 5;
    private const int Unmarked = 6;
    private const int Operate = 7;

    private readonly SimServer _machine;
    private readonly Dictionary<int, Peer> _peers = [];
    private readonly List<Peer> _list = [];
    private readonly Queue<EngineReport> _reports = new();
    private readonly Queue<(SimEngine Engine, DiskOp Op)> _failed = new();
    private readonly Queue<(SimEngine Engine, DiskOp Op)> _clearing = new();
    private readonly Queue<DiskOp> _flushes = new();
    private readonly HandshakeRoom _room = new();
    private readonly byte[] _frame = new byte[WireLimits.ControlFrameMaxBytes];
    private readonly CreditBudget _budget;
    private SimEngine[] _engines = [];
    private SimEngine? _armed;
    private HoldRecord _known;
    private HoldStory _story = HoldStory.New;
    private HoldRecord _persisting;
    private HoldStory _nextStory = HoldStory.New;
    private AttachMessage _attempt;
    private AttachMessage _attemptBefore;
    private int _attemptPeer;
    private UInt128 _token;
    private bool _isPersisting;
    private ulong _bootId;
    private int _peerIds;
    private bool _flushing;
    private int _releases;

    /// <summary>A life that has not begun.</summary>
    public SessionThread(World world, SimServer machine)
        : base(world, new SimProcess(machine.Name))
    {
        _machine = machine;
        Name = machine.Name;
        _bootId = machine.Chance.Next() | 1;
        Identity = new ServerIdentity(_bootId, DataChecksum.KnownKinds, new WireText("dst-sim"));
        _budget = new CreditBudget(world.Plan.CreditBytes);
    }

    /// <summary>For people.</summary>
    public string Name { get; }

    /// <summary>What it says of itself.</summary>
    public ServerIdentity Identity { get; }

    /// <summary>Its process.</summary>
    public new SimProcess Process => base.Process!;

    /// <summary>It has the lock of its disk and accepts connections.</summary>
    public bool IsListening { get; private set; }

    /// <summary>The export's machine, once it listens.</summary>
    public ExportSession Session { get; private set; } = null!;

    /// <summary>The disk.</summary>
    public SimDisk Disk => _machine.Disk;

    /// <summary>What it has under the export's name.</summary>
    public ExportChange Change { get; private set; }

    /// <summary>A flush failed and nothing has made it good.</summary>
    public bool IsPoisoned { get; private set; }

    /// <summary>Milliseconds of the machine's clock.</summary>
    public long NowMs => _machine.ClockMs + (World.NowUs / 1000);

    /// <summary>Begins: first the lock (S-09).</summary>
    public void Begin() => Post(0, TryLock);

    /// <summary>A client connects.</summary>
    public void Accept(Link link, string name)
    {
        Peer peer = new(this, ++_peerIds, name, link, _machine.Chance.Next128(), NowMs);
        _peers.Add(peer.Id, peer);
        _list.Add(peer);
        int evicted = _room.Enter(peer.Id);
        if (Find(evicted) is { } oldest)
        {
            Close(oldest, RefusalCode.TooMany);
            Session.ConnectionLost(evicted, NowMs);
            Drain();
        }
    }

    /// <summary>A connection by its number; null when it is gone.</summary>
    public Peer? Find(int id) => _peers.GetValueOrDefault(id);

    /// <summary>A connection is closed.</summary>
    public void Forget(Peer peer)
    {
        _peers.Remove(peer.Id);
        _list.Remove(peer);
    }

    /// <summary>Bytes of a connection can be read.</summary>
    public void PostRead(Peer peer)
    {
        if (!Process.Alive)
        {
            return;
        }

        if (peer.Home == PeerHome.Engine)
        {
            peer.Engine!.PostRead(peer);
        }
        else
        {
            Post(World.HopUs(), Read, peer.Id);
        }
    }

    /// <summary>
    /// Set by a scenario: what happens while an engine is stopped between its look at the epoch and the disk.
    /// </summary>
    public Action<SimEngine>? Stopped { get; set; }

    /// <summary>Set by a scenario: what happens while an engine is stopped between a header and its body.</summary>
    public Action<SimEngine>? StoppedBeforeBody { get; set; }

    /// <summary>An engine has taken a header and goes on with the body: it may be stopped there (S-06).</summary>
    public void BeforeBody(SimEngine engine)
    {
        if (StoppedBeforeBody is { } stopped)
        {
            stopped(engine);
        }
        else
        {
            World.Preempt(engine);
        }
    }

    /// <summary>An engine calls its lane now: it may be stopped in there (S-06).</summary>
    public void Arm(SimEngine? engine) => _armed = engine;

    /// <summary>An engine reports.</summary>
    public void FromEngine(in EngineReport report)
    {
        _reports.Enqueue(report);
        Post(World.HopUs(), TakeReport);
    }

    /// <summary>A flush wants to the disk.</summary>
    public void QueueFlush(DiskOp op)
    {
        _flushes.Enqueue(op);
        StartFlush();
    }

    /// <summary>The flush that the disk had is over.</summary>
    public void FlushIsOver()
    {
        _flushing = false;
        if (_flushes.TryPeek(out DiskOp? next))
        {
            // Who waits is woken; another may take the right to flush before.
            ((SimEngine)next.Owner!).PostFlushTurn();
        }
    }

    /// <summary>A flush failed: it is answered once the mark is durable.</summary>
    public void FlushHasFailed(SimEngine engine, DiskOp op)
    {
        IsPoisoned = true;
        _machine.PoisonedUs = World.NowUs;
        _machine.OnLoss();
        _failed.Enqueue((engine, op));
        Post(StateDelayUs(), Marked);
    }

    /// <summary>A replay has made the loss good: the mark goes, durably.</summary>
    public void ClearPoison(SimEngine engine, DiskOp op)
    {
        _clearing.Enqueue((engine, op));
        Post(StateDelayUs(), Unmarked, _machine.StateWorks() ? 1 : 0);
    }

    /// <summary>The disk behind lost writes (S-23).</summary>
    public void ChangeBootId()
    {
        _bootId = _machine.Chance.Next() | 1;
        _machine.OnLoss();
        Session.ChangeBootId(_bootId, NowMs);
        Drain();
    }

    /// <summary>An operator's order.</summary>
    public void Ask(ServerOrder order) => Post(World.HopUs(), Operate, (int)order);

    /// <summary>Kills the process.</summary>
    public void Crash(bool power) => _machine.Crash(power);

    /// <summary>The process is gone.</summary>
    public void Kill(bool power)
    {
        Process.Alive = false;
        LeaveWrites();

        foreach (Peer peer in _list)
        {
            if (peer.Home == PeerHome.Gone)
            {
                continue;
            }

            if (power)
            {
                peer.Link.LosePower(ofClient: false);
            }
            else
            {
                peer.Link.Close(byClient: false);
            }
        }
    }

    /// <summary>Connections of its peers.</summary>
    public IEnumerable<Link> Links() => _list.Select(peer => peer.Link);

    /// <summary>Operators' releases that were not answered.</summary>
    public int OpenReleases => _releases;

    /// <summary>Credits at a quiet point: what is given out is what lanes have (invariant 7).</summary>
    public long UsedCreditBytes => _budget.UsedBytes;

    /// <summary>Connections that it knows.</summary>
    public int PeerCount => _list.Count;

    /// <inheritdoc/>
    public override void On(int kind, long a, long b)
    {
        switch (kind)
        {
            case TryLock:
                TakeLock();
                return;
            case Read when Find((int)a) is { } peer:
                peer.ReadPosted = false;
                if (peer.Home == PeerHome.Engine)
                {
                    peer.OnReadable();
                }
                else
                {
                    ReadAll(peer);
                }

                break;
            case TakeReport:
                OnReport(_reports.Dequeue());
                break;
            case Persisted:
                OnPersisted(a == 1);
                break;
            case Tick:
                OnTick();
                break;
            case Marked:
                OnMarked();
                break;
            case Unmarked:
                OnUnmarked(a == 1);
                break;
            case Operate:
                OnOperator((ServerOrder)a);
                break;
            default:
                break;
        }

        if (Process.Alive)
        {
            Drain();
        }
    }

    /// <inheritdoc/>
    public override string Describe(int kind, long a, long b) => kind switch
    {
        TryLock => $"{Name} {(Disk.IsLockedFor(Process) ? "waits for" : "has")} the lock of its disk",
        Read => $"{Name} reads of {Find((int)a)?.Name} ({Find((int)a)?.Machine.State})",
        TakeReport => $"{Name} hears of an engine: {DescribeReport()}",
        Persisted => $"{Name} its record is {(a == 1 ? "durable" : "not written")}: {Describe(in _persisting)}",
        Marked => $"{Name} marks its export as poisoned",
        Unmarked => $"{Name} {(a == 1 ? "takes" : "cannot take")} the mark away",
        Operate => $"{Name} operator: {(ServerOrder)a}",
        _ => $"{Name} tick, {(IsListening ? Session.InFlightCount : 0)} with the disk",
    };

    private string DescribeReport() =>
        _reports.TryPeek(out EngineReport report) ? $"{report.Kind} {Find(report.Peer)?.Name} {report.Code}" : "";

    private static string Describe(in HoldRecord record) =>
        $"granted {record.Granted} used {record.Used} held {record.Held}";

    private void TakeLock()
    {
        if (Disk.IsLockedFor(Process))
        {
            Post(50_000, TryLock);
            return;
        }

        IsListening = true;
        _machine.OnLoss();
        Change = _machine.Change;
        (_known, _story) = _machine.Find();
        IsPoisoned = _machine.PoisonMark;
        Plan plan = World.Plan;
        uint request = (uint)(plan.RequestBlocks * Plan.BlockBytes);
        ExportOptions options = new()
        {
            Name = _machine.ExportName,
            Identity = _machine.Uuid,
            Geometry = new ExportGeometry(
                (ulong)plan.NodeBlocks * Plan.BlockBytes,
                (ulong)plan.NodeBlocks * Plan.BlockBytes,
                Plan.BlockBytes,
                request,
                Plan.BlockBytes,
                ExportCapabilities.Discard | ExportCapabilities.WriteZeroes),
            Cache = plan.Cache,
            BootId = _bootId,
            ConnectionsMax = 4,
            SlotsMax = 32,
            ReadersMax = 4,
        };
        Session = new ExportSession(ExportChanges.Of(options, Change), in _known, _budget, _machine.PoisonMark);
        Session.Gate.LookedHook = OnLooked;
        _engines = new SimEngine[plan.Engines];
        for (int i = 0; i < _engines.Length; i++)
        {
            _engines[i] = new SimEngine(World, this, i);
        }

        Post(World.Chance.Below(200_000), Tick);
    }

    private void OnLooked()
    {
        if (_armed is not { } engine)
        {
            return;
        }

        _armed = null;
        if (Stopped is { } stopped)
        {
            stopped(engine);
        }
        else
        {
            World.Preempt(engine);
        }
    }

    private void ReadAll(Peer peer)
    {
        ByteRing inbox = peer.Link.Up.Inbox;
        if (inbox.Count > 0)
        {
            peer.Machine.OnBytes(NowMs);
        }

        while (Process.Alive && peer is { Home: PeerHome.Session, Closing: false } && ReadFrame(peer, inbox))
        {
        }

        bool over = inbox.Count == 0 && (peer.Link.Up.IsBroken || peer.Link.Up.IsEnded);
        if (Process.Alive && over && peer is { Home: PeerHome.Session })
        {
            Cover(peer, 17);
            Close(peer, RefusalCode.None);
            peer.Close();
            Session.ConnectionLost(peer.Id, NowMs);
        }
    }

    private bool ReadFrame(Peer peer, ByteRing inbox)
    {
        if (!peer.HasHeader)
        {
            if (inbox.Count < WireLimits.HeaderBytes)
            {
                return false;
            }

            inbox.Read(_frame.AsSpan(0, WireLimits.HeaderBytes));
            WireError error = FrameCodec.TryRead(_frame, out peer.Header);
            ServerState state = peer.Machine.State;
            ConnectionVerdict early = error == WireError.None
                ? peer.Machine.OnHeader(in peer.Header)
                : peer.Machine.OnMalformed(error);
            if (early.Action == ConnectionAction.Close)
            {
                World.Coverage.Hit(Machine.ServerConnection, (int)state, 18);
                Follow(peer, in early);
                return false;
            }

            peer.HasHeader = true;
        }

        int length = (int)peer.Header.BodyBytes;
        if (inbox.Count < length)
        {
            return false;
        }

        Span<byte> body = stackalloc byte[WireLimits.ControlBodyMaxBytes];
        inbox.Read(body[..length]);
        peer.HasHeader = false;
        Cover(peer, (int)peer.Header.Kind);
        ConnectionVerdict verdict = peer.Machine.OnFrame(in peer.Header, body[..length], NowMs);
        Follow(peer, in verdict);
        Drain();
        return true;
    }

    private void Cover(Peer peer, int happened) =>
        World.Coverage.Hit(Machine.ServerConnection, (int)peer.Machine.State, happened);

    private void CoverSession(int happened)
    {
        int state = 0;
        if (Session.Epoch != 0)
        {
            state = Session.Gate.HasBegun(Session.Epoch) ? 2 : 1;
        }
        else if (Session.IsDraining)
        {
            state = 3;
        }

        World.Coverage.Hit(Machine.ExportSession, state, happened);
    }

    private void Follow(Peer peer, in ConnectionVerdict verdict)
    {
        switch (verdict.Action)
        {
            case ConnectionAction.SendHello:
                peer.Send(_frame.AsSpan(0, peer.Machine.WriteHello(_frame)));
                break;
            case ConnectionAction.SendPong:
                SendPlain(peer, FrameKind.Pong, 0, verdict.Sequence);
                break;
            case ConnectionAction.Attach:
                CoverSession(0);
                World.Note(
                    $"{Name} ATTACH of {peer.Name} replaces {peer.Machine.AttachRequest.Replaces}"
                    + $"{(peer.Machine.AttachRequest.TakeOver ? " takes over" : "")}; {Describe(Session.Record)}");
                Attach(peer);
                break;
            case ConnectionAction.Join:
                CoverSession(1);
                Session.Join(peer.Id, peer.Machine.Epoch, in peer.Machine.JoinRequest);
                break;
            case ConnectionAction.Begin:
                CoverSession(2);
                Session.Begin(peer.Id, NowMs);
                break;
            case ConnectionAction.Goodbye:
                CoverSession(3);
                _machine.MayDropHold = true;
                Session.Goodbye(peer.Id, NowMs);
                break;
            case ConnectionAction.Close:
                Close(peer, verdict.Code);
                Session.ConnectionLost(peer.Id, NowMs);
                break;
            default:
                break;
        }
    }

    private void Close(Peer peer, RefusalCode code)
    {
        _room.Leave(peer.Id);
        peer.Machine.OnClosed();
        if (peer.Closing || peer.Home == PeerHome.Gone)
        {
            return;
        }

        if (code is RefusalCode.Protocol or RefusalCode.Version or RefusalCode.Feature)
        {
            _machine.ProtocolCheck?.Invoke($"{Name} says {code} to {peer.Name}", peer.Link.IsDamaged);
        }

        if (code != RefusalCode.None)
        {
            peer.Send(_frame.AsSpan(0, Session.WriteRefusal(code, _frame)));
        }

        peer.CloseSoon();
    }

    private void OnReport(EngineReport report)
    {
        if (report.Code == RefusalCode.Protocol)
        {
            _machine.ProtocolCheck?.Invoke($"{Name} says Protocol to connection {report.Peer}", report.IsDamaged);
        }

        switch (report.Kind)
        {
            case EngineReportKind.Ended:
                CoverSession(4);
                Find(report.Peer)?.Machine.OnClosed();
                Session.ConnectionLost(report.Peer, NowMs);
                break;
            case EngineReportKind.Drained:
                CoverSession(5);
                Session.LaneDrained(NowMs);
                break;
            default:
                CoverSession(3);
                if (Find(report.Peer) is { Machine.State: ServerState.Live } peer)
                {
                    _machine.MayDropHold = true;
                    peer.Machine.OnLeaving(NowMs);
                    Session.Goodbye(report.Peer, NowMs);
                }

                break;
        }
    }

    private void OnTick()
    {
        for (int i = _list.Count - 1; i >= 0; i--)
        {
            Peer peer = _list[int.Min(i, _list.Count - 1)];
            if (peer.Home == PeerHome.Session && !peer.Closing)
            {
                ConnectionVerdict verdict = peer.Machine.Tick(NowMs);
                Follow(peer, in verdict);
            }
            else if (peer.Closing && NowMs >= peer.ClosesAtMs)
            {
                peer.Close();
            }

            if (_list.Count == 0)
            {
                break;
            }
        }

        CoverSession(11);
        Session.Tick(NowMs);
        Post(200_000, Tick);
    }
}

/// <summary>What an operator of a server does.</summary>
internal enum ServerOrder
{
    /// <summary>release-export.</summary>
    Release,

    /// <summary>The server goes away on purpose.</summary>
    Stop,

    /// <summary>clear-error: the loss is accepted.</summary>
    ClearError,
}
