using Dst.Control;

namespace Dst.Daemon.Devices;

/// <content>What an operator tells a network node; the target does it.</content>
internal sealed partial class DeviceWorker
{
    /// <summary>
    /// Tells a network node something, without waiting for other operations: it may be what ends them.
    /// </summary>
    /// <param name="nodeIndex">The node.</param>
    /// <param name="order">A word of <see cref="NodeOrder"/>.</param>
    /// <param name="settings">With set: what changes.</param>
    /// <exception cref="ControlException">Why it was not done.</exception>
    public async Task OrderNodeAsync(int nodeIndex, string order, NodeSettings? settings)
    {
        if (View.Record?.Geometry is { } geometry && nodeIndex >= geometry.Nodes.Count)
        {
            throw new ControlException(
                ControlErrorCode.NotFound,
                $"device {Name} has no node {nodeIndex}; it has {geometry.Nodes.Count}, from 0");
        }

        if (Session is not { } session)
        {
            throw new ControlException(
                ControlErrorCode.Failure, $"device {Name} is not live ({View.Reason ?? View.State})");
        }

        TargetRequest request = new()
        {
            RequestId = 0,
            Command = TargetProtocol.TargetCommand.OrderNode,
            NodeIndex = nodeIndex,
            Order = order,
            Settings = settings,
        };
        try
        {
            string doing = $"telling {order} to node {nodeIndex} of";
            await session.AskAsync(request, doing, _services.Timing.Hello, Lifetime);
        }
        catch (TimeoutException e)
        {
            throw new ControlException(ControlErrorCode.TimedOut, e.Message);
        }
    }
}
