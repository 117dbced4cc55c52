using Dst.Core.Wire;

namespace Dst.Core.Sessions.Client;

/// <summary>What a client remembers of an export (S-07).</summary>
/// <param name="Identity">UUID; zero when nothing is remembered.</param>
/// <param name="SizeBytes">Size of the node, which the device counts on.</param>
/// <param name="BlockBytes">Largest block that still fits the device.</param>
/// <param name="MaxRequestBytes">Longest read or write that the device sends.</param>
/// <param name="MaxChangeBytes">Longest discard or write-zeroes that the device sends.</param>
/// <param name="Cache">What acknowledgements mean to the device.</param>
public readonly record struct ExportFacts(
    UInt128 Identity, ulong SizeBytes, uint BlockBytes, uint MaxRequestBytes, ulong MaxChangeBytes, CacheMode Cache)
{
    /// <summary>True when something is remembered.</summary>
    public bool IsKnown => Identity != UInt128.Zero;
}

/// <summary>
/// What a target notes under /run/dst before its first change under these ids, for its successor (S-23).
/// </summary>
/// <param name="BootId">The server's; 0 when nothing is noted.</param>
/// <param name="Generation">Write-error generation.</param>
/// <param name="Cache">Whether acknowledged changes may still be unflushed.</param>
/// <param name="Lost">Unflushed changes are lost already and no operator has accepted it.</param>
public readonly record struct ServerNote(ulong BootId, ulong Generation, CacheMode Cache, bool Lost)
{
    /// <summary>True when something is noted.</summary>
    public bool IsKnown => BootId != 0;
}

/// <summary>Who attaches to what, and how; fixed for the life of a target.</summary>
public sealed class ClientNodeOptions
{
    /// <summary>Name of the export.</summary>
    public WireText Export { get; init; }

    /// <summary>Device and place of the node in it (S-02).</summary>
    public DeviceId Device { get; init; }

    /// <summary>Random, drawn at the start of this process, not 0 (S-02).</summary>
    public ulong Incarnation { get; init; }

    /// <summary>Wanted access.</summary>
    public AccessKind Access { get; init; } = AccessKind.ReadWrite;

    /// <summary>An operator wants the holder of the export fenced, once (S-04).</summary>
    public bool TakeOver { get; init; }

    /// <summary>Wanted credits; connections and requests not more than the shared state was made for.</summary>
    public CreditGrant Credits { get; init; }

    /// <summary>Preferred checksum kind.</summary>
    public ChecksumKind Checksum { get; init; } = DataChecksum.Default;

    /// <summary>Bit k: kind k may be used when the server does not have the preferred one.</summary>
    public byte Checksums { get; init; } = DataChecksum.KnownKinds;

    /// <summary>Host and device, for people.</summary>
    public WireText Holder { get; init; }

    /// <summary>Program and version, for people.</summary>
    public WireText Software { get; init; }

    /// <summary>The epoch noted durably by this target or one before it; 0 for none (S-03).</summary>
    public ulong LastEpoch { get; init; }

    /// <summary>What the device remembers of the export.</summary>
    public ExportFacts Known { get; init; }

    /// <summary>What the predecessor noted under /run/dst.</summary>
    public ServerNote Note { get; init; }

    /// <summary>Any number; pauses between attempts are spread by it.</summary>
    public ulong JitterSeed { get; init; }

    /// <summary>No pause between attempts is longer, slow ones included.</summary>
    public int PauseMaxMs { get; init; } = ClientLimits.BackoffMaxMs;
}

/// <summary>Why this side cannot use what an ATTACH_OK grants (S-07).</summary>
public enum ExportFault : byte
{
    /// <summary>It can.</summary>
    None,

    /// <summary>Another export.</summary>
    Identity,

    /// <summary>Smaller than the device counts on.</summary>
    Size,

    /// <summary>Larger blocks than the device's.</summary>
    Block,

    /// <summary>Shorter requests than the device sends.</summary>
    MaxRequest,

    /// <summary>Changes are not allowed any more.</summary>
    ReadOnly,

    /// <summary>Write-through became write-back: the device's acknowledgements would mean less.</summary>
    WriteBack,

    /// <summary>Write-back, and the replay log of a lane is shorter than one request.</summary>
    Log,

    /// <summary>Too few credits for each lane (S-31).</summary>
    Credits,

