using Dst.Core.Volumes;
using Dst.Core.Wire;
using Dst.Nodes;
using Dst.Nodes.Marks;

namespace Dst.Net.Server;

/// <summary>
/// How the nodes of an export reach those who must be woken before these exist: nodes are opened first and get its two
/// methods; the export connects them when it is made. Any thread.
/// </summary>
public sealed class ExportSignals
{
    private Action _wakeEngines = static () => { };
    private Action _signalKeeper = static () => { };

    /// <summary>Wakes the loop of every engine thread of the export.</summary>
    public void WakeEngines() => Volatile.Read(ref _wakeEngines)();

    /// <summary>Wakes the keeper of error marks; for nodes' <c>keeperSignal</c>.</summary>
    public void SignalKeeper() => Volatile.Read(ref _signalKeeper)();

    internal void Connect(Action wakeEngines, Action signalKeeper)
    {
        Volatile.Write(ref _wakeEngines, wakeEngines);
        Volatile.Write(ref _signalKeeper, signalKeeper);
    }
}

/// <summary>
/// What an export serves. The export owns it from <see cref="ServerHost.AddExport"/> on, when that succeeds.
/// </summary>
public sealed record ExportVolume : IDisposable
{
    /// <summary>The nodes in the order of the map; disposed with the export.</summary>
    public required IReadOnlyList<Node> Nodes { get; init; }

    /// <summary>Which bytes are where.</summary>
    public required VolumeMap Map { get; init; }

    /// <summary>Size and limits as clients are told.</summary>
    public required ExportGeometry Geometry { get; init; }

    /// <summary>
    /// Error marks of the nodes (C-16), open; null where no node can lose anything. Disposed with the export.
    /// </summary>
    public NodeMarks? Marks { get; init; }

    /// <summary>What the nodes were given to wake others with.</summary>
    public ExportSignals Signals { get; init; } = new();

    /// <summary>
    /// The export is not to come back: nodes that are exports of other servers give those back when they are closed
    /// (S-04). Control threads.
    /// </summary>
    public bool EndsForGood { get; set; }

    /// <summary>The volume of a plan.</summary>
    /// <param name="plan">Derived from the nodes.</param>
    /// <param name="nodes">The nodes in the plan's order.</param>
    /// <param name="signals">What the nodes were opened with.</param>
    /// <param name="marks">Error marks of the nodes, or null.</param>
    public static ExportVolume From(
        GeometryPlan plan, IReadOnlyList<Node> nodes, ExportSignals signals, NodeMarks? marks)
    {
        return new ExportVolume
        {
            Nodes = nodes,
            Map = plan.CreateMap(),
            Geometry = GeometryOf(plan),
            Marks = marks,
            Signals = signals,
        };
    }

    /// <summary>What stays held elsewhere though it has ended for good, a line for people each.</summary>
    public IReadOnlyList<string> Notes { get; private set; } = [];

    /// <summary>Closes nodes and marks.</summary>
    public void Dispose()
    {
        Marks?.Dispose();
        Notes = Node.CloseAll(Nodes, EndsForGood);
    }

    private static ExportGeometry GeometryOf(GeometryPlan plan)
    {
        ExportCapabilities capabilities = plan.ReadOnly ? ExportCapabilities.ReadOnly : ExportCapabilities.None;
        capabilities |= plan.MaxDiscardBytes > 0 ? ExportCapabilities.Discard : ExportCapabilities.None;
        capabilities |= plan.MaxWriteZeroesBytes > 0 ? ExportCapabilities.WriteZeroes : ExportCapabilities.None;
        long changeBytes =
            long.Min(long.Max(plan.MaxDiscardBytes, plan.MaxWriteZeroesBytes), WireLimits.ChangeMaxBytes);
        changeBytes -= changeBytes % plan.BlockSizeBytes;
        return new ExportGeometry(
            (ulong)plan.SizeBytes,
            (ulong)long.Max(changeBytes, plan.BlockSizeBytes),
            (uint)plan.BlockSizeBytes,
            (uint)plan.MaxIoBytes,
            (uint)plan.DiscardGranularityBytes,
            capabilities);
    }
}
