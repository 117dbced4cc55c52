using Dst.Core.Requests;
using Dst.Core.Sessions.Client;
using Dst.Simulation.Clients;
using Dst.Simulation.Engine;
using Dst.Simulation.Plans;

namespace Dst.Simulation.Checks;

/// <summary>
/// Whether requests get the error of a spent budget in time and not before (S-15): what a lane was told of budgets and
/// when, and how long each of its legs has waited since. <see cref="ErrorTruth"/> knows the other errors' causes.
/// </summary>
internal sealed class BudgetTruth
{
    /// <summary>A lane looks at its timers so often, and its notes take no longer.</summary>
    private const long LookUs = 300_000;

    /// <summary>Hops between the threads of a node from a lane's doubt until its leg is final, all slow.</summary>
    private const long SlowHopsUs = 10 * 400_000;

    /// <summary>Clocks of machines count whole milliseconds.</summary>
    private const long ClockUs = 2_000;

    private readonly World _world;
    private readonly LaneDriver _lane;
    private readonly LegTimes[] _legs;
    private readonly long _slackUs;
    private RequestBudget _budget;
    private RequestBudget _settledBudget;
    private long _budgetUs;
    private long _heldUs;
    private bool _held;

    /// <summary>A lane that has no requests.</summary>
    public BudgetTruth(World world, LaneDriver lane, int legs, in RequestBudget budget)
    {
        _world = world;
        _lane = lane;
        _legs = new LegTimes[legs];
        _budget = budget;
        _budgetUs = world.NowUs;
        _slackUs = LookUs + (world.Plan.Has(Fault.SlowHop) ? SlowHopsUs : 0);
    }

    /// <summary>A leg has come.</summary>
    public void Begin(int leg) => _legs[leg] = new LegTimes { IsBusy = true, SinceUs = _world.NowUs };

    /// <summary>A leg is final.</summary>
    public void End(int leg, DstStatus status)
    {
        ref LegTimes times = ref _legs[leg];
        World.Check(
            status is not (DstStatus.LinkLost or DstStatus.TimedOut) || times.WasSpent || IsSpent(in times),
            $"{_lane.Name} leg {leg} ends with {status} after {(_world.NowUs - times.SinceUs) / 1000} ms and "
            + $"{times.Sends} sends with {_budget} (S-15)");
        times.IsBusy = false;
    }

    /// <summary>The node has given an order.</summary>
    public void OnOrder(in LaneOrder order)
    {
        KeepWhatIsSpent();
        switch (order.Kind)
        {
            case LaneOrderKind.Budget:
                _budget = order.Budget;
                _budgetUs = _world.NowUs;
                break;
            case LaneOrderKind.Settle:
                _settledBudget = _budget;
                break;
            case LaneOrderKind.Hold:
                _held = true;
                break;
            case LaneOrderKind.Unhold:
                _held = false;
                _heldUs = _world.NowUs;
                break;
            default:
                break;
        }
    }

    /// <summary>A leg's request goes out, no more often than the budget has retries.</summary>
    public void Send(int leg, ulong epoch)
    {
        ref LegTimes times = ref _legs[leg];
        times.Sends++;
        times.SentUs = _world.NowUs;
        times.Epoch = epoch;
        bool counts = _settledBudget.EndsWithError && _settledBudget.RetriesMax > 0;
        World.Check(
            !counts || times.Sends <= _settledBudget.RetriesMax + 1,
            $"{_lane.Name} leg {leg} is sent {times.Sends} times with {_settledBudget} (S-15)");
    }

    /// <summary>Looks at every leg. A process that stood still has its time from its waking on.</summary>
    /// <param name="epoch">The running epoch; 0 without one.</param>
    /// <param name="awakeUs">Since when the process runs.</param>
    public void Look(ulong epoch, long awakeUs)
    {
        long countsUs = long.Max(awakeUs, _budgetUs);
        bool ends = _budget is { EndsWithError: true, RetryTimeMs: > 0 } && !_held;
        for (int leg = 0; leg < _legs.Length; leg++)
        {
            ref readonly LegTimes times = ref _legs[leg];
            if (!times.IsBusy)
            {
                continue;
            }

            long endUs = long.Max(times.SinceUs, _heldUs) + (_budget.RetryTimeMs * 1000);
            World.Check(
                !ends || _world.NowUs <= long.Max(endUs, countsUs) + _slackUs,
                $"{_lane.Name} leg {leg} has waited {(_world.NowUs - times.SinceUs) / 1000} ms with {_budget} (S-15)");
            long doubtUs = times.SentUs + (_budget.DeadlineMs * 1000);
            bool waits = _budget.DeadlineMs > 0 && times.Epoch == epoch && epoch != 0;
            World.Check(
                !waits || _world.NowUs <= long.Max(doubtUs, countsUs) + _slackUs,
                $"{_lane.Name} leg {leg} is unanswered after {(_world.NowUs - times.SentUs) / 1000} ms, "
                + $"epoch {epoch} goes on with {_budget} (S-11, S-15)");
        }
    }

    /// <summary>A leg that was given up under one budget may become final under another.</summary>
    private void KeepWhatIsSpent()
    {
        foreach (ref LegTimes times in _legs.AsSpan())
        {
            times.WasSpent |= times.IsBusy && IsSpent(in times);
        }
    }

    private bool IsSpent(in LegTimes times)
    {
        long waitedUs = _world.NowUs - long.Max(times.SinceUs, _heldUs) + ClockUs;
        bool late = _budget.RetryTimeMs > 0 && !_held && waitedUs >= _budget.RetryTimeMs * 1000;
        bool often = _budget.RetriesMax > 0 && times.Sends > _budget.RetriesMax;
        return _budget.EndsWithError && (late || often);
    }

    private struct LegTimes
    {
        internal bool IsBusy;
        internal long SinceUs;
        internal long SentUs;
        internal ulong Epoch;
        internal int Sends;
        internal bool WasSpent;
    }
}
