using Dst.Core.Requests;
using Dst.Core.Sessions.Client;
using Dst.Core.Wire;
using Dst.Simulation.Clients;
using Dst.Simulation.Disks;
using Dst.Simulation.Plans;
using Dst.Simulation.Servers;

namespace Dst.Simulation.Checks;

/// <summary>
/// Whether an error that reached the kernel has a cause: something that struck this device while the request waited
/// (invariant 9, S-15).
/// </summary>
internal static class ErrorTruth
{
    /// <summary>A node's order reaches a lane that stands still no later than this.</summary>
    private const long OrderUs = 130_000_000;

    /// <summary>A failed flush counts from its answer on; its mark is on disk or in vain no later than this.</summary>
    private const long MarkUs = 5_000_000;

    /// <summary>True when it has.</summary>
    /// <param name="host">Whose device.</param>
    /// <param name="request">The request.</param>
    /// <param name="status">How it ended; not Ok.</param>
    /// <param name="sinceUs">When the kernel gave it to the device.</param>
    public static bool Explains(Host host, in Request request, DstStatus status, long sinceUs)
    {
        bool fenced = host.HasFailed || host.Target!.Nodes.Any(node => node.Node.Phase == ClientNodePhase.Failed);
        switch (status)
        {
            case DstStatus.ReservationConflict:
                return fenced;
            case DstStatus.Offline:
                return fenced || IsWithin(host.FailedUs, OrderUs, sinceUs);
            case DstStatus.LinkLost:
            case DstStatus.TimedOut:
                return fenced || IsWithin(host.ErrorBudgetUs, OrderUs, sinceUs);
            case DstStatus.ProtectionError:
                return host.Servers.Any(server => server.FlippedUs >= sinceUs);
            case DstStatus.NoSpace:
                return HasDiskFailed(host, in request, status, sinceUs);
            case DstStatus.IoError:
                return HasDiskFailed(host, in request, status, sinceUs)
                    || IsWithin(host.ForcedUs, OrderUs, sinceUs)
                    || (AsksForDurability(host, in request) && host.Servers.Any(server => IsUnsafe(server, sinceUs)))
                    || (AsksForDurability(host, in request) && host.LostUs >= sinceUs);
            default:
                return false;
        }
    }

    /// <summary>True when something that happened, if it ever did, may still have reached the request.</summary>
    private static bool IsWithin(long happenedUs, long laterUs, long sinceUs) =>
        happenedUs >= 0 && happenedUs + laterUs >= sinceUs;

    /// <summary>A disk has failed a request of the same blocks, or a flush where durability was asked for.</summary>
    private static bool HasDiskFailed(Host host, in Request request, DstStatus status, long sinceUs)
    {
        bool flushes = status == DstStatus.IoError && AsksForDurability(host, in request);
        int blocks = host.World.Plan.NodeBlocks;
        int first = (int)(request.OffsetBytes / Plan.BlockBytes);
        int count = (int)(request.LengthBytes / Plan.BlockBytes);
        for (int node = 0; node < host.Servers.Length; node++)
        {
            SimDisk disk = host.Servers[node].Disk;
            if ((flushes && disk.FlushFailedUs >= sinceUs)
                || disk.HasFailed(status, first - (node * blocks), count, sinceUs))
            {
                return true;
            }
        }

        return false;
    }

    private static bool IsUnsafe(SimServer server, long sinceUs) =>
        server.PoisonMark || server.Live?.IsPoisoned == true || IsWithin(server.PoisonedUs, MarkUs, sinceUs);

    private static bool AsksForDurability(Host host, in Request request) =>
        request.Operation == Operation.Flush
        || (request.Flags & RequestFlags.Fua) != RequestFlags.None
        || (request.IsChange && host.World.Plan.Cache == CacheMode.WriteThrough);
}
