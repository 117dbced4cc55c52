using Dst.Core.Requests;
using Dst.Core.Sessions.Client;
using Dst.Net.Client;
using Dst.Net.Server.Engine;

namespace Dst.Net.Tests.Client;

/// <summary>A network node against the real server, without trouble on the way.</summary>
public sealed class NetworkNodeTests
{
    /// <summary>
    /// What the runtime may allocate when code runs for the first time: far below a byte for each request.
    /// </summary>
    public const long OnceBytes = 1024;

    [Fact]
    public void A_node_attaches_writes_reads_flushes_and_gives_its_hold_back()
    {
        using TestServer server = new();
        server.Add("file:~/a,size=64M");
        MemoryStores stores = new();
        using NetworkNode node = TestNode.Open(TestNode.Unix(server), stores);
        Assert.Equal(64 << 20, node.SizeBytes);
        Assert.Equal(TestServer.Identity, node.Export.Identity);
        Assert.NotEqual(0UL, stores.Epoch);
        TestQueue queue = TestQueue.Start(1, node)[0];
        byte[] small = Bytes(4096, 1);
        byte[] large = Bytes(1 << 20, 2);
        Assert.Equal(DstStatus.Ok, queue.Write(8192, small));
        Assert.Equal(DstStatus.Ok, queue.Write(1 << 20, large, RequestFlags.Fua));
        Assert.Equal(small, queue.Read(8192, 4096));
        Assert.Equal(large, queue.Read(1 << 20, 1 << 20));
        Assert.Equal(DstStatus.Ok, queue.Flush());
        Assert.Equal(DstStatus.Ok, queue.Do(new Request(Operation.WriteZeroes, RequestFlags.None, 8192, 4096)));
        Assert.Equal(new byte[4096], queue.Read(8192, 4096));
        Assert.Equal("live", node.Status.State);
        Assert.True(server.Status.IsHeld);
        Assert.True(node.Goodbye(10_000), "the hold is not given back");
        Assert.False(server.Status.IsHeld);
        queue.Dispose();
    }

    [Fact]
    public void A_device_that_never_comes_to_be_leaves_no_hold()
    {
        using TestServer server = new();
        server.Add("mem:16M");
        using (NetworkNode node = TestNode.Open(TestNode.Unix(server), queues: 3))
        {
            TestServer.Eventually(() => node.Status.Phase == ClientNodePhase.Live, "live without queues");
            Assert.True(node.Goodbye(10_000), "the hold is not given back");
        }

        Assert.False(server.Status.IsHeld);
    }

    [Fact]
    public void A_session_lives_on_while_its_queues_come_and_go()
    {
        using TestServer server = new();
        server.Add("mem:16M");
        using HoldProxy proxy = new(server.EndPoint);
        using NetworkNode node = TestNode.Open(TestNode.Tcp(proxy.Port), queues: 2);
        TestQueue[] queues = TestQueue.Start(2, node);
        Assert.Equal(DstStatus.Ok, queues[1].Write(0, Bytes(512, 1)));
        Array.ForEach(queues, queue => queue.Dispose());
        proxy.CutAll();
        TestServer.Eventually(() => node.Status is { Reconnects: 1, Phase: ClientNodePhase.Live }, "live again");
        queues = TestQueue.Start(2, node);
        Assert.Equal(Bytes(512, 1), queues[0].Read(0, 512));
        Array.ForEach(queues, queue => queue.Dispose());
    }

    [Theory]
    [InlineData("")]
    [InlineData(",connections=1")]
    [InlineData(",connections=5")]
    [InlineData(",checksum=none")]
    [InlineData(",checksum=crc32c")]
    public void Random_requests_of_two_queues_are_right_and_allocate_nothing(string options)
    {
        using TestServer server = new(256 << 20);
        server.Add("mem:64M", TestNode.Roomy(server));
        NetworkNode node = TestNode.Open(TestNode.Unix(server, options), queues: 2);
        TestQueue[] queues = TestQueue.Start(2, node);
        Load[] loads = [new(0, 16 << 20, 4000, 96 * 1024, 1), new(32 << 20, 16 << 20, 4000, 512 * 1024, 2)];
        Run(queues, loads, 120_000);
        long allocated = loads.Sum(load => load.AllocatedBytes);
        Assert.InRange(allocated, 0, OnceBytes);
        Array.ForEach(queues, queue => queue.Dispose());
        node.Dispose();
        Assert.InRange(node.ThreadAllocatedBytes, 0, OnceBytes);
        Assert.Equal(0, server.Count(NetCounter.BadFrames));
    }

