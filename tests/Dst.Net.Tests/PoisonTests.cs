using Dst.Core.Requests;
using Dst.Core.Wire;
using Dst.Nodes.Marks;

namespace Dst.Net.Tests;

/// <summary>An export whose disk has lost writes (S-24).</summary>
public sealed class PoisonTests
{
    private const int Eio = 5;

    [Fact]
    public void The_writers_replay_and_a_good_flush_take_the_poison_away_durably()
    {
        using TestServer server = new();
        using ScriptedClient client = PoisonedUnder(server, CacheMode.WriteBack);
        Assert.True(client.Granted.Poisoned);
        Assert.Equal(DstStatus.IoError, client.Other(Operation.Flush, 0, 10));
        Assert.Equal(DstStatus.Ok, client.Other(Operation.Flush, 0, 11, flags: FrameFlags.Replayed));
        Assert.False(NodeMarks.Open(MarksOf(server))[0].IsPoisoned);
        Assert.Equal(DstStatus.Ok, client.Other(Operation.Flush, 0, 12));
        Assert.False(server.Status.IsPoisoned);
    }

    [Fact]
    public void Without_a_log_only_an_operator_takes_it_away()
    {
        using TestServer server = new();
        using ScriptedClient client = PoisonedUnder(server, CacheMode.WriteThrough);
        Assert.Equal(DstStatus.IoError, client.Other(Operation.Flush, 0, 10, flags: FrameFlags.Replayed));
        Assert.True(NodeMarks.Open(MarksOf(server))[0].IsPoisoned);
        server.Host.ClearError(TestServer.Name);
        TestServer.Eventually(() => !server.Status.IsPoisoned, "the poison is gone");
        Assert.Equal(DstStatus.Ok, client.Other(Operation.Flush, 0, 11));
        Assert.False(NodeMarks.Open(MarksOf(server))[0].IsPoisoned);
    }

    private static string MarksOf(TestServer server) => Path.Join(server.Folder, "marks");

    /// <summary>A client writes, the server goes away, its disk turns out to have lost writes, the client comes back.</summary>
    private static ScriptedClient PoisonedUnder(TestServer server, CacheMode cache)
    {
        string marksPath = MarksOf(server);
        Add(NodeMarks.Create(marksPath));
        ulong epoch;
        using (ScriptedClient before = ScriptedClient.Live(server.EndPoint, TestServer.Name))
        {
            Assert.False(before.Granted.Poisoned);
            Assert.Equal(DstStatus.Ok, before.Write(0, 1, 0, new byte[512]));
            epoch = before.Epoch;
        }

        server.Stop();
        using (NodeMarks marks = NodeMarks.Open(marksPath))
        {
            Assert.Equal(0, marks.Poison(0, Eio));
        }

        server.Start();
        Add(NodeMarks.Open(marksPath));
        return ScriptedClient.Live(server.EndPoint, TestServer.Name, replaces: epoch);

        void Add(NodeMarks marks) =>
            server.Host.AddExport(server.Volume(false, marks, "file:~/a,size=1M"), server.Settings(cache: cache));
    }
}
