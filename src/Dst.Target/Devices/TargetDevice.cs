using Dst.Control;
using Dst.Core.Transactions;
using Dst.Core.Volumes;
using Dst.Interop;
using Dst.IO.Measure;
using Dst.IO.Processes;
using Dst.Nodes;
using Dst.Nodes.Backings;
using Dst.Nodes.Health;
using Dst.Nodes.Marks;
using Dst.Target.Status;
using Dst.Ublk.Control;

namespace Dst.Target.Devices;

/// <summary>
/// The one device of a target, from its nodes to its disk: opened, started, stopped, in that order and once. Control threads call it one at a time; each step
/// undoes itself when it fails.
/// </summary>
internal sealed class TargetDevice
{
    /// <summary>udev may hold a new character device for a moment, and devtmpfs may show it a moment late (U-05).</summary>
    private const int CharOpenTimeoutMs = 5_000;

    private const int PollMs = 20;

    /// <summary>STOP writes back what is dirty and waits for what is started: longer than any disk of ours should take (U-21).</summary>
    private const int StopTimeoutMs = 120_000;

    private readonly RunDirectory _run;
    private readonly string _name;
    private readonly TargetLog _log;
    private readonly ActivitySignal _activity = new();
    private readonly List<Node> _nodes = [];
    private readonly NodeFactory _factory;
    private QueueThread[] _queues = [];
    private MarkKeeper? _keeper;
    private UblkControl? _control;
    private StatusPublisher? _publisher;
    private QueuePlan? _plan;
    private int _endedQueues;
    private bool _isNew;
    private string _marksPath = string.Empty;
    private volatile bool _stopping;

    public TargetDevice(RunDirectory run, string name, TargetLog log)
    {
        _run = run;
        _name = name;
        _log = log;
        _factory = new NodeFactory(() => _keeper?.Signal(), WakeQueues);
    }

    /// <summary>new, open, live, stopping or stopped.</summary>
    public string State { get; private set; } = "new";

    /// <summary>What it serves; null while new.</summary>
    public DeviceGeometry? Geometry { get; private set; }

    /// <summary>Raised when the kernel has retired every queue without our asking: somebody else stopped the device.</summary>
    public event Action? Lost;

    /// <summary>Opens the nodes, derives or checks the geometry, makes the kernel device. Nothing remains when it fails.</summary>
    public DeviceGeometry Open(DeviceRecord record, string stateDirectory, IBackingEvents events, CancellationToken cancellation)
    {
        if (State != "new")
        {
            throw new ControlException(ControlErrorCode.Busy, $"target of {_name}: already open");
        }

        try
        {
            // First of all, so that a kernel without ublk is refused before anything is touched.
            _control = new UblkControl();
            _isNew = record.Geometry is null;
            OpenNodes(record, events, cancellation);
            DeviceGeometry geometry = record.Geometry is null ? Derive(record.Request) : Check(record.Geometry);
            OpenMarks(stateDirectory, geometry);
            Geometry = MakeKernelDevice(geometry, record);
            State = "open";
            return Geometry;
        }
        catch (UblkException e)
        {
            Undo();
            throw Translate(e);
        }
        catch (ControlException)
        {
            Undo();
            throw;
        }
    }

    /// <summary>Serves: the disk is there when this returns.</summary>
    /// <returns>Path of the block device.</returns>
    public string Start()
    {
        if (State != "open")
        {
            throw new ControlException(ControlErrorCode.Failure, $"target of {_name}: start in state {State}");
        }

        DeviceGeometry geometry = Geometry!;
        int charFd = OpenCharDevice(geometry.UblkId);
        _plan = new QueuePlan(
            charFd,
            new VolumeMap([.. geometry.Nodes.Select(node => node.LengthBytes)], geometry.BlockSizeBytes, geometry.MaxIoBytes),
            new FlushLedger(geometry.Nodes.Count, geometry.Queues),
            _nodes,
            geometry.DepthTags,
            geometry.MaxIoBytes,
            geometry.ReadOnly,
            _activity);
        _queues = [.. Enumerable.Range(0, geometry.Queues).Select(index => new QueueThread(_plan, index, OnQueueEnded))];
        _keeper!.Start([.. _nodes.Select(node => node.Health)], () =>
        {
            WakeQueues();
            _activity.Signal();
        });
        foreach (QueueThread queue in _queues)
        {
            if (queue.Start() is { } failure)
            {
                // Queues that fetched cannot be called back without a STOP, and the kernel must never wait for the others: the process ends (U-04).
                throw new TargetFatalException(failure);
            }
        }

        try
        {
            _control!.Start(geometry.UblkId);
        }
        catch (UblkException e)
        {
            throw new TargetFatalException(e.Message);
        }

        State = "live";
        foreach (string complaint in ProcessGuard.Harden())
        {
            _log.Write(complaint);
        }

        ProcessGuard.DetachForeignMounts(_run.Path);
        Publish();
        _log.Write($"{UblkControl.BlockPath(geometry.UblkId)} is live: {geometry.SizeBytes} bytes on {geometry.Nodes.Count} nodes, {geometry.Queues} queues of {geometry.DepthTags}");
        return UblkControl.BlockPath(geometry.UblkId);
    }

