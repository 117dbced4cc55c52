using Dst.Control;
using Dst.Daemon.Kernel;
using Dst.Daemon.Objects;
using Dst.Daemon.Store;

namespace Dst.Daemon.Exports;

/// <summary>All exports of this daemon. Any thread; no call waits for an export but the one it names.</summary>
internal sealed class ExportManager : IDisposable
{
    private readonly ExportServices _services;
    private readonly ExportStatusReader _status;
    private readonly ObjectTable<ExportWorker, ExportRecord> _exports;

    public ExportManager(DaemonOptions options, RecordStore<ExportRecord> store, NameSpace names, ILogger log)
    {
        _services = new ExportServices(options, store, new ServerSupervisor(options, log, OnEvent), log);
        _status = new ExportStatusReader(options);
        _exports = new ObjectTable<ExportWorker, ExportRecord>(NameSpace.Export, names, store, log);
    }

    /// <summary>
    /// Adopts, restores, rolls back or ends whatever earlier daemons left, each export by itself (D-02, D-03).
    /// </summary>
    public void Start() => _exports.Restore(Orphans(), stored =>
    {
        string state = stored.Problem is null ? ObjectState.Starting : ObjectState.Failed;
        return NewWorker(stored.Name, new ExportView(state, stored.Record) { Reason = stored.Problem });
    });

    /// <summary>Creates an export and waits until it is live.</summary>
    /// <param name="request">What is asked for.</param>
    /// <param name="timeout">How long to wait; creation goes on after that, as it does when the caller leaves.</param>
    /// <exception cref="ControlException">Why there is no export.</exception>
    public async Task<ExportStatus> CreateAsync(ExportRequest request, TimeSpan timeout)
    {
        ExportRequest full = ExportRules.Check(request);
        ExportWorker worker = _exports.Add(full.Name, _ =>
        {
            ExportRecord record = new() { Request = full, Uuid = Guid.NewGuid() };
            ExportWorker made = NewWorker(full.Name, new ExportView(ObjectState.Creating, record));
            made.Create(record);
            return made;
        });
        await _exports.WaitAsync(worker, timeout);
        return _status.Read(worker);
    }

    /// <summary>Status of every export, by name.</summary>
    public ExportStatus[] Status() => [.. _exports.All.Select(_status.Read)];

    /// <summary>Status of one export.</summary>
    public ExportStatus Status(string name) => _status.Read(_exports.Find(name));

    /// <summary>Removes an export; see <see cref="ExportWorker"/>.</summary>
    public Task<RemovalReport> RemoveAsync(string name, bool force, TimeSpan timeout)
    {
        ExportWorker worker = _exports.Find(name);
        return Task.Run(() => worker.RemoveAsync(force, timeout));
    }

    /// <summary>Ends the hold of a client that will not come back.</summary>
    public Task ReleaseAsync(string name, TimeSpan timeout) => _exports.Find(name).ReleaseAsync(timeout);

    /// <summary>Clears error marks of an export.</summary>
    public Task ClearErrorAsync(string name) => _exports.Find(name).ClearErrorAsync();

    /// <summary>Gives up what is not live yet and leaves everything else as it runs.</summary>
    public void BeginStop() => _exports.BeginStop();

    /// <summary>Waits for what was given up to be undone, then closes the connection to the server.</summary>
    public async Task StopAsync()
    {
        await _exports.StopAsync(_services.Timing.Shutdown);
        _services.Server.Current?.Dispose();
    }

    /// <summary>Nothing but what <see cref="StopAsync"/> does, for a daemon that never started.</summary>
    public void Dispose()
    {
        _exports.Dispose();
        _services.Server.Dispose();
    }

    private ExportWorker NewWorker(string name, ExportView view) =>
        new(_services, name, view, Drop, _exports.Lifetime);

    // Without exports there is no server.
    private void Drop(string name)
    {
        _exports.Drop(name);
        if (_exports.IsEmpty && !_exports.Lifetime.IsCancellationRequested)
        {
            _ = Task.Run(() => _services.Server.StopIdleAsync(() => !_exports.IsEmpty));
        }
    }

    private void OnEvent(ServerReply reply)
    {
        if (reply.Name is { } name)
        {
            _exports.TryFind(name)?.OnEvent(reply);
        }
    }

    // Trees without a record.
    private IEnumerable<string> Orphans() =>
        Tolerant.Entries(_services.Options.Run.Exports).Select(path => Path.GetFileName(path));
}
