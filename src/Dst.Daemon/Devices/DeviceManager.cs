using Dst.Control;
using Dst.Daemon.Kernel;
using Dst.Daemon.Logging;
using Dst.Daemon.Objects;

namespace Dst.Daemon.Devices;

/// <summary>All devices of this daemon. Any thread; no call waits for a device but the one it names.</summary>
internal sealed class DeviceManager : IDisposable
{
    private readonly DeviceServices _services;
    private readonly StatusReader _status;
    private readonly ObjectTable<DeviceWorker, DeviceRecord> _devices;

    public DeviceManager(DeviceServices services, NameSpace names)
    {
        _services = services;
        _status = new StatusReader(services);
        _devices = new ObjectTable<DeviceWorker, DeviceRecord>(NameSpace.Device, names, services.Store, services.Log);
    }

    /// <summary>
    /// Adopts, restores, rolls back or ends whatever earlier daemons left, each device by itself (D-02, D-03).
    /// </summary>
    public void Start() => _devices.Restore(Orphans(), stored =>
    {
        string state = stored.Problem is null ? ObjectState.Starting : ObjectState.Failed;
        return NewWorker(stored.Name, new DeviceView(state, stored.Record) { Reason = stored.Problem });
    });

    /// <summary>Creates a device and waits until it is live.</summary>
    /// <param name="request">What is asked for.</param>
    /// <param name="wishes">What holds for the creation alone.</param>
    /// <param name="timeout">How long to wait; creation goes on after that, as it does when the caller leaves.</param>
    /// <exception cref="ControlException">Why there is no device.</exception>
    public async Task<DeviceStatus> CreateAsync(DeviceRequest request, CreationWishes wishes, TimeSpan timeout)
    {
        DeviceRules.Check(request, _services.Options.Run);
        DeviceWorker worker = _devices.Add(request.Name, others => Begin(request, wishes, others));
        await _devices.WaitAsync(worker, timeout);
        return await _status.ReadAsync(worker);
    }

    /// <summary>Status of every device, by name.</summary>
    public async Task<DeviceStatus[]> StatusAsync() => await Task.WhenAll(_devices.All.Select(_status.ReadAsync));

    /// <summary>Status of one device.</summary>
    public Task<DeviceStatus> StatusAsync(string name) => _status.ReadAsync(_devices.Find(name));

    /// <summary>Removes a device; see <see cref="DeviceWorker"/>.</summary>
    public Task<RemovalReport> RemoveAsync(string name, bool force, TimeSpan timeout)
    {
        DeviceWorker worker = _devices.Find(name);
        return Task.Run(() => worker.RemoveAsync(force, timeout));
    }

    /// <summary>Clears error marks of a device.</summary>
    public Task ClearErrorAsync(string name, int? nodeIndex) => _devices.Find(name).ClearErrorAsync(nodeIndex);

    /// <summary>Tells a network node of a device something; see <see cref="NodeOrder"/>.</summary>
    public Task OrderNodeAsync(string name, int nodeIndex, string order, NodeSettings? settings) =>
        _devices.Find(name).OrderNodeAsync(nodeIndex, order, settings);

    /// <summary>Gives up what is not live yet and leaves everything else as it runs.</summary>
    public void BeginStop() => _devices.BeginStop();

    /// <summary>Waits for what was given up to be undone, then closes the connections to the targets.</summary>
    public async Task StopAsync()
    {
        DeviceWorker[] workers = await _devices.StopAsync(_services.Timing.Shutdown);
        _services.Log.Ending(workers.Count(worker => worker.View.IsLive));
        foreach (DeviceWorker worker in workers)
        {
            worker.Dispose();
        }
    }

    /// <summary>Nothing but what <see cref="StopAsync"/> does, for a daemon that never started.</summary>
    public void Dispose() => _devices.Dispose();

    private DeviceWorker Begin(
        DeviceRequest request, CreationWishes wishes, IReadOnlyCollection<DeviceWorker> others)
    {
        if (request.Id is { } id && others.FirstOrDefault(other => other.View.UblkId == id) is { } owner)
        {
            throw IdTaken(id, owner);
        }

        DeviceRequest full = request with { Id = request.Id ?? ChooseId(others) };
        DeviceRecord record = new() { Request = full, Uuid = Guid.NewGuid() };
        DeviceWorker worker = NewWorker(request.Name, new DeviceView(ObjectState.Creating, record));
        worker.Create(record, wishes);
        return worker;
    }

    private DeviceWorker NewWorker(string name, DeviceView view) =>
        new(_services, name, view, _devices.Drop, ClaimId, _devices.Lifetime);

    // The kernel chooses, unless it might choose the number of a device of ours that is not there at the moment.
    private int? ChooseId(IReadOnlyCollection<DeviceWorker> others)
    {
        if (!others.Any(other => other.View is { IsLive: false, UblkId: not null }))
        {
            return null;
        }

        int id = 0;
        while (others.Any(other => other.View.UblkId == id)
            || Path.Exists($"{_services.Options.SysRoot}/class/ublk-char/ublkc{id}"))
        {
            id++;
        }

        return id;
    }

    private ControlError? ClaimId(DeviceWorker claimant, int id) =>
        Array.Find(_devices.All, other => !ReferenceEquals(other, claimant) && other.View.UblkId == id) is { } owner
            ? IdTaken(id, owner).Error
            : null;

    private static ControlException IdTaken(int id, DeviceWorker owner) =>
        new(ControlErrorCode.Busy, $"id {id} belongs to device {owner.Name}; choose another with --id");

    // Sockets and trees without a record.
    private IEnumerable<string> Orphans() =>
        Tolerant.Entries(_services.Options.Run.Targets).Concat(Tolerant.Entries(_services.Options.Run.Devices))
            .Select(path => Path.GetFileName(path));
}
