using System.Net.Sockets;
using Dst.Core.Requests;
using Dst.Core.Wire;
using Dst.Net.Server;
using Dst.Net.Server.Engine;

namespace Dst.Net.Tests;

/// <summary>Peers that do not play by the rules, next to one that does (S-01, S-14, S-32).</summary>
public sealed class HostileTests
{
    [Fact]
    public void Each_frame_out_of_order_ends_its_connection()
    {
        using TestServer server = new();
        server.Add("mem:1M");
        FrameKind[] kinds = [FrameKind.Begin, FrameKind.Ping, FrameKind.Pong, FrameKind.Goodbye, FrameKind.BeginOk];
        foreach (FrameKind kind in kinds)
        {
            using ScriptedClient client = ScriptedClient.Connect(server.EndPoint);
            client.SendPlain(kind, kind is FrameKind.Begin or FrameKind.BeginOk ? 1UL : 0UL);
            client.ExpectError(RefusalCode.Protocol);
        }

        using ScriptedClient early = ScriptedClient.Connect(server.EndPoint);
        early.Greet();
        early.SendRequest(Operation.Read, 0, 1, 0, 512);
        early.ExpectError(RefusalCode.Protocol);
        using ScriptedClient data = ScriptedClient.Connect(server.EndPoint);
        data.Greet();
        data.Send(data.WriteFrame(0, 1, 0, new byte[1 << 20]).AsSpan(0, 100));
        data.ExpectError(RefusalCode.Protocol);
        using ScriptedClient eager = ScriptedClient.Connect(server.EndPoint);
        eager.Greet();
        Assert.Equal(FrameKind.AttachOk, eager.Attach(TestServer.Name).Kind);
        eager.SendRequest(Operation.Read, 0, 1, 0, 512);
        eager.ExpectError(RefusalCode.Protocol);
    }

    [Fact]
    public void Versions_features_and_exports_that_are_not_known_are_refused_by_name()
    {
        using TestServer server = new();
        server.Add("mem:1M");
        Refused(client => client.SendHello(version: 9), RefusalCode.Version);
        Refused(client => client.SendHello(featuresRequired: 1), RefusalCode.Feature);
        Refused(client => client.SendHello(checksums: 0x80), RefusalCode.Feature);
        Refused(
            client =>
            {
                client.Greet();
                client.SendAttach(client.AttachOf("nothing"));
            },
            RefusalCode.UnknownExport);
        Refused(
            client =>
            {
                client.Greet();
                AttachMessage message = client.AttachOf(TestServer.Name);
                message.Challenge++;
                client.SendAttach(in message);
            },
            RefusalCode.Protocol);
        Refused(
            client =>
            {
                client.Greet();
                AttachMessage message = client.AttachOf(TestServer.Name);
                message.ExpectedIdentity = 99;
                client.SendAttach(in message);
            },
            RefusalCode.Identity);

        void Refused(Action<ScriptedClient> act, RefusalCode code)
        {
            using ScriptedClient client = ScriptedClient.Connect(server.EndPoint);
            act(client);
            client.ExpectError(code);
        }
    }

    [Fact]
    public void Bad_requests_of_a_live_connection_end_it_and_the_disk_is_as_before()
    {
        using TestServer server = new();
        server.Add("mem:1M");
        ulong replaces = 0;
        Bad(client => client.SendRequest(Operation.Read, 40, 1, 0, 512));
        Bad(client =>
        {
            client.Write(0, 5, 0, new byte[512]);
            client.SendWrite(0, 4, 0, DataPathTests.Bytes(512, 9));
        });
        Bad(client => client.SendRequest(Operation.Read, 0, 9, 0, 8 << 20));
        Bad(client => client.SendPlain(FrameKind.Begin, client.Epoch));
        Bad(client => client.SendPlain(FrameKind.Goodbye, client.Epoch + 1));
        Bad(client =>
        {
            byte[] frame = client.WriteFrame(0, 9, 0, DataPathTests.Bytes(512, 9));
            frame[40] ^= 1;
            client.Send(frame);
        });
        using ScriptedClient good = ScriptedClient.Live(server.EndPoint, TestServer.Name, replaces);
        Assert.Equal(new byte[512], good.Read(0, 20, 0, 512));
        Assert.Equal(6, server.Count(NetCounter.BadFrames));

        void Bad(Action<ScriptedClient> act)
        {
            using ScriptedClient client = ScriptedClient.Live(server.EndPoint, TestServer.Name, replaces);
            replaces = client.Epoch;
            act(client);
            client.ExpectError(RefusalCode.Protocol);
        }
    }

