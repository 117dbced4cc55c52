using System.CommandLine;
using Dst.Cli.Output;
using Dst.Control;

namespace Dst.Cli.Commands;

/// <summary><c>remove-device</c>: takes a device away; its nodes keep their data.</summary>
internal static class RemoveDeviceCommand
{
    private const int DefaultTimeoutSeconds = 10;

    /// <summary>Makes the verb.</summary>
    public static Command Create(DaemonAccess daemon)
    {
        Argument<string> name = Inputs.DeviceName(daemon, "Name of the device.");
        var force = new Option<bool>("--force")
        {
            Description = "Remove it even while it is used; says what is thrown away.",
        };
        Option<int?> timeout = Inputs.TimeoutSeconds(
            $"Seconds to wait for passing users such as udev (default {DefaultTimeoutSeconds}).");
        var command = new Verb(
            "remove-device",
            "Flush a device and take it away; the nodes keep their data. Refuses while it is mounted or held.",
            "dstctl remove-device disk1",
            "dstctl remove-device disk1 --timeout 60",
            "dstctl remove-device disk1 --force")
        {
            name, force, timeout,
        };
        command.SetAction((parsed, cancellation) => RunAsync(
            daemon,
            parsed,
            parsed.GetRequiredValue(name),
            parsed.GetValue(force),
            (parsed.GetValue(timeout) ?? DefaultTimeoutSeconds) * 1000,
            cancellation));
        return command;
    }

    private static async Task<int> RunAsync(
        DaemonAccess daemon, ParseResult parsed, string name, bool force, int timeoutMs, CancellationToken cancellation)
    {
        using DaemonClient client = daemon.Connect(parsed);
        var operation = new LongOperation(
            daemon.Host,
            async look => OperationView.Of(await client.GetDeviceAsync(name, look)),
            name,
            $"removing {name}");
        RemovalReport report = await operation.RunAsync(
            abandon => client.RemoveDeviceAsync(name, force, timeoutMs, abandon), cancellation);
        foreach (string note in report.Notes ?? [])
        {
            await daemon.Host.Error.WriteLineAsync($"dstctl: {name}: {Printable.Line(note)}".AsMemory(), cancellation);
        }

        return 0;
    }
}
