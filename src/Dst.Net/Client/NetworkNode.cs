using System.Buffers.Binary;
using System.Security.Cryptography;
using Dst.Core.Requests;
using Dst.Core.Sessions.Client;
using Dst.Core.Specs;
using Dst.Core.Wire;
using Dst.IO.Measure;
using Dst.Net.Client.Lanes;
using Dst.Nodes;

namespace Dst.Net.Client;

/// <summary>
/// An export of another machine as a node of a volume. It attaches from <see cref="Open"/> on, by itself and for ever;
/// requests wait while it does (S-15). Members any thread, unless said otherwise.
/// </summary>
public sealed class NetworkNode : Node
{
    private readonly NetworkNodeSpec _spec;
    private readonly NodeLanes _lanes;
    private readonly NodeSession _session;
    private readonly ActivitySignal _signal;
    private readonly int _queues;
    private RememberedExport? _export;
    private bool _disposed;

    private NetworkNode(NetworkNodeSpec spec, NodeLanes lanes, NodeSession session, ActivitySignal signal, int queues)
    {
        _spec = spec;
        _lanes = lanes;
        _session = session;
        _signal = signal;
        _queues = queues;
    }

    /// <inheritdoc/>
    public override string Type => _spec.Kind;

    /// <inheritdoc/>
    public override string Address => _spec.Address;

    /// <inheritdoc/>
    public override long SizeBytes => (long)Export.Geometry.SizeBytes;

    /// <inheritdoc/>
    public override int BlockSizeBytes => (int)Export.Geometry.BlockBytes;

    /// <inheritdoc/>
    public override bool VolatileCache => Export.Cache == CacheMode.WriteBack;

    /// <inheritdoc/>
    public override bool CanDiscard => Has(ExportCapabilities.Discard);

    /// <inheritdoc/>
    public override int DiscardGranularityBytes => CanDiscard ? (int)Export.Geometry.DiscardGranularityBytes : 0;

    /// <inheritdoc/>
    public override bool CanWriteZeroes => Has(ExportCapabilities.WriteZeroes);

    /// <inheritdoc/>
    public override string Identity =>
        Export.Identity.ToString("x32", System.Globalization.CultureInfo.InvariantCulture);

    /// <summary>Longest read or write that the export takes; the device's must not be longer.</summary>
    public int MaxRequestBytes => (int)Export.Geometry.MaxRequestBytes;

    /// <summary>Longest discard or write-zeroes that the export takes.</summary>
    public long MaxChangeBytes => (long)Export.Geometry.MaxChangeBytes;

    /// <summary>
    /// What the device is to remember (S-07): of the record when there was one, else of the first attach.
    /// </summary>
    public RememberedExport Export => _export ?? throw new InvalidOperationException($"{_spec} has not attached yet");

    /// <summary>The node now. Takes no lock, allocates nothing.</summary>
    public NetworkNodeStatus Status => _session.Status;

    /// <summary>
    /// Starts to attach and waits for the first success. A device that is being made gets size and abilities from it;
    /// one
    /// that is restored has them from its record and may wait with <paramref name="waitMs"/> 0 and
    /// <see cref="WaitAttached"/>. Control threads; blocks.
    /// </summary>
    /// <param name="spec">Where the export is.</param>
    /// <param name="identity">Who attaches.</param>
    /// <param name="plan">The queues that will use it.</param>
    /// <param name="stores">What must outlive the node.</param>
    /// <param name="log">Takes lines for people, on the session thread.</param>
    /// <param name="waitMs">How long to wait; -1 for ever. With a remembered export the end of the wait is no
    /// error.</param>
    /// <param name="cancellation">Ends the wait and undoes.</param>
    /// <exception cref="NetworkNodeException">Not attached in time, or refused for ever; all is undone.</exception>
    /// <exception cref="OperationCanceledException">Cancelled; all is undone.</exception>
    public static NetworkNode Open(
        NetworkNodeSpec spec,
        NetworkIdentity identity,
        NetworkQueuePlan plan,
        NetworkStores stores,
        Action<string> log,
        int waitMs,
        CancellationToken cancellation = default)
    {
        ActivitySignal signal = new();
        NetworkNode node = Create(spec, identity, plan, stores, log, signal);
        node._export = identity.Known;
        node._session.Start();
        try
        {
            bool attached = node.WaitAttached(waitMs, cancellation);
            if (!attached && (identity.Known is null || node.Status.Phase == ClientNodePhase.Failed))
            {
                // Who was refused knows that the server runs, and why it does not serve him.
                NetworkNodeStatus status = node.Status;
                bool isRefused = status.State is "refused" or "failed";
                string advice = isRefused ? "" : "; see that the server runs and exports it";
                throw new NetworkNodeException($"node {spec}: {status.State}: {status.LastError}{advice}");
            }

            return node;
        }
        catch (Exception e)
        {
            string? held = node.LeaveForGood(ClientLimits.GoodbyeMs);
            node.Dispose();
            if (held is null)
            {
                throw;
            }

            log(held);
            if (e is NetworkNodeException)
            {
                throw new NetworkNodeException($"{e.Message}; {held}");
            }

            throw;
        }
    }

