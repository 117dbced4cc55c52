using Dst.Interop;
using Dst.IO.Memory;

namespace Dst.IO.Rings;

/// <summary>
/// Wakes its loop in even steps while somebody wants it to; sleeps otherwise, so that an idle loop costs nothing. Loop thread only.
/// </summary>
public sealed unsafe class LoopTicker : IRingClient, IDisposable
{
    private readonly RingLoop _loop;
    private readonly Func<long, bool> _tick;
    private readonly NativeBlock _time;
    private readonly byte _client;
    private bool _armed;

    /// <summary>Makes a ticker that sleeps. Before the loop runs.</summary>
    /// <param name="loop">The loop.</param>
    /// <param name="everyMs">Milliseconds between two ticks, at least 1.</param>
    /// <param name="tick">Gets the time of the turn in ticks; false lets the ticker sleep until <see cref="Start"/>.</param>
    public LoopTicker(RingLoop loop, int everyMs, Func<long, bool> tick)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(everyMs);
        _loop = loop;
        _tick = tick;
        _time = NativeBlock.Allocate(sizeof(KernelTimespec), "ticker");
        *(KernelTimespec*)_time.Address = KernelTimespec.FromNanoseconds(everyMs * 1_000_000L);
        _client = loop.Add(this);
    }

    /// <summary>Ticks from now on, if it does not already.</summary>
    public void Start()
    {
        if (_armed)
        {
            return;
        }

        _armed = true;
        IoUringSqe* sqe = _loop.Ring.NextSqe();
        sqe->Opcode = IoUringAbi.IORING_OP_TIMEOUT;
        sqe->Fd = -1;
        sqe->Addr = (ulong)_time.Address;
        sqe->Len = 1;
        sqe->UserData = RingLoop.UserData(_client, 0);
    }

    /// <inheritdoc/>
    public void OnCompletion(ulong token, int result, long nowTicks)
    {
        _armed = false;
        if (_tick(nowTicks))
        {
            Start();
        }
    }

    /// <inheritdoc/>
    public void OnWake(long nowTicks)
    {
    }

    /// <summary>Gives the memory back. After the loop has ended.</summary>
    public void Dispose() => _time.Dispose();
}
