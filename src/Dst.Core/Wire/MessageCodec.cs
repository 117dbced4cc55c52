using System.Buffers.Binary;

namespace Dst.Core.Wire;

/// <summary>
/// Writes and reads the bodies of control frames. Writers give the length of the whole frame, header included, and end
/// the process when a message breaks the limits that its reader holds; readers take any bytes and give a
/// <see cref="WireError"/> (N-30 to N-35). Allocates nothing; any thread.
/// </summary>
public static partial class MessageCodec
{
    private static readonly ulong HelloNeeds = TlvReader.SetOf(
        TlvType.Versions, TlvType.Features, TlvType.Nonce, TlvType.Checksums);

    private static readonly ulong HelloReplyNeeds = TlvReader.SetOf(
        TlvType.Versions, TlvType.Features, TlvType.Nonce, TlvType.Checksums, TlvType.BootId);

    private static readonly ulong AttachNeeds = TlvReader.SetOf(
        TlvType.Challenge, TlvType.Export, TlvType.Device, TlvType.Incarnation, TlvType.Access, TlvType.Replaces,
        TlvType.Expected, TlvType.Credits, TlvType.Checksum);

    private static readonly ulong AttachOkNeeds = TlvReader.SetOf(
        TlvType.Token, TlvType.Identity, TlvType.Geometry, TlvType.ServerState, TlvType.Credits, TlvType.Checksum,
        TlvType.CompletedCount);

    private static readonly ulong JoinNeeds = TlvReader.SetOf(
        TlvType.Challenge, TlvType.Export, TlvType.Token, TlvType.Connection);

    private static readonly ulong JoinOkNeeds = TlvReader.SetOf(TlvType.Connection);

    private static readonly ulong AttachWaitNeeds = TlvReader.SetOf(TlvType.Wait);

    /// <summary>Writes a frame that has no body: BEGIN, BEGIN_OK, PING, PONG, GOODBYE.</summary>
    /// <param name="kind">Which.</param>
    /// <param name="epoch">The session's epoch, 0 where there is none.</param>
    /// <param name="sequence">Number of a PING or PONG, else 0.</param>
    /// <param name="frame">At least a header long.</param>
    public static int WritePlain(FrameKind kind, ulong epoch, ulong sequence, Span<byte> frame)
    {
        FrameCodec.Write(new FrameHeader { Kind = kind, Epoch = epoch, Sequence = sequence }, frame);
        return WireLimits.HeaderBytes;
    }

    /// <summary>Writes the HELLO of a client.</summary>
    /// <param name="message">What to say.</param>
    /// <param name="frame">At least <see cref="WireLimits.ControlFrameMaxBytes"/>.</param>
    public static int Write(in HelloMessage message, Span<byte> frame)
    {
        TlvWriter body = Body(frame);
        WriteVersions(ref body, message.VersionMin, message.VersionMax);
        WriteFeatures(ref body, message.FeaturesRequired, message.FeaturesOptional);
        body.AddId(TlvType.Nonce, message.Nonce);
        body.AddByte(TlvType.Checksums, message.Checksums);
        body.AddText(TlvType.Software, in message.Software);
        return Finish(FrameKind.Hello, 0, 0, ref body, frame);
    }

    /// <summary>Reads the HELLO of a client.</summary>
    /// <param name="body">Any bytes.</param>
    /// <param name="message">What it says.</param>
    public static WireError TryRead(ReadOnlySpan<byte> body, out HelloMessage message)
    {
        message = default;
        TlvReader reader = new(body);
        while (reader.Next())
        {
            switch (reader.Type)
            {
                case TlvType.Versions:
                    ReadVersions(ref reader, out message.VersionMin, out message.VersionMax);
                    break;
                case TlvType.Features:
                    ReadFeatures(ref reader, out message.FeaturesRequired, out message.FeaturesOptional);
                    break;
                case TlvType.Nonce:
                    message.Nonce = reader.Id();
                    break;
                case TlvType.Checksums:
                    message.Checksums = reader.Byte();
                    break;
                case TlvType.Software:
                    message.Software = reader.Text();
                    break;
                default:
                    reader.Unknown();
                    break;
            }
        }

        return reader.End(HelloNeeds);
    }

    /// <summary>Writes the HELLO of a server.</summary>
    /// <param name="message">What to say.</param>
    /// <param name="frame">At least <see cref="WireLimits.ControlFrameMaxBytes"/>.</param>
    public static int Write(in HelloReply message, Span<byte> frame)
    {
        TlvWriter body = Body(frame);
        WriteVersions(ref body, message.Version, message.Version);
        WriteFeatures(ref body, message.Features, 0);
        body.AddId(TlvType.Nonce, message.Nonce);
        body.AddByte(TlvType.Checksums, message.Checksums);
        body.AddUInt64(TlvType.BootId, message.BootId);
        body.AddText(TlvType.Software, in message.Software);
        return Finish(FrameKind.Hello, 0, 0, ref body, frame);
    }

