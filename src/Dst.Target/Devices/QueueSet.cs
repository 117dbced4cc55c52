using Dst.Hosting;

namespace Dst.Target.Devices;

/// <summary>
/// All hardware queues of a device, each with its thread. Control threads only, one at a time, but for
/// <see cref="Wake"/>.
/// </summary>
internal sealed class QueueSet
{
    private const int PollMs = 20;

    private readonly Action _allEnded;
    private int _endedQueues;

    /// <summary>Makes threads that do not run yet.</summary>
    /// <param name="plan">What the queues share.</param>
    /// <param name="count">How many.</param>
    /// <param name="allEnded">Called on the last thread when the kernel has retired every queue.</param>
    public QueueSet(QueuePlan plan, int count, Action allEnded)
    {
        _allEnded = allEnded;
        Threads = [.. Enumerable.Range(0, count).Select(index => new QueueThread(plan, index, OnEnded))];
    }

    /// <summary>The threads, in the order of the queues.</summary>
    public IReadOnlyList<QueueThread> Threads { get; }

    /// <summary>The kernel has retired every queue. Any thread.</summary>
    public bool HaveEnded => Volatile.Read(ref _endedQueues) == Threads.Count;

    /// <summary>Starts every queue; each fetches all its tags.</summary>
    /// <exception cref="TargetFatalException">
    /// One cannot serve. Queues that fetched cannot be called back without a STOP, and the kernel must never wait for
    /// the others: the process ends (U-04).
    /// </exception>
    public void Start()
    {
        foreach (QueueThread queue in Threads)
        {
            if (queue.Start() is { } failure)
            {
                throw new TargetFatalException(failure);
            }
        }
    }

    /// <summary>
    /// Makes every loop look at what other threads left for it. Any thread, until <see cref="Dispose"/>.
    /// </summary>
    public void Wake()
    {
        foreach (QueueThread queue in Threads)
        {
            queue.Wake();
        }
    }

    /// <summary>Ends with an error what the nodes only hold back, and whatever comes from now on.</summary>
    public void FailPending()
    {
        foreach (QueueThread queue in Threads)
        {
            queue.Engine?.FailFromNowOn();
        }

        Wake();
    }

    /// <summary>Waits until no request is with a node.</summary>
    /// <param name="timeoutMs">How long at most.</param>
    /// <returns>Requests that are still there.</returns>
    public long WaitForIdle(int timeoutMs)
    {
        long deadline = Environment.TickCount64 + timeoutMs;
        while (true)
        {
            long inFlight = Threads.Sum(queue => queue.Engine?.InFlight ?? 0);
            if (inFlight == 0 || Environment.TickCount64 > deadline)
            {
                return inFlight;
            }

            Thread.Sleep(PollMs);
        }
    }

    /// <summary>Waits for the end of every thread and says what it did.</summary>
    public void Join(ProcessLog log)
    {
        foreach (QueueThread queue in Threads)
        {
            queue.Join();
            long reads = queue.Engine?.Counters.FinishedOf(0) ?? 0;
            long writes = queue.Engine?.Counters.FinishedOf(1) ?? 0;
            log.Write($"queue ended: {reads} reads, {writes} writes, {queue.AllocatedBytes} bytes allocated");
        }
    }

    /// <summary>
    /// Frees rings and buffers. After <see cref="Join"/>, when nobody calls <see cref="Wake"/> any more.
    /// </summary>
    public void Dispose()
    {
        foreach (QueueThread queue in Threads)
        {
            queue.Dispose();
        }
    }

    private void OnEnded(int queueIndex)
    {
        if (Interlocked.Increment(ref _endedQueues) == Threads.Count)
        {
            _allEnded();
        }
    }
}