    [Fact]
    public void Random_bytes_hurt_nobody_else()
    {
        using TestServer server = new();
        server.Add("mem:1M");
        using ScriptedClient good = ScriptedClient.Live(server.EndPoint, TestServer.Name);
        Random random = new(7);
        ulong sequence = 0;
        for (int i = 0; i < 300; i++)
        {
            using ScriptedClient bad = ScriptedClient.Connect(server.EndPoint);
            byte[] bytes = new byte[random.Next(1, 9000)];
            random.NextBytes(bytes);
            if (i % 3 == 0)
            {
                bad.Greet();
            }

            if (i % 2 == 0)
            {
                // A header that is right up to its end, so that what lies behind is looked at.
                var kind = (FrameKind)random.Next(1, 16);
                FrameHeader header = new() { Kind = kind, Epoch = 1, BodyBytes = (uint)random.Next(0, 5000) };
                Span<byte> frame = Grown(ref bytes);
                int there = int.Min((int)header.BodyBytes, frame.Length - WireLimits.HeaderBytes);
                header.BodyChecksum = DataChecksum.Crc32C(frame.Slice(WireLimits.HeaderBytes, there));
                FrameCodec.Write(in header, frame);
            }

            try
            {
                bad.Send(bytes);
            }
            catch (SocketException)
            {
                // Refused while still sending.
            }

            if (i % 20 == 0)
            {
                Assert.Equal(DstStatus.Ok, good.Write(0, ++sequence, 0, new byte[512]));
            }
        }

        Assert.Equal(DstStatus.Ok, good.Write(0, ++sequence, 0, new byte[512]));
        TestServer.Eventually(() => server.Host.Status().Connections == 1, "the others are gone");
    }

    [Fact]
    public void Two_thousand_idle_connections_leave_room_for_an_honest_one()
    {
        using TestServer server = new();
        server.Add("mem:1M");
        List<Socket> idle = [];
        try
        {
            for (int i = 0; i < 2000; i++)
            {
                Socket socket = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
                socket.Connect(server.EndPoint);
                idle.Add(socket);
            }

            using ScriptedClient good = ScriptedClient.Live(server.EndPoint, TestServer.Name);
            Assert.Equal(DstStatus.Ok, good.Write(0, 1, 0, new byte[512]));
            ServerStatus status = server.Host.Status();
            Assert.True(status.Unattached <= WireLimits.UnattachedMax, $"{status.Unattached} unattached");
            Assert.True(server.Log.Count < 100, $"{server.Log.Count} lines in the log");
            Assert.True(status.SuppressedLogLines > 1000, $"{status.SuppressedLogLines} suppressed");
        }
        finally
        {
            idle.ForEach(socket => socket.Dispose());
        }
    }

    [Fact]
    public void A_handshake_that_takes_too_long_is_ended_in_all_not_per_byte()
    {
        using TestServer server = new();
        server.Add("mem:1M");
        using ScriptedClient slow = ScriptedClient.Connect(server.EndPoint);
        byte[] hello = new byte[64];
        FrameCodec.Write(new FrameHeader { Kind = FrameKind.Hello, BodyBytes = 100 }, hello);
        long start = Environment.TickCount64;
        for (int i = 0; i < 20 && slow.Socket.Available == 0; i++)
        {
            slow.Send(hello.AsSpan(i, 1));
            Thread.Sleep(700);
        }

        slow.ExpectError(RefusalCode.Timeout);
        Assert.InRange(Environment.TickCount64 - start, WireLimits.HandshakeMs - 500, WireLimits.HandshakeMs + 5_000);
    }

    [Fact]
    public void A_silent_client_is_dead_and_its_epoch_over()
    {
        using TestServer server = new();
        server.Add("mem:1M");
        using ScriptedClient silent = ScriptedClient.Live(server.EndPoint, TestServer.Name);
        Thread.Sleep(WireLimits.SilenceMs + 1_000);
        TestServer.Eventually(() => server.Status.Epoch == 0, "the epoch is over");
        Assert.Equal(1, server.Count(NetCounter.Dead));
        Assert.True(server.Status.IsHeld);
        TestServer.Eventually(
            () => server.Log.Any(line => line.Contains("ended: Timeout", StringComparison.Ordinal)), "it is said why");
    }

    [Fact]
    public void Who_fetches_no_replies_uses_up_only_its_own_grant()
    {
        using TestServer server = new();
        server.Add("zero:1G", server.Settings(engines: 1));
        using ScriptedClient greedy = ScriptedClient.Live(
            server.EndPoint, TestServer.Name, with: c => c.Wanted = new CreditGrant(1, 16, 1 << 20));
        using ScriptedClient reader = ScriptedClient.Connect(server.EndPoint);
        reader.Greet();
        Assert.Equal(FrameKind.AttachOk, reader.Attach(TestServer.Name, access: AccessKind.ReadOnly).Kind);
        greedy.Socket.SendTimeout = 300;
        try
        {
            for (ulong sequence = 1; sequence < 5_000; sequence++)
            {
                for (ushort slot = 0; slot < 16; slot++)
                {
                    greedy.SendRequest(Operation.Read, slot, sequence, 0, 32768);
                }
            }

            Assert.Fail("the server reads on for ever");
        }
        catch (SocketException)
        {
            // The server has stopped reading, or has ended a connection that breaks its grant.
        }

        byte[] zeroes = new byte[4096];
        for (ulong sequence = 1; sequence < 200; sequence++)
        {
            Assert.Equal(zeroes, reader.Read(0, sequence, 0, 4096));
        }
    }

