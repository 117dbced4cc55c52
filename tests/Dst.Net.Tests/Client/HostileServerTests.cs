using System.Collections.Concurrent;
using Dst.Core.Requests;
using Dst.Core.Wire;
using Dst.Net.Client;

namespace Dst.Net.Tests.Client;

/// <summary>
/// Servers that do not play by the rules: nothing foreign is believed, no buffer is touched, the node goes on (S-14).
/// </summary>
public sealed class HostileServerTests
{
    public static TheoryData<string> BadReplies =>
        [
            "slot", "slot far", "sequence ahead", "epoch", "offset", "length", "operation", "body",
            "magic", "unknown kind", "begin_ok",
        ];

    [Theory]
    [MemberData(nameof(BadReplies))]
    public void A_reply_to_nothing_that_was_asked_ends_the_connection_and_completes_nothing(string what)
    {
        using FakeServer server = new();
        using World world = new(server);
        TestQueue.Job job = world.Queue.BeginWrite(4096, NetworkNodeTests.Bytes(512, 1));
        FrameHeader reply = world.Peer.ReceiveRequestReply();
        byte[] frame = new byte[WireLimits.HeaderBytes];
        switch (what)
        {
            case "slot": reply.Slot += 9; break;
            case "slot far": reply.Slot = 4095; break;
            case "sequence ahead": reply.Sequence++; break;
            case "epoch": reply.Epoch++; break;
            case "offset": reply.OffsetBytes += 512; break;
            case "length": reply.LengthBytes += 512; break;
            case "operation": reply.Operation = Operation.WriteZeroes; break;
            case "body": reply.Operation = Operation.Read; reply.BodyBytes = 8 + 512; break;
            default: break;
        }

        FrameCodec.Write(in reply, frame);
        switch (what)
        {
            case "magic": frame[0]++; break;
            case "unknown kind": frame[4] = 77; Seal(frame); break;
            case "begin_ok": MessageCodec.WritePlain(FrameKind.BeginOk, world.Peer.Epoch, 0, frame); break;
            default: break;
        }

        world.Peer.Send(frame);
        world.Peer.ExpectEnd();
        Assert.False(job.Ends(0), $"{what}: a request was completed");
        world.GoOn();
        Assert.True(job.Ends(30_000), $"{what}: a request does not end");
        Assert.Equal(DstStatus.Ok, job.Status);
        Assert.Equal(2, world.Seen.Count(seen => seen.Sequence == 1));
    }

    [Theory]
    [InlineData(1, DstStatus.Ok)]
    [InlineData(2, DstStatus.ProtectionError)]
    public void A_write_that_arrives_damaged_is_sent_again_and_the_second_time_ends(int times, DstStatus expected)
    {
        using FakeServer server = new();
        using World world = new(server);
        byte[] data = NetworkNodeTests.Bytes(4096, 3);
        TestQueue.Job job = world.Queue.BeginWrite(4096, data);
        byte[] frame = new byte[WireLimits.ControlFrameMaxBytes];
        for (int i = 0; i < times; i++)
        {
            FrameHeader request = world.Peer.ReceiveRequestReply();
            ErrorMessage message = new() { Slot = request.Slot, Sequence = request.Sequence };
            world.Peer.Send(frame.AsSpan(0, MessageCodec.Write(RefusalCode.Checksum, in message, frame)));
            world.Peer.ExpectEnd();
            Assert.False(i + 1 < times && job.Ends(0), "a write ends the first time");
            world.Reconnect();
        }

        if (expected == DstStatus.Ok)
        {
            FrameHeader reply = world.Peer.ReceiveRequestReply();
            world.Peer.SendHeader(in reply);
        }

        Assert.True(job.Ends(30_000), "a write does not end");
        Assert.Equal(expected, job.Status);
        TestServer.Eventually(() => world.Node.Status.BadReplies == times, "counted");
    }

