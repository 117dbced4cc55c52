using System.Buffers.Binary;
using System.Security.Cryptography;
using Dst.Core.Sessions;
using Dst.Core.Specs;
using Dst.Core.Wire;
using Dst.Interop;
using Dst.Net.Client;

namespace Dst.Net.Server;

/// <summary>How a server is made.</summary>
public sealed record ServerHostOptions
{
    /// <summary>Payload budget of all exports together (S-31).</summary>
    public long MemoryBytes { get; init; } = ServerLimits.DefaultMemoryBytes;

    /// <summary>Where hold records live (S-03).</summary>
    public required IHoldStore Holds { get; init; }

    /// <summary>
    /// Gets one line for people at a time; may be called by several threads and must not block for long.
    /// </summary>
    public Action<string> Log { get; init; } = static _ => { };

    /// <summary>Program and version as clients are told.</summary>
    public string Software { get; init; } = "dst-server";
}

/// <summary>
/// The exports of this host: sockets, sessions and engine threads behind one face. Its methods are for control threads,
/// any of them, one export at a time by one thread; all wait. What fails says so in a <see cref="ServerException"/> of
/// one line and changes nothing.
/// </summary>
public sealed class ServerHost : IDisposable
{
    private const int PollMs = 20;

    /// <summary>
    /// The least that an export works with: one request of the largest size for each engine, and its connections.
    /// </summary>
    private const int BlocksPerEngineMin = 4;

    /// <summary>A newcomer gets this part of what is free, so that the first export does not take all.</summary>
    private const int ShareOfFree = 4;

    private readonly ServerHostOptions _options;
    private readonly KeeperThread _keeper = new();
    private readonly SessionThread _sessions;
    private readonly Lock _lock = new();
    private readonly Dictionary<string, Export> _exports = new(StringComparer.Ordinal);
    private readonly HashSet<string> _reserved = new(StringComparer.Ordinal);
    private long _usedBytes;
    private bool _stopped;

    /// <summary>Starts a server without exports.</summary>
    /// <param name="options">How.</param>
    /// <exception cref="ServerException">Its threads cannot be had.</exception>
    public ServerHost(ServerHostOptions options)
    {
        _options = options;
        BootId = NewBootId();
        var identity = new ServerIdentity(BootId, DataChecksum.KnownKinds, new WireText(options.Software));
        _sessions = new SessionThread(options, identity, _keeper);
    }

    /// <summary>Drawn at the start, not 0 (S-20).</summary>
    public ulong BootId { get; }

    /// <summary>
    /// Makes an export and serves it. The volume belongs to it, also when this fails: it is closed then.
    /// </summary>
    /// <param name="volume">What it serves; its backings are locked already (S-09).</param>
    /// <param name="settings">What it is to be.</param>
    /// <exception cref="ServerException">It cannot be served.</exception>
    public void AddExport(ExportVolume volume, ExportSettings settings)
    {
        try
        {
            Check(settings);
            Check(volume, settings);
            Reserve(settings.Name);
        }
        catch (ServerException)
        {
            volume.Dispose();
            throw;
        }

        try
        {
            Export export = Make(volume, settings);
            lock (_lock)
            {
                _exports.Add(settings.Name, export);
            }
        }
        finally
        {
            lock (_lock)
            {
                _reserved.Remove(settings.Name);
            }
        }
    }

    /// <summary>
    /// Ends an export: clients are told that it is gone, running requests are awaited, nodes closed. Its hold record
    /// stays.
    /// </summary>
    /// <param name="name">The export.</param>
    /// <param name="failPending">Requests that nodes merely hold back end with an error.</param>
    /// <param name="timeoutMs">
    /// For running requests. When it passes, the export stays refused to clients, and this is to be called again.
    /// </param>
    /// <returns>What stays held elsewhere, a line for people each.</returns>
    /// <exception cref="ServerException">There is no such export, or its disk still has requests.</exception>
    public IReadOnlyList<string> RemoveExport(string name, bool failPending, int timeoutMs)
    {
        Export export = Find(name);
        long deadline = Environment.TickCount64 + timeoutMs;
        if (failPending)
        {
            foreach (EngineThread engine in export.Engines)
            {
                engine.FailFromNowOn();
            }
        }

        _sessions.Ask(() => _sessions.StopExport(export, RefusalCode.ExportGone));
        if (!export.Stopped.Task.Wait(timeoutMs) || !WaitUntil(() => SessionThread.LiveCountOf(export) == 0, deadline))
        {
            throw new ServerException(
                $"export {name}: its disk still has requests after {timeoutMs} ms"
                + (failPending ? string.Empty : "; wait, or remove it with --force"));
        }

        _sessions.Ask(() => _sessions.DropExport(export));
        export.StopEngines(Timeout.Infinite);
        export.EndForGood();
        export.Dispose();
        lock (_lock)
        {
            _exports.Remove(name);
            _usedBytes -= export.MemoryBytes;
        }

        return export.Notes;
    }

