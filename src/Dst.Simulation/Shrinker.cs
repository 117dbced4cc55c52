using System.Globalization;
using Dst.Simulation.Plans;
using static System.FormattableString;

namespace Dst.Simulation;

/// <summary>The smallest failing plan that was found.</summary>
/// <param name="Plan">The plan.</param>
/// <param name="Run">How it fails.</param>
/// <param name="Settings">What was changed, as <c>--set</c> takes it.</param>
internal sealed record ShrinkResult(Plan Plan, RunResult Run, IReadOnlyList<string> Settings);

/// <summary>
/// Makes a failing run small: leaves out kinds of faults, then shrinks the workload, then the horizon, again and again
/// as long as it fails in the same way. Each use of chance has a stream of its own, so what is left out does not shift
/// the rest.
/// </summary>
internal static class Shrinker
{
    private const int TriesMax = 600;

    /// <summary>What makes a workload smaller; of one setting the smallest value first.</summary>
    private static readonly (string Name, long[] Values)[] Smaller =
    [
        (nameof(Plan.Reader), [0]), (nameof(Plan.Nodes), [1]), (nameof(Plan.Queues), [1]),
        (nameof(Plan.Connections), [1]), (nameof(Plan.Depth), [1, 2]), (nameof(Plan.Engines), [1]),
        (nameof(Plan.SegmentBytes), [65536]), (nameof(Plan.SocketBytes), [65536]),
        (nameof(Plan.CreditBytes), [1 << 20]), (nameof(Plan.HotShare), [0]), (nameof(Plan.NodeBlocks), [32]),
        (nameof(Plan.FuaShare), [0]), (nameof(Plan.ReadShare), [0]), (nameof(Plan.LatencyUs), [50]),
        (nameof(Plan.DiskUs), [50]), (nameof(Plan.ThinkUs), [500_000]),
    ];

    /// <summary>Shrinks a seed's plan.</summary>
    /// <param name="seed">The seed.</param>
    /// <param name="plans">The plan of a seed, made anew at each call.</param>
    /// <param name="tell">Told of each step.</param>
    /// <returns>Null when the seed does not fail.</returns>
    public static ShrinkResult? Shrink(ulong seed, Func<ulong, Plan> plans, Action<string> tell)
    {
        Search search = new(seed, plans, tell);
        return search.Best.Violation is null ? null : search.Run();
    }

    /// <summary>A violation without its numbers: another kind of failure is another story.</summary>
    private static string KindOf(string? violation)
    {
        const int Letters = 24;
        string text = new([.. (violation ?? "").Where(static letter => char.IsAsciiLetter(letter) || letter == ' ')]);
        return text.Length > Letters ? text[..Letters] : text;
    }

    /// <summary>The search for one seed.</summary>
    private sealed class Search(ulong seed, Func<ulong, Plan> plans, Action<string> tell)
    {
        private readonly Dictionary<string, long> _settings = new(StringComparer.Ordinal);
        private int _tries;

        /// <summary>How the smallest plan so far fails.</summary>
        public RunResult Best { get; private set; } = SimulationRun.Run(seed, plans(seed));

        /// <summary>
        /// Until a whole round makes nothing smaller: what one step leaves out may let an earlier one succeed.
        /// </summary>
        public ShrinkResult Run()
        {
            while (Round() && _tries < TriesMax)
            {
                tell($"another round after {_tries} tries");
            }

            IEnumerable<string> settings = _settings.Select(static item => Invariant($"{item.Key}={item.Value}"));
            return new ShrinkResult(PlanWith(_settings), Best, [.. settings]);
        }

        private bool Round()
        {
            bool smaller = false;
            foreach (Fault fault in Enum.GetValues<Fault>())
            {
                smaller |= PlanWith(_settings).Has(fault) && Keeps(fault.ToString(), 0);
            }

            foreach ((string name, long[] values) in Smaller)
            {
                // A value that was kept is not exchanged for a larger one.
                bool isSet = _settings.TryGetValue(name, out long kept);
                smaller |= values.TakeWhile(value => !isSet || value != kept).Any(value => Keeps(name, value));
            }

            return ShortensHorizon() || smaller;
        }

        /// <summary>
        /// Halves what is between a horizon that is too short and one that will do: events after the failure do not
        /// matter, but healing begins at the horizon.
        /// </summary>
        private bool ShortensHorizon()
        {
            bool smaller = false;
            long good = 0;
            long bad = PlanWith(_settings).HorizonMs;
            while (bad - good > bad / 8 && bad > 1_000)
            {
                long middle = (good + bad) / 2;
                bool keeps = Keeps(nameof(Plan.HorizonMs), middle);
                smaller |= keeps;
                (good, bad) = keeps ? (good, middle) : (middle, bad);
            }

            return smaller;
        }

        /// <summary>Whether the seed fails with this setting as it did before; then the setting stays.</summary>
        private bool Keeps(string name, long value)
        {
            if (_tries == TriesMax || (_settings.TryGetValue(name, out long kept) && kept == value))
            {
                return false;
            }

            _tries++;
            Plan plan = PlanWith(new(_settings, StringComparer.Ordinal) { [name] = value });
            RunResult result = SimulationRun.Run(seed, plan);
            if (KindOf(result.Violation) != KindOf(Best.Violation))
            {
                return false;
            }

            _settings[name] = value;
            Best = result;
            tell(Invariant($"{name}={value}: still fails, step {result.Steps}"));
            return true;
        }

        private Plan PlanWith(Dictionary<string, long> settings)
        {
            Plan plan = plans(seed);
            foreach ((string name, long value) in settings)
            {
                plan.Set(name, value.ToString(CultureInfo.InvariantCulture));
            }

            return plan;
        }
    }
}
