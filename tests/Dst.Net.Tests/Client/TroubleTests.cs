using Dst.Core.Requests;
using Dst.Core.Sessions.Client;
using Dst.Core.Wire;
using Dst.Net.Client;

namespace Dst.Net.Tests.Client;

/// <summary>A network node against the real server while the way between them breaks.</summary>
public sealed class TroubleTests
{
    /// <summary>Long enough to see that there is a pause.</summary>
    private const int PauseMs = 100;

    [Theory]
    [InlineData("", 20, 8)]
    [InlineData(",connections=1", 8, 6)]
    [InlineData(",connections=4", 32, 5)]
    public void Connections_cut_at_random_bytes_cost_no_error_and_no_byte(string options, int cuts, int cutsMin)
    {
        using TestServer server = new(256 << 20);
        server.Add("mem:64M", TestNode.Roomy(server));
        using HoldProxy proxy = new(server.EndPoint);
        Random random = new(cuts);
        for (int i = 0; i < cuts; i++)
        {
            Way way = (Way)random.Next(2);
            int at = random.Next(300, i % 2 == 0 ? 2_000 : 3_000_000);
            proxy.Next(new ProxyRule(way, at, (ProxyAct)random.Next(1, 4)));
        }

        using NetworkNode node = TestNode.Open(
            TestNode.Tcp(proxy.Port, options), queues: 2, waitMs: 60_000, pauseMaxMs: PauseMs);
        TestQueue[] queues = TestQueue.Start(2, node);
        Load[] loads = [new(0, 16 << 20, 3000, 64 * 1024, 3), new(32 << 20, 16 << 20, 3000, 256 * 1024, 4)];
        NetworkNodeTests.Run(queues, loads, 240_000);
        Assert.True(proxy.Acted >= cutsMin, $"only {proxy.Acted} cuts happened");
        Array.ForEach(queues, queue => queue.Dispose());
        Assert.InRange(loads.Sum(load => load.AllocatedBytes), 0, NetworkNodeTests.OnceBytes);
    }

    [Fact]
    public void A_server_that_restarts_again_and_again_is_found_again()
    {
        using TestServer server = new();
        server.Add("file:~/a,size=64M");
        using NetworkNode node = TestNode.Open(TestNode.Unix(server), queues: 2, pauseMaxMs: PauseMs);
        TestQueue[] queues = TestQueue.Start(2, node);
        Load[] loads = [new(0, 16 << 20, 1500, 64 * 1024, 5), new(32 << 20, 16 << 20, 1500, 64 * 1024, 6)];
        for (int i = 0; i < 2; i++)
        {
            queues[i].Begin(loads[i]);
        }

        for (int i = 0; i < 4; i++)
        {
            Thread.Sleep(300);
            server.Stop();
            server.Start();
            server.Add("file:~/a,size=64M");
        }

        NetworkNodeTests.Run([], loads, 120_000);
        Assert.True(node.Status.Reconnects > 0, "nothing was cut");
        Array.ForEach(queues, queue => queue.Dispose());
    }

    [Fact]
    public void A_server_that_goes_away_in_good_order_answers_what_runs_says_so_and_is_soon_tried_again()
    {
        const int SoonMs = ClientLimits.SlowRetryMs / 2;
        using TestServer server = new();
        server.Add("delay:300,mem:16M");
        using NetworkNode node = TestNode.Open(TestNode.Unix(server));
        using TestQueue queue = TestQueue.Start(1, node)[0];
        TestQueue.Job running = queue.BeginRead(512);
        TestServer.Eventually(() => server.Status.InFlight == 1, "the read is with the disk");
        server.Stop();
        Assert.True(running.Ends(0) && running.Status == DstStatus.Ok, "what ran was not answered");
        server.Start();
        server.Add("mem:16M");
        TestQueue.Job next = queue.BeginRead(512);
        Assert.True(next.Ends(SoonMs) && next.Status == DstStatus.Ok, $"not soon: {node.Status}");
        Assert.Contains(TestNode.Log, line => line.Contains("the server went away", StringComparison.Ordinal));
    }

    [Fact]
    public void Unflushed_changes_of_a_write_back_export_are_sent_again_to_a_new_server()
    {
        using TestServer server = new();
        server.Add("mem:16M", server.Settings(cache: CacheMode.WriteBack));
        using NetworkNode node = TestNode.Open(TestNode.Unix(server), queues: 2, pauseMaxMs: PauseMs);
        Assert.True(node.VolatileCache);
        TestQueue[] queues = TestQueue.Start(2, node);
        for (int i = 0; i < 40; i++)
        {
            Assert.Equal(DstStatus.Ok, queues[i % 2].Write(i * 4096, NetworkNodeTests.Bytes(8192, i)));
        }

        // Its memory goes with it: a power cut.
        server.Stop();
        server.Start();
        server.Add("mem:16M", server.Settings(cache: CacheMode.WriteBack));
        for (int i = 0; i < 40; i++)
        {
            byte[] expected = NetworkNodeTests.Bytes(8192, i)[..(i == 39 ? 8192 : 4096)];
            Assert.Equal(expected, queues[(i + 1) % 2].Read(i * 4096, expected.Length));
        }

        Assert.Equal(DstStatus.Ok, queues[0].Flush());
        TestServer.Eventually(() => node.Status.ReplayedBytes == 41 * 4096, "each byte replayed once");
        Array.ForEach(queues, queue => queue.Dispose());
    }

