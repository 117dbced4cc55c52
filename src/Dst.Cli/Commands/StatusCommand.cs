using System.CommandLine;
using Dst.Cli.Output;
using Dst.Control;

namespace Dst.Cli.Commands;

/// <summary><c>status</c>: devices and nodes with their counters, for people or as JSON.</summary>
internal static class StatusCommand
{
    /// <summary>Makes the verb.</summary>
    public static Command Create(DaemonAccess daemon)
    {
        Argument<string> name = Inputs.DeviceName(daemon, "Only this device, with its settings and latencies.");
        name.Arity = ArgumentArity.ZeroOrOne;
        Option<bool> json = Inputs.Json();
        var command = new Verb(
            "status",
            "Show devices and their nodes: state, size, counters. Sizes are powers of 1024.",
            "dstctl status",
            "dstctl status disk1",
            "dstctl status --json | jq '.devices[] | {name, state}'")
        {
            name, json,
        };
        command.SetAction((parsed, cancellation) =>
            RunAsync(daemon, parsed, parsed.GetValue(name), parsed.GetValue(json), cancellation));
        return command;
    }

    private static async Task<int> RunAsync(
        DaemonAccess daemon, ParseResult parsed, string? name, bool json, CancellationToken cancellation)
    {
        using DaemonClient client = daemon.Connect(parsed);
        IReadOnlyList<DeviceStatus> devices = name is null
            ? await client.GetDevicesAsync(cancellation)
            : [await client.GetDeviceAsync(name, cancellation)];
        if (json)
        {
            CliJson.Write(
                daemon.Host.Output, new StatusDocument(CliJson.Schema, devices), CliJson.Readable.StatusDocument);
        }
        else
        {
            StatusText.Write(daemon.Host.Output, devices, detailed: name is not null);
        }

        return 0;
    }
}
