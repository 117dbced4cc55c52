using Dst.Core.Requests;
using Dst.Simulation.Clients;
using Dst.Simulation.Disks;
using Dst.Simulation.Engine;
using Dst.Simulation.Servers;

namespace Dst.Simulation.Checks;

/// <summary>Whether a loss that a node reports can be one (S-23).</summary>
internal static class LossTruth
{
    /// <summary>
    /// Since the session of the last note was granted the server has come anew, its disk or a connection has failed, or
    /// the export is poisoned.
    /// </summary>
    public static void Check(NodeDriver node)
    {
        long sinceUs = node.Target.Host.NoteSinceUs[node.Index];
        SimServer server = node.Server;
        SimDisk disk = server.Disk;
        bool failed = disk.FlushFailedUs >= sinceUs || server.FlippedUs >= sinceUs
            || disk.HasFailed(DstStatus.IoError, 0, disk.Blocks, sinceUs)
            || disk.HasFailed(DstStatus.NoSpace, 0, disk.Blocks, sinceUs);
        bool poisoned = server.PoisonMark || server.PoisonedUs >= sinceUs || server.Live?.IsPoisoned == true;
        World.Check(
            failed || poisoned || server.LossUs >= sinceUs,
            $"{node.Name} says that unflushed writes are lost, and nothing has taken any since "
            + $"{sinceUs / 1000} ms (S-23)");
    }
}
