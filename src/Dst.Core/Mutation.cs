using System.Runtime.CompilerServices;

namespace Dst.Core;

/// <summary>
/// Deliberately broken variants of the core: the simulator must find every one of them. In the product the value is
/// <see cref="None"/>, always; asking for it costs a predictable branch on roads that are not the hottest.
/// </summary>
internal enum Mutation
{
    /// <summary>The product.</summary>
    None,

    /// <summary>ATTACH_OK does not wait for requests that the disk has (S-05).</summary>
    NoDrainAtAttach,

    /// <summary>The epoch is not looked at when a request goes to the disk (S-06).</summary>
    EpochUncheckedAtSubmit,

    /// <summary>The epoch is looked at first, then the request is counted (S-06).</summary>
    CheckedBeforeCounted,

    /// <summary>An ended session's epoch stays valid until the next grant (S-05).</summary>
    EpochNotRaised,

    /// <summary>A lost connection ends the hold (S-04).</summary>
    HoldDroppedWithConnection,

    /// <summary>A release leaves the newest used epoch as it was, so who was released may come back (S-04).</summary>
    ReleaseFencesNobody,

    /// <summary>A grant that could not be written is given all the same (S-03).</summary>
    GrantBeforeDurable,

    /// <summary>BEGIN is answered before the use is on disk (S-03).</summary>
    BeginBeforeDurable,

    /// <summary>ATTACH is granted whatever epoch it replaces (S-02).</summary>
    ReplacesIgnored,

    /// <summary>A held export is granted to whoever names no epoch (S-04).</summary>
    TakeOverIgnored,

    /// <summary>The device of the holder is not compared with the one that attaches (S-04).</summary>
    HolderNotCompared,

    /// <summary>Another incarnation finds the table of the one before (S-10).</summary>
    TableKeptForSuccessor,

    /// <summary>The table says that every change went well (S-10).</summary>
    TableForgetsErrors,

    /// <summary>Write-through acknowledges what is only in the cache (S-21).</summary>
    AckBeforeDurable,

    /// <summary>Zeroes and discards are acknowledged as durable without a flush (S-21, C-04).</summary>
    ZeroesNotFlushed,

    /// <summary>The boot id stays when the disk behind has lost writes (S-23).</summary>
    BootIdKept,

    /// <summary>A read that waited while the disk behind lost writes is answered (S-23).</summary>
    ReadsOverALoss,

    /// <summary>A read-only session may change blocks (S-04).</summary>
    ReaderMayWrite,

    /// <summary>A read of a read-only session goes to another place (S-04).</summary>
    ReaderReadsElsewhere,

    /// <summary>A FLUSH of a read-only session takes the poison away (S-24).</summary>
    ReaderClearsPoison,

    /// <summary>A connection's data credits leak (S-31).</summary>
    CreditLeak,

    /// <summary>A session's credits are not given back to the server's budget (S-31).</summary>
    GrantLeak,

    /// <summary>A write runs whatever its checksums say (S-14, S-33).</summary>
    BodyChecksumIgnored,

    /// <summary>Read data is taken whatever its checksums say (S-14, S-33).</summary>
    ReplyChecksumIgnored,

    /// <summary>A leg is completed twice.</summary>
    CompletedTwice,

    /// <summary>A slow request is sent again on its live connection (S-11).</summary>
    ResendByTimer,

    /// <summary>Nothing is replayed after a server lost its cache (S-22).</summary>
    ReplaySkipped,

    /// <summary>Reads are sent before the replay and the resends are answered (S-12, S-22).</summary>
    ReadsBeforeReplay,

    /// <summary>New requests do not wait for the resends (S-12).</summary>
    NewBeforeResends,

    /// <summary>FUA writes are left out of the log (S-21).</summary>
    FuaNotLogged,

    /// <summary>Zeroes and discards are left out of the log (S-21).</summary>
    ZeroesNotLogged,

    /// <summary>A spent budget empties the log (S-22).</summary>
    LogEmptiedByBudget,

    /// <summary>A flush covers what was acknowledged while it ran (S-22).</summary>
    FlushCoversTooMuch,

    /// <summary>The log is replayed from the newest entry, so older data ends up over newer (S-22).</summary>
    ReplayOverwritesNewer,

    /// <summary>A FLUSH goes to one node only (C-02).</summary>
    FlushOneNode,

    /// <summary>A FLUSH counts the changes of one queue only (C-02).</summary>
    FlushOneQueue,

