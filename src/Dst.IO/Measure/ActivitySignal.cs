using Dst.Interop;
using Dst.IO.Rings;

namespace Dst.IO.Measure;

/// <summary>
/// Lets one thread sleep while nothing happens: it arms the signal when it has seen a quiet period, and the first owner
/// thread that sees work wakes it. While armed or not, a busy owner pays one load per request.
/// </summary>
public sealed unsafe class ActivitySignal : IDisposable
{
    private readonly int _fd;
    private int _armed;

    /// <summary>Makes an unarmed signal.</summary>
    public ActivitySignal()
    {
        _fd = Libc.Eventfd(0, LinuxAbi.EFD_CLOEXEC);
        if (_fd < 0)
        {
            throw new RingException($"eventfd: {Errno.Describe(-_fd)}; raise the limit of open files (ulimit -n)");
        }
    }

    /// <summary>
    /// Work has happened. Owner threads, each time after they have counted: whoever sleeps looks at the counters last.
    /// </summary>
    public void Touch()
    {
        if (Volatile.Read(ref _armed) != 0 && Interlocked.Exchange(ref _armed, 0) != 0)
        {
            Signal();
        }
    }

    /// <summary>
    /// From now on the next <see cref="Touch"/> signals. The caller looks for work once more after this, then waits.
    /// Sleeping thread.
    /// </summary>
    /// <remarks>
    /// An owner counts, then loads; the processor may load first. A fence there would cost every request, so this one
    /// fences all threads of the process: what an owner counted before it missed the arming is visible afterwards.
    /// </remarks>
    public void Arm()
    {
        Volatile.Write(ref _armed, 1);
        Interlocked.MemoryBarrierProcessWide();
    }

    /// <summary>Ends a <see cref="Wait"/> in any case. Any thread.</summary>
    public void Signal()
    {
        ulong one = 1;
        _ = Libc.Write(_fd, &one, sizeof(ulong));
    }

    /// <summary>Sleeps until signalled, or as long as told. Sleeping thread.</summary>
    /// <param name="timeoutMs">Milliseconds, -1 for no limit.</param>
    public void Wait(int timeoutMs)
    {
        PollFd poll = new() { Fd = _fd, Events = LinuxAbi.POLLIN };
        if (Libc.Poll(new Span<PollFd>(ref poll), timeoutMs) > 0)
        {
            ulong count;
            _ = Libc.Read(_fd, &count, sizeof(ulong));
        }
    }

    /// <summary>Closes the signal; no thread may use it any more.</summary>
    public void Dispose() => _ = Libc.Close(_fd);
}
