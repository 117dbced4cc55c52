using Dst.Core.Wire;

namespace Dst.Core.Sessions;

/// <summary>Where a connection of the server stands; docs/protocol.md has the table.</summary>
public enum ServerState
{
    /// <summary>Nothing came yet.</summary>
    New,

    /// <summary>HELLO went both ways.</summary>
    Greeted,

    /// <summary>ATTACH is with the export.</summary>
    Attaching,

    /// <summary>JOIN is with the export.</summary>
    Joining,

    /// <summary>ATTACH_OK was sent, BEGIN has not been answered.</summary>
    Granted,

    /// <summary>BEGIN is with the export.</summary>
    Beginning,

    /// <summary>Requests: frames go to the <see cref="ServerLane"/>.</summary>
    Live,

    /// <summary>GOODBYE is with the export.</summary>
    Leaving,

    /// <summary>Nothing is read any more.</summary>
    Closed,
}

/// <summary>What the driver of a connection does next.</summary>
public enum ConnectionAction
{
    /// <summary>Nothing.</summary>
    None,

    /// <summary>Send the HELLO that <see cref="ServerConnection.WriteHello"/> writes.</summary>
    SendHello,

    /// <summary>
    /// Look the export up by name and address, then give it <see cref="ServerConnection.AttachRequest"/>.
    /// </summary>
    Attach,

    /// <summary>As above with <see cref="ServerConnection.JoinRequest"/> and the header's epoch.</summary>
    Join,

    /// <summary>Tell the export that its client begins.</summary>
    Begin,

    /// <summary>Send a PONG with <see cref="ConnectionVerdict.Sequence"/>.</summary>
    SendPong,

    /// <summary>Tell the export that its client gives the hold back.</summary>
    Goodbye,

    /// <summary>
    /// Send ERROR with the code unless it is none, close, tell the export if it knows the connection.
    /// </summary>
    Close,
}

/// <summary>Answer of a connection to an event.</summary>
/// <param name="Action">What to do next.</param>
/// <param name="Code">With Close: why; none when the peer ended it or is dead.</param>
/// <param name="Sequence">With SendPong: the number to send back.</param>
public readonly record struct ConnectionVerdict(
    ConnectionAction Action, RefusalCode Code = RefusalCode.None, ulong Sequence = 0);

/// <summary>What a server says of itself in HELLO.</summary>
/// <param name="BootId">Drawn at the start of the process, not 0 (S-20).</param>
/// <param name="Checksums">Bit k: kind k may be used.</param>
/// <param name="Software">Program and version.</param>
public sealed record ServerIdentity(ulong BootId, byte Checksums, WireText Software)
{
    /// <summary>Features of this code; DST/1 has none.</summary>
    public const ulong KnownFeatures = 0;
}

/// <summary>
/// One connection of the server from its first byte until it is live, and again from its goodbye on: order of frames
/// (S-01), limits before ATTACH (S-32), liveness (S-30). Touches nothing of any disk. Owned by the control thread; once
/// live, frames go to the lane on its engine thread. Allocates nothing after construction.
/// </summary>
public sealed class ServerConnection
{
    private readonly ServerIdentity _server;
    private readonly UInt128 _nonce;
    private readonly long _acceptedMs;
    private LaneTimers _timers;
    private HelloReply _reply;
    private AttachMessage _attach;
    private JoinMessage _join;

    /// <summary>A connection that was accepted now.</summary>
    /// <param name="server">What the server says of itself.</param>
    /// <param name="nonce">Random, new for this connection (N-40).</param>
    /// <param name="nowMs">Monotonic time.</param>
    public ServerConnection(ServerIdentity server, UInt128 nonce, long nowMs)
    {
        _server = server;
        _nonce = nonce;
        _acceptedMs = nowMs;
        _timers = new LaneTimers(pings: false, nowMs);
    }

    /// <summary>Where it stands.</summary>
    public ServerState State { get; private set; }

    /// <summary>Epoch of its session, from JOIN or from <see cref="OnGranted"/>; 0 when there is none.</summary>
    public ulong Epoch { get; private set; }

    /// <summary>
    /// With <see cref="ConnectionAction.Attach"/>: what was asked for; its checksum kind is one of HELLO.
    /// </summary>
    public ref readonly AttachMessage AttachRequest => ref _attach;

    /// <summary>With <see cref="ConnectionAction.Join"/>: what was shown.</summary>
    public ref readonly JoinMessage JoinRequest => ref _join;

