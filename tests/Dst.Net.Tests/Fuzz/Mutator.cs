using System.Buffers.Binary;

namespace Dst.Net.Tests.Fuzz;

/// <summary>Makes inputs out of others: bits, extreme numbers, pieces cut, doubled, taken from elsewhere.</summary>
internal sealed class Mutator(ulong seed)
{
    private static readonly ulong[] Extremes =
    [
        0, 1, 2, 3, 63, 64, 65, 127, 128, 255, 256, 511, 512, 4032, 4095, 4096, 32767, 32768, 65535, 65536,
        int.MaxValue, 1UL << 31, uint.MaxValue, 1UL << 32, long.MaxValue, 1UL << 63, ulong.MaxValue,
    ];

    private ulong _random = seed | 1;

    public int Next(int below) => (int)(Draw() % (ulong)below);

    /// <summary>A few changes on a copy.</summary>
    public byte[] Mutate(ReadOnlySpan<byte> source, ReadOnlySpan<byte> other, int maxBytes)
    {
        byte[] bytes = source.ToArray();
        for (int i = 1 + Next(4); i > 0; i--)
        {
            bytes = Once(bytes, other);
        }

        return bytes.Length > maxBytes ? bytes[..maxBytes] : bytes;
    }

    private byte[] Once(byte[] bytes, ReadOnlySpan<byte> other)
    {
        int at = Next(bytes.Length + 1);
        int count = Next(int.Min(bytes.Length - at, 64) + 1);
        switch (Next(9))
        {
            case 0 when at < bytes.Length:
                bytes[at] ^= (byte)(1 << Next(8));
                return bytes;
            case 1 when at < bytes.Length:
                bytes[at] = (byte)Draw();
                return bytes;
            case 2 or 3:
                PutNumber(bytes.AsSpan(at));
                return bytes;
            case 4:
                return [.. bytes[..at], .. bytes[(at + count)..]];
            case 5:
                return [.. bytes[..(at + count)], .. bytes[at..]];
            case 6:
                return bytes[..at];
            case 7 when other.Length > 0:
                int from = Next(other.Length);
                int length = 1 + Next(int.Min(other.Length - from, 64));
                return [.. bytes[..at], .. other.Slice(from, length), .. bytes[(at + count)..]];
            default:
                byte[] noise = new byte[1 + Next(16)];
                foreach (ref byte b in noise.AsSpan())
                {
                    b = (byte)Draw();
                }

                return [.. bytes[..at], .. noise, .. bytes[at..]];
        }
    }

    private void PutNumber(Span<byte> place)
    {
        ulong number = Extremes[Next(Extremes.Length)];
        Span<byte> bytes = stackalloc byte[sizeof(ulong)];
        BinaryPrimitives.WriteUInt64LittleEndian(bytes, number);
        int length = int.Min(1 << Next(4), place.Length);
        bytes[..length].CopyTo(place);
    }

    private ulong Draw()
    {
        _random ^= _random << 13;
        _random ^= _random >> 7;
        _random ^= _random << 17;
        return _random;
    }
}