    [Fact]
    public void An_answer_to_a_request_that_is_not_wholly_sent_ends_the_connection()
    {
        using FakeServer server = new();
        using World world = new(server);
        TestQueue.Job[] jobs =
        [
            .. Enumerable.Range(0, TestQueue.Depth).Select(i =>
                world.Queue.BeginWrite((long)i << 20, NetworkNodeTests.Bytes(1 << 20, i))),
        ];
        FrameHeader first = world.Peer.ReceiveHeader();
        TestServer.Eventually(() => world.Node.Status.InFlight == TestQueue.Depth, "all requests are in flight");
        Thread.Sleep(200);

        // All requests are alike but for slot and place: the last one's reply is easy to guess.
        FrameHeader guess = FakePeer.ReplyTo(in first);
        for (int i = 0; i < TestQueue.Depth; i++)
        {
            guess.Slot = (ushort)((TestQueue.Depth - 1 - i) % 48);
            guess.OffsetBytes = (ulong)(TestQueue.Depth - 1 - i) << 20;
            guess.Sequence = 1;
            world.Peer.TrySendHeader(in guess);
        }

        world.GoOn();
        Assert.All(jobs, job => Assert.True(job.Ends(30_000) && job.Status == DstStatus.Ok, "a request does not end"));
        Assert.Equal(TestQueue.Depth, world.Seen.Select(seen => seen.OffsetBytes).Distinct().Count());
        Assert.Equal(0, world.BadBodies);
    }

    [Fact]
    public void A_double_reply_is_borne()
    {
        using FakeServer server = new();
        using World world = new(server);
        for (int i = 0; i < 20; i++)
        {
            TestQueue.Job job = world.Queue.BeginWrite(0, NetworkNodeTests.Bytes(512, 1));
            FrameHeader reply = world.Peer.ReceiveRequestReply();
            world.Peer.SendHeader(in reply);
            world.Peer.SendHeader(in reply);
            Assert.True(job.Ends(30_000) && job.Status == DstStatus.Ok, "a request does not end");
        }

        Assert.Equal(0, world.Node.Status.Reconnects);
    }

    [Theory]
    [InlineData(1, DstStatus.Ok)]
    [InlineData(2, DstStatus.ProtectionError)]
    public void Wrong_data_is_asked_for_again_once(int times, DstStatus expected)
    {
        using FakeServer server = new();
        using World world = new(server);
        byte[] data = NetworkNodeTests.Bytes(128 * 1024, 7);
        TestQueue.Job job = world.Queue.BeginRead(data.Length);
        for (int i = 0; i < times; i++)
        {
            FrameHeader request = world.Peer.Receive();
            world.Peer.SendData(in request, data, damaged: true);
            world.Peer.ExpectEnd();
            world.Reconnect();
        }

        if (expected == DstStatus.Ok)
        {
            FrameHeader request = world.Peer.Receive();
            world.Peer.SendData(in request, data);
        }

        Assert.True(job.Ends(30_000), "a request does not end");
        Assert.Equal(expected, job.Status);
        Assert.True(expected != DstStatus.Ok || job.Data.AsSpan().SequenceEqual(data));
    }

    [Fact]
    public void A_reply_cut_anywhere_in_its_data_is_asked_for_again()
    {
        using FakeServer server = new();
        using World world = new(server);
        byte[] data = NetworkNodeTests.Bytes(192 * 1024, 8);
        TestQueue.Job job = world.Queue.BeginRead(data.Length);
        foreach (int cut in new[] { 1, 63, 64, 65, 80, 88, 89, 70_000, 140_000, 196_695 })
        {
            FrameHeader request = world.Peer.Receive();
            FrameHeader reply = FakePeer.ReplyTo(in request);
            reply.BodyBytes = (uint)DataChecksum.BodyBytes(ChecksumKind.Xxh3, data.Length);
            byte[] whole = new byte[WireLimits.HeaderBytes + reply.BodyBytes];
            FrameCodec.Write(in reply, whole);
            Array.Fill(whole, (byte)0xee, WireLimits.HeaderBytes, (int)reply.BodyBytes);
            world.Peer.Send(whole.AsSpan(0, cut));
            world.Peer.Socket.Shutdown(System.Net.Sockets.SocketShutdown.Send);
            world.Peer.ExpectEnd();
            world.Reconnect();
        }

        FrameHeader last = world.Peer.Receive();
        world.Peer.SendData(in last, data);
        Assert.True(job.Ends(30_000) && job.Status == DstStatus.Ok, "a request does not end");
        Assert.Equal(data, job.Data);
    }