    /// <summary>Reads the HELLO of a server.</summary>
    /// <param name="body">Any bytes.</param>
    /// <param name="message">What it says.</param>
    public static WireError TryRead(ReadOnlySpan<byte> body, out HelloReply message)
    {
        message = default;
        TlvReader reader = new(body);
        while (reader.Next())
        {
            switch (reader.Type)
            {
                case TlvType.Versions:
                    ReadVersions(ref reader, out ushort lowest, out message.Version);
                    reader.Demand(lowest == message.Version);
                    break;
                case TlvType.Features:
                    ReadFeatures(ref reader, out message.Features, out ulong optional);
                    reader.Demand(optional == 0);
                    break;
                case TlvType.Nonce:
                    message.Nonce = reader.Id();
                    break;
                case TlvType.Checksums:
                    message.Checksums = reader.Byte();
                    break;
                case TlvType.BootId:
                    message.BootId = reader.UInt64();
                    reader.Demand(message.BootId != 0);
                    break;
                case TlvType.Software:
                    message.Software = reader.Text();
                    break;
                default:
                    reader.Unknown();
                    break;
            }
        }

        return reader.End(HelloReplyNeeds);
    }

    /// <summary>Writes ATTACH.</summary>
    /// <param name="message">What to ask for.</param>
    /// <param name="frame">At least <see cref="WireLimits.ControlFrameMaxBytes"/>.</param>
    public static int Write(in AttachMessage message, Span<byte> frame)
    {
        TlvWriter body = Body(frame);
        body.AddId(TlvType.Challenge, message.Challenge);
        body.AddText(TlvType.Export, in message.Export);
        Span<byte> device = body.Add(TlvType.Device, 20);
        BinaryPrimitives.WriteUInt128BigEndian(device, message.Device.Uuid);
        BinaryPrimitives.WriteUInt32LittleEndian(device[16..], message.Device.NodeIndex);
        body.AddUInt64(TlvType.Incarnation, message.Incarnation);
        body.AddBytes(TlvType.Access, [(byte)message.Access, (byte)(message.TakeOver ? 1 : 0)]);
        body.AddUInt64(TlvType.Replaces, message.Replaces);
        Span<byte> expected = body.Add(TlvType.Expected, 24);
        BinaryPrimitives.WriteUInt128BigEndian(expected, message.ExpectedIdentity);
        BinaryPrimitives.WriteUInt64LittleEndian(expected[16..], message.ExpectedSizeBytes);
        WriteCredits(ref body, message.Credits);
        body.AddByte(TlvType.Checksum, (byte)message.Checksum);
        body.AddText(TlvType.Holder, in message.Holder);
        if (message.Lanes != 0)
        {
            body.AddUInt16(TlvType.Lanes, message.Lanes);
        }

        return Finish(FrameKind.Attach, 0, 0, ref body, frame);
    }

    /// <summary>Reads ATTACH.</summary>
    /// <param name="body">Any bytes.</param>
    /// <param name="message">What it asks for.</param>
    public static WireError TryRead(ReadOnlySpan<byte> body, out AttachMessage message)
    {
        message = default;
        TlvReader reader = new(body);
        while (reader.Next())
        {
            ReadAttachEntry(ref reader, ref message);
        }

        WireError error = reader.End(AttachNeeds);
        bool contradiction = message.Access == AccessKind.ReadOnly && (message.TakeOver || message.Replaces != 0);
        return error == WireError.None && contradiction ? WireError.TlvValue : error;
    }

