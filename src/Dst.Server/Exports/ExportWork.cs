using Dst.Control;
using Dst.Core.Volumes;
using Dst.Core.Wire;
using Dst.Hosting;
using Dst.Hosting.Nodes;
using Dst.Net.Server;
using Dst.Nodes;
using Dst.Nodes.Backings;
using Dst.Nodes.Marks;

namespace Dst.Server.Exports;

/// <summary>
/// One export from its nodes to its clients: opened, committed, closed, in that order and once. Control threads, one at
/// a time; each step undoes itself when it fails.
/// </summary>
internal sealed class ExportWork
{
    private readonly StateDirectory _state;
    private readonly ExportSignals _signals = new();
    private readonly NodeSet _nodes;
    private readonly bool _isNew;
    private readonly CancellationTokenSource _givenUp = new();
    private NetworkOpening? _network;
    private NodeMarks? _marks;
    private bool _hadMarks;

    /// <summary>Makes an export that has nothing open.</summary>
    /// <param name="record">What it is to be; with a layout inside, what it was.</param>
    /// <param name="state">Where its marks and its hold record are.</param>
    /// <param name="log">Takes lines for people.</param>
    public ExportWork(ExportRecord record, StateDirectory state, ProcessLog log)
    {
        Record = record;
        _state = state;
        _isNew = record.Layout is null;
        _nodes = new NodeSet(new NodeFactory(_signals.SignalKeeper, Network));

        NetworkOpening Network() => _network ??= ExportNodes.Opening(record, state, Engines, log);
    }

    /// <summary>Engine threads of every export; each is a queue of its nodes.</summary>
    private static int Engines => int.Min(Environment.ProcessorCount, ServerLimits.DefaultEnginesMax);

    /// <summary>As told by dstd.</summary>
    public ExportRecord Record { get; }

    /// <summary>Name of the export.</summary>
    public string Name => Record.Request.Name;

    /// <summary>opening, open, live or stopping. Written by control threads, read by any.</summary>
    public string State { get; set; } = ExportWorkState.Opening;

    /// <summary>Somebody ends it now. Written under the lock of whoever keeps the works.</summary>
    public bool IsBeingEnded { get; set; }

    /// <summary>What clients rely on; null before it is open.</summary>
    public ExportLayout? Layout { get; private set; }

    /// <summary>The nodes in the order of the map; closed by the server once it is live.</summary>
    public IReadOnlyList<Node> Nodes { get; private set; } = [];

    /// <summary>Opens the nodes, derives or checks the layout. Nothing remains when it fails.</summary>
    /// <param name="holds">Where a hold of an older export of this name might be left.</param>
    /// <param name="events">Told of progress and waiting.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <exception cref="ControlException">Why it cannot be.</exception>
    /// <exception cref="OperationCanceledException">It was given up.</exception>
    public ExportLayout Open(IHoldStore holds, IBackingEvents events, CancellationToken cancellation)
    {
        try
        {
            ExportRequest request = Record.Request;
            using var cancel = CancellationTokenSource.CreateLinkedTokenSource(cancellation, _givenUp.Token);
            // Before any node: whoever else serves this volume would be waited for without end.
            _marks = OpenMarks();
            _hadMarks = true;
            _nodes.Open(
                request.Nodes, request.ReadOnly, _isNew ? null : Record.Layout!.Nodes, null, events, cancel.Token);
            Nodes = _nodes.Nodes;
            Layout = _isNew ? Derive(request) : Record.Layout!;
            GeometryRules.Check(PromisesOf(Layout), Nodes);
            if (_isNew)
            {
                // What an export of this name has left that was removed while nobody could clear up.
                holds.Delete(Name);
            }

            State = ExportWorkState.Open;
            return Layout;
        }
        catch (ControlException e)
        {
            throw e.With(Undo());
        }
        catch
        {
            Undo();
            throw;
        }
    }

    /// <summary>Makes <see cref="Open"/> give up, wherever it waits. Any thread.</summary>
    public void GiveUp() => _givenUp.Cancel();

    /// <summary>Lets clients in. Nothing remains when it fails.</summary>
    /// <param name="host">Serves it.</param>
    /// <exception cref="ControlException">Why it cannot be served.</exception>
    public void Commit(ServerHost host)
    {
        ExportLayout layout = Layout!;
        ExportSettings settings;
        try
        {
            settings = Settings();
        }
        catch (ControlException e)
        {
            throw e.With(Undo());
        }

        var volume = new ExportVolume
        {
            Nodes = Nodes = _nodes.Release(),
            Map = new VolumeMap(
                [.. layout.Nodes.Select(node => node.LengthBytes)], layout.BlockSizeBytes, layout.MaxIoBytes),
            Geometry = GeometryOf(layout),
            Marks = _marks,
            Signals = _signals,
            EndsForGood = _isNew,
        };
        _marks = null;
        try
        {
            host.AddExport(volume, settings);
            volume.EndsForGood = false;
        }
        catch (ServerException e)
        {
            // The volume was closed with the refusal.
            Undo();
            throw new ControlException(CodeOf(e.Fault), e.Message).With(volume.Notes);
        }

        State = ExportWorkState.Live;
    }

