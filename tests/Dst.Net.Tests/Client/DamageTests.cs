using Dst.Core.Requests;
using Dst.Core.Wire;
using Dst.Net.Client;
using Dst.Net.Server.Engine;

namespace Dst.Net.Tests.Client;

/// <summary>
/// Data that is damaged between a real client and a real server, on either way: the disk never holds it, no caller ever
/// gets it, and it is sent again (N-25, S-14, S-33).
/// </summary>
public sealed class DamageTests
{
    private const int Length = 192 * 1024;
    private const int TimeoutMs = 60_000;

    /// <summary>Kind of checksum, and which byte of the body is damaged: counted from its end when below 0.</summary>
    public static TheoryData<string, int> Places => new()
    {
        { "crc32c", 0 }, { "crc32c", -Length }, { "crc32c", -1 },
        { "xxh3", 0 }, { "xxh3", 23 }, { "xxh3", -Length }, { "xxh3", -Length / 2 }, { "xxh3", -1 },
    };

    [Theory]
    [MemberData(nameof(Places))]
    public void A_write_that_is_damaged_on_its_way_is_sent_again_and_the_disk_never_holds_it(string kind, int place)
    {
        using World world = new(FrameKind.Request, place, kind);
        byte[] old = NetworkNodeTests.Bytes(Length, 1);
        byte[] data = NetworkNodeTests.Bytes(Length, 2);
        Assert.Equal(DstStatus.Ok, world.Queue.Write(0, old));
        world.DamageNext(1);
        world.Proxy.Shut();
        TestQueue.Job job = world.Queue.BeginWrite(0, data);
        TestServer.Eventually(() => world.Server.Count(NetCounter.BadChecksums) == 1, "the server says so");
        TestServer.Eventually(() => world.Node.Status.BadReplies == 1, "the client knows which request it was");
        Assert.False(job.Ends(0), "a write ends though its data did not arrive");
        Assert.Equal(old, world.OnDisk());
        world.Proxy.Open();
        Assert.True(job.Ends(TimeoutMs), $"a write does not end: {world.Node.Status}");
        Assert.Equal(DstStatus.Ok, job.Status);
        Assert.Equal(data, world.OnDisk());
        Assert.Equal(data, world.Queue.Read(0, Length));
        Assert.Equal((1, 1L), (world.Proxy.Damaged, world.Node.Status.Reconnects));
    }

    [Fact]
    public void A_write_that_is_damaged_each_time_ends_with_an_error_and_the_disk_never_holds_it()
    {
        using World world = new(FrameKind.Request, -1, "xxh3");
        byte[] old = NetworkNodeTests.Bytes(Length, 1);
        Assert.Equal(DstStatus.Ok, world.Queue.Write(0, old));
        world.DamageNext(2);
        Assert.Equal(DstStatus.ProtectionError, world.Queue.Write(0, NetworkNodeTests.Bytes(Length, 2)));
        Assert.Equal(old, world.OnDisk());
        Assert.Equal(2, world.Server.Count(NetCounter.BadChecksums));
        byte[] last = NetworkNodeTests.Bytes(Length, 3);
        Assert.Equal(DstStatus.Ok, world.Queue.Write(0, last));
        Assert.Equal(last, world.OnDisk());
    }

    [Theory]
    [MemberData(nameof(Places))]
    public void A_read_that_is_damaged_on_its_way_back_is_asked_for_again(string kind, int place)
    {
        using World world = new(FrameKind.Reply, place, kind);
        byte[] data = NetworkNodeTests.Bytes(Length, 1);
        Assert.Equal(DstStatus.Ok, world.Queue.Write(0, data));
        world.DamageNext(1);
        Assert.Equal(data, world.Queue.Read(0, Length));
        Assert.Equal((1, 1L), (world.Proxy.Damaged, world.Node.Status.BadReplies));
    }

    [Fact]
    public void A_read_that_is_damaged_each_time_ends_with_an_error()
    {
        using World world = new(FrameKind.Reply, -1, "xxh3");
        byte[] data = NetworkNodeTests.Bytes(Length, 1);
        Assert.Equal(DstStatus.Ok, world.Queue.Write(0, data));
        world.DamageNext(2);
        TestQueue.Job job = world.Queue.BeginRead(Length);
        Assert.True(job.Ends(TimeoutMs), $"a read does not end: {world.Node.Status}");
        Assert.Equal(DstStatus.ProtectionError, job.Status);
        Assert.Equal(data, world.Queue.Read(0, Length));
    }

    [Theory]
    [InlineData("xxh3")]
    [InlineData("crc32c")]
    public void A_wire_that_damages_again_and_again_costs_no_error_and_no_byte(string kind)
    {
        Load load = UnderFire(kind, out int damaged);
        Assert.Equal(("", 0), (load.Problem, load.Errors));
        Assert.True(damaged >= 10, $"only {damaged} bodies were damaged");
    }

    [Fact]
    public void Without_checksums_the_same_wire_is_noticed_by_this_test() =>
        Assert.True(UnderFire("none", out _).Problem.Length > 0, "damaged data goes unnoticed");

    /// <summary>
    /// Random requests, each held against a model, while every fortieth body is damaged, but none twice in a row.
    /// </summary>
    private static Load UnderFire(string kind, out int damaged)
    {
        using TestServer server = new(holds: new MemoryHolds());
        server.Add("mem:16M");
        int frames = 0;
        ulong last = ulong.MaxValue;
        using DamageProxy proxy = new(server.EndPoint, header =>
        {
            if (++frames < 40 || header.OffsetBytes == last)
            {
                return -1;
            }

            frames = 0;
            last = header.OffsetBytes;
            return (int)header.BodyBytes / 2;
        });
        using NetworkNode node = TestNode.Open(TestNode.Tcp(proxy.Port, $",checksum={kind}"), pauseMaxMs: 20);
        using TestQueue queue = TestQueue.Start(1, node)[0];
        Load load = new(0, 8 << 20, 600, 32 * 1024, 7);
        queue.Begin(load);
        Assert.True(load.Done.Wait(TimeoutMs), $"only {load.Ended} requests ended: {node.Status}");
        damaged = proxy.Damaged;
        return load;
    }

    /// <summary>A file behind a server, behind a wire that damages when it is told to.</summary>
    private sealed class World : IDisposable
    {
        private int _left;

        public World(FrameKind victim, int place, string kind)
        {
            Server.Add("file:~/a,size=1M");
            Proxy = new DamageProxy(
                Server.EndPoint,
                header => header.Kind == victim && Interlocked.Decrement(ref _left) >= 0
                    ? (place < 0 ? (int)header.BodyBytes : 0) + place
                    : -1);
            Node = TestNode.Open(TestNode.Tcp(Proxy.Port, $",checksum={kind}"), pauseMaxMs: 20);
            Queue = TestQueue.Start(1, Node)[0];
        }

        public TestServer Server { get; } = new(holds: new MemoryHolds());

        public DamageProxy Proxy { get; }

        public NetworkNode Node { get; }

        public TestQueue Queue { get; }

        public void DamageNext(int bodies) => Volatile.Write(ref _left, bodies);

        public byte[] OnDisk() => File.ReadAllBytes(Path.Join(Server.Folder, "a"))[..Length];

        public void Dispose()
        {
            Queue.Dispose();
            Node.Dispose();
            Proxy.Dispose();
            Server.Dispose();
        }
    }
}
