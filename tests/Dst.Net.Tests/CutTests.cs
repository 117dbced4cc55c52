using System.Net.Sockets;
using Dst.Core.Requests;
using Dst.Core.Wire;

namespace Dst.Net.Tests;

/// <summary>Connections that end anywhere, and the client that comes back with the same ids (S-10, S-11).</summary>
public sealed class CutTests
{
    private const int Length = 4096;

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_write_cut_at_any_byte_runs_once_when_it_is_sent_again(bool reset)
    {
        using TestServer server = new();
        server.Add("mem:1M");
        ulong epoch = 0;
        ulong sequence = 0;
        for (int cut = 0; cut <= WireLimits.HeaderBytes + 8 + Length; cut += cut < 80 ? 3 : 127)
        {
            byte[] data = DataPathTests.Bytes(Length, cut);
            sequence++;
            using ScriptedClient before = ScriptedClient.Live(server.EndPoint, TestServer.Name, epoch);
            before.Send(before.WriteFrame(0, sequence, 0, data).AsSpan(0, cut));
            Cut(before, reset);

            using ScriptedClient after = ScriptedClient.Live(server.EndPoint, TestServer.Name, before.Epoch);
            Assert.DoesNotContain(after.Completed, entry => entry.Sequence == sequence);
            Assert.Equal(DstStatus.Ok, after.Write(0, sequence, 0, data));
            Assert.Equal(data, after.Read(1, sequence, 0, Length));
            epoch = after.Epoch;
        }
    }

    [Fact]
    public void A_batch_whose_replies_nobody_waits_for_is_whole_after_the_resends()
    {
        using TestServer server = new();
        server.Add("file:~/a,size=4M,buffered");
        const int Slots = 32;
        Random random = new(11);
        ulong epoch = 0;
        byte[][] content = [.. Enumerable.Range(0, Slots).Select(_ => new byte[Length])];
        for (ulong sequence = 1; sequence <= 40; sequence++)
        {
            using ScriptedClient before = ScriptedClient.Live(server.EndPoint, TestServer.Name, epoch);
            List<byte> batch = [];
            for (ushort slot = 0; slot < Slots; slot++)
            {
                content[slot] = DataPathTests.Bytes(Length, random.Next());
                batch.AddRange(before.WriteFrame(slot, sequence, slot * Length, content[slot]));
            }

            before.Send(batch.ToArray().AsSpan(0, random.Next(batch.Count + 1)));
            Cut(before, reset: random.Next(2) == 0);

            using ScriptedClient after = ScriptedClient.Live(server.EndPoint, TestServer.Name, before.Epoch);
            HashSet<int> done =
                [.. after.Completed.Where(entry => entry.Sequence == sequence).Select(entry => (int)entry.Slot)];
            for (ushort slot = 0; slot < Slots; slot++)
            {
                // Those that are known to be done are sent again now and then, and answered from the table.
                if (!done.Contains(slot) || slot % 5 == 0)
                {
                    Assert.Equal(DstStatus.Ok, after.Write(slot, sequence, slot * Length, content[slot]));
                }
            }

            for (ushort slot = 0; slot < Slots; slot++)
            {
                Assert.Equal(
                    content[slot], after.Read((ushort)(Slots - 1 - slot), sequence + 1, slot * Length, Length));
            }

            epoch = after.Epoch;
            sequence++;
        }

        TestServer.Eventually(() => server.Status.Connections.Count == 0, "all connections are gone");
        Assert.Equal(0, server.Status.InFlight);
    }

    private static void Cut(ScriptedClient client, bool reset)
    {
        if (reset && client.Socket.AddressFamily != AddressFamily.Unix)
        {
            client.Socket.LingerState = new LingerOption(true, 0);
        }
        else if (!reset)
        {
            client.Socket.Shutdown(SocketShutdown.Send);
        }

        client.Dispose();
    }
}