    /// <summary>Takes back what was opened, when the export does not come to be.</summary>
    /// <returns>What stays held elsewhere, a line for people each.</returns>
    public IReadOnlyList<string> Undo()
    {
        if (_isNew)
        {
            _nodes.RemoveCreated();
        }

        _marks?.Dispose();
        _marks = null;
        IReadOnlyList<string> notes = _nodes.Close(goodbye: _isNew);
        if (_isNew)
        {
            ExportNodes.Forget(Record, _state);
            if (_hadMarks)
            {
                File.Delete(_state.ExportMarks(Name));
            }
        }

        State = ExportWorkState.Closed;
        return notes;
    }

    private static ControlErrorCode CodeOf(ServerFault fault) => fault switch
    {
        ServerFault.InUse => ControlErrorCode.Busy,
        ServerFault.WrongInput => ControlErrorCode.Usage,
        _ => ControlErrorCode.Failure,
    };

    private static ExportGeometry GeometryOf(ExportLayout layout) => new(
        (ulong)layout.SizeBytes,
        (ulong)layout.MaxChangeBytes,
        (uint)layout.BlockSizeBytes,
        (uint)layout.MaxIoBytes,
        (uint)layout.DiscardGranularityBytes,
        (layout.ReadOnly ? ExportCapabilities.ReadOnly : ExportCapabilities.None)
            | (layout.CanDiscard ? ExportCapabilities.Discard : ExportCapabilities.None)
            | (layout.CanWriteZeroes ? ExportCapabilities.WriteZeroes : ExportCapabilities.None));

    private static VolumePromises PromisesOf(ExportLayout layout) => new(
        "export", layout.Nodes, layout.BlockSizeBytes, layout.VolatileCache, layout.ReadOnly);

    private ExportLayout Derive(ExportRequest request)
    {
        var options = new GeometryOptions
        {
            MaxIoBytes = request.MaxIoBytes,
            BlockSizeBytes = request.BlockSizeBytes,
            ReadOnly = request.ReadOnly,
            // Of no meaning for an export, whose memory the server bounds; chosen so that they refuse nothing.
            Queues = 1,
            DepthTags = 1,
        };
        GeometryPlan plan = GeometryRules.Derive(options, Nodes);
        ExportGeometry geometry = ExportVolume.From(plan, Nodes, _signals, null).Geometry;
        return new ExportLayout
        {
            SizeBytes = plan.SizeBytes,
            BlockSizeBytes = plan.BlockSizeBytes,
            MaxIoBytes = plan.MaxIoBytes,
            MaxChangeBytes = (long)geometry.MaxChangeBytes,
            DiscardGranularityBytes = (int)geometry.DiscardGranularityBytes,
            ReadOnly = plan.ReadOnly,
            CanDiscard = plan.MaxDiscardBytes > 0,
            CanWriteZeroes = plan.MaxWriteZeroesBytes > 0,
            VolatileCache = plan.VolatileCache,
            Nodes = GeometryRules.Place(request.Nodes, Nodes, plan.CreateMap()),
        };
    }

    private NodeMarks OpenMarks()
    {
        try
        {
            return NodeMarks.OfVolume(_state.ExportMarks(Name), _isNew);
        }
        catch (NodeMarksException e)
        {
            throw new ControlException(
                e.IsOwned ? ControlErrorCode.Busy : ControlErrorCode.Failure, $"export {Name}: {e.Message}");
        }
    }

    private ExportSettings Settings()
    {
        ExportRequest request = Record.Request;
        AddressRules rules = AddressRules.Check(request.Name, request.Listen, request.Allow);
        return new ExportSettings
        {
            Name = request.Name,
            Identity = NetworkOpening.NumberOf(Record.Uuid),
            Cache = request.Cache == ExportCache.WriteBack ? CacheMode.WriteBack : CacheMode.WriteThrough,
            Listen = rules.Listen,
            Allow = rules.Allow,
            Engines = Engines,
            MemoryBytes = request.MemoryBytes,
            Returns = !_isNew,
        };
    }
}

/// <summary>States of an export in the server.</summary>
internal static class ExportWorkState
{
    public const string Opening = "opening";
    public const string Open = "open";
    public const string Live = "live";
    public const string Stopping = "stopping";
    public const string Closed = "closed";
}
