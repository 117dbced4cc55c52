using Dst.Core.Sessions;
using Dst.Core.Tests.Wire;
using Dst.Core.Wire;
using Xunit;

namespace Dst.Core.Tests.Sessions;

public sealed class ServerConnectionTests
{
    private const byte AllChecksums = 7;
    private static readonly ServerIdentity Server = new(10, AllChecksums, new WireText("dst-server"));

    private static ServerConnection New() => new(Server, Samples.ServerNonce, 0);

    private static ConnectionVerdict Give(ServerConnection connection, byte[] frame, long nowMs = 0)
    {
        Assert.Equal(WireError.None, FrameCodec.TryRead(frame, out FrameHeader header));
        return connection.OnFrame(in header, frame.AsSpan(WireLimits.HeaderBytes), nowMs);
    }

    private static byte[] Hello(Func<HelloMessage, HelloMessage>? change = null)
    {
        HelloMessage hello = change is null ? Samples.Hello : change(Samples.Hello);
        return Samples.Make(frame => MessageCodec.Write(in hello, frame));
    }

    private static byte[] Attach(Func<AttachMessage, AttachMessage>? change = null)
    {
        AttachMessage attach = change is null ? Samples.Attach : change(Samples.Attach);
        return Samples.Make(frame => MessageCodec.Write(in attach, frame));
    }

    private static ServerConnection In(ServerState state)
    {
        ServerConnection connection = New();
        if (state == ServerState.New)
        {
            return connection;
        }

        Give(connection, Hello());
        if (state == ServerState.Joining)
        {
            Give(connection, Samples.Frames().Single(f => f.Name == "JOIN").Bytes);
        }
        else if (state != ServerState.Greeted)
        {
            Give(connection, Attach());
        }

        if (state is ServerState.Granted or ServerState.Beginning or ServerState.Leaving)
        {
            connection.OnGranted(7);
        }

        if (state == ServerState.Beginning)
        {
            Give(connection, Samples.Make(frame => MessageCodec.WritePlain(FrameKind.Begin, 7, 0, frame)));
        }
        else if (state == ServerState.Leaving)
        {
            Give(connection, Samples.Make(frame => MessageCodec.WritePlain(FrameKind.Goodbye, 7, 0, frame)));
        }
        else if (state == ServerState.Closed)
        {
            connection.OnClosed();
        }

        Assert.Equal(state, connection.State);
        return connection;
    }

    private static string Expected(ServerState state, FrameKind kind)
    {
        if (state == ServerState.Closed)
        {
            return "None None";
        }

        bool isNew = state == ServerState.New;
        return (state, kind) switch
        {
            (_, FrameKind.Error) => "Close None",
            (_, FrameKind.Ping) when !isNew => "SendPong None",
            (_, FrameKind.Pong) when !isNew => "None None",
            (ServerState.New, FrameKind.Hello) => "SendHello None",
            (ServerState.Greeted, FrameKind.Attach) => "Attach None",
            (ServerState.Greeted, FrameKind.Join) => "Join None",
            (ServerState.Granted, FrameKind.Begin) => "Begin None",
            (ServerState.Granted, FrameKind.Goodbye) => "Goodbye None",
            (ServerState.Greeted or ServerState.Attaching or ServerState.Joining, FrameKind.Goodbye) => "Close None",
            _ => "Close Protocol",
        };
    }

    /// <summary>S-01: every (state, message) pair; Live belongs to the lane and is in ServerLaneTests.</summary>
    [Fact]
    public void Every_pair_of_state_and_frame_has_its_answer()
    {
        foreach (ServerState state in Enum.GetValues<ServerState>().Where(s => s != ServerState.Live))
        {
            foreach ((string name, byte[] bytes) in Samples.Frames().Where(f => f.Name != "HELLO of a server"))
            {
                ServerConnection connection = In(state);
                FrameCodec.TryRead(bytes, out FrameHeader header);
                ConnectionVerdict verdict = Give(connection, bytes);
                Assert.Equal(
                    (state, name, Expected(state, header.Kind)), (state, name, $"{verdict.Action} {verdict.Code}"));
                Assert.Equal(verdict.Action == ConnectionAction.Close || state == ServerState.Closed,
                    connection.State == ServerState.Closed);
            }
        }

        Assert.All(
            Enum.GetValues<FrameKind>().Where(kind => kind != FrameKind.None),
            kind => Assert.Contains(Samples.Frames(), f => f.Bytes[4] == (byte)kind));
    }

