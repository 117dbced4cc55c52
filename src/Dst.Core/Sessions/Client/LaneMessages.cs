using Dst.Core.Requests;
using Dst.Core.Wire;

namespace Dst.Core.Sessions.Client;

/// <summary>
/// What a node tells a lane to do. The order of an epoch: Settle, then perhaps Replay, Resend, Open, Close, LetGo.
/// </summary>
public enum LaneOrderKind : byte
{
    /// <summary>Answer from the completed table what is in it; nothing is sent (S-10). News: Settled.</summary>
    Settle,

    /// <summary>
    /// To one lane: send the log of all lanes again, then flush; or only flush (S-22, S-23). News: Recovered.
    /// </summary>
    Recover,

    /// <summary>Send again what is in flight (S-12). News: Resent, once all of it is answered.</summary>
    Resend,

    /// <summary>Send new requests.</summary>
    Open,

    /// <summary>Send nothing more under this epoch. News: Closed.</summary>
    Close,

    /// <summary>RX and TX have let go of the connection. News: Quiet.</summary>
    LetGo,

    /// <summary>End every request that waits (S-13).</summary>
    Fail,

    /// <summary>New budgets (S-15).</summary>
    Budget,

    /// <summary>New requests wait: an operator suspended the node.</summary>
    Hold,

    /// <summary>They wait no more; budgets count from now on.</summary>
    Unhold,
}

/// <summary>How long and how often a request is tried (S-15). Zero means without limit.</summary>
/// <param name="DeadlineMs">A reply that takes longer on a live connection ends the epoch (S-11).</param>
/// <param name="RetriesMax">Resends of one request.</param>
/// <param name="RetryTimeMs">From the arrival of a request on.</param>
/// <param name="EndsWithError">A spent budget ends the request; otherwise it only shows.</param>
public readonly record struct RequestBudget(long DeadlineMs, int RetriesMax, long RetryTimeMs, bool EndsWithError);

/// <summary>A lane's place on the wire and its share of the credits (S-31).</summary>
/// <param name="Connection">Number of the wire's connection.</param>
/// <param name="FirstSlot">First slot of the lane on it.</param>
/// <param name="Slots">Slots of the lane.</param>
/// <param name="PayloadBytes">Data bytes that it may have in flight.</param>
public readonly record struct LaneShare(int Connection, int FirstSlot, int Slots, long PayloadBytes);

/// <summary>The session as a lane needs to know it.</summary>
public struct LaneSession
{
    /// <summary>Epoch of all requests; 0 in a read-only session.</summary>
    public ulong Epoch;

    /// <summary>Of ATTACH_OK (S-20).</summary>
    public ulong BootId;

    /// <summary>Of ATTACH_OK (S-20).</summary>
    public ulong Generation;

    /// <summary>Checksum kind of data.</summary>
    public ChecksumKind Checksum;

    /// <summary>Acknowledged changes go to the log (S-21). Once true for a lane, always.</summary>
    public bool WriteBack;

    /// <summary>Unflushed changes are lost: FLUSH and FUA fail (S-23).</summary>
    public bool Lost;

    /// <summary>An operator accepted the loss: the log is emptied.</summary>
    public bool DropLog;

    /// <summary>The lane's share.</summary>
    public LaneShare Share;

    /// <summary>No sequence up to this one is used again when the share changes.</summary>
    public ulong SequenceBase;
}

/// <summary>An order of the node's thread to a lane's.</summary>
public struct LaneOrder
{
    /// <summary>What to do.</summary>
    public LaneOrderKind Kind;

    /// <summary>Settle, Resend: the session.</summary>
    public LaneSession Session;

    /// <summary>Recover: send the log before the flush.</summary>
    public bool ReplayLog;

    /// <summary>Close: slot of the write whose data the server found damaged (S-33).</summary>
    public int BadSlot;

    /// <summary>Close: its sequence; 0 for none.</summary>
    public ulong BadSequence;

    /// <summary>Fail: how requests end.</summary>
    public DstStatus Status;

    /// <summary>Fail: later requests end the same way.</summary>
    public bool ForEver;

    /// <summary>Budget: the new one.</summary>
    public RequestBudget Budget;
}

/// <summary>What a lane reports to its node.</summary>
public enum LaneNewsKind : byte
{
    /// <summary>The completed table was used.</summary>
    Settled,

    /// <summary>The recovery ended with <see cref="LaneNews.Status"/>.</summary>
    Recovered,

    /// <summary>All that was in flight is answered.</summary>
    Resent,

    /// <summary>Nothing more is sent under this epoch.</summary>
    Closed,

    /// <summary>Nothing of the lane is on any wire; <see cref="LaneNews.Sequence"/> is the highest one used.</summary>
    Quiet,

