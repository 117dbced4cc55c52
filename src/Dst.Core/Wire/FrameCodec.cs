using System.Buffers.Binary;
using System.Numerics;
using Dst.Core.Requests;

namespace Dst.Core.Wire;

/// <summary>
/// Writes and reads headers. A header is taken only when every field is allowed for its kind, so what comes after need
/// not ask again (N-30, N-35, S-14). Pure, allocates nothing; any thread.
/// </summary>
public static class FrameCodec
{
    /// <summary>The bytes D, S, T, 1.</summary>
    public const uint Magic = 0x31545344;

    private const int KindAt = 4;
    private const int OperationAt = 5;
    private const int FlagsAt = 6;
    private const int EpochAt = 8;
    private const int SequenceAt = 16;
    private const int SlotAt = 24;
    private const int StatusAt = 26;
    private const int BodyAt = 28;
    private const int OffsetAt = 32;
    private const int LengthAt = 40;
    private const int ReservedAt = 48;
    private const int BodyChecksumAt = 56;
    private const int ChecksumAt = 60;

    /// <summary>Writes a header.</summary>
    /// <param name="header">Fields that <see cref="TryRead"/> would take.</param>
    /// <param name="target">At least <see cref="WireLimits.HeaderBytes"/> bytes.</param>
    public static void Write(in FrameHeader header, Span<byte> target)
    {
        Span<byte> bytes = target[..WireLimits.HeaderBytes];
        BinaryPrimitives.WriteUInt32LittleEndian(bytes, Magic);
        bytes[KindAt] = (byte)header.Kind;
        bytes[OperationAt] = OperationToWire(header.Kind, header.Operation);
        BinaryPrimitives.WriteUInt16LittleEndian(bytes[FlagsAt..], (ushort)header.Flags);
        BinaryPrimitives.WriteUInt64LittleEndian(bytes[EpochAt..], header.Epoch);
        BinaryPrimitives.WriteUInt64LittleEndian(bytes[SequenceAt..], header.Sequence);
        BinaryPrimitives.WriteUInt16LittleEndian(bytes[SlotAt..], header.Slot);
        BinaryPrimitives.WriteUInt16LittleEndian(bytes[StatusAt..], header.Status);
        BinaryPrimitives.WriteUInt32LittleEndian(bytes[BodyAt..], header.BodyBytes);
        BinaryPrimitives.WriteUInt64LittleEndian(bytes[OffsetAt..], header.OffsetBytes);
        BinaryPrimitives.WriteUInt64LittleEndian(bytes[LengthAt..], header.LengthBytes);
        bytes[ReservedAt..BodyChecksumAt].Clear();
        BinaryPrimitives.WriteUInt32LittleEndian(bytes[BodyChecksumAt..], header.BodyChecksum);
        BinaryPrimitives.WriteUInt32LittleEndian(bytes[ChecksumAt..], ChecksumOf(bytes));
    }

    /// <summary>Reads a header and checks everything that can be checked without knowing the session.</summary>
    /// <param name="source">Any bytes, at least <see cref="WireLimits.HeaderBytes"/> for success.</param>
    /// <param name="header">The fields; zero when it is no header.</param>
    public static WireError TryRead(ReadOnlySpan<byte> source, out FrameHeader header)
    {
        header = default;
        if (source.Length < WireLimits.HeaderBytes)
        {
            return WireError.Short;
        }

        ReadOnlySpan<byte> bytes = source[..WireLimits.HeaderBytes];
        if (BinaryPrimitives.ReadUInt32LittleEndian(bytes) != Magic)
        {
            return WireError.Magic;
        }

        if (BinaryPrimitives.ReadUInt32LittleEndian(bytes[ChecksumAt..]) != ChecksumOf(bytes))
        {
            return WireError.HeaderChecksum;
        }

        if (bytes[ReservedAt..BodyChecksumAt].ContainsAnyExcept((byte)0))
        {
            return WireError.Reserved;
        }

        FrameHeader read = new()
        {
            Kind = (FrameKind)bytes[KindAt],
            Flags = (FrameFlags)BinaryPrimitives.ReadUInt16LittleEndian(bytes[FlagsAt..]),
            Epoch = BinaryPrimitives.ReadUInt64LittleEndian(bytes[EpochAt..]),
            Sequence = BinaryPrimitives.ReadUInt64LittleEndian(bytes[SequenceAt..]),
            Slot = BinaryPrimitives.ReadUInt16LittleEndian(bytes[SlotAt..]),
            Status = BinaryPrimitives.ReadUInt16LittleEndian(bytes[StatusAt..]),
            BodyBytes = BinaryPrimitives.ReadUInt32LittleEndian(bytes[BodyAt..]),
            OffsetBytes = BinaryPrimitives.ReadUInt64LittleEndian(bytes[OffsetAt..]),
            LengthBytes = BinaryPrimitives.ReadUInt64LittleEndian(bytes[LengthAt..]),
            BodyChecksum = BinaryPrimitives.ReadUInt32LittleEndian(bytes[BodyChecksumAt..]),
        };
        WireError error = OperationFromWire(read.Kind, bytes[OperationAt], out read.Operation);
        error = error == WireError.None ? Check(in read) : error;
        header = error == WireError.None ? read : default;
        return error;
    }

