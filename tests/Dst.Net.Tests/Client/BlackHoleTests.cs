using Dst.Core.Requests;
using Dst.Core.Sessions.Client;
using Dst.Core.Wire;
using Dst.Net.Client;
using Dst.Net.Server;

namespace Dst.Net.Tests.Client;

/// <summary>A way that swallows what both ends say: only their clocks find out (S-30).</summary>
public sealed class BlackHoleTests
{
    private const int LastsMs = 2_000;

    [Theory]
    [InlineData("", CacheMode.WriteThrough)]
    [InlineData(",connections=2", CacheMode.WriteBack)]
    public void Both_ends_find_out_by_themselves_and_nothing_is_lost(string options, CacheMode cache)
    {
        using TestServer server = new(256 << 20);
        int port = AddressTests.FreePort();
        ListenAddress address = AddressTests.Address($"127.0.0.1:{port}");
        server.Add("mem:64M", TestNode.Roomy(server) with { Listen = [address], Cache = cache });
        using FrameProxy proxy = new(address.EndPoint!);
        using NetworkNode node = TestNode.Open(TestNode.Tcp(proxy.Port, options), queues: 2, pauseMaxMs: 100);
        TestQueue[] queues = TestQueue.Start(2, node);
        Load[] loads = [new(0, 16 << 20, 4_000, 16 * 1024, 3), new(32 << 20, 16 << 20, 4_000, 16 * 1024, 4)];
        for (int i = 0; i < queues.Length; i++)
        {
            queues[i].Begin(loads[i]);
        }

        TestServer.Eventually(() => loads.Sum(load => load.Ended) > 500, "the load runs");
        proxy.Swallows = true;
        proxy.SwallowFromNowOn();
        int before = loads.Sum(load => load.Ended);
        long start = Environment.TickCount64;
        Thread.Sleep(LastsMs);
        proxy.Swallows = false;
        int during = loads.Sum(load => load.Ended) - before;
        Assert.InRange(during, 0, 2 * TestQueue.Depth);
        TestServer.Eventually(() => node.Status.Reconnects > 0, "the client is back");
        long awayMs = Environment.TickCount64 - start;
        Assert.InRange(awayMs, WireLimits.SilenceMs - WireLimits.PingEveryMs, WireLimits.SilenceMs + 4_000);
        NetworkNodeTests.Run([], loads, 60_000);
        Assert.Equal(1, node.Status.Reconnects);
        Assert.Equal(ClientNodePhase.Live, node.Status.Phase);
        TestServer.Eventually(
            () => server.Host.Status().Connections == server.Status.Connections.Count
                && server.Status.Connections.All(connection => connection.IsLive),
            "the server has let go of the connections that are lost");
        Array.ForEach(queues, queue => queue.Dispose());
    }

    [Fact]
    public void A_way_that_stays_shut_keeps_requests_waiting_and_all_attempts_end_by_themselves()
    {
        using TestServer server = new();
        int port = AddressTests.FreePort();
        ListenAddress address = AddressTests.Address($"127.0.0.1:{port}");
        server.Add("mem:1M", server.Settings() with { Listen = [address] });
        using FrameProxy proxy = new(address.EndPoint!);
        using NetworkNode node = TestNode.Open(TestNode.Tcp(proxy.Port), pauseMaxMs: 100);
        using TestQueue queue = TestQueue.Start(1, node)[0];
        byte[] data = NetworkNodeTests.Bytes(512, 1);
        Assert.Equal(DstStatus.Ok, queue.Write(0, data));
        proxy.Swallows = true;
        proxy.SwallowFromNowOn();
        TestQueue.Job waiting = queue.BeginWrite(0, NetworkNodeTests.Bytes(512, 2));

        // Long enough for the session and one attempt after it to be given up.
        Assert.False(waiting.Ends((2 * WireLimits.SilenceMs) + 1_000), $"{waiting.Status}: {node.Status}");
        TestServer.Eventually(() => server.Status.Epoch == 0, "the server has found out as well");
        Assert.True(server.Status.IsHeld);
        proxy.Swallows = false;
        Assert.True(waiting.Ends(20_000) && waiting.Status == DstStatus.Ok, $"{waiting.Status}: {node.Status}");
        Assert.Equal(NetworkNodeTests.Bytes(512, 2), queue.Read(0, 512));
    }
}
