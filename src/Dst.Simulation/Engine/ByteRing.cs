using System.Numerics;

namespace Dst.Simulation.Engine;

/// <summary>A queue of bytes that grows to the size that is needed.</summary>
internal sealed class ByteRing
{
    private byte[] _bytes = new byte[2048];
    private int _first;

    /// <summary>Bytes in it.</summary>
    public int Count { get; private set; }

    /// <summary>Appends.</summary>
    public void Write(ReadOnlySpan<byte> source)
    {
        if (Count + source.Length > _bytes.Length)
        {
            Grow(Count + source.Length);
        }

        int at = (_first + Count) & (_bytes.Length - 1);
        int head = int.Min(source.Length, _bytes.Length - at);
        source[..head].CopyTo(_bytes.AsSpan(at));
        source[head..].CopyTo(_bytes);
        Count += source.Length;
    }

    /// <summary>Copies from the front without taking.</summary>
    public void Peek(Span<byte> target)
    {
        int head = int.Min(target.Length, _bytes.Length - _first);
        _bytes.AsSpan(_first, head).CopyTo(target);
        _bytes.AsSpan(0, target.Length - head).CopyTo(target[head..]);
    }

    /// <summary>Takes from the front.</summary>
    public void Read(Span<byte> target)
    {
        Peek(target);
        Skip(target.Length);
    }

    /// <summary>Drops from the front.</summary>
    public void Skip(int count)
    {
        _first = (_first + count) & (_bytes.Length - 1);
        Count -= count;
        _first = Count == 0 ? 0 : _first;
    }

    /// <summary>Moves bytes to the end of another ring.</summary>
    public void MoveTo(ByteRing target, int count)
    {
        int head = int.Min(count, _bytes.Length - _first);
        target.Write(_bytes.AsSpan(_first, head));
        target.Write(_bytes.AsSpan(0, count - head));
        Skip(count);
    }

    /// <summary>Turns one bit round.</summary>
    public void Flip(int index, int bit) => _bytes[(_first + index) & (_bytes.Length - 1)] ^= (byte)(1 << bit);

    /// <summary>Forgets all.</summary>
    public void Clear() => Skip(Count);

    private void Grow(int needed)
    {
        byte[] larger = new byte[BitOperations.RoundUpToPowerOf2((uint)needed)];
        Peek(larger.AsSpan(0, Count));
        _bytes = larger;
        _first = 0;
    }
}