    /// <summary>When <see cref="Tick"/> is to be called at the latest, monotonic time.</summary>
    public long NextMs => State switch
    {
        ServerState.New or ServerState.Greeted or ServerState.Joining => _acceptedMs + WireLimits.HandshakeMs,
        ServerState.Attaching or ServerState.Granted or ServerState.Beginning or ServerState.Leaving => _timers.NextMs,
        _ => long.MaxValue,
    };

    /// <summary>A frame whose header is valid came, with its whole body. Not while live.</summary>
    /// <param name="header">As <see cref="FrameCodec.TryRead"/> gave it.</param>
    /// <param name="body">Its body: at most <see cref="WireLimits.ControlBodyMaxBytes"/>.</param>
    /// <param name="nowMs">Monotonic time.</param>
    public ConnectionVerdict OnFrame(in FrameHeader header, ReadOnlySpan<byte> body, long nowMs)
    {
        Must.Be(State != ServerState.Live, "a frame of a live connection belongs to its lane");
        if (State == ServerState.Closed)
        {
            return default;
        }

        _timers.Received(nowMs);
        if (header.BodyBytes != body.Length || body.Length > WireLimits.ControlBodyMaxBytes)
        {
            return Close(RefusalCode.Protocol);
        }

        if (!FrameCodec.IsBodyIntact(in header, body))
        {
            return Close(header.Kind == FrameKind.Error ? RefusalCode.None : RefusalCode.Checksum);
        }

        return header.Kind switch
        {
            FrameKind.Error => Close(RefusalCode.None),
            FrameKind.Ping when State != ServerState.New =>
                new ConnectionVerdict(ConnectionAction.SendPong, Sequence: header.Sequence),
            FrameKind.Pong when State != ServerState.New => default,
            FrameKind.Hello when State == ServerState.New => OnHello(body),
            FrameKind.Attach when State == ServerState.Greeted => OnAttach(body),
            FrameKind.Join when State == ServerState.Greeted => OnJoin(header.Epoch, body),
            FrameKind.Begin when State == ServerState.Granted && header.Epoch == Epoch => OnBegin(),
            FrameKind.Goodbye => OnGoodbye(header.Epoch),
            _ => Close(RefusalCode.Protocol),
        };
    }

    /// <summary>
    /// A header came whose body is still on its way; refuses what need not be waited for, such as data before ATTACH
    /// (S-32).
    /// </summary>
    /// <param name="header">As <see cref="FrameCodec.TryRead"/> gave it.</param>
    public ConnectionVerdict OnHeader(in FrameHeader header) =>
        State != ServerState.Closed && header.BodyBytes > WireLimits.ControlBodyMaxBytes
            ? Close(RefusalCode.Protocol)
            : default;

    /// <summary>The bytes are no frame (N-30).</summary>
    /// <param name="error">Why.</param>
    public ConnectionVerdict OnMalformed(WireError error)
    {
        Must.Be(error != WireError.None, "a frame without a fault");
        return State == ServerState.Closed ? default : Close(RefusalCode.Protocol);
    }

    /// <summary>Any bytes came, frame or not (S-30).</summary>
    /// <param name="nowMs">Monotonic time.</param>
    public void OnBytes(long nowMs) => _timers.Received(nowMs);

    /// <summary>Bytes were handed to the socket (S-30).</summary>
    /// <param name="allTaken">False while some wait.</param>
    /// <param name="progressed">True when the socket took at least one.</param>
    /// <param name="nowMs">Monotonic time.</param>
    public void OnSent(bool allTaken, bool progressed, long nowMs) => _timers.Sent(allTaken, progressed, nowMs);

    /// <summary>Time passed.</summary>
    /// <param name="nowMs">Monotonic time.</param>
    public ConnectionVerdict Tick(long nowMs)
    {
        switch (State)
        {
            case ServerState.New:
            case ServerState.Greeted:
            case ServerState.Joining:
                // In all, not per byte (N-32).
                bool isOver = nowMs - _acceptedMs >= WireLimits.HandshakeMs
                    && !Mutations.Has(Mutation.HandshakeUnbounded);
                return isOver ? Close(RefusalCode.Timeout) : default;
            case ServerState.Attaching:
            case ServerState.Granted:
            case ServerState.Beginning:
            case ServerState.Leaving:
                // The drain has no deadline, but a client that is gone need not be kept (S-05).
                return _timers.Tick(nowMs) == LivenessAction.Dead ? Close(RefusalCode.None) : default;
            default:
                return default;
        }
    }

    /// <summary>Writes the HELLO that the verdict asked for.</summary>
    /// <param name="frame">At least <see cref="WireLimits.ControlFrameMaxBytes"/>.</param>
    public int WriteHello(Span<byte> frame) => MessageCodec.Write(in _reply, frame);

