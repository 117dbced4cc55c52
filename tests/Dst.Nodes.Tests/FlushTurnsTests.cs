using Dst.Core;
using Dst.Core.Requests;
using Dst.Core.Specs;
using Dst.IO.Rings;
using Dst.Nodes.Backings;
using Dst.Nodes.Legs;
using Dst.Nodes.Local;
using Xunit;

namespace Dst.Nodes.Tests;

/// <summary>One flush of a node is under way at a time, over all queues, and each queue gets its turn (C-16).</summary>
public sealed class FlushTurnsTests : IDisposable
{
    private const int BlockBytes = 4096;
    private const int BusyFlushes = 4;
    private const int Flushes = 100;
    private const int WakeMs = 1;
    private const int PatienceMs = 20_000;
    private readonly string _path = Path.GetTempFileName();

    public void Dispose() => File.Delete(_path);

    [Theory]
    [InlineData(2)]
    [InlineData(64)]
    public void A_queue_that_flushes_without_end_leaves_the_others_their_turn(int queues)
    {
        using BackingNode node = Open();
        var busy = new Client(node, 0, BusyFlushes, null);
        var last = new Client(node, queues - 1, 1, busy);
        Client[] clients =
        [
            busy,
            last,
            .. Enumerable.Range(1, queues - 2).Select(index => new Client(node, index, 1, null)),
        ];
        Array.ForEach(clients, client => client.Start());
        bool inTime = SpinWait.SpinUntil(() => last.Done >= Flushes, PatienceMs);
        int done = last.Done;
        Array.ForEach(clients, client => client.End());
        Array.ForEach(clients, client => client.Join());
        Array.ForEach(clients, client => client.Dispose());
        Assert.True(inTime, $"{done} flushes while the busy queue ended {busy.Done}");
        // The flush that is under way, and one turn of the busy queue in each round. A thread that loses its processor
        // between counting and asking sees more, now and then.
        Assert.InRange(last.LongWaits, 0, done / 10);
    }

    private BackingNode Open()
    {
        File.WriteAllBytes(_path, new byte[BlockBytes]);
        Assert.True(NodeSpec.TryParse($"file:{_path},buffered", out NodeSpec? spec, out string? error), error);
        Backing backing = BackingOpener.OpenFile((FileNodeSpec)spec, new BackingRequest());
        return new BackingNode("file", backing, static () => { });
    }

    /// <summary>A queue that begins the same again as soon as it has ended.</summary>
    private sealed class Client : ILegSink, IRingClient, IDisposable
    {
        private readonly BackingNode _node;
        private readonly int _queueIndex;
        private readonly Client? _busy;
        private readonly LegSlot[] _slots;
        private readonly Thread _thread;
        private readonly ManualResetEventSlim _ready = new();
        private RingLoop? _loop;
        private NodeQueue? _queue;
        private int _done;
        private int _inFlight;
        private int _busyBefore;
        private volatile bool _ending;

        public Client(BackingNode node, int queueIndex, int depth, Client? busy)
        {
            _node = node;
            _queueIndex = queueIndex;
            _busy = busy;
            _slots = new LegSlot[depth];
            _thread = new Thread(Run);
        }

        public int Done => Volatile.Read(ref _done);

        /// <summary>Flushes for which the busy queue flushed more than twice.</summary>
        public int LongWaits { get; private set; }

        public void Start()
        {
            _thread.Start();
            _ready.Wait();
        }

        public void End()
        {
            _ending = true;
            _loop!.Wake();
        }

        public void Join() => Assert.True(_thread.Join(PatienceMs), $"queue {_queueIndex} does not end");

        public void LegDone(int slot, DstStatus status, long nowTicks)
        {
            Must.Be(status == DstStatus.Ok, $"flush of queue {_queueIndex}: {status}");
            _inFlight--;
            Volatile.Write(ref _done, _done + 1);
            if (_busy is not null && _busy.Done - _busyBefore > 2 * BusyFlushes)
            {
                LongWaits++;
            }

            if (!_ending)
            {
                Submit(slot, nowTicks);
            }
            else if (_inFlight == 0)
            {
                _loop!.Stop();
            }
        }

        public void OnCompletion(ulong token, int result, long nowTicks)
        {
        }

        public void OnWake(long nowTicks)
        {
            if (_busy is not null)
            {
                // A thread takes its time to wake; nobody may use that to get past it.
                Thread.Sleep(WakeMs);
            }

            if (_ending && _inFlight == 0)
            {
                _loop!.Stop();
            }
        }

        public void Dispose()
        {
            _loop!.Dispose();
            _ready.Dispose();
        }

        private void Run()
        {
            _loop = new RingLoop(Ring.Create(new RingOptions { SubmissionEntries = 16, CompletionEntries = 32 }));
            _loop.Ring.RegisterFiles([_node.Fd]);
            _loop.Add(this);
            using NodeQueue queue = _node.CreateQueue(new NodeQueueContext(_loop, _queueIndex, 0, 0, _slots, this));
            _queue = queue;
            for (int slot = 0; slot < _slots.Length; slot++)
            {
                Submit(slot, 0);
            }

            _ready.Set();
            _loop.Run();
        }

        private void Submit(int slot, long nowTicks)
        {
            _slots[slot].Operation = Operation.Flush;
            _inFlight++;
            _busyBefore = _busy?.Done ?? 0;
            _queue!.Submit(slot, nowTicks);
        }
    }
}
