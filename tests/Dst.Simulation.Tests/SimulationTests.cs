using Dst.Core.Sessions;
using Dst.Core.Wire;
using Dst.Simulation.Checks;
using Dst.Simulation.Plans;
using Xunit;

[assembly: Xunit.v3.Parallelization(Mode = Xunit.Sdk.ParallelMode.None)]

namespace Dst.Simulation.Tests;

/// <summary>
/// Scenarios, seeds, replay, shrinking and broken variants, as many as a minute holds; dst-sim runs them all.
/// </summary>
public sealed class SimulationTests
{
    private const long HorizonMs = 60_000;

    public static TheoryData<string> ScenarioNames => [.. Scenarios.All.Select(scenario => scenario.Name)];

    [Theory]
    [MemberData(nameof(ScenarioNames))]
    public void AScenarioEndsWell(string name) => Assert.Null(Scenarios.Find(name)!.Run(null).Violation);

    [Theory]
    [InlineData("ghost-write", "NoDrainAtAttach")]
    [InlineData("stopped-at-submission", "CheckedBeforeCounted")]
    [InlineData("stale-attach", "ReplacesIgnored")]
    [InlineData("second-cut-during-replay", "ReplaySkipped")]
    [InlineData("fua-over-unflushed", "FuaNotLogged")]
    [InlineData("overlapping-changes", "OverlapNotHeld")]
    [InlineData("budget-with-half-reply", "BufferBackEarly")]
    [InlineData("boot-id-of-an-export", "BootIdKept")]
    [InlineData("resends-without-log-room", "NoEarlyFlush")]
    [InlineData("replay-cut-short", "ReplayOverwritesNewer")]
    [InlineData("successor-over-a-cut", "PredecessorIgnored")]
    [InlineData("retries-with-other-slots", "RetriesForgotten")]
    [InlineData("later-budget-of-what-waits", "RetriesForgotten")]
    [InlineData("later-budget-of-a-read", "RetriesForgotten")]
    public void AScenarioFindsWhatItIsAbout(string scenario, string variant) =>
        Assert.NotNull(WithVariant(variant, () => Scenarios.Find(scenario)!.Run(null)).Violation);

    [Fact]
    public void SeedsEndWell()
    {
        for (ulong seed = 1; seed <= 60; seed++)
        {
            Assert.Null(Run(seed).Violation);
        }
    }

    [Fact]
    public void ARunIsReplayedBitForBit()
    {
        for (ulong seed = 1; seed <= 5; seed++)
        {
            List<string> lines = [];
            RunResult first = Run(seed);
            RunResult second = SimulationRun.Run(seed, PlanOf(seed), lines.Add);
            Assert.Equal(first with { Coverage = second.Coverage }, second);
            Assert.NotEmpty(lines);
        }
    }

    [Fact]
    public void SeedsDiffer() => Assert.NotEqual(Run(1).TraceHash, Run(2).TraceHash);

    [Theory]
    [InlineData("HoldDroppedWithConnection")]
    [InlineData("GrantBeforeDurable")]
    [InlineData("AckBeforeDurable")]
    [InlineData("CompletedTwice")]
    [InlineData("FlushOneNode")]
    [InlineData("SlotLeak")]
    [InlineData("ReplyChecksumIgnored")]
    public void ABrokenVariantIsFound(string variant) => Assert.True(Variants.Run(variant).IsFoundEarly);

    [Theory]
    [InlineData("a rule is broken", 6, true)]
    [InlineData("a rule is broken", 7, false)]
    [InlineData(null, 6, false)]
    public void AVariantIsFoundWithinAThirdOfItsBudget(string? violation, int seeds, bool expected) =>
        Assert.Equal(expected, new VariantResult("Any", "seed", violation, seeds, 20, 0).IsFoundEarly);

    [Fact]
    public void AFailureIsShrunk()
    {
        ShrinkResult? result = WithVariant("AckBeforeDurable", () => Shrinker.Shrink(1, PlanOf, static _ => { }));
        Assert.NotNull(result);
        Assert.All(Enum.GetValues<Fault>(), fault => Assert.False(result.Plan.Has(fault)));
        Assert.True(result.Plan.HorizonMs < HorizonMs);
    }

