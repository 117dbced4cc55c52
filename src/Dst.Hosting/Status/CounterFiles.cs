using Dst.Control;
using Dst.Core.Requests;
using Dst.IO.Measure;
using Dst.Nodes.Engine;

namespace Dst.Hosting.Status;

/// <summary>The counters of a volume or of a node, summed over the queues. Publisher thread.</summary>
/// <param name="folder">Where they are written.</param>
/// <param name="sources">Counters of each queue; live objects.</param>
public sealed class CounterFiles(StatusFolder folder, IReadOnlyList<OperationCounters> sources)
{
    private readonly StatusFile[] _files = [.. StatusTree.Counters.Select(folder.File)];

    /// <summary>Writes what changed.</summary>
    /// <returns>True when something did.</returns>
    public bool Write()
    {
        Span<long> values = stackalloc long[StatusTree.Counters.Count];
        values.Clear();
        for (int i = 0; i < sources.Count; i++)
        {
            OperationCounters counters = sources[i];
            values[0] += counters.FinishedOf((int)Operation.Read);
            values[1] += counters.FinishedOf((int)Operation.Write);
            values[2] += counters.FinishedOf((int)Operation.Flush);
            values[3] += counters.FinishedOf((int)Operation.Discard);
            values[4] += counters.FinishedOf((int)Operation.WriteZeroes);
            values[5] += counters.BytesOf((int)Operation.Read);
            values[6] += counters.BytesOf((int)Operation.Write);
            for (int operation = 0; operation < VolumeQueue.Operations; operation++)
            {
                values[7] += counters.FailedOf(operation);
            }

            values[8] += counters.InFlight;
        }

        bool changed = false;
        for (int i = 0; i < _files.Length; i++)
        {
            changed |= _files[i].Write(values[i]);
        }

        return changed;
    }
}
