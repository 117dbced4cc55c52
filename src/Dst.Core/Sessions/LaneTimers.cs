using Dst.Core.Wire;

namespace Dst.Core.Sessions;

/// <summary>What a connection's timers ask for.</summary>
public enum LivenessAction
{
    /// <summary>Nothing.</summary>
    None,

    /// <summary>A PING is due.</summary>
    SendPing,

    /// <summary>The other side is dead, or takes nothing: close without a word.</summary>
    Dead,
}

/// <summary>
/// Liveness of one connection (S-30): pings when this side was silent, the end when the other side was, or when a send
/// makes no progress. Owned by the thread that owns the socket.
/// </summary>
public struct LaneTimers
{
    private readonly bool _pings;
    private long _lastReceivedMs;
    private long _lastSentMs;
    private long _sendSinceMs;
    private bool _sending;

    /// <summary>Timers that begin now.</summary>
    /// <param name="pings">This side pings.</param>
    /// <param name="nowMs">Monotonic time.</param>
    public LaneTimers(bool pings, long nowMs)
    {
        _pings = pings;
        _lastReceivedMs = nowMs;
        _lastSentMs = nowMs;
    }

    /// <summary>Any byte came; a ping's deadline counts them all.</summary>
    /// <param name="nowMs">Monotonic time.</param>
    public void Received(long nowMs) => _lastReceivedMs = nowMs;

    /// <summary>Bytes were handed to the socket.</summary>
    /// <param name="allTaken">False while some wait: the time without progress runs.</param>
    /// <param name="progressed">True when the socket took at least one.</param>
    /// <param name="nowMs">Monotonic time.</param>
    public void Sent(bool allTaken, bool progressed, long nowMs)
    {
        _lastSentMs = progressed ? nowMs : _lastSentMs;
        if (progressed || !_sending)
        {
            _sendSinceMs = nowMs;
        }

        _sending = !allTaken;
    }

    /// <summary>What is due; SendPing counts as sent.</summary>
    /// <param name="nowMs">Monotonic time.</param>
    public LivenessAction Tick(long nowMs)
    {
        if ((nowMs - _lastReceivedMs >= WireLimits.SilenceMs && !Mutations.Has(Mutation.ClientSilenceIgnored))
            || (_sending && nowMs - _sendSinceMs >= WireLimits.SendStallMs))
        {
            return LivenessAction.Dead;
        }

        if (!_pings || _sending || nowMs - _lastSentMs < WireLimits.PingEveryMs)
        {
            return LivenessAction.None;
        }

        _lastSentMs = nowMs;
        return LivenessAction.SendPing;
    }

    /// <summary>When <see cref="Tick"/> is to be called at the latest, monotonic time.</summary>
    public readonly long NextMs
    {
        get
        {
            long next = _lastReceivedMs + WireLimits.SilenceMs;
            if (_sending)
            {
                return long.Min(next, _sendSinceMs + WireLimits.SendStallMs);
            }

            return _pings ? long.Min(next, _lastSentMs + WireLimits.PingEveryMs) : next;
        }
    }
}
