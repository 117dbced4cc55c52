using System.Diagnostics;
using Dst.Core.Requests;
using Dst.Core.Wire;
using Dst.Net.Server;

namespace Dst.Net.Tests;

/// <summary>Holds, epochs and drains, with real sockets, threads and files.</summary>
public sealed class SessionTests
{
    [Fact]
    public void A_second_device_is_refused_and_told_who_holds_the_export()
    {
        using TestServer server = new();
        server.Add("mem:1M");
        using ScriptedClient first = ScriptedClient.Live(server.EndPoint, TestServer.Name);
        using ScriptedClient second = ScriptedClient.Connect(server.EndPoint);
        second.Device = 0xd2;
        second.Greet();
        Frame refused = second.Attach(TestServer.Name);
        Assert.Equal(RefusalCode.Held, refused.Code);
        Assert.Equal(WireError.None, MessageCodec.TryRead(refused.Body, out ErrorMessage message));
        Assert.Contains("test host", message.Holder.ToString(), StringComparison.Ordinal);
        Assert.Equal(first.Epoch, message.Epoch);
        Assert.Equal(DstStatus.Ok, first.Write(0, 1, 0, DataPathTests.Bytes(512, 1)));
    }

    [Fact]
    public void Holds_outlive_the_server()
    {
        using TestServer server = new();
        server.Add("file:~/a,size=1M");
        ScriptedClient client = ScriptedClient.Live(server.EndPoint, TestServer.Name);
        byte[] data = DataPathTests.Bytes(512, 1);
        Assert.Equal(DstStatus.Ok, client.Write(0, 1, 0, data));
        ulong epoch = client.Epoch;
        ulong boot = client.Granted.BootId;
        server.Stop();
        Frame? last = client.TryReceive();
        Assert.Equal("ERROR ShuttingDown", last!.ToString());
        client.Dispose();

        server.Start();
        server.Add("file:~/a");
        using ScriptedClient stranger = ScriptedClient.Connect(server.EndPoint);
        stranger.Device = 0xd2;
        stranger.Greet();
        Assert.Equal(RefusalCode.Held, stranger.Attach(TestServer.Name).Code);
        using ScriptedClient copy = ScriptedClient.Connect(server.EndPoint);
        copy.Greet();
        Assert.Equal(RefusalCode.Fenced, copy.Attach(TestServer.Name, replaces: epoch + 7).Code);
        using ScriptedClient again = ScriptedClient.Live(server.EndPoint, TestServer.Name, replaces: epoch);
        Assert.True(again.Epoch > epoch);
        Assert.NotEqual(boot, again.Granted.BootId);
        Assert.Empty(again.Completed);
        Assert.Equal(data, again.Read(0, 2, 0, 512));
    }

    [Fact]
    public void A_write_inside_the_disk_lands_before_the_new_session_begins()
    {
        using TestServer server = new();
        server.Add("delay:2500,mem:1M");
        using ScriptedClient old = ScriptedClient.Live(server.EndPoint, TestServer.Name);
        byte[] ghost = DataPathTests.Bytes(512, 1);
        old.SendWrite(3, 1, 0, ghost);
        TestServer.Eventually(() => server.Status.InFlight == 1, "the write is with the disk");

        using ScriptedClient next = ScriptedClient.Connect(server.EndPoint);
        next.Greet();
        long start = Stopwatch.GetTimestamp();
        Assert.Equal(FrameKind.AttachOk, next.Attach(TestServer.Name, replaces: old.Epoch).Kind);
        Assert.True(Stopwatch.GetElapsedTime(start).TotalMilliseconds > 1_000, "the drain did not wait for the disk");
        Assert.NotEmpty(next.Waits);
        CompletedEntry done = Assert.Single(next.Completed);
        Assert.Equal(((ushort)3, 1UL, (ushort)0), (done.Slot, done.Sequence, done.Status));
        old.ExpectError(RefusalCode.EpochOver);

        next.Begin();
        // Sent again it is answered from the table, and does not run over what is newer.
        byte[] newer = DataPathTests.Bytes(512, 2);
        Assert.Equal(DstStatus.Ok, next.Write(1, 1, 0, newer));
        Assert.Equal(DstStatus.Ok, next.Write(3, 1, 0, ghost));
        Assert.Equal(newer, next.Read(2, 1, 0, 512));
    }

