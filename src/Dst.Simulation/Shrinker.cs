using System.Globalization;
using Dst.Simulation.Plans;

namespace Dst.Simulation;

/// <summary>The smallest failing plan that was found.</summary>
/// <param name="Plan">The plan.</param>
/// <param name="Run">How it fails.</param>
/// <param name="Settings">What was changed, as <c>--set</c> takes it.</param>
internal sealed record ShrinkResult(Plan Plan, RunResult Run, IReadOnlyList<string> Settings);

/// <summary>
/// Makes a failing run small: leaves out kinds of faults, then shrinks the workload, then the horizon, as long as it
/// fails in any way. Each use of chance has a stream of its own, so what is left out does not shift the rest.
/// </summary>
internal static class Shrinker
{
    private static readonly (string Name, long Value)[] Smaller =
    [
        (nameof(Plan.Reader), 0), (nameof(Plan.Nodes), 1), (nameof(Plan.Queues), 1), (nameof(Plan.Connections), 1),
        (nameof(Plan.Depth), 1), (nameof(Plan.Depth), 2), (nameof(Plan.Engines), 1), (nameof(Plan.SegmentBytes), 65536),
        (nameof(Plan.SocketBytes), 65536), (nameof(Plan.CreditBytes), 1 << 20), (nameof(Plan.HotShare), 0),
        (nameof(Plan.NodeBlocks), 32), (nameof(Plan.FuaShare), 0), (nameof(Plan.ReadShare), 0),
        (nameof(Plan.LatencyUs), 50), (nameof(Plan.DiskUs), 50), (nameof(Plan.ThinkUs), 500_000),
    ];

    /// <summary>Shrinks a seed's plan.</summary>
    /// <param name="seed">The seed.</param>
    /// <param name="plans">The plan of a seed, made anew at each call.</param>
    /// <param name="tell">Told of each step.</param>
    /// <returns>Null when the seed does not fail.</returns>
    public static ShrinkResult? Shrink(ulong seed, Func<ulong, Plan> plans, Action<string> tell)
    {
        List<string> settings = [];
        RunResult best = Try(seed, plans, settings);
        if (best.Violation is null)
        {
            return null;
        }

        foreach (Fault fault in Enum.GetValues<Fault>())
        {
            if (plans(seed).Has(fault))
            {
                best = Keep(seed, plans, settings, $"{fault}=0", best, tell);
            }
        }

        foreach ((string name, long value) in Smaller)
        {
            best = Keep(seed, plans, settings, Setting(name, value), best, tell);
        }

        // Events after the failure do not matter, but healing begins at the horizon.
        for (long ms = plans(seed).HorizonMs / 2; ms > 1_000; ms /= 2)
        {
            best = Keep(seed, plans, settings, Setting(nameof(Plan.HorizonMs), ms), best, tell);
        }

        return new ShrinkResult(PlanOf(seed, plans, settings), best, settings);
    }

    private static string Setting(string name, long value) =>
        string.Create(CultureInfo.InvariantCulture, $"{name}={value}");

    private static RunResult Keep(
        ulong seed, Func<ulong, Plan> plans, List<string> settings, string setting, RunResult best, Action<string> tell)
    {
        settings.Add(setting);
        RunResult result = Try(seed, plans, settings);
        if (KindOf(result.Violation) == KindOf(best.Violation))
        {
            tell($"{setting}: still fails, step {result.Steps}");
            return result;
        }

        settings.RemoveAt(settings.Count - 1);
        return best;
    }

    /// <summary>A violation without its numbers: another kind of failure is another story.</summary>
    private static string KindOf(string? violation)
    {
        const int Letters = 24;
        string text = new([.. (violation ?? "").Where(static letter => char.IsAsciiLetter(letter) || letter == ' ')]);
        return text.Length > Letters ? text[..Letters] : text;
    }

    private static RunResult Try(ulong seed, Func<ulong, Plan> plans, List<string> settings) =>
        SimulationRun.Run(seed, PlanOf(seed, plans, settings));

    private static Plan PlanOf(ulong seed, Func<ulong, Plan> plans, List<string> settings)
    {
        Plan plan = plans(seed);
        foreach (string setting in settings)
        {
            string[] parts = setting.Split('=');
            plan.Set(parts[0], parts[1]);
        }

        return plan;
    }
}
