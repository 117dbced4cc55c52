using System.CommandLine;
using Dst.Cli.Output;
using Dst.Control;

namespace Dst.Cli.Commands;

/// <summary><c>list</c>: names and paths, one device or export a line.</summary>
internal static class ListCommand
{
    /// <summary>Makes the verb.</summary>
    public static Command Create(DaemonAccess daemon)
    {
        Option<bool> json = Inputs.Json();
        var command = new Verb(
            "list",
            "Print name and path of every device, name and addresses of every export, one a line; '-' stands for the "
                + "path of a device that is not live.",
            "dstctl list",
            "dstctl list --json")
        {
            json,
        };
        command.SetAction(async (parsed, cancellation) =>
        {
            using DaemonClient client = daemon.Connect(parsed);
            Write(
                daemon.Host.Output,
                await client.GetDevicesAsync(cancellation),
                await client.GetExportsAsync(cancellation),
                parsed.GetValue(json));
            return 0;
        });
        return command;
    }

    private static void Write(
        TextWriter output, IReadOnlyList<DeviceStatus> devices, IReadOnlyList<ExportStatus> exports, bool json)
    {
        if (json)
        {
            ListEntry[] entries = [.. devices.Select(d => new ListEntry(d.Name, d.State, d.BlockDevice))];
            ListExport[] served = [.. exports.Select(e => new ListExport(e.Name, e.State, [.. ExportAddress.Of(e)]))];
            CliJson.Write(output, new ListDocument(CliJson.Schema, entries, served), CliJson.Readable.ListDocument);
            return;
        }

        var table = new TextTable("NAME", "PATH");
        foreach (DeviceStatus device in devices)
        {
            table.Add(device.Name, device.BlockDevice ?? "-");
        }

        foreach (ExportStatus export in exports)
        {
            table.Add(export.Name, string.Join(' ', ExportAddress.Of(export)));
        }

        table.Write(output, heading: false);
    }
}
