using Dst.Control;
using Dst.Core.Sessions.Client;
using Dst.Core.Volumes;
using Dst.Hosting;
using Dst.Hosting.Nodes;
using Dst.Net.Client;
using Dst.Nodes;

namespace Dst.Target.Devices;

/// <summary>What holds for the opening of a device and is not kept.</summary>
/// <param name="TakeOver">An operator wants the holders of its exports fenced, once (S-04).</param>
/// <param name="TimeoutMs">How long its network nodes may take to attach; null for no limit.</param>
internal sealed record OpeningWishes(bool TakeOver, int? TimeoutMs);

/// <summary>The network nodes of a device. Control threads, one at a time.</summary>
internal static class NetworkNodes
{
    /// <summary>How the nodes of a record are opened; of a new device nothing older is left behind.</summary>
    /// <param name="run">Where the notes of this boot are.</param>
    /// <param name="state">Where the epochs are.</param>
    /// <param name="record">The device.</param>
    /// <param name="queues">Its queues on this machine.</param>
    /// <param name="wishes">What holds for this opening.</param>
    /// <param name="log">Of the process.</param>
    /// <exception cref="IOException">What an older device has left cannot be removed.</exception>
    public static NetworkOpening Opening(
        RunDirectory run,
        StateDirectory state,
        DeviceRecord record,
        int queues,
        OpeningWishes wishes,
        ProcessLog log)
    {
        string name = record.Request.Name;
        Directory.CreateDirectory(run.Notes);
        if (record.Geometry is null)
        {
            for (int i = 0; i < record.Request.Nodes.Count; i++)
            {
                File.Delete(state.NodeEpoch(name, i));
                File.Delete(run.NodeNote(name, i));
            }
        }

        return new NetworkOpening(new NetworkWishes
        {
            Uuid = record.Uuid,
            Holder = $"{name} on {Environment.MachineName}",
            Software = "dst-target",
            Plan = new NetworkQueuePlan(
                queues,
                record.Geometry?.DepthTags ?? record.Request.DepthTags ?? GeometryPlan.DefaultDepthTags,
                record.Geometry?.MaxIoBytes ?? record.Request.MaxIoBytes ?? GeometryPlan.DefaultMaxIoBytes),
            Stores = index => new NetworkStores(
                new FileEpochStore(state.NodeEpoch(name, index)), new FileServerNoteStore(run.NodeNote(name, index))),
            Known = record.Geometry?.Nodes,
            TakeOver = wishes.TakeOver,
            TimeoutMs = wishes.TimeoutMs,
            Log = log.Write,
        });
    }

    /// <summary>Tells a node something (S-15).</summary>
    /// <exception cref="ControlException">It is no network node, or knows no such order.</exception>
    public static void Order(string device, int index, Node node, string order, NodeSettings? settings)
    {
        if (node.Innermost is not NetworkNode remote)
        {
            throw new ControlException(
                ControlErrorCode.Usage,
                $"node {index} of device {device} is not a network node ({node.Type}:{node.Address})");
        }

        switch (order)
        {
            case NodeOrder.Suspend:
                remote.Suspend();
                break;
            case NodeOrder.Resume:
                remote.Resume();
                break;
            case NodeOrder.Fail:
                remote.Fail();
                break;
            case NodeOrder.Set when settings is not null:
                remote.SetBudgets(Changed(remote.Budgets, settings));
                break;
            default:
                throw new ControlException(ControlErrorCode.Usage, $"nodes know no order '{order}'");
        }
    }

    /// <summary>An operator accepts what network nodes have lost (S-23).</summary>
    /// <param name="nodes">The nodes.</param>
    /// <param name="nodeIndex">The one that is meant; all when null.</param>
    public static void ClearErrors(IReadOnlyList<Node> nodes, int? nodeIndex)
    {
        for (int i = 0; i < nodes.Count; i++)
        {
            if ((nodeIndex is null || nodeIndex == i)
                && nodes[i].Innermost is NetworkNode { Status.LostUnflushedWrites: true } remote)
            {
                remote.ClearError();
            }
        }
    }

    private static RequestBudget Changed(RequestBudget now, NodeSettings settings) => new(
        settings.DeadlineMs ?? now.DeadlineMs,
        settings.Retries ?? now.RetriesMax,
        settings.RetryTimeMs ?? now.RetryTimeMs,
        settings.EndsWithError ?? now.EndsWithError);
}
