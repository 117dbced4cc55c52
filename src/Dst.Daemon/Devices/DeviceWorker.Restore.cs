using Dst.Control;
using Dst.Daemon.Kernel;
using Dst.Daemon.Logging;
using Dst.Daemon.Objects;
using Dst.Daemon.Store;

namespace Dst.Daemon.Devices;

/// <content>What an earlier daemon left: adopted, brought back, rolled back or ended.</content>
internal sealed partial class DeviceWorker
{
    /// <inheritdoc/>
    protected override async Task<RestoreOutcome> RestoreOnceAsync(
        StoredRecord<DeviceRecord> stored, CancellationToken cancel)
    {
        if (await FindRunningAsync(cancel) is { } found)
        {
            return found;
        }

        if (_served.Problem() is { } served)
        {
            return new(served);
        }

        DeviceRecord? record = View.Record;
        if (record is null && stored.Problem is { } problem)
        {
            return new(problem, Final: true);
        }

        ControlError? left = await _services.Leftovers.ClearAsync(
            Name, View.UblkId, ended: false, TimeSpan.Zero, cancel);
        if (left is not null && !(record is { IsHalfMade: true } && left.Code == ControlErrorCode.Busy))
        {
            return new(left.Message);
        }

        if (record is { IsHalfMade: true, Removing: false } && stored.Warning is { } warning)
        {
            return new($"{warning}, and that one is not complete; remove the device and add it again", Final: true);
        }

        return record is null or { Removing: true } or { IsHalfMade: true }
            ? EndUnfinished(record)
            : new((await BringUpAsync(record, CreationWishes.None, cancel)).Error?.Message);
    }

    // D-02: what an earlier daemon left half made is rolled back, what it left half removed is ended.
    private RestoreOutcome EndUnfinished(DeviceRecord? record)
    {
        if (record is null)
        {
            Vanish();
            return new(null);
        }

        Forget();
        if (record.Removing)
        {
            _services.Log.RemovalEnded(Name);
        }
        else
        {
            _services.Log.CreationRolledBack(Name);
            if (SpecLayers.FilesMade(record.Request) is { Length: > 0 } files)
            {
                _services.Log.DeviceWarning(
                    Name, $"files made for it may be left, if its target was killed too: {files}");
            }
        }

        return new(null);
    }

    // Null when nobody serves the device, so that it may be brought back.
    private async Task<RestoreOutcome?> FindRunningAsync(CancellationToken cancel)
    {
        TargetConnection? connection = await TargetConnection.OpenAsync(
            _services.Options.Run.TargetSocket(Name), _services.Timing.Hello, static _ => { }, cancel);
        if (connection is null)
        {
            return null;
        }

        ServingProcess process = ServingProcess.Adopt(connection.Process, "target");
        if (TargetHelloCheck.Problem(connection.Hello, Name) is { } problem)
        {
            connection.Dispose();
            return new(problem, Pid: process.Pid);
        }

        if (connection.Hello is { State: ObjectState.Live, Geometry: { } geometry })
        {
            if (View.Record is { } record)
            {
                try
                {
                    Adopt(new TargetSession(_services, Name, process, connection), record, geometry);
                    return new(null);
                }
                catch
                {
                    connection.Dispose();
                    throw;
                }
            }

            connection.Dispose();
            string why = Stored?.Problem ?? "no record of it is kept";
            return new($"{why}; its target (pid {process.Pid}) goes on, --force ends it", Pid: process.Pid);
        }

        bool stopping = string.Equals(connection.Hello.State, ObjectState.Stopping, StringComparison.Ordinal);
        Task<bool> end = stopping
            ? process.WaitAsync(_services.Timing.ProcessEnd)
            : process.EndWithinAsync(_services.Timing.ProcessEnd, Name, _services.Log);
        connection.Dispose();
        return await end ? null : new($"target (pid {process.Pid}) is {connection.Hello.State}", Pid: process.Pid);
    }

    private void Adopt(TargetSession session, DeviceRecord record, DeviceGeometry geometry)
    {
        DeviceRecord adopted =
            record with { Geometry = record.Geometry ?? geometry, Removing = false, Starting = false };
        if (record.IsHalfMade || record.Removing || Stored?.Warning is not null)
        {
            Save(adopted);
            Save(adopted);
        }

        GoLive(session, adopted, BlockDevice.PathOf(geometry.UblkId));
        _services.Log.DeviceAdopted(Name, session.Process.Pid);
    }
}
