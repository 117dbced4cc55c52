using Dst.Control;
using Dst.Daemon.Kernel;
using Dst.Daemon.Logging;

namespace Dst.Daemon.Devices;

/// <content>The beginning of a device: from a stored record to a live target, or back to nothing.</content>
internal sealed partial class DeviceWorker
{
    private async Task CreateAsync(DeviceRecord record, CreationWishes wishes, CancellationToken cancel)
    {
        BringUpResult result = await BringUpAsync(record, wishes, cancel);
        if (result.Error is { } error)
        {
            _services.Log.CreationFailed(Name, error.Message);
            string stays = RollBack(error, result.Unclean);
            throw new ControlException(error.Code, error.Message + stays);
        }
    }

    private async Task<BringUpResult> BringUpAsync(
        DeviceRecord record, CreationWishes wishes, CancellationToken cancel)
    {
        BringUp way = new(_services, record, wishes, Save, OnTargetEvent);
        BringUpResult result = await way.RunAsync(id => _claimId(this, id), cancel);
        if (result.Session is { } session)
        {
            await RescanAsync(result.BlockDevice);
            GoLive(session, result.Record, result.BlockDevice);
            _services.Log.DeviceLive(Name, result.BlockDevice, session.Process.Pid);
        }

        return result;
    }

    // U-25: where the kernel was told not to scan for partitions while the device started, it scans now; else this
    // changes nothing.
    private async Task RescanAsync(string blockDevice)
    {
        try
        {
            HelperResult result = await _services.Helpers.RescanAsync(blockDevice);
            if (result.ExitCode != HelperResult.Done)
            {
                _services.Log.DeviceWarning(Name, $"partition table of {blockDevice} was not read: {result.Text}");
            }
        }
        catch (IOException e)
        {
            _services.Log.DeviceWarning(Name, e.Message);
        }
    }
}
