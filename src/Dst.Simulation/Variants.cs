using Dst.Core;
using Dst.Core.Sessions.Client;
using Dst.Core.Wire;
using Dst.Simulation.Plans;

namespace Dst.Simulation;

/// <summary>What became of a broken variant.</summary>
/// <param name="Variant">Which.</param>
/// <param name="Finder">
/// The scenario or seed that found it; null when none did. Without a violation: the plan that the product fails, too.
/// </param>
/// <param name="Violation">How it was found.</param>
/// <param name="Seeds">Seeds that were run.</param>
/// <param name="Budget">Seeds that it may take.</param>
/// <param name="Steps">Steps of all of them.</param>
internal sealed record VariantResult(
    string Variant, string? Finder, string? Violation, int Seeds, int Budget, long Steps)
{
    /// <summary>
    /// True when it was found with two thirds of its budget to spare: one that takes longer than before says that the
    /// world hides something now.
    /// </summary>
    public bool IsFoundEarly => Violation is not null && Variants.Slack * Seeds <= Budget;
}

/// <summary>Runs broken variants of the core until a seed finds them: a check that finds nothing is none.</summary>
internal static class Variants
{
    /// <summary>A variant has to be found within this part of its budget.</summary>
    public const int Slack = 3;

    /// <summary>Virtual time of a variant's seeds, for which the budgets are.</summary>
    public const long HorizonMs = 108_000;

    /// <summary>Seeds that a variant may take; without an entry a scenario finds it.</summary>
    private static readonly Dictionary<Mutation, int> Budgets = new()
    {
        [Mutation.NoDrainAtAttach] = 20,
        [Mutation.EpochUncheckedAtSubmit] = 300,
        [Mutation.CheckedBeforeCounted] = 50,
        [Mutation.HoldDroppedWithConnection] = 20,
        [Mutation.GrantBeforeDurable] = 20,
        [Mutation.BeginBeforeDurable] = 20,
        [Mutation.ReplacesIgnored] = 200,
        [Mutation.TakeOverIgnored] = 50,
        [Mutation.HolderNotCompared] = 50,
        [Mutation.TableKeptForSuccessor] = 50,
        [Mutation.TableForgetsErrors] = 50,
        [Mutation.AckBeforeDurable] = 20,
        [Mutation.ZeroesNotFlushed] = 50,
        [Mutation.BootIdKept] = 20,
        [Mutation.ReaderMayWrite] = 100,
        [Mutation.ReaderReadsElsewhere] = 20,
        [Mutation.ReaderClearsPoison] = 100,
        [Mutation.CreditLeak] = 20,
        [Mutation.GrantLeak] = 20,
        [Mutation.BodyChecksumIgnored] = 20,
        [Mutation.ReplyChecksumIgnored] = 50,
        [Mutation.CompletedTwice] = 20,
        [Mutation.ResendByTimer] = 20,
        [Mutation.ReplaySkipped] = 50,
        [Mutation.ReadsBeforeReplay] = 20,
        [Mutation.NewBeforeResends] = 20,
        [Mutation.FuaNotLogged] = 50,
        [Mutation.ZeroesNotLogged] = 200,
        [Mutation.LogEmptiedByBudget] = 50,
        [Mutation.FlushCoversTooMuch] = 50,
        [Mutation.ReplayOverwritesNewer] = 50,
        [Mutation.FlushOneNode] = 20,
        [Mutation.FlushOneQueue] = 20,
        [Mutation.LedgerTooFar] = 50,
        [Mutation.EpochNotNoted] = 20,
        [Mutation.BufferBackEarly] = 20,
        [Mutation.GivenUpOnLiveEpoch] = 20,
        [Mutation.PredecessorIgnored] = 200,
        [Mutation.ServerNotNoted] = 300,
        [Mutation.OverlapNotHeld] = 50,
        [Mutation.LossForgotten] = 100,
        [Mutation.SilenceIgnored] = 50,
        [Mutation.FencedGoesOn] = 50,
        [Mutation.NoEarlyFlush] = 200,
        [Mutation.SlotLeak] = 20,
        [Mutation.ErrorOnReconnect] = 20,
        [Mutation.BudgetForgotten] = 20,
        [Mutation.BudgetSpentAtOnce] = 20,
        [Mutation.RetriesForgotten] = 20,
        [Mutation.DeadlineForgotten] = 20,
        [Mutation.IdentityNotCompared] = 50,
        [Mutation.ChangeNotNoticed] = 20,
        [Mutation.OneLossBorne] = 20,
        [Mutation.FlushNotJudged] = 50,
        [Mutation.GenerationKept] = 50,
        [Mutation.ClientSilenceIgnored] = 50,
        [Mutation.BudgetOverdrawn] = 20,
        [Mutation.HandshakeUnbounded] = 50,
        [Mutation.SuspendIgnored] = 50,
        [Mutation.ResumeIgnored] = 50,
        [Mutation.FailIgnored] = 50,
        [Mutation.BudgetNotTaken] = 50,
        [Mutation.ClearErrorIgnored] = 200,
        [Mutation.ReleaseIgnored] = 50,
        [Mutation.TakeOverRefused] = 50,
        [Mutation.LossImagined] = 100,
        [Mutation.ReleaseFencesNobody] = 20,
    };

