using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using Dst.Core.Requests;
using Dst.Core.Wire;
using Dst.Net.Server;
using Dst.Net.Server.Engine;

namespace Dst.Net.Tests;

/// <summary>Requests a second over one loopback connection, from a client that sends what it may in one go. For people, not for a verdict.</summary>
public sealed class SpeedTests
{
    private const int RunMs = 4_000;

    [Theory(Explicit = true)]
    [InlineData(Operation.Read, 4096, 32)]
    [InlineData(Operation.Write, 4096, 32)]
    [InlineData(Operation.Read, 4096, 1)]
    [InlineData(Operation.Read, 1 << 20, 8)]
    [InlineData(Operation.Write, 1 << 20, 8)]
    public void Speed_of_requests(Operation operation, int length, int depth)
    {
        using TestServer server = new(256 << 20);
        using Socket probe = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        probe.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        var endPoint = (IPEndPoint)probe.LocalEndPoint!;
        probe.Dispose();
        Assert.True(ListenAddress.TryParse(endPoint.ToString(), out ListenAddress? address, out _));
        server.Add("zero:1G", server.Settings(engines: 1) with { Listen = [address], MemoryBytes = 128 << 20 });
        using ScriptedClient client = ScriptedClient.Live(endPoint, TestServer.Name, with: c => c.Wanted = new CreditGrant(1, (ushort)depth, 16 << 20));
        long done = Run(client, operation, length, depth, out double seconds);
        double microsPerSend = server.Count(NetCounter.BytesReceived);
        TestContext.Current.TestOutputHelper!.WriteLine(
            $"{operation} {length} depth {depth}: {done / seconds:F0} requests/s, {done * (double)length / seconds / 1e6:F0} MB/s, "
            + $"{(double)done / server.Count(NetCounter.Sends):F1} replies in a send, {microsPerSend / server.Count(NetCounter.Receives):F0} bytes in a receive");
        Assert.True(done > 0);
    }

    private static long Run(ScriptedClient client, Operation operation, int length, int depth, out double seconds)
    {
        Socket socket = client.Socket;
        byte[] frame = operation == Operation.Write ? client.WriteFrame(0, 1, 0, new byte[length]) : new byte[WireLimits.HeaderBytes];
        byte[] batch = new byte[frame.Length * depth];
        for (int i = 0; i < depth; i++)
        {
            frame.CopyTo(batch, i * frame.Length);
        }

        ulong[] sequences = new ulong[depth];
        ushort[] ready = [.. Enumerable.Range(0, depth).Select(i => (ushort)i)];
        int readyCount = depth;
        byte[] received = new byte[4 << 20];
        int have = 0;
        long done = 0;
        long start = Stopwatch.GetTimestamp();
        while (Stopwatch.GetElapsedTime(start).TotalMilliseconds < RunMs)
        {
            for (int i = 0; i < readyCount; i++)
            {
                FrameHeader header = client.Request(operation, ready[i], ++sequences[ready[i]], ready[i] * (long)length, length);
                header.BodyBytes = (uint)(frame.Length - WireLimits.HeaderBytes);
                FrameCodec.Write(in header, batch.AsSpan(i * frame.Length));
            }

            client.Send(batch.AsSpan(0, readyCount * frame.Length));
            readyCount = 0;
            while (readyCount == 0)
            {
                have += socket.Receive(received.AsSpan(have));
                int at = 0;
                while (have - at >= WireLimits.HeaderBytes)
                {
                    Assert.Equal(WireError.None, FrameCodec.TryRead(received.AsSpan(at, have - at), out FrameHeader reply));
                    int total = WireLimits.HeaderBytes + (int)reply.BodyBytes;
                    if (have - at < total)
                    {
                        break;
                    }

                    at += total;
                    if (reply.Kind == FrameKind.Reply)
                    {
                        Assert.Equal(0, reply.Status);
                        ready[readyCount++] = reply.Slot;
                        done++;
                    }
                }

                received.AsSpan(at, have - at).CopyTo(received);
                have -= at;
            }
        }

        seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        return done;
    }
}
