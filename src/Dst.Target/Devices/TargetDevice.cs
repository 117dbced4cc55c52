using Dst.Control;
using Dst.Core.Transactions;
using Dst.Core.Volumes;
using Dst.Hosting;
using Dst.Hosting.Nodes;
using Dst.Interop;
using Dst.IO.Measure;
using Dst.IO.Processes;
using Dst.Net.Client;
using Dst.Nodes;
using Dst.Nodes.Backings;
using Dst.Nodes.Health;
using Dst.Nodes.Marks;
using Dst.Target.Status;
using Dst.Ublk.Control;

namespace Dst.Target.Devices;

/// <summary>
/// The one device of a target, from its nodes to its disk: opened, started, stopped, in that order and once. Control
/// threads call it one at a time; each step undoes itself when it fails.
/// </summary>
internal sealed class TargetDevice
{
    /// <summary>Of the runtime, the control device, the marks, the status tree and the connections (D-12).</summary>
    private const int FilesBase = 128;

    /// <summary>The backing, what is opened to check it, and the folder of its status.</summary>
    private const int FilesPerNode = 4;

    /// <summary>The ring, its event and the character device.</summary>
    private const int FilesPerQueue = 3;

    /// <summary>How long the kernel may read the partition table while it starts.</summary>
    private const int StartPatienceMs = 30_000;

    private readonly RunDirectory _run;
    private readonly string _name;
    private readonly ProcessLog _log;
    private readonly ActivitySignal _activity = new();
    private readonly NodeSet _nodes;
    private NetworkOpening? _network;
    private string _stateDirectory = string.Empty;
    private bool _goodbye;
    private IReadOnlyList<string> _notes = [];
    private QueueSet? _queues;
    private MarkKeeper? _keeper;
    private KernelDevice? _kernel;
    private StatusPublisher? _publisher;
    private int _queueCount;
    private bool _isNew;
    private NodeMarks? _marks;
    private volatile bool _stopping;

    public TargetDevice(RunDirectory run, string name, ProcessLog log)
    {
        _run = run;
        _name = name;
        _log = log;
        _nodes = new NodeSet(new NodeFactory(() => _keeper?.Signal(), () => _network!));
    }

    /// <summary>
    /// Raised when the kernel has retired every queue without our asking: somebody else stopped the device.
    /// </summary>
    public event Action? Lost;

    /// <summary>new, open, live, stopping or stopped.</summary>
    public string State { get; private set; } = "new";

    /// <summary>What it serves; null while new.</summary>
    public DeviceGeometry? Geometry { get; private set; }

    /// <summary>The nodes, for the status tree.</summary>
    public IReadOnlyList<Node> Nodes => _nodes.Nodes;

    /// <summary>The queues' engines, for the status tree.</summary>
    public IReadOnlyList<QueueThread> Queues => _queues?.Threads ?? [];

    /// <summary>
    /// Opens the nodes, derives or checks the geometry, makes the kernel device. Nothing remains when it fails.
    /// </summary>
    /// <exception cref="ControlException">Why it cannot be.</exception>
    /// <exception cref="OperationCanceledException">It was given up.</exception>
    public DeviceGeometry Open(
        DeviceRecord record,
        string stateDirectory,
        OpeningWishes wishes,
        IBackingEvents events,
        CancellationToken cancellation)
    {
        if (State != "new")
        {
            throw new ControlException(ControlErrorCode.Busy, $"target of {_name}: already open");
        }

        try
        {
            _queueCount = DeviceGeometryRules.QueuesOf(record, PossibleProcessors.Count());
            CheckOpenFiles(record);
            // First of all, so that a kernel without ublk is refused before anything is touched.
            _kernel = new KernelDevice();
            _isNew = record.Geometry is null;
            _stateDirectory = stateDirectory;
            // Before any node: whoever else serves this volume would be waited for without end.
            OpenMarks(stateDirectory);
            _network = NetworkNodes.Opening(
                _run, new StateDirectory(stateDirectory), record, _queueCount, wishes, _log);
            _nodes.Open(
                record.Request.Nodes,
                record.Request.ReadOnly,
                record.Geometry?.Nodes,
                _kernel.IsDst,
                events,
                cancellation);
            DeviceGeometry geometry = record.Geometry ?? DeviceGeometryRules.Derive(record.Request, _nodes.Nodes);
            DeviceGeometryRules.Check(geometry, _nodes.Nodes);
            Geometry = geometry with { UblkId = _kernel.Make(geometry, _queueCount) };
            State = "open";
            return Geometry;
        }
        catch (UblkException e)
        {
            Undo();
            throw Translate(e);
        }
        catch (ControlException e)
        {
            Undo();
            throw e.With(_notes);
        }
        catch
        {
            Undo();
            throw;
        }
    }

