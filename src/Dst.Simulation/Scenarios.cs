using Dst.Core.Requests;
using Dst.Core.Sessions.Client;
using Dst.Core.Wire;
using Dst.Simulation.Clients;
using Dst.Simulation.Engine;
using Dst.Simulation.Network;
using Dst.Simulation.Plans;
using Dst.Simulation.Servers;

namespace Dst.Simulation;

/// <summary>A run that is told step by step: how data was once lost, or could be. Kept for good.</summary>
/// <param name="Name">As the command line names it.</param>
/// <param name="Story">What happens, one line.</param>
/// <param name="Plan">Sizes; no faults come by chance.</param>
/// <param name="Body">The steps. Afterwards all is mended, everything must end, and every block is read.</param>
internal sealed record Scenario(string Name, string Story, Func<Plan> Plan, Action<Bed> Body)
{
    /// <summary>Runs it.</summary>
    public RunResult Run(Action<string>? tracer)
    {
        SimulationRun run = new(1, Plan()) { AllowsErrors = true };
        run.World.Tracer = tracer;
        run.World.IsEnding = true;
        return run.Guard(() =>
        {
            run.Start();
            Bed bed = new(run);
            bed.Until("the device serves", () => bed.Node.Phase == ClientNodePhase.Live);
            Body(bed);
            run.Finish();
        });
    }
}

/// <summary>What a scenario holds on to.</summary>
internal sealed class Bed(SimulationRun run)
{
    /// <summary>The run.</summary>
    public SimulationRun Run { get; } = run;

    /// <summary>The client.</summary>
    public Host Client => Run.Hosts[0];

    /// <summary>Another client.</summary>
    public Host Other => Run.Hosts[1];

    /// <summary>The server.</summary>
    public SimServer Server => Run.Servers[0];

    /// <summary>The client's node.</summary>
    public ClientNode Node => Client.Target!.Nodes[0].Node;

    /// <summary>The client's device.</summary>
    public Kernel Device => Client.Kernel!;

    /// <summary>The newest connection.</summary>
    public Link Link => Run.Links[^1];

    /// <summary>Virtual time passes.</summary>
    public void For(long ms) => Run.RunFor(ms);

    /// <summary>Runs until something holds, within 100 virtual seconds.</summary>
    public void Until(string what, Func<bool> holds) =>
        World.Check(Run.RunUntil(holds, 100_000), $"it does not come to this: {what}");

    /// <summary>Gives the device a request.</summary>
    public void Submit(Operation operation, int block, int count, bool fua = false, int queue = 0)
    {
        Run.World.Advance();
        World.Check(Device.TrySubmit(queue, operation, block, count, fua), "no tag is free");
    }

    /// <summary>Waits until the device has answered everything.</summary>
    public void Idle() => Until("all requests are answered", () => Device.InFlight == 0);

    /// <summary>A request, and its answer.</summary>
    public DstStatus Do(Operation operation, int block, int count, bool fua = false)
    {
        Submit(operation, block, count, fua);
        Idle();
        return Device.LastStatus;
    }

    /// <summary>The disk keeps what it has, and what it gets, for a while.</summary>
    public void StickDisk(long ms) => Server.Disk.StuckUntilUs = Run.World.NowUs + (ms * 1000);
}