    /// <summary>Every variant.</summary>
    public static IReadOnlyList<string> All { get; } =
        [.. Enum.GetNames<Mutation>().Where(static name => name != nameof(Mutation.None))];

    /// <summary>Lets the whole process run a variant from now on.</summary>
    /// <returns>False when there is none of that name.</returns>
    public static bool TrySet(string name)
    {
        bool known = Enum.TryParse(name, out Mutation variant) && Enum.IsDefined(variant);
        Mutations.Active = known ? variant : Mutation.None;
        return known;
    }

    /// <summary>
    /// Runs one variant: scenarios first, then seeds. Not while anything else of the core runs in this process.
    /// </summary>
    /// <param name="name">Which.</param>
    public static VariantResult Run(string name)
    {
        Mutation variant = Enum.Parse<Mutation>(name);
        int budget = Budgets.GetValueOrDefault(variant);
        long steps = 0;
        Mutations.Active = variant;
        try
        {
            foreach (Scenario scenario in budget == 0 ? Scenarios.All : [])
            {
                RunResult told = scenario.Run(null);
                steps += told.Steps;
                if (told.Violation is not null)
                {
                    return new VariantResult(variant.ToString(), scenario.Name, told.Violation, 0, budget, steps);
                }
            }

            for (int i = 1; i <= budget; i++)
            {
                ulong seed = (ulong)i;
                RunResult result = SimulationRun.Run(seed, PlanOf(variant, seed));
                steps += result.Steps;
                if (result.Violation is not null)
                {
                    Mutations.Active = Mutation.None;
                    RunResult product = SimulationRun.Run(seed, PlanOf(variant, seed));
                    if (product.Violation is not null)
                    {
                        // A plan under which the product fails shows nothing.
                        string finder = $"seed {seed} of the product";
                        return new VariantResult(variant.ToString(), finder, null, i, budget, steps);
                    }

                    return new VariantResult(variant.ToString(), $"seed {seed}", result.Violation, i, budget, steps);
                }
            }
        }
        finally
        {
            Mutations.Active = Mutation.None;
        }

        return new VariantResult(variant.ToString(), null, null, budget, budget, steps);
    }

    private static Plan PlanOf(Mutation variant, ulong seed)
    {
        Plan plan = Plan.Of(seed);
        plan.HorizonMs = HorizonMs;
        Favour(variant, plan);
        return plan;
    }

    /// <summary>The faults without which a variant makes no difference; the rest of the plan is the seed's.</summary>
    private static void Favour(Mutation variant, Plan plan)
    {
        switch (variant)
        {
            case Mutation.CheckedBeforeCounted:
                plan.With(Fault.Preempt, 1_000).With(Fault.Reset, 1_000);
                plan.ThinkUs = 20_000;
                break;
            case Mutation.BodyChecksumIgnored or Mutation.ReplyChecksumIgnored:
                plan.With(Fault.BitFlip, 1_000);
                break;
            case Mutation.BootIdKept:
                plan.With(Fault.DiskCut, 5_000);
                break;
            case Mutation.FlushOneNode:
                plan.Nodes = 2;
                plan.With(Fault.PowerCut, 20_000);
                break;
            case Mutation.BufferBackEarly or Mutation.GivenUpOnLiveEpoch or Mutation.LogEmptiedByBudget:
                plan.With(Fault.FailPending, 2_000);
                break;
            case Mutation.ReaderReadsElsewhere or Mutation.BudgetOverdrawn:
                plan.Reader = true;
                plan.CreditBytes = 0;
                break;
            case Mutation.IdentityNotCompared or Mutation.ChangeNotNoticed:
                plan.With(Fault.ExportChanges, 20_000);
                break;
            case Mutation.OneLossBorne:
                plan.Queues = plan.Connections = 2;
                plan.Slots = int.Max(plan.Slots, 8);
                plan.CreditBytes = 1 << 20;
                plan.With(Fault.Reset, 2_000);
                break;
            case Mutation.FlushCoversTooMuch:
                plan.Cache = CacheMode.WriteBack;
                plan.ThinkUs = 20_000;
                plan.FlushShare = 200;
                plan.With(Fault.PowerCut, 10_000);
                break;
            case Mutation.FlushNotJudged:
                plan.Cache = CacheMode.WriteBack;
                plan.With(Fault.FsyncFails, 3_000);
                break;
            case Mutation.GenerationKept:
                plan.Cache = CacheMode.WriteBack;
                plan.With(Fault.FsyncFails, 3_000).With(Fault.ClearError, 3_000).With(Fault.TargetCrash, 10_000);
                break;
            case Mutation.BudgetForgotten:
                plan.Budget = new RequestBudget(0, 0, 5_000, EndsWithError: true);
                plan.With(Fault.ConnectFails, 10_000);
                break;
            case Mutation.RetriesForgotten:
                plan.Budget = new RequestBudget(0, 1, 0, EndsWithError: true);
                plan.With(Fault.Reset, 1_000);
                break;
            case Mutation.DeadlineForgotten:
                plan.Budget = new RequestBudget(2_000, 0, 0, EndsWithError: false);
                plan.With(Fault.DiskStuck, 10_000);
                break;
            case Mutation.ClientSilenceIgnored:
                plan.With(Fault.HalfOpen, 5_000);
                break;
            default:
                break;
        }
    }
}
