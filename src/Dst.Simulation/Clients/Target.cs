using Dst.Core.Requests;
using Dst.Core.Sessions.Client;
using Dst.Core.Transactions;
using Dst.Core.Volumes;
using Dst.Core.Wire;
using Dst.Simulation.Checks;
using Dst.Simulation.Engine;
using Dst.Simulation.Plans;

namespace Dst.Simulation.Clients;

/// <summary>
/// One life of a target: a thread for each queue, with transactions and lanes, and a thread for each network node.
/// Composed as the product composes them.
/// </summary>
internal sealed class Target
{
    private readonly World _world;
    private readonly QueueDriver[] _queues;

    /// <summary>A new life, under a new incarnation.</summary>
    public Target(World world, Host host, Kernel kernel, bool takeOver)
    {
        Plan plan = world.Plan;
        _world = world;
        Host = host;
        Kernel = kernel;
        Incarnation = host.NextIncarnation();
        Name = $"{host.Name}.{Incarnation & 0xFFFF}";
        Process = new SimProcess(Name);
        long[] lengths = new long[host.Servers.Length];
        Array.Fill(lengths, (long)plan.NodeBlocks * Plan.BlockBytes);
        int requestBytes = plan.RequestBlocks * Plan.BlockBytes;
        Map = new VolumeMap(lengths, Plan.BlockBytes, requestBytes);
        FlushLedger ledger = new(lengths.Length, plan.Queues);
        Nodes = new NodeDriver[lengths.Length];
        for (int i = 0; i < Nodes.Length; i++)
        {
            bool log = plan.Cache == CacheMode.WriteBack && !host.IsReader && !host.Notes[i].Lost;
            Writer writer = new(kernel.Id, Incarnation, log);
            Nodes[i] = new NodeDriver(world, this, i, host.OptionsOf(i, Incarnation, takeOver), writer);
        }

        _queues = new QueueDriver[plan.Queues];
        for (int i = 0; i < _queues.Length; i++)
        {
            bool refuses = host.IsReader && !plan.BareReader;
            TransactionTable table = new(Map, ledger, i, plan.Depth, refuses);
            _queues[i] = new QueueDriver(world, this, i, table);
        }
    }

    /// <summary>Its machine.</summary>
    public Host Host { get; }

    /// <summary>The device's kernel side, which outlives it.</summary>
    public Kernel Kernel { get; }

    /// <summary>Its process.</summary>
    public SimProcess Process { get; }

    /// <summary>For people.</summary>
    public string Name { get; }

    /// <summary>Drawn at its start.</summary>
    public ulong Incarnation { get; }

    /// <summary>Its nodes.</summary>
    public NodeDriver[] Nodes { get; }

    /// <summary>The volume.</summary>
    public VolumeMap Map { get; }

    /// <summary>Starts; what its predecessor left in the kernel comes again.</summary>
    public void Start()
    {
        foreach (NodeDriver node in Nodes)
        {
            node.Start();
        }

        foreach (QueueDriver queue in _queues)
        {
            queue.Start();
        }

        Kernel.Attach(this);
    }

    /// <summary>Killed, or its machine lost power.</summary>
    public void Kill(bool power)
    {
        if (!Process.Alive)
        {
            return;
        }

        _world.Note($"{Name} is killed{(power ? " with its machine" : "")}");
        Process.Alive = false;
        foreach (NodeDriver node in Nodes)
        {
            node.Kill(power);
        }
    }

    /// <summary>Killed between two effects.</summary>
    /// <returns>True when it is dead.</returns>
    public bool CrashAtEffect()
    {
        Host.CrashTarget();
        return !Process.Alive;
    }

    /// <summary>A request of the kernel is on its way to a queue's thread.</summary>
    public void Deliver(int queue, int tag) => _queues[queue].Deliver(tag);

