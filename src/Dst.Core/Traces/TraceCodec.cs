using System.Buffers.Binary;
using System.IO.Hashing;
using Dst.Core.Requests;

namespace Dst.Core.Traces;

/// <summary>Which end of a request a record tells of.</summary>
public enum TraceKind : byte
{
    /// <summary>It is about to be given to the node.</summary>
    Begin = 1,

    /// <summary>The node has answered.</summary>
    End = 2,
}

/// <summary>One record of a recorded run.</summary>
/// <param name="Kind">Begin or end.</param>
/// <param name="Operation">What was asked.</param>
/// <param name="Flags">How.</param>
/// <param name="Status">With an end: how it ended.</param>
/// <param name="Lane">Tells requests in flight apart: queue and slot.</param>
/// <param name="AtNs">Nanoseconds of the host's monotonic clock; comparable between its processes.</param>
/// <param name="OffsetBytes">First byte on the node.</param>
/// <param name="LengthBytes">Bytes; 0 for a flush.</param>
public readonly record struct TraceRecord(
    TraceKind Kind,
    Operation Operation,
    RequestFlags Flags,
    DstStatus Status,
    int Lane,
    long AtNs,
    long OffsetBytes,
    long LengthBytes)
{
    /// <summary>Contents that stand in the record: of a write when it begins, of a read that ended well.</summary>
    public int Blocks
    {
        get
        {
            bool carries = Kind == TraceKind.Begin
                ? Operation == Operation.Write
                : Operation == Operation.Read && Status == DstStatus.Ok;
            return carries ? (int)(LengthBytes / TraceCodec.BlockBytes) : 0;
        }
    }
}

/// <summary>What stands at the beginning of a trace.</summary>
/// <param name="SizeBytes">Size of the node.</param>
/// <param name="UsedBytes">Bytes of records that were begun, those that found no room included.</param>
public readonly record struct TraceHead(long SizeBytes, long UsedBytes);

/// <summary>
/// A recorded run as bytes: a head, then records, little-endian. A record begins with its length, written when its
/// place is taken, so that one whose process died half-way hides none behind it. Pure, allocates nothing; any thread.
/// </summary>
public static class TraceCodec
{
    /// <summary>Contents are told apart by blocks of this length.</summary>
    public const int BlockBytes = 4096;

    /// <summary>Bytes before the first record.</summary>
    public const int HeadBytes = 64;

    /// <summary>Where in the head the used bytes stand, eight of them, counted up as records begin.</summary>
    public const int UsedBytesAt = 16;

    /// <summary>Bytes of a record without contents.</summary>
    public const int RecordBytes = 40;

    /// <summary>
    /// Where in a record the byte stands that is written last: a record without it was never finished.
    /// </summary>
    public const int KindAt = 4;

    private const ulong Magic = 0x0031_4543_4152_5444; // "DTRACE1"

    /// <summary>Bytes of a record.</summary>
    public static int LengthOf(in TraceRecord record) => RecordBytes + (record.Blocks * sizeof(ulong));

    /// <summary>Writes the head of an empty trace.</summary>
    /// <param name="sizeBytes">Size of the node.</param>
    /// <param name="to"><see cref="HeadBytes"/> bytes.</param>
    public static void WriteHead(long sizeBytes, Span<byte> to)
    {
        to[..HeadBytes].Clear();
        BinaryPrimitives.WriteUInt64LittleEndian(to, Magic);
        BinaryPrimitives.WriteInt64LittleEndian(to[8..], sizeBytes);
    }

    /// <summary>Reads the head.</summary>
    /// <returns>False when the bytes are no trace.</returns>
    public static bool TryReadHead(ReadOnlySpan<byte> from, out TraceHead head)
    {
        head = default;
        if (from.Length < HeadBytes || BinaryPrimitives.ReadUInt64LittleEndian(from) != Magic)
        {
            return false;
        }

        head = new TraceHead(
            BinaryPrimitives.ReadInt64LittleEndian(from[8..]),
            BinaryPrimitives.ReadInt64LittleEndian(from[UsedBytesAt..]));
        return head is { SizeBytes: > 0, UsedBytes: >= 0 };
    }

