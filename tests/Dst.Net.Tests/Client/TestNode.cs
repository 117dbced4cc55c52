using System.Collections.Concurrent;
using Dst.Core.Sessions.Client;
using Dst.Core.Specs;
using Dst.Net.Client;
using Dst.Net.Server;

namespace Dst.Net.Tests.Client;

/// <summary>Stores that live as long as the test, in place of files.</summary>
internal sealed class MemoryStores : IEpochStore, IServerNoteStore
{
    private ServerNote _note;

    public ulong Epoch { get; set; }

    public ServerNote Note => _note;

    /// <summary>Keeps the notes in place of this.</summary>
    public IServerNoteStore? Notes { get; init; }

    public NetworkStores Stores => new(this, Notes ?? this);

    public bool Fails { get; set; }

    ulong IEpochStore.Load() => Epoch;

    ServerNote IServerNoteStore.Load() => _note;

    public void Persist(ulong epoch)
    {
        if (Fails)
        {
            throw new IOException("no room");
        }

        Assert.True(epoch > Epoch, $"epoch {epoch} is noted after {Epoch}");
        Epoch = epoch;
    }

    public void Write(in ServerNote note) => _note = note;
}

/// <summary>Opens network nodes for tests.</summary>
internal static class TestNode
{
    private static long _incarnations = Random.Shared.NextInt64(1, long.MaxValue / 2);

    public static ConcurrentQueue<string> Log { get; } = new();

    public static NetworkNode Open(
        string spec,
        MemoryStores? stores = null,
        int queues = 1,
        UInt128? device = null,
        RememberedExport? known = null,
        int waitMs = 20_000,
        bool readOnly = false,
        bool takeOver = false,
        int pauseMaxMs = ClientLimits.BackoffMaxMs)
    {
        Assert.True(NodeSpec.TryParse(spec, out NodeSpec? parsed, out string? error), error);
        NetworkIdentity identity = new()
        {
            DeviceUuid = device ?? 0x5151,
            NodeIndex = 0,
            Incarnation = (ulong)Interlocked.Increment(ref _incarnations),
            Holder = "test",
            Known = known,
            ReadOnly = readOnly,
            TakeOver = takeOver,
            PauseMaxMs = pauseMaxMs,
        };
        return NetworkNode.Open(
            (NetworkNodeSpec)parsed,
            identity,
            new NetworkQueuePlan(queues, TestQueue.Depth, TestQueue.MaxIoBytes),
            (stores ?? new MemoryStores()).Stores,
            Log.Enqueue,
            waitMs);
    }

    /// <summary>Memory for lanes that share connections: each of them needs credits for a longest request.</summary>
    public static ExportSettings Roomy(TestServer server) => server.Settings() with { MemoryBytes = 128 << 20 };

    public static bool Waits(NetworkNode node, int timeoutMs) => node.WaitAttached(timeoutMs);

    public static string Unix(TestServer server, string options = "") =>
        $"dst+unix:{server.SocketPath},export={TestServer.Name}{options}";

    public static string Tcp(int port, string options = "") => $"dst://127.0.0.1:{port}/{TestServer.Name}{options}";
}
