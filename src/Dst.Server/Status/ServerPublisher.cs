using Dst.Control;
using Dst.Hosting.Status;
using Dst.IO.Measure;
using Dst.Net.Server;
using Dst.Server.Exports;
using Dst.Server.Session;

namespace Dst.Server.Status;

/// <summary>
/// Keeps the trees of the server and of its exports, at most half a second late: a file is written when its value
/// changed, and so a quiet server writes nothing; one without exports sleeps.
/// </summary>
internal sealed class ServerPublisher : IDisposable
{
    private const int RoundMs = 500;

    private readonly ServerOptions _options;
    private readonly ServerHost _host;
    private readonly ActivitySignal _signal = new();
    private readonly Lock _lock = new();
    private readonly List<ExportTree> _trees = [];
    private readonly StatusFolder _folder;
    private readonly StatusFile _addresses;
    private readonly StatusFile _connections;
    private readonly StatusFile _suppressed;
    private readonly Thread _thread;
    private volatile bool _ending;

    public ServerPublisher(ServerOptions options, ServerHost host)
    {
        _options = options;
        _host = host;
        _folder = new StatusFolder(options.Run.Server);
        _addresses = _folder.File(StatusTree.Addresses);
        _connections = _folder.File(StatusTree.Connections);
        _suppressed = _folder.File(StatusTree.SuppressedLines);
        _thread = new Thread(Run, maxStackSize: 256 * 1024) { IsBackground = true, Name = "dst-status" };
    }

    /// <summary>Writes what never changes, then keeps the rest fresh on a thread of its own.</summary>
    public void Start()
    {
        _folder.File(StatusTree.Pid).Write(Environment.ProcessId);
        _folder.File(StatusTree.Warning).Write(_options.Warning ?? string.Empty);
        _thread.Start();
    }

    /// <summary>Shows an export that has become live; its tree is whole when this returns. Any thread.</summary>
    public void Add(ExportWork work)
    {
        lock (_lock)
        {
            if (StatusOf(_host.Status(), work.Name) is { } status)
            {
                try
                {
                    var tree = new ExportTree(_options.Run.Export(work.Name), work, status);
                    tree.Write(status);
                    _trees.Add(tree);
                }
                catch (Exception e) when (e is IOException or UnauthorizedAccessException)
                {
                    // The tree is for people: an export whose tree cannot be made is served all the same.
                }
            }
        }

        _signal.Signal();
    }

    /// <summary>The export is gone, and with it its tree. Any thread.</summary>
    public void Remove(ExportWork work)
    {
        lock (_lock)
        {
            if (_trees.Find(tree => string.Equals(tree.Name, work.Name, StringComparison.Ordinal)) is { } tree)
            {
                _trees.Remove(tree);
                tree.Dispose();
            }
        }

        _signal.Signal();
    }

    /// <summary>Ends the thread and removes the trees. Before the server's threads end.</summary>
    public void Stop()
    {
        if (_ending)
        {
            return;
        }

        _ending = true;
        _signal.Signal();
        if (_thread.IsAlive)
        {
            _thread.Join();
        }

        _trees.ForEach(tree => tree.Dispose());
        _trees.Clear();
        _folder.Dispose();
        try
        {
            Directory.Delete(_options.Run.Server, recursive: true);
        }
        catch (IOException)
        {
            // dstd removes what is left.
        }
    }

    /// <summary>As <see cref="Stop"/>.</summary>
    public void Dispose()
    {
        Stop();
        _signal.Dispose();
    }

    private static Dst.Net.Server.ExportStatus? StatusOf(ServerStatus status, string name) =>
        status.Exports.FirstOrDefault(export => string.Equals(export.Name, name, StringComparison.Ordinal));

    private void Run()
    {
        while (!_ending)
        {
            bool idle = Round();
            _signal.Wait(idle ? -1 : RoundMs);
        }
    }

    /// <returns>True when there is nothing to look at.</returns>
    private bool Round()
    {
        lock (_lock)
        {
            ServerStatus status = _host.Status();
            _addresses.Write(string.Join(' ', status.Listening));
            _connections.Write(status.Connections);
            _suppressed.Write(status.SuppressedLogLines);
            foreach (ExportTree tree in _trees)
            {
                if (StatusOf(status, tree.Name) is { } export)
                {
                    tree.Write(export);
                }
            }

            return _trees.Count == 0 && status.Connections == 0;
        }
    }
}
