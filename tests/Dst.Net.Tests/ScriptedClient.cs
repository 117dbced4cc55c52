using System.Net;
using System.Net.Sockets;
using Dst.Core.Requests;
using Dst.Core.Wire;

namespace Dst.Net.Tests;

/// <summary>A frame as a test sees it.</summary>
internal sealed record Frame(FrameHeader Header, byte[] Body)
{
    public FrameKind Kind => Header.Kind;

    public RefusalCode Code => (RefusalCode)Header.Status;

    public override string ToString() => Kind == FrameKind.Error ? $"ERROR {Code}" : $"{Kind} status {Header.Status}";
}

/// <summary>The client's side of one connection, by hand: blocking, one step at a time.</summary>
internal sealed class ScriptedClient : IDisposable
{
    private readonly Socket _socket;
    private readonly byte[] _frame = new byte[WireLimits.ControlFrameMaxBytes];
    private readonly byte[] _header = new byte[WireLimits.HeaderBytes];

    private ScriptedClient(Socket socket)
    {
        _socket = socket;
        _socket.ReceiveTimeout = 30_000;
        _socket.SendTimeout = 30_000;
    }

    public HelloReply Hello { get; private set; }

    public AttachOkMessage Granted { get; private set; }

    public List<CompletedEntry> Completed { get; } = [];

    public List<Frame> Waits { get; } = [];

    public ulong Epoch { get; private set; }

    public ChecksumKind Checksum { get; set; } = ChecksumKind.Xxh3;

    public ulong Incarnation { get; set; } = 77;

    public UInt128 Device { get; set; } = 0xd1;

    public CreditGrant Wanted { get; set; } = new(1, 32, 4 << 20);

    public Socket Socket => _socket;

    public static ScriptedClient Connect(EndPoint endPoint)
    {
        ProtocolType protocol = endPoint is IPEndPoint ? ProtocolType.Tcp : ProtocolType.Unspecified;
        Socket socket = new(endPoint.AddressFamily, SocketType.Stream, protocol);
        socket.Connect(endPoint);
        if (endPoint is IPEndPoint)
        {
            socket.NoDelay = true;
        }

        return new ScriptedClient(socket);
    }

    /// <summary>HELLO, ATTACH, ATTACH_OK, BEGIN, BEGIN_OK.</summary>
    public static ScriptedClient Live(
        EndPoint endPoint, string export, ulong replaces = 0, Action<ScriptedClient>? with = null)
    {
        ScriptedClient client = Connect(endPoint);
        with?.Invoke(client);
        client.Greet();
        Frame frame = client.Attach(export, replaces);
        Assert.Equal(FrameKind.AttachOk, frame.Kind);
        client.Begin();
        return client;
    }

    public void Greet()
    {
        SendHello();
        Frame frame = Receive();
        Assert.Equal(FrameKind.Hello, frame.Kind);
        Assert.Equal(WireError.None, MessageCodec.TryRead(frame.Body, out HelloReply hello));
        Hello = hello;
    }

    public void SendHello(ulong featuresRequired = 0, byte checksums = DataChecksum.KnownKinds, ushort version = 1)
    {
        HelloMessage hello = new()
        {
            VersionMin = version,
            VersionMax = version,
            FeaturesRequired = featuresRequired,
            Nonce = 5,
            Checksums = checksums,
            Software = new WireText("test"),
        };
        Send(_frame.AsSpan(0, MessageCodec.Write(in hello, _frame)));
    }

    public AttachMessage AttachOf(string export, ulong replaces = 0, AccessKind access = AccessKind.ReadWrite) => new()
    {
        Challenge = Hello.Nonce,
        Export = new WireText(export),
        Device = new DeviceId(Device, 0),
        Incarnation = Incarnation,
        Access = access,
        Replaces = replaces,
        Credits = Wanted,
        Checksum = Checksum,
        Holder = new WireText("test host"),
    };

    public void SendAttach(in AttachMessage message) => Send(_frame.AsSpan(0, MessageCodec.Write(in message, _frame)));

    /// <summary>ATTACH, then everything up to its answer.</summary>
    public Frame Attach(
        string export, ulong replaces = 0, AccessKind access = AccessKind.ReadWrite, bool takeOver = false)
    {
        AttachMessage message = AttachOf(export, replaces, access);
        message.TakeOver = takeOver;
        SendAttach(in message);
        return ReceiveGrant();
    }

    public Frame ReceiveGrant()
    {
        while (true)
        {
            Frame frame = Receive();
            switch (frame.Kind)
            {
                case FrameKind.AttachWait:
                    Waits.Add(frame);
                    break;
                case FrameKind.Completed:
                    for (int i = 0; i < frame.Body.Length / WireLimits.CompletedEntryBytes; i++)
                    {
                        Assert.Equal(
                            WireError.None, MessageCodec.TryReadCompleted(frame.Body, i, out CompletedEntry entry));
                        Completed.Add(entry);
                    }

                    break;
                case FrameKind.AttachOk:
                    Assert.Equal(WireError.None, MessageCodec.TryRead(frame.Body, out AttachOkMessage granted));
                    Granted = granted;
                    Epoch = frame.Header.Epoch;
                    Assert.Equal((uint)Completed.Count, granted.CompletedCount);
                    return frame;
                default:
                    return frame;
            }
        }
    }

    public Frame Join(string export, ScriptedClient first, ushort connection)
    {
        Epoch = first.Epoch;
        JoinMessage join = new()
        {
            Challenge = Hello.Nonce,
            Export = new WireText(export),
            Token = first.Granted.Token,
            Connection = connection,
        };
        Send(_frame.AsSpan(0, MessageCodec.Write(Epoch, in join, _frame)));
        return Receive();
    }

