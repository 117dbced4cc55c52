using Dst.Core;
using Dst.Core.Sessions.Client;
using Dst.IO.Rings;

namespace Dst.Net.Client;

/// <summary>
/// All of a lane that other threads touch: replies come in from RX, frames go out through it, orders and news pass
/// between it and the session thread. It lives as long as the node; the lane itself belongs to its queue.
/// </summary>
/// <param name="lane">Number of the lane.</param>
/// <param name="slots">Slots of a connection.</param>
internal sealed class LaneBorder(int lane, int slots)
{
    private readonly ulong[] _queuedSequences = new ulong[slots];
    private readonly long[] _frameNumbers = new long[slots];
    private RingLoop? _loop;
    private ClientLane? _machine;
    private int _wakers;
    private int _wakeAsked;

    /// <summary>Number of the lane.</summary>
    public int Lane => lane;

    /// <summary>Which replies are awaited.</summary>
    public ReplySlots Replies { get; } = new(slots);

    /// <summary>Requests that wait to be sent: at most one for each slot.</summary>
    public Outbox Outbox { get; } = new(slots);

    /// <summary>From the session thread to the lane.</summary>
    public SpscRing<LaneOrder> Orders { get; } = new(ClientNetLimits.OrdersMax);

    /// <summary>From the lane to the session thread.</summary>
    public SpscRing<LaneNews> News { get; } = new(ClientNetLimits.NewsMax);

    /// <summary>The lane's machine, for its counters; null while no queue has it. Any thread.</summary>
    public ClientLane? Machine => Volatile.Read(ref _machine);

    /// <summary>A queue takes the lane. Queue thread, before its loop runs.</summary>
    /// <param name="loop">The queue's loop.</param>
    /// <param name="machine">The lane's machine.</param>
    public void Connect(RingLoop loop, ClientLane machine)
    {
        Volatile.Write(ref _machine, machine);
        Volatile.Write(ref _loop, loop);
    }

    /// <summary>The queue has ended; when this returns nobody wakes its loop any more. Queue thread.</summary>
    public void Disconnect()
    {
        Volatile.Write(ref _machine, null);
        Interlocked.Exchange(ref _loop, null);
        SpinWait spin = default;
        while (Volatile.Read(ref _wakers) != 0)
        {
            spin.SpinOnce();
        }
    }

    /// <summary>Makes the lane look at what others left for it; one wake for all until it does. Any thread.</summary>
    public void Wake()
    {
        if (Interlocked.Exchange(ref _wakeAsked, 1) != 0)
        {
            return;
        }

        Interlocked.Increment(ref _wakers);
        Volatile.Read(ref _loop)?.Wake();
        Interlocked.Decrement(ref _wakers);
    }

    /// <summary>The lane is about to look; who leaves something after this wakes it again. Queue thread.</summary>
    public void BeginLook() => Interlocked.Exchange(ref _wakeAsked, 0);

    /// <summary>Puts the request of a slot in the outbox. Queue thread.</summary>
    /// <param name="slot">The lane's slot.</param>
    /// <param name="sequence">Its sequence.</param>
    /// <param name="frame">The frame.</param>
    public void Put(int slot, ulong sequence, in OutgoingFrame frame)
    {
        _frameNumbers[slot] = Outbox.NextNumber;
        Volatile.Write(ref _queuedSequences[slot], sequence);
        bool put = Outbox.TryPut(in frame);
        Must.Be(put, $"lane {lane}: more frames wait than there are slots");
    }

    /// <summary>True when the kernel has every byte of a slot's request. RX thread (S-13).</summary>
    /// <param name="slot">The lane's slot.</param>
    /// <param name="sequence">Its sequence.</param>
    public bool IsSent(int slot, ulong sequence) =>
        Volatile.Read(ref _queuedSequences[slot]) == sequence && _frameNumbers[slot] < Outbox.SentCount;

    /// <summary>Nothing of the epoch before counts as sent. Queue thread, when the lane settles.</summary>
    public void ForgetSent() => Array.Clear(_queuedSequences);
}