    /// <summary>Stops and deletes the kernel device and closes the nodes (U-20 to U-24). Queues serve until the kernel says that it is stopped (U-23).</summary>
    public void Stop(bool failPending, int timeoutMs)
    {
        if (State == "live")
        {
            if (failPending)
            {
                FailPending();
            }

            WaitForIdle(failPending, timeoutMs);
            State = "stopping";
            _activity.Signal();
            _stopping = true;
            try
            {
                _control!.Stop(Geometry!.UblkId, StopTimeoutMs);
            }
            catch (UblkException e)
            {
                _stopping = false;
                State = "live";
                throw Translate(e);
            }
        }

        _stopping = true;
        Release();
    }

    /// <summary>Lets flushes through again (C-16).</summary>
    public void ClearError(int? nodeIndex)
    {
        if (nodeIndex is < 0 || nodeIndex >= _nodes.Count)
        {
            throw new ControlException(ControlErrorCode.NotFound, $"device {_name} has no node {nodeIndex}; it has {_nodes.Count}, from 0");
        }

        int error = State == "live" ? _keeper!.Clear(nodeIndex) : 0;
        if (error < 0)
        {
            throw new ControlException(ControlErrorCode.Failure, $"device {_name}: the error mark cannot be taken away: {Errno.Describe(-error)}");
        }

        _activity.Signal();
    }

    /// <summary>Frees all that is left, as far as the state allows. After this the process ends.</summary>
    public void Release()
    {
        _publisher?.Stop();
        foreach (QueueThread queue in _queues)
        {
            queue.Join();
            _log.Write($"queue ended: {queue.Engine?.Counters.FinishedOf(0) ?? 0} reads, {queue.Engine?.Counters.FinishedOf(1) ?? 0} writes, {queue.AllocatedBytes} bytes allocated");
        }

        _keeper?.Dispose();
        _keeper = null;
        foreach (QueueThread queue in _queues)
        {
            queue.Dispose();
        }

        _queues = [];
        if (_plan is not null)
        {
            _ = Libc.Close(_plan.CharFd);
            _plan = null;
        }

        if (Geometry is not null)
        {
            try
            {
                if (_control!.TryGetInfo(Geometry.UblkId) is { IsDst: true })
                {
                    _control.Delete(Geometry.UblkId);
                }
            }
            catch (UblkException e)
            {
                // What is left of it goes when this process ends, or is deleted by dstd's helper.
                _log.Write(e.Message);
            }
        }

        _control?.Dispose();
        _control = null;
        CloseNodes();
        Geometry = null;
        State = "stopped";
    }

    /// <summary>Takes back what <see cref="Open"/> made, when the device does not come to be.</summary>
    public void Undo()
    {
        RemoveCreated();
        Release();
    }

    /// <summary>Removes the files that a device which does not come to be has made.</summary>
    public void RemoveCreated()
    {
        if (_isNew)
        {
            _factory.RemoveCreated();
            if (_marksPath.Length > 0)
            {
                File.Delete(_marksPath);
            }
        }
    }

    /// <summary>The nodes, for the status tree.</summary>
    public IReadOnlyList<Node> Nodes => _nodes;

    /// <summary>The queues' engines, for the status tree.</summary>
    public IReadOnlyList<QueueThread> Queues => _queues;

    private static ControlException Translate(UblkException e) =>
        new(e.TimedOut ? ControlErrorCode.TimedOut : e.ErrorNumber is Errno.EEXIST or Errno.EBUSY ? ControlErrorCode.Busy : ControlErrorCode.Failure, e.Message);

