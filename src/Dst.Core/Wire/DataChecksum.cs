using System.Buffers.Binary;
using System.IO.Hashing;
using System.Numerics;

namespace Dst.Core.Wire;

/// <summary>
/// Checksums of data: one for each chunk of 64 KiB, all of them together before the data (S-33, N-25). Pure, allocates
/// nothing; any thread.
/// </summary>
public static class DataChecksum
{
    private const int WordBytes = 8;


    /// <summary>Kinds that this code knows: bit k stands for kind k.</summary>
    public const byte KnownKinds =
        1 << (int)ChecksumKind.None | 1 << (int)ChecksumKind.Crc32C | 1 << (int)ChecksumKind.Xxh3;

    /// <summary>What is used when nobody asks for another kind.</summary>
    public const ChecksumKind Default = ChecksumKind.Xxh3;

    /// <summary>Bytes of one checksum: 0, 4 or 8.</summary>
    /// <param name="kind">A known kind.</param>
    public static int SizeBytes(ChecksumKind kind)
    {
        switch (kind)
        {
            case ChecksumKind.None: return 0;
            case ChecksumKind.Crc32C: return sizeof(uint);
            case ChecksumKind.Xxh3: return sizeof(ulong);
            default:
                Must.Fail($"checksum kind {(int)kind}");
                return 0;
        }
    }

    /// <summary>Bytes of the table in front of the data.</summary>
    /// <param name="kind">A known kind.</param>
    /// <param name="dataBytes">Not negative.</param>
    public static int TableBytes(ChecksumKind kind, int dataBytes) =>
        (int)(((long)dataBytes + WireLimits.ChunkBytes - 1) / WireLimits.ChunkBytes) * SizeBytes(kind);

    /// <summary>Bytes of a body: table and data.</summary>
    /// <param name="kind">A known kind.</param>
    /// <param name="dataBytes">0 to <see cref="WireLimits.DataMaxBytes"/>.</param>
    public static int BodyBytes(ChecksumKind kind, int dataBytes) => TableBytes(kind, dataBytes) + dataBytes;

    /// <summary>Makes the table of a run of data.</summary>
    /// <param name="kind">A known kind.</param>
    /// <param name="data">The data.</param>
    /// <param name="table">Exactly <see cref="TableBytes"/> long.</param>
    public static void WriteTable(ChecksumKind kind, ReadOnlySpan<byte> data, Span<byte> table)
    {
        Must.Be(table.Length == TableBytes(kind, data.Length), $"table of {table.Length} for {data.Length}, {kind}");
        int size = SizeBytes(kind);
        for (int at = 0; at < table.Length; at += size)
        {
            ReadOnlySpan<byte> chunk = data[..int.Min(data.Length, WireLimits.ChunkBytes)];
            data = data[chunk.Length..];
            if (kind == ChecksumKind.Crc32C)
            {
                BinaryPrimitives.WriteUInt32LittleEndian(table[at..], Crc32C(chunk));
            }
            else
            {
                BinaryPrimitives.WriteUInt64LittleEndian(table[at..], XxHash3.HashToUInt64(chunk));
            }
        }
    }

    /// <summary>Checks data against its table.</summary>
    /// <param name="kind">A known kind.</param>
    /// <param name="data">The data.</param>
    /// <param name="table">Any bytes; of another length than <see cref="TableBytes"/> never matches.</param>
    /// <returns>Number of the first chunk that does not match; -1 when all do.</returns>
    public static int FindMismatch(ChecksumKind kind, ReadOnlySpan<byte> data, ReadOnlySpan<byte> table)
    {
        if (table.Length != TableBytes(kind, data.Length))
        {
            return 0;
        }

        int size = SizeBytes(kind);
        for (int at = 0; at < table.Length; at += size)
        {
            ReadOnlySpan<byte> chunk = data[..int.Min(data.Length, WireLimits.ChunkBytes)];
            data = data[chunk.Length..];
            bool same = kind == ChecksumKind.Crc32C
                ? BinaryPrimitives.ReadUInt32LittleEndian(table[at..]) == Crc32C(chunk)
                : BinaryPrimitives.ReadUInt64LittleEndian(table[at..]) == XxHash3.HashToUInt64(chunk);
            if (!same)
            {
                return at / size;
            }
        }

        return -1;
    }

    /// <summary>CRC-32C (Castagnoli) as iSCSI and NVMe have it: 0xE3069283 for the digits 1 to 9.</summary>
    /// <param name="data">Any bytes.</param>
    public static uint Crc32C(ReadOnlySpan<byte> data)
    {
        uint crc = uint.MaxValue;
        while (data.Length >= WordBytes)
        {
            crc = BitOperations.Crc32C(crc, BinaryPrimitives.ReadUInt64LittleEndian(data));
            data = data[WordBytes..];
        }

        foreach (byte b in data)
        {
            crc = BitOperations.Crc32C(crc, b);
        }

        return ~crc;
    }
}
