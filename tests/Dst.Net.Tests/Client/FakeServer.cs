using System.Net;
using System.Net.Sockets;
using Dst.Core.Requests;
using Dst.Core.Wire;

namespace Dst.Net.Tests.Client;

/// <summary>A server that says what a test wants: blocking sockets over the codec.</summary>
internal sealed class FakeServer : IDisposable
{
    public const ulong BootId = 0x7777;

    private readonly Socket _listener = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
    private ulong _epoch;

    public FakeServer()
    {
        _listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        _listener.Listen(16);
    }

    public int Port => ((IPEndPoint)_listener.LocalEndPoint!).Port;

    public ushort Requests { get; init; } = 64;

    /// <summary>The next connection, attached and begun.</summary>
    public FakePeer AcceptLive()
    {
        FakePeer peer = Accept();
        peer.Handshake(++_epoch, Requests);
        return peer;
    }

    /// <summary>Lets a client in on another thread while the test waits for it.</summary>
    public Task<FakePeer> AcceptLiveSoon() => Task.Factory.StartNew(
        AcceptLive, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);

    public FakePeer Accept()
    {
        Assert.True(_listener.Poll(30_000_000, SelectMode.SelectRead), "no connection came");
        Socket socket = _listener.Accept();
        socket.NoDelay = true;
        socket.ReceiveTimeout = 30_000;
        return new FakePeer(socket);
    }

    public void Dispose() => _listener.Dispose();
}

/// <summary>One connection of a <see cref="FakeServer"/>.</summary>
internal sealed class FakePeer(Socket socket) : IDisposable
{
    public Socket Socket => socket;

    public ulong Epoch { get; private set; }

    public byte[] Body { get; private set; } = [];

    /// <summary>Receives a frame; PINGs are answered on the way, but not for ever.</summary>
    public FrameHeader Receive()
    {
        long startMs = Environment.TickCount64;
        while (true)
        {
            if (Environment.TickCount64 - startMs > socket.ReceiveTimeout)
            {
                throw new SocketException((int)SocketError.TimedOut);
            }

            FrameHeader header = ReceiveHeader();
            Body = new byte[header.BodyBytes];
            ReceiveWhole(Body);
            if (header.Kind != FrameKind.Ping)
            {
                return header;
            }

            SendPlain(FrameKind.Pong, 0, header.Sequence);
        }
    }

    /// <summary>Receives no more than a header.</summary>
    public FrameHeader ReceiveHeader()
    {
        byte[] bytes = new byte[WireLimits.HeaderBytes];
        ReceiveWhole(bytes);
        Assert.Equal(WireError.None, FrameCodec.TryRead(bytes, out FrameHeader header));
        return header;
    }

    public void Handshake(ulong epoch, ushort requests)
    {
        byte[] frame = new byte[WireLimits.ControlFrameMaxBytes];
        Assert.Equal(FrameKind.Hello, Receive().Kind);
        HelloReply hello = new()
        {
            Version = 1,
            Nonce = 1,
            Checksums = DataChecksum.KnownKinds,
            BootId = FakeServer.BootId,
        };
        Send(frame.AsSpan(0, MessageCodec.Write(in hello, frame)));
        Assert.Equal(FrameKind.Attach, Receive().Kind);
        Assert.Equal(WireError.None, MessageCodec.TryRead(Body, out AttachMessage attach));
        AttachOkMessage ok = new()
        {
            Token = 5,
            Identity = TestServer.Identity,
            Geometry = new ExportGeometry(
                64 << 20, 1 << 20, 512, 1 << 20, 512, ExportCapabilities.Discard | ExportCapabilities.WriteZeroes),
            BootId = FakeServer.BootId,
            Credits = attach.Credits with { Connections = 1, Requests = requests },
            Checksum = attach.Checksum,
        };
        Send(frame.AsSpan(0, MessageCodec.Write(epoch, in ok, frame)));
        Assert.Equal(FrameKind.Begin, Receive().Kind);
        SendPlain(FrameKind.BeginOk, epoch, 0);
        Epoch = epoch;
    }