    private void OpenNodes(DeviceRecord record, IBackingEvents events, CancellationToken cancellation)
    {
        for (int i = 0; i < record.Request.Nodes.Count; i++)
        {
            NodeGeometry? known = record.Geometry?.Nodes[i];
            var request = new BackingRequest
            {
                ReadOnly = record.Request.ReadOnly,
                Restore = known is not null,
                ExpectedIdentity = known?.Identity,
                MinimumSizeBytes = known?.LengthBytes ?? 0,
                Events = events,
                IsDstDevice = id => _control!.TryGetInfo(id) is { IsDst: true },
                CancellationToken = cancellation,
            };
            _nodes.Add(_factory.Open(record.Request.Nodes[i], request));
        }
    }

    private DeviceGeometry Derive(DeviceRequest request)
    {
        NodeProperties[] properties =
        [
            .. _nodes.Select(node => new NodeProperties
            {
                Name = $"{node.Type}:{node.Address}",
                SizeBytes = node.SizeBytes,
                LogicalBlockBytes = node.BlockSizeBytes,
                VolatileCache = node.VolatileCache,
                CanDiscard = node.CanDiscard,
                DiscardGranularityBytes = node.DiscardGranularityBytes,
                CanWriteZeroes = node.CanWriteZeroes,
            }),
        ];
        var options = new GeometryOptions
        {
            Queues = request.Queues,
            DepthTags = request.DepthTags,
            MaxIoBytes = request.MaxIoBytes,
            BlockSizeBytes = request.BlockSizeBytes,
            MemoryBytes = request.MemoryBytes,
            ReadOnly = request.ReadOnly,
        };
        if (!GeometryPlan.TryDerive(properties, options, Environment.ProcessorCount, out GeometryPlan? plan, out string? error))
        {
            throw new ControlException(ControlErrorCode.Usage, error);
        }

        VolumeMap map = plan.CreateMap();
        return new DeviceGeometry
        {
            UblkId = request.Id ?? -1,
            Queues = plan.Queues,
            DepthTags = plan.DepthTags,
            MaxIoBytes = plan.MaxIoBytes,
            BlockSizeBytes = plan.BlockSizeBytes,
            SizeBytes = plan.SizeBytes,
            MemoryBytes = plan.MemoryBytes,
            ReadOnly = plan.ReadOnly,
            VolatileCache = plan.VolatileCache,
            MaxDiscardBytes = plan.MaxDiscardBytes,
            MaxWriteZeroesBytes = plan.MaxWriteZeroesBytes,
            DiscardGranularityBytes = plan.DiscardGranularityBytes,
            Nodes =
            [
                .. _nodes.Select((node, i) => new NodeGeometry
                {
                    Spec = request.Nodes[i],
                    Type = node.Type,
                    Address = node.Address,
                    StartBytes = map.StartBytes(i),
                    LengthBytes = map.LengthBytes(i),
                    Identity = node.Identity,
                }),
            ],
        };
    }

    /// <summary>A device that comes back must still be what it was: nothing is computed anew, what no longer fits is refused.</summary>
    private DeviceGeometry Check(DeviceGeometry geometry)
    {
        for (int i = 0; i < _nodes.Count; i++)
        {
            Node node = _nodes[i];
            NodeGeometry known = geometry.Nodes[i];
            string? change =
                node.SizeBytes < known.LengthBytes ? $"it has {node.SizeBytes} bytes, the device needs {known.LengthBytes} of it"
                : node.BlockSizeBytes > geometry.BlockSizeBytes ? $"its block size is now {node.BlockSizeBytes}, the device's {geometry.BlockSizeBytes}"
                : node.VolatileCache && !geometry.VolatileCache && !geometry.ReadOnly ? "it now has a volatile write cache, which the device does not tell the kernel of"
                : null;
            if (change is not null)
            {
                throw new ControlException(ControlErrorCode.Failure, $"node {i} ({node.Type}:{node.Address}) changed: {change}; bring the old backing back or remove the device");
            }
        }

        return geometry;
    }

