using Dst.Core.Requests;
using Dst.Core.Sessions;
using Dst.Core.Sessions.Client;
using Dst.Core.Wire;
using Dst.Simulation.Checks;
using Dst.Simulation.Engine;
using Dst.Simulation.Servers;

namespace Dst.Simulation.Clients;

/// <summary>
/// A client's machine: its state directory, /run/dst, one device and the lives of its target. Restarts what dies, as
/// dstd does.
/// </summary>
internal sealed class Host : Actor
{
    private const int StartTarget = 0;
    private const int StartKernel = 1;
    private const int Resume = 2;
    private const int ClearError = 3;
    private const int Leave = 4;
    private const int Recover = 5;
    private const int EndLeave = 6;

    /// <summary>A target waits no longer than this for the answer to its goodbyes.</summary>
    private const long LeaveUs = 5_000_000;

    private readonly Chance _chance;
    private readonly long _clockMs;
    private int _lives;
    private UInt128 _device;
    private bool _takeOver;
    private bool _hasCopy;
    private Farewell _farewell;
    private long _stateFailsUntilUs;
    private long _errorBudgetUs = -1;
    private long _lostUs = -1;

    /// <summary>How a device that works comes to its end.</summary>
    private enum Farewell
    {
        None,
        Removed,
        RemovedByForce,
        Stopped,
    }

    /// <summary>A machine without a device.</summary>
    public Host(World world, string name, int number, SimServer[] servers, bool isReader)
        : base(world, null)
    {
        Name = name;
        Number = number;
        IsReader = isReader;
        Servers = isReader ? servers[..1] : servers;
        DiskNodes = [.. Servers.Select(server => new SimServerNode(server.Index, server.Disk))];
        Epochs = new ulong[Servers.Length];
        Notes = new ServerNote[Servers.Length];
        NoteSinceUs = new long[Servers.Length];
        Known = new ExportFacts[Servers.Length];
        Budget = world.Plan.Budget;
        _chance = new Chance(world.Seed, 20_000 + (ulong)number);
        _clockMs = 1000 + _chance.Below(1_000_000);
        _device = _chance.Next128();
    }

    /// <summary>For people.</summary>
    public string Name { get; }

    /// <summary>Number of the machine.</summary>
    public int Number { get; }

    /// <summary>It only reads.</summary>
    public bool IsReader { get; }

    /// <summary>State directory: the id of its device.</summary>
    public UInt128 Device => _device;

    /// <summary>Servers of the nodes, in their order.</summary>
    public SimServer[] Servers { get; }

    /// <summary>Their disks.</summary>
    public SimServerNode[] DiskNodes { get; }

    /// <summary>State directory: the epoch noted last, for each node.</summary>
    public ulong[] Epochs { get; private set; }

    /// <summary>/run/dst: what the target noted of its servers.</summary>
    public ServerNote[] Notes { get; }

    /// <summary>Since when each note is true: its session's grant.</summary>
    public long[] NoteSinceUs { get; }

    /// <summary>State directory: what the device remembers of the exports.</summary>
    public ExportFacts[] Known { get; private set; }

    /// <summary>Budgets of its nodes.</summary>
    public RequestBudget Budget
    {
        get;
        set
        {
            _errorBudgetUs = field.EndsWithError ? World.NowUs : _errorBudgetUs;
            field = value;
        }
    }

    /// <summary>When a budget that ends requests with an error was last in force; -1 for never.</summary>
    public long ErrorBudgetUs => Budget.EndsWithError ? World.NowUs : _errorBudgetUs;

    /// <summary>When an operator failed what waits; -1 for never.</summary>
    public long FailedUs { get; private set; } = -1;

    /// <summary>When a removal by force ended what waited; -1 for never.</summary>
    public long ForcedUs { get; private set; } = -1;

    /// <summary>When a node last said that unflushed writes are lost; -1 for never.</summary>
    public long LostUs =>
        Target?.Nodes.Any(node => node.Node.LostUnflushedWrites) == true ? World.NowUs : _lostUs;