    /// <summary>Serves: the disk is there when this returns.</summary>
    /// <returns>Path of the block device.</returns>
    /// <exception cref="ControlException">It is not open, or its character device cannot be had.</exception>
    /// <exception cref="TargetFatalException">It cannot be served; only the end of the process undoes that.</exception>
    public string Start()
    {
        if (State != "open")
        {
            throw new ControlException(ControlErrorCode.Failure, $"target of {_name}: start in state {State}");
        }

        DetachMounts();
        DeviceGeometry geometry = Geometry!;
        var queues = new QueueSet(PlanOf(geometry, _kernel!.OpenQueues()), _queueCount, OnQueuesEnded);
        _queues = queues;
        _keeper!.Start([.. Nodes.Select(node => node.Health)], () =>
        {
            queues.Wake();
            _activity.Signal();
        });
        queues.Start();
        StartKernel(queues);
        State = "live";
        // Pairs with the increment in QueueSet.OnEnded: either the last queue sees that we are live, or we see its end.
        Interlocked.MemoryBarrier();
        if (queues.HaveEnded)
        {
            throw new TargetFatalException($"{UblkControl.BlockPath(geometry.UblkId)} was stopped by somebody else");
        }

        foreach (string complaint in ProcessGuard.Harden())
        {
            _log.Write(complaint);
        }

        Publish();
        string path = UblkControl.BlockPath(geometry.UblkId);
        _log.Write(
            $"{path} is live: {geometry.SizeBytes} bytes on {geometry.Nodes.Count} nodes, "
            + $"{_queueCount} queues of {geometry.DepthTags}");
        return path;
    }

    /// <summary>
    /// Stops and deletes the kernel device and closes the nodes (U-20 to U-24). Queues serve until the kernel says that
    /// it is stopped (U-23).
    /// </summary>
    /// <param name="failPending">Requests in flight end with an error.</param>
    /// <param name="timeoutMs">How long requests in flight may take.</param>
    /// <returns>What stays held elsewhere, a line for people each.</returns>
    /// <exception cref="ControlException">It goes on as it was.</exception>
    public IReadOnlyList<string> Stop(bool failPending, int timeoutMs)
    {
        if (State == "live")
        {
            Drain(failPending, timeoutMs);
            State = "stopping";
            _activity.Signal();
            _stopping = true;
            try
            {
                _kernel!.Stop();
            }
            catch (UblkException e)
            {
                _stopping = false;
                State = "live";
                _activity.Signal();
                throw Translate(e);
            }
        }

        _stopping = true;
        _goodbye = true;
        Release();
        return _notes;
    }

    /// <summary>Lets flushes through again (C-16).</summary>
    /// <param name="nodeIndex">The node, or null for all.</param>
    /// <exception cref="ControlException">No such node, or its mark cannot be taken away.</exception>
    public void ClearError(int? nodeIndex)
    {
        if (nodeIndex is < 0 || nodeIndex >= Nodes.Count)
        {
            throw new ControlException(
                ControlErrorCode.NotFound, $"device {_name} has no node {nodeIndex}; it has {Nodes.Count}, from 0");
        }

        NetworkNodes.ClearErrors(Nodes, nodeIndex);
        int error = State == "live" ? _keeper!.Clear(nodeIndex) : 0;
        if (error < 0)
        {
            throw new ControlException(
                ControlErrorCode.Failure,
                $"device {_name}: the error mark cannot be taken away: {Errno.Describe(-error)}");
        }

        _activity.Signal();
    }

    /// <summary>Tells a network node something (S-15).</summary>
    /// <param name="nodeIndex">The node.</param>
    /// <param name="order">A word of <see cref="NodeOrder"/>.</param>
    /// <param name="settings">With set: what changes.</param>
    /// <exception cref="ControlException">No such node, or it is no network node.</exception>
    public void OrderNode(int nodeIndex, string order, NodeSettings? settings)
    {
        if (State != "live" || nodeIndex < 0 || nodeIndex >= Nodes.Count)
        {
            throw new ControlException(
                ControlErrorCode.NotFound,
                $"device {_name} is {State} and has {Nodes.Count} nodes; no node {nodeIndex}");
        }

        NetworkNodes.Order(_name, nodeIndex, Nodes[nodeIndex], order, settings);
        _activity.Signal();
    }

    /// <summary>Frees all that is left, as far as the state allows. After this the process ends.</summary>
    public void Release()
    {
        _publisher?.Stop();
        _queues?.Join(_log);
        _keeper?.Dispose();
        _keeper = null;
        _marks = null;
        _queues?.Dispose();
        _queues = null;
        try
        {
            _kernel?.Delete();
        }
        catch (UblkException e)
        {
            _log.Write(e.Message);
        }

        _kernel?.Dispose();
        _kernel = null;
        _notes = _nodes.Close(_goodbye);
        foreach (string note in _notes)
        {
            _log.Write(note);
        }

        Geometry = null;
        State = "stopped";
    }