/// <summary>The named scenarios.</summary>
internal static partial class Scenarios
{
    /// <summary>All of them.</summary>
    public static IReadOnlyList<Scenario> All { get; } =
    [
        new(
            "ghost-write",
            "a write is stuck in the server's disk, its connection dies, newer writes follow (S-05)",
            WriteThrough,
            GhostWrite),
        new(
            "stopped-at-submission",
            "an engine thread is stopped between the look at the epoch and the disk, a newer session attaches (S-06)",
            WriteThrough,
            StoppedAtSubmission),
        new(
            "stopped-before-body",
            "an engine thread is stopped between a write's header and its body, a newer session attaches (S-06)",
            WriteThrough,
            StoppedBeforeBody),
        new(
            "stopped-until-grant",
            "an engine thread is stopped before a write's body until a newer grant is on its way to disk (S-05)",
            WriteThrough,
            StoppedUntilGrant),
        new(
            "stale-attach",
            "an ATTACH sits in the network until a newer session stands (S-02)",
            WriteThrough,
            StaleAttach),
        new(
            "taken-over-client-returns",
            "a client stands still, is taken over, the new holder leaves, the old one wakes (S-02, S-04)",
            WriteBack,
            TakenOver),
        new(
            "taken-over-before-first-use",
            "a client is taken over, the new holder cannot begin, the old one attaches again and stays out (S-04)",
            WriteBack,
            TakenOverBeforeFirstUse),
        new(
            "second-client",
            "a second device comes without take-over and without an epoch: it waits until the first has left (S-04)",
            WriteBack,
            SecondClient),
        new(
            "reader-tries-all",
            "a reader's change does nothing, nor its FLUSH after a failed one; the writer's does (S-04, S-24)",
            WithReader,
            ReaderTriesAll),
        new(
            "poison-outlives-a-device",
            "a flush failed, the device goes and is made anew: its FLUSH fails until somebody accepts the loss (S-24)",
            WithReader,
            PoisonOutlivesADevice),
        new(
            "death-with-disk-writes",
            "a server dies, its writes are still with the disk when its successor starts (S-09)",
            WriteThrough,
            DeathWithDiskWrites),
        new(
            "target-death-with-send-buffer",
            "a target dies, its send buffer drains on, its successor sends the same again (S-05, S-10)",
            WriteThrough,
            TargetDeath),
        new(
            "second-cut-during-replay",
            "power is lost, and lost again while the client replays (S-22)",
            WriteBack,
            SecondCut),
        new(
            "overlapping-changes",
            "two queues change the same blocks at once, then power is lost (S-21)",
            WriteBack,
            Overlapping),
        new(
            "fua-over-unflushed",
            "FUA and zeroes over unflushed data, then power is lost (S-21, C-04)",
            WriteBack,
            FuaOverUnflushed),
        new(
            "replay-cut-short",
            "FUA over unflushed data, power is lost, the target dies within the replay: FUA data stays (C-04)",
            WriteBack,
            ReplayCutShort),
        new(
            "budget-with-half-reply",
            "a budget is spent when half of a reply is read (S-13, S-15)",
            SmallSegments,
            HalfReply),
        new(
            "boot-id-of-an-export",
            "the disk behind an export loses writes, its server lives on (S-23)",
            WriteBack,
            DiskCut),
        new(
            "resends-without-log-room",
            "requests sent while a loss was not accepted need room in the log afterwards (S-21)",
            SmallLog,
            NoLogRoom),
        new(
            "read-beside-resent-change",
            "a change is done and seen, its answer and a read "
                + "are lost with the server: the read waits for the resend (S-12)",
            TwoConnections,
            ReadBesideResend),
        new(
            "successor-over-a-cut",
            "a target dies with unflushed writes, power is lost: its successor's FLUSH must fail (S-23)",
            WriteBack,
            SuccessorOverCut),
        new(
            "goodbye-beside-own-flush",
            "a device is removed while its node makes room in its log: the hold is given back all the same (S-04)",
            SmallLog,
            GoodbyeBesideOwnFlush),
        new(
            "damaged-grant",
            "one bit of ATTACH_OK flips on its way: the node does not believe it, then or later (S-33)",
            () => WriteThrough().With(Fault.BitFlip, 1_000),
            DamagedGrant),
        .. AttachStories,
        .. BudgetStories,
    ];

    /// <summary>A scenario by its name.</summary>
    public static Scenario? Find(string name) => All.FirstOrDefault(scenario => scenario.Name == name);

    private static Plan WriteThrough() => new()
    {
        Cache = CacheMode.WriteThrough,
        Depth = 8,
        Slots = 16,
        ThinkUs = 1_000_000,
    };

    private static Plan WriteBack() => new()
    {
        Cache = CacheMode.WriteBack,
        Queues = 2,
        Depth = 8,
        Slots = 16,
        ThinkUs = 1_000_000,
    };

    private static Plan SmallSegments() => new()
    {
        Cache = CacheMode.WriteThrough,
        SegmentBytes = 256,
        Depth = 8,
        Slots = 16,
        ThinkUs = 1_000_000,
        Budget = new RequestBudget(0, 0, 3_000, EndsWithError: true),
    };

    private static Plan SmallLog() => new()
    {
        Cache = CacheMode.WriteBack,
        Depth = 8,
        Slots = 16,
        ThinkUs = 1_000_000,
        LogBytes = 2 * 8 * Plan.BlockBytes,
        LogEntries = 8,
    };

    private static Plan TwoConnections()
    {
        Plan plan = WriteBack();
        plan.Connections = 2;
        return plan;
    }

