using Dst.Core.Sessions;
using Dst.Core.Transactions;
using Dst.Core.Wire;
using Dst.Net.Client;
using Dst.Net.Server.Engine;
using Dst.Nodes.Health;

namespace Dst.Net.Server;

/// <summary>What an export is to be.</summary>
public sealed record ExportSettings
{
    /// <summary>Its name, as ATTACH names it.</summary>
    public required string Name { get; init; }

    /// <summary>Its UUID, not 0: made with the export, kept by whoever keeps the export (S-07).</summary>
    public required UInt128 Identity { get; init; }

    /// <summary>What an acknowledgement means (S-21).</summary>
    public CacheMode Cache { get; init; }

    /// <summary>Where it is reached; none for the default address.</summary>
    public IReadOnlyList<ListenAddress> Listen { get; init; } = [ListenAddress.Default];

    /// <summary>Which clients may see it.</summary>
    public AllowList Allow { get; init; } = AllowList.Loopback;

    /// <summary>
    /// Engine threads, 1 to <see cref="ServerLimits.EnginesMax"/>; null for one per CPU, at most
    /// <see cref="ServerLimits.DefaultEnginesMax"/>.
    /// </summary>
    public int? Engines { get; init; }

    /// <summary>Its part of the server's payload budget; null for a share of what is free.</summary>
    public long? MemoryBytes { get; init; }

    /// <summary>
    /// It was served before and comes back: it is never refused for want of budget, and has at least what it needs.
    /// </summary>
    public bool Returns { get; init; }

    /// <summary>Most connections of the writer's session.</summary>
    public int ConnectionsMax { get; init; } = 16;

    /// <summary>Most requests in flight on a connection.</summary>
    public int RequestsMax { get; init; } = 256;

    /// <summary>Most connections that only read.</summary>
    public int ReadersMax { get; init; } = 64;
}

/// <summary>
/// One export at work: its session machine and its engine threads. Session thread, but for what says otherwise.
/// </summary>
internal sealed class Export : IDisposable
{
    private readonly ExportVolume _volume;
    private readonly long _creditBytes;
    private readonly Action<string> _log;
    private MarkKeeper? _marks;

    /// <summary>Makes engine threads that do not run yet.</summary>
    /// <param name="settings">What it is to be.</param>
    /// <param name="volume">What it serves.</param>
    /// <param name="memoryBytes">Its part of the payload budget.</param>
    /// <param name="reported">Wakes the session thread.</param>
    /// <param name="log">Told in one line what an operator must know. Any thread.</param>
    public Export(
        ExportSettings settings, ExportVolume volume, long memoryBytes, Action reported, Action<string> log)
    {
        _log = line => log($"export {settings.Name}: {line}");
        Settings = settings;
        _volume = volume;
        MemoryBytes = memoryBytes;
        int engines = settings.Engines ?? int.Min(Environment.ProcessorCount, ServerLimits.DefaultEnginesMax);
        var ledger = new FlushLedger(volume.Nodes.Count, engines);
        int connections = ConnectionsOfEngine(settings, engines);
        var plan = new EnginePlan(
            settings.Name, volume, ledger, memoryBytes / engines, connections, IsReadOnly, reported);
        _creditBytes = memoryBytes - (engines * EngineThread.ConnectionBytes(connections));
        Engines = [.. Enumerable.Range(0, engines).Select(index => new EngineThread(plan, index))];
    }

    /// <summary>What it is to be. Any thread.</summary>
    public ExportSettings Settings { get; }

    /// <summary>Size and limits. Any thread.</summary>
    public ExportGeometry Geometry => _volume.Geometry;

    /// <summary>Its part of the payload budget. Any thread.</summary>
    public long MemoryBytes { get; }

    /// <summary>Its engine threads. Any thread.</summary>
    public EngineThread[] Engines { get; }

    /// <summary>Who uses it.</summary>
    public ExportSession Session { get; private set; } = null!; // until Start has returned

