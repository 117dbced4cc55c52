using Dst.Core.Requests;
using Dst.Core.Sessions.Client;
using Dst.Simulation.Engine;
using Dst.Simulation.Network;
using Dst.Simulation.Plans;
using Dst.Simulation.Servers;

namespace Dst.Simulation;

/// <summary>Stories about what is checked when a client comes back.</summary>
internal static partial class Scenarios
{
    private const int RefusedMs = 25_000;

    private static Scenario[] AttachStories =>
    [
        new(
            "export-replaced",
            "while the client is away its export is exchanged, shrunk, changed: it waits for the right one (S-07)",
            WriteThrough,
            ExportReplaced),
        new(
            "export-grown",
            "while the client is away its export grows: it serves (S-07)",
            WriteThrough,
            ExportGrown),
        new(
            "export-copied",
            "a copy of the export, older than the client's epoch, has its name: the client uses it never (S-02, S-07)",
            WriteThrough,
            ExportCopied),
        new(
            "stale-join",
            "a JOIN sits in the network until a newer session waits for its own (S-08)",
            TwoConnections,
            StaleJoin),
        new(
            "read-over-a-loss",
            "a read waits while the disk behind an export loses what was written before: it is no old data (S-23)",
            FastDisk,
            ReadOverALoss),
    ];

    /// <summary>Its answers come before the orders of the thread that has heard of the loss.</summary>
    private static Plan FastDisk()
    {
        Plan plan = WriteBack();
        plan.DiskUs = 1;
        return plan;
    }

    private static void ReadOverALoss(Bed bed)
    {
        for (int i = 0; i < 50; i++)
        {
            bed.Do(Operation.Write, 8, 8);
            bed.Server.CutBehind();
            bed.Do(Operation.Read, 8, 8);
        }
    }

    private static void ExportReplaced(Bed bed)
    {
        bed.Do(Operation.Write, 8, 8);
        foreach (ExportChange change in Enum.GetValues<ExportChange>())
        {
            if (change is not (ExportChange.None or ExportChange.Grown or ExportChange.Copied))
            {
                Refuse(bed, change, careless: false);
                Refuse(bed, change, careless: true);
            }
        }
    }

    private static void Refuse(Bed bed, ExportChange change, bool careless)
    {
        bed.Server.ChangeExport(change, careless, RefusedMs * 1000);
        bed.Until("the connection is lost", () => bed.Node.Phase != ClientNodePhase.Live);
        bed.Submit(Operation.Read, 8, 8);
        bed.For(RefusedMs - 1_000);
        World.Check(bed.Node.State == ClientNodeState.Refused, $"{change}: the status says {bed.Node.State}");
        World.Check(bed.Device.InFlight == 1, $"{change}: a read is answered");
        bed.Idle();
        World.Check(bed.Device.LastStatus == DstStatus.Ok, $"{change}: the read ends with {bed.Device.LastStatus}");
    }

    private static void ExportGrown(Bed bed)
    {
        bed.Do(Operation.Write, 8, 8);
        bed.Server.ChangeExport(ExportChange.Grown, careless: false, 60_000_000);
        bed.Do(Operation.Read, 8, 8);
        World.Check(bed.Server.Live!.Change == ExportChange.Grown, "the larger export did not serve");
    }

    private static void ExportCopied(Bed bed)
    {
        // The copy is of the time between two sessions.
        for (int i = 0; i < 3; i++)
        {
            bed.Do(Operation.Write, 8, 8);
            bed.Server.Crash(power: false);
            bed.Until("the connection is lost", () => bed.Node.Phase != ClientNodePhase.Live);
        }

        bed.Do(Operation.Read, 8, 8);
        bed.Server.ChangeExport(ExportChange.Copied, careless: false, RefusedMs * 1000);
        World.Check(bed.Server.Change == ExportChange.Copied, "there is no older record");
        bed.Until("the device fails", () => bed.Client.HasFailed);
        bed.Until("it is made anew, on the right export", () => bed.Node.Phase == ClientNodePhase.Live);
    }

    private static void StaleJoin(Bed bed)
    {
        bed.Do(Operation.Write, 8, 4);
        long stallUs = 3_000_000;
        Pipe old = Rejoin(bed, stallUs);
        bed.Run.Links[^2].Reset();
        bed.Until("the epoch ends", () => bed.Node.Phase != ClientNodePhase.Joining);

        // The new session waits for its own JOIN when the old one comes.
        Rejoin(bed, 2 * stallUs);
        World.Check(old.OnTheWay > 0, "the old JOIN has gone already");
        bed.Until("the node lives", () => bed.Node.Phase == ClientNodePhase.Live);
        bed.Do(Operation.Read, 8, 4, fua: false);
    }

    /// <summary>Ends the session; the JOIN of the next one stays on its way for a while.</summary>
    private static Pipe Rejoin(Bed bed, long stallUs)
    {
        if (bed.Node.Phase == ClientNodePhase.Live)
        {
            bed.Link.Reset();
            bed.Until("the epoch ends", () => bed.Node.Phase != ClientNodePhase.Live);
        }

        int links = bed.Run.Links.Count;
        bed.Until("another connection stands", () => bed.Run.Links.Count == links + 2);
        Pipe joins = bed.Link.Up;
        bed.Until("it has sent HELLO", () => joins.OnTheWay > 0);
        bed.Until("it is greeted", () => joins.OnTheWay == 0);
        joins.StalledUntilUs = bed.Run.World.NowUs + stallUs;
        bed.Until("JOIN is on its way", () => joins.OnTheWay > 0);
        return joins;
    }
}