    private static void Seal(byte[] frame) =>
        BitConverter.TryWriteBytes(frame.AsSpan(60), FrameCodec.ChecksumOf(frame));

    /// <summary>A node with one queue on one connection of a fake server.</summary>
    private sealed class World : IDisposable
    {
        private readonly FakeServer _server;
        private Task? _serving;
        private int _badBodies;

        public World(FakeServer server)
        {
            _server = server;
            Task<FakePeer> peer = server.AcceptLiveSoon();
            Node = TestNode.Open(TestNode.Tcp(server.Port), pauseMaxMs: 100);
            Peer = peer.Result;
            Queue = TestQueue.Start(1, Node)[0];
        }

        public NetworkNode Node { get; }

        public FakePeer Peer { get; private set; }

        public TestQueue Queue { get; }

        public ConcurrentQueue<FrameHeader> Seen { get; } = new();

        public int BadBodies => Volatile.Read(ref _badBodies);

        public void Reconnect()
        {
            Peer.Dispose();
            Peer = _server.AcceptLive();
        }

        /// <summary>From here on every connection is served as it should be.</summary>
        public void GoOn()
        {
            Seen.Enqueue(new FrameHeader { Sequence = 1, OffsetBytes = 0 });
            _serving = Task.Factory.StartNew(
                Serve, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        }

        public void Dispose()
        {
            Queue.Dispose();
            Node.Dispose();
            Peer.Dispose();
            _serving?.Wait(30_000);
        }

        private void Serve()
        {
            Reconnect();
            Peer.ServeRight((header, body) =>
            {
                Seen.Enqueue(header);
                int tableBytes = body.Length - (int)header.LengthBytes;
                Span<byte> table = body.AsSpan(0, int.Max(tableBytes, 0));
                Span<byte> data = body.AsSpan(table.Length);
                if (header.Operation == Operation.Write
                    && DataChecksum.FindMismatch(ChecksumKind.Xxh3, data, table) >= 0)
                {
                    Interlocked.Increment(ref _badBodies);
                }
            });
        }
    }
}

/// <summary>What only these tests ask of a peer.</summary>
internal static class FakePeerExtensions
{
    /// <summary>Receives a request; gives the right reply to it.</summary>
    public static FrameHeader ReceiveRequestReply(this FakePeer peer)
    {
        FrameHeader request = peer.Receive();
        while (request.Kind == FrameKind.Pong)
        {
            request = peer.Receive();
        }

        Assert.Equal(FrameKind.Request, request.Kind);
        return FakePeer.ReplyTo(in request);
    }

    /// <summary>Sends what may find nobody there.</summary>
    public static void TrySendHeader(this FakePeer peer, in FrameHeader header)
    {
        try
        {
            peer.SendHeader(in header);
        }
        catch (System.Net.Sockets.SocketException)
        {
            // The client has closed, as it should.
        }
    }

    /// <summary>Waits until the client has closed.</summary>
    public static void ExpectEnd(this FakePeer peer)
    {
        byte[] bytes = new byte[64 * 1024];
        try
        {
            while (peer.Socket.Receive(bytes) > 0)
            {
                // PINGs and the rest of requests.
            }
        }
        catch (System.Net.Sockets.SocketException e)
        {
            Assert.NotEqual(System.Net.Sockets.SocketError.TimedOut, e.SocketErrorCode);
        }
    }
}