    [Fact]
    public void Hello_is_answered_with_what_both_have()
    {
        ServerConnection connection = New();
        byte[] hello = Hello(h => h with { VersionMax = 9, Checksums = 0xF2, FeaturesOptional = 5 });
        Assert.Equal(ConnectionAction.SendHello, Give(connection, hello).Action);
        byte[] frame = new byte[WireLimits.ControlFrameMaxBytes];
        int length = connection.WriteHello(frame);
        Assert.Equal(WireError.None, MessageCodec.TryRead(frame.AsSpan(64, length - 64), out HelloReply reply));
        Assert.Equal((1, 0UL, 2, 10UL), (reply.Version, reply.Features, reply.Checksums, reply.BootId));
        Assert.Equal(Samples.ServerNonce, reply.Nonce);
        byte[] attach = Attach(a => a with { Checksum = ChecksumKind.Xxh3 });
        Assert.Equal(new ConnectionVerdict(ConnectionAction.Close, RefusalCode.Feature), Give(connection, attach));
    }

    [Fact]
    public void A_client_that_asks_too_much_is_refused()
    {
        Assert.Equal(RefusalCode.Version, Give(New(), Hello(h => h with { VersionMin = 2, VersionMax = 3 })).Code);
        Assert.Equal(RefusalCode.Feature, Give(New(), Hello(h => h with { FeaturesRequired = 1 })).Code);
        Assert.Equal(RefusalCode.Feature, Give(New(), Hello(h => h with { Checksums = 8 })).Code);
        byte[] unknown = [.. Hello(), 0x3B, 0, 0, 0];
        FrameCodec.TryRead(unknown, out FrameHeader header);
        header.BodyBytes += 4;
        header.BodyChecksum = DataChecksum.Crc32C(unknown.AsSpan(WireLimits.HeaderBytes));
        FrameCodec.Write(in header, unknown);
        Assert.Equal(RefusalCode.Feature, Give(New(), unknown).Code);
    }

    /// <summary>N-40: what was recorded on another connection opens nothing.</summary>
    [Fact]
    public void A_foreign_challenge_is_refused()
    {
        ServerConnection connection = In(ServerState.Greeted);
        Assert.Equal(RefusalCode.Protocol, Give(connection, Attach(a => a with { Challenge = 5 })).Code);
        connection = new ServerConnection(Server, 99, 0);
        Give(connection, Hello());
        Assert.Equal(RefusalCode.Protocol, Give(connection, Samples.Frames().Single(f => f.Name == "JOIN").Bytes).Code);
    }

    [Fact]
    public void Begin_and_goodbye_name_their_epoch()
    {
        foreach (FrameKind kind in (FrameKind[])[FrameKind.Begin, FrameKind.Goodbye])
        {
            byte[] frame = Samples.Make(bytes => MessageCodec.WritePlain(kind, 8, 0, bytes));
            Assert.Equal(RefusalCode.Protocol, Give(In(ServerState.Granted), frame).Code);
        }
    }

    /// <summary>S-32: ten seconds in all, whatever trickles in.</summary>
    [Theory]
    [InlineData(ServerState.New)]
    [InlineData(ServerState.Greeted)]
    [InlineData(ServerState.Joining)]
    public void The_handshake_is_bounded(ServerState state)
    {
        ServerConnection connection = In(state);
        for (long nowMs = 0; nowMs < WireLimits.HandshakeMs; nowMs += 500)
        {
            connection.OnBytes(nowMs);
            Assert.Equal(default, connection.Tick(nowMs));
        }

        Assert.Equal(WireLimits.HandshakeMs, connection.NextMs);
        Assert.Equal(RefusalCode.Timeout, connection.Tick(WireLimits.HandshakeMs).Code);
        Assert.Equal(ServerState.Closed, connection.State);
    }

