using Dst.Core.Sessions;
using Dst.Core.Wire;
using Dst.Net.Server.Engine;

namespace Dst.Net.Server;

/// <summary>Exports come and go; each method runs on the session thread, called by way of <see cref="Ask"/>.</summary>
internal sealed unsafe partial class SessionThread
{
    /// <summary>From now on clients find the export.</summary>
    /// <exception cref="ServerException">An address cannot be had; nothing has changed.</exception>
    public bool AddExport(Export export)
    {
        List<ListenAddress> added = [];
        try
        {
            foreach (ListenAddress address in export.Settings.Listen)
            {
                _listenerSet!.Add(address);
                added.Add(address);
            }
        }
        catch (ServerException)
        {
            added.ForEach(address => _listenerSet!.Remove(address));
            throw;
        }

        _exports.Add(export.Settings.Name, export);
        return true;
    }

    /// <summary>
    /// Nobody attaches to the export any more; <see cref="Export.Stopped"/> tells when nothing of it runs.
    /// </summary>
    public bool StopExport(Export export, RefusalCode code)
    {
        export.Session.Stop(code, NowMs);
        Drain(export);
        return true;
    }

    /// <summary>The export is no longer known. After it has stopped.</summary>
    public bool DropExport(Export export)
    {
        foreach (ListenAddress address in export.Settings.Listen)
        {
            _listenerSet!.Remove(address);
        }

        return _exports.Remove(export.Settings.Name);
    }

    /// <summary>Connections that an engine thread of the export still has.</summary>
    public static int LiveCountOf(Export export) => export.Engines.Sum(engine => engine.Assigned);

    /// <summary>An operator ends the hold (S-04).</summary>
    /// <returns>True once nobody holds, durably; false when that could not be written.</returns>
    public Task<bool> Release(Export export)
    {
        if (export.Released is not null)
        {
            throw new ServerException($"export {export.Settings.Name}: its hold is being released already");
        }

        TaskCompletionSource<bool> released = new(TaskCreationOptions.RunContinuationsAsynchronously);
        export.Released = released;
        export.Session.Release(NowMs);
        Drain(export);
        return released.Task;
    }

    /// <summary>A mark was set or taken away (S-24).</summary>
    public static void OnPoisonChanged(Export export) => export.Session?.SetPoison(export.IsPoisoned);

    /// <summary>What lies behind the export may have lost changes (S-23).</summary>
    public bool ChangeBootId(Export export, ulong bootId)
    {
        export.Session.ChangeBootId(bootId, NowMs);
        Drain(export);
        return true;
    }

    /// <summary>Wants an address, whatever exports want.</summary>
    public bool AddListener(ListenAddress address)
    {
        _listenerSet!.Add(address);
        return true;
    }

    /// <summary>Takes that wish back.</summary>
    public bool RemoveListener(ListenAddress address) => _listenerSet!.Remove(address);

    /// <summary>
    /// The server goes away in good order: nobody new comes in, live connections are told so once what runs is
    /// answered. The holds stay.
    /// </summary>
    public bool GoAway()
    {
        _goingAway = true;
        _listenerSet!.Clear();
        foreach (Peer peer in _peers.Values.ToArray())
        {
            if (peer.Live is { } live)
            {
                peer.Engine!.Tell(
                    new EngineOrder(EngineOrderKind.Finish, live) { Code = RefusalCode.ShuttingDown });
            }
            else
            {
                Close(peer, RefusalCode.ShuttingDown, null);
            }
        }

        return true;
    }

    /// <summary>Number of connections in whatever state.</summary>
    public int PeerCount => _peers.Count;

    /// <summary>What the server looks like now.</summary>
    public ServerStatus Status() => new()
    {
        BootId = _identity.BootId,
        Listening = [.. _listenerSet!.Open.Select(listener => listener.Name)],
        Connections = _peers.Count,
        Unattached = _room.Count,
        SuppressedLogLines = _log.SuppressedCount,
        Exports = [.. _exports.Values.Select(StatusOf)],
    };

    private ExportStatus StatusOf(Export export)
    {
        ref readonly HoldRecord record = ref export.Session.Record;
        return new ExportStatus
        {
            Name = export.Settings.Name,
            Settings = export.Settings,
            Geometry = export.Geometry,
            MemoryBytes = export.MemoryBytes,
            Epoch = export.Session.Epoch,
            UsedEpoch = record.Used,
            IsHeld = record.Held,
            Holder = record.HolderName.ToString(),
            IsDraining = export.Session.IsDraining,
            InFlight = export.Session.InFlightCount,
            IsPoisoned = export.Session.Gate.IsPoisoned,
            BootId = export.Session.Gate.BootId,
            WriteErrorGeneration = export.Session.Gate.WriteErrorGeneration,
            Connections =
            [
                .. _peers.Values.Where(peer => peer.Export == export).Select(peer => new ConnectionStatus(
                    peer.Id,
                    peer.Name,
                    peer.Machine.Epoch,
                    peer.State == PeerState.Live,
                    peer.Live?.Lane.InFlightCount ?? 0)),
            ],
            Engines = [.. export.Engines.Select(engine => new EngineStatus(engine.Queue, engine.Counters))],
        };
    }
}