    /// <summary>The ledger takes changes for stable that ended while the flush ran (C-02).</summary>
    LedgerTooFar,

    /// <summary>A client begins an epoch that it could not note (S-03).</summary>
    EpochNotNoted,

    /// <summary>A buffer goes back while RX or TX has it (S-13).</summary>
    BufferBackEarly,

    /// <summary>A request is given up without ending the epoch (S-13).</summary>
    GivenUpOnLiveEpoch,

    /// <summary>A successor does not ask what its predecessor left (S-23).</summary>
    PredecessorIgnored,

    /// <summary>Boot id and generation are not noted for a successor (S-23).</summary>
    ServerNotNoted,

    /// <summary>Overlapping changes of a write-back node are in flight together (S-21).</summary>
    OverlapNotHeld,

    /// <summary>A reconnect forgets that writes were lost (S-23).</summary>
    LossForgotten,

    /// <summary>A silent server is waited for, for ever (S-30).</summary>
    SilenceIgnored,

    /// <summary>A fenced client tries on (S-04).</summary>
    FencedGoesOn,

    /// <summary>No early flush makes room in the log (S-21).</summary>
    NoEarlyFlush,

    /// <summary>A lane's slots leak (S-31).</summary>
    SlotLeak,

    /// <summary>Damaged handshakes are believed (S-33).</summary>
    MessageChecksumIgnored,

    /// <summary>What is in flight when a connection dies ends with an error (S-15).</summary>
    ErrorOnReconnect,

    /// <summary>A spent time for retries ends nothing (S-15).</summary>
    BudgetForgotten,

    /// <summary>A time for retries is over as soon as somebody looks (S-15).</summary>
    BudgetSpentAtOnce,

    /// <summary>A request is sent again however often that was (S-15).</summary>
    RetriesForgotten,

    /// <summary>A late answer is waited for, for ever (S-11, S-15).</summary>
    DeadlineForgotten,

    /// <summary>A server grants whatever identity and size the client remembers (S-07).</summary>
    IdentityNotCompared,

    /// <summary>A client takes an export that is not what it remembers (S-07).</summary>
    ChangeNotNoticed,

    /// <summary>JOIN is granted whatever epoch and token it shows (S-08).</summary>
    JoinUnchecked,

    /// <summary>The loss of a connection that joined ends nothing (S-08).</summary>
    OneLossBorne,

    /// <summary>The wait for the server's drain counts against the handshake (S-05).</summary>
    DrainHasDeadline,

    /// <summary>What a flush's answer says of boot id and generation is not looked at (S-20).</summary>
    FlushNotJudged,

    /// <summary>A failed flush leaves the write-error generation as it is (S-20).</summary>
    GenerationKept,

    /// <summary>Any flush of a writer takes the poison away (S-24).</summary>
    PoisonClearedByAnyFlush,

    /// <summary>The replay of a writer leaves the poison as it is (S-24).</summary>
    PoisonKept,

    /// <summary>A silent client is waited for, for ever (S-30).</summary>
    ClientSilenceIgnored,

    /// <summary>A server grants more than its payload budget (S-31).</summary>
    BudgetOverdrawn,

    /// <summary>A handshake may take for ever (S-32).</summary>
    HandshakeUnbounded,

    /// <summary>A suspended node sends on.</summary>
    SuspendIgnored,

    /// <summary>A node that was resumed stays suspended.</summary>
    ResumeIgnored,

    /// <summary>fail-node ends nothing (S-13).</summary>
    FailIgnored,

    /// <summary>New budgets are not taken (S-15).</summary>
    BudgetNotTaken,

    /// <summary>clear-error accepts nothing (S-23).</summary>
    ClearErrorIgnored,

    /// <summary>An operator's release says that it is done, and does nothing (S-04).</summary>
    ReleaseIgnored,

    /// <summary>An operator's take-over is refused (S-04).</summary>
    TakeOverRefused,

    /// <summary>A successor says that writes are lost that the server has (S-23).</summary>
    LossImagined,
}

/// <summary>Which variant runs. Set by simulator and tests alone, before a run; a property of the process.</summary>
internal static class Mutations
{
    /// <summary>The variant of this process.</summary>
    internal static Mutation Active { get; set; }

    /// <summary>True when the variant runs.</summary>
    /// <param name="variant">Which.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static bool Has(Mutation variant) => Active == variant;
}
