using System.CommandLine;
using System.Diagnostics;
using System.Globalization;
using Dst.Core.Traces;
using Dst.Simulation;
using Dst.Simulation.Plans;
using Dst.Simulation.Recorded;

namespace Dst.Sim;

/// <summary>The commands of dst-sim.</summary>
internal static class CommandLine
{
    private const int Good = 0;
    private const int Bad = 1;
    private const int Usage = 2;

    private static readonly Option<string> Seeds = new("--seeds")
    {
        Description = "Seeds A..B, both included.",
        DefaultValueFactory = _ => "1..100",
    };

    private static readonly Option<double> Hours = new("--hours")
    {
        Description = "Virtual hours of each seed.",
        DefaultValueFactory = _ => 1.0 / 6,
    };

    private static readonly Option<string[]> Settings = new("--set")
    {
        Description = "NAME=VALUE: changes the plan of every seed; a fault's value is the mean of its waits in ms.",
        AllowMultipleArgumentsPerToken = true,
    };

    private static readonly Option<string?> ScenarioName = new("--scenario")
    {
        Description = "A named scenario, or a file with NAME = VALUE lines.",
    };

    private static readonly Option<int> Jobs = new("--jobs")
    {
        Description = "Threads; each runs seeds of its own.",
        DefaultValueFactory = _ => Environment.ProcessorCount,
    };

    private static readonly Option<string?> VariantName = new("--variant")
    {
        Description = "Run with a broken variant of the core.",
    };

    private static readonly Option<bool> ShowCoverage = new("--coverage")
    {
        Description = "List pairs of state and event that were not reached.",
    };

    private static readonly Option<bool> ShowTrace = new("--trace")
    {
        Description = "Print one line per step.",
    };

    private static readonly Argument<ulong> Seed = new("seed");

    private static readonly Option<string[]> NodeTraces = new("--node")
    {
        Description = "Traces of a network node, one for each life of its target.",
        Required = true,
        AllowMultipleArgumentsPerToken = true,
    };

    private static readonly Option<string[]> DiskTraces = new("--disk")
    {
        Description = "Traces of the export's node, one for each life of its server; without them reads are judged.",
        AllowMultipleArgumentsPerToken = true,
    };

    /// <summary>Runs the command line.</summary>
    public static int Run(string[] args)
    {
        RootCommand root = new("Simulates DST: virtual time, faults, replay by seed.");
        Command run = new("run", "Runs seeds, or a scenario.")
        {
            Seeds, Hours, Settings, ScenarioName, Jobs, VariantName, ShowCoverage, ShowTrace,
        };
        run.SetAction(parsed => RunSeeds(parsed));
        Command replay = new("replay", "Runs a seed twice and compares.")
        {
            Seed, Hours, Settings, VariantName, ShowTrace,
        };
        replay.SetAction(parsed => Replay(parsed));
        Command shrink = new("shrink", "Makes the plan of a failing seed as small as it can be.")
        {
            Seed, Hours, Settings, VariantName,
        };
        shrink.SetAction(parsed => Shrink(parsed));
        Command scenarios = new("scenarios", "Runs every named scenario.") { VariantName, ShowTrace };
        scenarios.SetAction(parsed => RunScenarios(parsed));
        Command variants = new("variants", "Runs every broken variant of the core, each for its budget of seeds.")
        {
            VariantName,
        };
        variants.SetAction(parsed => RunVariants(parsed));
        Command check = new("check", "Judges a recorded run of real programs (nodes trace:PATH,NODE).")
        {
            NodeTraces, DiskTraces,
        };
        check.SetAction(parsed => Check(parsed));
        root.Subcommands.Add(check);
        root.Subcommands.Add(run);
        root.Subcommands.Add(replay);
        root.Subcommands.Add(shrink);
        root.Subcommands.Add(scenarios);
        root.Subcommands.Add(variants);
        return root.Parse(args).Invoke();
    }

    private static int RunSeeds(ParseResult parsed)
    {
        if (parsed.GetValue(ScenarioName) is { } scenario && Scenarios.Find(scenario) is { } found)
        {
            bool good = TrySetVariant(parsed) && RunOne(found, parsed.GetValue(ShowTrace));
            return good ? Good : Bad;
        }

        string[] ends = parsed.GetValue(Seeds)!.Split("..");
        if (ends.Length != 2
            || !ulong.TryParse(ends[0], out ulong from)
            || !ulong.TryParse(ends[1], out ulong to)
            || from > to)
        {
            return Complain("--seeds needs A..B, for example 1..1000");
        }

        if (PlansOf(parsed) is not { } plans || !TrySetVariant(parsed))
        {
            return Usage;
        }

        Batch batch = new(plans, parsed.GetValue(ShowTrace));
        batch.Run(from, to, int.Max(1, parsed.GetValue(Jobs)));
        if (parsed.GetValue(ShowCoverage))
        {
            CoverageReport.Print(batch.Coverage);
        }

        foreach (RunResult failed in batch.Failed)
        {
            PrintViolation(failed);
        }

        if (batch.Failed.Count > 0)
        {
            ulong first = batch.Failed[0].Seed;
            PrintTrace(plans(first), first, Again(parsed, first, []));
        }

        Console.WriteLine(batch.Summary);
        return batch.Failed.Count == 0 ? Good : Bad;
    }

