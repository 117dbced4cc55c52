using Dst.Control;
using Dst.Daemon.Kernel;
using Dst.Daemon.Logging;
using Dst.Daemon.Store;

namespace Dst.Daemon.Devices;

/// <summary>All devices of this daemon. Any thread; no call waits for a device but the one it names.</summary>
internal sealed class DeviceManager : IDisposable
{
    private readonly DeviceServices _services;
    private readonly NameSpace _names;
    private readonly StatusReader _status;
    private readonly CancellationTokenSource _lifetime = new();
    private readonly Lock _lock = new();
    private readonly SortedDictionary<string, DeviceWorker> _workers = new(StringComparer.Ordinal);

    public DeviceManager(DeviceServices services, NameSpace names)
    {
        _names = names;
        _services = services;
        _status = new StatusReader(services);
    }

    /// <summary>
    /// Adopts, restores, rolls back or ends whatever earlier daemons left, each device by itself (D-02, D-03).
    /// </summary>
    public void Start()
    {
        List<(DeviceWorker Worker, StoredRecord<DeviceRecord> Stored)> found = [];
        lock (_lock)
        {
            IEnumerable<StoredRecord<DeviceRecord>> all = _services.Store.LoadAll().Concat(Orphans());
            foreach (StoredRecord<DeviceRecord> stored in all.DistinctBy(each => each.Name, StringComparer.Ordinal))
            {
                DeviceView view = new(stored.Problem is null ? DeviceState.Starting : DeviceState.Failed, stored.Record)
                {
                    Reason = stored.Problem,
                };
                DeviceWorker worker = NewWorker(stored.Name, view);
                _ = _names.TryClaim(stored.Name, NameSpace.Device, out _);
                _workers.Add(stored.Name, worker);
                found.Add((worker, stored));
            }
        }

        foreach ((DeviceWorker worker, StoredRecord<DeviceRecord> stored) in found)
        {
            if (stored.Problem is not null || stored.Warning is not null)
            {
                _services.Log.RecordProblem(
                    _services.Options.State.DeviceRecord(stored.Name), stored.Problem ?? stored.Warning!);
            }

            worker.Restore(stored);
        }
    }

    /// <summary>Creates a device and waits until it is live.</summary>
    /// <param name="request">What is asked for.</param>
    /// <param name="wishes">What holds for the creation alone.</param>
    /// <param name="timeout">How long to wait; creation goes on after that, as it does when the caller leaves.</param>
    /// <exception cref="ControlException">Why there is no device.</exception>
    public async Task<DeviceStatus> CreateAsync(DeviceRequest request, CreationWishes wishes, TimeSpan timeout)
    {
        DeviceRules.Check(request, _services.Options.Run);
        DeviceWorker worker = Begin(request, wishes);
        try
        {
            await worker.Work.WaitAsync(timeout);
        }
        catch (TimeoutException)
        {
            throw new ControlException(
                ControlErrorCode.TimedOut,
                $"device {request.Name} is not live after {timeout.TotalSeconds:0.#} s; "
                + $"its creation goes on, see dstctl status {request.Name}");
        }

        return await _status.ReadAsync(worker);
    }

    /// <summary>Status of every device, by name.</summary>
    public async Task<DeviceStatus[]> StatusAsync()
    {
        DeviceWorker[] workers;
        lock (_lock)
        {
            workers = [.. _workers.Values];
        }

        return await Task.WhenAll(workers.Select(_status.ReadAsync));
    }

    /// <summary>Status of one device.</summary>
    public Task<DeviceStatus> StatusAsync(string name) => _status.ReadAsync(Find(name));

    /// <summary>Removes a device; see <see cref="DeviceWorker.RemoveAsync"/>.</summary>
    public Task<RemovalReport> RemoveAsync(string name, bool force, TimeSpan timeout)
    {
        DeviceWorker worker = Find(name);
        return Task.Run(() => worker.RemoveAsync(force, timeout));
    }

    /// <summary>Clears error marks of a device.</summary>
    public Task ClearErrorAsync(string name, int? nodeIndex) => Find(name).ClearErrorAsync(nodeIndex);

    /// <summary>Tells a network node of a device something; see <see cref="NodeOrder"/>.</summary>
    public Task OrderNodeAsync(string name, int nodeIndex, string order, NodeSettings? settings) =>
        Find(name).OrderNodeAsync(nodeIndex, order, settings);

