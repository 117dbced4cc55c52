using Dst.Core.Sessions;
using Dst.Core.Wire;
using Dst.Simulation.Clients;
using Dst.Simulation.Disks;
using Dst.Simulation.Engine;
using Dst.Simulation.Network;

namespace Dst.Simulation.Servers;

/// <summary>
/// A server's machine with one export: what is on its disks, and the lives of its process. The session thread of a life
/// is <see cref="SessionThread"/>.
/// </summary>
internal sealed class SimServer : Actor
{
    private const int Start = 0;
    private const int PowerBack = 1;
    private const int Learn = 2;
    private const int PutBack = 3;

    private readonly List<Link> _orphans = [];
    private SessionThread? _session;
    private bool _powerOff;
    private long _silentUntilUs;
    private long _refusesUntilUs;
    private long _stateFailsUntilUs;
    private HoldRecord _oldRecord;
    private HoldStory _oldStory = HoldStory.New;
    private HoldRecord _foundRecord;
    private HoldStory _foundStory = HoldStory.New;
    private int _changes;
    private long _changedUs = -1;

    /// <summary>A machine whose server does not run.</summary>
    public SimServer(World world, int index)
        : base(world, null)
    {
        Index = index;
        Name = $"s{index}";
        ExportName = new WireText($"disk{index}");
        Disk = new SimDisk(world, index, world.Plan.NodeBlocks);
        Chance = new Chance(world.Seed, 30_000 + (ulong)index);
        Uuid = Chance.Next128();
        ClockMs = 1000 + Chance.Below(1_000_000);
    }

    /// <summary>Number.</summary>
    public int Index { get; }

    /// <summary>For people.</summary>
    public string Name { get; }

    /// <summary>Name of the export.</summary>
    public WireText ExportName { get; }

    /// <summary>Identity of the export.</summary>
    public UInt128 Uuid { get; }

    /// <summary>Its disk.</summary>
    public SimDisk Disk { get; }

    /// <summary>Its chance.</summary>
    public Chance Chance { get; }

    /// <summary>On its disk: the hold.</summary>
    public HoldRecord Record;

    /// <summary>How the hold on its disk came about.</summary>
    public HoldStory Story { get; set; } = HoldStory.New;

    /// <summary>On its disk: a flush failed.</summary>
    public bool PoisonMark
    {
        get;
        set
        {
            field = value;
            PoisonedUs = World.NowUs;
        }
    }

    /// <summary>When that changed, or a flush failed, last; -1 for never.</summary>
    public long PoisonedUs { get; set; } = -1;

    /// <summary>Highest epoch that any life sent in ATTACH_OK.</summary>
    public ulong GrantedMost { get; set; }

    /// <summary>Highest epoch that any life sent in BEGIN_OK.</summary>
    public ulong BegunMost { get; set; }

    /// <summary>An operator ended the hold, or a client gave it back: it may go.</summary>
    public bool MayDropHold { get; set; }

    /// <summary>What stands under the export's name; a process goes by what it was when it started.</summary>
    public ExportChange Change { get; private set; }

    /// <summary>Its server does not look at what an ATTACH remembers: only the client can tell.</summary>
    public bool IsCareless { get; private set; }

    /// <summary>When a process last ran that had another export; -1 for never.</summary>
    public long ChangedUs => Live is { Change: not ExportChange.None } ? World.NowUs : _changedUs;

    /// <summary>Begin of its monotonic clock.</summary>
    public long ClockMs { get; }

    /// <summary>A peer broke the protocol.</summary>
    public Action<string, bool>? ProtocolCheck { get; set; }

    /// <summary>When a bit of any of its connections turned round last; -1 for never.</summary>
    public long FlippedUs { get; private set; } = -1;

    /// <summary>When something last took unflushed writes, or may have; -1 for never.</summary>
    public long LossUs { get; private set; } = -1;

    /// <summary>The newest grant to a writer, and when it was given.</summary>
    public (ulong Epoch, long Us) LastGrant { get; private set; }

    /// <summary>The process that runs, if one does.</summary>
    public new SimProcess? Process => _session?.Process;

    /// <summary>The session thread that runs, if one does.</summary>
    public SessionThread? Live => _session is { Process.Alive: true } ? _session : null;

    /// <summary>The new connection, or null when it is refused or nobody answers.</summary>
    public Link? Accept(Host host, string name, out bool silent)
    {
        silent = _powerOff || World.NowUs < _silentUntilUs;
        if (silent || World.NowUs < _refusesUntilUs || Live is not { IsListening: true } live
            || !MayMeet(host, live.Change))
        {
            return null;
        }

        Link link = new(World, name) { Flipped = () => FlippedUs = World.NowUs };
        Faults?.Add(link);
        live.Accept(link, name);
        return link;
    }

    /// <summary>Where links are noted for the faults of the network.</summary>
    public List<Link>? Faults { get; set; }

    /// <summary>Unflushed writes are lost, or nobody can tell that they are not (S-20).</summary>
    public void OnLoss() => LossUs = World.NowUs;

    /// <summary>An epoch is granted; it follows what was lost before.</summary>
    public void OnGrant(ulong epoch)
    {
        GrantedMost = ulong.Max(GrantedMost, epoch);
        LastGrant = (epoch, World.NowUs);
    }