    /// <summary>The epoch is not above the last one: server and client state do not belong together (S-03).</summary>
    Epoch,
}

/// <summary>Where the node's machine is.</summary>
public enum ClientNodePhase : byte
{
    /// <summary>Not started.</summary>
    Idle,

    /// <summary>The first connection is being made.</summary>
    Connecting,

    /// <summary>HELLO was sent.</summary>
    Greeting,

    /// <summary>ATTACH was sent.</summary>
    Attaching,

    /// <summary>The server waits for requests of older connections (S-05).</summary>
    Draining,

    /// <summary>The granted epoch is being noted durably (S-03).</summary>
    NotingEpoch,

    /// <summary>BEGIN was sent, further connections join (S-08).</summary>
    Joining,

    /// <summary>Lanes use the completed table (S-10).</summary>
    Settling,

    /// <summary>Replay, or the flush of a successor (S-22, S-23).</summary>
    Recovering,

    /// <summary>Boot id and generation are being noted (S-23).</summary>
    NotingServer,

    /// <summary>What was in flight is sent again (S-12).</summary>
    Resending,

    /// <summary>Requests flow, or wait for an operator.</summary>
    Live,

    /// <summary>GOODBYE was sent.</summary>
    Leaving,

    /// <summary>The epoch is over; RX, TX or lanes have not let go yet (S-13).</summary>
    Ending,

    /// <summary>Until the next attempt.</summary>
    Pausing,

    /// <summary>Fenced; only a new device attaches again (S-04).</summary>
    Failed,

    /// <summary>Ended for good.</summary>
    Closed,
}

/// <summary>The same for people.</summary>
public enum ClientNodeState : byte
{
    /// <summary>A connection is being made.</summary>
    Connecting,

    /// <summary>The server was asked for the export.</summary>
    Attaching,

    /// <summary>The server waits for its disk.</summary>
    WaitingForDrain,

    /// <summary>Changes are being sent again.</summary>
    Replaying,

    /// <summary>Good.</summary>
    Live,

    /// <summary>An operator holds requests back.</summary>
    Suspended,

    /// <summary>An attempt failed; the next is at <see cref="ClientNode.NextTryMs"/>.</summary>
    NextTry,

    /// <summary>The server or this side refuses; tried again slowly.</summary>
    Refused,

    /// <summary>FLUSH and FUA fail until an operator clears the error (S-23).</summary>
    LostUnflushedWrites,

    /// <summary>Fenced, or the hold was ended.</summary>
    Failed,

    /// <summary>The node has ended.</summary>
    Closed,
}

/// <summary>What a node's machine wants done by its thread.</summary>
public enum NodeEffectKind : byte
{
    /// <summary>Make a connection; then exactly one of OnConnected (RX and TX run) and OnConnectFailed.</summary>
    Connect,

    /// <summary>Send a frame: <see cref="ClientNode.FrameOf"/>, copied before the list is cleared.</summary>
    SendFrame,

    /// <summary>RX may match replies of this epoch from now on.</summary>
    Serve,

    /// <summary>End a connection: shut the socket down, but keep its number. RX and TX end and say so.</summary>
    Shut,

    /// <summary>Close the socket: nobody uses it any more.</summary>
    Free,

    /// <summary>Give an order to a lane's thread.</summary>
    Order,

    /// <summary>Make the epoch durable, then OnEpochNoted (S-03).</summary>
    NoteEpoch,

    /// <summary>Write the note for a successor, then OnServerNoted (S-23).</summary>
    NoteServer,
}

/// <summary>An effect of a node's machine.</summary>
public struct NodeEffect
{
    /// <summary>What to do.</summary>
    public NodeEffectKind Kind;

    /// <summary>Connect, SendFrame, Serve, Shut, Free: number of the connection.</summary>
    public int Connection;

    /// <summary>SendFrame: place of the frame.</summary>
    public int Frame;

    /// <summary>SendFrame: its length.</summary>
    public int LengthBytes;

    /// <summary>Order: the lane.</summary>
    public int Lane;

    /// <summary>Order: the order.</summary>
    public LaneOrder Order;

    /// <summary>Serve, NoteEpoch: the epoch.</summary>
    public ulong Epoch;

    /// <summary>Serve: checksum kind of the session.</summary>
    public ChecksumKind Checksum;

    /// <summary>NoteServer: what to note.</summary>
    public ServerNote Note;
}
