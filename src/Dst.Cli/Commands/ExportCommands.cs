using System.CommandLine;
using Dst.Cli.Output;
using Dst.Control;

namespace Dst.Cli.Commands;

/// <summary><c>remove-export</c> and <c>release-export</c>.</summary>
internal static class ExportCommands
{
    private const int DefaultTimeoutSeconds = 10;

    /// <summary>Makes <c>remove-export</c>: takes an export away; its nodes keep their data.</summary>
    public static Command CreateRemove(DaemonAccess daemon)
    {
        Argument<string> name = Inputs.ExportName(daemon, "Name of the export.");
        var force = new Option<bool>("--force")
        {
            Description = "Remove it even while a client holds it; says who is cut off.",
        };
        Option<int?> timeout = Inputs.TimeoutSeconds(
            $"Seconds to wait for requests in flight (default {DefaultTimeoutSeconds}).");
        var command = new Verb(
            "remove-export",
            "Take an export away; its nodes keep their data. Refuses while a client holds it.",
            "dstctl remove-export pool",
            "dstctl remove-export pool --force")
        {
            name, force, timeout,
        };
        command.SetAction(async (parsed, cancellation) =>
        {
            using DaemonClient client = daemon.Connect(parsed);
            string export = parsed.GetRequiredValue(name);
            int timeoutMs = (parsed.GetValue(timeout) ?? DefaultTimeoutSeconds) * 1000;
            var operation = new LongOperation(
                daemon.Host,
                async look => OperationView.Of(await client.GetExportAsync(export, look)),
                export,
                $"removing {export}");
            RemovalReport report = await operation.RunAsync(
                abandon => client.RemoveExportAsync(export, parsed.GetValue(force), timeoutMs, abandon), cancellation);
            foreach (string note in report.Notes ?? [])
            {
                await daemon.Host.Error.WriteLineAsync(
                    $"dstctl: {export}: {Printable.Line(note)}".AsMemory(), cancellation);
            }

            return 0;
        });
        return command;
    }

    /// <summary>Makes <c>release-export</c>: ends the hold of a client that will not come back (S-04).</summary>
    public static Command CreateRelease(DaemonAccess daemon)
    {
        Argument<string> name = Inputs.ExportName(daemon, "Name of the export.");
        Option<int?> timeout = Inputs.TimeoutSeconds(
            $"Seconds to wait for requests of the holder that the disk still has (default {DefaultTimeoutSeconds}).");
        var command = new Verb(
            "release-export",
            "End the hold of a client that will not come back, so that another may attach. If it does come back, it is "
                + "refused, and what it had not flushed is lost.",
            "dstctl release-export pool")
        {
            name, timeout,
        };
        command.SetAction(async (parsed, cancellation) =>
        {
            using DaemonClient client = daemon.Connect(parsed);
            int timeoutMs = (parsed.GetValue(timeout) ?? DefaultTimeoutSeconds) * 1000;
            await client.ReleaseExportAsync(parsed.GetRequiredValue(name), timeoutMs, cancellation);
            return 0;
        });
        return command;
    }
}
