using Dst.Core;
using Dst.Core.Requests;
using Dst.Core.Sessions;
using Dst.Core.Sessions.Client;
using Dst.Core.Wire;
using Dst.Simulation.Checks;
using Dst.Simulation.Clients;
using Dst.Simulation.Engine;
using Dst.Simulation.Network;
using Dst.Simulation.Plans;
using Dst.Simulation.Servers;

namespace Dst.Simulation;

/// <summary>How a run ended.</summary>
/// <param name="Seed">Its seed.</param>
/// <param name="Violation">What rule was broken; null when none was.</param>
/// <param name="Steps">Events.</param>
/// <param name="VirtualUs">Virtual time.</param>
/// <param name="TraceHash">Of everything that happened.</param>
/// <param name="Requests">Requests answered.</param>
/// <param name="Verified">Devices that flushed and read every block at the end.</param>
/// <param name="Coverage">Pairs that were met.</param>
internal sealed record RunResult(
    ulong Seed,
    string? Violation,
    long Steps,
    long VirtualUs,
    ulong TraceHash,
    long Requests,
    int Verified,
    Coverage Coverage);

/// <summary>
/// One run: servers, clients, network, faults until the horizon; then all is mended, everything must come to an end,
/// and every block is read once more.
/// </summary>
internal sealed class SimulationRun
{
    private const long HealMs = 240_000;
    private const long StepsMax = 200_000_000;
    private const int OperatorLooks = 4;

    /// <summary>How often a device may be made anew while it is looked at in the end.</summary>
    private const int RemakesMax = 4;

    /// <summary>Both sides notice within this that a connection is gone.</summary>
    private const long NoticeMs = 15_000;

    private readonly List<Link> _links = [];
    private int _verified;

    /// <summary>A run that has not begun.</summary>
    public SimulationRun(ulong seed, Plan plan)
    {
        Must.FailHook ??= static message => throw new ViolationException("assertion: " + message);
        World = new World(seed, plan);
        Servers = new SimServer[plan.Nodes];
        for (int i = 0; i < Servers.Length; i++)
        {
            Servers[i] = new SimServer(World, i) { Faults = _links, ProtocolCheck = OnProtocolError };
        }

        foreach (SimServer server in Servers)
        {
            server.Disk.History.OldestRead = OldestRead;
        }

        Hosts = new Host[plan.Reader ? 3 : 2];
        for (int i = 0; i < Hosts.Length; i++)
        {
            Hosts[i] = new Host(World, $"h{i}", i, Servers, isReader: i == 2)
            {
                StatusCheck = OnStatus,
                ProtocolCheck = OnProtocolError,
                MayRecover = MayRecover,
            };
        }
    }

    /// <summary>Its world.</summary>
    public World World { get; }

    /// <summary>Servers of the nodes.</summary>
    public SimServer[] Servers { get; }

    /// <summary>Clients: the first has the device, the second is who takes over, the third only reads.</summary>
    public Host[] Hosts { get; }

    /// <summary>Connections that are not over.</summary>
    public List<Link> Links => _links;

    /// <summary>Every request may end with an error: a scenario says so.</summary>
    public bool AllowsErrors { get; set; }

    /// <summary>Requests answered so far.</summary>
    public long Requests { get; private set; }

    /// <summary>Runs a seed with its plan.</summary>
    public static RunResult Run(ulong seed, Plan plan, Action<string>? tracer = null)
    {
        SimulationRun run = new(seed, plan);
        run.World.Tracer = tracer;
        return run.Guard(run.RunAll);
    }

    /// <summary>Runs something, and says how it ended.</summary>
    public RunResult Guard(Action body)
    {
        string? violation = null;
        try
        {
            body();
        }
        catch (ViolationException broken)
        {
            violation = broken.Message;
        }
        catch (Exception error)
        {
            // Whatever it is, the seed that shows it must not be lost with the batch.
            violation = $"{error.GetType().Name}: {error.Message} {error.StackTrace?.Split('\n')[0].Trim()}";
        }

        violation ??= PossiblePairs.FirstBroken(World.Coverage);
        if (violation is not null)
        {
            World.Note($"VIOLATION {violation}");
        }

        return new RunResult(
            World.Seed,
            violation,
            World.Steps,
            World.NowUs,
            World.TraceHash,
            Requests,
            _verified,
            World.Coverage);
    }

