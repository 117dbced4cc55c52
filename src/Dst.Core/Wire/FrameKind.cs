namespace Dst.Core.Wire;

/// <summary>What a frame is. The numbers are those on the wire.</summary>
public enum FrameKind : byte
{
    /// <summary>Not a frame.</summary>
    None = 0,

    /// <summary>First frame of both sides: versions, features, nonces.</summary>
    Hello = 1,

    /// <summary>Client: asks for the export (S-02).</summary>
    Attach = 2,

    /// <summary>Server: what the drain waits for (S-05).</summary>
    AttachWait = 3,

    /// <summary>Server: changes of the session that are done, before ATTACH_OK (S-10).</summary>
    Completed = 4,

    /// <summary>Server: granted.</summary>
    AttachOk = 5,

    /// <summary>Client: a further connection of an attached session (S-08).</summary>
    Join = 6,

    /// <summary>Server: joined.</summary>
    JoinOk = 7,

    /// <summary>Client: it has noted the epoch and is about to use it (S-03).</summary>
    Begin = 8,

    /// <summary>Server: the first use is noted; requests may come.</summary>
    BeginOk = 9,

    /// <summary>Client: a request.</summary>
    Request = 10,

    /// <summary>Server: its answer.</summary>
    Reply = 11,

    /// <summary>Either: are you there? (S-30).</summary>
    Ping = 12,

    /// <summary>Either: yes, with the same number.</summary>
    Pong = 13,

    /// <summary>
    /// Client: gives the hold back. Server: the hold is given back, or it goes away in good order (S-04).
    /// </summary>
    Goodbye = 14,

    /// <summary>Either: refused, with a code and a text; the last frame of its sender.</summary>
    Error = 15,
}

/// <summary>Flags of a request and its reply as they stand on the wire.</summary>
[Flags]
public enum FrameFlags : ushort
{
    /// <summary>None.</summary>
    None = 0,

    /// <summary>The change is durable before it is answered (C-04). On changes only.</summary>
    Fua = 1,

    /// <summary>The zeroed range stays allocated (C-07). On write-zeroes only.</summary>
    NoUnmap = 2,

    /// <summary>
    /// On a flush only: every change that this incarnation was told is done and that no good flush has covered was sent
    /// again before, so a good answer may take the poison away (S-24).
    /// </summary>
    Replayed = 4,
}

/// <summary>How the data of reads and writes is checked. The numbers are those on the wire.</summary>
public enum ChecksumKind : byte
{
    /// <summary>Not at all.</summary>
    None = 0,

    /// <summary>CRC-32C, 4 bytes for a chunk.</summary>
    Crc32C = 1,

    /// <summary>XXH3 with 64 bits and seed 0, 8 bytes for a chunk.</summary>
    Xxh3 = 2,
}

/// <summary>Which access a client wants. The numbers are those on the wire.</summary>
public enum AccessKind : byte
{
    /// <summary>Reads only, beside others; no epoch, no hold (S-04).</summary>
    ReadOnly = 0,

    /// <summary>The one writer.</summary>
    ReadWrite = 1,
}

/// <summary>What an acknowledged change of an export means (S-21). The numbers are those on the wire.</summary>
public enum CacheMode : byte
{
    /// <summary>It is durable.</summary>
    WriteThrough = 0,

    /// <summary>It is durable after a flush.</summary>
    WriteBack = 1,
}

/// <summary>Why a side refuses to go on. The numbers are those on the wire; see <see cref="RefusalTable"/>.</summary>
public enum RefusalCode : ushort
{
    /// <summary>Not a refusal.</summary>
    None = 0,

    /// <summary>A frame that is malformed or out of order.</summary>
    Protocol = 1,

    /// <summary>No version in common.</summary>
    Version = 2,

    /// <summary>A required feature, entry or checksum kind is not known here.</summary>
    Feature = 3,

    /// <summary>No such export for this client; a forbidden one is answered the same.</summary>
    UnknownExport = 4,

    /// <summary>Another device holds the export (S-04).</summary>
    Held = 5,

    /// <summary>The epoch to be replaced is not the newest used one: this client was fenced (S-02).</summary>
    Fenced = 6,

    /// <summary>The epoch of this connection is over; attaching anew may help at once.</summary>
    EpochOver = 7,

    /// <summary>The export is another one than the client remembers (S-07).</summary>
    Identity = 8,

    /// <summary>The export is smaller than the client remembers (S-07).</summary>
    Size = 9,

    /// <summary>The export does not allow changes.</summary>
    ReadOnlyExport = 10,

    /// <summary>Not enough memory for one request of the largest size (S-31).</summary>
    NoCredits = 11,

    /// <summary>Too many connections.</summary>
    TooMany = 12,

    /// <summary>The handshake took too long (S-32), or the other side was silent (S-30).</summary>
    Timeout = 13,

    /// <summary>JOIN with a wrong token, or a place that is taken (S-08).</summary>
    Token = 14,

    /// <summary>A data checksum did not match (S-33).</summary>
    Checksum = 15,

    /// <summary>The server is going away.</summary>
    ShuttingDown = 16,

    /// <summary>The server cannot write down what must be durable first (S-03).</summary>
    Unstable = 17,

    /// <summary>Another attach of this export is under way.</summary>
    Busy = 18,

    /// <summary>An operator of the server ended the hold (S-04).</summary>
    Released = 19,

    /// <summary>The export was removed or cannot be opened.</summary>
    ExportGone = 20,
}

/// <summary>What a refused client does next.</summary>
public enum RetryRule : byte
{
    /// <summary>Tries again, 0.1 s to 10 s apart (S-30).</summary>
    Soon,

    /// <summary>Tries again each 10 s, loudly (S-07).</summary>
    Slowly,

    /// <summary>Never by itself: the device fails and says why (S-04).</summary>
    Never,
}

/// <summary>The closed table of refusals. Pure; any thread.</summary>
public static class RefusalTable
{
    /// <summary>True for a code that may stand in an ERROR frame.</summary>
    /// <param name="code">From the wire.</param>
    public static bool IsKnown(RefusalCode code) => code is >= RefusalCode.Protocol and <= RefusalCode.ExportGone;

    /// <summary>What a client does after being refused so.</summary>
    /// <param name="code">The server's code.</param>
    public static RetryRule RetryOf(RefusalCode code) => code switch
    {
        RefusalCode.Fenced or RefusalCode.Released => RetryRule.Never,
        RefusalCode.EpochOver or RefusalCode.Timeout or RefusalCode.Checksum or RefusalCode.ShuttingDown
            or RefusalCode.Busy or RefusalCode.Token => RetryRule.Soon,
        _ => RetryRule.Slowly,
    };
}
