using System.Numerics;
using Dst.Core.Transactions;
using Dst.Core.Volumes;
using Dst.IO.Memory;
using Dst.IO.Rings;
using Dst.Net.Server.Engine;
using Dst.Nodes.Engine;

namespace Dst.Net.Server;

/// <summary>What all engine threads of an export share.</summary>
/// <param name="Name">Name of the export.</param>
/// <param name="Volume">What it serves.</param>
/// <param name="Ledger">What is not flushed yet.</param>
/// <param name="MemoryBytes">Payload of one engine thread.</param>
/// <param name="ConnectionsMax">Connections that one engine thread may get.</param>
/// <param name="ReadOnly">Changes are refused.</param>
/// <param name="Reported">Wakes the session thread.</param>
internal sealed record EnginePlan(
    string Name,
    ExportVolume Volume,
    FlushLedger Ledger,
    long MemoryBytes,
    int ConnectionsMax,
    bool ReadOnly,
    Action Reported);

/// <summary>
/// One engine thread of an export: it makes its ring, its end of the volume and its payload memory itself, since all of
/// them belong to the thread that made them (U-02), then serves the connections it is handed until it is told to stop
/// and the last request has left the disk.
/// </summary>
internal sealed class EngineThread
{
    private const int StackBytes = 256 * 1024;

    /// <summary>The kernel shows 15 characters of a thread's name.</summary>
    private const string NamePrefix = "dst-engine-";

    private readonly EnginePlan _plan;
    private readonly int _index;
    private readonly Thread _thread;
    private readonly ManualResetEventSlim _ready = new();
    private readonly SpscRing<EngineOrder> _orders = new(ServerLimits.MessagesMax);
    private readonly SpscRing<EngineReport> _reports = new(ServerLimits.MessagesMax);
    private RingLoop? _loop;
    private VolumeQueue? _queue;
    private ConnectionEngine? _engine;
    private string? _failure;

    /// <summary>Makes a thread that does not run yet.</summary>
    /// <param name="plan">What all engine threads of the export share.</param>
    /// <param name="index">Index of this one.</param>
    public EngineThread(EnginePlan plan, int index)
    {
        _plan = plan;
        _index = index;
        _thread = new Thread(Run, StackBytes) { Name = $"{NamePrefix}{plan.Name}-{index}", IsBackground = true };
    }

    /// <summary>Counters of requests. Set once <see cref="Start"/> has returned. Any thread.</summary>
    public VolumeQueue Queue => _queue!;

    /// <summary>Counters of connections. Set once <see cref="Start"/> has returned. Any thread.</summary>
    public EngineCounters Counters => _engine!.Counters;

    /// <summary>Bytes the thread allocated on the managed heap while it served; known once it has ended.</summary>
    public long AllocatedBytes { get; private set; }

    /// <summary>Connections that the session thread has given it. Session thread.</summary>
    public int Assigned { get; set; }

    /// <summary>Bytes that those connections were granted. Session thread.</summary>
    public long AssignedBytes { get; set; }

    /// <summary>Starts the thread and waits until it can serve.</summary>
    /// <returns>Null, or why it cannot.</returns>
    public string? Start()
    {
        _thread.Start();
        _ready.Wait();
        return _failure;
    }

    /// <summary>Gives an order. Session thread.</summary>
    public void Tell(in EngineOrder order)
    {
        if (_engine is null)
        {
            // It never served: there is nobody to tell.
            return;
        }

        Core.Must.Be(_orders.TryPut(in order), $"export {_plan.Name}: engine {_index} does not take orders");
        _loop!.Wake();
    }

    /// <summary>Takes a report. Session thread.</summary>
    public bool TryTakeReport(out EngineReport report) => _reports.TryTake(out report);

    /// <summary>Makes the loop look at what other threads left for it. Any thread, while it runs.</summary>
    public void Wake() => _loop?.Wake();

    /// <summary>From now on every request fails, also what nodes hold back. Any thread.</summary>
    public void FailFromNowOn()
    {
        _queue?.FailFromNowOn();
        Wake();
    }

    /// <summary>Waits for the end of the thread, after the order to stop.</summary>
    /// <param name="timeoutMs">Milliseconds.</param>
    /// <returns>False when requests are still with the disk.</returns>
    public bool Join(int timeoutMs) => _thread.ThreadState.HasFlag(ThreadState.Unstarted) || _thread.Join(timeoutMs);