    /// <summary>Waits for the first attach. Control threads; blocks.</summary>
    /// <param name="timeoutMs">-1 for ever.</param>
    /// <param name="cancellation">Ends the wait.</param>
    /// <returns>False when it did not come, or never will.</returns>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    public bool WaitAttached(int timeoutMs, CancellationToken cancellation = default)
    {
        if (!_session.WaitSettled(timeoutMs, cancellation))
        {
            return false;
        }

        if (_export is null && _session.TryGetExport(out AttachOkMessage offer))
        {
            _export = new RememberedExport(offer.Identity, offer.Geometry, offer.Cache);
        }

        return _export is not null;
    }

    /// <inheritdoc/>
    public override NodeQueue CreateQueue(in NodeQueueContext context) =>
        new NetworkQueue(this, _lanes, _queues, context);

    /// <summary>Maintenance: new requests wait.</summary>
    public void Suspend() => _session.Command((machine, _) => machine.Suspend());

    /// <summary>Requests flow again.</summary>
    public void Resume() => _session.Command((machine, _) => machine.Resume());

    /// <summary>Ends all requests that wait with an error, now (S-13); later ones are tried as before.</summary>
    /// <param name="status">The error.</param>
    public void Fail(DstStatus status = DstStatus.LinkLost) =>
        _session.Command((machine, _) => machine.FailPending(status));

    /// <summary>Sets new budgets (S-15).</summary>
    /// <param name="budget">For all requests, those that wait included.</param>
    public void SetBudgets(RequestBudget budget)
    {
        Budgets = budget;
        _session.Command((machine, _) => machine.SetBudget(in budget));
    }

    /// <summary>The budgets as set last. Control threads.</summary>
    public RequestBudget Budgets { get; private set; }

    /// <summary>An operator accepts that unflushed changes are lost (S-23).</summary>
    public void ClearError() => _session.Command((machine, now) => machine.ClearError(now));

    /// <summary>
    /// Called when that takes effect: what the log held is gone for good, and no FLUSH says ok before it returns. On
    /// the session thread; may wait.
    /// </summary>
    public Action OnLossAccepted
    {
        set => _session.OnLossAccepted = value;
    }

    /// <summary>
    /// Gives the hold back and closes; requests must have ended. Blocks. Without a session it closes at once and the
    /// hold
    /// stays.
    /// </summary>
    /// <param name="timeoutMs">How long to wait for the server.</param>
    /// <returns>True when the server has made durable that nobody holds.</returns>
    public bool Goodbye(int timeoutMs) => Leave(timeoutMs);

    /// <inheritdoc/>
    public override string? LeaveForGood() => LeaveForGood(ClientNetLimits.LeaveMs);

    /// <summary>Closes; the hold stays for a successor (S-04). After every queue has ended.</summary>
    public override void Dispose()
    {
        if (_disposed)
        {
            return;
        }

        _disposed = true;
        _session.Command((machine, now) => machine.Stop(now));
        if (_session.Join(ClientNetLimits.CloseMs))
        {
            _lanes.Dispose();
            _signal.Dispose();
        }
    }

