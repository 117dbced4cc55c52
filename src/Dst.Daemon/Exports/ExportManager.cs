using Dst.Control;
using Dst.Daemon.Devices;
using Dst.Daemon.Kernel;
using Dst.Daemon.Logging;
using Dst.Daemon.Store;

namespace Dst.Daemon.Exports;

/// <summary>All exports of this daemon. Any thread; no call waits for an export but the one it names.</summary>
internal sealed class ExportManager : IDisposable
{
    private readonly ExportServices _services;
    private readonly NameSpace _names;
    private readonly ExportStatusReader _status;
    private readonly CancellationTokenSource _lifetime = new();
    private readonly Lock _lock = new();
    private readonly SortedDictionary<string, ExportWorker> _workers = new(StringComparer.Ordinal);

    public ExportManager(DaemonOptions options, RecordStore<ExportRecord> store, NameSpace names, ILogger log)
    {
        _services = new ExportServices(options, store, new ServerSupervisor(options, log, OnEvent), log);
        _names = names;
        _status = new ExportStatusReader(options);
    }

    /// <summary>
    /// Adopts, restores, rolls back or ends whatever earlier daemons left, each export by itself (D-02, D-03).
    /// </summary>
    public void Start()
    {
        List<(ExportWorker Worker, StoredRecord<ExportRecord> Stored)> found = [];
        lock (_lock)
        {
            IEnumerable<StoredRecord<ExportRecord>> all = _services.Store.LoadAll().Concat(Orphans());
            foreach (StoredRecord<ExportRecord> stored in all.DistinctBy(each => each.Name, StringComparer.Ordinal))
            {
                ExportView view = new(stored.Problem is null ? DeviceState.Starting : DeviceState.Failed, stored.Record)
                {
                    Reason = stored.Problem,
                };
                ExportWorker worker = NewWorker(stored.Name, view);
                _ = _names.TryClaim(stored.Name, NameSpace.Export, out _);
                _workers.Add(stored.Name, worker);
                found.Add((worker, stored));
            }
        }

        foreach ((ExportWorker worker, StoredRecord<ExportRecord> stored) in found)
        {
            if (stored.Problem is not null || stored.Warning is not null)
            {
                _services.Log.RecordProblem(
                    _services.Options.State.ExportRecord(stored.Name), stored.Problem ?? stored.Warning!);
            }

            worker.Restore(stored);
        }
    }

    /// <summary>Creates an export and waits until it is live.</summary>
    /// <param name="request">What is asked for.</param>
    /// <param name="timeout">How long to wait; creation goes on after that, as it does when the caller leaves.</param>
    /// <exception cref="ControlException">Why there is no export.</exception>
    public async Task<ExportStatus> CreateAsync(ExportRequest request, TimeSpan timeout)
    {
        ExportWorker worker = Begin(ExportRules.Check(request));
        try
        {
            await worker.Work.WaitAsync(timeout);
        }
        catch (TimeoutException)
        {
            throw new ControlException(
                ControlErrorCode.TimedOut,
                $"export {request.Name} is not live after {timeout.TotalSeconds:0.#} s; "
                + $"its creation goes on, see dstctl status {request.Name}");
        }

        return _status.Read(worker);
    }

    /// <summary>Status of every export, by name.</summary>
    public ExportStatus[] Status()
    {
        ExportWorker[] workers;
        lock (_lock)
        {
            workers = [.. _workers.Values];
        }

        return [.. workers.Select(_status.Read)];
    }

    /// <summary>Status of one export.</summary>
    public ExportStatus Status(string name) => _status.Read(Find(name));

    /// <summary>Removes an export; see <see cref="ExportWorker.RemoveAsync"/>.</summary>
    public Task<RemovalReport> RemoveAsync(string name, bool force, TimeSpan timeout)
    {
        ExportWorker worker = Find(name);
        return Task.Run(() => worker.RemoveAsync(force, timeout));
    }

    /// <summary>Ends the hold of a client that will not come back.</summary>
    public Task ReleaseAsync(string name, TimeSpan timeout) => Find(name).ReleaseAsync(timeout);

    /// <summary>Clears error marks of an export.</summary>
    public Task ClearErrorAsync(string name) => Find(name).ClearErrorAsync();

    /// <summary>Gives up what is not live yet and leaves everything else as it runs.</summary>
    public void BeginStop() => _lifetime.Cancel();

    /// <summary>Waits for what was given up to be undone, then closes the connection to the server.</summary>
    public async Task StopAsync()
    {
        await _lifetime.CancelAsync();
        ExportWorker[] workers;
        lock (_lock)
        {
            workers = [.. _workers.Values];
        }

        Task all = Task.WhenAll(workers.Select(worker => worker.Work));
        await Task.WhenAny(all, Task.Delay(_services.Timing.Shutdown));
        _services.Server.Current?.Dispose();
    }

    /// <summary>Nothing but what <see cref="StopAsync"/> does, for a daemon that never started.</summary>
    public void Dispose()
    {
        _lifetime.Dispose();
        _services.Server.Dispose();
    }

    private ExportWorker Begin(ExportRequest request)
    {
        lock (_lock)
        {
            if (_lifetime.IsCancellationRequested)
            {
                throw new ControlException(ControlErrorCode.Failure, "dstd is stopping");
            }

            if (!_names.TryClaim(request.Name, NameSpace.Export, out string? owner))
            {
                throw new ControlException(
                    ControlErrorCode.Busy, $"{owner} {request.Name} exists already; devices and exports share names");
            }

            ExportRecord record = new() { Request = request, Uuid = Guid.NewGuid() };
            ExportWorker worker = NewWorker(request.Name, new ExportView(DeviceState.Creating, record));
            _workers.Add(request.Name, worker);
            worker.Create(record);
            return worker;
        }
    }

    private ExportWorker NewWorker(string name, ExportView view) => new(_services, name, view, Drop, _lifetime.Token);

    private void Drop(ExportWorker worker)
    {
        lock (_lock)
        {
            if (_workers.TryGetValue(worker.Name, out ExportWorker? current) && ReferenceEquals(current, worker))
            {
                _workers.Remove(worker.Name);
                _names.Free(worker.Name, NameSpace.Export);
            }

            if (_workers.Count == 0 && !_lifetime.IsCancellationRequested)
            {
                _ = Task.Run(() => _services.Server.StopIdleAsync(IsAnyWanted));
            }
        }
    }

    private bool IsAnyWanted()
    {
        lock (_lock)
        {
            return _workers.Count > 0;
        }
    }

    private void OnEvent(ServerReply reply)
    {
        ExportWorker? worker;
        lock (_lock)
        {
            worker = reply.Name is { } name ? _workers.GetValueOrDefault(name) : null;
        }

        worker?.OnEvent(reply);
    }

    private ExportWorker Find(string name)
    {
        lock (_lock)
        {
            return _workers.TryGetValue(name, out ExportWorker? worker)
                ? worker
                : throw new ControlException(ControlErrorCode.NotFound, $"no export named '{name}'; see dstctl list");
        }
    }

    // Trees without a record: an export whose record is lost, or leftovers.
    private IEnumerable<StoredRecord<ExportRecord>> Orphans() =>
        Tolerant.Entries(_services.Options.Run.Exports)
            .Select(path => new StoredRecord<ExportRecord>(Path.GetFileName(path), null, null, null, false));
}