    /// <summary>Every queue ends what it has with an error (U-21).</summary>
    public void FailPending()
    {
        foreach (QueueDriver queue in _queues)
        {
            queue.FailPending();
        }
    }

    /// <summary>A leg is final.</summary>
    public void LegDone(int queue, int tag, int node, DstStatus status) => _queues[queue].LegDone(tag, node, status);

    /// <summary>Some of the memory that holds requests' data.</summary>
    public Span<byte> Memory(nint address, int bytes) => Kernel.Memory.AsSpan((int)address, bytes);

    /// <summary>True when RX or TX of any node may still touch a buffer.</summary>
    public bool Holds(nint buffer, int bytes)
    {
        foreach (NodeDriver node in Nodes)
        {
            if (node.Holds(buffer, bytes))
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>A node has closed.</summary>
    public void OnClosed()
    {
        foreach (NodeDriver node in Nodes)
        {
            if (node.Node.Phase != ClientNodePhase.Closed)
            {
                return;
            }
        }

        Host.OnClosed(this);
    }
}

/// <summary>A queue's thread: takes requests from the kernel, splits them, hands legs to the lanes.</summary>
internal sealed class QueueDriver(World world, Target target, int number, TransactionTable table)
    : Actor(world, target.Process)
{
    private const int TakeRequest = 0;
    private const int Tick = 1;
    private const int Fail = 2;

    /// <summary>Begins to look at its timers.</summary>
    public void Start() => Post(World.Chance.Below(100_000), Tick);

    /// <summary>A request is on its way.</summary>
    public void Deliver(int tag) => Post(World.HopUs(), TakeRequest, tag);

    /// <summary>The device ends by force.</summary>
    public void FailPending() => Post(World.HopUs(), Fail);

    /// <summary>A leg is final; the last one completes the request.</summary>
    public void LegDone(int tag, int node, DstStatus status)
    {
        for (int leg = 0; leg < 64; leg++)
        {
            if (!table.IsLegPending(tag, leg))
            {
                continue;
            }

            if (table.LegAt(tag, leg).NodeIndex == node)
            {
                if (table.LegDone(tag, leg, status, out DstStatus final))
                {
                    target.Kernel.Complete(target, number, tag, final);
                }

                return;
            }
        }

        World.Fail($"{target.Name} queue {number} tag {tag}: a leg of node {node} ended that nobody waits for");
    }

    /// <inheritdoc/>
    public override void On(int kind, long a, long b)
    {
        if (kind == Tick)
        {
            foreach (NodeDriver node in target.Nodes)
            {
                node.Lanes[number].Tick();
            }

            Post(100_000, Tick);
            return;
        }

        if (kind == Fail)
        {
            for (int i = 0; i < target.Nodes.Length && target.Process.Alive; i++)
            {
                target.Nodes[i].Lanes[number].Fail();
            }

            return;
        }

        int tag = (int)a;
        Request request = target.Kernel.RequestAt(number, tag);
        BeginResult begun = table.Begin(tag, in request);
        if (begun.IsFinal)
        {
            target.Kernel.Complete(target, number, tag, begun.Status);
            return;
        }

        nint buffer = target.Kernel.BufferAt(number, tag);
        for (int leg = 0; leg < begun.LegCount && target.Process.Alive; leg++)
        {
            Leg part = table.LegAt(tag, leg);
            Request ofNode = new(request.Operation, part.Flags, part.NodeOffsetBytes, part.LengthBytes);
            target.Nodes[part.NodeIndex].Lanes[number].Submit(tag, in ofNode, buffer + (nint)part.RequestOffsetBytes);
        }
    }

    /// <inheritdoc/>
    public override string Describe(int kind, long a, long b) =>
        kind != TakeRequest
            ? $"{target.Name} queue {number} {(kind == Tick ? "tick" : "fails all it has")}"
            : $"{target.Name} queue {number} takes tag {a}: {target.Kernel.RequestAt(number, (int)a)}";
}
