using System.Numerics;
using Dst.Core.Transactions;
using Dst.Core.Volumes;
using Dst.IO.Measure;
using Dst.IO.Memory;
using Dst.IO.Rings;
using Dst.Nodes;
using Dst.Nodes.Engine;
using Dst.Ublk.Queues;

namespace Dst.Target.Devices;

/// <summary>What all queues of a device share.</summary>
/// <param name="CharFd">Open /dev/ublkcN.</param>
/// <param name="Map">The volume.</param>
/// <param name="Ledger">What is not flushed yet.</param>
/// <param name="Nodes">The nodes.</param>
/// <param name="DepthTags">Tags per queue.</param>
/// <param name="MaxIoBytes">Largest request.</param>
/// <param name="ReadOnly">Changes are refused.</param>
/// <param name="Activity">Told of each request.</param>
internal sealed record QueuePlan(
    int CharFd,
    VolumeMap Map,
    FlushLedger Ledger,
    IReadOnlyList<Node> Nodes,
    int DepthTags,
    int MaxIoBytes,
    bool ReadOnly,
    ActivitySignal Activity);

/// <summary>
/// The thread of one hardware queue: it makes its ring, its engine and its end of the kernel queue itself, since all of
/// them belong to the thread that made them (U-01, U-02), then runs until the kernel has retired every tag.
/// </summary>
internal sealed class QueueThread
{
    private const int StackBytes = 256 * 1024;

    private readonly QueuePlan _plan;
    private readonly int _queueIndex;
    private readonly Action<int> _ended;
    private readonly Thread _thread;
    private readonly ManualResetEventSlim _ready = new();
    private RingLoop? _loop;
    private string? _failure;

    /// <summary>Makes a thread that does not run yet.</summary>
    /// <param name="plan">What all queues share.</param>
    /// <param name="queueIndex">Index of this queue.</param>
    /// <param name="ended">Called last on the thread, with the index.</param>
    public QueueThread(QueuePlan plan, int queueIndex, Action<int> ended)
    {
        _plan = plan;
        _queueIndex = queueIndex;
        _ended = ended;
        _thread = new Thread(Run, StackBytes) { Name = $"dst-queue-{queueIndex}" };
    }

    /// <summary>The queue's engine: counters for any thread. Set once <see cref="Start"/> has returned.</summary>
    public VolumeQueue? Engine { get; private set; }

    /// <summary>Time between two turns of the loop (U-02). Set once <see cref="Start"/> has returned.</summary>
    public LatencyHistogram? TurnTime => _loop?.TurnTime;

    /// <summary>Bytes the thread allocated on the managed heap while it served; known once it has ended.</summary>
    public long AllocatedBytes { get; private set; }

    /// <summary>Starts the thread and waits until all its tags are about to be fetched.</summary>
    /// <returns>Null, or why it cannot serve.</returns>
    public string? Start()
    {
        _thread.Start();
        _ready.Wait();
        return _failure;
    }

    /// <summary>Makes the loop look at what other threads left for it. Any thread, while the queue runs.</summary>
    public void Wake() => _loop?.Wake();

    /// <summary>Waits for the end of the thread.</summary>
    public void Join() => _thread.Join();

    /// <summary>
    /// Frees ring and buffers. After <see cref="Join"/>, when nobody calls <see cref="Wake"/> any more.
    /// </summary>
    public void Dispose()
    {
        _loop?.Dispose();
        _ready.Dispose();
    }

    private void Run()
    {
        try
        {
            Serve();
        }
        catch (Exception e) when (e is RingException or NativeMemoryException && !_ready.IsSet)
        {
            _failure = $"queue {_queueIndex}: {e.Message}";
            _ready.Set();
        }
        catch (Exception e)
        {
            // A queue that is not served hangs every process that uses the disk: end now, loudly.
            Environment.FailFast($"queue {_queueIndex} died: {e.Message}", e);
        }

        _ended(_queueIndex);
    }

    private void Serve()
    {
        int legs = _plan.DepthTags * Math.Max(VolumeLimits.RangeLegsMax, _plan.Nodes.Count);
        int entries = _plan.DepthTags + legs + (4 * _plan.Nodes.Count) + 64;
        uint completions = Math.Min(Ring.CompletionEntriesMax, BitOperations.RoundUpToPowerOf2((uint)entries));
        uint submissions = Math.Min(4096, BitOperations.RoundUpToPowerOf2((uint)_plan.DepthTags * 4));
        Ring ring = Ring.Create(new RingOptions { SubmissionEntries = submissions, CompletionEntries = completions });
        _loop = new RingLoop(ring);
        ring.RegisterFiles([_plan.CharFd, .. _plan.Nodes.Where(node => node.Fd >= 0).Select(node => node.Fd)]);
        var options = new VolumeQueueOptions(_queueIndex, _plan.DepthTags, UblkQueue.CharFileIndex + 1, _plan.ReadOnly);
        using var engine = new VolumeQueue(_loop, _plan.Map, _plan.Ledger, _plan.Nodes, options, _plan.Activity);
        using var queue = new UblkQueue(_loop, _plan.CharFd, engine, _queueIndex, _plan.DepthTags, _plan.MaxIoBytes);
        engine.Connect(queue);
        Engine = engine;
        queue.FetchAll();
        _ready.Set();
        long before = GC.GetAllocatedBytesForCurrentThread();
        _loop.Run();
        AllocatedBytes = GC.GetAllocatedBytesForCurrentThread() - before;
    }
}