    /// <summary>
    /// Ends the hold of a client that will not come back (S-04). Its connections are closed and drained first.
    /// </summary>
    /// <param name="name">The export.</param>
    /// <param name="timeoutMs">For running requests; when it passes, the release goes on by itself.</param>
    /// <exception cref="ServerException">
    /// There is no such export, it takes longer, or the record cannot be written.
    /// </exception>
    public void ReleaseHold(string name, int timeoutMs)
    {
        Export export = Find(name);
        Task<bool> released = _sessions.Ask(() => _sessions.Release(export));
        if (!released.Wait(timeoutMs))
        {
            throw new ServerException(
                $"export {name}: its disk still has requests of the old holder after {timeoutMs} ms; "
                + "the hold ends with them");
        }

        if (!released.GetAwaiter().GetResult())
        {
            throw new ServerException(
                $"export {name}: the hold record cannot be written; look at the state directory, then release again");
        }
    }

    /// <summary>
    /// Takes the error marks of an export away: flushes go through again (C-16). Of nodes that are exports of other
    /// servers and have lost unflushed changes, an operator accepts that; as soon as the node goes on, the clients of
    /// this export replay as after a restart (S-23).
    /// </summary>
    /// <param name="name">The export.</param>
    /// <exception cref="ServerException">There is no such export, or the mark cannot be taken away.</exception>
    public void ClearError(string name)
    {
        Export export = Find(name);
        foreach (NetworkNode node in export.NetworkNodes.Where(node => node.Status.LostUnflushedWrites))
        {
            node.ClearError();
        }

        int error = export.ClearMarks();
        _sessions.Post(() => SessionThread.OnPoisonChanged(export));
        if (error < 0)
        {
            throw new ServerException(
                $"export {name}: the error mark cannot be taken away: {Errno.Describe(-error)}; "
                + "look at the state directory");
        }
    }

    /// <summary>Listens on an address even while no export wants it.</summary>
    /// <exception cref="ServerException">It cannot be had.</exception>
    public void AddListener(ListenAddress address) => _sessions.Ask(() => _sessions.AddListener(address));

    /// <summary>Takes back one <see cref="AddListener"/>.</summary>
    /// <returns>False when there was none.</returns>
    public bool RemoveListener(ListenAddress address) => _sessions.Ask(() => _sessions.RemoveListener(address));

    /// <summary>The server now.</summary>
    public ServerStatus Status() => _sessions.Ask(_sessions.Status);

    /// <summary>
    /// Ends the server in good order: nobody new comes in, what runs is answered for up to
    /// <see cref="ServerLimits.FinishMs"/>, clients are told so, holds stay. A disk that does not answer does not keep
    /// it: the process may end then, and its backings stay locked until the disk is done (S-09).
    /// </summary>
    /// <returns>False when a disk still has requests; the process must end now.</returns>
    public bool Stop()
    {
        if (_stopped)
        {
            return true;
        }

        _stopped = true;
        _sessions.Ask(_sessions.GoAway);
        long deadline = Environment.TickCount64 + ServerLimits.FinishMs + (2 * ServerLimits.LingerMs);
        WaitUntil(() => _sessions.PeerCount == 0, deadline);
        bool ended = true;
        foreach (Export export in _exports.Values.ToArray())
        {
            _sessions.Ask(() => _sessions.StopExport(export, RefusalCode.ShuttingDown));
            ended &= export.Stopped.Task.Wait(ServerLimits.FinishMs) && export.StopEngines(ServerLimits.FinishMs);
        }

        if (!ended)
        {
            return false;
        }

        // The keepers of marks wake the session thread on their way out: it goes last.
        foreach (Export export in _exports.Values)
        {
            export.Dispose();
        }

        _exports.Clear();
        _keeper.Dispose();
        _sessions.Dispose();
        return true;
    }

    /// <summary>As <see cref="Stop"/>.</summary>
    public void Dispose() => Stop();

    private static ulong NewBootId()
    {
        Span<byte> bytes = stackalloc byte[sizeof(ulong)];
        RandomNumberGenerator.Fill(bytes);
        return ulong.Max(BinaryPrimitives.ReadUInt64LittleEndian(bytes), 1);
    }

    private static void Check(ExportSettings settings)
    {
        if (!ObjectName.TryCheck(settings.Name, out string? error))
        {
            throw new ServerException($"export: {error}");
        }

        string? wrong =
            settings.Identity == UInt128.Zero ? "its identity is 0"
            : settings.Listen.Count == 0 ? "it has no address; leave --listen out for loopback"
            : settings.Engines is <= 0 or > ServerLimits.EnginesMax
                ? $"engine threads must be 1 to {ServerLimits.EnginesMax}"
            : settings.ConnectionsMax is < 1 or > WireLimits.ConnectionsMax
                ? $"connections must be 1 to {WireLimits.ConnectionsMax}"
            : settings.RequestsMax is < 1 or > WireLimits.SlotsMax ? $"requests must be 1 to {WireLimits.SlotsMax}"
            : settings.ReadersMax is < 0 or > ServerLimits.ConnectionsMax
                ? $"readers must be 0 to {ServerLimits.ConnectionsMax}"
            : settings.Allow == AllowList.Loopback
                && settings.Listen.FirstOrDefault(address => !address.IsLocal) is { } wide
                ? $"{wide} is reached from other machines, but none is allowed: name them with --allow CIDR"
            : null;
        if (wrong is not null)
        {
            throw new ServerException($"export {settings.Name}: {wrong}");
        }
    }

