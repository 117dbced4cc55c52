using System.Collections.Concurrent;
using System.Diagnostics;
using Dst.Core.Requests;
using Dst.Core.Transactions;
using Dst.Core.Volumes;
using Dst.IO.Memory;
using Dst.IO.Rings;
using Dst.Nodes;
using Dst.Nodes.Engine;

namespace Dst.Net.Tests.Client;

/// <summary>
/// A thread with a loop and an engine over nodes, as a target's queue has them. Tests ask it for single requests, or
/// for a load.
/// </summary>
internal sealed unsafe class TestQueue : IRequestCompletion, IRingClient, ITurnEnd, IDisposable
{
    public const int Depth = 32;
    public const int MaxIoBytes = 1 << 20;

    private readonly IReadOnlyList<Node> _nodes;
    private readonly VolumeMap _map;
    private readonly FlushLedger _ledger;
    private readonly int _index;
    private readonly Thread _thread;
    private readonly ManualResetEventSlim _ready = new();
    private readonly ConcurrentQueue<Job> _jobs = new();
    private readonly Stack<int> _free = new(Enumerable.Range(0, Depth));
    private readonly Job?[] _running = new Job?[Depth];
    private RingLoop? _loop;
    private VolumeQueue? _engine;
    private NativeBlock? _buffers;
    private Load? _load;
    private int _stop;

    public TestQueue(IReadOnlyList<Node> nodes, VolumeMap map, FlushLedger ledger, int index)
    {
        _nodes = nodes;
        _map = map;
        _ledger = ledger;
        _index = index;
        _thread = new Thread(Run) { Name = $"test-queue-{index}", IsBackground = true };
        _thread.Start();
        Assert.True(_ready.Wait(20_000), "the queue does not start");
    }

    public VolumeQueue Engine => _engine!;

    public static TestQueue[] Start(int queues, params Node[] nodes)
    {
        VolumeMap map = new([.. nodes.Select(node => node.SizeBytes)], 512, MaxIoBytes);
        FlushLedger ledger = new(nodes.Length, queues);
        return [.. Enumerable.Range(0, queues).Select(index => new TestQueue(nodes, map, ledger, index))];
    }

    /// <summary>Begins a request; its data is copied in and out.</summary>
    public Job Begin(Request request, byte[]? data = null)
    {
        Job job = new(request, data ?? []);
        _jobs.Enqueue(job);
        _loop!.Wake();
        return job;
    }

    public Job BeginWrite(long offset, byte[] data) =>
        Begin(new Request(Operation.Write, RequestFlags.None, offset, data.Length), data);

    public Job BeginRead(int length) =>
        Begin(new Request(Operation.Read, RequestFlags.None, 0, length), new byte[length]);

    public DstStatus Do(Request request, byte[]? data = null)
    {
        Job job = Begin(request, data);
        Assert.True(job.Ends(60_000), $"{request} does not end");
        return job.Status;
    }

    public DstStatus Write(long offset, byte[] data, RequestFlags flags = RequestFlags.None) =>
        Do(new Request(Operation.Write, flags, offset, data.Length), data);

    public byte[] Read(long offset, int length)
    {
        byte[] data = new byte[length];
        Assert.Equal(DstStatus.Ok, Do(new Request(Operation.Read, RequestFlags.None, offset, length), data));
        return data;
    }

    public DstStatus Flush() => Do(new Request(Operation.Flush, RequestFlags.None, 0, 0));

    /// <summary>Runs a load on the queue's own thread.</summary>
    public void Begin(Load load)
    {
        _load = load;
        _loop!.Wake();
    }

    public void Complete(int tag, DstStatus status)
    {
        if (_running[tag] is { } job)
        {
            if (job.Request.Operation == Operation.Read && status == DstStatus.Ok)
            {
                new Span<byte>((void*)Buffer(tag), job.Data.Length).CopyTo(job.Data);
            }

            _running[tag] = null;
            _free.Push(tag);
            job.Status = status;
            job.Done.Set();
        }
        else
        {
            _load!.End(tag, status, Buffer(tag));
        }
    }

    public void OnCompletion(ulong token, int result, long nowTicks)
    {
    }

    public void OnWake(long nowTicks)
    {
        if (Volatile.Read(ref _stop) != 0)
        {
            _loop!.Stop();
        }
    }

    public void OnTurnEnd(long nowTicks)
    {
        while (_load is null && _free.Count > 0 && _jobs.TryDequeue(out Job? job))
        {
            int tag = _free.Pop();
            _running[tag] = job;
            job.Data.CopyTo(new Span<byte>((void*)Buffer(tag), MaxIoBytes));
            _engine!.Submit(tag, job.Request, Buffer(tag), nowTicks);
        }

        _load?.Fill(_engine!, Buffer(0), nowTicks);
    }

    public void Dispose()
    {
        Volatile.Write(ref _stop, 1);
        _loop!.Wake();
        Assert.True(_thread.Join(20_000), "the queue does not end");
        _loop.Dispose();
        _buffers!.Dispose();
    }

    private nint Buffer(int tag) => _buffers!.Address + ((nint)tag * MaxIoBytes);

    private void Run()
    {
        _buffers = NativeBlock.Allocate(Depth * (long)MaxIoBytes, "test");
        Ring ring = Ring.Create(new RingOptions { SubmissionEntries = 256, CompletionEntries = 1024 });
        _loop = new RingLoop(ring);
        int[] files = [.. _nodes.Where(node => node.Fd >= 0).Select(node => node.Fd)];
        if (files.Length > 0)
        {
            ring.RegisterFiles(files);
        }

        VolumeQueueOptions options = new(_index, Depth, 0, false);
        using VolumeQueue engine = new(_loop, _map, _ledger, _nodes, in options, null);
        _engine = engine;
        engine.Connect(this);
        _loop.Add(this);
        _loop.AtTurnEnd(this);
        _ready.Set();
        _loop.Run();
    }

