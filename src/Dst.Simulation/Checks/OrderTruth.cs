using Dst.Core.Sessions.Client;
using Dst.Simulation.Clients;
using Dst.Simulation.Engine;
using Dst.Simulation.Plans;

namespace Dst.Simulation.Checks;

/// <summary>
/// Whether a lane does what an operator has ordered of its node, in time: fail-node ends what waits, suspend sends
/// nothing new, budgets are the new ones. What only the end of a run can show (resume, clear-error) is seen there.
/// </summary>
internal sealed class OrderTruth
{
    /// <summary>A node looks at its timers so often.</summary>
    private const long LookUs = 300_000;

    /// <summary>Hops between the threads of a node until a leg that is in flight may end, all slow.</summary>
    private const long SlowHopsUs = 10 * 400_000;

    private readonly World _world;
    private readonly LaneDriver _lane;
    private readonly LegState[] _legs;
    private readonly long _slackUs;
    private RequestBudget _asked;
    private RequestBudget _taken;
    private long _askedUs;
    private long _failedUs = -1;
    private long _suspendedUs = -1;

    /// <summary>A lane that nobody has ordered anything.</summary>
    public OrderTruth(World world, LaneDriver lane, int legs, in RequestBudget budget)
    {
        _world = world;
        _lane = lane;
        _legs = new LegState[legs];
        _asked = _taken = budget;
        _slackUs = LookUs + (world.Plan.Has(Fault.SlowHop) ? SlowHopsUs : 0);
    }

    /// <summary>An operator's order has come to the node.</summary>
    public void OnAsked(NodeOrder order, in RequestBudget budget)
    {
        switch (order)
        {
            case NodeOrder.Suspend:
                _suspendedUs = _suspendedUs < 0 ? _world.NowUs : _suspendedUs;
                break;
            case NodeOrder.Resume:
                _suspendedUs = -1;
                break;
            case NodeOrder.Fail:
                _failedUs = _world.NowUs;
                break;
            case NodeOrder.Budget:
                (_asked, _askedUs) = (budget, _world.NowUs);
                break;
            default:
                break;
        }
    }

    /// <summary>The node's order has come to the lane.</summary>
    public void OnOrder(in LaneOrder order) =>
        _taken = order.Kind == LaneOrderKind.Budget ? order.Budget : _taken;

    /// <summary>A leg has come.</summary>
    public void Begin(int leg) => _legs[leg] = new LegState { IsBusy = true, SinceUs = _world.NowUs };

    /// <summary>A leg is final.</summary>
    public void End(int leg) => _legs[leg].IsBusy = false;

    /// <summary>A leg's request goes out.</summary>
    public void Send(int leg)
    {
        ref LegState state = ref _legs[leg];
        bool waits = _suspendedUs >= 0 && _world.NowUs > long.Max(_suspendedUs, _lane.AwakeUs) + _slackUs;
        World.Check(
            !waits || state.WasSent,
            $"{_lane.Name} leg {leg} is sent, the node is suspended since {_suspendedUs / 1000} ms");
        state.WasSent = true;
    }

    /// <summary>Looks at what must have happened by now. A process that stood still has its time from its waking on.
    /// </summary>
    /// <param name="awakeUs">Since when the process runs.</param>
    public void Look(long awakeUs)
    {
        World.Check(
            _taken == _asked || _world.NowUs <= long.Max(_askedUs, awakeUs) + _slackUs,
            $"{_lane.Name} goes by {_taken}, ordered is {_asked} since {_askedUs / 1000} ms (S-15)");
        if (_failedUs < 0 || _world.NowUs <= long.Max(_failedUs, awakeUs) + _slackUs)
        {
            return;
        }

        for (int leg = 0; leg < _legs.Length; leg++)
        {
            World.Check(
                !_legs[leg].IsBusy || _legs[leg].SinceUs >= _failedUs,
                $"{_lane.Name} leg {leg} waits on, what waited was failed at {_failedUs / 1000} ms (S-13)");
        }

        _failedUs = -1;
    }

    private struct LegState
    {
        internal bool IsBusy;
        internal bool WasSent;
        internal long SinceUs;
    }
}
