using System.CommandLine;
using Dst.Control;

namespace Dst.Cli;

/// <summary>Names of devices for completion while somebody types: soon, silent, never a failure.</summary>
internal static class DeviceNames
{
    /// <summary>Names of all devices of the instance that the line means; none when it is slow to answer.</summary>
    public static IEnumerable<string> Complete(DaemonAccess daemon, ParseResult parsed) => Ask(
        daemon, parsed, (client, limit) => client.GetDevicesAsync(limit).GetAwaiter().GetResult().Select(d => d.Name));

    /// <summary>Names of all exports, likewise.</summary>
    public static IEnumerable<string> CompleteExports(DaemonAccess daemon, ParseResult parsed) => Ask(
        daemon, parsed, (client, limit) => client.GetExportsAsync(limit).GetAwaiter().GetResult().Select(e => e.Name));

    private static IEnumerable<string> Ask(
        DaemonAccess daemon, ParseResult parsed, Func<DaemonClient, CancellationToken, IEnumerable<string>> ask)
    {
        try
        {
            using var limit = new CancellationTokenSource(daemon.Host.Limits.Completion);
            using DaemonClient client = daemon.Connect(parsed);
            return [.. ask(client, limit.Token)];
        }
        catch (Exception failure) when (failure is ControlException or OperationCanceledException)
        {
            return [];
        }
    }
}
