using Dst.Core.Requests;
using Dst.Core.Sessions.Client;
using Dst.Core.Wire;
using Dst.Net.Client;
using Dst.Net.Server;

namespace Dst.Net.Tests.Client;

/// <summary>Who may write, through everything that operators and copies do (S-02 to S-04, S-07).</summary>
public sealed class HolderTests
{
    private const int Length = 512;
    private const int TimeoutMs = 30_000;
    private const int PauseMs = 50;

    [Fact]
    public void A_client_that_was_taken_over_stays_out_after_the_new_holder_left_and_the_server_restarted()
    {
        using TestServer server = new();
        server.Add("file:~/a,size=1M");
        using HoldProxy proxy = new(server.EndPoint);
        using NetworkNode first = TestNode.Open(TestNode.Tcp(proxy.Port), pauseMaxMs: PauseMs);
        using TestQueue queue = TestQueue.Start(1, first)[0];
        Assert.Equal(DstStatus.Ok, queue.Write(0, Bytes(1)));

        // Stopped: nothing of it arrives, and what it has waits.
        proxy.Refuses = true;
        proxy.CutAll();
        TestQueue.Job old = queue.BeginWrite(0, Bytes(2));
        using (NetworkNode second = TestNode.Open(TestNode.Unix(server), device: 2, takeOver: true))
        {
            using TestQueue other = TestQueue.Start(1, second)[0];
            Assert.Equal(DstStatus.Ok, other.Write(0, Bytes(3)));
            Assert.True(second.Goodbye(TimeoutMs), "the hold is not given back");
        }

        server.Stop();
        server.Start();
        server.Add("file:~/a,size=1M");
        Assert.False(server.Status.IsHeld);
        proxy.Refuses = false;
        Assert.True(old.Ends(TimeoutMs), $"a request of a fenced client does not end: {first.Status}");
        Assert.Equal(DstStatus.ReservationConflict, old.Status);
        TestServer.Eventually(() => first.Status.Phase == ClientNodePhase.Failed, "status says so");
        Reads(server, 3);
    }

    [Fact]
    public void A_copy_of_a_clients_state_and_the_original_never_both_write()
    {
        using TestServer server = new();
        server.Add("file:~/a,size=1M");
        MemoryStores stores = new();
        using NetworkNode original = TestNode.Open(TestNode.Unix(server), stores, pauseMaxMs: PauseMs);
        using TestQueue queue = TestQueue.Start(1, original)[0];
        MemoryStores early = new() { Epoch = stores.Epoch };
        server.Stop();
        server.Start();
        server.Add("file:~/a,size=1M");
        Assert.Equal(DstStatus.Ok, queue.Write(0, Bytes(1)));

        // An old copy is fenced; one that is as new as the original takes its place, and the original is out.
        NetworkNodeException e = Assert.Throws<NetworkNodeException>(
            () => TestNode.Open(TestNode.Unix(server), early, waitMs: 5_000));
        Assert.DoesNotContain('\n', e.Message);
        Assert.Equal(DstStatus.Ok, queue.Write(0, Bytes(2)));
        MemoryStores late = new() { Epoch = stores.Epoch };
        using (NetworkNode copy = TestNode.Open(TestNode.Unix(server), late, pauseMaxMs: PauseMs))
        {
            using TestQueue other = TestQueue.Start(1, copy)[0];
            Assert.Equal(DstStatus.Ok, other.Write(0, Bytes(3)));
            TestServer.Eventually(() => original.Status.Phase == ClientNodePhase.Failed, "the original is out");
            Assert.Equal(DstStatus.ReservationConflict, queue.Write(0, Bytes(4)));
            Assert.Equal(Bytes(3), other.Read(0, Length));
        }

        Reads(server, 3);
    }

    [Theory]
    [InlineData("away")]
    [InlineData("live")]
    [InlineData("in the disk")]
    public async Task A_client_that_was_released_never_writes_again(string where)
    {
        using TestServer server = new();
        TrapNode? trap = null;
        server.Around = (node, signals) => trap = new TrapNode(node, signals);
        server.Add("file:~/a,size=1M");
        using HoldProxy proxy = new(server.EndPoint);
        using NetworkNode first = TestNode.Open(TestNode.Tcp(proxy.Port), pauseMaxMs: PauseMs);
        using TestQueue queue = TestQueue.Start(1, first)[0];
        Assert.Equal(DstStatus.Ok, queue.Write(0, Bytes(1)));
        TestQueue.Job? old = null;
        if (where == "away")
        {
            proxy.Refuses = true;
            proxy.CutAll();
            old = queue.BeginWrite(0, Bytes(2));
        }
        else if (where == "in the disk")
        {
            trap!.Arm();
            old = queue.BeginWrite(0, Bytes(2));
            Assert.True(trap.Catches(TimeoutMs), "the write does not come");
        }

        CancellationToken stop = TestContext.Current.CancellationToken;
        Task release = Task.Run(() => server.Host.ReleaseHold(TestServer.Name, TimeoutMs), stop);
        if (where == "in the disk")
        {
            await Task.Delay(300, stop);
            Assert.False(release.IsCompleted, "a release does not wait for the disk");
            trap!.Release();
        }

        await release;
        Assert.False(server.Status.IsHeld);
        if (where == "away")
        {
            // Back before anybody else has come.
            proxy.Refuses = false;
            Assert.True(old!.Ends(TimeoutMs), $"a request of a released client does not end: {first.Status}");
        }

        using (NetworkNode second = TestNode.Open(TestNode.Unix(server), device: 2))
        {
            using TestQueue other = TestQueue.Start(1, second)[0];
            Assert.Equal(DstStatus.Ok, other.Write(0, Bytes(3)));
            Assert.True(second.Goodbye(TimeoutMs), "the hold is not given back");
        }

        server.Stop();
        server.Start();
        server.Add("file:~/a,size=1M");
        old ??= queue.BeginWrite(0, Bytes(2));
        Assert.True(old.Ends(TimeoutMs), $"a request of a released client does not end: {first.Status}");
        Assert.Equal(DstStatus.ReservationConflict, old.Status);
        Assert.Equal(DstStatus.ReservationConflict, queue.Write(0, Bytes(4)));
        Assert.Equal(ClientNodePhase.Failed, first.Status.Phase);
        Reads(server, 3);
    }

