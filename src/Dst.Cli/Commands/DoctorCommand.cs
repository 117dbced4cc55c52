using System.CommandLine;
using System.Globalization;
using Dst.Cli.Doctoring;
using Dst.Cli.Output;
using Dst.Control;

namespace Dst.Cli.Commands;

/// <summary><c>doctor</c>: what this host lacks for DST, and the command that mends it. Changes nothing.</summary>
internal static class DoctorCommand
{
    private const int SomethingMissing = 1;

    // The column stays where it is, whatever was found.
    private const int Widest = 7;

    /// <summary>Makes the verb.</summary>
    public static Command Create(DaemonAccess daemon)
    {
        Option<bool> json = Inputs.Json();
        var command = new Verb(
            "doctor",
            "Check what DST needs on this host; for each thing that is missing, print the command that mends it.",
            "dstctl doctor",
            "dstctl doctor --json | jq -r '.checks[] | select(.state == \"missing\") | .mend'")
        {
            json,
        };
        command.SetAction(async (parsed, cancellation) =>
        {
            List<Check> checks = await ExamineAsync(daemon, daemon.RunDirectory.Resolve(parsed), cancellation);
            bool healthy = checks.TrueForAll(c => c.State != CheckState.Missing);
            Write(daemon.Host.Output, checks, healthy, parsed.GetValue(json));
            return healthy ? 0 : SomethingMissing;
        });
        return command;
    }

    private static async Task<List<Check>> ExamineAsync(
        DaemonAccess daemon, RunDirectory runDirectory, CancellationToken cancellation)
    {
        var files = new HostFiles(daemon.Host.HostRoot);
        (Check reachable, DaemonInfo? info, IReadOnlyList<DeviceStatus>? devices) = await AskAsync(
            daemon.Host.Limits, runDirectory, cancellation);
        var process = new ProcessChecks(files, info?.Pid);
        var storage = new StorageChecks(files, devices);
        string statePath = info?.StateDirectory
            ?? daemon.Host.Variable(StateDirectory.Variable)
            ?? StateDirectory.DefaultPath;
        return
        [
            .. new KernelChecks(files, daemon.Host.Probe).All(process.Effective),
            .. process.All(),
            storage.Directory("run directory", runDirectory.Path),
            storage.Directory("state directory", statePath),
            reachable,
            .. storage.Swaps(),
        ];
    }

    private static async Task<(Check Check, DaemonInfo? Info, IReadOnlyList<DeviceStatus>? Devices)> AskAsync(
        CliLimits limits, RunDirectory runDirectory, CancellationToken cancellation)
    {
        const string Name = "dstd";
        try
        {
            using var client = new DaemonClient(runDirectory, limits);
            DaemonInfo info = await client.GetVersionAsync(cancellation);
            IReadOnlyList<DeviceStatus> devices = await client.GetDevicesAsync(cancellation);
            string found = string.Create(
                CultureInfo.InvariantCulture, $"version {info.Version}, pid {info.Pid}, {devices.Count} devices");
            Check check = string.Equals(info.Version, CommandLine.Version, StringComparison.Ordinal)
                ? new Check(Name, CheckState.Ok, found)
                : new Check(
                    Name, CheckState.Warn, $"{found}; dstctl is {CommandLine.Version}", "systemctl restart dstd");
            return (check, info, devices);
        }
        catch (ControlException failure)
        {
            string start = string.Equals(runDirectory.Path, RunDirectory.DefaultPath, StringComparison.Ordinal)
                ? "systemctl start dstd"
                : $"dstd --run-dir {runDirectory.Path}";
            return (new Check(Name, CheckState.Missing, failure.Error.Message, start), null, null);
        }
    }

    private static void Write(TextWriter output, List<Check> checks, bool healthy, bool json)
    {
        if (json)
        {
            CliJson.Write(output, new DoctorDocument(CliJson.Schema, healthy, checks), CliJson.Readable.DoctorDocument);
            return;
        }

        var table = new TextTable("STATE", "CHECK", "FINDING");
        foreach (Check check in checks)
        {
            string mend = check.Mend is null ? string.Empty : $"; mend: {check.Mend}";
            table.Add(StateWord(check.State).PadRight(Widest), check.Name, $"{check.Finding}{mend}");
        }

        table.Write(output, heading: false);
    }

    private static string StateWord(CheckState state) => state switch
    {
        CheckState.Ok => "ok",
        CheckState.Warn => "warn",
        _ => "missing",
    };
}