    /// <summary>Told when nothing of it runs any more.</summary>
    public TaskCompletionSource Stopped { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Told how a release ended; null while none is asked for.</summary>
    public TaskCompletionSource<bool>? Released { get; set; }

    /// <summary>Its nodes that are exports of other servers. Any thread.</summary>
    public IEnumerable<NetworkNode> NetworkNodes =>
        _volume.Nodes.Select(node => node.Innermost).OfType<NetworkNode>();

    private bool IsReadOnly => (_volume.Geometry.Capabilities & ExportCapabilities.ReadOnly) != ExportCapabilities.None;

    /// <summary>A node has lost writes (S-24). Any thread.</summary>
    public bool IsPoisoned
    {
        get
        {
            for (int i = 0; i < _volume.Nodes.Count; i++)
            {
                // A node that is trusted for one flush has its mark still.
                if (_volume.Nodes[i].Health is { State: not NodeHealthState.Live }
                    || _volume.Marks?[i].IsPoisoned == true)
                {
                    return true;
                }
            }

            return false;
        }
    }

    /// <summary>Starts the engine threads and the keeper of marks. The control thread that makes the export.</summary>
    /// <param name="record">What is on disk about it.</param>
    /// <param name="bootId">Of the process.</param>
    /// <param name="poisonChanged">Called on any thread when a mark was set or taken away.</param>
    /// <exception cref="ServerException">It cannot serve; everything was undone.</exception>
    public void Start(in HoldRecord record, ulong bootId, Action poisonChanged)
    {
        for (int i = 0; i < Engines.Length; i++)
        {
            if (Engines[i].Start() is { } failure)
            {
                throw new ServerException(failure);
            }
        }

        _marks = _volume.Marks is null ? null : new MarkKeeper(_volume.Marks, _log);
        _volume.Signals.Connect(WakeEngines, () => _marks?.Signal());
        _marks?.Start([.. _volume.Nodes.Select(node => node.Health)], () =>
        {
            WakeEngines();
            poisonChanged();
        });
        var options = new ExportOptions
        {
            Name = new WireText(Settings.Name),
            Identity = Settings.Identity,
            Geometry = Geometry,
            Cache = Settings.Cache,
            BootId = bootId,
            ConnectionsMax = Settings.ConnectionsMax,
            SlotsMax = Settings.RequestsMax,
            ReadersMax = Settings.ReadersMax,
        };
        Session = new ExportSession(options, in record, new CreditBudget(CreditBytes), IsPoisoned);
    }

    /// <summary>Takes all error marks away, durably. Keeper thread; waits.</summary>
    /// <returns>0 or -errno.</returns>
    public int ClearMarks() => _marks?.Clear(null) ?? 0;

    /// <summary>Wakes every engine thread. Any thread.</summary>
    public void WakeEngines()
    {
        foreach (EngineThread engine in Engines)
        {
            engine.Wake();
        }
    }

    /// <summary>
    /// The engine thread that promised the least, of those with room for one more: so no thread promises more than it
    /// has.
    /// </summary>
    public int PickEngine()
    {
        int connections = ConnectionsOfEngine(Settings, Engines.Length) - ServerLimits.LeavingMax;
        int best = 0;
        for (int i = 1; i < Engines.Length; i++)
        {
            best = LoadOf(i).CompareTo(LoadOf(best)) < 0 ? i : best;
        }

        return best;

        (bool IsFull, long Bytes, int Connections) LoadOf(int index)
        {
            EngineThread engine = Engines[index];
            return (engine.Assigned >= connections, engine.AssignedBytes, engine.Assigned);
        }
    }

    /// <summary>True when the client may know that the export exists (N-39).</summary>
    public bool IsVisibleTo(Peer peer) =>
        Settings.Listen.Any(address => address.Covers(peer.Local, peer.UnixPath))
            && Settings.Allow.Allows(peer.Remote?.Address);

    /// <summary>
    /// Ends the engine threads. After <see cref="Stopped"/>; a control thread, not the session thread.
    /// </summary>
    /// <param name="timeoutMs">Milliseconds for each.</param>
    /// <returns>False when the disk still has requests.</returns>
    public bool StopEngines(int timeoutMs) => StopEngines(Engines, timeoutMs);

    /// <summary>
    /// It is not to come back. Before <see cref="Dispose"/>, which then waits for the servers of its nodes.
    /// </summary>
    public void EndForGood() => _volume.EndsForGood = true;

    /// <summary>What stays held elsewhere though it has ended for good. After <see cref="Dispose"/>.</summary>
    public IReadOnlyList<string> Notes => _volume.Notes;

    /// <summary>Closes nodes and marks. After <see cref="StopEngines(int)"/>.</summary>
    public void Dispose()
    {
        _volume.Signals.Connect(static () => { }, static () => { });
        foreach (NetworkNode node in NetworkNodes)
        {
            node.OnLossAccepted = static () => { };
        }

        _marks?.Dispose();
        foreach (EngineThread engine in Engines)
        {
            engine.Dispose();
        }

        _volume.Dispose();
    }

    /// <summary>
    /// What credits may be given out: blocks are powers of two, so data may take up to twice its length.
    /// </summary>
    private long CreditBytes => long.Max(_creditBytes / 2, Geometry.MaxRequestBytes);

    /// <summary>
    /// Connections of one engine thread when all that the export allows are there, and some that are on their way out.
    /// </summary>
    internal static int ConnectionsOfEngine(ExportSettings settings, int engines) =>
        ((settings.ConnectionsMax + settings.ReadersMax + engines - 1) / engines) + ServerLimits.LeavingMax;

    private static bool StopEngines(ReadOnlySpan<EngineThread> engines, int timeoutMs)
    {
        foreach (EngineThread engine in engines)
        {
            engine.Tell(new EngineOrder(EngineOrderKind.Stop, null));
        }

        bool ended = true;
        foreach (EngineThread engine in engines)
        {
            ended &= engine.Join(timeoutMs);
        }

        return ended;
    }
}
