using Dst.Core.Requests;
using Dst.Core.Wire;
using Dst.Net.Server;
using Dst.Net.Server.Engine;

namespace Dst.Net.Tests;

/// <summary>Requests of one client from its socket to the disk and back.</summary>
public sealed class DataPathTests
{
    [Fact]
    public void A_client_attaches_writes_reads_and_flushes_a_file()
    {
        using TestServer server = new();
        server.Add("file:~/a,size=64M");
        using ScriptedClient client = ScriptedClient.Live(server.EndPoint, TestServer.Name);
        byte[] data = Bytes(4096, 1);
        Assert.Equal(DstStatus.Ok, client.Write(0, 1, 8192, data));
        Assert.Equal(data, client.Read(1, 1, 8192, 4096));
        Assert.Equal(DstStatus.Ok, client.Other(Operation.Flush, 2, 1));
        Assert.Equal(DstStatus.Ok, client.Other(Operation.WriteZeroes, 3, 1, 8192, 4096));
        Assert.Equal(new byte[4096], client.Read(1, 2, 8192, 4096));
        Assert.Equal(FrameKind.Goodbye, client.Goodbye().Kind);
        Assert.Null(client.TryReceive());
        Assert.False(server.Status.IsHeld);
    }

    [Theory]
    [InlineData(ChecksumKind.None)]
    [InlineData(ChecksumKind.Crc32C)]
    [InlineData(ChecksumKind.Xxh3)]
    public void Every_length_up_to_the_largest_request_arrives_whole(ChecksumKind kind)
    {
        using TestServer server = new();
        server.Add("mem:16M");
        using ScriptedClient client =
            ScriptedClient.Live(server.EndPoint, TestServer.Name, with: c => c.Checksum = kind);
        ulong sequence = 0;
        foreach (int length in new[] { 512, 4096, 61440, 65024, 65536, 66048, 131072, 500_224, 1 << 20 })
        {
            byte[] data = Bytes(length, length);
            Assert.Equal(DstStatus.Ok, client.Write(0, ++sequence, 512, data));
            Assert.Equal(data, client.Read(1, sequence, 512, length));
        }
    }

    [Fact]
    public void Frames_may_be_cut_anywhere()
    {
        using TestServer server = new();
        server.Add("mem:16M");
        using ScriptedClient client = ScriptedClient.Live(server.EndPoint, TestServer.Name);
        byte[] data = Bytes(1024, 3);
        for (int cut = 1; cut < 200; cut += 7)
        {
            byte[] first = client.WriteFrame(0, (ulong)cut, 0, data);
            byte[] two = [.. first, .. client.WriteFrame(1, (ulong)cut, 4096, data)];
            client.Send(two.AsSpan(0, cut));
            Thread.Sleep(1);
            client.Send(two.AsSpan(cut, 1000));
            Thread.Sleep(1);
            client.Send(two.AsSpan(cut + 1000));
            Assert.Equal(DstStatus.Ok, client.ReceiveReply(0, (ulong)cut));
            Assert.Equal(DstStatus.Ok, client.ReceiveReply(1, (ulong)cut));
        }

        Assert.Equal(data, client.Read(2, 1, 4096, 1024));
    }

    [Fact]
    public void Many_requests_in_flight_go_in_few_receives_and_sends_and_allocate_nothing()
    {
        using TestServer server = new();
        server.Add("mem:16M", server.Settings(engines: 1));
        using ScriptedClient client = ScriptedClient.Live(server.EndPoint, TestServer.Name);
        byte[] data = Bytes(4096, 9);
        const int Rounds = 400;
        ulong sequence = 0;
        Round();
        long before = Allocated(server);
        long receives = server.Count(NetCounter.Receives);
        long sends = server.Count(NetCounter.Sends);
        for (int i = 0; i < Rounds; i++)
        {
            Round();
        }

        Assert.Equal(before, Allocated(server));
        // 32 requests of a round come in about 132 KiB.
        Assert.True(server.Count(NetCounter.Receives) - receives < Rounds * 16,
            $"{server.Count(NetCounter.Receives) - receives} receives");
        Assert.True(server.Count(NetCounter.Sends) - sends < Rounds * 16,
            $"{server.Count(NetCounter.Sends) - sends} sends");

        void Round()
        {
            sequence++;
            List<byte> batch = [];
            for (ushort slot = 0; slot < 32; slot++)
            {
                batch.AddRange(client.WriteFrame(slot, sequence, slot * 4096, data));
            }

            client.Send(batch.ToArray());
            for (int i = 0; i < 32; i++)
            {
                Assert.Equal(FrameKind.Reply, client.Receive().Kind);
            }
        }
    }