    /// <summary>Frees the ring. After <see cref="Join"/>, when nobody calls <see cref="Wake"/> any more.</summary>
    public void Dispose()
    {
        RingLoop? loop = _loop;
        _loop = null;
        loop?.Dispose();
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
            _failure = $"export {_plan.Name}: {e.Message}";
            _ready.Set();
        }
        catch (Exception e)
        {
            // Clients would wait for ever for what this thread owes them: end now, loudly; they attach anew to the next
            // process.
            Environment.FailFast($"export {_plan.Name}: engine {_index} died: {e.Message}", e);
        }
    }

    private void Serve()
    {
        int maxRequestBytes = (int)_plan.Volume.Geometry.MaxRequestBytes;
        int blockMaxBytes = BlockMaxBytes(maxRequestBytes);
        long connectionBytes = ConnectionBytes(_plan.ConnectionsMax);
        long payloadBytes = _plan.MemoryBytes - connectionBytes;
        payloadBytes -= payloadBytes % blockMaxBytes;
        const int Tags = ServerLimits.RequestsPerEngine;
        int legs = Tags * Math.Max(VolumeLimits.RangeLegsMax, _plan.Volume.Nodes.Count);
        uint completions = (uint)(legs + (4 * ServerLimits.ConnectionsMax) + (4 * _plan.Volume.Nodes.Count) + 64);
        using NativeBlock payload = NativeBlock.Allocate(payloadBytes, $"payload of {_plan.Name}", locked: true);
        using NativeBlock staging = NativeBlock.Allocate(connectionBytes, $"connections of {_plan.Name}", locked: true);
        var connections = new BuddyArena(staging.Address, connectionBytes, ServerLimits.StagingBytes);
        using var tags =
            new TagPool(Tags, maxRequestBytes, new BuddyArena(payload.Address, payloadBytes, blockMaxBytes));
        Ring ring = Ring.Create(new RingOptions
        {
            SubmissionEntries = 1024,
            CompletionEntries = Math.Min(Ring.CompletionEntriesMax, BitOperations.RoundUpToPowerOf2(completions)),
        });
        _loop = new RingLoop(ring);
        int[] files = [.. _plan.Volume.Nodes.Where(node => node.Fd >= 0).Select(node => node.Fd)];
        if (files.Length > 0)
        {
            ring.RegisterFiles(files);
        }

        var options = new VolumeQueueOptions(_index, Tags, FirstFileIndex: 0, _plan.ReadOnly);
        using var queue = new VolumeQueue(_loop, _plan.Volume.Map, _plan.Ledger, _plan.Volume.Nodes, options, null);
        using var engine = new ConnectionEngine(
            _loop,
            queue,
            new EngineMemory(tags, connections, maxRequestBytes),
            new EngineWays(_orders, Report, new LastWords(_plan.Name), TrustDisk));
        queue.Connect(engine);
        _queue = queue;
        _engine = engine;
        _ready.Set();
        long before = GC.GetAllocatedBytesForCurrentThread();
        _loop.Run();
        AllocatedBytes = GC.GetAllocatedBytesForCurrentThread() - before;
    }

    /// <summary>Blocks of an arena hold the longest request and what is received at once.</summary>
    internal static int BlockMaxBytes(int maxRequestBytes) =>
        BuddyArena.BlockBytes(int.Max(maxRequestBytes, ServerLimits.StagingBytes));

    /// <summary>Memory that connections themselves take.</summary>
    internal static long ConnectionBytes(int connections)
    {
        long messages = (long)connections * LiveConnection.MemoryBytes;
        long stagings = (messages + ServerLimits.StagingBytes - 1) / ServerLimits.StagingBytes;
        return (stagings + connections) * ServerLimits.StagingBytes;
    }

    private void TrustDisk()
    {
        foreach (Nodes.Node node in _plan.Volume.Nodes)
        {
            node.Health?.Trust();
        }
    }

    private void Report(EngineReport report)
    {
        Core.Must.Be(_reports.TryPut(in report), $"export {_plan.Name}: nobody takes the reports of engine {_index}");
        _plan.Reported();
    }
}