    /// <summary>Starts servers and the first client.</summary>
    public void Start()
    {
        foreach (SimServer server in Servers)
        {
            server.Boot();
        }

        RunFor(1_000);
        Hosts[0].AddDevice();
        if (Hosts.Length > 2)
        {
            Hosts[2].AddDevice();
        }
    }

    /// <summary>Lets virtual time pass.</summary>
    public void RunFor(long ms)
    {
        long until = World.NowUs + (ms * 1000);
        RunUntil(() => World.NowUs >= until);
    }

    /// <summary>Runs until something holds.</summary>
    /// <returns>False when it does not within the time.</returns>
    public bool RunUntil(Func<bool> holds, long limitMs = long.MaxValue / 2000)
    {
        long until = World.NowUs + (limitMs * 1000);
        while (!holds())
        {
            if (World.NowUs >= until)
            {
                return false;
            }

            World.Check(World.Steps < StepsMax, $"more than {StepsMax} events: something turns in a circle");
            World.Check(World.Step(), "nothing is left to happen");
        }

        return true;
    }

    /// <summary>Ends the faults, lets everything come to an end and looks at the result (invariant 8).</summary>
    public void Finish()
    {
        Heal();
        Settle(IsQuiet);
        World.IsEnding = true;
        foreach (Host host in Hosts)
        {
            host.Kernel?.IsBusy = false;
        }

        bool quiet = Settle(() => IsQuiet() && !HasRequests());
        World.Check(quiet, $"{HealMs / 1000} s after the last fault not everything has come to an end: {Describe()}");
        foreach (Host host in Hosts)
        {
            if (IsServing(host))
            {
                Verify(host);
            }
        }

        RunFor(NoticeMs);
        foreach (SimServer server in Servers)
        {
            CheckBudgets(server);
        }
    }

    /// <summary>
    /// What is granted is granted to a session that lives, and no connection stays that nobody has (invariant 7).
    /// </summary>
    private void CheckBudgets(SimServer server)
    {
        if (server.Live is not { IsListening: true } live || !IsQuiet())
        {
            return;
        }

        long granted = 0;
        int connections = 0;
        foreach (Host host in Hosts)
        {
            foreach (NodeDriver node in host.Target is { Process.Alive: true } target ? target.Nodes : [])
            {
                CreditGrant credits = node.Node.Export.Credits;
                bool lives = node.Node.Phase == ClientNodePhase.Live;
                granted += node.Server == server && lives ? (long)credits.Connections * credits.PayloadBytes : 0;

                // Who waits for the holder to leave asks from time to time.
                connections += node.Server != server ? 0 : lives ? credits.Connections : 1;
            }
        }

        World.Check(
            live.UsedCreditBytes == granted,
            $"{server.Name}: {live.UsedCreditBytes} bytes are granted, sessions that live have {granted}");
        World.Check(live.OpenReleases == 0, $"{server.Name}: an operator's release is not answered (S-04)");
        World.Check(
            live.PeerCount <= connections,
            $"{server.Name}: {live.PeerCount} connections, clients have {connections}");
    }