    [Fact]
    public void What_the_export_cannot_do_is_refused_with_a_status_and_the_connection_lives_on()
    {
        using TestServer server = new();
        server.Add("mem:1M");
        using ScriptedClient client = ScriptedClient.Live(server.EndPoint, TestServer.Name);
        Assert.Equal(DstStatus.Invalid, client.Write(0, 1, 1 << 20, Bytes(512, 1)));
        Assert.Equal(DstStatus.Invalid, client.Write(0, 2, 100, Bytes(512, 1)));
        Assert.Equal(DstStatus.Invalid, client.Other(Operation.Discard, 0, 3, 0, 2 << 20));
        Assert.Equal(DstStatus.Ok, client.Write(0, 4, 0, Bytes(512, 1)));
        Assert.Equal(3, server.Count(NetCounter.AnsweredWithoutDisk));
    }

    [Fact]
    public void A_read_only_client_reads_beside_the_writer_and_changes_nothing()
    {
        using TestServer server = new();
        server.Add("mem:1M");
        using ScriptedClient writer = ScriptedClient.Live(server.EndPoint, TestServer.Name);
        using ScriptedClient reader = ScriptedClient.Connect(server.EndPoint);
        reader.Greet();
        Assert.Equal(FrameKind.AttachOk, reader.Attach(TestServer.Name, access: AccessKind.ReadOnly).Kind);
        Assert.Equal(0u, reader.Epoch);
        byte[] data = Bytes(512, 4);
        Assert.Equal(DstStatus.Ok, writer.Write(0, 1, 0, data));
        Assert.Equal(data, reader.Read(0, 1, 0, 512));
        Assert.Equal(DstStatus.ReadOnly, reader.Write(0, 2, 0, Bytes(512, 5)));
        Assert.Equal(data, writer.Read(0, 2, 0, 512));
    }

    [Fact]
    public void Damaged_data_never_reaches_the_disk()
    {
        using TestServer server = new();
        server.Add("mem:1M");
        using ScriptedClient client = ScriptedClient.Live(server.EndPoint, TestServer.Name);
        Assert.Equal(DstStatus.Ok, client.Write(0, 1, 0, Bytes(4096, 1)));
        byte[] frame = client.WriteFrame(0, 2, 0, Bytes(4096, 2));
        frame[^1] ^= 1;
        client.Send(frame);
        Frame error = client.Receive();
        Assert.Equal("ERROR Checksum", error.ToString());
        Assert.Equal(WireError.None, MessageCodec.TryRead(error.Body, out ErrorMessage message));
        Assert.Equal((0, 2UL), (message.Slot, message.Sequence));
        Assert.Null(client.TryReceive());
        using ScriptedClient again = ScriptedClient.Live(server.EndPoint, TestServer.Name, replaces: client.Epoch);
        Assert.Equal(Bytes(4096, 1), again.Read(1, 1, 0, 4096));
        Assert.Equal(1, server.Count(NetCounter.BadChecksums));
    }

    [Fact]
    public void Pings_are_answered_and_sent()
    {
        using TestServer server = new();
        server.Add("delay:400,mem:1M");
        using ScriptedClient client = ScriptedClient.Live(server.EndPoint, TestServer.Name);
        client.SendWrite(0, 1, 0, Bytes(512, 1));
        client.SendPlain(FrameKind.Ping, 0, 4711);
        Frame pong = client.Receive();
        Assert.Equal((FrameKind.Pong, 4711UL), (pong.Kind, pong.Header.Sequence));
        Assert.Equal(DstStatus.Ok, client.ReceiveReply(0, 1));
        Assert.Equal(FrameKind.Ping, client.TryReceive(pings: true)!.Kind);
    }

    internal static byte[] Bytes(int length, int seed)
    {
        byte[] bytes = new byte[length];
        new Random(seed).NextBytes(bytes);
        return bytes;
    }

    /// <summary>Published with the engine's ticks: wait for two of them.</summary>
    private static long Allocated(TestServer server)
    {
        Thread.Sleep(3 * ServerLimits.TickMs);
        return server.Count(NetCounter.AllocatedBytes);
    }
}