    /// <summary>
    /// False when a body of entries or records is not what its sender wrote. A damaged one could name another epoch,
    /// export or change than was meant, so nothing of it is read (S-33). Data has a table of its own.
    /// </summary>
    /// <param name="header">As <see cref="TryRead"/> gave it.</param>
    /// <param name="body">The whole body.</param>
    public static bool IsBodyIntact(in FrameHeader header, ReadOnlySpan<byte> body) =>
        header.Kind is FrameKind.Request or FrameKind.Reply
        || header.BodyChecksum == DataChecksum.Crc32C(body)
        || Mutations.Has(Mutation.MessageChecksumIgnored);

    /// <summary>The header's checksum: CRC-32C of all bytes before it.</summary>
    /// <param name="header">At least <see cref="WireLimits.HeaderBytes"/> bytes.</param>
    public static uint ChecksumOf(ReadOnlySpan<byte> header)
    {
        uint crc = uint.MaxValue;
        for (int i = 0; i < ChecksumAt - 4; i += 8)
        {
            crc = BitOperations.Crc32C(crc, BinaryPrimitives.ReadUInt64LittleEndian(header[i..]));
        }

        return ~BitOperations.Crc32C(crc, BinaryPrimitives.ReadUInt32LittleEndian(header[(ChecksumAt - 4)..]));
    }

    private static byte OperationToWire(FrameKind kind, Operation operation)
    {
        if (kind is not (FrameKind.Request or FrameKind.Reply))
        {
            return 0;
        }

        switch (operation)
        {
            case Operation.Read: return 1;
            case Operation.Write: return 2;
            case Operation.Flush: return 3;
            case Operation.Discard: return 4;
            case Operation.WriteZeroes: return 5;
            default:
                Must.Fail($"operation {(int)operation} has no number on the wire");
                return 0;
        }
    }

    private static WireError OperationFromWire(FrameKind kind, byte wire, out Operation operation)
    {
        operation = wire switch
        {
            2 => Operation.Write,
            3 => Operation.Flush,
            4 => Operation.Discard,
            5 => Operation.WriteZeroes,
            _ => Operation.Read,
        };
        if (kind is FrameKind.Request or FrameKind.Reply)
        {
            return wire is >= 1 and <= 5 ? WireError.None : WireError.Operation;
        }

        return wire == 0 ? WireError.None : WireError.UnusedField;
    }

    private static WireError Check(in FrameHeader header)
    {
        switch (header.Kind)
        {
            case FrameKind.Request:
                return CheckRequest(in header);
            case FrameKind.Reply:
                return CheckReply(in header);
            case FrameKind.Ping:
            case FrameKind.Pong:
                return CheckPlain(in header, 0, sequence: true, epoch: false, status: false);
            case FrameKind.Hello:
            case FrameKind.Attach:
            case FrameKind.AttachWait:
                return CheckPlain(in header, WireLimits.ControlBodyMaxBytes, false, epoch: false, status: false);
            case FrameKind.Completed:
                return CheckCompleted(in header);
            case FrameKind.AttachOk:
                return CheckPlain(in header, WireLimits.ControlBodyMaxBytes, false, epoch: true, status: false);
            case FrameKind.Join:
            case FrameKind.JoinOk:
                return header.Epoch == 0
                    ? WireError.Epoch
                    : CheckPlain(in header, WireLimits.ControlBodyMaxBytes, false, epoch: true, status: false);
            case FrameKind.Begin:
            case FrameKind.BeginOk:
                return header.Epoch == 0
                    ? WireError.Epoch
                    : CheckPlain(in header, 0, false, epoch: true, status: false);
            case FrameKind.Goodbye:
                return CheckPlain(in header, 0, false, epoch: true, status: false);
            case FrameKind.Error:
                return RefusalTable.IsKnown((RefusalCode)header.Status)
                    ? CheckPlain(in header, WireLimits.ControlBodyMaxBytes, false, epoch: false, status: true)
                    : WireError.Status;
            default:
                return WireError.Kind;
        }
    }