    private static void PrintViolation(RunResult run) =>
        Console.WriteLine($"seed {run.Seed}: step {run.Steps} at {run.VirtualUs / 1000} ms: {run.Violation}");

    /// <summary>The last steps of the first failing seed, one line each.</summary>
    private static void PrintTrace(Plan plan, ulong seed, string again)
    {
        const int Lines = 60;
        Queue<string> last = new();
        Console.WriteLine($"trace of seed {seed}, the last {Lines} lines; all: {again} --trace");
        Console.WriteLine($"plan: {plan}");
        SimulationRun.Run(seed, plan, line =>
        {
            last.Enqueue(line);
            if (last.Count > Lines)
            {
                last.Dequeue();
            }
        });
        foreach (string line in last)
        {
            Console.WriteLine(line);
        }
    }

    private static int Replay(ParseResult parsed)
    {
        if (PlansOf(parsed) is not { } plans || !TrySetVariant(parsed))
        {
            return Usage;
        }

        ulong seed = parsed.GetValue(Seed);
        RunResult first = SimulationRun.Run(seed, plans(seed), parsed.GetValue(ShowTrace) ? Console.WriteLine : null);
        RunResult second = SimulationRun.Run(seed, plans(seed));
        bool same = first.TraceHash == second.TraceHash && first.Steps == second.Steps;
        Console.WriteLine($"plan: {plans(seed)}");
        string end = first.Violation ?? "good";
        string again = same ? "twice" : $"and {second.TraceHash:x16}: the run is not deterministic";
        Console.WriteLine($"seed {seed}: {end}; {first.Steps} steps, {first.VirtualUs / 1000} ms");
        Console.WriteLine($"trace {first.TraceHash:x16} {again}");
        return same && first.Violation is null ? Good : Bad;
    }

    private static int Shrink(ParseResult parsed)
    {
        if (PlansOf(parsed) is not { } plans || !TrySetVariant(parsed))
        {
            return Usage;
        }

        ulong seed = parsed.GetValue(Seed);
        ShrinkResult? result = Shrinker.Shrink(seed, plans, Console.WriteLine);
        if (result is null)
        {
            return Complain($"seed {seed} does not fail");
        }

        PrintViolation(result.Run);
        Console.WriteLine($"plan: {result.Plan}");
        Console.WriteLine($"again: {Again(parsed, seed, result.Settings)}");
        return Good;
    }

    /// <summary>The command that runs a seed as it ran here.</summary>
    private static string Again(ParseResult parsed, ulong seed, IReadOnlyList<string> moreSettings)
    {
        List<string> words = ["dst-sim replay", seed.ToString(CultureInfo.InvariantCulture)];
        if (parsed.GetResult(Hours) is { Implicit: false })
        {
            words.Add(string.Create(CultureInfo.InvariantCulture, $"--hours {parsed.GetValue(Hours)}"));
        }

        IEnumerable<string> settings = SettingsOf(parsed)!.Concat(moreSettings);
        words.AddRange(settings.Select(static text => "--set " + text.Replace(" ", "", StringComparison.Ordinal)));
        if (parsed.GetValue(VariantName) is { } variant)
        {
            words.Add($"--variant {variant}");
        }

        return string.Join(' ', words);
    }

    private static int RunScenarios(ParseResult parsed)
    {
        if (!TrySetVariant(parsed))
        {
            return Usage;
        }

        int bad = 0;
        foreach (Scenario scenario in Scenarios.All)
        {
            bad += RunOne(scenario, parsed.GetValue(ShowTrace)) ? 0 : 1;
        }

        Console.WriteLine($"{Scenarios.All.Count - bad} passed, {bad} failed, 0 skipped");
        return bad == 0 ? Good : Bad;
    }

    private static bool RunOne(Scenario scenario, bool trace)
    {
        RunResult result = scenario.Run(trace ? Console.WriteLine : null);
        string word = result.Violation is null ? "good" : "BAD ";
        Console.WriteLine($"{word} {scenario.Name}: {result.Violation ?? scenario.Story}");
        return result.Violation is null;
    }