    private static Plan WithReader()
    {
        Plan plan = WriteBack();
        plan.Reader = true;
        plan.BareReader = true;
        return plan;
    }

    private static void ReadBesideResend(Bed bed)
    {
        bed.Do(Operation.Write, 8, 4);
        long until = bed.Run.World.NowUs + 60_000_000;
        Pipe changes = bed.Run.Links[^2].Down;
        changes.StalledUntilUs = until;
        bed.Submit(Operation.Write, 8, 4, queue: 0);
        bed.For(100);
        bed.Submit(Operation.Read, 8, 4, queue: 1);
        bed.Until("the change is seen", () => bed.Device.InFlight == 1);
        bed.Link.Down.StalledUntilUs = until;
        bed.Submit(Operation.Read, 8, 4, queue: 1);
        bed.For(100);
        bed.Server.Crash(power: true);
        bed.Idle();
    }

    private static void GhostWrite(Bed bed)
    {
        bed.Do(Operation.Write, 8, 4);
        bed.StickDisk(20_000);
        bed.Submit(Operation.Write, 8, 4);
        bed.For(500);
        bed.Link.Reset();
        bed.Until("the server drains", () => bed.Node.Phase == ClientNodePhase.Draining);
        Link link = bed.Link;
        bed.Until("the drain is over", () => bed.Node.Phase == ClientNodePhase.NotingEpoch);
        World.Check(bed.Link == link, "the client did not wait for the drain");
        bed.Submit(Operation.Write, 9, 2);
        bed.Idle();
        bed.Do(Operation.Write, 8, 4);
        bed.Do(Operation.Read, 8, 4);
    }

    private static void StoppedAtSubmission(Bed bed)
    {
        bed.Do(Operation.Write, 8, 4);
        SessionThread live = bed.Server.Live!;
        Link link = bed.Link;
        live.Stopped = engine =>
        {
            live.Stopped = null;
            link.Reset();
            bed.Run.World.RunWhileStopped(engine, 3_000);
            World.Check(
                bed.Node.Phase == ClientNodePhase.Draining,
                "ATTACH_OK came while a request was between the check and the disk");
        };
        bed.Submit(Operation.Write, 8, 4);
        bed.Idle();
        World.Check(live.Stopped is null, "nothing was stopped");
        bed.Do(Operation.Write, 8, 4);
    }

    private static void StoppedBeforeBody(Bed bed)
    {
        ulong before = bed.Server.GrantedMost;
        StopBeforeBody(bed, () => bed.Server.GrantedMost > before);
    }

    private static void StoppedUntilGrant(Bed bed) => StopBeforeBody(bed, () =>
    {
        bed.StickDisk(20_000);
        return bed.Server.Live!.Session.PendingHold.Granted > bed.Server.Record.Granted;
    });

    private static void StopBeforeBody(Bed bed, Func<bool> goesOn)
    {
        bed.Do(Operation.Write, 8, 4);
        SessionThread live = bed.Server.Live!;
        Link link = bed.Link;
        live.StoppedBeforeBody = engine =>
        {
            live.StoppedBeforeBody = null;
            link.Reset();
            for (int i = 0; i < 3_000 && !goesOn(); i++)
            {
                bed.Run.World.RunWhileStopped(engine, 1);
            }

            World.Check(goesOn(), "no newer session came so far while the engine was stopped");
        };
        bed.Submit(Operation.Write, 8, 4);
        bed.Idle();
        World.Check(live.StoppedBeforeBody is null, "nothing was stopped");
        bed.Do(Operation.Write, 8, 4);
    }

    private static void StaleAttach(Bed bed)
    {
        bed.Do(Operation.Write, 8, 4);
        bed.Link.Reset();
        bed.Until("ATTACH is on its way", () => bed.Node.Phase == ClientNodePhase.Attaching);
        Pipe old = bed.Link.Up;
        old.StalledUntilUs = bed.Run.World.NowUs + 9_000_000;
        bed.Until("another session stands", () => bed.Node.Phase == ClientNodePhase.Live);
        ulong epoch = bed.Node.Epoch;
        World.Check(old.OnTheWay > 0, "the old ATTACH has gone already");
        bed.Do(Operation.Write, 8, 4);
        bed.For(20_000);
        World.Check(
            bed.Node.Phase == ClientNodePhase.Live && bed.Node.Epoch == epoch,
            "the old ATTACH has ended the newer session");
    }

