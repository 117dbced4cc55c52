using System.Buffers.Binary;

namespace Dst.Core.Wire;

public static partial class MessageCodec
{
    private const int RequestBytes = sizeof(ushort) + sizeof(ulong);

    /// <summary>Writes ATTACH_WAIT.</summary>
    /// <param name="message">What is waited for.</param>
    /// <param name="frame">At least <see cref="WireLimits.ControlFrameMaxBytes"/>.</param>
    public static int Write(in AttachWaitMessage message, Span<byte> frame)
    {
        TlvWriter body = Body(frame);
        Span<byte> wait = body.Add(TlvType.Wait, 8);
        BinaryPrimitives.WriteUInt32LittleEndian(wait, message.Requests);
        BinaryPrimitives.WriteUInt32LittleEndian(wait[4..], message.WaitedMs);
        body.AddText(TlvType.Text, in message.Text);
        return Finish(FrameKind.AttachWait, 0, 0, ref body, frame);
    }

    /// <summary>Reads ATTACH_WAIT.</summary>
    /// <param name="body">Any bytes.</param>
    /// <param name="message">What is waited for.</param>
    public static WireError TryRead(ReadOnlySpan<byte> body, out AttachWaitMessage message)
    {
        message = default;
        TlvReader reader = new(body);
        while (reader.Next())
        {
            if (reader.Type == TlvType.Wait && reader.IsLong(8))
            {
                message.Requests = BinaryPrimitives.ReadUInt32LittleEndian(reader.Value);
                message.WaitedMs = BinaryPrimitives.ReadUInt32LittleEndian(reader.Value[4..]);
            }
            else if (reader.Type == TlvType.Text)
            {
                message.Text = reader.Text();
            }
            else
            {
                reader.Unknown();
            }
        }

        return reader.End(AttachWaitNeeds);
    }

    /// <summary>Writes ERROR.</summary>
    /// <param name="code">Why.</param>
    /// <param name="message">The same for people.</param>
    /// <param name="frame">At least <see cref="WireLimits.ControlFrameMaxBytes"/>.</param>
    public static int Write(RefusalCode code, in ErrorMessage message, Span<byte> frame)
    {
        Must.Be(RefusalTable.IsKnown(code), $"ERROR with code {(int)code}");
        TlvWriter body = Body(frame);
        body.AddText(TlvType.Text, in message.Text);
        body.AddText(TlvType.Holder, in message.Holder);
        if (message.Epoch != 0)
        {
            body.AddUInt64(TlvType.Epoch, message.Epoch);
        }

        if (message.Sequence != 0)
        {
            Span<byte> request = body.Add(TlvType.Request, RequestBytes);
            BinaryPrimitives.WriteUInt16LittleEndian(request, message.Slot);
            BinaryPrimitives.WriteUInt64LittleEndian(request[2..], message.Sequence);
        }

        return Finish(FrameKind.Error, 0, (ushort)code, ref body, frame);
    }

    /// <summary>Reads ERROR; the code is in the header.</summary>
    /// <param name="body">Any bytes.</param>
    /// <param name="message">Why, for people.</param>
    public static WireError TryRead(ReadOnlySpan<byte> body, out ErrorMessage message)
    {
        message = default;
        TlvReader reader = new(body);
        while (reader.Next())
        {
            switch (reader.Type)
            {
                case TlvType.Text:
                    message.Text = reader.Text();
                    break;
                case TlvType.Holder:
                    message.Holder = reader.Text();
                    break;
                case TlvType.Epoch:
                    message.Epoch = reader.UInt64();
                    break;
                case TlvType.Request when reader.IsLong(RequestBytes):
                    message.Slot = BinaryPrimitives.ReadUInt16LittleEndian(reader.Value);
                    message.Sequence = BinaryPrimitives.ReadUInt64LittleEndian(reader.Value[2..]);
                    reader.Demand(message.Slot < WireLimits.SlotsMax && message.Sequence != 0);
                    break;
                default:
                    reader.Unknown();
                    break;
            }
        }

        return reader.End(needed: 0);
    }

    /// <summary>Writes a COMPLETED frame.</summary>
    /// <param name="epoch">The epoch that ATTACH_OK will have.</param>
    /// <param name="entries">1 to <see cref="WireLimits.CompletedEntriesMax"/>.</param>
    /// <param name="frame">At least <see cref="WireLimits.ControlFrameMaxBytes"/>.</param>
    public static int WriteCompleted(ulong epoch, ReadOnlySpan<CompletedEntry> entries, Span<byte> frame)
    {
        Must.Be(entries.Length is >= 1 and <= WireLimits.CompletedEntriesMax, $"COMPLETED of {entries.Length}");
        int at = WireLimits.HeaderBytes;
        foreach (CompletedEntry entry in entries)
        {
            Span<byte> place = frame.Slice(at, WireLimits.CompletedEntryBytes);
            BinaryPrimitives.WriteUInt16LittleEndian(place, entry.Connection);
            BinaryPrimitives.WriteUInt16LittleEndian(place[2..], entry.Slot);
            BinaryPrimitives.WriteUInt16LittleEndian(place[4..], entry.Status);
            BinaryPrimitives.WriteUInt16LittleEndian(place[6..], 0);
            BinaryPrimitives.WriteUInt64LittleEndian(place[8..], entry.Sequence);
            at += WireLimits.CompletedEntryBytes;
        }

        FrameHeader header = new()
        {
            Kind = FrameKind.Completed,
            Epoch = epoch,
            BodyBytes = (uint)(at - WireLimits.HeaderBytes),
            BodyChecksum = DataChecksum.Crc32C(frame[WireLimits.HeaderBytes..at]),
        };
        FrameCodec.Write(in header, frame);
        return at;
    }

