using Dst.Control;
using Dst.Daemon.Devices;
using Dst.Daemon.Objects;
using Dst.Daemon.Store;
using Xunit;

namespace Dst.Daemon.Tests;

/// <summary>What holds for the worker of any object.</summary>
public sealed class ObjectWorkerTests
{
    [Fact]
    public async Task What_is_removed_before_its_creation_began_is_not_made()
    {
        string root = Directory.CreateTempSubdirectory("dst-worker-").FullName;
        StateDirectory state = new(root);
        Directory.CreateDirectory(state.Devices);
        RecordStore<DeviceRecord> store = RecordStores.Devices(state);
        Worker worker = new(store);
        await worker.EnterAsync();
        worker.Create(new DeviceRecord { Request = TestBed.Request("a"), Uuid = Guid.NewGuid() });
        worker.RemoveAndLeave();
        ControlException e = await Assert.ThrowsAsync<ControlException>(() => worker.Work);
        Assert.Contains("removed before it was made", e.Message, StringComparison.Ordinal);
        Assert.False(worker.HasBegun);
        Assert.Empty(store.LoadAll());
        Directory.Delete(root, recursive: true);
    }

    private sealed class Worker(RecordStore<DeviceRecord> store)
        : ObjectWorker<DeviceView, DeviceRecord, object>(
            NameSpace.Device,
            "a",
            new DeviceView(ObjectState.Creating, null),
            store,
            new Timing(),
            static _ => { },
            CancellationToken.None)
    {
        private readonly RecordStore<DeviceRecord> _records = store;

        public bool HasBegun { get; private set; }

        public Task EnterAsync() => Gate.EnterAsync(ObjectState.Stopping, TimeSpan.Zero);

        public void RemoveAndLeave()
        {
            Forget();
            Gate.Leave();
        }

        public void Create(DeviceRecord record) => Create(record, _ =>
        {
            HasBegun = true;
            return Task.CompletedTask;
        });

        protected override void DropRecord() => _records.Remove(Name);

        protected override Task<RestoreOutcome> RestoreOnceAsync(
            StoredRecord<DeviceRecord> stored, CancellationToken cancel) => throw new NotSupportedException();

        protected override Task<RemovalReport> RemoveLiveAsync(object session, bool force, TimeSpan timeout) =>
            throw new NotSupportedException();

        protected override Task<RemovalReport> RemoveDeadAsync(bool force, TimeSpan timeout) =>
            throw new NotSupportedException();

        protected override void LogRemoved()
        {
        }

        protected override void LogFailed(string reason)
        {
        }
    }
}