    private static void TakenOver(Bed bed)
    {
        bed.Do(Operation.Write, 8, 8);
        bed.Client.Target!.Process.PausedUntilUs = bed.Run.World.NowUs + 60_000_000;
        bed.Other.AddDevice(takeOver: true);
        Kernel second = bed.Other.Kernel!;
        bed.Until("the other client holds", () => bed.Other.Target!.Nodes[0].Node.Phase == ClientNodePhase.Live);
        second.TrySubmit(0, Operation.Write, 8, 8, fua: false);
        bed.Until("its write is done", () => second.InFlight == 0);
        bed.Other.Remove();
        bed.Until("it has left", () => bed.Other.Kernel is null || bed.Other.Kernel != second);
        bed.Other.DropDevice();
        bed.Until("the first client is fenced", () => bed.Client.HasFailed);
    }

    private static void SecondClient(Bed bed)
    {
        bed.Do(Operation.Write, 8, 8);
        ulong epoch = bed.Node.Epoch;
        bed.Other.AddDevice();
        ClientNode second = bed.Other.Target!.Nodes[0].Node;
        bed.Until("the second is refused", () => second.LastRefusal == RefusalCode.Held);
        bed.For(15_000);
        World.Check(bed.Node.Epoch == epoch && bed.Node.Phase == ClientNodePhase.Live, "the holder was disturbed");
        World.Check(bed.Do(Operation.Flush, 0, 0) == DstStatus.Ok, "the holder's FLUSH fails");
        bed.Client.Ask(NodeOrder.Leave);
        bed.Until("the second holds", () => second.Phase == ClientNodePhase.Live);
        bed.Client.DropDevice();
    }

    private static void TakenOverBeforeFirstUse(Bed bed)
    {
        bed.Do(Operation.Write, 8, 8);
        ulong before = bed.Server.GrantedMost;
        bed.Other.FailState(30_000_000);
        bed.Other.AddDevice(takeOver: true);
        bed.Until("the other client is granted", () => bed.Server.Record.Granted > before && bed.Node.Epoch == 0);
        bed.Until("the first is refused", () => bed.Node.LastRefusal == RefusalCode.Held);
        bed.Until("the first is fenced", () => bed.Client.HasFailed);
        World.Check(
            bed.Other.Target!.Nodes[0].Node.Phase == ClientNodePhase.Live,
            "the first is fenced before the other has begun");
    }

    private static void DeathWithDiskWrites(Bed bed)
    {
        bed.Do(Operation.Write, 8, 4);
        bed.StickDisk(15_000);
        bed.Submit(Operation.Write, 8, 4);
        bed.Submit(Operation.Write, 20, 8);
        bed.For(200);
        bed.Server.Crash(power: false);
        bed.For(3_000);
        bed.Submit(Operation.Write, 8, 4);
        bed.Idle();
        bed.Do(Operation.Write, 8, 4);
    }

    private static void TargetDeath(Bed bed)
    {
        bed.Do(Operation.Write, 8, 4);
        bed.Link.Up.StalledUntilUs = bed.Run.World.NowUs + 3_000_000;
        bed.Submit(Operation.Write, 8, 4);
        bed.Submit(Operation.WriteZeroes, 9, 2);
        bed.For(100);
        bed.Client.CrashTarget();
        bed.Idle();
        bed.Do(Operation.Write, 8, 1);
        bed.For(10_000);
    }

    private static void SecondCut(Bed bed)
    {
        for (int i = 0; i < 10; i++)
        {
            bed.Do(Operation.Write, 2 * i, 8);
        }

        bed.Server.Crash(power: true);
        bed.Until("the client replays", () => bed.Node.Phase == ClientNodePhase.Recovering);
        bed.For(1);
        bed.Server.Crash(power: true);
        bed.Until("the device serves", () => bed.Node.Phase == ClientNodePhase.Live);
        bed.Do(Operation.Read, 0, 8);
    }

    private static void Overlapping(Bed bed)
    {
        for (int i = 0; i < 4; i++)
        {
            bed.Submit(Operation.Write, 8, 8, queue: 0);
            bed.Submit(Operation.Write, 12, 8, queue: 1);
            bed.Submit(Operation.WriteZeroes, 10, 4, queue: 0);
        }

        bed.Idle();
        bed.Server.Crash(power: true);
        bed.Do(Operation.Read, 8, 8);
        bed.Do(Operation.Read, 16, 4);
    }