    private static void Check(ExportVolume volume, ExportSettings settings)
    {
        if (!volume.Geometry.IsValid || (long)volume.Geometry.SizeBytes != volume.Map.SizeBytes)
        {
            throw new ServerException(
                $"export {settings.Name}: its volume has {volume.Map.SizeBytes} bytes, "
                + $"the geometry {volume.Geometry}");
        }
    }

    private static bool WaitUntil(Func<bool> isDone, long deadlineMs)
    {
        while (!isDone())
        {
            if (Environment.TickCount64 >= deadlineMs)
            {
                return false;
            }

            Thread.Sleep(PollMs);
        }

        return true;
    }

    private Export Find(string name)
    {
        lock (_lock)
        {
            return _exports.TryGetValue(name, out Export? export)
                ? export
                : throw new ServerException($"there is no export {name}; see dstctl list");
        }
    }

    private void Reserve(string name)
    {
        lock (_lock)
        {
            if (_exports.Count + _reserved.Count >= ServerLimits.ExportsMax)
            {
                throw new ServerException($"export {name}: a server has at most {ServerLimits.ExportsMax} exports");
            }

            if (_exports.ContainsKey(name) || !_reserved.Add(name))
            {
                throw new ServerException($"export {name} is there already, or on its way; choose another name");
            }
        }
    }

    private Export Make(ExportVolume volume, ExportSettings settings)
    {
        Export? export = null;
        int engines = settings.Engines ?? int.Min(Environment.ProcessorCount, ServerLimits.DefaultEnginesMax);
        long memoryBytes = 0;
        try
        {
            if (_options.Holds.Read(settings.Name, out HoldRecord record) is { } unusable)
            {
                throw new ServerException($"export {settings.Name}: {unusable}");
            }

            memoryBytes = TakeMemory(volume, settings, engines);
            Export made = new(settings, volume, memoryBytes, _sessions.Wake, _options.Log);
            export = made;
            made.Start(in record, BootId, () => _sessions.Post(() => SessionThread.OnPoisonChanged(made)));
            foreach (NetworkNode node in made.NetworkNodes)
            {
                // Waits: until it is done, no flush of the node may say ok to a client that has to replay (S-23).
                node.OnLossAccepted = () => _sessions.Ask(() => _sessions.ChangeBootId(made, NewBootId()));
            }

            _sessions.Ask(() => _sessions.AddExport(made));
            return made;
        }
        catch (ServerException)
        {
            export?.StopEngines(Timeout.Infinite);
            export?.Dispose();
            if (export is null)
            {
                volume.Dispose();
            }

            lock (_lock)
            {
                _usedBytes -= memoryBytes;
            }

            throw;
        }
    }

    private long TakeMemory(ExportVolume volume, ExportSettings settings, int engines)
    {
        int blockBytes = EngineThread.BlockMaxBytes((int)volume.Geometry.MaxRequestBytes);
        long connectionBytes = EngineThread.ConnectionBytes(Export.ConnectionsOfEngine(settings, engines));
        long leastBytes = engines * ((BlocksPerEngineMin * (long)blockBytes) + connectionBytes);
        lock (_lock)
        {
            long freeBytes = long.Max(0, _options.MemoryBytes - _usedBytes);
            long shareBytes = long.Min(ServerLimits.DefaultExportMemoryBytes, freeBytes / ShareOfFree);
            long wantedBytes = settings.MemoryBytes ?? long.Max(shareBytes, leastBytes);
            if (settings.Returns)
            {
                // It fitted once. What it finds free depends on who came back before it, and what it needs on the
                // processors of this machine: neither may keep it away.
                wantedBytes = long.Max(wantedBytes, leastBytes);
            }
            else if (wantedBytes < leastBytes || wantedBytes > freeBytes)
            {
                throw NoRoom(settings.Name, wantedBytes, leastBytes, freeBytes);
            }

            _usedBytes += wantedBytes;
            return wantedBytes;
        }
    }

    private ServerException NoRoom(string name, long wantedBytes, long leastBytes, long freeBytes)
    {
        long neededBytes = long.Max(wantedBytes, leastBytes);
        bool never = wantedBytes < leastBytes || neededBytes > _options.MemoryBytes;
        string given = wantedBytes < leastBytes ? $", more than its --memory of {wantedBytes}" : string.Empty;
        string next = wantedBytes < leastBytes ? "give a larger --memory or a smaller --max-io"
            : never ? "give a smaller --max-io or --memory"
            : "remove one or give a smaller --max-io or --memory";
        return new ServerException(
            $"export {name}: needs {neededBytes} bytes of memory{given}; exports of this host may use "
            + $"{_options.MemoryBytes >> 20}M together, {freeBytes} bytes are free; {next}",
            never ? ServerFault.WrongInput : ServerFault.Failed);
    }
}
