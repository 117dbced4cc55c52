using System.CommandLine;
using Dst.Cli.Doctoring;
using Dst.Cli.Features;
using Dst.Cli.Output;
using Dst.Control;

namespace Dst.Cli.Commands;

/// <summary><c>features</c>: what the running kernel has of what DST can use. Needs no daemon.</summary>
internal static class FeaturesCommand
{
    private const int SomethingUnknown = 1;
    private const string Absent = "-";

    /// <summary>Makes the verb.</summary>
    public static Command Create(CliHost host)
    {
        Option<bool> json = Inputs.Json();
        var command = new Verb(
            "features",
            "Show the kernel's release and which features of ublk and io_uring it has. Needs root, but no daemon.",
            "dstctl features",
            "dstctl features --json | jq -r '.features[] | select(.present) | .name'")
        {
            json,
        };
        command.SetAction(parsed =>
        {
            var features = new List<Feature>();
            var errors = new List<string>();
            foreach (Func<IReadOnlyList<Feature>> ask in new[] { host.Probe.Ublk, host.Probe.IoUring })
            {
                try
                {
                    features.AddRange(ask());
                }
                catch (ControlException failure)
                {
                    errors.Add(failure.Message);
                }
            }

            string kernel = new HostFiles(host.HostRoot).Text("/proc/sys/kernel/osrelease") ?? "unknown";
            Write(host, new FeaturesDocument(CliJson.Schema, kernel, features, errors), parsed.GetValue(json));
            return errors.Count == 0 ? 0 : SomethingUnknown;
        });
        return command;
    }

    private static void Write(CliHost host, FeaturesDocument document, bool json)
    {
        if (json)
        {
            CliJson.Write(host.Output, document, CliJson.Readable.FeaturesDocument);
        }
        else
        {
            var table = new TextTable("GROUP", "FEATURE", "HERE", "SINCE");
            table.Add("kernel", document.Kernel, "yes", Absent);
            foreach (Feature feature in document.Features)
            {
                table.Add(feature.Group, feature.Name, feature.Present ? "yes" : "no", feature.Since ?? Absent);
            }

            table.Write(host.Output);
        }

        // What could not be asked may not look like something that is not there.
        foreach (string error in document.Errors)
        {
            host.Error.WriteLine($"dstctl: {Printable.Line(error)}");
        }
    }
}
