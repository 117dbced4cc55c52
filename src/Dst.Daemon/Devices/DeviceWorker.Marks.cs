using Dst.Control;
using Dst.Daemon.Kernel;

namespace Dst.Daemon.Devices;

/// <content>Error marks (C-16): cleared by whoever may write them.</content>
internal sealed partial class DeviceWorker
{
    private async Task ClearLiveAsync(TargetSession session, int? nodeIndex)
    {
        await session.ReconnectAsync(Lifetime);
        TargetRequest request = new()
        {
            RequestId = 0,
            Command = TargetProtocol.TargetCommand.ClearError,
            NodeIndex = nodeIndex,
        };
        await session.AskAsync(request, "clearing errors of", _services.Timing.Start, Lifetime);
    }

    // Only while no target serves the device, for a target alone may touch the marks while it lives.
    private async Task ClearDeadAsync(int? nodeIndex)
    {
        if (View.Record?.Geometry is not { } geometry)
        {
            throw new ControlException(
                ControlErrorCode.Failure,
                $"device {Name} has no record that can be read; its error marks stay as they are");
        }

        if (nodeIndex is < 0 || nodeIndex >= geometry.Nodes.Count)
        {
            throw new ControlException(
                ControlErrorCode.NotFound,
                $"device {Name} has no node {nodeIndex}; it has {geometry.Nodes.Count}, from 0");
        }

        using TargetConnection? stranger = await TargetConnection.OpenAsync(
            _services.Options.Run.TargetSocket(Name), _services.Timing.Hello, static _ => { }, Lifetime);
        if (stranger is not null)
        {
            throw new ControlException(
                ControlErrorCode.Busy,
                $"device {Name}: target (pid {stranger.Process.Pid}) still serves it, "
                + "and this dstd cannot speak to it");
        }

        _served.RefuseIfServed();
        string path = _services.Options.State.DeviceMarks(Name);
        HelperResult result = await _services.Helpers.ClearErrorAsync(path, nodeIndex);
        if (result.ExitCode != HelperResult.Done)
        {
            ControlErrorCode code = result.TimedOut ? ControlErrorCode.TimedOut : ControlErrorCode.Failure;
            throw new ControlException(code, $"device {Name}: {result.Text}");
        }
    }
}
