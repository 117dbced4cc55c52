using Dst.Core.Sessions.Client;
using Dst.Core.Wire;

namespace Dst.Net.Client;

/// <summary>A network node could not be opened.</summary>
/// <param name="message">One line: what failed, on which node, why, what to do.</param>
public sealed class NetworkNodeException(string message) : Exception(message);

/// <summary>Who attaches (S-02, S-04).</summary>
public sealed record NetworkIdentity
{
    /// <summary>UUID of the device, made at add-device; not zero.</summary>
    public required UInt128 DeviceUuid { get; init; }

    /// <summary>The node's place in the device's map.</summary>
    public required int NodeIndex { get; init; }

    /// <summary>Random, drawn at the start of this process; not 0.</summary>
    public required ulong Incarnation { get; init; }

    /// <summary>Host and device, for people; cut at 240 bytes.</summary>
    public string Holder { get; init; } = "";

    /// <summary>Program and version, for people.</summary>
    public string Software { get; init; } = "dst-target";

    /// <summary>Only reads: no epoch, no hold.</summary>
    public bool ReadOnly { get; init; }

    /// <summary>An operator wants the holder fenced, once (S-04).</summary>
    public bool TakeOver { get; init; }

    /// <summary>What the device remembers of the export; null for a device that is being made (S-07).</summary>
    public RememberedExport? Known { get; init; }

    /// <summary>Tests that cut thousands of connections do not wait between attempts.</summary>
    internal int PauseMaxMs { get; init; } = ClientLimits.BackoffMaxMs;
}

/// <summary>What a device remembers of an export: its promises to the kernel rest on it (S-07).</summary>
/// <param name="Identity">UUID of the export.</param>
/// <param name="Geometry">Size, limits and abilities when the device was made.</param>
/// <param name="Cache">What acknowledgements meant.</param>
public sealed record RememberedExport(UInt128 Identity, ExportGeometry Geometry, CacheMode Cache)
{
    internal ExportFacts Facts => new(
        Identity, Geometry.SizeBytes, Geometry.BlockBytes, Geometry.MaxRequestBytes, Geometry.MaxChangeBytes, Cache);
}

/// <summary>The queues that will use a node.</summary>
/// <param name="Queues">Their number, 1 to <see cref="ClientLimits.LanesMax"/>. Fewer may come; their lanes stay
/// unused.</param>
/// <param name="DepthTags">Tags of each.</param>
/// <param name="MaxRequestBytes">Longest read or write that they will send.</param>
public sealed record NetworkQueuePlan(int Queues, int DepthTags, int MaxRequestBytes);

/// <summary>Keeps a target's last epoch durable (S-03). Called on the node's session thread; may block.</summary>
public interface IEpochStore
{
    /// <summary>The epoch noted last, 0 for none.</summary>
    /// <exception cref="IOException">It cannot be read or is damaged: nothing is known, so nothing may be
    /// attached.</exception>
    ulong Load();

    /// <summary>Makes an epoch durable: when this returns it outlives a power cut.</summary>
    /// <param name="epoch">Above the last one.</param>
    /// <exception cref="IOException">It could not be made durable.</exception>
    void Persist(ulong epoch);
}

/// <summary>
/// Keeps what a target has seen of a server for its successor on the same boot (S-23). As <see cref="IEpochStore"/>.
/// </summary>
public interface IServerNoteStore
{
    /// <summary>The note; none when nothing was noted since this host started.</summary>
    /// <exception cref="IOException">It cannot be read or is damaged.</exception>
    ServerNote Load();

    /// <summary>Writes the note, whole or not at all.</summary>
    /// <param name="note">What to note.</param>
    /// <exception cref="IOException">It could not be written.</exception>
    void Write(in ServerNote note);
}

/// <summary>Where a node keeps what must outlive it.</summary>
/// <param name="Epochs">In the device's state directory.</param>
/// <param name="Notes">Under the run directory.</param>
public sealed record NetworkStores(IEpochStore Epochs, IServerNoteStore Notes);

/// <summary>A network node as status shows it; whole, never changed.</summary>
/// <param name="State">For people: connecting, attaching, live, …</param>
/// <param name="Phase">The machine's phase.</param>
/// <param name="Epoch">Epoch of the session; 0 without one.</param>
/// <param name="Peer">Address that is connected to; empty without one.</param>
/// <param name="RoundTripMs">Of the last ping; -1 before the first.</param>
/// <param name="Requests">Requests that the node has.</param>
/// <param name="InFlight">Those that were sent and are not answered.</param>
/// <param name="Resends">Requests sent again so far.</param>
/// <param name="Reconnects">Sessions after the first.</param>
/// <param name="ReplayedBytes">Bytes replayed so far (S-22).</param>
/// <param name="BudgetEnds">Requests that ended since their budget was spent (S-15).</param>
/// <param name="BadReplies">Replies whose data did not match its checksums.</param>
/// <param name="LastError">What went wrong last; empty for nothing.</param>
/// <param name="NextTryInMs">Time to the next attempt; -1 when none is planned.</param>
/// <param name="LostUnflushedWrites">FLUSH and FUA fail until clear-error (S-23).</param>
public sealed record NetworkNodeStatus(
    string State,
    ClientNodePhase Phase,
    ulong Epoch,
    string Peer,
    long RoundTripMs,
    int Requests,
    int InFlight,
    long Resends,
    long Reconnects,
    long ReplayedBytes,
    long BudgetEnds,
    long BadReplies,
    string LastError,
    long NextTryInMs,
    bool LostUnflushedWrites);