    [Fact]
    public void What_the_socket_does_not_take_waits_for_TX_and_arrives_whole()
    {
        using TestServer server = new();
        server.Add("mem:64M");
        using HoldProxy proxy = new(server.EndPoint);
        proxy.Next(new ProxyRule(Way.ToServer, 1_500_000, ProxyAct.Hold));
        using NetworkNode node = TestNode.Open(TestNode.Tcp(proxy.Port));
        TestQueue queue = TestQueue.Start(1, node)[0];
        TestQueue.Job[] jobs =
        [
            .. Enumerable.Range(0, 24).Select(i =>
                queue.BeginWrite((long)i << 20, NetworkNodeTests.Bytes(1 << 20, i))),
        ];
        TestServer.Eventually(() => proxy.Acted == 1, "held");
        Thread.Sleep(500);
        proxy.LetGo();
        Assert.All(jobs, job => Assert.True(job.Ends(30_000) && job.Status == DstStatus.Ok, "a write does not end"));
        for (int i = 0; i < 24; i++)
        {
            Assert.Equal(NetworkNodeTests.Bytes(1 << 20, i), queue.Read((long)i << 20, 1 << 20));
        }

        Assert.Equal(0, node.Status.Reconnects);
        queue.Dispose();
    }

    [Fact]
    public void A_connection_that_holds_everything_is_dead_after_the_silence()
    {
        using TestServer server = new();
        server.Add("mem:16M");
        using HoldProxy proxy = new(server.EndPoint);
        proxy.Next(new ProxyRule(Way.ToClient, 1_000, ProxyAct.Hold));
        using NetworkNode node = TestNode.Open(TestNode.Tcp(proxy.Port));
        TestQueue queue = TestQueue.Start(1, node)[0];
        for (int i = 0; i < 20; i++)
        {
            Assert.Equal(DstStatus.Ok, queue.Write(0, NetworkNodeTests.Bytes(512, i)));
        }

        Assert.Equal(1, proxy.Acted);
        Assert.Equal(1, node.Status.Reconnects);
        proxy.LetGo();
        Assert.Equal(NetworkNodeTests.Bytes(512, 19), queue.Read(0, 512));
        queue.Dispose();
    }

    [Fact]
    public void A_spent_budget_ends_a_request_and_only_that()
    {
        using TestServer server = new();
        server.Add("mem:16M");
        using HoldProxy proxy = new(server.EndPoint);
        using NetworkNode node = TestNode.Open(TestNode.Tcp(proxy.Port, ",retry-time=1s,on-timeout=error"));
        TestQueue queue = TestQueue.Start(1, node)[0];
        Assert.Equal(DstStatus.Ok, queue.Write(0, NetworkNodeTests.Bytes(512, 1)));
        proxy.Refuses = true;
        proxy.CutAll();
        Assert.Equal(DstStatus.LinkLost, queue.Write(0, NetworkNodeTests.Bytes(512, 2)));
        node.SetBudgets(default);
        TestQueue.Job waiting = queue.BeginWrite(0, NetworkNodeTests.Bytes(512, 3));
        Assert.False(waiting.Ends(1500), "a request without a budget ends");
        proxy.Refuses = false;
        Assert.True(waiting.Ends(20_000), "a request waits on");
        Assert.Equal(NetworkNodeTests.Bytes(512, 3), queue.Read(0, 512));
        queue.Dispose();
    }

    [Fact]
    public void Without_a_durable_epoch_nothing_is_used()
    {
        using TestServer server = new();
        server.Add("mem:16M");
        MemoryStores stores = new() { Fails = true };
        NetworkNodeException e = Assert.Throws<NetworkNodeException>(
            () => TestNode.Open(TestNode.Unix(server), stores, waitMs: 1000));
        Assert.Contains("no room", e.Message, StringComparison.Ordinal);
        Assert.Equal(0UL, server.Status.UsedEpoch);
    }

    [Fact]
    public void A_restored_device_waits_for_a_server_that_comes_later()
    {
        using TestServer server = new();
        server.Add("file:~/a,size=16M");
        MemoryStores stores = new();
        RememberedExport known;
        using (NetworkNode first = TestNode.Open(TestNode.Unix(server), stores))
        {
            known = first.Export;
        }

        server.Stop();
        using NetworkNode node = TestNode.Open(TestNode.Unix(server), stores, known: known, waitMs: 0);
        Assert.Equal(16 << 20, node.SizeBytes);
        Assert.False(TestNode.Waits(node, 300));
        server.Start();
        server.Add("file:~/a,size=16M");
        Assert.True(TestNode.Waits(node, 20_000));
        Assert.NotEqual(ClientNodePhase.Failed, node.Status.Phase);
    }
}