    /// <summary>The device, while there is one.</summary>
    public Kernel? Kernel { get; private set; }

    /// <summary>The target, while it lives.</summary>
    public Target? Target { get; private set; }

    /// <summary>A node was fenced: the device has failed.</summary>
    public bool HasFailed { get; private set; }

    /// <summary>True once a device that works is not wanted any more.</summary>
    public bool IsRemoving => _farewell != Farewell.None;

    /// <summary>Milliseconds of this machine's monotonic clock.</summary>
    public long NowMs => _clockMs + (World.NowUs / 1000);

    /// <summary>Requests that ended with an error, and whether that can be explained.</summary>
    public Action<Host, Request, DstStatus, long>? StatusCheck { get; set; }

    /// <summary>Whether a device that was fenced is made anew.</summary>
    public Func<Host, bool>? MayRecover { get; set; }

    /// <summary>A peer broke the protocol.</summary>
    public Action<string, bool>? ProtocolCheck { get; set; }

    /// <summary>True when its device writes to the export of a server now.</summary>
    public bool Holds(SimServer server) =>
        !IsReader && Target is { Process.Alive: true } target
        && target.Nodes.Any(node => node.Server == server && node.Node.Phase == ClientNodePhase.Live);

    /// <summary>Makes a device and starts its target.</summary>
    public void AddDevice(bool takeOver = false)
    {
        _takeOver = takeOver;
        HasFailed = false;
        _farewell = Farewell.None;
        Kernel = new Kernel(World, this, World.NextActorId());
        Kernel.Start();
        BeginTarget();
    }

    /// <summary>
    /// A copy of another machine's state directory: same device, same epochs, another incarnation.
    /// </summary>
    public void CopyStateOf(Host other)
    {
        _hasCopy = other._hasCopy = true;
        _device = other._device;
        Epochs = [.. other.Epochs];
        Known = [.. other.Known];
        Array.Clear(Notes);
    }

    /// <summary>A device that never was.</summary>
    public void ForgetDevice()
    {
        _hasCopy = false;
        _device = _chance.Next128();
        Array.Clear(Epochs);
        Array.Clear(Known);
        Array.Clear(Notes);
    }

    /// <summary>The device goes without a word: removed by force, or with its failed target.</summary>
    public void DropDevice()
    {
        Target?.Kill(power: false);
        Target = null;
        Kernel?.Vanish();
        Kernel = null;
    }

    /// <summary>Kills the target; it starts again soon.</summary>
    public void CrashTarget()
    {
        if (Target is { Process.Alive: true } target)
        {
            target.Kill(power: false);
            Post(10_000 + _chance.Wait(300_000), StartTarget, Kernel!.Id);
        }
    }

    /// <summary>The machine reboots: its page cache, its requests and /run are gone.</summary>
    public void Reboot()
    {
        Target?.Kill(power: true);
        Target = null;
        Kernel?.Vanish();
        Kernel = null;
        Array.Clear(Notes);
        _takeOver = false;
        Post(5_000_000 + _chance.Wait(5_000_000), StartKernel);
    }

    /// <summary>
    /// Removes the device: requests end, by force with an error, a last flush, the hold is given back. A target that
    /// hears nothing of that in time stops all the same.
    /// </summary>
    public void Remove(bool force = false)
    {
        if (TryEnd(force ? Farewell.RemovedByForce : Farewell.Removed))
        {
            Kernel!.Flush(0);
        }
    }

    /// <summary>
    /// The kernel device is stopped by somebody else: once its requests have ended the target stops in good order, the
    /// hold stays, and the same device is made again with what its state directory and /run/dst say.
    /// </summary>
    public void StopTarget() => TryEnd(Farewell.Stopped);

    /// <summary>An operator's order to every node.</summary>
    public void Ask(NodeOrder order)
    {
        OnOrder(order);
        if (Target is { Process.Alive: true })
        {
            foreach (NodeDriver node in Target.Nodes)
            {
                node.Ask(order);
            }
        }
    }

