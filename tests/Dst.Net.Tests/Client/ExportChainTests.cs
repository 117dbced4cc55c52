using Dst.Core.Requests;
using Dst.Core.Sessions.Client;
using Dst.Core.Wire;
using Dst.Net.Client;

namespace Dst.Net.Tests.Client;

/// <summary>
/// An export whose node is an export of another server: what holds for one link holds for two (S-22, S-23).
/// </summary>
public sealed class ExportChainTests
{
    private const int PauseMs = 20;
    private const string Disk = "volatile:5,file:~/a,size=16M";

    [Theory]
    [InlineData(CacheMode.WriteThrough)]
    [InlineData(CacheMode.WriteBack)]
    public void Power_cuts_of_either_server_under_load_cost_no_error_and_no_byte(CacheMode cache)
    {
        using TestServer inner = new(holds: new MemoryHolds());
        inner.Add(Disk, inner.Settings(cache: cache));
        using TestServer outer = new(holds: new MemoryHolds());
        outer.Add(TestNode.Unix(inner), outer.Settings(cache: cache));
        using NetworkNode node = TestNode.Open(TestNode.Unix(outer), queues: 2, pauseMaxMs: PauseMs);
        TestQueue[] queues = TestQueue.Start(2, node);
        Load[] loads = [new(0, 8 << 20, 1200, 32 * 1024, 5), new(8 << 20, 8 << 20, 1200, 32 * 1024, 6)];
        for (int i = 0; i < 2; i++)
        {
            queues[i].Begin(loads[i]);
        }

        for (int i = 0; i < 3; i++)
        {
            Thread.Sleep(100);
            PowerCutTests.PowerCut(inner, Disk, cache);
            Thread.Sleep(100);
            PowerCutTests.PowerCut(outer, TestNode.Unix(inner), cache);
        }

        NetworkNodeTests.Run([], loads, 120_000);
        Assert.True(node.Status.Reconnects > 0, "nothing was cut");
        Assert.False(node.Status.LostUnflushedWrites);
        Array.ForEach(queues, queue => queue.Dispose());
    }

    [Fact]
    public void What_only_the_client_has_left_comes_back_through_both_servers()
    {
        const int Block = 4096;
        using TestServer inner = new(holds: new MemoryHolds());
        inner.Add("mem:16M", inner.Settings(cache: CacheMode.WriteBack));
        using TestServer outer = new(holds: new MemoryHolds());
        outer.Add(TestNode.Unix(inner), outer.Settings(cache: CacheMode.WriteBack));
        using NetworkNode node = TestNode.Open(TestNode.Unix(outer), pauseMaxMs: PauseMs);
        using TestQueue queue = TestQueue.Start(1, node)[0];
        for (int i = 0; i < 20; i++)
        {
            Assert.Equal(DstStatus.Ok, queue.Write(i * Block, NetworkNodeTests.Bytes(Block, i)));
        }

        // Both are gone at once, and the memory of both with them.
        outer.Stop();
        PowerCutTests.PowerCut(inner, "mem:16M", CacheMode.WriteBack);
        outer.Start();
        outer.Add(TestNode.Unix(inner), outer.Settings(cache: CacheMode.WriteBack));
        for (int i = 0; i < 20; i++)
        {
            Assert.Equal(NetworkNodeTests.Bytes(Block, i), queue.Read(i * Block, Block));
        }

        Assert.Equal(DstStatus.Ok, queue.Flush());
        TestServer.Eventually(() => node.Status.ReplayedBytes == 20 * Block, "each byte replayed once");
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public unsafe void What_a_node_has_lost_is_replayed_by_the_clients_once_an_operator_accepts_it(int queues)
    {
        const int Block = 4096;
        const int Blocks = 20;
        using TestServer inner = new(holds: new MemoryHolds());
        inner.Add(Disk, inner.Settings(cache: CacheMode.WriteBack));
        NetworkNode? link = null;
        using TestServer outer = new(holds: new MemoryHolds())
        {
            Around = (node, _) => link = (NetworkNode)node,
        };
        outer.Add(TestNode.Unix(inner), outer.Settings(cache: CacheMode.WriteBack));
        using NetworkNode node = TestNode.Open(TestNode.Unix(outer), queues: queues, pauseMaxMs: PauseMs);
        TestQueue[] mine = TestQueue.Start(queues, node);
        for (int i = 0; i < Blocks; i++)
        {
            Assert.Equal(DstStatus.Ok, mine[i % queues].Write(i * Block, NetworkNodeTests.Bytes(Block, i)));
        }

        // The memory of the outer server goes bad while the inner one forgets.
        for (int lane = 0; lane < 2; lane++)
        {
            ((byte*)link!.LogOf(lane))[5] ^= 4;
        }

        PowerCutTests.PowerCut(inner, Disk, CacheMode.WriteBack);
        TestServer.Eventually(
            () => link!.Status is { LostUnflushedWrites: true, Phase: ClientNodePhase.Live }, "the node has lost");
        ulong bootId = outer.Status.BootId;
        outer.Host.ClearError(TestServer.Name);
        TestServer.Eventually(
            () => link!.Status is { LostUnflushedWrites: false, Phase: ClientNodePhase.Live }, "the node goes on");
        Assert.NotEqual(bootId, outer.Status.BootId);
        Assert.Equal(DstStatus.Ok, mine[0].Flush());
        Assert.False(node.Status.LostUnflushedWrites);
        Assert.Equal(Blocks * Block, node.Status.ReplayedBytes);
        byte[] disk = File.ReadAllBytes(Path.Join(inner.Folder, "a"));
        for (int i = 0; i < Blocks; i++)
        {
            Assert.Equal(NetworkNodeTests.Bytes(Block, i), disk[(i * Block)..((i + 1) * Block)]);
        }

        Array.ForEach(mine, queue => queue.Dispose());
    }

    [Fact]
    public void An_export_that_is_removed_gives_back_what_it_holds_and_one_that_restarts_does_not()
    {
        using TestServer inner = new();
        inner.Add("mem:16M");
        using TestServer outer = new();
        outer.Add(TestNode.Unix(inner));
        Assert.True(inner.Status.IsHeld);
        outer.Stop();
        Assert.True(inner.Status.IsHeld, "a server that stops comes back");
        outer.Start();
        outer.Add(TestNode.Unix(inner));
        outer.Host.RemoveExport(TestServer.Name, failPending: false, 10_000);
        Assert.False(inner.Status.IsHeld, "an export that is gone holds still");
        outer.Add(TestNode.Unix(inner));
    }

    [Fact]
    public void A_fenced_export_fails_what_its_clients_ask()
    {
        using TestServer inner = new();
        inner.Add("mem:16M");
        using TestServer outer = new();
        outer.Add(TestNode.Unix(inner));
        using NetworkNode node = TestNode.Open(TestNode.Unix(outer));
        using TestQueue queue = TestQueue.Start(1, node)[0];
        byte[] old = NetworkNodeTests.Bytes(512, 1);
        Assert.Equal(DstStatus.Ok, queue.Write(0, old));
        using NetworkNode thief = TestNode.Open(TestNode.Unix(inner), device: 2, takeOver: true);
        TestServer.Eventually(
            () => queue.Write(0, NetworkNodeTests.Bytes(512, 2)) == DstStatus.ReservationConflict, "refused");
        using TestQueue other = TestQueue.Start(1, thief)[0];
        Assert.Equal(old, other.Read(0, 512));
        Assert.NotEqual(ClientNodePhase.Failed, node.Status.Phase);
    }
}
