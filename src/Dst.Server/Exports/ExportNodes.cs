using Dst.Control;
using Dst.Core.Volumes;
using Dst.Hosting;
using Dst.Hosting.Nodes;
using Dst.Net.Client;
using Dst.Net.Server;

namespace Dst.Server.Exports;

/// <summary>The nodes of an export that are exports themselves. Control threads, one at a time for each.</summary>
internal static class ExportNodes
{
    /// <summary>How long those of an export that is being made may take to attach.</summary>
    private const int AttachMs = 30_000;

    /// <summary>How the nodes of a record are opened; of a new export nothing older is left behind.</summary>
    /// <param name="record">The export.</param>
    /// <param name="state">Where the last epochs are.</param>
    /// <param name="engines">Engine threads of the export.</param>
    /// <param name="log">Takes lines for people.</param>
    /// <exception cref="IOException">What an older export has left cannot be removed.</exception>
    public static NetworkOpening Opening(ExportRecord record, StateDirectory state, int engines, ProcessLog log)
    {
        string name = record.Request.Name;
        bool isNew = record.Layout is null;
        if (isNew)
        {
            Forget(record, state);
        }

        return new NetworkOpening(new NetworkWishes
        {
            Uuid = record.Uuid,
            Holder = $"export {name} on {Environment.MachineName}",
            Software = "dst-server",
            Plan = new NetworkQueuePlan(
                engines,
                ServerLimits.RequestsPerEngine,
                record.Layout?.MaxIoBytes ?? record.Request.MaxIoBytes ?? GeometryPlan.DefaultMaxIoBytes),
            Stores = index => new NetworkStores(
                new FileEpochStore(state.ExportNodeEpoch(name, index)), new NoServerNotes()),
            Known = record.Layout?.Nodes,
            TimeoutMs = isNew ? AttachMs : null,
            Log = line => log.Write($"export {name}: {line}"),
        });
    }

    /// <summary>Removes the epochs of an export that is not there any more.</summary>
    /// <exception cref="IOException">One cannot be removed.</exception>
    public static void Forget(ExportRecord record, StateDirectory state)
    {
        for (int i = 0; i < record.Request.Nodes.Count; i++)
        {
            File.Delete(state.ExportNodeEpoch(record.Request.Name, i));
        }
    }
}