    /// <summary>An operator suspends, and resumes later.</summary>
    public void SuspendFor(long us)
    {
        Ask(NodeOrder.Suspend);
        Post(us, Resume);
    }

    /// <summary>Notes cannot be written for a while.</summary>
    public void FailState(long us) => _stateFailsUntilUs = World.NowUs + us;

    /// <summary>True when a note written now becomes durable.</summary>
    public bool StateWorks() => World.NowUs >= _stateFailsUntilUs;

    /// <summary>
    /// Whether a note that could not be written is there all the same: only its folder was not synced.
    /// </summary>
    public bool HasFailedWriteEffect() => _chance.OneIn(2);

    /// <summary>Microseconds until a note is durable.</summary>
    public long StateDelayUs() => 100 + _chance.Wait(2_000);

    /// <summary>Random, never given twice.</summary>
    public ulong NextIncarnation() => ((_chance.Next() | 1) << 16) | (uint)((Number << 12) + (++_lives & 0xFFF));

    /// <summary>Who the changes of a node are of at present.</summary>
    public Writer WriterOf(int node) => Target!.Nodes[node].Writer;

    /// <summary>What a new life of the target attaches with.</summary>
    public ClientNodeOptions OptionsOf(int node, ulong incarnation, bool takeOver) => new()
    {
        Export = Servers[node].ExportName,
        Device = new DeviceId(_device, (uint)node),
        Incarnation = incarnation,
        Access = IsReader ? AccessKind.ReadOnly : AccessKind.ReadWrite,
        TakeOver = takeOver,
        Credits = new CreditGrant((ushort)World.Plan.Connections, (ushort)World.Plan.Slots, 64 * 1024),
        Checksum = World.Plan.Checksum,
        Holder = new WireText(Name),
        Software = new WireText("dst-sim"),
        LastEpoch = Epochs[node],
        Known = Known[node],
        Note = Notes[node],
        JitterSeed = incarnation,
    };

    /// <summary>A request is answered.</summary>
    public void OnStatus(in Request request, DstStatus status, long us) =>
        StatusCheck?.Invoke(this, request, status, us);

    /// <summary>A peer broke the protocol, or says that we did.</summary>
    public void OnProtocolError(string what, bool isDamaged) => ProtocolCheck?.Invoke(what, isDamaged);

    /// <summary>A server refused.</summary>
    public void OnRefused(NodeDriver node, RefusalCode code, bool isDamaged)
    {
        if (code is RefusalCode.Protocol or RefusalCode.Version or RefusalCode.Feature)
        {
            OnProtocolError($"{node.Name}: the server says {code}", isDamaged);
        }
    }

    /// <summary>A node serves: what its export is, is remembered from the first time on.</summary>
    public void OnLive(NodeDriver node)
    {
        AttachOkMessage export = node.Node.Export;
        if (!Known[node.Index].IsKnown)
        {
            ExportGeometry geometry = export.Geometry;
            Known[node.Index] = new ExportFacts(
                export.Identity,
                geometry.SizeBytes,
                geometry.BlockBytes,
                geometry.MaxRequestBytes,
                geometry.MaxChangeBytes,
                export.Cache);
        }

        if (IsReader)
        {
            return;
        }

        Servers[node.Index].Disk.History.OnLive();
        if (node.Node.LostUnflushedWrites)
        {
            // Somebody looks at the status in the end.
            Post(1_000_000 + _chance.Wait(20_000_000), ClearError, node.Target.Kernel.Id);
        }
    }

    /// <summary>An order has come to a node, perhaps long after it was given.</summary>
    public void OnOrder(NodeOrder order)
    {
        FailedUs = order == NodeOrder.Fail ? World.NowUs : FailedUs;
        _errorBudgetUs = order == NodeOrder.Budget && _errorBudgetUs >= 0 ? World.NowUs : _errorBudgetUs;
    }