    private static int RunVariants(ParseResult parsed)
    {
        string? only = parsed.GetValue(VariantName);
        int survivors = 0;
        int found = 0;
        Stopwatch watch = Stopwatch.StartNew();
        foreach (string variant in Variants.All)
        {
            if (only is not null && only != variant)
            {
                continue;
            }

            VariantResult result = Variants.Run(variant);
            survivors += result.IsFoundEarly ? 0 : 1;
            found += result.IsFoundEarly ? 1 : 0;
            string how = (result.Violation, result.IsFoundEarly) switch
            {
                (null, _) => $"SURVIVES {result.Finder}",
                (_, false) => $"LATE, found by {result.Finder}",
                _ => $"found by {result.Finder}",
            };
            string what = Short(result.Violation);
            Console.WriteLine(
                $"{variant,-26} {how,-38} {result.Seeds,3} of {result.Budget,3} seeds {result.Steps,10} steps  {what}");
        }

        string took = $"{found + survivors} broken variants, {watch.ElapsedMilliseconds} ms";
        Console.WriteLine($"{found} passed, {survivors} failed, 0 skipped ({took})");
        return survivors == 0 ? Good : Bad;
    }

    private static int Check(ParseResult parsed)
    {
        CheckResult result;
        try
        {
            result = RecordedRun.Check(
                [.. parsed.GetValue(NodeTraces)!.Select(Load)], [.. (parsed.GetValue(DiskTraces) ?? []).Select(Load)]);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return Complain(e.Message);
        }

        Console.WriteLine(
            $"{result.Requests} requests, {result.BlocksRead} blocks read, {result.Flushes} flushes: "
            + (result.Violation ?? "good"));
        return result.Violation is null ? Good : Bad;
    }

    /// <summary>The used part of a trace: the file is as long as its room.</summary>
    private static Recording Load(string path)
    {
        using FileStream file = new(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite);
        byte[] head = new byte[TraceCodec.HeadBytes];
        int read = file.ReadAtLeast(head, head.Length, throwOnEndOfStream: false);
        if (!TraceCodec.TryReadHead(head.AsSpan(0, read), out TraceHead trace))
        {
            return new Recording(path, head.AsMemory(0, read));
        }

        byte[] bytes = new byte[(int)long.Min(TraceCodec.HeadBytes + trace.UsedBytes, file.Length)];
        file.Seek(0, SeekOrigin.Begin);
        file.ReadExactly(bytes);
        return new Recording(path, bytes);
    }

    private static string Short(string? text) => text is null ? "" : text.Length > 110 ? text[..110] + "…" : text;

    /// <summary>What changes the plan of every seed; null after a complaint.</summary>
    private static List<string>? SettingsOf(ParseResult parsed)
    {
        List<string> settings = [.. parsed.GetValue(Settings) ?? []];
        if (parsed.CommandResult.Command.Options.Contains(ScenarioName) && parsed.GetValue(ScenarioName) is { } file)
        {
            if (!File.Exists(file))
            {
                string names = string.Join(", ", Scenarios.All.Select(item => item.Name));
                Complain($"{file}: no such scenario and no such file; there are: {names}");
                return null;
            }

            IEnumerable<string> lines = File.ReadAllLines(file).Select(line => line.Trim());
            settings.InsertRange(0, lines.Where(line => line.Length > 0 && line[0] != '#'));
        }

        foreach (string setting in settings)
        {
            if (Apply(new Plan(), setting) is { } error)
            {
                Complain(error);
                return null;
            }
        }

        return settings;
    }

    private static Func<ulong, Plan>? PlansOf(ParseResult parsed)
    {
        if (SettingsOf(parsed) is not { } settings)
        {
            return null;
        }

        long horizonMs = (long)(parsed.GetValue(Hours) * 3_600_000);

        return seed =>
        {
            Plan plan = Plan.Of(seed);
            plan.HorizonMs = horizonMs;
            foreach (string setting in settings)
            {
                Apply(plan, setting);
            }

            return plan;
        };
    }

    private static string? Apply(Plan plan, string setting)
    {
        string[] parts = setting.Split('=', 2);
        return parts.Length == 2 ? plan.Set(parts[0].Trim(), parts[1].Trim()) : $"{setting}: needs NAME=VALUE";
    }

    private static bool TrySetVariant(ParseResult parsed)
    {
        string? name = parsed.GetValue(VariantName);
        if (name is null)
        {
            return true;
        }

        if (Variants.TrySet(name))
        {
            return true;
        }

        Complain($"no variant {name}; there are: {string.Join(", ", Variants.All)}");
        return false;
    }

    private static int Complain(string what)
    {
        Console.Error.WriteLine("dst-sim: " + what);
        return Usage;
    }
}
