using System.Numerics;

namespace Dst.IO.Rings;

/// <summary>
/// A bounded queue from one thread to one other, without locks: the way between a loop and the thread that directs it. Allocates nothing after
/// construction.
/// </summary>
/// <typeparam name="T">What is handed over.</typeparam>
public sealed class SpscRing<T>
{
    // 128 bytes between what the two threads write: neighbouring cache lines are fetched in pairs.
    private const int PadLongs = 16;
    private const int HeadAt = PadLongs;
    private const int TailAt = 2 * PadLongs;

    private readonly T[] _items;
    private readonly long[] _ends = new long[3 * PadLongs];

    /// <summary>Makes an empty queue.</summary>
    /// <param name="capacity">At least 1; rounded up to a power of two.</param>
    public SpscRing(int capacity)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(capacity);
        _items = new T[(int)BitOperations.RoundUpToPowerOf2((uint)capacity)];
    }

    /// <summary>Items that it holds at most.</summary>
    public int Capacity => _items.Length;

    /// <summary>Puts an item in. Producer thread.</summary>
    /// <param name="item">The item.</param>
    /// <returns>False when the queue is full.</returns>
    public bool TryPut(in T item)
    {
        long tail = _ends[TailAt];
        if (tail - Volatile.Read(ref _ends[HeadAt]) == _items.Length)
        {
            return false;
        }

        _items[tail & (_items.Length - 1)] = item;
        // Release: pairs with the acquire in TryTake; the item is whole before it is seen.
        Volatile.Write(ref _ends[TailAt], tail + 1);
        return true;
    }

    /// <summary>Takes the oldest item. Consumer thread.</summary>
    /// <param name="item">The item; default when there is none.</param>
    public bool TryTake(out T item)
    {
        long head = _ends[HeadAt];
        if (head == Volatile.Read(ref _ends[TailAt]))
        {
            item = default!;
            return false;
        }

        ref T place = ref _items[head & (_items.Length - 1)];
        item = place;
        place = default!;
        // Release: the producer may write the place again only after it was copied and cleared.
        Volatile.Write(ref _ends[HeadAt], head + 1);
        return true;
    }
}