    /// <summary>Writes a record but for its kind, which the caller writes last, at <see cref="KindAt"/>.</summary>
    /// <param name="record">The record.</param>
    /// <param name="data">The contents that it tells of, whole blocks; empty without any.</param>
    /// <param name="to"><see cref="LengthOf"/> bytes, zero so far.</param>
    public static void Write(in TraceRecord record, ReadOnlySpan<byte> data, Span<byte> to)
    {
        Must.Be(data.Length == record.Blocks * (long)BlockBytes, $"{data.Length} bytes of data in a trace");
        BinaryPrimitives.WriteInt32LittleEndian(to, to.Length);
        to[5] = (byte)record.Operation;
        to[6] = (byte)record.Flags;
        to[7] = (byte)record.Status;
        BinaryPrimitives.WriteInt32LittleEndian(to[8..], record.Lane);
        BinaryPrimitives.WriteInt64LittleEndian(to[16..], record.AtNs);
        BinaryPrimitives.WriteInt64LittleEndian(to[24..], record.OffsetBytes);
        BinaryPrimitives.WriteInt64LittleEndian(to[32..], record.LengthBytes);
        for (int i = 0; i < record.Blocks; i++)
        {
            ulong value = ValueOf(data.Slice(i * BlockBytes, BlockBytes));
            BinaryPrimitives.WriteUInt64LittleEndian(to[(RecordBytes + (i * sizeof(ulong)))..], value);
        }
    }

    /// <summary>Reads a record.</summary>
    /// <param name="from">From its first byte on.</param>
    /// <param name="record">The record.</param>
    /// <param name="lengthBytes">Bytes to the next one; 0 when there is none, or it makes no sense.</param>
    /// <returns>False for one that was never finished, and at the end.</returns>
    public static bool TryRead(ReadOnlySpan<byte> from, out TraceRecord record, out int lengthBytes)
    {
        record = default;
        lengthBytes = 0;
        if (from.Length < RecordBytes)
        {
            return false;
        }

        int length = BinaryPrimitives.ReadInt32LittleEndian(from);
        if (length < RecordBytes || length > from.Length)
        {
            return false;
        }

        lengthBytes = length;
        record = new TraceRecord(
            (TraceKind)from[KindAt],
            (Operation)from[5],
            (RequestFlags)from[6],
            (DstStatus)from[7],
            BinaryPrimitives.ReadInt32LittleEndian(from[8..]),
            BinaryPrimitives.ReadInt64LittleEndian(from[16..]),
            BinaryPrimitives.ReadInt64LittleEndian(from[24..]),
            BinaryPrimitives.ReadInt64LittleEndian(from[32..]));
        bool known = record is
        {
            Kind: TraceKind.Begin or TraceKind.End,
            Operation: <= Operation.WriteZeroes,
            Flags: <= (RequestFlags.Fua | RequestFlags.NoUnmap),
            Status: <= DstStatus.Invalid,
        };

        // No request is longer; the number of blocks cannot overflow then.
        return known && record.LengthBytes is >= 0 and <= int.MaxValue && LengthOf(in record) == length;
    }

    /// <summary>The content of a block that a record tells of; 0 for zeroes.</summary>
    /// <param name="record">The record's bytes.</param>
    /// <param name="index">0 to <see cref="TraceRecord.Blocks"/> - 1.</param>
    public static ulong Value(ReadOnlySpan<byte> record, int index) =>
        BinaryPrimitives.ReadUInt64LittleEndian(record[(RecordBytes + (index * sizeof(ulong)))..]);

    private static ulong ValueOf(ReadOnlySpan<byte> block) =>
        block.ContainsAnyExcept((byte)0) ? ulong.Max(XxHash3.HashToUInt64(block), 1) : 0;
}