    private void OpenMarks(string stateDirectory, DeviceGeometry geometry)
    {
        try
        {
            _marksPath = new StateDirectory(stateDirectory).DeviceMarks(_name);
            _keeper = new MarkKeeper(_isNew ? NodeMarks.Create(_marksPath) : NodeMarks.Open(_marksPath));
        }
        catch (NodeMarksException e)
        {
            throw new ControlException(ControlErrorCode.Failure, e.Message);
        }
    }

    private DeviceGeometry MakeKernelDevice(DeviceGeometry geometry, DeviceRecord record)
    {
        ulong flags = UblkAbi.UBLK_F_CMD_IOCTL_ENCODE;
        // Where the kernel can leave the partition scan out of START, dstd has it made by a helper afterwards (U-25).
        flags |= _control!.Features & UblkAbi.UBLK_F_NO_AUTO_PART_SCAN;
        UblkDeviceInfo info = _control.Add(new UblkDeviceSpec
        {
            Id = record.Geometry?.UblkId ?? record.Request.Id ?? -1,
            Queues = geometry.Queues,
            DepthTags = geometry.DepthTags,
            MaxIoBytes = geometry.MaxIoBytes,
            Flags = flags,
        });
        DeviceGeometry made = geometry with { UblkId = info.Id };
        try
        {
            _control.SetParameters(info.Id, ParametersOf(made).ToKernel());
        }
        catch (UblkException)
        {
            _control.Delete(info.Id);
            throw;
        }

        return made;
    }

    private static DeviceParameters ParametersOf(DeviceGeometry geometry) => new()
    {
        SizeBytes = geometry.SizeBytes,
        BlockSizeBytes = geometry.BlockSizeBytes,
        MaxIoBytes = geometry.MaxIoBytes,
        ReadOnly = geometry.ReadOnly,
        VolatileCache = geometry.VolatileCache,
        MaxDiscardBytes = geometry.MaxDiscardBytes,
        DiscardGranularityBytes = geometry.DiscardGranularityBytes,
        MaxWriteZeroesBytes = geometry.MaxWriteZeroesBytes,
    };

    private static int OpenCharDevice(int id)
    {
        string path = UblkControl.CharPath(id);
        long deadline = Environment.TickCount64 + CharOpenTimeoutMs;
        while (true)
        {
            int fd = Libc.Open(path, LinuxAbi.O_RDWR | LinuxAbi.O_CLOEXEC);
            if (fd >= 0)
            {
                return fd;
            }

            if (fd is not (-Errno.EBUSY or -Errno.ENOENT) || Environment.TickCount64 > deadline)
            {
                throw new ControlException(ControlErrorCode.Failure, $"{path} cannot be opened: {Errno.Describe(-fd)}; see who holds it with 'fuser {path}'");
            }

            Thread.Sleep(PollMs);
        }
    }

    private void Publish()
    {
        try
        {
            _publisher = new StatusPublisher(_run.Device(_name), this, _activity);
            _publisher.Start();
        }
        catch (IOException e)
        {
            throw new TargetFatalException($"the status tree cannot be made: {e.Message}");
        }
    }

    private void FailPending()
    {
        foreach (QueueThread queue in _queues)
        {
            queue.Engine?.FailFromNowOn();
        }

        WakeQueues();
    }

    private void WaitForIdle(bool failPending, int timeoutMs)
    {
        long deadline = Environment.TickCount64 + timeoutMs;
        long inFlight;
        while ((inFlight = _queues.Sum(queue => queue.Engine?.InFlight ?? 0)) > 0)
        {
            if (Environment.TickCount64 > deadline)
            {
                throw new ControlException(
                    ControlErrorCode.TimedOut,
                    $"device {_name}: {inFlight} requests are still with its nodes after {timeoutMs} ms" + (failPending ? string.Empty : "; wait, or remove it with --force"));
            }

            Thread.Sleep(PollMs);
        }
    }

    private void WakeQueues()
    {
        foreach (QueueThread queue in _queues)
        {
            queue.Wake();
        }
    }

    private void OnQueueEnded(int queueIndex)
    {
        if (Interlocked.Increment(ref _endedQueues) == _queues.Length && !_stopping && State == "live")
        {
            Lost?.Invoke();
        }
    }

    private void CloseNodes()
    {
        foreach (Node node in _nodes)
        {
            node.Dispose();
        }

        _nodes.Clear();
    }
}

/// <summary>The process must end: the kernel device is in a state that only its end can resolve.</summary>
internal sealed class TargetFatalException(string message) : Exception(message);