    [Theory]
    [InlineData(",connections=1", false)]
    [InlineData(",connections=3", false)]
    [InlineData("", true)]
    [InlineData(",connections=1", true)]
    public void More_queues_than_connections_are_no_reason_to_refuse(string options, bool readOnly)
    {
        // Less than a quarter of what is free would do for so many queues.
        const int Queues = 6;
        using TestServer server = new(128 << 20);
        server.Add("mem:16M", server.Settings() with { MemoryBytes = 48 << 20 });
        using NetworkNode node = TestNode.Open(TestNode.Unix(server, options), queues: Queues, readOnly: readOnly);
        TestQueue[] queues = TestQueue.Start(Queues, node);
        TestQueue.Job[] jobs = [.. queues.Select(queue => queue.BeginRead(1 << 20))];
        Assert.All(jobs, job => Assert.True(job.Ends(30_000) && job.Status == DstStatus.Ok, "a read does not end"));
        Array.ForEach(queues, queue => queue.Dispose());
    }

    [Fact]
    public void A_node_without_a_server_says_so_in_time()
    {
        NetworkNodeException e = Assert.Throws<NetworkNodeException>(
            () => TestNode.Open("dst://127.0.0.1:1/disk1", waitMs: 500));
        Assert.Contains("cannot connect", e.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', e.Message);
    }

    [Fact]
    public void A_second_device_is_told_who_holds_the_export_and_may_take_it_over()
    {
        using TestServer server = new();
        server.Add("mem:16M");
        using NetworkNode first = TestNode.Open(TestNode.Unix(server));
        TestQueue queue = TestQueue.Start(1, first)[0];
        Assert.Equal(DstStatus.Ok, queue.Write(0, Bytes(512, 1)));
        NetworkNodeException e = Assert.Throws<NetworkNodeException>(
            () => TestNode.Open(TestNode.Unix(server), device: 2, waitMs: 1000));
        Assert.Contains("held by test", e.Message, StringComparison.Ordinal);
        using NetworkNode second = TestNode.Open(TestNode.Unix(server), device: 2, takeOver: true);
        TestServer.Eventually(() => first.Status.Phase == ClientNodePhase.Failed, "the fenced one has failed");
        Assert.Equal(DstStatus.ReservationConflict, queue.Write(0, Bytes(512, 2)));
        TestQueue other = TestQueue.Start(1, second)[0];
        Assert.Equal(Bytes(512, 1), other.Read(0, 512));
        queue.Dispose();
        other.Dispose();
    }

    [Fact]
    public void A_reader_attaches_beside_the_writer()
    {
        using TestServer server = new();
        server.Add("mem:16M");
        using NetworkNode writer = TestNode.Open(TestNode.Unix(server), queues: 1);
        using NetworkNode reader = TestNode.Open(TestNode.Unix(server), device: 2, readOnly: true);
        TestQueue one = TestQueue.Start(1, writer)[0];
        TestQueue[] two = TestQueue.Start(1, reader);
        Assert.Equal(DstStatus.Ok, one.Write(0, Bytes(512, 1)));
        Assert.Equal(Bytes(512, 1), two[0].Read(0, 512));
        Assert.Equal(DstStatus.ReadOnly, two[0].Write(0, Bytes(512, 2)));
        one.Dispose();
        Array.ForEach(two, queue => queue.Dispose());
    }

    [Fact]
    public void Requests_wait_while_a_node_is_suspended_and_end_when_told_to()
    {
        using TestServer server = new();
        server.Add("mem:16M");
        using NetworkNode node = TestNode.Open(TestNode.Unix(server));
        TestQueue queue = TestQueue.Start(1, node)[0];
        Assert.Equal(DstStatus.Ok, queue.Write(0, Bytes(512, 1)));
        node.Suspend();
        TestServer.Eventually(() => node.Status.State == "suspended", "suspended");
        TestQueue.Job waiting = queue.BeginWrite(0, Bytes(512, 2));
        Assert.False(waiting.Ends(300), "a suspended node sends");
        node.Fail();
        Assert.True(waiting.Ends(10_000), "a request does not fail");
        Assert.Equal(DstStatus.LinkLost, waiting.Status);
        waiting = queue.BeginWrite(0, Bytes(512, 3));
        node.Resume();
        Assert.True(waiting.Ends(10_000), "a request waits on");
        Assert.Equal(Bytes(512, 3), queue.Read(0, 512));
        queue.Dispose();
    }

    internal static void Run(TestQueue[] queues, Load[] loads, int timeoutMs)
    {
        for (int i = 0; i < queues.Length; i++)
        {
            queues[i].Begin(loads[i]);
        }

        foreach (Load load in loads)
        {
            Assert.True(
                load.Done.Wait(timeoutMs), $"only {load.Ended} requests ended; {string.Join(" | ", TestNode.Log)}");
            Assert.Equal("", load.Problem);
            Assert.Equal(0, load.Errors);
        }
    }

    internal static byte[] Bytes(int length, int seed)
    {
        byte[] bytes = new byte[length];
        new Random(seed).NextBytes(bytes);
        return bytes;
    }
}
