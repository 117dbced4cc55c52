using System.Buffers.Binary;
using System.Net.Sockets;
using Dst.Core.Requests;
using Dst.Core.Sessions.Client;
using Dst.Core.Wire;
using Dst.Net.Client;
using Dst.Net.Server;
using Dst.Net.Tests.Client;

namespace Dst.Net.Tests.Fuzz;

/// <summary>
/// Conversations that begin well and go wrong, with live servers and live clients. Nothing ends but the one connection;
/// a well-behaved client beside them goes on (S-01, S-14, N-30). DST_FUZZ_RUNS / 1000 conversations.
/// </summary>
public sealed class StreamFuzzTests
{
    private const string Victim = "disk2";
    private const int TimeoutMs = 30_000;

    private static readonly int Conversations = int.Max(Counts.Of("DST_FUZZ_RUNS", 100_000) / 1_000, 10);

    [Fact]
    public void Broken_clients_hurt_nobody_else()
    {
        using TestServer server = new(256 << 20, new MemoryHolds());
        server.Add("mem:1M", TestNode.Roomy(server));
        server.Add("mem:1M", server.Settings(Victim) with { MemoryBytes = 64 << 20 });
        using NetworkNode good = TestNode.Open(TestNode.Unix(server));
        using TestQueue queue = TestQueue.Start(1, good)[0];
        Mutator mutator = new((ulong)Counts.Of("DST_FUZZ_SEED", 1) * 0x9E3779B97F4A7C15);
        int live = 0;
        for (int i = 0; i < Conversations; i++)
        {
            live += Converse(server, mutator, (ulong)i + 1) ? 1 : 0;
            byte[] data = NetworkNodeTests.Bytes(4096, i);
            Assert.Equal(DstStatus.Ok, queue.Write(0, data));
            Assert.Equal(data, queue.Read(0, data.Length));
        }

        Assert.True(live > Conversations / 20, $"only {live} of {Conversations} came to requests");
        Assert.Equal(0, good.Status.Reconnects);
        TestServer.Eventually(() => server.Host.Status().Connections == 1, "the others are gone");
        server.Host.ReleaseHold(Victim, TimeoutMs);
        using ScriptedClient after = ScriptedClient.Live(
            server.EndPoint, Victim, with: client => client.Incarnation = ulong.MaxValue);
        Assert.Equal(DstStatus.Ok, after.Write(0, 1, 0, new byte[512]));
    }

    [Fact]
    public void Broken_servers_hurt_no_node_beside()
    {
        using TestServer server = new(holds: new MemoryHolds());
        server.Add("mem:1M");
        using NetworkNode good = TestNode.Open(TestNode.Unix(server));
        using TestQueue queue = TestQueue.Start(1, good)[0];
        Mutator mutator = new((ulong)Counts.Of("DST_FUZZ_SEED", 1) * 0x9E3779B97F4A7C15);
        using Prey prey = new(mutator);
        for (int i = 0; i < Conversations; i++)
        {
            prey.Converse();
            byte[] data = NetworkNodeTests.Bytes(4096, i);
            Assert.Equal(DstStatus.Ok, queue.Write(0, data));
            Assert.Equal(data, queue.Read(0, data.Length));
        }

        prey.IsWell();
        Assert.Equal(0, good.Status.Reconnects);
    }

    /// <summary>True when requests were sent on a live session.</summary>
    private static bool Converse(TestServer server, Mutator mutator, ulong incarnation)
    {
        int stage = mutator.Next(6);
        using ScriptedClient client = ScriptedClient.Connect(server.EndPoint);
        client.Checksum = (ChecksumKind)mutator.Next(3);

        // Each counts its requests anew.
        client.Incarnation = incarnation;
        try
        {
            return Speak(server, client, mutator, stage);
        }
        catch (Exception e) when (e is SocketException or EndOfStreamException)
        {
            // Refused while still sending.
            return false;
        }
    }

