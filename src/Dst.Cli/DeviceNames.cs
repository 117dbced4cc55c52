using System.CommandLine;
using Dst.Control;

namespace Dst.Cli;

/// <summary>Names of devices for completion while somebody types: soon, silent, never a failure.</summary>
internal static class DeviceNames
{
    /// <summary>Names of all devices of the instance that the line means; none when it is slow to answer.</summary>
    public static IEnumerable<string> Complete(DaemonAccess daemon, ParseResult parsed)
    {
        try
        {
            using var limit = new CancellationTokenSource(daemon.Host.Limits.Completion);
            using DaemonClient client = daemon.Connect(parsed);
            IReadOnlyList<DeviceStatus> devices = client.GetDevicesAsync(limit.Token).GetAwaiter().GetResult();
            return [.. devices.Select(device => device.Name)];
        }
        catch (Exception failure) when (failure is ControlException or OperationCanceledException)
        {
            return [];
        }
    }
}