    private static WireError CheckPlain(in FrameHeader header, int bodyMaxBytes, bool sequence, bool epoch, bool status)
    {
        if (header.Flags != FrameFlags.None)
        {
            return WireError.Flags;
        }

        if ((header.Slot | header.OffsetBytes | header.LengthBytes) != 0
            || (!sequence && header.Sequence != 0)
            || (!epoch && header.Epoch != 0)
            || (!status && header.Status != 0)
            || (bodyMaxBytes == 0 && header.BodyChecksum != 0))
        {
            return WireError.UnusedField;
        }

        return header.BodyBytes <= bodyMaxBytes ? WireError.None : WireError.BodyLength;
    }

    private static WireError CheckCompleted(in FrameHeader header)
    {
        if (header.Epoch == 0)
        {
            return WireError.Epoch;
        }

        WireError error = CheckPlain(in header, WireLimits.ControlBodyMaxBytes, false, epoch: true, status: false);
        bool whole = header.BodyBytes > 0 && header.BodyBytes % WireLimits.CompletedEntryBytes == 0;
        return error != WireError.None || whole ? error : WireError.BodyLength;
    }

    private static WireError CheckRequest(in FrameHeader header)
    {
        if (header.Status != 0 || header.BodyChecksum != 0)
        {
            return WireError.UnusedField;
        }

        FrameFlags allowed = header.Operation switch
        {
            Operation.Write or Operation.Discard => FrameFlags.Fua,
            Operation.WriteZeroes => FrameFlags.Fua | FrameFlags.NoUnmap,
            Operation.Flush => FrameFlags.Replayed,
            _ => FrameFlags.None,
        };
        if ((header.Flags & ~allowed) != FrameFlags.None)
        {
            return WireError.Flags;
        }

        WireError error = CheckId(in header);
        if (error == WireError.None && header.Operation == Operation.Flush)
        {
            error = (header.OffsetBytes | header.LengthBytes) == 0 ? WireError.None : WireError.UnusedField;
        }
        else if (error == WireError.None)
        {
            error = CheckRange(in header);
        }

        return error == WireError.None
            ? CheckData(in header, carriesData: header.Operation == Operation.Write)
            : error;
    }

    private static WireError CheckReply(in FrameHeader header)
    {
        if (header.Flags != FrameFlags.None)
        {
            return WireError.Flags;
        }

        if (header.Status > WireStatus.Max)
        {
            return WireError.Status;
        }

        if (header.BodyChecksum != 0)
        {
            return WireError.UnusedField;
        }

        WireError error = CheckId(in header);
        if (error == WireError.None && header.Operation != Operation.Flush)
        {
            error = CheckRange(in header);
        }

        return error == WireError.None
            ? CheckData(in header, carriesData: header.Operation == Operation.Read && header.Status == 0)
            : error;
    }

    private static WireError CheckId(in FrameHeader header)
    {
        if (header.Sequence == 0)
        {
            return WireError.Sequence;
        }

        return header.Slot < WireLimits.SlotsMax ? WireError.None : WireError.Slot;
    }

    private static WireError CheckRange(in FrameHeader header)
    {
        ulong limit = header.Operation is Operation.Read or Operation.Write
            ? WireLimits.DataMaxBytes
            : (ulong)WireLimits.ChangeMaxBytes;
        bool good = header.LengthBytes > 0
            && header.LengthBytes <= limit
            && header.OffsetBytes <= long.MaxValue - header.LengthBytes;
        return good ? WireError.None : WireError.Range;
    }

    /// <summary>The body is the data with one of the possible tables, or nothing.</summary>
    private static WireError CheckData(in FrameHeader header, bool carriesData)
    {
        if (!carriesData)
        {
            return header.BodyBytes == 0 ? WireError.None : WireError.BodyLength;
        }

        int lengthBytes = (int)header.LengthBytes;
        bool good = header.BodyBytes == (uint)DataChecksum.BodyBytes(ChecksumKind.None, lengthBytes)
            || header.BodyBytes == (uint)DataChecksum.BodyBytes(ChecksumKind.Crc32C, lengthBytes)
            || header.BodyBytes == (uint)DataChecksum.BodyBytes(ChecksumKind.Xxh3, lengthBytes);
        return good ? WireError.None : WireError.BodyLength;
    }
}