    /// <summary>Runs until something holds, and operators look in between.</summary>
    private bool Settle(Func<bool> holds)
    {
        for (int i = 0; i < OperatorLooks; i++)
        {
            if (!holds())
            {
                Attend(again: i > 0);
            }

            if (RunUntil(holds, HealMs / OperatorLooks))
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>What operators do in the end: no hold stays with a device that is gone, and somebody has one.</summary>
    /// <param name="again">It was not enough the last time.</param>
    private void Attend(bool again)
    {
        Host[] living = [.. Hosts.Where(host => !host.IsReader && host.Kernel is not null && !host.HasFailed)];
        if (living.Length > 1 && Array.TrueForAll(living, IsShutOut))
        {
            // Each holds what the other needs.
            living[^1].DropDevice();
            living[^1].ForgetDevice();
        }

        foreach (SimServer server in Servers)
        {
            // Of a state directory that was copied, all copies may be older than the hold.
            bool isStale = again && !Array.Exists(Hosts, host => host.Holds(server));
            if (RecordOf(server).Held && (isStale || HolderOf(server) is null))
            {
                server.Live?.Ask(ServerOrder.Release);
            }
        }

        if (living.Length == 0)
        {
            Hosts[0].DropDevice();
            Hosts[0].ForgetDevice();
            Hosts[0].AddDevice(takeOver: true);
        }
    }

    /// <summary>The machine whose device holds the export; null when that device is no more.</summary>
    private Host? HolderOf(SimServer server) => Array.Find(
        Hosts,
        host => host.Kernel is not null && !host.HasFailed && host.Device == RecordOf(server).Holder.Uuid);

    /// <summary>What a living server goes by, which its disk may be ahead of.</summary>
    private static HoldRecord RecordOf(SimServer server) =>
        server.Live is { IsListening: true } live ? live.Session.Record : server.Record;

    private void RunAll()
    {
        Start();
        new FaultInjector(World, Servers, Hosts, _links).Start();
        RunUntil(() => World.NowUs >= World.Plan.HorizonMs * 1000);
        Finish();
    }

    private void Heal()
    {
        World.HasFaults = false;
        World.Note($"all is mended");
        foreach (Link link in _links)
        {
            link.Up.Heal();
            link.Down.Heal();
        }

        foreach (SimServer server in Servers)
        {
            server.Disk.Heal();
            server.RestoreExport();
        }

        foreach (Host host in Hosts)
        {
            host.Ask(NodeOrder.Resume);
            host.Budget = default;
            host.Ask(NodeOrder.Budget);
        }
    }

    /// <summary>Every device that can serve does, and one of a writer is among them.</summary>
    private bool IsQuiet()
    {
        if (!Array.Exists(Hosts, host => !host.IsReader && IsServing(host)))
        {
            return false;
        }

        foreach (Host host in Hosts)
        {
            if (host.Kernel is not null && !IsServing(host) && !IsShutOut(host))
            {
                return false;
            }
        }

        return true;
    }

    private bool HasRequests()
    {
        foreach (Host host in Hosts)
        {
            if (host.Kernel is { InFlight: > 0 } && !IsShutOut(host))
            {
                return true;
            }
        }

        return false;
    }

    private static bool IsServing(Host host)
    {
        bool gone = host.Kernel is null || host.HasFailed || host.IsRemoving;
        if (gone || host.Target is not { Process.Alive: true } target)
        {
            return false;
        }

        foreach (NodeDriver node in target.Nodes)
        {
            if (node.Node.Phase != ClientNodePhase.Live)
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>Fenced, or refused because a living device of another holds the export.</summary>
    private bool IsShutOut(Host host)
    {
        if (host.HasFailed)
        {
            return true;
        }

        if (host.Target is not { Process.Alive: true } target)
        {
            return false;
        }

        foreach (NodeDriver node in target.Nodes)
        {
            bool refused = node.Node.LastRefusal == RefusalCode.Held && node.Node.Phase != ClientNodePhase.Live;
            if (refused && HolderOf(node.Server) is { } holder && holder != host)
            {
                return true;
            }
        }

        return false;
    }

    private long OldestRead()
    {
        long oldest = long.MaxValue;
        foreach (Host host in Hosts)
        {
            oldest = long.Min(oldest, host.Kernel?.OldestRead() ?? long.MaxValue);
        }

        return oldest;
    }

    private bool MayRecover(Host host)
    {
        foreach (Host other in Hosts)
        {
            if (other != host && !other.IsReader && other.Kernel is not null && !other.HasFailed)
            {
                return false;
            }
        }

        return true;
    }

    private static string Describe(ClientNode node) => $"{node.Phase}/{node.LastEnd}/{node.LastRefusal}";

    private string Describe()
    {
        List<string> parts = [];
        foreach (Host host in Hosts)
        {
            if (host.Kernel is not null)
            {
                NodeDriver[] drivers = host.Target?.Nodes ?? [];
                string nodes = string.Join(' ', drivers.Select(driver => Describe(driver.Node)));
                string target = host.Target?.Process.Alive == true ? "lives" : "dead";
                parts.Add($"{host.Name} {host.Kernel.InFlight} requests, target {target}, {nodes}");
            }
        }

        return string.Join("; ", parts);
    }

    /// <summary>
    /// A last flush must be good, then every block is read (invariants 1 and 2). Somebody who waited may take over only
    /// now; the device that its operator makes anew is held to the same.
    /// </summary>
    private void Verify(Host host)
    {
        for (int i = 0; i < RemakesMax; i++)
        {
            if (host.HasFailed || host.Kernel is not { } kernel)
            {
                return;
            }

            if (IsFlushed(host, kernel) && IsRead(host, kernel))
            {
                _verified++;
                return;
            }
        }

        World.Fail($"{host.Name}: its device does not last: {Describe()}");
    }

    /// <returns>False when the device is gone.</returns>
    private bool IsFlushed(Host host, Kernel kernel)
    {
        bool flushed = host.IsReader;
        for (int i = 0; i < 12 && !flushed; i++)
        {
            kernel.Flush(0);
            bool ended = RunUntil(() => kernel.InFlight == 0, HealMs);
            if (IsGone(host, kernel))
            {
                return false;
            }

            World.Check(ended, $"{host.Name}: the last flush does not end: {Describe()}");
            flushed = kernel.LastStatus == DstStatus.Ok;
            if (!flushed)
            {
                foreach (SimServer server in Servers)
                {
                    server.Live?.Ask(ServerOrder.ClearError);
                }

                RunFor(1_000);
                host.Ask(NodeOrder.ClearError);
                RunFor(20_000);
                if (IsGone(host, kernel))
                {
                    return false;
                }
            }
        }

        World.Check(
            flushed,
            $"{host.Name}: the last flush ends with {kernel.LastStatus}, whatever operators accept: {Describe()}");
        return true;
    }

    /// <returns>False when the device is gone.</returns>
    private bool IsRead(Host host, Kernel kernel)
    {
        int blocks = World.Plan.NodeBlocks * host.Servers.Length;
        int step = World.Plan.RequestBlocks;
        for (int block = 0; block < blocks; block += step)
        {
            kernel.TrySubmit(0, Operation.Read, block, int.Min(step, blocks - block), fua: false);
            bool ended = RunUntil(() => kernel.InFlight == 0, HealMs);
            if (IsGone(host, kernel))
            {
                return false;
            }

            World.Check(
                ended && kernel.LastStatus == DstStatus.Ok,
                $"{host.Name}: block {block} cannot be read: {kernel.LastStatus}");
        }

        return true;
    }

    private static bool IsGone(Host host, Kernel kernel) => host.HasFailed || host.Kernel != kernel;

    private static void OnProtocolError(string what, bool isDamaged) =>
        World.Check(isDamaged, $"honest peers quarrel: {what}");

    /// <summary>No error reaches the kernel that nothing explains (invariant 9).</summary>
    private void OnStatus(Host host, Request request, DstStatus status, long us)
    {
        Requests++;
        if (status == DstStatus.Ok || AllowsErrors)
        {
            return;
        }

        World.Check(
            ErrorTruth.Explains(host, in request, status, World.NowUs - us),
            $"{host.Name}: {request} ends with {status} after {us / 1000} ms though nothing explains that error");
    }
}
