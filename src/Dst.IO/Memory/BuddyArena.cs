using System.Numerics;

namespace Dst.IO.Memory;

/// <summary>
/// Blocks of 4 KiB times a power of two out of one run of memory that is there from the start: what requests of different lengths share without
/// allocating. A block that comes back joins its free neighbour, so that long blocks can be had again. Each step is bounded by the number of sizes.
/// One thread.
/// </summary>
public sealed class BuddyArena
{
    private const int None = -1;

    /// <summary>In <see cref="_freeOrder"/>: no free block begins at this page.</summary>
    private const byte NotFree = byte.MaxValue;

    private readonly nint _address;
    private readonly int _pages;
    private readonly int _orderMax;
    private readonly int[] _first;
    private readonly int[] _next;
    private readonly int[] _previous;
    private readonly byte[] _freeOrder;

    /// <summary>An arena of free memory.</summary>
    /// <param name="address">First byte, page-aligned; the memory outlives the arena.</param>
    /// <param name="lengthBytes">A multiple of <paramref name="blockMaxBytes"/>, not 0.</param>
    /// <param name="blockMaxBytes">Longest block: a page times a power of two.</param>
    public BuddyArena(nint address, long lengthBytes, int blockMaxBytes)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(blockMaxBytes, NativeBlock.PageBytes);
        ArgumentOutOfRangeException.ThrowIfNotEqual(BitOperations.IsPow2(blockMaxBytes), true);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(lengthBytes);
        ArgumentOutOfRangeException.ThrowIfNotEqual(lengthBytes % blockMaxBytes, 0);
        _address = address;
        _pages = checked((int)(lengthBytes / NativeBlock.PageBytes));
        _orderMax = BitOperations.Log2((uint)(blockMaxBytes / NativeBlock.PageBytes));
        _first = new int[_orderMax + 1];
        _next = new int[_pages];
        _previous = new int[_pages];
        _freeOrder = new byte[_pages];
        Array.Fill(_first, None);
        Array.Fill(_freeOrder, NotFree);
        for (int page = _pages - (1 << _orderMax); page >= 0; page -= 1 << _orderMax)
        {
            Push(page, _orderMax);
        }

        FreeBytes = lengthBytes;
    }

    /// <summary>Bytes in free blocks, of whatever size.</summary>
    public long FreeBytes { get; private set; }

    /// <summary>Longest block there can be.</summary>
    public int BlockMaxBytes => NativeBlock.PageBytes << _orderMax;

    /// <summary>Length of the block that holds so many bytes.</summary>
    /// <param name="lengthBytes">1 to <see cref="BlockMaxBytes"/>.</param>
    public static int BlockBytes(int lengthBytes) =>
        (int)BitOperations.RoundUpToPowerOf2((uint)int.Max(lengthBytes, NativeBlock.PageBytes));

    /// <summary>Takes a block of at least so many bytes.</summary>
    /// <param name="lengthBytes">1 to <see cref="BlockMaxBytes"/>.</param>
    /// <returns>Its address, page-aligned; 0 when no block is long enough.</returns>
    public nint Take(int lengthBytes)
    {
        int order = OrderOf(lengthBytes);
        int found = order;
        while (found <= _orderMax && _first[found] == None)
        {
            found++;
        }

        if (found > _orderMax)
        {
            return 0;
        }

        int page = _first[found];
        Remove(page, found);
        while (found > order)
        {
            found--;
            Push(page + (1 << found), found);
        }

        FreeBytes -= (long)NativeBlock.PageBytes << order;
        return _address + ((nint)page * NativeBlock.PageBytes);
    }

    /// <summary>Gives a block back.</summary>
    /// <param name="address">From <see cref="Take"/>.</param>
    /// <param name="lengthBytes">The length that was asked for.</param>
    public void Give(nint address, int lengthBytes)
    {
        int order = OrderOf(lengthBytes);
        int page = (int)((address - _address) / NativeBlock.PageBytes);
        if (page < 0 || page >= _pages || page % (1 << order) != 0 || _freeOrder[page] != NotFree)
        {
            Environment.FailFast($"arena: a block of {lengthBytes} bytes comes back that was not taken");
        }

        FreeBytes += (long)NativeBlock.PageBytes << order;
        while (order < _orderMax)
        {
            int buddy = page ^ (1 << order);
            if (_freeOrder[buddy] != order)
            {
                break;
            }

            Remove(buddy, order);
            page = int.Min(page, buddy);
            order++;
        }

        Push(page, order);
    }

    private int OrderOf(int lengthBytes)
    {
        if (lengthBytes <= 0 || lengthBytes > BlockMaxBytes)
        {
            Environment.FailFast($"arena: a block of {lengthBytes} bytes, the longest has {BlockMaxBytes}");
        }

        return BitOperations.Log2((uint)(BlockBytes(lengthBytes) / NativeBlock.PageBytes));
    }

    private void Push(int page, int order)
    {
        int first = _first[order];
        _freeOrder[page] = (byte)order;
        _next[page] = first;
        _previous[page] = None;
        if (first != None)
        {
            _previous[first] = page;
        }

        _first[order] = page;
    }

    private void Remove(int page, int order)
    {
        _freeOrder[page] = NotFree;
        if (_previous[page] == None)
        {
            _first[order] = _next[page];
        }
        else
        {
            _next[_previous[page]] = _next[page];
        }

        if (_next[page] != None)
        {
            _previous[_next[page]] = _previous[page];
        }
    }
}