    /// <summary>The epoch has to end, for <see cref="LaneNews.Reason"/> (S-11, S-13, S-20).</summary>
    Doubt,
}

/// <summary>Why an epoch ended.</summary>
public enum EpochEnd : byte
{
    /// <summary>It has not.</summary>
    None,

    /// <summary>A connection could not be made.</summary>
    ConnectFailed,

    /// <summary>A connection was lost or closed.</summary>
    ConnectionLost,

    /// <summary>No byte for too long (S-30).</summary>
    Silence,

    /// <summary>A step of the handshake took too long.</summary>
    HandshakeTimeout,

    /// <summary>The server sent what it must not.</summary>
    Protocol,

    /// <summary>The server refused; its code is kept beside.</summary>
    Refused,

    /// <summary>The export is not what it was, or this side cannot use it (S-07).</summary>
    Unsuitable,

    /// <summary>A reply took longer than the request's deadline (S-11).</summary>
    Deadline,

    /// <summary>A request in flight was given up (S-13).</summary>
    Abandoned,

    /// <summary>Boot id or write-error generation changed (S-20).</summary>
    ServerChanged,

    /// <summary>A flush of unflushed changes failed: they have to be sent again (S-22).</summary>
    FlushFailed,

    /// <summary>Data did not match its checksums (S-33).</summary>
    BadData,

    /// <summary>Something that must be durable could not be written here (S-03, S-23).</summary>
    NotDurable,

    /// <summary>Replay or its flush failed on a good connection (S-22).</summary>
    RecoveryFailed,

    /// <summary>What was to be replayed did not match its checksums, here or on the server (S-33).</summary>
    ReplayDamaged,

    /// <summary>The server goes away in good order.</summary>
    ServerLeft,

    /// <summary>An operator of this side asked for it.</summary>
    Operator,
}

/// <summary>A report of a lane's thread to its node's.</summary>
public struct LaneNews
{
    /// <summary>What happened.</summary>
    public LaneNewsKind Kind;

    /// <summary>Doubt: why.</summary>
    public EpochEnd Reason;

    /// <summary>Recovered: how.</summary>
    public DstStatus Status;

    /// <summary>Quiet: highest sequence that the lane ever used.</summary>
    public ulong Sequence;
}

/// <summary>What a lane wants done.</summary>
public enum LaneEffectKind : byte
{
    /// <summary>Send a request of a leg: header, then for a write checksums and data.</summary>
    Send,

    /// <summary>Send a request of the log, whose data is in an arena.</summary>
    SendLog,

    /// <summary>Copy the data of a write to the lane's arena, before the leg completes.</summary>
    CopyToLog,

    /// <summary>A leg is final.</summary>
    Complete,

    /// <summary>Carry <see cref="LaneEffect.News"/> to the node's thread.</summary>
    Tell,

    /// <summary>Call <see cref="ClientLane.OnWake"/> of other lanes on their threads.</summary>
    WakeLanes,
}

/// <summary>An effect of a lane; carried out by its thread, in order.</summary>
public struct LaneEffect
{
    /// <summary>What to do.</summary>
    public LaneEffectKind Kind;

    /// <summary>Send, CopyToLog, Complete: the leg; -1 for a flush of the lane's own.</summary>
    public int Leg;

    /// <summary>Send, SendLog: complete, the body's length included.</summary>
    public FrameHeader Header;

    /// <summary>
    /// Send: the leg was sent before; its checksums, made then, are sent again while the kind is the same (N-25).
    /// </summary>
    public bool Again;

    /// <summary>Send, CopyToLog: the leg's data.</summary>
    public nint Buffer;

    /// <summary>SendLog: the lane whose arena holds the data.</summary>
    public int LogLane;

    /// <summary>SendLog, CopyToLog: where in the arena; what goes beyond its end goes on at its begin.</summary>
    public long ArenaOffset;

    /// <summary>SendLog, CopyToLog: bytes of data.</summary>
    public int DataBytes;

    /// <summary>
    /// SendLog, CopyToLog: the entry's place in its log. The checksums that went with the data are noted there when it
    /// is copied, and the whole copy is held against them before any part of it is sent (N-25).
    /// </summary>
    public int EntryPlace;

    /// <summary>SendLog: where the data of the whole entry is, of which this may be a part.</summary>
    public long EntryArenaOffset;

    /// <summary>SendLog: bytes of that data.</summary>
    public int EntryBytes;

    /// <summary>SendLog: nothing of the entry was sent before in this recovery.</summary>
    public bool EntryBegins;

    /// <summary>Complete: how.</summary>
    public DstStatus Status;

    /// <summary>Tell: what.</summary>
    public LaneNews News;

    /// <summary>WakeLanes: their bits.</summary>
    public ulong Lanes;
}
