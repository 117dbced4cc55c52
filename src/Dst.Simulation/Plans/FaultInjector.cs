using Dst.Simulation.Clients;
using Dst.Simulation.Engine;
using Dst.Simulation.Network;
using Dst.Simulation.Servers;

namespace Dst.Simulation.Plans;

/// <summary>
/// Brings the faults of a plan, each kind by a stream of chance of its own, each over before the horizon.
/// </summary>
internal sealed class FaultInjector : Actor
{
    private readonly SimServer[] _servers;
    private readonly Host[] _hosts;
    private readonly List<Link> _links;
    private readonly Chance[] _chances;

    /// <summary>An injector that waits.</summary>
    public FaultInjector(World world, SimServer[] servers, Host[] hosts, List<Link> links)
        : base(world, null)
    {
        _servers = servers;
        _hosts = hosts;
        _links = links;
        _chances = new Chance[Plan.FaultCount];
        for (int i = 0; i < _chances.Length; i++)
        {
            _chances[i] = new Chance(world.Seed, 1_000 + (ulong)i);
        }
    }

    /// <summary>Faults begin to come.</summary>
    public void Start()
    {
        for (int i = 0; i < Plan.FaultCount; i++)
        {
            Again(i);
        }
    }

    /// <inheritdoc/>
    public override void On(int kind, long a, long b)
    {
        if (World.HasFaults)
        {
            Strike((Fault)kind, _chances[kind]);
            Again(kind);
        }
    }

    /// <inheritdoc/>
    public override string Describe(int kind, long a, long b) => $"FAULT {(Fault)kind}";

    private void Again(int kind)
    {
        // These strike where their place in the code is met.
        bool comesByItself = (Fault)kind is not (Fault.CrashAtEffect or Fault.Preempt or Fault.SlowHop);
        long mean = World.Plan.MeanMs[kind];
        if (mean > 0 && comesByItself)
        {
            Post(1 + _chances[kind].Wait(mean * 1000), kind);
        }
    }

    private void Strike(Fault fault, Chance chance)
    {
        SimServer server = _servers[chance.Below(_servers.Length)];
        Host host = _hosts[chance.Below(_hosts.Length)];
        long shortUs = Bounded(chance.Wait(2_000_000));
        long longUs = Bounded(chance.OneIn(4) ? chance.Wait(60_000_000) : chance.Wait(6_000_000));
        switch (fault)
        {
            case Fault.Stall:
            case Fault.HalfOpen:
            case Fault.Reset:
            case Fault.BitFlip:
                StrikeLink(fault, chance, longUs);
                break;
            case Fault.ConnectFails:
                server.RefuseFor(longUs, silently: chance.OneIn(2));
                break;
            case Fault.ServerPause:
                Pause(server.Process, longUs);
                break;
            case Fault.TargetPause:
                Pause(host.Target?.Process, longUs);
                break;
            case Fault.DiskStuck:
                server.Disk.StuckUntilUs = long.Max(server.Disk.StuckUntilUs, World.NowUs + longUs);
                break;
            case Fault.DiskError:
                server.Disk.ErrorsLeft = 1 + chance.Below(3);
                break;
            case Fault.DiskFull:
                server.Disk.FullUntilUs = World.NowUs + shortUs;
                break;
            case Fault.FsyncFails:
                server.Disk.FlushErrorsLeft = 1 + chance.Below(2);
                break;
            case Fault.ServerStateFails:
                server.FailState(shortUs);
                break;
            case Fault.TargetStateFails:
                host.FailState(shortUs);
                break;
            default:
                StrikeMachine(fault, chance, server, host, longUs);
                break;
        }
    }

    private void StrikeMachine(Fault fault, Chance chance, SimServer server, Host host, long longUs)
    {
        switch (fault)
        {
            case Fault.ServerCrash:
                server.Crash(power: false);
                break;
            case Fault.PowerCut:
                server.Crash(power: true);
                break;
            case Fault.ServerStop:
                server.Live?.Ask(ServerOrder.Stop);
                break;
            case Fault.DiskCut:
                server.CutBehind();
                break;
            case Fault.ClearError:
                server.Live?.Ask(ServerOrder.ClearError);
                break;
            case Fault.ExportChanges:
                ExportChange change = (ExportChange)(1 + chance.Below(ExportChanges.Count - 1));
                server.ChangeExport(change, careless: chance.OneIn(2), longUs);
                break;
            case Fault.Release:
                server.Live?.Ask(ServerOrder.Release);
                break;
            case Fault.TargetCrash:
                host.CrashTarget();
                break;
            case Fault.ClientReboot when host.Kernel is not null:
                host.Reboot();
                break;
            case Fault.Clone:
                Clone();
                break;
            case Fault.TakeOver:
                TakeOver(chance);
                break;
            case Fault.Remove:
                host.Remove(force: chance.OneIn(3));
                break;
            case Fault.TargetStop:
                host.StopTarget();
                break;
            case Fault.Suspend:
                host.SuspendFor(longUs);
                break;
            case Fault.FailPending:
                host.Ask(NodeOrder.Fail);
                break;
            case Fault.Budget:
                host.Budget = Plan.DrawBudget(chance);
                host.Ask(NodeOrder.Budget);
                break;
            default:
                break;
        }
    }

    private void StrikeLink(Fault fault, Chance chance, long longUs)
    {
        _links.RemoveAll(link => link.IsOver);
        if (_links.Count == 0)
        {
            return;
        }

        Link link = _links[chance.Below(_links.Count)];
        Pipe pipe = chance.OneIn(2) ? link.Up : link.Down;
        switch (fault)
        {
            case Fault.Stall:
                pipe.StalledUntilUs = long.Max(pipe.StalledUntilUs, World.NowUs + longUs);
                break;
            case Fault.HalfOpen:
                link.BlackOut();
                break;
            case Fault.Reset:
                link.Reset();
                break;
            default:
                pipe.FlipSoon();
                break;
        }
    }

    private void Clone()
    {
        (Host from, Host to) = _hosts[0].HasFailed ? (_hosts[1], _hosts[0]) : (_hosts[0], _hosts[1]);
        if (!to.IsReader && from.Kernel is not null && (to.Kernel is null || to.HasFailed))
        {
            to.DropDevice();
            to.CopyStateOf(from);
            to.AddDevice();
        }
    }

    /// <summary>A second device comes, now and then without an operator's word: it has to wait (S-04).</summary>
    private void TakeOver(Chance chance)
    {
        Host to = _hosts[1].Kernel is null || _hosts[1].HasFailed ? _hosts[1] : _hosts[0];
        if (!to.IsReader && (to.Kernel is null || to.HasFailed))
        {
            to.DropDevice();
            to.ForgetDevice();
            to.AddDevice(takeOver: !chance.OneIn(4));
        }
    }

    private void Pause(SimProcess? process, long us)
    {
        if (process is not null)
        {
            World.Note($"{process.Name} stands still for {us / 1000} ms");
            process.PausedUntilUs = long.Max(process.PausedUntilUs, World.NowUs + us);
        }
    }

    private long Bounded(long us) => long.Max(0, long.Min(us, (World.Plan.HorizonMs * 1000) - World.NowUs - 1000));
}
