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
        Argument<string> name = Inputs.AnyName(daemon, "Only this device or export, with its settings and latencies.");
        name.Arity = ArgumentArity.ZeroOrOne;
        Option<bool> json = Inputs.Json();
        var command = new Verb(
            "status",
            "Show devices, exports and their nodes: state, size, counters. Sizes are powers of 1024.",
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
        IReadOnlyList<DeviceStatus> devices = [];
        IReadOnlyList<ExportStatus> exports = [];
        if (name is null)
        {
            devices = await client.GetDevicesAsync(cancellation);
            exports = await client.GetExportsAsync(cancellation);
        }
        else
        {
            await EitherKind.AskAsync(
                name,
                async () => devices = [await client.GetDeviceAsync(name, cancellation)],
                async () => exports = [await client.GetExportAsync(name, cancellation)]);
        }

        if (json)
        {
            CliJson.Write(
                daemon.Host.Output,
                new StatusDocument(CliJson.Schema, devices, exports),
                CliJson.Readable.StatusDocument);
        }
        else
        {
            StatusText.Write(daemon.Host.Output, devices, exports, detailed: name is not null);
        }

        return 0;
    }
}