    [Fact]
    public void A_write_whose_client_is_long_gone_is_awaited_too()
    {
        using TestServer server = new();
        server.Add("delay:2500,mem:1M");
        ulong epoch;
        using (ScriptedClient old = ScriptedClient.Live(server.EndPoint, TestServer.Name))
        {
            epoch = old.Epoch;
            old.SendWrite(0, 1, 0, DataPathTests.Bytes(512, 1));
            TestServer.Eventually(() => server.Status.InFlight == 1, "the write is with the disk");
        }

        TestServer.Eventually(() => server.Status.Connections.Count == 0, "the connection is gone");
        Assert.True(server.Status.IsDraining);
        using ScriptedClient next = ScriptedClient.Live(server.EndPoint, TestServer.Name, replaces: epoch);
        Assert.Single(next.Completed);
        Assert.Equal(DataPathTests.Bytes(512, 1), next.Read(0, 2, 0, 512));
    }

    [Fact]
    public void A_request_that_waits_for_its_body_is_dropped_by_a_newer_attach()
    {
        using TestServer server = new();
        server.Add("mem:1M");
        using ScriptedClient old = ScriptedClient.Live(server.EndPoint, TestServer.Name);
        byte[] frame = old.WriteFrame(0, 1, 0, DataPathTests.Bytes(65536, 1));
        old.Send(frame.AsSpan(0, 40_000));
        Thread.Sleep(100);
        using ScriptedClient next = ScriptedClient.Live(server.EndPoint, TestServer.Name, replaces: old.Epoch);
        Assert.Empty(next.Completed);
        old.Send(frame.AsSpan(40_000));
        old.ExpectError(RefusalCode.EpochOver);
        Assert.Equal(new byte[65536], next.Read(0, 1, 0, 65536));
    }

    [Fact]
    public void Several_connections_share_an_epoch_and_end_together()
    {
        using TestServer server = new();
        server.Add("mem:1M");
        using ScriptedClient first = ScriptedClient.Live(
            server.EndPoint, TestServer.Name, with: c => c.Wanted = new CreditGrant(3, 16, 1 << 20));
        Assert.Equal(3, first.Granted.Credits.Connections);
        using ScriptedClient second = ScriptedClient.Connect(server.EndPoint);
        second.Greet();
        Assert.Equal(FrameKind.JoinOk, second.Join(TestServer.Name, first, 1).Kind);
        byte[] data = DataPathTests.Bytes(4096, 1);
        Assert.Equal(DstStatus.Ok, second.Write(0, 1, 0, data));
        Assert.Equal(data, first.Read(0, 1, 0, 4096));

        using ScriptedClient taken = ScriptedClient.Connect(server.EndPoint);
        taken.Greet();
        Assert.Equal(RefusalCode.Token, taken.Join(TestServer.Name, first, 1).Code);

        second.Dispose();
        first.ExpectError(RefusalCode.EpochOver);
        Assert.True(server.Status.IsHeld);
    }

    [Fact]
    public void Half_a_write_does_not_keep_the_last_word_back()
    {
        using TestServer server = new();
        server.Add("mem:1M");
        using ScriptedClient client = ScriptedClient.Live(server.EndPoint, TestServer.Name);
        byte[] frame = client.WriteFrame(0, 1, 0, DataPathTests.Bytes(65536, 1));
        client.Send(frame.AsSpan(0, 40_000));
        Thread.Sleep(100);
        Thread stop = new(server.Stop);
        stop.Start();
        client.ExpectError(RefusalCode.ShuttingDown);
        client.Dispose();
        stop.Join();
    }

    [Fact]
    public void Idle_connections_do_not_push_out_a_client_that_waits_for_the_disk()
    {
        using TestServer server = new();
        TrapNode? trap = null;
        server.Around = (node, signals) => trap = new TrapNode(node, signals);
        server.Add("mem:1M");
        using ScriptedClient old = ScriptedClient.Live(server.EndPoint, TestServer.Name);
        trap!.Arm();
        old.SendWrite(0, 1, 0, DataPathTests.Bytes(512, 1));
        Assert.True(trap.Catches(10_000));
        using ScriptedClient next = ScriptedClient.Connect(server.EndPoint);
        next.Greet();
        next.SendAttach(next.AttachOf(TestServer.Name, old.Epoch));
        old.ExpectError(RefusalCode.EpochOver);
        List<ScriptedClient> idle = [];
        for (int i = 0; i < 2 * WireLimits.UnattachedMax; i++)
        {
            idle.Add(ScriptedClient.Connect(server.EndPoint));
        }

        idle[^1].Greet();
        trap.Release();
        Assert.Equal(FrameKind.AttachOk, next.ReceiveGrant().Kind);
        idle.ForEach(client => client.Dispose());
    }

