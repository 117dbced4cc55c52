using Dst.Core.Requests;
using Dst.Core.Specs;
using Dst.Core.Transactions;
using Dst.Core.Volumes;
using Dst.IO.Memory;
using Dst.IO.Rings;
using Dst.Nodes.Backings;
using Dst.Nodes.Engine;
using Dst.Nodes.Faults;
using Dst.Nodes.Local;
using Xunit;

namespace Dst.Nodes.Tests;

/// <summary>
/// The engine with real rings and nodes, without a kernel device: a driver stands in for the ublk queue.
/// </summary>
public sealed class EngineTests : IDisposable
{
    private const int Depth = 16;
    private const int MaxIoBytes = 64 * 1024;
    private readonly string _folder = Directory.CreateTempSubdirectory("dst-engine").FullName;

    [Fact]
    public void Random_requests_agree_with_a_byte_array_and_allocate_nothing()
    {
        Node[] nodes = [File("a", 1 << 20), new MemoryNode(512 * 1024, keeps: true), File("b", (1 << 20) + 8192)];
        Driver driver = Run(nodes, requests: 200_000);
        Assert.Equal(string.Empty, driver.Mismatch);
        Assert.Equal(0, driver.AllocatedBytes);
        Assert.Equal(200_000, driver.Done);
    }

    [Fact]
    public void A_failing_node_fails_its_requests_and_no_other()
    {
        Assert.True(NodeSpec.TryParse("error:write@1-:ENOSPC,zero:512K", out NodeSpec? spec, out _));
        Node[] nodes =
        [
            new MemoryNode(512 * 1024, keeps: true),
            new ErrorNode(((ErrorNodeSpec)spec).Rule, new MemoryNode(512 * 1024, keeps: true)),
        ];
        Driver driver = Run(nodes, requests: 2_000, failsFromBytes: 512 * 1024);
        Assert.Equal(string.Empty, driver.Mismatch);
    }