    /// <summary>ATTACH was granted. Without an epoch the connection is live at once.</summary>
    /// <param name="epoch">The epoch; 0 for a read-only session.</param>
    public void OnGranted(ulong epoch)
    {
        Must.Be(State == ServerState.Attaching, $"granted in state {State}");
        Epoch = epoch;
        State = epoch == 0 ? ServerState.Live : ServerState.Granted;
    }

    /// <summary>JOIN was granted: the connection is live.</summary>
    public void OnJoined()
    {
        Must.Be(State == ServerState.Joining, $"joined in state {State}");
        State = ServerState.Live;
    }

    /// <summary>The first use is noted: the connection is live.</summary>
    public void OnBegun()
    {
        Must.Be(State == ServerState.Beginning, $"begun in state {State}");
        State = ServerState.Live;
    }

    /// <summary>The lane handed a goodbye back, on its way to the export.</summary>
    /// <param name="nowMs">Monotonic time.</param>
    public void OnLeaving(long nowMs)
    {
        Must.Be(State == ServerState.Live, $"goodbye of a lane in state {State}");
        _timers.Received(nowMs);
        State = ServerState.Leaving;
    }

    /// <summary>The connection is gone, by whomever.</summary>
    public void OnClosed() => State = ServerState.Closed;

    private ConnectionVerdict OnHello(ReadOnlySpan<byte> body)
    {
        WireError error = MessageCodec.TryRead(body, out HelloMessage hello);
        if (error != WireError.None)
        {
            return Close(CodeOf(error));
        }

        if (hello.VersionMin > WireLimits.VersionMax || hello.VersionMax < WireLimits.VersionMin)
        {
            return Close(RefusalCode.Version);
        }

        byte checksums = (byte)(hello.Checksums & _server.Checksums);
        if ((hello.FeaturesRequired & ~ServerIdentity.KnownFeatures) != 0 || checksums == 0)
        {
            return Close(RefusalCode.Feature);
        }

        _reply = new HelloReply
        {
            Version = ushort.Min(hello.VersionMax, WireLimits.VersionMax),
            Features = (hello.FeaturesRequired | hello.FeaturesOptional) & ServerIdentity.KnownFeatures,
            Nonce = _nonce,
            Checksums = checksums,
            BootId = _server.BootId,
            Software = _server.Software,
        };
        State = ServerState.Greeted;
        return new ConnectionVerdict(ConnectionAction.SendHello);
    }

    private ConnectionVerdict OnAttach(ReadOnlySpan<byte> body)
    {
        WireError error = MessageCodec.TryRead(body, out _attach);
        if (error != WireError.None)
        {
            return Close(CodeOf(error));
        }

        if (_attach.Challenge != _nonce)
        {
            return Close(RefusalCode.Protocol);
        }

        if ((_reply.Checksums >> (int)_attach.Checksum & 1) == 0)
        {
            return Close(RefusalCode.Feature);
        }

        State = ServerState.Attaching;
        return new ConnectionVerdict(ConnectionAction.Attach);
    }

    private ConnectionVerdict OnJoin(ulong epoch, ReadOnlySpan<byte> body)
    {
        WireError error = MessageCodec.TryRead(body, out _join);
        if (error != WireError.None)
        {
            return Close(CodeOf(error));
        }

        if (_join.Challenge != _nonce)
        {
            return Close(RefusalCode.Protocol);
        }

        Epoch = epoch;
        State = ServerState.Joining;
        return new ConnectionVerdict(ConnectionAction.Join);
    }

    private ConnectionVerdict OnBegin()
    {
        State = ServerState.Beginning;
        return new ConnectionVerdict(ConnectionAction.Begin);
    }

    private ConnectionVerdict OnGoodbye(ulong epoch)
    {
        switch (State)
        {
            case ServerState.Greeted:
            case ServerState.Attaching:
            case ServerState.Joining:
                return Close(RefusalCode.None);
            case ServerState.Granted when epoch == Epoch:
                State = ServerState.Leaving;
                return new ConnectionVerdict(ConnectionAction.Goodbye);
            default:
                return Close(RefusalCode.Protocol);
        }
    }

    private ConnectionVerdict Close(RefusalCode code)
    {
        State = ServerState.Closed;
        return new ConnectionVerdict(ConnectionAction.Close, code);
    }

    private static RefusalCode CodeOf(WireError error) =>
        error == WireError.TlvUnknown ? RefusalCode.Feature : RefusalCode.Protocol;
}