    /// <summary>Reads one entry of a COMPLETED frame.</summary>
    /// <param name="body">The body; its length was checked with the header.</param>
    /// <param name="index">0 to the body's length divided by <see cref="WireLimits.CompletedEntryBytes"/> - 1.</param>
    /// <param name="entry">The entry.</param>
    public static WireError TryReadCompleted(ReadOnlySpan<byte> body, int index, out CompletedEntry entry)
    {
        entry = default;
        if ((uint)index >= (uint)(body.Length / WireLimits.CompletedEntryBytes))
        {
            return WireError.Short;
        }

        ReadOnlySpan<byte> place = body.Slice(index * WireLimits.CompletedEntryBytes, WireLimits.CompletedEntryBytes);
        CompletedEntry read = new(
            BinaryPrimitives.ReadUInt16LittleEndian(place),
            BinaryPrimitives.ReadUInt16LittleEndian(place[2..]),
            BinaryPrimitives.ReadUInt16LittleEndian(place[4..]),
            BinaryPrimitives.ReadUInt64LittleEndian(place[8..]));
        if (BinaryPrimitives.ReadUInt16LittleEndian(place[6..]) != 0)
        {
            return WireError.Reserved;
        }

        if (read.Connection >= WireLimits.ConnectionsMax || read.Slot >= WireLimits.SlotsMax)
        {
            return WireError.Slot;
        }

        if (read.Status > WireStatus.Max || read.Sequence == 0)
        {
            return read.Sequence == 0 ? WireError.Sequence : WireError.Status;
        }

        entry = read;
        return WireError.None;
    }

    private static TlvWriter Body(Span<byte> frame) =>
        new(frame[WireLimits.HeaderBytes..WireLimits.ControlFrameMaxBytes]);

    private static int Finish(FrameKind kind, ulong epoch, ushort status, ref TlvWriter body, Span<byte> frame)
    {
        Must.Be(!body.Overflow, $"{kind} does not fit a frame of {WireLimits.ControlFrameMaxBytes} bytes");
        FrameHeader header = new()
        {
            Kind = kind,
            Epoch = epoch,
            Status = status,
            BodyBytes = (uint)body.LengthBytes,
            BodyChecksum = DataChecksum.Crc32C(frame.Slice(WireLimits.HeaderBytes, body.LengthBytes)),
        };
        FrameCodec.Write(in header, frame);
        return WireLimits.HeaderBytes + body.LengthBytes;
    }

    private static void WriteVersions(ref TlvWriter body, ushort lowest, ushort highest)
    {
        Span<byte> place = body.Add(TlvType.Versions, 4);
        BinaryPrimitives.WriteUInt16LittleEndian(place, lowest);
        BinaryPrimitives.WriteUInt16LittleEndian(place[2..], highest);
    }

    private static void WriteFeatures(ref TlvWriter body, ulong required, ulong optional)
    {
        Span<byte> place = body.Add(TlvType.Features, 16);
        BinaryPrimitives.WriteUInt64LittleEndian(place, required);
        BinaryPrimitives.WriteUInt64LittleEndian(place[8..], optional);
    }

    private static void WriteCredits(ref TlvWriter body, CreditGrant credits)
    {
        Must.Be(credits.IsValid, $"credits {credits}");
        Span<byte> place = body.Add(TlvType.Credits, 8);
        BinaryPrimitives.WriteUInt16LittleEndian(place, credits.Connections);
        BinaryPrimitives.WriteUInt16LittleEndian(place[2..], credits.Requests);
        BinaryPrimitives.WriteUInt32LittleEndian(place[4..], credits.PayloadBytes);
    }

    private static void ReadVersions(ref TlvReader reader, out ushort lowest, out ushort highest)
    {
        lowest = highest = 0;
        if (reader.IsLong(4))
        {
            lowest = BinaryPrimitives.ReadUInt16LittleEndian(reader.Value);
            highest = BinaryPrimitives.ReadUInt16LittleEndian(reader.Value[2..]);
            reader.Demand(lowest >= 1 && lowest <= highest);
        }
    }

    private static void ReadFeatures(ref TlvReader reader, out ulong required, out ulong optional)
    {
        required = optional = 0;
        if (reader.IsLong(16))
        {
            required = BinaryPrimitives.ReadUInt64LittleEndian(reader.Value);
            optional = BinaryPrimitives.ReadUInt64LittleEndian(reader.Value[8..]);
        }
    }