    /// <summary>Bytes that RX and TX threads allocated on the managed heap until they ended.</summary>
    internal long ThreadAllocatedBytes => _lanes.Connections.Sum(connection => connection.AllocatedBytes);

    /// <summary>The memory of a lane's replay log, which tests damage.</summary>
    /// <param name="lane">The lane.</param>
    internal nint LogOf(int lane) => _lanes.LogOf(lane);

    private static NetworkNode Create(
        NetworkNodeSpec spec,
        NetworkIdentity identity,
        NetworkQueuePlan plan,
        NetworkStores stores,
        Action<string> log,
        ActivitySignal signal)
    {
        NetworkOptions options = spec.Options;
        int wanted = options.Connections ?? plan.Queues;
        int lanesCount = int.Max(plan.Queues, wanted);
        if (lanesCount > ClientLimits.LanesMax)
        {
            throw new NetworkNodeException(
                $"node {spec}: {lanesCount} queues or connections are more than {ClientLimits.LanesMax}; use fewer");
        }

        int lanesPerConnection = (lanesCount + wanted - 1) / wanted;
        int slots = int.Min(WireLimits.SlotsMax, lanesPerConnection * (plan.DepthTags + ClientLimits.OwnSlotsMax));
        long logBytes = (options.LogBytes ?? ClientNetLimits.DefaultLogBytes) / lanesCount;
        int longest = int.Max(plan.MaxRequestBytes, (int)(identity.Known?.Geometry.MaxRequestBytes ?? 0));
        NodeLanes lanes = new(
            new LanePlan(lanesCount, wanted, slots, longest, long.Max(logBytes, NetworkOptions.LogMinBytes)),
            signal);
        ClientNode machine = new(MakeOptions(spec, identity, stores, wanted, slots), lanes.Shared);
        RequestBudget budget = new(
            options.DeadlineMs ?? 0,
            options.Retries ?? 0,
            options.RetryTimeMs ?? 0,
            options.OnTimeout == TimeoutRule.Error);
        machine.SetBudget(in budget);
        NodeSession session = new(spec, lanes, machine, stores, signal, log);
        return new NetworkNode(spec, lanes, session, signal, plan.Queues) { Budgets = budget };
    }

    private static ClientNodeOptions MakeOptions(
        NetworkNodeSpec spec, NetworkIdentity identity, NetworkStores stores, int connections, int slots)
    {
        Span<byte> seed = stackalloc byte[sizeof(ulong)];
        RandomNumberGenerator.Fill(seed);
        try
        {
            return new ClientNodeOptions
            {
                Export = new WireText(spec.Export),
                Device = new DeviceId(identity.DeviceUuid, (uint)identity.NodeIndex),
                Incarnation = identity.Incarnation,
                Access = identity.ReadOnly ? AccessKind.ReadOnly : AccessKind.ReadWrite,
                TakeOver = identity.TakeOver,
                Credits = new CreditGrant((ushort)connections, (ushort)slots, ClientNetLimits.PayloadBytes),
                Checksum = spec.Options.Checksum ?? DataChecksum.Default,
                Holder = new WireText(identity.Holder),
                Software = new WireText(identity.Software),
                LastEpoch = stores.Epochs.Load(),
                Known = identity.Known?.Facts ?? default,
                Note = stores.Notes.Load(),
                PauseMaxMs = identity.PauseMaxMs,
                JitterSeed = BinaryPrimitives.ReadUInt64LittleEndian(seed),
            };
        }
        catch (IOException e)
        {
            throw new NetworkNodeException($"node {spec}: {e.Message}");
        }
    }

    private string? LeaveForGood(int timeoutMs) =>
        Leave(timeoutMs) || !_session.MayHold
            ? null
            : $"export {_spec.Export} at {_spec.SocketPath ?? _spec.Authority} stays held; "
                + $"dstctl release-export {_spec.Export} there";

    private bool Leave(int timeoutMs)
    {
        _session.Command((machine, now) => machine.Leave(now));
        return _session.Join(timeoutMs) && _session.HoldGivenBack;
    }

    private bool Has(ExportCapabilities ability) =>
        (Export.Geometry.Capabilities & ability) != ExportCapabilities.None;
}