    [Fact]
    public void Who_comes_and_goes_does_not_fill_the_log()
    {
        using TestServer server = new();
        server.Add("mem:1M");
        for (int i = 0; i < 3 * PeerLog.LinesMax; i++)
        {
            using ScriptedClient client = ScriptedClient.Live(server.EndPoint, TestServer.Name);
            Assert.Equal(FrameKind.Goodbye, client.Goodbye().Kind);
        }

        Assert.InRange(server.Log.Count(line => line.Contains("is granted", StringComparison.Ordinal)), 1, 10);
    }

    [Fact]
    public void An_operator_ends_the_hold_of_a_dead_client()
    {
        using TestServer server = new();
        server.Add("mem:1M");
        using ScriptedClient first = ScriptedClient.Live(server.EndPoint, TestServer.Name);
        server.Host.ReleaseHold(TestServer.Name, 10_000);
        first.ExpectError(RefusalCode.Released);
        using ScriptedClient second = ScriptedClient.Live(server.EndPoint, TestServer.Name, with: c => c.Device = 0xd2);
        Assert.True(second.Epoch > first.Epoch);
        Assert.Throws<ServerException>(() => server.Host.ReleaseHold("nobody", 100));
    }

    [Fact]
    public void A_take_over_fences_the_holder()
    {
        using TestServer server = new();
        server.Add("mem:1M");
        using ScriptedClient first = ScriptedClient.Live(server.EndPoint, TestServer.Name);
        using ScriptedClient second = ScriptedClient.Connect(server.EndPoint);
        second.Device = 0xd2;
        second.Greet();
        Assert.Equal(FrameKind.AttachOk, second.Attach(TestServer.Name, replaces: first.Epoch, takeOver: true).Kind);
        second.Begin();
        Assert.Equal(DstStatus.Ok, second.Write(0, 1, 0, DataPathTests.Bytes(512, 1)));
        using ScriptedClient back = ScriptedClient.Connect(server.EndPoint);
        back.Greet();
        Assert.Equal(RefusalCode.Fenced, back.Attach(TestServer.Name, replaces: first.Epoch).Code);
    }

    [Fact]
    public void A_removed_export_is_gone_and_its_name_may_come_again()
    {
        using TestServer server = new();
        server.Add("delay:300,mem:1M");
        using ScriptedClient client = ScriptedClient.Live(server.EndPoint, TestServer.Name);
        client.SendWrite(0, 1, 0, DataPathTests.Bytes(512, 1));
        TestServer.Eventually(() => server.Status.InFlight == 1, "the write is with the disk");
        server.Host.RemoveExport(TestServer.Name, failPending: false, 10_000);
        client.ExpectError(RefusalCode.ExportGone);
        Assert.Empty(server.Host.Status().Exports);
        server.Add("mem:1M");
        using ScriptedClient again = ScriptedClient.Live(server.EndPoint, TestServer.Name, replaces: client.Epoch);
        Assert.True(again.Epoch > client.Epoch);
    }

    [Fact]
    public void A_disk_that_does_not_answer_keeps_its_export_until_it_is_forced()
    {
        using TestServer server = new();
        server.Add("delay:60000,mem:1M");
        using ScriptedClient client = ScriptedClient.Live(server.EndPoint, TestServer.Name);
        client.SendWrite(0, 1, 0, DataPathTests.Bytes(512, 1));
        TestServer.Eventually(() => server.Status.InFlight == 1, "the write is with the disk");
        ServerException e = Assert.Throws<ServerException>(() => server.Host.RemoveExport(TestServer.Name, false, 300));
        Assert.Contains("--force", e.Message, StringComparison.Ordinal);
        server.Host.RemoveExport(TestServer.Name, failPending: true, 10_000);
        Assert.Empty(server.Host.Status().Exports);
    }

    [Fact]
    public void Nobody_attaches_when_the_hold_cannot_be_written()
    {
        using TestServer server = new();
        server.Add("mem:1M");
        // A folder in the way of the record.
        Directory.CreateDirectory(Path.Join(server.Folder, TestServer.Name + ".hold", "x"));
        using ScriptedClient client = ScriptedClient.Connect(server.EndPoint);
        client.Greet();
        Assert.Equal(RefusalCode.Unstable, client.Attach(TestServer.Name).Code);
        Directory.Delete(Path.Join(server.Folder, TestServer.Name + ".hold"), recursive: true);
        using ScriptedClient later = ScriptedClient.Live(server.EndPoint, TestServer.Name);
        Assert.Equal(DstStatus.Ok, later.Write(0, 1, 0, DataPathTests.Bytes(512, 1)));
    }
}