    /// <summary>A single request.</summary>
    internal sealed class Job(Request request, byte[] data)
    {
        public Request Request => request;

        public byte[] Data => data;

        public DstStatus Status { get; set; }

        public ManualResetEventSlim Done { get; } = new();

        public bool Ends(int timeoutMs) => Done.Wait(timeoutMs);
    }
}

/// <summary>
/// Random requests on one run of a volume, never two that overlap at once, each result held against a byte array.
/// Allocates nothing while it runs.
/// </summary>
internal sealed unsafe class Load(
    long firstByte, int lengthBytes, int requests, int maxBytes, ulong seed, int depth = TestQueue.Depth)
{
    private readonly byte[] _model = new byte[lengthBytes];
    private readonly Request[] _requests = new Request[depth];
    private readonly bool[] _busy = new bool[depth];
    private ulong _random = seed;
    private int _issued;

    public ManualResetEventSlim Done { get; } = new();

    public int Ended { get; private set; }

    public int Errors { get; private set; }

    public string Problem { get; private set; } = "";

    /// <summary>What the queue's thread allocated from the first tenth on.</summary>
    public long AllocatedBytes { get; private set; }

    public long FirstTicks { get; private set; }

    public long LastTicks { get; private set; }

    /// <summary>Also sends changes that are not writes.</summary>
    public bool Mixed { get; init; } = true;

    /// <summary>Every request is of whole blocks of this length.</summary>
    public int BlockBytes { get; init; } = 512;

    /// <summary>Percentage of reads.</summary>
    public int Reads { get; init; } = 40;

    /// <summary>Every request has the full length.</summary>
    public bool FullLength { get; init; }

    /// <summary>Data is held against the array.</summary>
    public bool Verifies { get; init; } = true;

    public void Fill(VolumeQueue engine, nint buffers, long nowTicks)
    {
        if (_issued == 0)
        {
            FirstTicks = Stopwatch.GetTimestamp();
        }

        for (int tag = 0; tag < depth && _issued < requests; tag++)
        {
            if (!_busy[tag])
            {
                Issue(engine, tag, buffers + ((nint)tag * TestQueue.MaxIoBytes), nowTicks);
            }
        }
    }

    public void End(int tag, DstStatus status, nint buffer)
    {
        Ended++;
        _busy[tag] = false;
        ref Request request = ref _requests[tag];
        if (status != DstStatus.Ok)
        {
            Errors++;
        }
        else if (request.Operation == Operation.Read && Verifies)
        {
            Span<byte> expected = _model.AsSpan((int)(request.OffsetBytes - firstByte), (int)request.LengthBytes);
            Span<byte> read = new((void*)buffer, (int)request.LengthBytes);
            int at = expected.CommonPrefixLength(read);
            if (at < expected.Length && Problem.Length == 0)
            {
                Problem = $"{request}: byte {at} is {read[at]}, not {expected[at]}";
            }
        }

        if (Ended == requests / 10)
        {
            AllocatedBytes = -GC.GetAllocatedBytesForCurrentThread();
        }

        if (Ended == requests)
        {
            AllocatedBytes += GC.GetAllocatedBytesForCurrentThread();
            LastTicks = Stopwatch.GetTimestamp();
            Done.Set();
        }
    }

    private void Issue(VolumeQueue engine, int tag, nint buffer, long nowTicks)
    {
        Operation operation = Pick();
        int stripe = lengthBytes / depth / BlockBytes * BlockBytes;
        int blocks = int.Min(stripe, maxBytes) / BlockBytes;
        int count = FullLength ? blocks : 1 + (int)(Next() % (ulong)blocks);
        int first = (int)(Next() % (ulong)((stripe / BlockBytes) - count + 1));
        long offset = firstByte + ((long)tag * stripe) + ((long)first * BlockBytes);
        long length = (long)count * BlockBytes;
        bool changes = operation is Operation.Write or Operation.WriteZeroes or Operation.Discard;
        RequestFlags flags = Mixed && changes && Next() % 8 == 0 ? RequestFlags.Fua : RequestFlags.None;
        _requests[tag] = operation == Operation.Flush
            ? new Request(operation, flags, 0, 0)
            : new Request(operation, flags, offset, length);
        if (changes && Verifies)
        {
            Span<byte> model = _model.AsSpan((int)(offset - firstByte), (int)length);
            if (operation == Operation.Write)
            {
                model.Fill((byte)Next());
                for (int at = 0; at < model.Length; at += BlockBytes)
                {
                    BitConverter.TryWriteBytes(model[at..], Next());
                }

                model.CopyTo(new Span<byte>((void*)buffer, (int)length));
            }
            else
            {
                model.Clear();
            }
        }

        _busy[tag] = true;
        _issued++;
        engine.Submit(tag, in _requests[tag], buffer, nowTicks);
    }

    private Operation Pick()
    {
        int draw = (int)(Next() % 100);
        if (draw < Reads)
        {
            return Operation.Read;
        }

        return Mixed && draw >= 90
            ? (draw % 3) switch { 0 => Operation.Flush, 1 => Operation.WriteZeroes, _ => Operation.Discard }
            : Operation.Write;
    }

    private ulong Next()
    {
        _random ^= _random << 13;
        _random ^= _random >> 7;
        _random ^= _random << 17;
        return _random;
    }
}
