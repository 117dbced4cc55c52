using Dst.Control;
using Dst.Hosting.Status;
using Dst.IO.Measure;
using Dst.Target.Devices;

namespace Dst.Target.Status;

/// <summary>
/// Keeps the status tree of the device: static values once, counters at most half a second late while I/O runs. When a
/// round finds nothing new it arms the activity signal and sleeps until the next request: a quiet device writes nothing
/// and wakes nobody.
/// </summary>
internal sealed class StatusPublisher
{
    private const int RoundMs = 500;

    /// <summary>A network node changes its state also while no request comes.</summary>
    private const int NetworkRoundMs = 1_000;

    private readonly string _path;
    private readonly TargetDevice _device;
    private readonly ActivitySignal _activity;
    private readonly StatusFolder _folder;
    private readonly CounterFiles _counters;
    private readonly NodeFiles[] _nodes;
    private readonly NetworkFiles[] _remote;
    private readonly StatusFile _state;
    private readonly StatusFile _gap;
    private readonly Thread _thread;
    private volatile bool _ending;

    public StatusPublisher(string path, TargetDevice device, ActivitySignal activity)
    {
        _path = path;
        _device = device;
        _activity = activity;
        _folder = new StatusFolder(path);
        _counters = new CounterFiles(_folder, [.. device.Queues.Select(queue => queue.Engine!.Counters)]);
        _state = _folder.File(StatusTree.State);
        _gap = _folder.File(StatusTree.QueueGapMax);
        _nodes = [.. Enumerable.Range(0, device.Nodes.Count).Select(FilesOf)];
        _remote = NetworkFiles.Of(path, device.Nodes);
        _thread = new Thread(Run, maxStackSize: 256 * 1024) { IsBackground = true, Name = "dst-status" };
    }

    /// <summary>Writes everything once, then keeps it fresh on a thread of its own.</summary>
    public void Start()
    {
        WriteStatic(_device.Geometry!);
        Round();
        _thread.Start();
    }

    /// <summary>Ends the thread and removes the tree.</summary>
    public void Stop()
    {
        if (_ending)
        {
            return;
        }

        _ending = true;
        _activity.Signal();
        _thread.Join();
        foreach (NodeFiles node in _nodes)
        {
            node.Dispose();
        }

        foreach (NetworkFiles remote in _remote)
        {
            remote.Dispose();
        }

        _folder.Dispose();
        try
        {
            Directory.Delete(_path, recursive: true);
        }
        catch (IOException)
        {
            // dstd removes what is left.
        }
    }

    private NodeFiles FilesOf(int index)
    {
        Dst.Nodes.Node node = _device.Nodes[index];
        return new NodeFiles(
            _path,
            index,
            _device.Geometry!.Nodes[index],
            () => NodeView.Of(node),
            [.. _device.Queues.Select(queue => queue.Engine!.NodeCounters(index))]);
    }

    private void Run()
    {
        while (!_ending)
        {
            if (Round())
            {
                _activity.Wait(RoundMs);
                continue;
            }

            _activity.Arm();
            // Once more after arming: what came in between has not signalled.
            _activity.Wait(Round() ? RoundMs : _remote.Length > 0 ? NetworkRoundMs : -1);
        }
    }

    /// <returns>True when a value changed.</returns>
    private bool Round()
    {
        bool changed = _state.Write(_device.State);
        changed |= _counters.Write();
        foreach (NodeFiles node in _nodes)
        {
            changed |= node.Write();
        }

        foreach (NetworkFiles remote in _remote)
        {
            changed |= remote.Write();
        }

        long gapNs = 0;
        foreach (QueueThread queue in _device.Queues)
        {
            gapNs = Math.Max(gapNs, queue.TurnTime?.MaxNs ?? 0);
        }

        return changed | _gap.Write(gapNs / 1000);
    }

    private void WriteStatic(DeviceGeometry geometry)
    {
        _folder.File(StatusTree.Size).Write(geometry.SizeBytes);
        _folder.File(StatusTree.UblkId).Write(geometry.UblkId);
        _folder.File(StatusTree.BlockDevice).Write(Dst.Ublk.Control.UblkControl.BlockPath(geometry.UblkId));
        _folder.File(StatusTree.Pid).Write(Environment.ProcessId);
        _folder.File(StatusTree.Queues).Write(_device.Queues.Count);
        _folder.File(StatusTree.Depth).Write(geometry.DepthTags);
        _folder.File(StatusTree.MaxIo).Write(geometry.MaxIoBytes);
        _folder.File(StatusTree.BlockSize).Write(geometry.BlockSizeBytes);
        _folder.File(StatusTree.ReadOnly).Write(geometry.ReadOnly ? 1 : 0);
    }
}
