using System.Diagnostics;
using Dst.Control;
using Dst.Core.Sessions.Client;
using Dst.Core.Specs;
using Dst.Core.Wire;
using Dst.Net.Client;
using Dst.Nodes.Backings;

namespace Dst.Hosting.Nodes;

/// <summary>What the network nodes of one volume have in common.</summary>
public sealed record NetworkWishes
{
    /// <summary>The volume that attaches; not empty.</summary>
    public required Guid Uuid { get; init; }

    /// <summary>Its name and host, for people.</summary>
    public required string Holder { get; init; }

    /// <summary>Program and version, for people.</summary>
    public required string Software { get; init; }

    /// <summary>The queues that will use the nodes.</summary>
    public required NetworkQueuePlan Plan { get; init; }

    /// <summary>Where a node keeps what must outlive it; by its place in the map.</summary>
    public required Func<int, NetworkStores> Stores { get; init; }

    /// <summary>What is remembered of the exports, by place in the map; null for a new volume (S-07).</summary>
    public IReadOnlyList<NodeGeometry>? Known { get; init; }

    /// <summary>An operator wants the holders fenced, once (S-04).</summary>
    public bool TakeOver { get; init; }

    /// <summary>How long the nodes of a new volume may take to attach, all together; null for no limit.</summary>
    public int? TimeoutMs { get; init; }

    /// <summary>Takes lines for people; any thread.</summary>
    public required Action<string> Log { get; init; }
}

/// <summary>Opens network nodes. Start-up only; blocks.</summary>
/// <param name="wishes">What they have in common.</param>
public sealed class NetworkOpening(NetworkWishes wishes)
{
    /// <summary>How often it is said again what is waited for.</summary>
    private const int SayMs = 10_000;

    private readonly long _begin = Stopwatch.GetTimestamp();
    private readonly ulong _incarnation = ulong.Max((ulong)Random.Shared.NextInt64(), 1);

    /// <summary>
    /// Opens one. A new volume waits for the first attach, which gives size and abilities; one that comes back knows
    /// them and waits for ever, until it is cancelled.
    /// </summary>
    /// <param name="spec">Where the export is.</param>
    /// <param name="index">The node's place in the map.</param>
    /// <param name="request">What is to be opened.</param>
    /// <exception cref="ControlException">It did not attach in time, or never will.</exception>
    /// <exception cref="OperationCanceledException">It was given up.</exception>
    public NetworkNode Open(NetworkNodeSpec spec, int index, in BackingRequest request)
    {
        RememberedExport? known = wishes.Known?[index].Export is { } export ? Remembered(export) : null;
        var identity = new NetworkIdentity
        {
            DeviceUuid = NumberOf(wishes.Uuid),
            NodeIndex = index,
            Incarnation = _incarnation,
            Holder = wishes.Holder,
            Software = wishes.Software,
            ReadOnly = request.ReadOnly,
            TakeOver = wishes.TakeOver,
            Known = known,
        };
        Action<string> log = line => wishes.Log($"node {index}: {line}");
        int waitMs = known is null ? LeftMs : 0;
        NetworkNode node;
        try
        {
            node = NetworkNode.Open(
                spec, identity, wishes.Plan, wishes.Stores(index), log, waitMs, request.CancellationToken);
        }
        catch (NetworkNodeException e)
        {
            bool late = known is null && LeftMs == 0;
            throw new ControlException(
                late ? ControlErrorCode.TimedOut : ControlErrorCode.Failure, $"node {index}: {e.Message}");
        }
        catch (IOException e)
        {
            throw new ControlException(ControlErrorCode.Failure, $"node {index} ({spec}): {e.Message}");
        }

        if (known is not null)
        {
            AwaitServer(node, spec, index, request);
        }

        return node;
    }

    /// <summary>One limit for all: they are opened one after the other.</summary>
    private int LeftMs => wishes.TimeoutMs is { } limitMs
        ? (int)long.Max(0, limitMs - (long)Stopwatch.GetElapsedTime(_begin).TotalMilliseconds)
        : Timeout.Infinite;

    /// <summary>What a record keeps of an export.</summary>
    public static NodeExport Record(RememberedExport export) => new()
    {
        Uuid = UuidOf(export.Identity),
        SizeBytes = (long)export.Geometry.SizeBytes,
        BlockSizeBytes = (int)export.Geometry.BlockBytes,
        MaxIoBytes = (int)export.Geometry.MaxRequestBytes,
        MaxChangeBytes = (long)export.Geometry.MaxChangeBytes,
        DiscardGranularityBytes = (int)export.Geometry.DiscardGranularityBytes,
        Capabilities = (int)export.Geometry.Capabilities,
        Cache = export.Cache == CacheMode.WriteBack ? ExportCache.WriteBack : ExportCache.WriteThrough,
    };

    private static RememberedExport Remembered(NodeExport export) => new(
        NumberOf(export.Uuid),
        new ExportGeometry(
            (ulong)export.SizeBytes,
            (ulong)export.MaxChangeBytes,
            (uint)export.BlockSizeBytes,
            (uint)export.MaxIoBytes,
            (uint)export.DiscardGranularityBytes,
            (ExportCapabilities)export.Capabilities),
        export.Cache == ExportCache.WriteBack ? CacheMode.WriteBack : CacheMode.WriteThrough);

    /// <summary>The number that the protocol has for a UUID.</summary>
    public static UInt128 NumberOf(Guid uuid) =>
        System.Buffers.Binary.BinaryPrimitives.ReadUInt128BigEndian(uuid.ToByteArray(bigEndian: true));

    private static Guid UuidOf(UInt128 number)
    {
        Span<byte> bytes = stackalloc byte[16];
        System.Buffers.Binary.BinaryPrimitives.WriteUInt128BigEndian(bytes, number);
        return new Guid(bytes, bigEndian: true);
    }

    private static void AwaitServer(NetworkNode node, NetworkNodeSpec spec, int index, in BackingRequest request)
    {
        try
        {
            // A node that has failed never attaches, and a wait for it would not wait.
            while (!node.WaitAttached(SayMs, request.CancellationToken)
                && node.Status.Phase != ClientNodePhase.Failed)
            {
                request.Events?.Waiting($"node {index} ({spec}): {node.Status.State}: {node.Status.LastError}");
            }
        }
        catch (OperationCanceledException)
        {
            node.Dispose();
            throw;
        }

        if (node.Status.Phase == ClientNodePhase.Failed)
        {
            string why = node.Status.LastError;
            node.Dispose();
            throw new ControlException(ControlErrorCode.Failure, $"node {index} ({spec}) is refused: {why}");
        }
    }
}
