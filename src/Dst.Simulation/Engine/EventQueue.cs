namespace Dst.Simulation.Engine;

/// <summary>Something that happens to an actor at a time.</summary>
internal struct SimEvent
{
    /// <summary>Virtual microseconds.</summary>
    public long AtUs;

    /// <summary>Order among events of one microsecond: drawn, then in the order of posting.</summary>
    public ulong Order;

    /// <summary>To whom.</summary>
    public Actor Target;

    /// <summary>What; each actor numbers its own.</summary>
    public int Kind;

    /// <summary>First detail.</summary>
    public long A;

    /// <summary>Second detail.</summary>
    public long B;
}

/// <summary>Events by time: a binary heap in one array, which grows only while a run finds its size.</summary>
internal sealed class EventQueue
{
    private SimEvent[] _heap = new SimEvent[1024];

    /// <summary>Events that wait.</summary>
    public int Count { get; private set; }

    /// <summary>Adds an event.</summary>
    public void Add(in SimEvent item)
    {
        if (Count == _heap.Length)
        {
            Array.Resize(ref _heap, 2 * _heap.Length);
        }

        SimEvent[] heap = _heap;
        int at = Count++;
        while (at > 0)
        {
            int parent = (at - 1) >> 1;
            if (!IsBefore(in item, in heap[parent]))
            {
                break;
            }

            heap[at] = heap[parent];
            at = parent;
        }

        heap[at] = item;
    }

    /// <summary>Takes the next event.</summary>
    public SimEvent Take()
    {
        SimEvent[] heap = _heap;
        SimEvent first = heap[0];
        int count = --Count;
        SimEvent last = heap[count];
        heap[count] = default;
        if (count == 0)
        {
            return first;
        }

        int at = 0;
        while (true)
        {
            int child = (2 * at) + 1;
            if (child >= count)
            {
                break;
            }

            if (child + 1 < count && IsBefore(in heap[child + 1], in heap[child]))
            {
                child++;
            }

            if (!IsBefore(in heap[child], in last))
            {
                break;
            }

            heap[at] = heap[child];
            at = child;
        }

        heap[at] = last;
        return first;
    }

    private static bool IsBefore(in SimEvent left, in SimEvent right) =>
        left.AtUs < right.AtUs || (left.AtUs == right.AtUs && left.Order < right.Order);
}
