using System.CommandLine;
using Dst.Cli.Output;

namespace Dst.Cli.Commands;

/// <summary><c>clear-error</c>: an operator says that a node whose flush failed may be trusted again (C-16).</summary>
internal static class ClearErrorCommand
{
    private const int MaxNodeIndex = 63;

    /// <summary>Makes the verb.</summary>
    public static Command Create(DaemonAccess daemon)
    {
        Argument<string> name = Inputs.AnyName(daemon, "Name of the device or export.");
        Argument<int?> index = Inputs.WholeNumber(
            "INDEX", 0, MaxNodeIndex, "Index of the node of a device, as in 'dstctl status' (default: every node).");
        var command = new Verb(
            "clear-error",
            "Trust a poisoned node again. A flush of it failed, so writes before may be lost: check the data first.",
            "dstctl clear-error disk1",
            "dstctl clear-error disk1 1")
        {
            name, index,
        };
        command.SetAction(async (parsed, cancellation) =>
        {
            using DaemonClient client = daemon.Connect(parsed);
            string subject = parsed.GetRequiredValue(name);
            await EitherKind.AskAsync(
                subject,
                async () => await client.ClearErrorAsync(subject, parsed.GetValue(index), cancellation),
                async () => await client.ClearExportErrorAsync(subject, parsed.GetValue(index), cancellation));
            return 0;
        });
        return command;
    }
}
