using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using Dst.Net.Client;
using Dst.Net.Server;

namespace Dst.Net.Tests.Client;

/// <summary>Requests a second from a volume over loopback to a server that has no disk. For people, not for a verdict.</summary>
public sealed class NodeSpeedTests
{
    [Theory(Explicit = true)]
    [InlineData(100, 4096, 32, 400_000)]
    [InlineData(0, 4096, 32, 400_000)]
    [InlineData(100, 4096, 1, 40_000)]
    [InlineData(0, 4096, 1, 40_000)]
    [InlineData(100, 1 << 20, 8, 6_000)]
    [InlineData(0, 1 << 20, 8, 6_000)]
    public void Speed_of_a_network_node(int reads, int length, int depth, int requests)
    {
        using TestServer server = new(256 << 20);
        using Socket probe = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        probe.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        var endPoint = (IPEndPoint)probe.LocalEndPoint!;
        probe.Dispose();
        Assert.True(ListenAddress.TryParse(endPoint.ToString(), out ListenAddress? address, out _));
        server.Add("zero:1G", server.Settings(engines: 1) with { Listen = [address], MemoryBytes = 128 << 20 });
        using NetworkNode node = TestNode.Open(TestNode.Tcp(endPoint.Port));
        TestQueue queue = TestQueue.Start(1, node)[0];
        Load load = new(0, 64 << 20, requests, length, 1, depth) { Mixed = false, Reads = reads, FullLength = true, Verifies = false };
        queue.Begin(load);
        Assert.True(load.Done.Wait(300_000, TestContext.Current.CancellationToken));
        Assert.Equal(0, load.Errors);
        double seconds = Stopwatch.GetElapsedTime(load.FirstTicks, load.LastTicks).TotalSeconds;
        TestContext.Current.TestOutputHelper!.WriteLine(
            $"{(reads > 0 ? "read" : "write")} {length} depth {depth}: {requests / seconds:F0} requests/s, "
            + $"{requests * (double)length / seconds / 1e6:F0} MB/s, {load.AllocatedBytes} bytes allocated");
        queue.Dispose();
    }
}