    private static bool Speak(TestServer server, ScriptedClient client, Mutator mutator, int stage)
    {
        if (stage == 0)
        {
            HelloMessage hello = new() { VersionMin = 1, VersionMax = 1, Nonce = 5, Checksums = 7 };
            SendBroken(client, mutator, [Frame(frame => MessageCodec.Write(in hello, frame))]);
            ReadToEnd(client);
            return false;
        }

        client.Greet();
        ExportStatus export = server.Host.Status().Exports.Single(export => export.Name == Victim);
        AttachMessage attach = client.AttachOf(Victim, export.UsedEpoch);
        attach.TakeOver = export.UsedEpoch != 0;
        if (stage == 1)
        {
            JoinMessage join = new()
            {
                Challenge = client.Hello.Nonce,
                Export = attach.Export,
                Token = 1,
                Connection = 1,
            };
            SendBroken(
                client,
                mutator,
                [
                    Frame(frame => MessageCodec.Write(in attach, frame)),
                    Frame(frame => MessageCodec.Write(export.UsedEpoch + 1, in join, frame)),
                    Frame(frame => MessageCodec.WritePlain(FrameKind.Begin, export.UsedEpoch + 1, 0, frame)),
                ]);
            ReadToEnd(client);
            return false;
        }

        client.SendAttach(in attach);
        if (client.ReceiveGrant().Kind != FrameKind.AttachOk)
        {
            server.Host.ReleaseHold(Victim, TimeoutMs);
            return false;
        }

        client.Begin();
        SendBroken(client, mutator, Requests(client, mutator));
        if (mutator.Next(4) != 0)
        {
            ReadToEnd(client);
        }

        return true;
    }

    private static List<byte[]> Requests(ScriptedClient client, Mutator mutator)
    {
        List<byte[]> frames = [];
        int count = 1 + mutator.Next(12);
        for (ushort slot = 0; slot < count; slot++)
        {
            long offset = mutator.Next(64) * 4096;
            Operation operation = (Operation)mutator.Next((int)Operation.WriteZeroes + 1);
            if (operation == Operation.Write)
            {
                frames.Add(client.WriteFrame(slot, 1, offset, new byte[512 << mutator.Next(5)]));
                continue;
            }

            int length = operation == Operation.Flush ? 0 : 4096;
            FrameHeader header = client.Request(operation, slot, 1, length == 0 ? 0 : offset, length);
            frames.Add(Frame(frame => Write(in header, frame)));
        }

        ulong epoch = client.Epoch;
        frames.Add(Frame(frame => MessageCodec.WritePlain(FrameKind.Ping, 0, 3, frame)));
        if (mutator.Next(8) == 0)
        {
            frames.Add(Frame(frame => MessageCodec.WritePlain(FrameKind.Goodbye, epoch, 0, frame)));
        }

        return frames;
    }

    /// <summary>Frames changed, doubled, left out, in another order, checksums right or not.</summary>
    private static void SendBroken(ScriptedClient client, Mutator mutator, List<byte[]> frames)
    {
        List<byte> stream = [];
        for (int i = 0; i < frames.Count; i++)
        {
            byte[] frame = frames[mutator.Next(8) == 0 ? mutator.Next(frames.Count) : i];
            stream.AddRange(Break(frame, frames[mutator.Next(frames.Count)], mutator));
        }

        client.Send(stream.ToArray());
    }

    private static byte[] Break(byte[] frame, byte[] other, Mutator mutator)
    {
        switch (mutator.Next(4))
        {
            case 0:
                return mutator.Mutate(frame, other, Fuzzer.MaxBytes);
            case 1:
                // Only the header, so that what follows it still fits.
                int header = int.Min(frame.Length, WireLimits.HeaderBytes);
                byte[] changed = mutator.Mutate(frame.AsSpan(0, header), other, header);
                Array.Resize(ref changed, header);
                return ParserFuzzTests.SealHeader([.. changed, .. frame[header..]]);
            case 2:
                byte[] sized = mutator.Mutate(frame, other, Fuzzer.MaxBytes);
                if (sized.Length >= WireLimits.HeaderBytes)
                {
                    BinaryPrimitives.WriteInt32LittleEndian(sized.AsSpan(28), sized.Length - WireLimits.HeaderBytes);
                }

                return ParserFuzzTests.SealHeader(sized);
            default:
                return frame;
        }
    }

    /// <summary>The server ends a connection whose client has said all; it does not leave it open.</summary>
    private static void ReadToEnd(ScriptedClient client)
    {
        client.Socket.Shutdown(SocketShutdown.Send);
        byte[] bytes = new byte[64 * 1024];
        while (client.Socket.Receive(bytes) > 0)
        {
            // Replies, an ERROR, or what came before it.
        }
    }

    private static byte[] Frame(Func<byte[], int> write)
    {
        byte[] frame = new byte[WireLimits.ControlFrameMaxBytes];
        return frame[..write(frame)];
    }