    private static void FuaOverUnflushed(Bed bed)
    {
        bed.Do(Operation.Write, 8, 8);
        bed.Do(Operation.Write, 10, 2, fua: true);
        bed.Do(Operation.WriteZeroes, 13, 2);
        bed.Do(Operation.WriteZeroes, 8, 1, fua: true);
        bed.Server.Crash(power: true);
        bed.Do(Operation.Read, 8, 8);
    }

    private static void ReplayCutShort(Bed bed)
    {
        // Two writes over each other fill the kept-back slots with what is older than the FUA write.
        bed.Do(Operation.Write, 8, 8);
        bed.Do(Operation.Write, 8, 8, fua: true);
        bed.Server.Crash(power: true);
        bed.Until("the client replays", () => bed.Node.Phase == ClientNodePhase.Recovering);
        bed.Until("the disk has some of it", () => bed.Server.Disk.OpCount > 0);
        bed.Client.CrashTarget();
        bed.Do(Operation.Read, 8, 8);
    }

    private static void HalfReply(Bed bed)
    {
        bed.Do(Operation.Write, 8, 8);
        Pipe down = bed.Link.Down;
        bed.Submit(Operation.Read, 8, 8);
        bed.Until("some of the reply came", () => down.OnTheWay > 256);
        bed.For(1);
        down.StalledUntilUs = bed.Run.World.NowUs + 30_000_000;
        bed.Idle();
        World.Check(bed.Device.LastStatus != DstStatus.Ok, "the budget is spent, the read ended well");
        bed.Do(Operation.Write, 8, 8);
        bed.For(60_000);
    }

    private static void DiskCut(Bed bed)
    {
        bed.Do(Operation.Write, 8, 8);
        bed.Server.CutBehind();
        bed.For(30_000);
        World.Check(bed.Do(Operation.Flush, 0, 0) == DstStatus.Ok, "FLUSH fails though the client has replayed");
        bed.Do(Operation.Read, 8, 8);
    }

    private static void NoLogRoom(Bed bed)
    {
        SuccessorOverCut(bed);
        bed.Link.Up.StalledUntilUs = bed.Run.World.NowUs + 60_000_000;
        for (int i = 0; i < 6; i++)
        {
            bed.Submit(Operation.Write, 8 * i, 8);
        }

        bed.For(500);
        bed.Client.Ask(NodeOrder.ClearError);
        bed.Idle();
    }

    private static void GoodbyeBesideOwnFlush(Bed bed)
    {
        // More than half of the log: the lane flushes by itself.
        bed.Do(Operation.Write, 0, 8);
        bed.Do(Operation.Write, 8, 1);
        bed.StickDisk(2_000);
        bed.Client.Ask(NodeOrder.Leave);
        ClientNode node = bed.Node;
        bed.Until("the node leaves", () => node.Phase == ClientNodePhase.Closed);
        World.Check(node.HoldGivenBack, "the hold stays");
        bed.Client.DropDevice();
    }

    private static void DamagedGrant(Bed bed)
    {
        for (int i = 0; i < 300; i++)
        {
            bed.Client.Ask(NodeOrder.Leave);
            bed.Until("the node leaves", () => bed.Node.Phase == ClientNodePhase.Closed);
            bed.Client.DropDevice();
            bed.Client.ForgetDevice();
            bed.Client.AddDevice();
            bed.Until("ATTACH is on its way", () => bed.Node.Phase == ClientNodePhase.Attaching);
            bed.Link.Down.FlipSoon();
            bed.Until("the node lives", () => bed.Node.Phase == ClientNodePhase.Live);
            bed.Link.Reset();
            bed.Until("the connection is lost", () => bed.Node.Phase != ClientNodePhase.Live);
            bed.Until("the node lives again", () => bed.Node.Phase == ClientNodePhase.Live);
        }
    }

    private static void SuccessorOverCut(Bed bed)
    {
        bed.Do(Operation.Write, 8, 8);
        bed.Client.CrashTarget();
        bed.Server.Crash(power: true);
        bed.Until(
            "the device serves",
            () => bed.Client.Target!.Process.Alive && bed.Node.Phase == ClientNodePhase.Live);
        World.Check(bed.Do(Operation.Flush, 0, 0) != DstStatus.Ok, "FLUSH says ok over lost data");
    }
}