    [Fact]
    public void NoSettingIsUndoneAndAnotherSearchFindsNoSmallerPlan()
    {
        ShrinkResult? first = WithVariant("AckBeforeDurable", () => Shrinker.Shrink(1, PlanOf, static _ => { }));
        string[] names = [.. first!.Settings.Select(static setting => setting.Split('=')[0])];
        Assert.Equal(names.Length, names.Distinct(StringComparer.Ordinal).Count());
        Assert.Equal(1, first.Plan.Depth);
        Plan Small(ulong seed)
        {
            Plan plan = PlanOf(seed);
            Assert.All(first.Settings, setting => Assert.Null(plan.Set(setting.Split('=')[0], setting.Split('=')[1])));
            return plan;
        }

        ShrinkResult? second = WithVariant("AckBeforeDurable", () => Shrinker.Shrink(1, Small, static _ => { }));
        Assert.Equal(first.Plan.ToString(), second!.Plan.ToString());
    }

    [Fact]
    public void AGoodSeedIsNotShrunk() => Assert.Null(Shrinker.Shrink(1, PlanOf, static _ => { }));

    [Fact]
    public void EveryVariantHasAName() => Assert.True(Variants.All.Count >= 30);

    [Fact]
    public void EveryStateSaysWhatMayCome()
    {
        Assert.Empty(PossiblePairs.Unknown());
        Assert.All(
            Enum.GetValues<Machine>(),
            machine => Assert.All(
                CoverageNames.States(machine), state => Assert.NotNull(PossiblePairs.Reason(machine, state))));
    }

    [Fact]
    public void APairThatCannotBeIsFound()
    {
        Coverage coverage = new();
        coverage.Hit(Machine.ServerLane, (int)LaneAction.SendPong, (int)FrameKind.Ping);
        Assert.Null(PossiblePairs.FirstBroken(coverage));
        coverage.Hit(Machine.ServerLane, (int)LaneAction.SendPong, (int)FrameKind.Goodbye);
        Assert.NotNull(PossiblePairs.FirstBroken(coverage));
    }

    [Fact]
    public void APlanTakesWhatItPrints()
    {
        Plan plan = new();
        Assert.Null(plan.Set("Reset", "500"));
        Assert.Null(plan.Set("Depth", "3"));
        Assert.Null(plan.Set("Cache", "WriteThrough"));
        Assert.True(plan.Has(Fault.Reset));
        Assert.Equal(3, plan.Depth);
        Assert.Contains("Reset 500", plan.ToString(), StringComparison.Ordinal);
        Assert.NotNull(plan.Set("Nothing", "1"));
        Assert.NotNull(plan.Set("Depth", "many"));
        Assert.NotNull(plan.Set("Depth", "33"));
        Assert.NotNull(plan.Set("Reset", "9999999999999999999"));
    }

    [Theory]
    [InlineData("Reader=1", "CreditBytes=0")]
    [InlineData("CreditBytes=0", "Queues=8")]
    [InlineData("Slots=2", "Queues=8")]
    [InlineData("LogBytes=0", "RequestBlocks=8")]
    [InlineData("Connections=8", "Queues=4")]
    public void SettingsGiveAPlanThatServes(params string[] settings)
    {
        for (ulong seed = 1; seed <= 5; seed++)
        {
            Plan plan = PlanOf(seed);
            foreach (string[] parts in settings.Select(setting => setting.Split('=')))
            {
                Assert.Null(plan.Set(parts[0], parts[1]));
            }

            Assert.Null(SimulationRun.Run(seed, plan).Violation);
        }
    }

    private static Plan PlanOf(ulong seed)
    {
        Plan plan = Plan.Of(seed);
        plan.HorizonMs = HorizonMs;
        return plan;
    }

    private static RunResult Run(ulong seed) => SimulationRun.Run(seed, PlanOf(seed));

    private static T WithVariant<T>(string variant, Func<T> body)
    {
        Assert.True(Variants.TrySet(variant));
        try
        {
            return body();
        }
        finally
        {
            Variants.TrySet("None");
        }
    }
}
