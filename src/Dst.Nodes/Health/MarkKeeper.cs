using System.Collections.Concurrent;
using Dst.Interop;
using Dst.IO.Measure;
using Dst.Nodes.Marks;

namespace Dst.Nodes.Health;

/// <summary>
/// The thread that makes poison durable (C-16, S-24): queue threads report a failed flush and hold it, this thread
/// writes the mark and wakes them to answer. It also takes marks away when an operator says so. Nothing else touches
/// the marks file while a target lives; without one a helper does.
/// </summary>
public sealed class MarkKeeper : IDisposable
{
    /// <summary>How often a mark that could not be written is tried again.</summary>
    private const int RetryMs = 1_000;

    private readonly NodeMarks _marks;
    private readonly Action<string> _complain;
    private readonly ActivitySignal _signal = new();
    private readonly ConcurrentQueue<ClearOrder> _orders = new();
    private readonly Thread _thread;
    private NodeHealth?[] _nodes = [];
    private Action _wakeQueues = static () => { };
    private volatile bool _ending;

    /// <summary>Makes a keeper; it works from <see cref="Start"/> on.</summary>
    /// <param name="marks">Open marks of the device; closed with the keeper.</param>
    /// <param name="complain">Told, in one line, when a mark cannot be written. Keeper thread.</param>
    public MarkKeeper(NodeMarks marks, Action<string> complain)
    {
        _marks = marks;
        _complain = complain;
        _thread = new Thread(Run, maxStackSize: 256 * 1024) { IsBackground = true, Name = "dst-marks" };
    }

    /// <summary>Wakes the keeper. Any thread; one system call, no allocation.</summary>
    public void Signal() => _signal.Signal();

    /// <summary>Takes over what the file says of each node and begins to work. Before any queue serves.</summary>
    /// <param name="nodes">Health of each node in the order of the map, null for nodes without.</param>
    /// <param name="wakeQueues">Wakes the loop of every queue, and whoever shows the state.</param>
    public void Start(IReadOnlyList<NodeHealth?> nodes, Action wakeQueues)
    {
        _nodes = [.. nodes];
        _wakeQueues = wakeQueues;
        for (int i = 0; i < _nodes.Length; i++)
        {
            if (_marks[i] is { IsPoisoned: true } mark)
            {
                _nodes[i]?.SetPoisoned(mark.Errno);
            }
        }

        _thread.Start();
    }

    /// <summary>
    /// Takes marks away, durably, and lets flushes through again. Control thread; waits for the keeper.
    /// </summary>
    /// <param name="nodeIndex">The node, or null for all.</param>
    /// <returns>0, or -errno of the write that failed; the mark then stays.</returns>
    public int Clear(int? nodeIndex)
    {
        using var order = new ClearOrder(nodeIndex);
        _orders.Enqueue(order);
        Signal();
        order.Done.Wait();
        return order.Result;
    }

    /// <summary>Ends the thread and closes the marks. After every queue has ended.</summary>
    public void Dispose()
    {
        _ending = true;
        Signal();
        if (_thread.IsAlive)
        {
            _thread.Join();
        }

        _signal.Dispose();
        _marks.Dispose();
    }

    private void Run()
    {
        bool allMarked = true;
        while (!_ending)
        {
            _signal.Wait(allMarked ? -1 : RetryMs);
            allMarked = MarkReported(isRetry: !allMarked);
            while (_orders.TryDequeue(out ClearOrder? order))
            {
                order.Result = ClearMarks(order.NodeIndex);
                order.Done.Set();
            }

            _wakeQueues();
        }
    }

    /// <summary>
    /// Makes every report durable. While a mark cannot be written its node stays in
    /// <see cref="NodeHealthState.Marking"/>: no flush of it is answered, neither well nor badly, for a successor that
    /// finds no mark would say that all is well (N-10).
    /// </summary>
    private bool MarkReported(bool isRetry)
    {
        bool allMarked = true;
        for (int i = 0; i < _nodes.Length; i++)
        {
            if (_nodes[i] is not { State: NodeHealthState.Marking } node)
            {
                continue;
            }

            int errno = node.ErrorNumber;
            int error = _marks.Poison(i, errno);
            if (error == 0)
            {
                node.SetPoisoned(errno);
                continue;
            }

            allMarked = false;
            if (!isRetry)
            {
                _complain(
                    $"node {i}: a flush failed ({Errno.Name(errno)}) and its error mark cannot be written "
                    + $"({Errno.Describe(-error)}): flushes wait until it can; mend the state directory");
            }
        }

        return allMarked;
    }

    private int ClearMarks(int? nodeIndex)
    {
        for (int i = 0; i < _nodes.Length; i++)
        {
            // A node that is trusted again still has its mark.
            if ((nodeIndex is null || nodeIndex == i)
                && _nodes[i] is { } node
                && (node.State == NodeHealthState.Poisoned || _marks[i].IsPoisoned))
            {
                int error = _marks.Clear(i);
                if (error < 0)
                {
                    return error;
                }

                node.SetLive();
            }
        }

        return 0;
    }

    private sealed class ClearOrder(int? nodeIndex) : IDisposable
    {
        public int? NodeIndex { get; } = nodeIndex;

        public ManualResetEventSlim Done { get; } = new();

        public int Result { get; set; }

        public void Dispose() => Done.Dispose();
    }
}
