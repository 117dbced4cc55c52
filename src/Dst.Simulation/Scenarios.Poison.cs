using Dst.Core.Requests;
using Dst.Core.Sessions.Client;
using Dst.Simulation.Clients;
using Dst.Simulation.Engine;
using Dst.Simulation.Servers;

namespace Dst.Simulation;

/// <summary>Scenarios of flushes that failed, and of who may make that good.</summary>
internal static partial class Scenarios
{
    private static void PoisonOutlivesADevice(Bed bed)
    {
        bed.Do(Operation.Write, 8, 8);
        bed.Server.Disk.FlushErrorsLeft = 1;
        AskReader(bed, Operation.Flush, DstStatus.IoError);
        World.Check(bed.Server.PoisonMark, "a failed flush left no mark");
        bed.Client.DropDevice();
        bed.Client.ForgetDevice();
        bed.Client.AddDevice(takeOver: true);
        bed.Until("the new device serves", () => bed.Node.Phase == ClientNodePhase.Live);
        World.Check(bed.Do(Operation.Flush, 0, 0) == DstStatus.IoError, "a flush that replays nothing says ok");
        World.Check(bed.Server.PoisonMark, "a flush that replays nothing has taken the mark away");
        bed.Server.Live!.Ask(ServerOrder.ClearError);
        bed.For(1_000);
        bed.Client.Ask(NodeOrder.ClearError);
        bed.For(5_000);
        World.Check(bed.Do(Operation.Flush, 0, 0) == DstStatus.Ok, "an accepted loss still fails flushes");
    }

    private static void ReaderTriesAll(Bed bed)
    {
        bed.Do(Operation.Write, 8, 8);
        Ask(Operation.Read, DstStatus.Ok);
        Ask(Operation.Write, DstStatus.ReadOnly);
        Ask(Operation.Discard, DstStatus.ReadOnly);
        Ask(Operation.Flush, DstStatus.Ok);
        Ask(Operation.WriteZeroes, DstStatus.ReadOnly);

        // The writer is away, so that nobody replays.
        bed.Client.Target!.Process.PausedUntilUs = bed.Run.World.NowUs + 60_000_000;
        bed.Server.Disk.FlushErrorsLeft = 1;
        Ask(Operation.Flush, DstStatus.IoError);
        World.Check(bed.Server.PoisonMark, "a failed flush left no mark");
        Ask(Operation.Flush, DstStatus.IoError);
        World.Check(bed.Server.PoisonMark, "a reader has taken the mark away");
        Ask(Operation.Read, DstStatus.Ok);
        bed.For(60_000);
        bed.Do(Operation.Flush, 0, 0);
        World.Check(!bed.Server.PoisonMark, "the writer's replay has not taken the mark away");

        void Ask(Operation operation, DstStatus expected) => AskReader(bed, operation, expected);
    }

    private static void AskReader(Bed bed, Operation operation, DstStatus expected)
    {
        Kernel reader = bed.Run.Hosts[2].Kernel!;
        bed.Run.World.Advance();
        int count = operation == Operation.Flush ? 0 : 8;
        World.Check(reader.TrySubmit(0, operation, 8, count, fua: false), "no tag is free");
        bed.Until("the reader is answered", () => reader.InFlight == 0);
        World.Check(reader.LastStatus == expected, $"a reader's {operation} ends with {reader.LastStatus}");
    }
}
