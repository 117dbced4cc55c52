using Dst.Core.Requests;
using Dst.Core.Sessions.Client;
using Dst.Simulation.Clients;
using Dst.Simulation.Engine;
using Dst.Simulation.Network;
using Dst.Simulation.Plans;

namespace Dst.Simulation;

/// <summary>Stories of requests that are to end when a number of sends is spent (S-15).</summary>
internal static partial class Scenarios
{
    private static readonly RequestBudget OneRetry = new(0, 1, 0, EndsWithError: true);

    private static Scenario[] BudgetStories =>
    [
        new(
            "retries-with-other-slots",
            "each epoch grants other credits, so a request takes new ids: it ends all the same when it may (S-15)",
            FewCredits,
            RetriesWithOtherSlots),
        new(
            "later-budget-of-what-waits",
            "a request took new ids and was not sent under them when a budget comes that it has spent: it ends (S-15)",
            FewCredits,
            LaterBudgetOfWhatWaits),
        new(
            "later-budget-of-a-read",
            "a read was put back behind a change when a budget comes that it has spent: it ends (S-15)",
            WriteThrough,
            LaterBudgetOfARead),
    ];

    /// <summary>Whether the reader is there changes what the writer gets.</summary>
    private static Plan FewCredits()
    {
        Plan plan = WithReader();
        plan.CreditBytes = 128 * 1024;
        return plan;
    }

    private static Link WritersLink(Bed bed) =>
        bed.Run.Links.Last(each => each.Name.StartsWith(bed.Client.Name, StringComparison.Ordinal));

    private static void SetBudget(Bed bed)
    {
        bed.Client.Budget = OneRetry;
        bed.Client.Ask(NodeOrder.Budget);
        bed.For(10);
    }

    /// <summary>The next epoch grants other credits, because the reader comes or goes.</summary>
    private static void ToggleReader(Bed bed)
    {
        Host reader = bed.Run.Hosts[2];
        if (reader.Kernel is null)
        {
            reader.AddDevice();
        }
        else
        {
            reader.DropDevice();
        }

        bed.For(2_000);
    }

    /// <summary>A read is sent, and sent again in each of some epochs; no answer comes.</summary>
    /// <returns>The connection that it was sent on last.</returns>
    private static Link SendRead(Bed bed, int epochs, bool otherSlots)
    {
        for (int i = 0; ; i++)
        {
            Link link = WritersLink(bed);
            link.Down.StalledUntilUs = bed.Run.World.NowUs + 60_000_000;
            if (i == 0)
            {
                bed.Submit(Operation.Read, 8, 8);
            }

            bed.For(100);
            if (otherSlots)
            {
                ToggleReader(bed);
            }

            if (i == epochs || bed.Device.InFlight == 0)
            {
                return link;
            }

            Reset(bed, link);
            bed.Until("the node lives", () => bed.Node.Phase == ClientNodePhase.Live);
        }
    }

    private static void Reset(Bed bed, Link link)
    {
        ulong epoch = bed.Node.Epoch;
        link.Reset();
        bed.Until("the epoch ends", () => bed.Node.Phase == ClientNodePhase.Ending || bed.Node.Epoch != epoch);
    }

    private static void RetriesWithOtherSlots(Bed bed)
    {
        Host reader = bed.Run.Hosts[2];
        bed.Until("the reader serves", () => reader.Target!.Nodes[0].Node.Phase == ClientNodePhase.Live);
        SetBudget(bed);
        SendRead(bed, 3, otherSlots: true);
        World.Check(bed.Device.LastStatus == DstStatus.LinkLost, $"the read ends with {bed.Device.LastStatus}");
    }

    private static void LaterBudgetOfWhatWaits(Bed bed)
    {
        Host reader = bed.Run.Hosts[2];
        bed.Until("the reader serves", () => reader.Target!.Nodes[0].Node.Phase == ClientNodePhase.Live);
        SendRead(bed, 2, otherSlots: true);

        // Another boot id is to be noted before anything is sent again.
        bed.Server.Crash(power: false);
        bed.Until("the epoch ends", () => bed.Node.Phase != ClientNodePhase.Live);
        bed.Until("the lanes have settled", () => bed.Node.Phase == ClientNodePhase.NotingServer);
        Reset(bed, WritersLink(bed));
        SetBudget(bed);
        bed.Idle();
        World.Check(bed.Device.LastStatus == DstStatus.LinkLost, $"the read ends with {bed.Device.LastStatus}");
    }

    private static void LaterBudgetOfARead(Bed bed)
    {
        Link link = SendRead(bed, 2, otherSlots: false);
        link.Up.StalledUntilUs = link.Down.StalledUntilUs;
        bed.Submit(Operation.Write, 24, 8);
        bed.For(100);
        Reset(bed, link);
        bed.Until("the write is sent again", () => bed.Node.Phase == ClientNodePhase.Resending);
        link = WritersLink(bed);
        link.Up.StalledUntilUs = bed.Run.World.NowUs + 60_000_000;
        bed.For(100);
        World.Check(bed.Device.InFlight == 2, "the write was answered");
        Reset(bed, link);
        SetBudget(bed);
        bed.Idle();
        World.Check(bed.Device.LastStatus == DstStatus.LinkLost, $"the last ends with {bed.Device.LastStatus}");
    }
}