    /// <summary>A node's status about lost writes has changed.</summary>
    public void OnLostChanged() => _lostUs = World.NowUs;

    /// <summary>A node was fenced.</summary>
    public void OnFailed(NodeDriver node)
    {
        HasFailed = true;
        node.Target.Kernel.IsBusy = false;
        Post(10_000_000 + _chance.Wait(10_000_000), Recover, node.Target.Kernel.Id);
    }

    /// <summary>Every node of a target has closed.</summary>
    public void OnClosed(Target target)
    {
        target.Process.Alive = false;
        foreach (NodeDriver node in target.Nodes)
        {
            HoldRecord record = node.Server.Record;
            World.Check(
                !node.Node.HoldGivenBack || !record.Held || record.Holder != new DeviceId(_device, (uint)node.Index)
                    || _hasCopy,
                $"{node.Name} has given the hold of epoch {record.Granted} back, and holds it (S-04)");
        }

        if (_farewell != Farewell.None)
        {
            DropDevice();
            if (_farewell != Farewell.Stopped)
            {
                ForgetDevice();
            }

            Post(1_000_000 + _chance.Wait(3_000_000), StartKernel);
        }
    }

    /// <inheritdoc/>
    public override void On(int kind, long a, long b)
    {
        switch (kind)
        {
            case StartTarget when Kernel is not null && Kernel.Id == a && Target is not { Process.Alive: true }:
                _takeOver = false;
                BeginTarget();
                break;
            case StartKernel when Kernel is null:
                AddDevice();
                break;
            case Resume:
                Ask(NodeOrder.Resume);
                break;
            case ClearError when Kernel is not null && Kernel.Id == a:
                Ask(NodeOrder.ClearError);
                break;
            case Recover when Kernel is not null && Kernel.Id == a && HasFailed && MayRecover?.Invoke(this) == true:
                // Somebody makes the device anew and takes the exports over.
                DropDevice();
                ForgetDevice();
                AddDevice(takeOver: true);
                break;
            case Leave when Kernel is not null && Kernel.Id == a:
                OnLeave();
                break;
            case EndLeave when Kernel is not null && Kernel.Id == a:
                Ask(NodeOrder.Stop);
                break;
            default:
                break;
        }
    }

    /// <inheritdoc/>
    public override string Describe(int kind, long a, long b) => kind switch
    {
        StartTarget => $"{Name} starts its target again",
        StartKernel => $"{Name} makes its device",
        Resume => $"{Name} resumes",
        Recover => $"{Name}: its device has failed",
        ClearError => $"{Name}: dstctl clear-error",
        EndLeave => $"{Name}: its target waits no longer",
        _ => $"{Name}: its device ends, {_farewell}, {Kernel?.InFlight} in flight",
    };

    private bool TryEnd(Farewell farewell)
    {
        if (Kernel is null || Target is not { Process.Alive: true } || IsRemoving)
        {
            return false;
        }

        _farewell = farewell;
        Kernel.IsBusy = false;
        Post(1_000_000, Leave, Kernel.Id);
        return true;
    }

    private void OnLeave()
    {
        if (Target is { Process.Alive: true } && Kernel!.InFlight == 0)
        {
            // Once more later: the target may die before it has left.
            Ask(_farewell == Farewell.Stopped ? NodeOrder.Stop : NodeOrder.Leave);
            Post(LeaveUs, EndLeave, Kernel.Id);
            Post(30_000_000, Leave, Kernel.Id);
            return;
        }

        if (_farewell == Farewell.RemovedByForce && Target is { Process.Alive: true } target)
        {
            ForcedUs = World.NowUs;
            target.FailPending();
        }

        Post(500_000, Leave, Kernel!.Id);
    }

    private void BeginTarget()
    {
        Target = new Target(World, this, Kernel!, _takeOver);
        World.Note($"{Name} starts target {Target.Name}{(_takeOver ? " with take-over" : "")}");
        Target.Start();
    }
}
