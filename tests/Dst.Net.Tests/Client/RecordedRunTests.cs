using Dst.Core.Traces;
using Dst.Core.Wire;
using Dst.Nodes.Faults;
using Dst.Simulation.Recorded;

namespace Dst.Net.Tests.Client;

/// <summary>
/// A network node and servers with real sockets, threads and files, recorded, and judged by the rules of the simulated
/// world: what reads may return, and what is durable when a flush says ok (C-01, C-02, S-21, S-22).
/// DST_MUTATION=ReplaySkipped shows that it can fail.
/// </summary>
public sealed class RecordedRunTests : IDisposable
{
    private const int Cuts = 4;

    private readonly string _folder = Directory.CreateTempSubdirectory("dst-trace").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Theory]
    [InlineData(CacheMode.WriteThrough)]
    [InlineData(CacheMode.WriteBack)]
    public void Power_cuts_of_the_server_break_no_rule(CacheMode cache)
    {
        Record(cache);
        Recording node = Load("node");
        Recording[] disks = [.. Enumerable.Range(0, Cuts + 1).Select(life => Load($"disk{life}"))];
        CheckResult result = RecordedRun.Check([node], disks);
        Assert.Null(result.Violation);
        Assert.True(result is { Requests: 1200, BlocksRead: > 1000, Flushes: > 10 }, $"{result}");

        // The rules see what is wrong: a read of something else, and a flush that reached no disk.
        Assert.Contains("a read begun at", RecordedRun.Check([WithWrongRead(node)], disks).Violation!);
        Assert.Contains("on stable storage", RecordedRun.Check([node], disks[..1]).Violation!);
        Assert.Contains("never answered", RecordedRun.Check([WithoutEnd(node)], []).Violation!);
    }

    private void Record(CacheMode cache)
    {
        using TestServer server = new(holds: new MemoryHolds());
        server.Add(Spec(0), server.Settings(cache: cache));
        using TraceNode node = new(
            $"{_folder}/node", TestNode.Open(TestNode.Unix(server), queues: 2, pauseMaxMs: 20));
        TestQueue[] queues = TestQueue.Start(2, node);
        Load[] loads =
        [
            new(0, 8 << 20, 600, 32 * 1024, 5) { BlockBytes = TraceCodec.BlockBytes },
            new(8 << 20, 8 << 20, 600, 32 * 1024, 6) { BlockBytes = TraceCodec.BlockBytes },
        ];
        for (int i = 0; i < 2; i++)
        {
            queues[i].Begin(loads[i]);
        }

        for (int life = 1; life <= Cuts; life++)
        {
            Thread.Sleep(100);
            PowerCutTests.PowerCut(server, Spec(life), cache);
        }

        NetworkNodeTests.Run([], loads, 120_000);
        Array.ForEach(queues, queue => queue.Dispose());
    }

    private string Spec(int life) => $"trace:{_folder}/disk{life},volatile:5,file:{_folder}/a,size=16M";

    private Recording Load(string name)
    {
        using FileStream file = File.OpenRead($"{_folder}/{name}.{Environment.ProcessId}");
        byte[] head = new byte[TraceCodec.HeadBytes];
        file.ReadExactly(head);
        Assert.True(TraceCodec.TryReadHead(head, out TraceHead trace));
        byte[] bytes = new byte[TraceCodec.HeadBytes + trace.UsedBytes];
        file.Seek(0, SeekOrigin.Begin);
        file.ReadExactly(bytes);
        return new Recording(name, bytes);
    }

    private static Recording WithWrongRead(Recording good)
    {
        byte[] bytes = good.Bytes.ToArray();
        int at = TraceCodec.HeadBytes;
        while (TraceCodec.TryRead(bytes.AsSpan(at), out TraceRecord record, out int length))
        {
            if (record.Kind == TraceKind.End && record.Blocks > 0)
            {
                bytes[at + TraceCodec.RecordBytes] ^= 1;
                break;
            }

            at += length;
        }

        return good with { Bytes = bytes };
    }

    private static Recording WithoutEnd(Recording good)
    {
        byte[] bytes = good.Bytes.ToArray();
        int last = TraceCodec.HeadBytes;
        for (int at = last; TraceCodec.TryRead(bytes.AsSpan(at), out _, out int length); at += length)
        {
            last = at;
        }

        // As if the process had died before it wrote that byte.
        bytes[last + TraceCodec.KindAt] = 0;
        return good with { Bytes = bytes };
    }
}
