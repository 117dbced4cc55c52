using Dst.Core;
using Dst.Core.Sessions.Client;

namespace Dst.Net.Client;

/// <summary>
/// Speaks for a lane while no queue has it: before the queues of a device are made, so that a node can attach and give
/// its hold back without them, and after they have ended. Such a lane has no request, so every answer is known; only a
/// recovery has to wait for the real one. Orders are tracked throughout, and a lane that is born later is told them.
/// </summary>
/// <remarks>The lock is taken by the session thread, and by a queue thread before its loop runs and after it.</remarks>
/// <param name="border">The lane.</param>
internal sealed class LaneDesk(LaneBorder border)
{
    private readonly Lock _gate = new();
    private LaneOrder? _budget;
    private LaneOrder? _hold;
    private LaneOrder? _fail;
    private LaneOrder? _settle;
    private LaneOrder? _recover;
    private LaneOrder? _resend;
    private LaneOrder? _open;
    private LaneOrder? _close;
    private bool _born;

    /// <summary>Gives an order. Session thread.</summary>
    /// <param name="order">The order.</param>
    /// <param name="news">The answer of a lane that no queue has.</param>
    /// <returns>True when <paramref name="news"/> is an answer.</returns>
    public bool Give(in LaneOrder order, out LaneNews news)
    {
        lock (_gate)
        {
            Track(in order);
            if (!_born)
            {
                return TryAnswer(in order, out news);
            }

            bool put = border.Orders.TryPut(in order);
            Must.Be(put, $"lane {border.Lane} takes no orders");
        }

        border.Wake();
        news = default;
        return false;
    }

    /// <summary>A queue takes the lane. Queue thread, before its loop runs.</summary>
    /// <param name="replay">Gets each order that counts; what it leads to was answered already, but for the last one's when it is a recovery.</param>
    public void Bear(Action<LaneOrder> replay)
    {
        lock (_gate)
        {
            Must.Be(!_born, $"lane {border.Lane} is made twice");
            foreach (LaneOrder? order in (ReadOnlySpan<LaneOrder?>)[_budget, _hold, _fail, _settle, _resend, _open, _close, _recover])
            {
                if (order is { } given)
                {
                    replay(given);
                }
            }

            _born = true;
        }
    }

    /// <summary>The lane's loop has ended: the desk speaks for it again. Queue thread.</summary>
    public void Bury()
    {
        lock (_gate)
        {
            _born = false;
            while (border.Orders.TryTake(out LaneOrder order))
            {
                if (TryAnswer(in order, out LaneNews news))
                {
                    bool put = border.News.TryPut(in news);
                    Must.Be(put, $"lane {border.Lane}: nobody takes its news");
                }
            }
        }
    }

    private static bool TryAnswer(in LaneOrder order, out LaneNews news)
    {
        news = new LaneNews
        {
            Kind = order.Kind switch
            {
                LaneOrderKind.Settle => LaneNewsKind.Settled,
                LaneOrderKind.Resend => LaneNewsKind.Resent,
                LaneOrderKind.LetGo => LaneNewsKind.Quiet,
                _ => LaneNewsKind.Closed,
            },
        };
        return order.Kind is LaneOrderKind.Settle or LaneOrderKind.Resend or LaneOrderKind.LetGo or LaneOrderKind.Close;
    }

    private void Track(in LaneOrder order)
    {
        switch (order.Kind)
        {
            case LaneOrderKind.Budget:
                _budget = order;
                break;
            case LaneOrderKind.Hold:
                _hold = order;
                break;
            case LaneOrderKind.Unhold:
                _hold = null;
                break;
            case LaneOrderKind.Fail:
                _fail = order.ForEver ? order : _fail;
                break;
            case LaneOrderKind.Settle:
                _settle = order;
                break;
            case LaneOrderKind.Recover:
                _recover = order;
                break;
            case LaneOrderKind.Resend:
                _resend = order;
                _recover = null;
                break;
            case LaneOrderKind.Open:
                _open = order;
                break;
            case LaneOrderKind.Close:
                _close = order;
                _recover = null;
                break;
            default:
                _settle = _recover = _resend = _open = _close = null;
                break;
        }
    }
}
