using Dst.Core.Requests;
using Dst.Core.Wire;

namespace Dst.Core.Tests.Wire;

/// <summary>One frame of each kind, the examples of docs/protocol.md among them.</summary>
internal static class Samples
{
    internal static readonly UInt128 ClientNonce = new(0x0001020304050607, 0x08090a0b0c0d0e0f);
    internal static readonly UInt128 ServerNonce = new(0x1011121314151617, 0x18191a1b1c1d1e1f);
    internal static readonly UInt128 Uuid = new(0x550e8400e29b41d4, 0xa716446655440000);
    internal static readonly UInt128 Identity = new(0x6ba7b8109dad11d1, 0x80b400c04fd430c8);
    internal static readonly UInt128 Token = new(0x2021222324252627, 0x28292a2b2c2d2e2f);

    internal static readonly ExportGeometry Geometry = new(
        4UL << 30, 1UL << 30, 4096, 1 << 20, 4096, ExportCapabilities.Discard | ExportCapabilities.WriteZeroes);

    internal static HelloMessage Hello => new()
    {
        VersionMin = 1,
        VersionMax = 1,
        Nonce = ClientNonce,
        Checksums = 7,
        Software = new WireText("dst-target 0.1.0"),
    };

    internal static HelloReply HelloReply => new()
    {
        Version = 1,
        Nonce = ServerNonce,
        Checksums = 7,
        BootId = 0x1122334455667788,
        Software = new WireText("dst-server 0.1.0"),
    };

    internal static AttachMessage Attach => new()
    {
        Challenge = ServerNonce,
        Export = new WireText("disk1"),
        Device = new DeviceId(Uuid, 2),
        Incarnation = 0xA1A2A3A4A5A6A7A8,
        Access = AccessKind.ReadWrite,
        Replaces = 6,
        ExpectedIdentity = Identity,
        ExpectedSizeBytes = 4UL << 30,
        Credits = new CreditGrant(2, 128, 16 << 20),
        Checksum = ChecksumKind.Crc32C,
        Holder = new WireText("host1 device d1"),
    };

    internal static AttachOkMessage AttachOk => new()
    {
        Token = Token,
        Identity = Identity,
        Geometry = Geometry,
        BootId = 0x1122334455667788,
        WriteErrorGeneration = 3,
        Cache = CacheMode.WriteBack,
        Credits = new CreditGrant(2, 128, 8 << 20),
        Checksum = ChecksumKind.Crc32C,
        CompletedCount = 1,
    };

    internal static JoinMessage Join => new()
    {
        Challenge = ServerNonce,
        Export = new WireText("disk1"),
        Token = Token,
        Connection = 1,
    };

    internal static ErrorMessage Held => new()
    {
        Text = new WireText("export disk1: held by host2 device d9"),
        Holder = new WireText("host2 device d9 192.0.2.7"),
        Epoch = 6,
    };

    /// <summary>Name in docs/protocol.md and bytes.</summary>
    internal static IEnumerable<(string Name, byte[] Bytes)> Frames()
    {
        yield return ("HELLO of a client", Make(frame => MessageCodec.Write(Hello, frame)));
        yield return ("HELLO of a server", Make(frame => MessageCodec.Write(HelloReply, frame)));
        yield return ("ATTACH", Make(frame => MessageCodec.Write(Attach, frame)));
        yield return ("ATTACH_WAIT", Make(frame => MessageCodec.Write(
            new AttachWaitMessage { Requests = 2, WaitedMs = 1000, Text = new WireText("2 requests") }, frame)));
        yield return ("COMPLETED", Make(frame =>
            MessageCodec.WriteCompleted(7, [new CompletedEntry(1, 5, 3, 42)], frame)));
        yield return ("ATTACH_OK", Make(frame => MessageCodec.Write(7, AttachOk, frame)));
        yield return ("JOIN", Make(frame => MessageCodec.Write(7, Join, frame)));
        yield return ("JOIN_OK", Make(frame => MessageCodec.WriteJoinOk(7, 1, frame)));
        yield return ("BEGIN", Make(frame => MessageCodec.WritePlain(FrameKind.Begin, 7, 0, frame)));
        yield return ("BEGIN_OK", Make(frame => MessageCodec.WritePlain(FrameKind.BeginOk, 7, 0, frame)));
        yield return ("REQUEST write of 512 bytes with FUA", WriteRequest());
        yield return ("REPLY to that write", Make(Header(Reply(Operation.Write, 0, 8192, 512))));
        yield return ("REQUEST flush", Make(Header(new FrameHeader
        {
            Kind = FrameKind.Request,
            Operation = Operation.Flush,
            Epoch = 7,
            Sequence = 43,
            Slot = 5,
        })));
        yield return ("REPLY to that flush", Make(Header(Reply(Operation.Flush, 0, 0x1122334455667788, 3))));
        yield return ("PING", Make(frame => MessageCodec.WritePlain(FrameKind.Ping, 0, 99, frame)));
        yield return ("PONG", Make(frame => MessageCodec.WritePlain(FrameKind.Pong, 0, 99, frame)));
        yield return ("GOODBYE", Make(frame => MessageCodec.WritePlain(FrameKind.Goodbye, 7, 0, frame)));
        yield return ("ERROR", Make(frame => MessageCodec.Write(RefusalCode.Held, Held, frame)));
    }

    internal static FrameHeader Reply(
        Operation operation, ushort status, ulong offset, ulong length, uint body = 0) => new()
        {
            Kind = FrameKind.Reply,
            Operation = operation,
            Epoch = 7,
            Sequence = operation == Operation.Flush ? 43UL : 42UL,
            Slot = 5,
            Status = status,
            OffsetBytes = offset,
            LengthBytes = length,
            BodyBytes = body,
        };

    internal static FrameHeader Request(Operation operation, ulong offset, ulong length, uint body = 0) => new()
    {
        Kind = FrameKind.Request,
        Operation = operation,
        Epoch = 7,
        Sequence = 42,
        Slot = 5,
        OffsetBytes = offset,
        LengthBytes = length,
        BodyBytes = body,
    };

    internal static byte[] WriteRequest()
    {
        byte[] data = new byte[512];
        Array.Fill(data, (byte)0x5A);
        byte[] frame = new byte[WireLimits.HeaderBytes + DataChecksum.BodyBytes(ChecksumKind.Crc32C, data.Length)];
        FrameHeader header = Request(Operation.Write, 8192, 512, (uint)(frame.Length - WireLimits.HeaderBytes));
        header.Flags = FrameFlags.Fua;
        FrameCodec.Write(in header, frame);
        DataChecksum.WriteTable(ChecksumKind.Crc32C, data, frame.AsSpan(WireLimits.HeaderBytes, 4));
        data.CopyTo(frame, WireLimits.HeaderBytes + 4);
        return frame;
    }

    internal static Func<byte[], int> Header(FrameHeader header) => frame =>
    {
        FrameCodec.Write(in header, frame);
        return WireLimits.HeaderBytes;
    };

    internal static byte[] Make(Func<byte[], int> write)
    {
        byte[] frame = new byte[WireLimits.ControlFrameMaxBytes];
        return frame[..write(frame)];
    }
}