    public void Begin()
    {
        SendPlain(FrameKind.Begin, Epoch);
        Assert.Equal(FrameKind.BeginOk, Receive().Kind);
    }

    public Frame Goodbye()
    {
        SendPlain(FrameKind.Goodbye, Epoch);
        return Receive();
    }

    public void SendPlain(FrameKind kind, ulong epoch, ulong sequence = 0) =>
        Send(_frame.AsSpan(0, MessageCodec.WritePlain(kind, epoch, sequence, _frame)));

    public FrameHeader Request(
        Operation operation,
        ushort slot,
        ulong sequence,
        long offset,
        int length,
        FrameFlags flags = FrameFlags.None) => new()
        {
            Kind = FrameKind.Request,
            Operation = operation,
            Flags = flags,
            Epoch = Epoch,
            Slot = slot,
            Sequence = sequence,
            OffsetBytes = (ulong)offset,
            LengthBytes = (ulong)length,
        };

    public byte[] WriteFrame(
        ushort slot, ulong sequence, long offset, ReadOnlySpan<byte> data, FrameFlags flags = FrameFlags.None)
    {
        FrameHeader header = Request(Operation.Write, slot, sequence, offset, data.Length, flags);
        int table = DataChecksum.TableBytes(Checksum, data.Length);
        header.BodyBytes = (uint)(table + data.Length);
        byte[] frame = new byte[WireLimits.HeaderBytes + table + data.Length];
        FrameCodec.Write(in header, frame);
        DataChecksum.WriteTable(Checksum, data, frame.AsSpan(WireLimits.HeaderBytes, table));
        data.CopyTo(frame.AsSpan(WireLimits.HeaderBytes + table));
        return frame;
    }

    public void SendWrite(
        ushort slot, ulong sequence, long offset, ReadOnlySpan<byte> data, FrameFlags flags = FrameFlags.None) =>
        Send(WriteFrame(slot, sequence, offset, data, flags));

    public void SendRequest(
        Operation operation, ushort slot, ulong sequence, long offset, int length, FrameFlags flags = FrameFlags.None)
    {
        FrameHeader header = Request(operation, slot, sequence, offset, length, flags);
        FrameCodec.Write(in header, _header);
        Send(_header);
    }

    public DstStatus Write(ushort slot, ulong sequence, long offset, ReadOnlySpan<byte> data)
    {
        SendWrite(slot, sequence, offset, data);
        return ReceiveReply(slot, sequence);
    }

    public byte[] Read(ushort slot, ulong sequence, long offset, int length)
    {
        SendRequest(Operation.Read, slot, sequence, offset, length);
        Frame reply = Receive();
        Assert.Equal(
            (FrameKind.Reply, slot, sequence, (ushort)0),
            (reply.Kind, reply.Header.Slot, reply.Header.Sequence, reply.Header.Status));
        return DataOf(reply);
    }

    public byte[] DataOf(Frame reply)
    {
        int length = (int)reply.Header.LengthBytes;
        int table = DataChecksum.TableBytes(Checksum, length);
        Assert.Equal(table + length, reply.Body.Length);
        byte[] data = reply.Body[table..];
        Assert.Equal(-1, DataChecksum.FindMismatch(Checksum, data, reply.Body.AsSpan(0, table)));
        return data;
    }

    public DstStatus Other(
        Operation operation,
        ushort slot,
        ulong sequence,
        long offset = 0,
        int length = 0,
        FrameFlags flags = FrameFlags.None)
    {
        SendRequest(operation, slot, sequence, offset, length, flags);
        return ReceiveReply(slot, sequence);
    }

    public DstStatus ReceiveReply(ushort slot, ulong sequence)
    {
        Frame reply = Receive();
        Assert.Equal((FrameKind.Reply, slot, sequence), (reply.Kind, reply.Header.Slot, reply.Header.Sequence));
        Assert.True(WireStatus.TryFromWire(reply.Header.Status, out DstStatus status));
        return status;
    }

    public void Send(ReadOnlySpan<byte> bytes) => _socket.SendAll(bytes);

    /// <summary>The next frame that is no PING; null at the end of the stream.</summary>
    public Frame? TryReceive(bool pings = false)
    {
        while (true)
        {
            if (!Fill(_header))
            {
                return null;
            }

            Assert.Equal(WireError.None, FrameCodec.TryRead(_header, out FrameHeader header));
            byte[] body = new byte[header.BodyBytes];
            if (!Fill(body))
            {
                return null;
            }

            if (header.Kind == FrameKind.Ping && !pings)
            {
                SendPlain(FrameKind.Pong, 0, header.Sequence);
                continue;
            }

            return new Frame(header, body);
        }
    }

    public Frame Receive() => TryReceive() ?? throw new EndOfStreamException("the server closed the connection");

    /// <summary>The server must end the connection with this code.</summary>
    public void ExpectError(RefusalCode code)
    {
        Frame? frame = TryReceive();
        while (frame?.Kind is FrameKind.Reply or FrameKind.Pong)
        {
            frame = TryReceive();
        }

        Assert.Equal($"ERROR {code}", frame?.ToString());
        Assert.Null(TryReceive());
    }

    public void Dispose() => _socket.Dispose();

    private bool Fill(byte[] buffer)
    {
        try
        {
            return _socket.ReceiveAll(buffer);
        }
        catch (SocketException e) when (e.SocketErrorCode is SocketError.ConnectionReset or SocketError.Shutdown)
        {
            return false;
        }
    }
}