    /// <summary>Gives up what is not live yet and leaves everything else as it runs.</summary>
    public void BeginStop() => _lifetime.Cancel();

    /// <summary>Waits for what was given up to be undone, then closes the connections to the targets.</summary>
    public async Task StopAsync()
    {
        await _lifetime.CancelAsync();
        DeviceWorker[] workers;
        lock (_lock)
        {
            workers = [.. _workers.Values];
        }

        Task all = Task.WhenAll(workers.Select(worker => worker.Work));
        await Task.WhenAny(all, Task.Delay(_services.Timing.Shutdown));
        _services.Log.Ending(workers.Count(worker => worker.View.IsLive));
        foreach (DeviceWorker worker in workers)
        {
            worker.Dispose();
        }
    }

    /// <summary>Nothing but what <see cref="StopAsync"/> does, for a daemon that never started.</summary>
    public void Dispose() => _lifetime.Dispose();

    private DeviceWorker Begin(DeviceRequest request, CreationWishes wishes)
    {
        lock (_lock)
        {
            if (_lifetime.IsCancellationRequested)
            {
                throw new ControlException(ControlErrorCode.Failure, "dstd is stopping");
            }

            if (_workers.TryGetValue(request.Name, out DeviceWorker? same))
            {
                throw new ControlException(
                    ControlErrorCode.Busy, $"device {request.Name} exists already; it is {same.View.State}");
            }

            if (request.Id is { } id && OwnerOf(id, null) is { } owner)
            {
                throw IdTaken(id, owner);
            }

            if (!_names.TryClaim(request.Name, NameSpace.Device, out string? kind))
            {
                throw new ControlException(
                    ControlErrorCode.Busy, $"{kind} {request.Name} exists already; devices and exports share names");
            }

            DeviceRequest full = request with { Id = request.Id ?? ChooseId() };
            DeviceRecord record = new() { Request = full, Uuid = Guid.NewGuid() };
            DeviceWorker worker = NewWorker(request.Name, new DeviceView(DeviceState.Creating, record));
            _workers.Add(request.Name, worker);
            worker.Create(record, wishes);
            return worker;
        }
    }

    private DeviceWorker NewWorker(string name, DeviceView view) =>
        new(_services, name, view, Drop, ClaimId, _lifetime.Token);

    // The kernel chooses, unless it might choose the number of a device of ours that is not there at the moment.
    private int? ChooseId()
    {
        if (!_workers.Values.Any(worker => worker.View is { IsLive: false, UblkId: not null }))
        {
            return null;
        }

        int id = 0;
        while (OwnerOf(id, null) is not null || Path.Exists($"{_services.Options.SysRoot}/class/ublk-char/ublkc{id}"))
        {
            id++;
        }

        return id;
    }

    private ControlError? ClaimId(DeviceWorker claimant, int id)
    {
        lock (_lock)
        {
            return OwnerOf(id, claimant) is { } owner ? IdTaken(id, owner).Error : null;
        }
    }

    private DeviceWorker? OwnerOf(int id, DeviceWorker? except) =>
        _workers.Values.FirstOrDefault(worker => !ReferenceEquals(worker, except) && worker.View.UblkId == id);

    private static ControlException IdTaken(int id, DeviceWorker owner) =>
        new(ControlErrorCode.Busy, $"id {id} belongs to device {owner.Name}; choose another with --id");

    private void Drop(DeviceWorker worker)
    {
        lock (_lock)
        {
            if (_workers.TryGetValue(worker.Name, out DeviceWorker? current) && ReferenceEquals(current, worker))
            {
                _workers.Remove(worker.Name);
                _names.Free(worker.Name, NameSpace.Device);
            }
        }
    }

    private DeviceWorker Find(string name)
    {
        lock (_lock)
        {
            return _workers.TryGetValue(name, out DeviceWorker? worker)
                ? worker
                : throw new ControlException(ControlErrorCode.NotFound, $"no device named '{name}'; see dstctl list");
        }
    }

    // Sockets and trees without a record: a target whose record is lost, or leftovers.
    private IEnumerable<StoredRecord<DeviceRecord>> Orphans() =>
        Tolerant.Entries(_services.Options.Run.Targets).Concat(Tolerant.Entries(_services.Options.Run.Devices))
            .Select(path => new StoredRecord<DeviceRecord>(Path.GetFileName(path), null, null, null, false));
}