    /// <summary>Writes ATTACH_OK.</summary>
    /// <param name="epoch">The new epoch; 0 in a read-only session.</param>
    /// <param name="message">What is granted.</param>
    /// <param name="frame">At least <see cref="WireLimits.ControlFrameMaxBytes"/>.</param>
    public static int Write(ulong epoch, in AttachOkMessage message, Span<byte> frame)
    {
        Must.Be(message.Geometry.IsValid, $"ATTACH_OK with {message.Geometry}");
        TlvWriter body = Body(frame);
        body.AddId(TlvType.Token, message.Token);
        body.AddId(TlvType.Identity, message.Identity);
        Span<byte> geometry = body.Add(TlvType.Geometry, 32);
        BinaryPrimitives.WriteUInt64LittleEndian(geometry, message.Geometry.SizeBytes);
        BinaryPrimitives.WriteUInt64LittleEndian(geometry[8..], message.Geometry.MaxChangeBytes);
        BinaryPrimitives.WriteUInt32LittleEndian(geometry[16..], message.Geometry.BlockBytes);
        BinaryPrimitives.WriteUInt32LittleEndian(geometry[20..], message.Geometry.MaxRequestBytes);
        BinaryPrimitives.WriteUInt32LittleEndian(geometry[24..], message.Geometry.DiscardGranularityBytes);
        BinaryPrimitives.WriteUInt32LittleEndian(geometry[28..], (uint)message.Geometry.Capabilities);
        Span<byte> state = body.Add(TlvType.ServerState, 18);
        BinaryPrimitives.WriteUInt64LittleEndian(state, message.BootId);
        BinaryPrimitives.WriteUInt64LittleEndian(state[8..], message.WriteErrorGeneration);
        state[16] = (byte)message.Cache;
        state[17] = (byte)(message.Poisoned ? 1 : 0);
        WriteCredits(ref body, message.Credits);
        body.AddByte(TlvType.Checksum, (byte)message.Checksum);
        body.AddUInt32(TlvType.CompletedCount, message.CompletedCount);
        return Finish(FrameKind.AttachOk, epoch, 0, ref body, frame);
    }

    /// <summary>Reads ATTACH_OK.</summary>
    /// <param name="body">Any bytes.</param>
    /// <param name="message">What is granted.</param>
    public static WireError TryRead(ReadOnlySpan<byte> body, out AttachOkMessage message)
    {
        message = default;
        TlvReader reader = new(body);
        while (reader.Next())
        {
            ReadAttachOkEntry(ref reader, ref message);
        }

        return reader.End(AttachOkNeeds);
    }

    /// <summary>Writes JOIN.</summary>
    /// <param name="epoch">The session's epoch.</param>
    /// <param name="message">What to show.</param>
    /// <param name="frame">At least <see cref="WireLimits.ControlFrameMaxBytes"/>.</param>
    public static int Write(ulong epoch, in JoinMessage message, Span<byte> frame)
    {
        TlvWriter body = Body(frame);
        body.AddId(TlvType.Challenge, message.Challenge);
        body.AddText(TlvType.Export, in message.Export);
        body.AddId(TlvType.Token, message.Token);
        body.AddUInt16(TlvType.Connection, message.Connection);
        return Finish(FrameKind.Join, epoch, 0, ref body, frame);
    }

    /// <summary>Reads JOIN.</summary>
    /// <param name="body">Any bytes.</param>
    /// <param name="message">What it shows.</param>
    public static WireError TryRead(ReadOnlySpan<byte> body, out JoinMessage message)
    {
        message = default;
        TlvReader reader = new(body);
        while (reader.Next())
        {
            switch (reader.Type)
            {
                case TlvType.Challenge:
                    message.Challenge = reader.Id();
                    break;
                case TlvType.Export:
                    ReadExport(ref reader, out message.Export);
                    break;
                case TlvType.Token:
                    message.Token = reader.Id();
                    break;
                case TlvType.Connection:
                    message.Connection = reader.UInt16();
                    reader.Demand(message.Connection is >= 1 and < WireLimits.ConnectionsMax);
                    break;
                default:
                    reader.Unknown();
                    break;
            }
        }

        return reader.End(JoinNeeds);
    }

    /// <summary>Writes JOIN_OK.</summary>
    /// <param name="epoch">The session's epoch.</param>
    /// <param name="connection">Number in the session.</param>
    /// <param name="frame">At least <see cref="WireLimits.ControlFrameMaxBytes"/>.</param>
    public static int WriteJoinOk(ulong epoch, ushort connection, Span<byte> frame)
    {
        TlvWriter body = Body(frame);
        body.AddUInt16(TlvType.Connection, connection);
        return Finish(FrameKind.JoinOk, epoch, 0, ref body, frame);
    }

    /// <summary>Reads JOIN_OK.</summary>
    /// <param name="body">Any bytes.</param>
    /// <param name="connection">Number in the session.</param>
    public static WireError TryReadJoinOk(ReadOnlySpan<byte> body, out ushort connection)
    {
        connection = 0;
        TlvReader reader = new(body);
        while (reader.Next())
        {
            if (reader.Type == TlvType.Connection)
            {
                connection = reader.UInt16();
                reader.Demand(connection is >= 1 and < WireLimits.ConnectionsMax);
            }
            else
            {
                reader.Unknown();
            }
        }

        return reader.End(JoinOkNeeds);
    }
}