    [Fact]
    public void Held_requests_end_when_the_device_gives_up()
    {
        Node[] nodes = [new DelayNode(60_000, new MemoryNode(512 * 1024, keeps: true))];
        Driver driver = Run(nodes, requests: 10, giveUp: true);
        Assert.True(driver.Failed >= 10, $"{driver.Failed} failed");
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    private BackingNode File(string name, long bytes)
    {
        string text = $"file:{_folder}/{name},size={bytes},buffered";
        Assert.True(NodeSpec.TryParse(text, out NodeSpec? spec, out string? error), error);
        Backing backing = BackingOpener.OpenFile((FileNodeSpec)spec, new BackingRequest());
        return new BackingNode("file", backing, static () => { });
    }

    private static Driver Run(Node[] nodes, int requests, long failsFromBytes = long.MaxValue, bool giveUp = false)
    {
        Driver? driver = null;
        var thread = new Thread(() =>
        {
            using var loop = new RingLoop(
                Ring.Create(new RingOptions { SubmissionEntries = 128, CompletionEntries = 512 }));
            int[] files = [.. nodes.Where(node => node.Fd >= 0).Select(node => node.Fd)];
            if (files.Length > 0)
            {
                loop.Ring.RegisterFiles(files);
            }

            var map = new VolumeMap([.. nodes.Select(node => node.SizeBytes)], 512, MaxIoBytes);
            var ledger = new FlushLedger(nodes.Length, 1);
            using var engine = new VolumeQueue(
                loop, map, ledger, nodes, new VolumeQueueOptions(0, Depth, 0, false), null);
            using var made = new Driver(loop, engine, map.SizeBytes, requests, failsFromBytes);
            driver = made;
            engine.Connect(made);
            made.Go(giveUp);
        });
        thread.Start();
        Assert.True(thread.Join(TimeSpan.FromMinutes(3)), "the engine hangs");
        foreach (Node node in nodes)
        {
            node.Dispose();
        }

        return driver!;
    }

    /// <summary>
    /// Issues random requests on free tags, never two that overlap at once, and holds every result against a byte
    /// array.
    /// </summary>
    private sealed unsafe class Driver(
        RingLoop loop, VolumeQueue engine, long sizeBytes, int requests, long failsFromBytes)
        : IRequestCompletion, IRingClient, IDisposable
    {
        private readonly NativeBlock _buffers = NativeBlock.Allocate(Depth * MaxIoBytes, "test");
        private readonly byte[] _model = new byte[sizeBytes];
        private readonly Request[] _requests = new Request[Depth];
        private readonly bool[] _busy = new bool[Depth];
        private ulong _random = 0x9e3779b97f4a7c15;
        private int _issued;
        private bool _issuing;
        private string? _mismatch;

        public int Done { get; private set; }

        public int Failed { get; private set; }

        public long AllocatedBytes { get; private set; }

        public string Mismatch => _mismatch ?? string.Empty;

        public void Go(bool giveUp)
        {
            loop.Add(this);
            Fill();
            if (giveUp)
            {
                engine.FailFromNowOn();
                loop.Wake();
            }

            long before = GC.GetAllocatedBytesForCurrentThread();
            loop.Run();
            AllocatedBytes = GC.GetAllocatedBytesForCurrentThread() - before;
        }

        public void Complete(int tag, DstStatus status)
        {
            Check(tag, status);
            _busy[tag] = false;
            Done++;
            if (Done == requests)
            {
                loop.Stop();
            }

            // Refilled by the loop's next wake, so that inline completions do not recurse.
            if (!_issuing)
            {
                loop.Wake();
            }
        }

        public void OnCompletion(ulong token, int result, long nowTicks)
        {
        }

        public void OnWake(long nowTicks) => Fill();

        public void Dispose() => _buffers.Dispose();

        private void Fill()
        {
            _issuing = true;
            bool inlineDone = false;
            for (int tag = 0; tag < Depth && _issued < requests; tag++)
            {
                if (!_busy[tag])
                {
                    Issue(tag);
                    inlineDone |= !_busy[tag];
                }
            }

            _issuing = false;
            if (inlineDone && Done < requests)
            {
                loop.Wake();
            }
        }

        private void Issue(int tag)
        {
            var operation = (Operation)(Next() % 5);
            RequestFlags flags = Next() % 8 == 0 && operation is Operation.Write or Operation.WriteZeroes
                ? RequestFlags.Fua
                : RequestFlags.None;
            // Each tag has stripes of its own, so requests in flight never overlap.
            long stripes = sizeBytes / MaxIoBytes / Depth;
            long stripe = ((long)(Next() % (ulong)Math.Max(1, stripes)) * Depth) + tag;
            long blocks = MaxIoBytes / 512;
            long first = (long)(Next() % (ulong)blocks);
            long count = 1 + (long)(Next() % (ulong)(blocks - first));
            // The odd place: half a stripe up, so that requests straddle the nodes' borders.
            long offset = Math.Min((stripe * MaxIoBytes) + (first * 512), sizeBytes - 512);
            long length = Math.Min(count * 512, sizeBytes - offset);
            _requests[tag] = operation == Operation.Flush
                ? new Request(operation, flags, 0, 0)
                : new Request(operation, flags, offset, length);
            var data = new Span<byte>((void*)Buffer(tag), MaxIoBytes);
            data[..(int)length].Fill((byte)Next());
            _busy[tag] = true;
            _issued++;
            engine.Submit(tag, in _requests[tag], Buffer(tag), 0);
        }

        private void Check(int tag, DstStatus status)
        {
            ref Request request = ref _requests[tag];
            bool mustFail = request.Operation == Operation.Write
                && request.OffsetBytes + request.LengthBytes > failsFromBytes;
            if (status != DstStatus.Ok)
            {
                Failed++;
                if (!mustFail)
                {
                    Note("failed", tag, status);
                }

                return;
            }

            if (mustFail)
            {
                Note("should have failed", tag, status);
            }

            Span<byte> model = _model.AsSpan((int)request.OffsetBytes, (int)request.LengthBytes);
            var data = new Span<byte>((void*)Buffer(tag), (int)request.LengthBytes);
            switch (request.Operation)
            {
                case Operation.Read when !data.SequenceEqual(model):
                    Note("read other bytes", tag, status);
                    break;
                case Operation.Write:
                    data.CopyTo(model);
                    break;
                case Operation.WriteZeroes or Operation.Discard:
                    model.Clear();
                    break;
                default:
                    break;
            }
        }

        private void Note(string what, int tag, DstStatus status) => _mismatch ??= $"{what}: {_requests[tag]} {status}";

        private nint Buffer(int tag) => _buffers.Address + (tag * MaxIoBytes);

        private ulong Next()
        {
            _random ^= _random << 13;
            _random ^= _random >> 7;
            _random ^= _random << 17;
            return _random;
        }
    }
}