    [Theory]
    [InlineData(1, TestServer.MaxIoBytes)]
    [InlineData(2, 4096)]
    public void Readers_that_fetch_their_replies_slowly_do_not_stop_the_writer(int readers, int readBytes)
    {
        using TestServer server = new();
        server.Add("zero:1G", server.Settings(engines: 1));
        using ScriptedClient writer = ScriptedClient.Live(server.EndPoint, TestServer.Name);
        using CancellationTokenSource end = new();
        ScriptedClient[] slow = [.. Enumerable.Range(0, readers).Select(_ => ScriptedClient.Connect(server.EndPoint))];
        Thread[] threads = [.. slow.Select(client => new Thread(() => ReadSlowly(client, readBytes, end.Token)))];
        try
        {
            foreach (ScriptedClient client in slow)
            {
                client.Wanted = new CreditGrant(1, 256, 64 << 20);
                client.Greet();
                Assert.Equal(FrameKind.AttachOk, client.Attach(TestServer.Name, access: AccessKind.ReadOnly).Kind);
            }

            Array.ForEach(threads, thread => thread.Start());
            Thread.Sleep(2_000);
            byte[] data = new byte[TestServer.MaxIoBytes];
            for (ulong sequence = 1; sequence < 20; sequence++)
            {
                Assert.Equal(DstStatus.Ok, writer.Write(0, sequence, 0, data));
            }

            Assert.Equal(0, server.Count(NetCounter.Dead));
        }
        finally
        {
            end.Cancel();
            Array.ForEach(slow, client => client.Dispose());
            Array.ForEach(threads, thread => _ = thread.ThreadState == ThreadState.Unstarted || thread.Join(10_000));
        }
    }

    /// <summary>Asks for as much as the server takes, and takes just enough not to be dead.</summary>
    private static void ReadSlowly(ScriptedClient client, int readBytes, CancellationToken end)
    {
        client.Socket.Blocking = false;
        byte[] some = new byte[256 * 1024];
        byte[] header = new byte[WireLimits.HeaderBytes];
        int slots = int.Min(client.Granted.Credits.Requests, (int)(client.Granted.Credits.PayloadBytes / readBytes));
        long takenMs = Environment.TickCount64;
        for (ulong turn = 0; !end.IsCancellationRequested; turn++)
        {
            FrameHeader request = client.Request(
                Operation.Read, (ushort)(turn % (ulong)slots), 1 + (turn / (ulong)slots), 0, readBytes);
            FrameCodec.Write(in request, header);
            for (int sent = 0; sent < header.Length && !end.IsCancellationRequested;)
            {
                sent += int.Max(client.Socket.Send(header.AsSpan(sent), SocketFlags.None, out SocketError _), 0);
                if (Environment.TickCount64 - takenMs > 200)
                {
                    client.Socket.Receive(some.AsSpan(), SocketFlags.None, out SocketError _);
                    takenMs = Environment.TickCount64;
                }
            }

            Thread.Sleep(1);
        }
    }

    [Fact]
    public void Pings_of_a_client_that_reads_nothing_take_no_memory()
    {
        const int Pings = 30_000;
        using TestServer server = new();
        server.Add("mem:1M");
        using ScriptedClient client = ScriptedClient.Connect(server.EndPoint);
        client.Greet();
        byte[] pings = new byte[Pings * WireLimits.HeaderBytes];
        for (int i = 0; i < Pings; i++)
        {
            MessageCodec.WritePlain(FrameKind.Ping, 0, 1, pings.AsSpan(i * WireLimits.HeaderBytes));
        }

        client.Send(pings);
        client.SendAttach(client.AttachOf(TestServer.Name));
        int pongs = 0;
        Frame frame = client.Receive();
        for (; frame.Kind == FrameKind.Pong; frame = client.Receive())
        {
            pongs++;
        }

        Assert.Equal(FrameKind.AttachOk, frame.Kind);
        Assert.InRange(pongs, 1, Pings / 2);
    }

    private static Span<byte> Grown(ref byte[] bytes)
    {
        if (bytes.Length < WireLimits.HeaderBytes)
        {
            Array.Resize(ref bytes, WireLimits.HeaderBytes);
        }

        return bytes;
    }
}
