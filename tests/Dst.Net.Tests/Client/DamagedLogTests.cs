using Dst.Core.Requests;
using Dst.Core.Sessions.Client;
using Dst.Core.Wire;
using Dst.Net.Client;

namespace Dst.Net.Tests.Client;

/// <summary>
/// Unflushed changes whose copy is damaged, in memory or on its way, when a server that forgot them gets them again:
/// what was never written is never put on the disk, no FLUSH says ok over it, and an operator can go on (S-22, S-23).
/// </summary>
public sealed class DamagedLogTests
{
    private const int Block = 4096;
    private const int Blocks = 8;
    private const string Spec = "volatile:0,file:~/a,size=1M";
    private const int TimeoutMs = 60_000;

    [Theory]
    [InlineData("xxh3", 0)]
    [InlineData("xxh3", (5 * Block) + 77)]
    [InlineData("xxh3", (Blocks * Block) - 1)]
    [InlineData("xxh3", Blocks * Block)] // of an entry of which only parts are sent
    [InlineData("crc32c", 3 * Block)]
    public unsafe void Damage_in_memory_is_a_loss_and_never_reaches_the_disk(string kind, int at)
    {
        using World world = new(kind, _ => -1);
        byte[] written = world.WriteAll();
        ((byte*)world.Node.LogOf(0))[at] ^= 4;
        world.PowerCut();
        world.IsLost();
        byte[] disk = world.OnDisk();
        for (int i = 0; i < disk.Length; i += Block)
        {
            ReadOnlySpan<byte> block = disk.AsSpan(i, Block);
            bool right = block.SequenceEqual(written.AsSpan(i, Block)) || block.IndexOfAnyExcept((byte)0) < 0;
            Assert.True(right, $"block {i / Block} holds what nobody wrote");
        }

        world.GoesOnAfterAnOperator();
    }

    [Fact]
    public void A_wire_that_damages_replays_costs_nothing()
    {
        const int times = 3 * ClientLimits.ReplayFailuresMax;
        int damaged = 0;
        using World world = new("xxh3", header => damaged++ < times ? (int)header.BodyBytes - 1 : -1);
        byte[] written = world.WriteAll();
        world.PowerCut();
        Assert.Equal(DstStatus.Ok, world.Queue.Flush());
        Assert.True(damaged > times, "nothing was sent again");
        Assert.False(world.Node.Status.LostUnflushedWrites);
        Assert.Equal(written, world.OnDisk());
    }

    private sealed class World : IDisposable
    {
        private readonly TestServer _server = new(holds: new MemoryHolds());
        private readonly DamageProxy _proxy;
        private int _cut;

        public World(string kind, Func<FrameHeader, int> damageAfterCut)
        {
            _server.Add(Spec, _server.Settings(cache: CacheMode.WriteBack));
            _proxy = new DamageProxy(
                _server.EndPoint,
                header => header.Kind == FrameKind.Request && Volatile.Read(ref _cut) != 0
                    ? damageAfterCut(header)
                    : -1);
            Node = TestNode.Open(TestNode.Tcp(_proxy.Port, $",checksum={kind},connections=1"), pauseMaxMs: 20);
            Queue = TestQueue.Start(1, Node)[0];
        }

        public NetworkNode Node { get; }

        public TestQueue Queue { get; }

        /// <summary>One block after the other, then two more over one another.</summary>
        public byte[] WriteAll()
        {
            byte[] all = NetworkNodeTests.Bytes((Blocks + 4) * Block, 5);
            for (int i = 0; i < Blocks; i++)
            {
                Assert.Equal(DstStatus.Ok, Queue.Write(i * Block, all[(i * Block)..((i + 1) * Block)]));
            }

            Assert.Equal(DstStatus.Ok, Queue.Write(Blocks * Block, all[(Blocks * Block)..]));
            byte[] over = NetworkNodeTests.Bytes(Block, 6);
            Assert.Equal(DstStatus.Ok, Queue.Write((Blocks + 1) * Block, over));
            over.CopyTo(all, (Blocks + 1) * Block);
            return all;
        }

        public void PowerCut()
        {
            Volatile.Write(ref _cut, 1);
            PowerCutTests.PowerCut(_server, Spec, CacheMode.WriteBack);
        }

        public void IsLost()
        {
            TestServer.Eventually(
                () => Node.Status is { LostUnflushedWrites: true, Phase: ClientNodePhase.Live },
                $"a loss: {Node.Status}");
            Assert.Equal("lost unflushed writes", Node.Status.State);
            Assert.Contains("checksum", Node.Status.LastError, StringComparison.Ordinal);
            Assert.Equal(DstStatus.IoError, Queue.Flush());
            Assert.Equal(DstStatus.IoError, Queue.Write(0, new byte[Block], RequestFlags.Fua));
        }

        public void GoesOnAfterAnOperator()
        {
            Volatile.Write(ref _cut, 0);
            Node.ClearError();
            TestServer.Eventually(
                () => Node.Status is { LostUnflushedWrites: false, Phase: ClientNodePhase.Live }, "it goes on");
            byte[] data = NetworkNodeTests.Bytes(Block, 9);
            TestQueue.Job job = Queue.BeginWrite(0, data);
            Assert.True(job.Ends(TimeoutMs) && job.Status == DstStatus.Ok, $"a write fails: {Node.Status}");
            Assert.Equal(DstStatus.Ok, Queue.Flush());
            Assert.Equal(data, OnDisk()[..Block]);
        }

        public byte[] OnDisk() => File.ReadAllBytes(Path.Join(_server.Folder, "a"))[..((Blocks + 4) * Block)];

        public void Dispose()
        {
            Queue.Dispose();
            Node.Dispose();
            _proxy.Dispose();
            _server.Dispose();
        }
    }
}
