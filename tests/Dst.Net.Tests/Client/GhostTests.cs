using System.Diagnostics;
using Dst.Core.Requests;
using Dst.Core.Wire;
using Dst.Net.Client;

namespace Dst.Net.Tests.Client;

/// <summary>
/// The ghost write: W1 is held back in a wire or in the disk, the client comes back and sends it again, W2 to the same
/// block is acknowledged, then the first W1 goes on. The disk keeps W2 (S-02, S-05, S-06, S-11).
/// DST_GHOST_ROUNDS sets the rounds.
/// </summary>
public sealed class GhostTests
{
    private const int Length = 512;
    private const int TimeoutMs = 30_000;

    /// <summary>Header, one checksum, data.</summary>
    private const int WriteFrameBytes = WireLimits.HeaderBytes + 8 + Length;

    /// <summary>Coprime to the positions of a frame, so that few rounds are spread and many reach each byte.</summary>
    private const int Stride = 37;

    private static readonly int Rounds = Counts.Of("DST_GHOST_ROUNDS", 200);

    [Theory]
    [InlineData("", false, 1)]
    [InlineData("", true, 4)]
    [InlineData(",connections=4", false, 8)]
    [InlineData(",connections=4", true, 8)]
    public void A_write_held_back_at_any_byte_never_lands_over_a_newer_one(string options, bool races, int part)
    {
        using World world = new(options);
        Random random = new(options.Length);
        int rounds = int.Max(Rounds / part, 1);
        for (int round = 0; round < rounds; round++)
        {
            Ghost ghost = world.Proxy.Arm(IsWrite, round * Stride % (WriteFrameBytes + 1));
            TestQueue.Job first = world.BeginWrite(2 * round);
            Assert.True(ghost.IsHeld(TimeoutMs), $"round {round}: the write does not come");
            if (races)
            {
                Pause(random.Next(3_000));
                ghost.LetGo();
            }

            world.Ends(first, round);
            world.Write((2 * round) + 1);
            ghost.LetGo();
            Assert.True(ghost.IsGone(TimeoutMs), $"round {round}: the server keeps the old connection");
            world.Keeps((2 * round) + 1, round);
        }

        TestServer.Eventually(() => world.Node.Status.Reconnects >= rounds, "a session for each round");
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void An_attach_held_back_at_any_byte_ends_no_newer_session(bool races)
    {
        using World world = new("");
        Random random = new(3);
        int rounds = int.Max(Rounds / 8, 1);
        for (int round = 0; round < rounds; round++)
        {
            Ghost ghost = world.Proxy.Arm(
                header => header.Kind == FrameKind.Attach, round * Stride % (WireLimits.HeaderBytes + 200));
            world.Proxy.CutAll();
            TestQueue.Job first = world.BeginWrite(2 * round);
            Assert.True(ghost.IsHeld(TimeoutMs), $"round {round}: ATTACH does not come");
            if (races)
            {
                Pause(random.Next(3_000));
                ghost.LetGo();
            }

            world.Ends(first, round);
            world.Write((2 * round) + 1);
            ulong epoch = world.Server.Status.Epoch;
            ghost.LetGo();
            Assert.True(ghost.IsGone(TimeoutMs), $"round {round}: the server keeps the old connection");
            world.Keeps((2 * round) + 1, round);
            Assert.True(races || world.Server.Status.Epoch == epoch, $"round {round}: an old ATTACH ended the session");
        }
    }

    [Theory]
    [InlineData("")]
    [InlineData(",connections=4")]
    public void A_write_that_the_disk_has_is_waited_for_before_anybody_attaches(string options)
    {
        TrapNode? trap = null;
        using World world = new(options, server =>
            server.Around = (node, signals) => trap = new TrapNode(node, signals));
        int rounds = int.Max(Rounds / 20, 1);
        for (int round = 0; round < rounds; round++)
        {
            trap!.Arm();
            TestQueue.Job first = world.BeginWrite(2 * round);
            Assert.True(trap.Catches(TimeoutMs), $"round {round}: the write does not come");
            world.Proxy.CutAll();
            bool ended = first.Ends(20 + (round % 3 * 20));
            trap.Release();
            Assert.False(ended, $"round {round}: a new session did not wait for the disk");
            world.Ends(first, round);
            world.Write((2 * round) + 1);
            world.Keeps((2 * round) + 1, round);
        }

        Assert.Equal(0, world.Server.Status.InFlight);
    }

    [Fact]
    public void A_write_of_a_target_that_died_never_lands_over_its_successors()
    {
        using TestServer server = new(holds: new MemoryHolds());
        server.Add("mem:1M");
        using GhostProxy proxy = new(server.EndPoint);
        MemoryStores stores = new();
        RememberedExport? known = null;
        int rounds = int.Max(Rounds / 20, 1);
        for (int round = 0; round < rounds; round++)
        {
            Ghost ghost;
            using (NetworkNode dying = Open())
            {
                known = dying.Export;
                using TestQueue queue = TestQueue.Start(1, dying)[0];
                ghost = proxy.Arm(IsWrite, round * Stride % (WriteFrameBytes + 1));
                TestQueue.Job first = queue.BeginWrite(0, NetworkNodeTests.Bytes(Length, 2 * round));
                Assert.True(ghost.IsHeld(TimeoutMs), $"round {round}: the write does not come");

                // Nobody sends it again; its connection to the server stands.
                dying.Suspend();
                dying.Fail();
                Assert.True(first.Ends(TimeoutMs), $"round {round}: a request does not fail");
            }

            using NetworkNode next = Open();
            using TestQueue successor = TestQueue.Start(1, next)[0];
            byte[] second = NetworkNodeTests.Bytes(Length, (2 * round) + 1);
            Assert.Equal(DstStatus.Ok, successor.Write(0, second));
            ghost.LetGo();
            Assert.True(ghost.IsGone(TimeoutMs), $"round {round}: the server keeps the old connection");
            Assert.Equal(second, successor.Read(0, Length));
        }

        NetworkNode Open() => TestNode.Open(TestNode.Tcp(proxy.Port), stores, known: known, pauseMaxMs: 0);
    }

    private static bool IsWrite(FrameHeader header) =>
        header.Kind == FrameKind.Request && header.Operation == Operation.Write;

    private static void Pause(int microseconds)
    {
        long end = Stopwatch.GetTimestamp() + (microseconds * (Stopwatch.Frequency / 1_000_000));
        while (Stopwatch.GetTimestamp() < end)
        {
            Thread.Yield();
        }
    }

    /// <summary>A server, a proxy before it and a node that does not wait between attempts.</summary>
    private sealed class World : IDisposable
    {
        private readonly TestQueue[] _queues;
        private int _turn;

        public World(string options, Action<TestServer>? prepare = null)
        {
            Server = new TestServer(256 << 20, new MemoryHolds());
            prepare?.Invoke(Server);
            Server.Add("mem:1M", TestNode.Roomy(Server));
            Proxy = new GhostProxy(Server.EndPoint);
            Node = TestNode.Open(TestNode.Tcp(Proxy.Port, options), queues: 2, pauseMaxMs: 0);
            _queues = TestQueue.Start(2, Node);
        }

        public TestServer Server { get; }

        public GhostProxy Proxy { get; }

        public NetworkNode Node { get; }

        public TestQueue.Job BeginWrite(int seed) => Next.BeginWrite(0, NetworkNodeTests.Bytes(Length, seed));

        public void Ends(TestQueue.Job job, int round)
        {
            Assert.True(job.Ends(TimeoutMs), $"round {round}: a write does not end: {Node.Status}");
            Assert.Equal(DstStatus.Ok, job.Status);
        }

        public void Write(int seed) => Assert.Equal(DstStatus.Ok, Next.Write(0, NetworkNodeTests.Bytes(Length, seed)));

        public void Keeps(int seed, int round) => Assert.True(
            Next.Read(0, Length).AsSpan().SequenceEqual(NetworkNodeTests.Bytes(Length, seed)),
            $"round {round}: the disk does not keep the newer write");

        public void Dispose()
        {
            Array.ForEach(_queues, queue => queue.Dispose());
            Node.Dispose();
            Proxy.Dispose();
            Server.Dispose();
        }

        private TestQueue Next => _queues[_turn++ % 2];
    }
}
