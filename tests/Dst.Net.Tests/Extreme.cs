using System.Buffers.Binary;
using Dst.Core.Wire;

namespace Dst.Net.Tests;

/// <summary>One field of a frame at a value that it hardly ever has, under checksums that fit.</summary>
internal sealed record Extreme(int At, int Width, ulong Value)
{
    private const int BodyAt = 28;
    private const int BodyChecksumAt = 56;
    private const int ChecksumAt = 60;

    /// <summary>Fields of a header, by where they are and how wide.</summary>
    private static readonly (int At, int Width)[] Header =
    [
        (0, 4), (4, 1), (5, 1), (6, 2), (8, 8), (16, 8), (24, 2), (26, 2), (BodyAt, 4), (32, 8), (40, 8), (48, 8),
        (BodyChecksumAt, 4), (ChecksumAt, 4),
    ];

    private static readonly (int At, int Width)[] Record = [(0, 2), (2, 2), (4, 4), (8, 8)];

    /// <summary>A field of the header, where nothing else than what is there is right.</summary>
    public bool IsInHeader => At < WireLimits.HeaderBytes;

    /// <summary>The header promises another body than comes.</summary>
    public bool IsBodyLength => At == BodyAt;

    /// <summary>Every field of an honest frame at each extreme that it does not have already.</summary>
    public static List<Extreme> Of(byte[] honest)
    {
        bool records = honest[4] == (byte)FrameKind.Completed;
        IEnumerable<(int At, int Width)> body = records
            ? Record.Select(field => (WireLimits.HeaderBytes + field.At, field.Width))
            : Entries(honest);
        return
        [
            .. from field in Header.Concat(body)
               let top = 1UL << ((8 * field.Width) - 1)
               from value in (ulong[])[0, top, top | (top - 1)]
               let extreme = new Extreme(field.At, field.Width, value)
               where !extreme.Of(honest.AsSpan()).AsSpan().SequenceEqual(honest)
               select extreme,
        ];
    }

    /// <summary>The frame with this value.</summary>
    public byte[] Of(ReadOnlySpan<byte> honest)
    {
        byte[] frame = honest.ToArray();
        BitConverter.GetBytes(Value).AsSpan(0, Width).CopyTo(frame.AsSpan(At));
        if (At != BodyChecksumAt && frame.Length > WireLimits.HeaderBytes)
        {
            BinaryPrimitives.WriteUInt32LittleEndian(
                frame.AsSpan(BodyChecksumAt), DataChecksum.Crc32C(frame.AsSpan(WireLimits.HeaderBytes)));
        }

        if (At != ChecksumAt)
        {
            BinaryPrimitives.WriteUInt32LittleEndian(frame.AsSpan(ChecksumAt), FrameCodec.ChecksumOf(frame));
        }

        return frame;
    }

    /// <summary>Type, length and the words of the value of each entry.</summary>
    private static IEnumerable<(int At, int Width)> Entries(byte[] frame)
    {
        for (int at = WireLimits.HeaderBytes; at < frame.Length;)
        {
            int length = BinaryPrimitives.ReadUInt16LittleEndian(frame.AsSpan(at + 2));
            yield return (at, 2);
            yield return (at + 2, 2);
            at += WireLimits.TlvHeaderBytes;
            int end = at + length;
            while (at < end)
            {
                int width = (end - at) switch { >= 8 => 8, >= 4 => 4, >= 2 => 2, _ => 1 };
                yield return (at, width);
                at += width;
            }
        }
    }
}