    public void Send(ReadOnlySpan<byte> bytes) => socket.SendAll(bytes);

    public void SendPlain(FrameKind kind, ulong epoch, ulong sequence)
    {
        byte[] frame = new byte[WireLimits.HeaderBytes];
        MessageCodec.WritePlain(kind, epoch, sequence, frame);
        Send(frame);
    }

    /// <summary>The right reply to a request, data of a read included.</summary>
    public static FrameHeader ReplyTo(in FrameHeader request, DstStatus status = DstStatus.Ok) => new()
    {
        Kind = FrameKind.Reply,
        Operation = request.Operation,
        Epoch = request.Epoch,
        Sequence = request.Sequence,
        Slot = request.Slot,
        Status = WireStatus.ToWire(status),
        OffsetBytes = request.Operation == Operation.Flush ? FakeServer.BootId : request.OffsetBytes,
        LengthBytes = request.Operation == Operation.Flush ? 0 : request.LengthBytes,
    };

    public void SendHeader(in FrameHeader header)
    {
        byte[] frame = new byte[WireLimits.HeaderBytes];
        FrameCodec.Write(in header, frame);
        Send(frame);
    }

    /// <summary>The right reply in one piece; a read gets the data, a flush the server's facts.</summary>
    public static byte[] WholeReply(in FrameHeader request, byte[] data)
    {
        FrameHeader header = ReplyTo(in request);
        bool read = request.Operation == Operation.Read;
        int tableBytes = read ? DataChecksum.TableBytes(ChecksumKind.Xxh3, data.Length) : 0;
        header.BodyBytes = read ? (uint)(tableBytes + data.Length) : 0;
        byte[] frame = new byte[WireLimits.HeaderBytes + header.BodyBytes];
        FrameCodec.Write(in header, frame);
        if (read)
        {
            DataChecksum.WriteTable(ChecksumKind.Xxh3, data, frame.AsSpan(WireLimits.HeaderBytes, tableBytes));
            data.CopyTo(frame, WireLimits.HeaderBytes + tableBytes);
        }

        return frame;
    }

    /// <summary>Answers a read with data; the table is made with XXH3.</summary>
    public void SendData(in FrameHeader request, byte[] data, bool damaged = false)
    {
        FrameHeader header = ReplyTo(in request);
        header.BodyBytes = (uint)DataChecksum.BodyBytes(ChecksumKind.Xxh3, data.Length);
        byte[] table = new byte[DataChecksum.TableBytes(ChecksumKind.Xxh3, data.Length)];
        DataChecksum.WriteTable(ChecksumKind.Xxh3, data, table);
        table[0] ^= (byte)(damaged ? 1 : 0);
        SendHeader(in header);
        Send(table);
        Send(data);
    }

    /// <summary>Answers whatever comes, in the right way, until the client goes.</summary>
    public void ServeRight(Action<FrameHeader, byte[]> seen, byte[]? data = null)
    {
        try
        {
            while (true)
            {
                FrameHeader request = Receive();
                if (request.Kind == FrameKind.Pong)
                {
                    continue;
                }

                if (request.Kind != FrameKind.Request)
                {
                    return;
                }

                seen(request, Body);
                if (request.Operation == Operation.Read)
                {
                    SendData(in request, data ?? new byte[request.LengthBytes]);
                }
                else
                {
                    FrameHeader reply = ReplyTo(in request);
                    SendHeader(in reply);
                }
            }
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException or EndOfStreamException)
        {
            // The client is gone.
        }
    }

    public void Dispose() => socket.Dispose();

    private void ReceiveWhole(Span<byte> bytes)
    {
        if (!socket.ReceiveAll(bytes))
        {
            throw new EndOfStreamException();
        }
    }
}