    /// <summary>Takes back what <see cref="Open"/> made, when the device does not come to be.</summary>
    public void Undo()
    {
        _goodbye = _isNew;
        try
        {
            RemoveCreated();
        }
        finally
        {
            Release();
        }
    }

    /// <summary>Removes the files that a device which does not come to be has made.</summary>
    public void RemoveCreated()
    {
        if (_isNew)
        {
            _nodes.RemoveCreated();
            _marks?.Remove();
        }
    }

    private static ControlException Translate(UblkException e)
    {
        bool taken = e.ErrorNumber is Errno.EEXIST or Errno.EBUSY;
        ControlErrorCode code = taken ? ControlErrorCode.Busy : ControlErrorCode.Failure;
        return new ControlException(e.TimedOut ? ControlErrorCode.TimedOut : code, e.Message);
    }

    /// <summary>
    /// START may read the partition table (U-25). Over a node that does not answer it would wait for ever, and with it
    /// this process even when it is killed: its reads are ended with an error first.
    /// </summary>
    private void StartKernel(QueueSet queues)
    {
        Task starting = Task.Run(_kernel!.Start);
        bool inTime = Task.WaitAny([starting], StartPatienceMs) == 0;
        if (!inTime)
        {
            queues.FailPending();
        }

        try
        {
            starting.GetAwaiter().GetResult();
        }
        catch (UblkException e)
        {
            throw new TargetFatalException(e.Message);
        }

        if (!inTime)
        {
            throw new TargetFatalException(
                $"device {_name}: the kernel could not read the partition table within {StartPatienceMs / 1000} s; "
                + "a node does not answer, or is too slow");
        }
    }

    private QueuePlan PlanOf(DeviceGeometry geometry, int charFd) => new(
        charFd,
        new VolumeMap(
            [.. geometry.Nodes.Select(node => node.LengthBytes)], geometry.BlockSizeBytes, geometry.MaxIoBytes),
        new FlushLedger(geometry.Nodes.Count, _queueCount),
        Nodes,
        geometry.DepthTags,
        geometry.MaxIoBytes,
        geometry.ReadOnly,
        _activity);

    /// <summary>Refuses what would run out of descriptors (D-12).</summary>
    private void CheckOpenFiles(DeviceRecord record)
    {
        long needed = FilesBase
            + (FilesPerNode * (long)record.Request.Nodes.Count)
            + (FilesPerQueue * (long)_queueCount);
        if (ProcessGuard.RaiseOpenFiles(needed) is { } problem)
        {
            throw new ControlException(ControlErrorCode.Failure, $"device {_name}: {problem}");
        }
    }

    private void OpenMarks(string stateDirectory)
    {
        try
        {
            _marks = NodeMarks.OfVolume(new StateDirectory(stateDirectory).DeviceMarks(_name), _isNew);
            _keeper = new MarkKeeper(_marks, _log.Write);
        }
        catch (NodeMarksException e)
        {
            throw new ControlException(
                e.IsOwned ? ControlErrorCode.Busy : ControlErrorCode.Failure, $"device {_name}: {e.Message}");
        }
    }

    /// <summary>
    /// Lets go of every mount that is not ours to keep, before the disk is there: nobody may unmount a file system and
    /// find that a target still has it, nor may a target keep the one on its own disk.
    /// </summary>
    private void DetachMounts()
    {
        try
        {
            // A network node writes its epochs below the state directory for as long as it lives (S-03).
            bool remote = Nodes.Any(node => node.Innermost is NetworkNode);
            ProcessGuard.DetachForeignMounts(remote ? [_run.Path, _stateDirectory] : [_run.Path]);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new ControlException(ControlErrorCode.Failure, $"mounts cannot be listed: {e.Message}");
        }
    }

    private void Publish()
    {
        try
        {
            _publisher = new StatusPublisher(_run.Device(_name), this, _activity);
            _publisher.Start();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new TargetFatalException($"the status tree cannot be made: {e.Message}");
        }
    }

    private void Drain(bool failPending, int timeoutMs)
    {
        if (failPending)
        {
            _queues!.FailPending();
        }

        if (_queues!.WaitForIdle(timeoutMs) is > 0 and long inFlight)
        {
            string advice = failPending ? string.Empty : "; wait, or remove it with --force";
            throw new ControlException(
                ControlErrorCode.TimedOut,
                $"device {_name}: {inFlight} requests are still with its nodes after {timeoutMs} ms{advice}");
        }
    }

    private void OnQueuesEnded()
    {
        if (!_stopping && State == "live")
        {
            Lost?.Invoke();
        }
    }
}

/// <summary>The process must end: the kernel device is in a state that only its end can resolve.</summary>
internal sealed class TargetFatalException(string message) : Exception(message);
