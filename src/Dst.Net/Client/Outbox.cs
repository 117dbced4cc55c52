using System.Numerics;
using Dst.Core;

namespace Dst.Net.Client;

/// <summary>One frame that waits to be sent: a head, perhaps followed by data elsewhere.</summary>
/// <param name="Head">Address of header and checksum table.</param>
/// <param name="HeadBytes">Bytes of both.</param>
/// <param name="Data">Address of the data.</param>
/// <param name="DataBytes">Bytes of it; 0 without.</param>
internal readonly record struct OutgoingFrame(nint Head, int HeadBytes, nint Data, int DataBytes)
{
    /// <summary>Bytes of the whole frame.</summary>
    public int LengthBytes => HeadBytes + DataBytes;
}

/// <summary>
/// Frames of one producer in the order in which they are sent. The producer puts; whoever holds the connection's send
/// token takes, so the consumer changes with the token. A frame leaves when the kernel has its last byte, and not before:
/// that is what says when a buffer is let go of (S-13). Bounded, lock-free, allocates nothing after construction.
/// </summary>
internal sealed class Outbox
{
    private const int PadLongs = 16;
    private const int HeadAt = PadLongs;
    private const int TailAt = 2 * PadLongs;

    private readonly OutgoingFrame[] _frames;
    private readonly int _mask;
    private readonly long[] _ends = new long[3 * PadLongs];

    /// <summary>An empty outbox.</summary>
    /// <param name="capacity">Most frames; rounded up to a power of two.</param>
    public Outbox(int capacity)
    {
        _frames = new OutgoingFrame[BitOperations.RoundUpToPowerOf2((uint)capacity)];
        _mask = _frames.Length - 1;
    }

    /// <summary>Frames that the kernel has had wholly so far; the number of the next one that it has not. Any thread.</summary>
    public long SentCount => Volatile.Read(ref _ends[HeadAt]);

    /// <summary>Number that the next frame gets. Producer.</summary>
    public long NextNumber => _ends[TailAt];

    /// <summary>True when something waits. Any thread.</summary>
    public bool HasFrames => Volatile.Read(ref _ends[HeadAt]) != Volatile.Read(ref _ends[TailAt]);

    /// <summary>Puts a frame in. Producer.</summary>
    /// <param name="frame">Its memory stays as it is until the frame has left.</param>
    /// <returns>False when the outbox is full.</returns>
    public bool TryPut(in OutgoingFrame frame)
    {
        long tail = _ends[TailAt];
        if (tail - SentCount == _frames.Length)
        {
            return false;
        }

        _frames[tail & _mask] = frame;
        Volatile.Write(ref _ends[TailAt], tail + 1);
        return true;
    }

    /// <summary>Looks at a frame. Token holder.</summary>
    /// <param name="ahead">0 for the oldest.</param>
    /// <param name="frame">The frame.</param>
    public bool TryPeek(int ahead, out OutgoingFrame frame)
    {
        long at = _ends[HeadAt] + ahead;
        if (at >= Volatile.Read(ref _ends[TailAt]))
        {
            frame = default;
            return false;
        }

        frame = _frames[at & _mask];
        return true;
    }

    /// <summary>The oldest frame was sent wholly. Token holder.</summary>
    public void Leave()
    {
        long head = _ends[HeadAt];
        Must.Be(head < Volatile.Read(ref _ends[TailAt]), "a frame leaves an empty outbox");
        Volatile.Write(ref _ends[HeadAt], head + 1);
    }

    /// <summary>Drops what waits. Producer, while nobody holds the token and nobody will before the next epoch.</summary>
    public void Clear() => Volatile.Write(ref _ends[HeadAt], _ends[TailAt]);
}