    [Theory]
    [InlineData("shrunk")]
    [InlineData("exchanged")]
    [InlineData("made anew")]
    [InlineData("read-only")]
    public void An_export_that_became_another_gets_nothing_and_the_right_one_gets_all(string what)
    {
        using TestServer server = new();
        server.Add("file:~/a,size=2M");
        using NetworkNode node = TestNode.Open(TestNode.Unix(server), pauseMaxMs: PauseMs);
        using TestQueue queue = TestQueue.Start(1, node)[0];
        Assert.Equal(DstStatus.Ok, queue.Write(0, Bytes(1)));
        server.Stop();
        string hold = Directory.GetFiles(server.Folder, "*.hold").Single();
        if (what == "made anew")
        {
            File.Move(hold, hold + "-kept");
        }

        server.Start();
        ExportSettings other = server.Settings() with { Identity = TestServer.Identity + 1 };
        string spec = what switch
        {
            "shrunk" => "file:~/b,size=1M",
            "read-only" => "file:~/a,size=2M",
            _ => "file:~/b,size=2M",
        };
        server.Add(spec, what is "exchanged" or "made anew" ? other : null, readOnly: what == "read-only");
        TestQueue.Job waiting = queue.BeginWrite(0, Bytes(2));
        TestServer.Eventually(() => node.Status.LastError.Length > 0 && node.Status.State.Contains(
            "refused", StringComparison.Ordinal), $"refused: {node.Status}");
        Assert.False(waiting.Ends(300), $"a request ends on an export that was {what}: {waiting.Status}");
        Assert.NotEqual(ClientNodePhase.Failed, node.Status.Phase);
        server.Stop();
        if (what != "read-only")
        {
            Assert.All(File.ReadAllBytes(Path.Join(server.Folder, "b")), b => Assert.Equal(0, b));
        }

        if (what == "made anew")
        {
            File.Move(hold + "-kept", hold, overwrite: true);
        }

        server.Start();
        server.Add("file:~/a,size=2M");
        Assert.True(waiting.Ends(TimeoutMs) && waiting.Status == DstStatus.Ok, $"{waiting.Status}: {node.Status}");
        Assert.Equal(Bytes(2), queue.Read(0, Length));
    }

    [Fact]
    public async Task Of_two_writers_one_is_refused_and_its_tries_disturb_nobody()
    {
        using TestServer server = new();
        server.Add("mem:1M");
        using NetworkNode holder = TestNode.Open(TestNode.Unix(server));
        using TestQueue queue = TestQueue.Start(1, holder)[0];
        Assert.Equal(DstStatus.Ok, queue.Write(0, Bytes(0)));
        ulong epoch = server.Status.Epoch;
        Task<NetworkNodeException> refused = Task.Factory.StartNew(
            () => Assert.Throws<NetworkNodeException>(
                () => TestNode.Open(TestNode.Unix(server), device: 2, waitMs: 1_000, pauseMaxMs: 1)),
            CancellationToken.None,
            TaskCreationOptions.LongRunning,
            TaskScheduler.Default);
        for (int i = 1; !refused.IsCompleted; i++)
        {
            Assert.Equal(DstStatus.Ok, queue.Write(0, Bytes(i)));
            Assert.Equal(Bytes(i), queue.Read(0, Length));
        }

        NetworkNodeException e = await refused;
        Assert.Contains("held by test", e.Message, StringComparison.Ordinal);
        Assert.Equal(epoch, server.Status.Epoch);
        Assert.Equal(0, holder.Status.Reconnects);
    }

    private static byte[] Bytes(int seed) => NetworkNodeTests.Bytes(Length, seed);

    private static void Reads(TestServer server, int seed)
    {
        using ScriptedClient reader = ScriptedClient.Connect(server.EndPoint);
        reader.Greet();
        Assert.Equal(FrameKind.AttachOk, reader.Attach(TestServer.Name, access: AccessKind.ReadOnly).Kind);
        Assert.Equal(Bytes(seed), reader.Read(0, 1, 0, Length));
    }
}