    private static int Write(in FrameHeader header, byte[] frame)
    {
        FrameCodec.Write(in header, frame);
        return WireLimits.HeaderBytes;
    }

    /// <summary>A node whose server breaks in the middle of what it says.</summary>
    private sealed class Prey : IDisposable
    {
        private const int Length = 4096;
        private const int MoreTimeoutMs = 200;

        private readonly Mutator _mutator;
        private readonly FakeServer _server = new();
        private readonly byte[] _data = NetworkNodeTests.Bytes(Length, 1);
        private NetworkNode? _node;
        private TestQueue? _queue;

        public Prey(Mutator mutator) => _mutator = mutator;

        public void Converse()
        {
            if (_node is null || _node.Status.Phase == ClientNodePhase.Failed)
            {
                Renew();
            }

            TestQueue.Job[] jobs =
            [
                _queue!.BeginRead(Length),
                _queue.BeginWrite(Length, _data),
                _queue.Begin(new Request(Operation.Flush, RequestFlags.None, 0, 0)),
                _queue.BeginRead(Length),
            ];
            try
            {
                using FakePeer peer = _server.AcceptLive();
                Answer(peer);
            }
            catch (Exception e) when (e is SocketException or EndOfStreamException)
            {
                // The node has had enough.
            }

            if (_node!.Status.Phase != ClientNodePhase.Failed)
            {
                using FakePeer peer = _server.AcceptLive();
                Task right = Task.Run(() => peer.ServeRight((_, _) => { }, _data));
                Assert.All(jobs, job => Assert.True(job.Ends(TimeoutMs), $"a request does not end: {_node.Status}"));
                peer.Dispose();
                right.Wait(TimeoutMs);
            }

            foreach (TestQueue.Job job in jobs)
            {
                Assert.True(job.Ends(TimeoutMs), "a request does not end");
                bool read = job.Request.Operation == Operation.Read && job.Status == DstStatus.Ok;
                Assert.True(!read || job.Data.AsSpan().SequenceEqual(_data), "a read took what it should not");
            }
        }

        public void IsWell()
        {
            if (_node!.Status.Phase == ClientNodePhase.Failed)
            {
                Renew();
            }

            TestQueue.Job job = _queue!.BeginRead(Length);
            using FakePeer peer = _server.AcceptLive();
            Task right = Task.Run(() => peer.ServeRight((_, _) => { }, _data));
            Assert.True(job.Ends(TimeoutMs) && job.Status == DstStatus.Ok, "the node is not well");
            Assert.Equal(_data, job.Data);
            peer.Dispose();
            right.Wait(TimeoutMs);
        }

        public void Dispose()
        {
            _node?.Fail();
            _queue?.Dispose();
            _node?.Dispose();
            _server.Dispose();
        }

        private void Renew()
        {
            _queue?.Dispose();
            _node?.Dispose();
            Task<FakePeer> peer = _server.AcceptLiveSoon();
            _node = TestNode.Open(TestNode.Tcp(_server.Port), pauseMaxMs: 0);
            peer.Result.Dispose();
            _queue = TestQueue.Start(1, _node)[0];
        }

        /// <summary>Right and wrong replies to some requests.</summary>
        private void Answer(FakePeer peer)
        {
            List<byte[]> frames = [];
            int wanted = 1 + _mutator.Next(4);
            while (frames.Count < wanted)
            {
                if (!TryReceive(peer, frames.Count, out FrameHeader request))
                {
                    break;
                }

                if (request.Kind != FrameKind.Request)
                {
                    return;
                }

                frames.Add(FakePeer.WholeReply(in request, _data));
                peer.Socket.ReceiveTimeout = MoreTimeoutMs;
            }

            foreach (byte[] frame in frames)
            {
                peer.Send(Break(frame, frames[_mutator.Next(frames.Count)], _mutator));
            }
        }

        /// <summary>
        /// False when no further request comes: a node that sends changes again holds all else back until those are
        /// answered (S-12).
        /// </summary>
        private static bool TryReceive(FakePeer peer, int received, out FrameHeader request)
        {
            try
            {
                request = peer.Receive();
                return true;
            }
            catch (SocketException e) when (e.SocketErrorCode == SocketError.TimedOut && received > 0)
            {
                request = default;
                return false;
            }
        }
    }
}
