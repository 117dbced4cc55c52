using System.Net;
using Dst.Core.Requests;
using Dst.Core.Wire;
using Dst.Net.Client;
using Dst.Net.Server;

namespace Dst.Net.Tests.Client;

/// <summary>
/// Each frame of the protocol, both ways, cut at each byte in each way a connection can end. The client comes back,
/// nobody hears of it, and the data is what was acknowledged (S-01, S-05, S-08, S-10). DST_CUT_STRIDE is the distance
/// of the bytes that are cut; 1 cuts at each.
/// </summary>
public sealed class FrameCutTests
{
    private const int Length = 512;
    private const int Blocks = 64;
    private const int TimeoutMs = 30_000;
    private static readonly int Stride = Counts.Of("DST_CUT_STRIDE", 23);
    private static readonly ProxyAct[] Acts = [ProxyAct.Cut, ProxyAct.Reset, ProxyAct.HalfClose];

    [Theory]
    [InlineData(Way.ToServer, FrameKind.Hello, 0)]
    [InlineData(Way.ToClient, FrameKind.Hello, 0)]
    [InlineData(Way.ToServer, FrameKind.Attach, 0)]
    [InlineData(Way.ToClient, FrameKind.AttachWait, 0)]
    [InlineData(Way.ToClient, FrameKind.Completed, 0)]
    [InlineData(Way.ToClient, FrameKind.AttachOk, 0)]
    [InlineData(Way.ToServer, FrameKind.Begin, 0)]
    [InlineData(Way.ToClient, FrameKind.BeginOk, 0)]
    [InlineData(Way.ToServer, FrameKind.Hello, 1)]
    [InlineData(Way.ToClient, FrameKind.Hello, 1)]
    [InlineData(Way.ToServer, FrameKind.Join, 0)]
    [InlineData(Way.ToClient, FrameKind.JoinOk, 0)]
    public void Frames_of_a_handshake(Way way, FrameKind kind, int skip)
    {
        using World world = new(CacheMode.WriteThrough);
        byte[] wait = new byte[WireLimits.ControlFrameMaxBytes];
        AttachWaitMessage message = new() { Requests = 1, WaitedMs = 1_000, Text = new WireText("1 request") };
        int waitBytes = MessageCodec.Write(in message, wait);
        world.Proxy.Wait = kind == FrameKind.AttachWait ? wait[..waitBytes] : null;
        Everywhere((at, act, round) =>
        {
            FrameCut cut = new(way, kind, default, at, act) { Skip = skip };

            // The last in its slot, so that COMPLETED has something to tell.
            world.Write(round);
            world.Proxy.Arm(cut);
            world.Proxy.CutAll();
            TestQueue.Job job = world.BeginWrite(round);
            world.Ends(job, cut, round);
            return cut.FrameBytes;
        });
    }

    [Theory]
    [InlineData(Way.ToServer, FrameKind.Request, Operation.Write)]
    [InlineData(Way.ToServer, FrameKind.Request, Operation.Read)]
    [InlineData(Way.ToServer, FrameKind.Request, Operation.Flush)]
    [InlineData(Way.ToServer, FrameKind.Request, Operation.Discard)]
    [InlineData(Way.ToServer, FrameKind.Request, Operation.WriteZeroes)]
    [InlineData(Way.ToClient, FrameKind.Reply, Operation.Write)]
    [InlineData(Way.ToClient, FrameKind.Reply, Operation.Read)]
    [InlineData(Way.ToClient, FrameKind.Reply, Operation.Flush)]
    [InlineData(Way.ToClient, FrameKind.Reply, Operation.Discard)]
    [InlineData(Way.ToClient, FrameKind.Reply, Operation.WriteZeroes)]
    public void Requests_and_replies(Way way, FrameKind kind, Operation operation)
    {
        using World world = new(CacheMode.WriteBack);
        Everywhere((at, act, round) =>
        {
            world.Write(round);
            FrameCut cut = new(way, kind, operation, at, act);
            world.Proxy.Arm(cut);
            TestQueue.Job job = operation switch
            {
                Operation.Write => world.BeginWrite(round),
                Operation.Read => world.BeginRead(round),
                Operation.Flush => world.Begin(new Request(operation, RequestFlags.None, 0, 0)),
                _ => world.BeginZeroes(operation, round),
            };
            world.Ends(job, cut, round);
            return cut.FrameBytes;
        });
    }

    [Theory]
    [InlineData(Way.ToServer, FrameKind.Ping, true)]
    [InlineData(Way.ToServer, FrameKind.Pong, false)]
    [InlineData(Way.ToClient, FrameKind.Ping, true)]
    [InlineData(Way.ToClient, FrameKind.Pong, false)]
    [InlineData(Way.ToServer, FrameKind.Error, true)]
    [InlineData(Way.ToClient, FrameKind.Error, true)]
    public void Frames_between_the_requests(Way way, FrameKind kind, bool isSaid)
    {
        using World world = new(CacheMode.WriteThrough);
        byte[] said = new byte[WireLimits.ControlFrameMaxBytes];
        ErrorMessage error = new() { Text = new WireText("text") };
        int length = kind == FrameKind.Error
            ? MessageCodec.Write(RefusalCode.EpochOver, in error, said)
            : MessageCodec.WritePlain(FrameKind.Ping, 0, 99, said);
        Way sayingWay = isSaid ? way : 1 - way;
        Everywhere((at, act, round) =>
        {
            FrameCut cut = new(way, kind, default, at, act);
            world.Proxy.Arm(cut);
            world.Proxy.Say(sayingWay, said[..length]);
            world.Ends(world.BeginWrite(round), cut, round);
            return cut.FrameBytes;
        });
    }