    private static void ReadCredits(ref TlvReader reader, out CreditGrant credits)
    {
        credits = default;
        if (reader.IsLong(8))
        {
            credits = new CreditGrant(
                BinaryPrimitives.ReadUInt16LittleEndian(reader.Value),
                BinaryPrimitives.ReadUInt16LittleEndian(reader.Value[2..]),
                BinaryPrimitives.ReadUInt32LittleEndian(reader.Value[4..]));
            reader.Demand(credits.IsValid);
        }
    }

    private static void ReadExport(ref TlvReader reader, out WireText export)
    {
        export = default;
        reader.Demand(reader.Value.Length is >= 1 and <= WireLimits.ExportNameMaxBytes);
        if (reader.Error == WireError.None)
        {
            export = reader.Text();
        }
    }

    private static ChecksumKind ReadChecksum(ref TlvReader reader)
    {
        byte kind = reader.Byte();
        reader.Demand(kind <= (byte)ChecksumKind.Xxh3);
        return (ChecksumKind)kind;
    }

    private static void ReadAttachEntry(ref TlvReader reader, ref AttachMessage message)
    {
        switch (reader.Type)
        {
            case TlvType.Challenge:
                message.Challenge = reader.Id();
                break;
            case TlvType.Export:
                ReadExport(ref reader, out message.Export);
                break;
            case TlvType.Device when reader.IsLong(20):
                message.Device = new DeviceId(
                    BinaryPrimitives.ReadUInt128BigEndian(reader.Value),
                    BinaryPrimitives.ReadUInt32LittleEndian(reader.Value[16..]));
                reader.Demand(message.Device.Uuid != UInt128.Zero);
                break;
            case TlvType.Incarnation:
                message.Incarnation = reader.UInt64();
                reader.Demand(message.Incarnation != 0);
                break;
            case TlvType.Access when reader.IsLong(2):
                message.Access = (AccessKind)reader.Value[0];
                message.TakeOver = reader.Value[1] == 1;
                reader.Demand(message.Access <= AccessKind.ReadWrite && reader.Value[1] <= 1);
                break;
            case TlvType.Replaces:
                message.Replaces = reader.UInt64();
                break;
            case TlvType.Expected when reader.IsLong(24):
                message.ExpectedIdentity = BinaryPrimitives.ReadUInt128BigEndian(reader.Value);
                message.ExpectedSizeBytes = BinaryPrimitives.ReadUInt64LittleEndian(reader.Value[16..]);
                break;
            case TlvType.Credits:
                ReadCredits(ref reader, out message.Credits);
                break;
            case TlvType.Checksum:
                message.Checksum = ReadChecksum(ref reader);
                break;
            case TlvType.Holder:
                message.Holder = reader.Text();
                break;
            case TlvType.Lanes:
                message.Lanes = reader.UInt16();
                reader.Demand(message.Lanes is >= 1 and <= WireLimits.ConnectionsMax);
                break;
            default:
                reader.Unknown();
                break;
        }
    }

    private static void ReadAttachOkEntry(ref TlvReader reader, ref AttachOkMessage message)
    {
        switch (reader.Type)
        {
            case TlvType.Token:
                message.Token = reader.Id();
                break;
            case TlvType.Identity:
                message.Identity = reader.Id();
                reader.Demand(message.Identity != UInt128.Zero);
                break;
            case TlvType.Geometry when reader.IsLong(32):
                message.Geometry = new ExportGeometry(
                    BinaryPrimitives.ReadUInt64LittleEndian(reader.Value),
                    BinaryPrimitives.ReadUInt64LittleEndian(reader.Value[8..]),
                    BinaryPrimitives.ReadUInt32LittleEndian(reader.Value[16..]),
                    BinaryPrimitives.ReadUInt32LittleEndian(reader.Value[20..]),
                    BinaryPrimitives.ReadUInt32LittleEndian(reader.Value[24..]),
                    (ExportCapabilities)BinaryPrimitives.ReadUInt32LittleEndian(reader.Value[28..]));
                reader.Demand(message.Geometry.IsValid);
                break;
            case TlvType.ServerState when reader.IsLong(18):
                message.BootId = BinaryPrimitives.ReadUInt64LittleEndian(reader.Value);
                message.WriteErrorGeneration = BinaryPrimitives.ReadUInt64LittleEndian(reader.Value[8..]);
                message.Cache = (CacheMode)reader.Value[16];
                message.Poisoned = reader.Value[17] == 1;
                reader.Demand(message.BootId != 0 && reader.Value[16] <= 1 && reader.Value[17] <= 1);
                break;
            case TlvType.Credits:
                ReadCredits(ref reader, out message.Credits);
                break;
            case TlvType.Checksum:
                message.Checksum = ReadChecksum(ref reader);
                break;
            case TlvType.CompletedCount:
                message.CompletedCount = reader.UInt32();
                reader.Demand(message.CompletedCount <= WireLimits.ConnectionsMax * WireLimits.SlotsMax);
                break;
            default:
                reader.Unknown();
                break;
        }
    }
}