    /// <summary>Starts the process.</summary>
    public void Boot() => Post(0, Start);

    /// <summary>
    /// The server goes away; when it is back, something else has the export's name, until somebody puts it right.
    /// </summary>
    /// <param name="change">What; a copy only when an older record is there, a new cache mode only where it is one.
    /// </param>
    /// <param name="careless">See <see cref="IsCareless"/>.</param>
    /// <param name="us">Until it is put right.</param>
    public void ChangeExport(ExportChange change, bool careless, long us)
    {
        bool isKnown = change switch
        {
            ExportChange.Copied => _oldRecord.Used > 0 && _oldRecord.Used < Record.Used,
            ExportChange.WriteBack => World.Plan.Cache == CacheMode.WriteThrough,
            _ => true,
        };
        if (Change == ExportChange.None && isKnown)
        {
            Change = change;
            IsCareless = careless;
            World.Note($"{Name} comes back with another export: {change}");
            Crash(power: false);
            Post(us, PutBack, ++_changes);
        }
    }

    /// <summary>The export that the clients know is there again.</summary>
    public void RestoreExport()
    {
        if (Change != ExportChange.None)
        {
            Change = ExportChange.None;
            IsCareless = false;
            Crash(power: false);
        }
    }

    /// <summary>What a new process finds about the hold.</summary>
    public (HoldRecord Record, HoldStory Story) Find()
    {
        if (Change == ExportChange.Copied)
        {
            return (_oldRecord, _oldStory);
        }

        if (_oldRecord.Used < Record.Used)
        {
            (_oldRecord, _oldStory) = (_foundRecord, _foundStory);
            (_foundRecord, _foundStory) = (Record, Story);
        }

        return (Record, Story);
    }

    /// <summary>Nobody can connect for a while.</summary>
    public void RefuseFor(long us, bool silently)
    {
        if (silently)
        {
            _silentUntilUs = World.NowUs + us;
        }
        else
        {
            _refusesUntilUs = World.NowUs + us;
        }
    }

    /// <summary>Its records cannot be written for a while.</summary>
    public void FailState(long us) => _stateFailsUntilUs = World.NowUs + us;

    /// <summary>True when a record written now becomes durable.</summary>
    public bool StateWorks() => World.NowUs >= _stateFailsUntilUs;

    /// <summary>
    /// Whether a write that failed, or whose process died meanwhile, has taken effect all the same: its name was in
    /// place and only the folder was not synced.
    /// </summary>
    public bool HasFailedWriteEffect() => Chance.OneIn(2);

    /// <summary>Kills the process, with its machine or without; it comes back.</summary>
    public void Crash(bool power)
    {
        if (_session is { Process.Alive: true } session)
        {
            World.Note($"{Name} {(power ? "loses power" : "is killed")}");
            _changedUs = ChangedUs;
            session.Kill(power);
            if (power)
            {
                _orphans.AddRange(session.Links());
            }
        }

        if (power)
        {
            Disk.Cut();
            _powerOff = true;
            Post(2_000_000 + Chance.Wait(6_000_000), PowerBack);
        }

        Post(20_000 + Chance.Wait(400_000), Start);
    }

    /// <summary>What lies behind the disk loses power; the server learns of it a little later.</summary>
    public void CutBehind()
    {
        if (!_powerOff)
        {
            Disk.CutBehind();
            Post(100_000 + Chance.Wait(2_000_000), Learn);
        }
    }

    /// <inheritdoc/>
    public override void On(int kind, long a, long b)
    {
        switch (kind)
        {
            case Start when !_powerOff && _session is not { Process.Alive: true }:
                _session = new SessionThread(World, this);
                _session.Begin();
                break;
            case PowerBack:
                _powerOff = false;
                foreach (Link link in _orphans)
                {
                    link.Down.IsBlackhole = false;
                    link.Up.IsBlackhole = false;
                    link.Reset();
                }

                _orphans.Clear();
                Post(20_000 + Chance.Wait(400_000), Start);
                break;
            case PutBack when a == _changes:
                RestoreExport();
                break;
            case Learn:
                if (Live is { IsListening: true } live)
                {
                    live.ChangeBootId();
                }

                // Without a process the next one draws a boot id of its own.
                Disk.GoOn();
                break;
            default:
                break;
        }
    }

    /// <inheritdoc/>
    public override string Describe(int kind, long a, long b) => kind switch
    {
        Start => $"{Name} starts its server",
        PowerBack => $"{Name} has power again",
        PutBack => $"{Name} gets its export back",
        _ => $"{Name} learns that its disk lost writes",
    };

    /// <summary>
    /// A changed export is met only by those who can tell: a device that remembers the export, and for a copy the one
    /// that has the newest epoch.
    /// </summary>
    private bool MayMeet(Host host, ExportChange change) => change switch
    {
        ExportChange.None => true,
        ExportChange.Copied => !host.IsReader && host.Device == Record.Holder.Uuid
            && host.Epochs[Index] >= Record.Used && host.Known[Index].IsKnown,
        _ => host.Known[Index].IsKnown,
    };
}
