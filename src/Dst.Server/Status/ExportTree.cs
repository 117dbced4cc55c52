using Dst.Control;
using Dst.Hosting.Status;
using Dst.Net.Server.Engine;
using Dst.Server.Exports;

namespace Dst.Server.Status;

/// <summary>The status tree of one export. Publisher thread.</summary>
internal sealed class ExportTree : IDisposable
{
    private readonly string _path;
    private readonly ExportWork _work;
    private readonly IReadOnlyList<Dst.Net.Server.EngineStatus> _engines;
    private readonly StatusFolder _folder;
    private readonly CounterFiles _counters;
    private readonly NodeFiles[] _nodes;
    private readonly NetworkFiles[] _remote;
    private readonly StatusFile _state;
    private readonly StatusFile _epoch;
    private readonly StatusFile _held;
    private readonly StatusFile _holder;
    private readonly StatusFile _connections;
    private readonly StatusFile _received;
    private readonly StatusFile _sent;

    /// <summary>Makes the tree and writes what never changes.</summary>
    /// <param name="path">Where.</param>
    /// <param name="work">The export, live.</param>
    /// <param name="status">What its engines are.</param>
    /// <exception cref="IOException">It cannot be made.</exception>
    public ExportTree(string path, ExportWork work, Dst.Net.Server.ExportStatus status)
    {
        _path = path;
        _work = work;
        _engines = status.Engines;
        _folder = new StatusFolder(path);
        _counters = new CounterFiles(_folder, [.. _engines.Select(engine => engine.Queue.Counters)]);
        _state = _folder.File(StatusTree.State);
        _epoch = _folder.File(StatusTree.Epoch);
        _held = _folder.File(StatusTree.Held);
        _holder = _folder.File(StatusTree.Holder);
        _connections = _folder.File(StatusTree.Connections);
        _received = _folder.File(StatusTree.NetReceived);
        _sent = _folder.File(StatusTree.NetSent);
        ExportLayout layout = work.Layout!;
        _nodes = [.. layout.Nodes.Select((node, index) => new NodeFiles(
            path,
            index,
            node,
            () => NodeView.Of(work.Nodes[index]),
            [.. _engines.Select(engine => engine.Queue.NodeCounters(index))]))];
        _remote = NetworkFiles.Of(path, work.Nodes);
        WriteStatic(layout);
    }

    /// <summary>Name of the export.</summary>
    public string Name => _work.Name;

    /// <summary>Writes what changed.</summary>
    /// <param name="status">The export now.</param>
    public void Write(Dst.Net.Server.ExportStatus status)
    {
        _state.Write(_work.State);
        _epoch.Write((long)status.Epoch);
        _held.Write(status.IsHeld ? 1 : 0);
        _holder.Write(status.Holder);
        _connections.Write(status.Connections.Count);
        _counters.Write();
        long received = 0;
        long sent = 0;
        foreach (Dst.Net.Server.EngineStatus engine in _engines)
        {
            received += engine.Net[NetCounter.BytesReceived];
            sent += engine.Net[NetCounter.BytesSent];
        }

        _received.Write(received);
        _sent.Write(sent);
        foreach (NodeFiles node in _nodes)
        {
            node.Write();
        }

        foreach (NetworkFiles node in _remote)
        {
            _ = node.Write();
        }
    }

    /// <summary>Removes the tree.</summary>
    public void Dispose()
    {
        foreach (NodeFiles node in _nodes)
        {
            node.Dispose();
        }

        foreach (NetworkFiles node in _remote)
        {
            node.Dispose();
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

    private void WriteStatic(ExportLayout layout)
    {
        _folder.File(StatusTree.Size).Write(layout.SizeBytes);
        _folder.File(StatusTree.BlockSize).Write(layout.BlockSizeBytes);
        _folder.File(StatusTree.MaxIo).Write(layout.MaxIoBytes);
        _folder.File(StatusTree.ReadOnly).Write(layout.ReadOnly ? 1 : 0);
        _folder.File(StatusTree.Identity).Write(_work.Record.Uuid.ToString());
        _folder.File(StatusTree.Cache).Write(
            _work.Record.Request.Cache == ExportCache.WriteBack ? "write-back" : "write-through");
    }
}