    [Theory]
    [InlineData(Way.ToServer)]
    [InlineData(Way.ToClient)]
    public void A_goodbye(Way way)
    {
        using TestServer server = new(256 << 20, new MemoryHolds());
        IPEndPoint address = Listen(server, CacheMode.WriteThrough);
        using FrameProxy proxy = new(address);
        MemoryStores stores = new();
        RememberedExport? known = null;
        byte[]? last = null;
        Everywhere((at, act, round) =>
        {
            using NetworkNode node = TestNode.Open(
                TestNode.Tcp(proxy.Port), stores, known: known, pauseMaxMs: 0);
            known = node.Export;
            TestQueue[] queues = TestQueue.Start(1, node);
            if (last is not null)
            {
                Assert.Equal(last, queues[0].Read(0, Length));
            }

            last = NetworkNodeTests.Bytes(Length, round);
            Assert.Equal(DstStatus.Ok, queues[0].Write(0, last));
            queues[0].Dispose();
            FrameCut cut = new(way, FrameKind.Goodbye, default, at, act);
            proxy.Arm(cut);
            bool isGivenBack = node.Goodbye(TimeoutMs);
            Assert.True(cut.Done.IsSet || cut.FrameBytes > 0, $"round {round}: no goodbye");
            bool isHeld = server.Status.IsHeld;
            Assert.False(isGivenBack && isHeld, $"round {round}: the client takes a hold for given back");
            return cut.FrameBytes;
        });
    }

    /// <summary>Does something at each position of a frame whose length it tells, in each way of ending.</summary>
    private static void Everywhere(Func<int, ProxyAct, int, int> cutAt)
    {
        int round = 0;
        int length = WireLimits.HeaderBytes;
        for (int act = 0; act < Acts.Length; act++)
        {
            // Each way of ending begins elsewhere, so that few rounds meet many bytes; the frame's end is one, too.
            for (int at = Stride == 1 ? 0 : act * Stride / Acts.Length; at < length + Stride; at += Stride)
            {
                length = cutAt(at, Acts[act], round++);
                Assert.True(length >= WireLimits.HeaderBytes, $"round {round}: a frame of {length} bytes");
            }
        }
    }

    private static IPEndPoint Listen(TestServer server, CacheMode cache)
    {
        ListenAddress address = AddressTests.Address($"127.0.0.1:{AddressTests.FreePort()}");
        server.Add("mem:1M", TestNode.Roomy(server) with { Listen = [address], Cache = cache });
        return address.EndPoint!;
    }

    /// <summary>A server, a proxy before it and a node that does not wait between attempts.</summary>
    private sealed class World : IDisposable
    {
        private readonly TestServer _server;
        private readonly TestQueue[] _queues;
        private readonly byte[][] _model = [.. Enumerable.Range(0, Blocks).Select(_ => new byte[Length])];
        private int _turn;

        public World(CacheMode cache)
        {
            _server = new TestServer(256 << 20, new MemoryHolds());
            Proxy = new FrameProxy(Listen(_server, cache));
            Node = TestNode.Open(TestNode.Tcp(Proxy.Port, ",connections=2"), queues: 2, pauseMaxMs: 0);
            _queues = TestQueue.Start(2, Node);
        }

        public FrameProxy Proxy { get; }

        public NetworkNode Node { get; }

        private TestQueue Next => _queues[_turn++ % 2];

        public TestQueue.Job Begin(Request request, byte[]? data = null) => Next.Begin(request, data);

        public TestQueue.Job BeginWrite(int round)
        {
            byte[] data = NetworkNodeTests.Bytes(Length, _turn);
            _model[round % Blocks] = data;
            return Next.BeginWrite(round % Blocks * Length, data);
        }

        public void Write(int round)
        {
            TestQueue.Job job = BeginWrite(round);
            Assert.True(job.Ends(TimeoutMs) && job.Status == DstStatus.Ok, $"round {round}: {Node.Status}");
        }

        public TestQueue.Job BeginRead(int round) => Begin(
            new Request(Operation.Read, RequestFlags.None, round % Blocks * Length, Length), new byte[Length]);

        public TestQueue.Job BeginZeroes(Operation operation, int round)
        {
            _model[round % Blocks] = new byte[Length];
            return Begin(new Request(operation, RequestFlags.None, round % Blocks * Length, Length));
        }

        /// <summary>The cut has happened, the request has ended well and all data is right.</summary>
        public void Ends(TestQueue.Job job, FrameCut cut, int round)
        {
            string where = $"round {round}, {cut.Act} at byte {cut.AtByte}";
            Assert.True(cut.Done.Wait(TimeoutMs), $"{where}: the frame does not come: {Node.Status}");
            Assert.True(job.Ends(TimeoutMs), $"{where}: a request does not end: {Node.Status}");
            Assert.Equal(DstStatus.Ok, job.Status);
            if (job.Request.Operation == Operation.Read)
            {
                Assert.Equal(_model[round % Blocks], job.Data);
            }

            Write(round + 1);
            foreach (int block in (int[])[round, round + 1, round * 7])
            {
                byte[] read = Next.Read(block % Blocks * Length, Length);
                Assert.True(_model[block % Blocks].AsSpan().SequenceEqual(read), $"{where}: block {block % Blocks}");
            }

            Assert.Equal(0, Node.Status.BudgetEnds);
        }

        public void Dispose()
        {
            Array.ForEach(_queues, queue => queue.Dispose());
            Node.Dispose();
            Proxy.Dispose();
            _server.Dispose();
        }
    }
}