    /// <summary>S-05, S-30: the drain has no deadline, but a silent client has.</summary>
    [Theory]
    [InlineData(ServerState.Attaching)]
    [InlineData(ServerState.Granted)]
    [InlineData(ServerState.Beginning)]
    [InlineData(ServerState.Leaving)]
    public void A_silent_client_is_dead_and_a_speaking_one_waits_for_ever(ServerState state)
    {
        ServerConnection connection = In(state);
        long nowMs = 0;
        for (; nowMs < 60_000; nowMs += 1000)
        {
            byte[] ping = Samples.Frames().Single(f => f.Name == "PING").Bytes;
            Assert.Equal(ConnectionAction.SendPong, Give(connection, ping, nowMs).Action);
            Assert.Equal(default, connection.Tick(nowMs));
        }

        nowMs -= 1000;
        Assert.Equal(nowMs + WireLimits.SilenceMs, connection.NextMs);
        Assert.Equal(default, connection.Tick(nowMs + WireLimits.SilenceMs - 1));
        Assert.Equal(ConnectionAction.Close, connection.Tick(nowMs + WireLimits.SilenceMs).Action);
    }

    /// <summary>S-32: no data before ATTACH.</summary>
    [Fact]
    public void A_long_body_is_refused_before_it_comes()
    {
        byte[] bytes = new byte[WireLimits.HeaderBytes];
        FrameHeader header = Samples.Request(Requests.Operation.Write, 0, 8192, 8192);
        FrameCodec.Write(in header, bytes);
        Assert.Equal(RefusalCode.Protocol, In(ServerState.Greeted).OnHeader(in header).Code);
        header.BodyBytes = WireLimits.ControlBodyMaxBytes;
        Assert.Equal(default, In(ServerState.Greeted).OnHeader(in header));
        Assert.Equal(RefusalCode.Protocol, New().OnMalformed(WireError.Magic).Code);
        Assert.Equal(default, In(ServerState.Closed).OnMalformed(WireError.Magic));
    }

    /// <summary>S-32: the oldest makes room.</summary>
    [Fact]
    public void There_is_room_for_64_unattached_connections()
    {
        HandshakeRoom room = new();
        for (int i = 0; i < WireLimits.UnattachedMax; i++)
        {
            Assert.Equal(-1, room.Enter(i));
        }

        room.Leave(0);
        room.Leave(1000);
        Assert.Equal(-1, room.Enter(64));
        Assert.Equal(1, room.Enter(65));
        Assert.Equal(2, room.Enter(66));
        Assert.Equal(WireLimits.UnattachedMax, room.Count);
    }

    /// <summary>S-30: pings, silence, and a send that makes no progress.</summary>
    [Fact]
    public void Timers_of_a_live_connection()
    {
        LaneTimers timers = new(pings: true, 0);
        Assert.Equal(1000, timers.NextMs);
        Assert.Equal(LivenessAction.None, timers.Tick(999));
        Assert.Equal(LivenessAction.SendPing, timers.Tick(1000));
        Assert.Equal(LivenessAction.None, timers.Tick(1999));
        timers.Received(4000);
        timers.Sent(allTaken: false, progressed: true, 4000);
        Assert.Equal(LivenessAction.None, timers.Tick(8999));
        Assert.Equal(LivenessAction.Dead, timers.Tick(9000));
        timers.Received(13_000);
        timers.Sent(allTaken: false, progressed: false, 13_000);
        Assert.Equal(LivenessAction.None, timers.Tick(13_999));
        Assert.Equal(LivenessAction.Dead, timers.Tick(14_000));
        timers.Sent(allTaken: true, progressed: true, 14_000);
        Assert.Equal(LivenessAction.SendPing, timers.Tick(15_000));
    }
}
