namespace Dst.Core.Wire;

/// <summary>A device's UUID and the node of it that attaches (S-02).</summary>
/// <param name="Uuid">Made at add-device; zero is none.</param>
/// <param name="NodeIndex">Place of the node in the device's map.</param>
public readonly record struct DeviceId(UInt128 Uuid, uint NodeIndex);

/// <summary>What a client asks for and a server grants, for each connection (S-31).</summary>
/// <param name="Connections">1 to <see cref="WireLimits.ConnectionsMax"/>.</param>
/// <param name="Requests">Slots of a connection, 1 to <see cref="WireLimits.SlotsMax"/>.</param>
/// <param name="PayloadBytes">Most data bytes of reads and writes in flight on a connection together.</param>
public readonly record struct CreditGrant(ushort Connections, ushort Requests, uint PayloadBytes)
{
    /// <summary>True when each number is within the protocol's limits.</summary>
    public bool IsValid => Connections is >= 1 and <= WireLimits.ConnectionsMax
        && Requests is >= 1 and <= WireLimits.SlotsMax
        && PayloadBytes > 0;
}

/// <summary>What an export can do. Bits on the wire.</summary>
[Flags]
public enum ExportCapabilities : uint
{
    /// <summary>Nothing beyond reading.</summary>
    None = 0,

    /// <summary>Changes are refused.</summary>
    ReadOnly = 1,

    /// <summary>Discard works.</summary>
    Discard = 2,

    /// <summary>Write-zeroes works.</summary>
    WriteZeroes = 4,

    /// <summary>The disk turns.</summary>
    Rotational = 8,
}

/// <summary>Size and limits of an export; on the wire u64 size, u64 max change, u32 × 4 in this order.</summary>
/// <param name="SizeBytes">Whole blocks.</param>
/// <param name="MaxChangeBytes">Longest discard or write-zeroes.</param>
/// <param name="BlockBytes">Logical block: 512 or 4096.</param>
/// <param name="MaxRequestBytes">Longest read or write.</param>
/// <param name="DiscardGranularityBytes">0 when there is no discard.</param>
/// <param name="Capabilities">What it can do.</param>
public readonly record struct ExportGeometry(
    ulong SizeBytes,
    ulong MaxChangeBytes,
    uint BlockBytes,
    uint MaxRequestBytes,
    uint DiscardGranularityBytes,
    ExportCapabilities Capabilities)
{
    private const ExportCapabilities Known = ExportCapabilities.ReadOnly | ExportCapabilities.Discard
        | ExportCapabilities.WriteZeroes | ExportCapabilities.Rotational;

    /// <summary>True when the numbers are within the protocol's limits and fit each other.</summary>
    public bool IsValid => BlockBytes is 512 or 4096
        && SizeBytes is > 0 and <= long.MaxValue
        && SizeBytes % BlockBytes == 0
        && MaxRequestBytes is > 0 and <= WireLimits.DataMaxBytes
        && MaxRequestBytes % BlockBytes == 0
        && MaxChangeBytes is > 0 and <= (ulong)WireLimits.ChangeMaxBytes
        && MaxChangeBytes % BlockBytes == 0
        && DiscardGranularityBytes <= WireLimits.ChangeMaxBytes
        && (Capabilities & ~Known) == ExportCapabilities.None;
}

/// <summary>HELLO of a client.</summary>
public struct HelloMessage
{
    /// <summary>Lowest and highest version that the sender speaks.</summary>
    public ushort VersionMin, VersionMax;

    /// <summary>Features without which the sender will not go on.</summary>
    public ulong FeaturesRequired;

    /// <summary>Features that it would like.</summary>
    public ulong FeaturesOptional;

    /// <summary>Random; new for each connection.</summary>
    public UInt128 Nonce;

    /// <summary>Bit k: checksum kind k may be used.</summary>
    public byte Checksums;

    /// <summary>Program and version, for people.</summary>
    public WireText Software;
}

/// <summary>HELLO of a server.</summary>
public struct HelloReply
{
    /// <summary>The chosen version.</summary>
    public ushort Version;

    /// <summary>Features that are in use from here on.</summary>
    public ulong Features;

    /// <summary>Random; new for each connection. ATTACH and JOIN send it back (N-40).</summary>
    public UInt128 Nonce;

    /// <summary>Bit k: checksum kind k may be used on this connection.</summary>
    public byte Checksums;

    /// <summary>Drawn at the start of the server process, never 0 (S-20).</summary>
    public ulong BootId;

    /// <summary>Program and version, for people.</summary>
    public WireText Software;
}

/// <summary>ATTACH (S-02).</summary>
public struct AttachMessage
{
    /// <summary>The server's nonce of this connection.</summary>
    public UInt128 Challenge;

    /// <summary>Name of the export.</summary>
    public WireText Export;

    /// <summary>Who attaches.</summary>
    public DeviceId Device;

    /// <summary>Random, drawn at the start of the target, never 0.</summary>
    public ulong Incarnation;

    /// <summary>Wanted access.</summary>
    public AccessKind Access;

    /// <summary>An operator said that another holder is to be fenced (S-04). Only with read-write.</summary>
    public bool TakeOver;

    /// <summary>The epoch that is replaced; 0 for none, and with read-only.</summary>
    public ulong Replaces;

    /// <summary>Identity that the client remembers; 0 for none.</summary>
    public UInt128 ExpectedIdentity;

    /// <summary>Size that the client remembers; 0 for none.</summary>
    public ulong ExpectedSizeBytes;

    /// <summary>Wanted credits.</summary>
    public CreditGrant Credits;

    /// <summary>Wanted checksum kind; one that both HELLOs have.</summary>
    public ChecksumKind Checksum;

    /// <summary>Host and device, for people.</summary>
    public WireText Holder;

    /// <summary>Queues that share the connections; 0 when nothing was said (S-31).</summary>
    public ushort Lanes;
}

/// <summary>ATTACH_OK; the epoch stands in the header.</summary>
public struct AttachOkMessage
{
    /// <summary>What JOIN has to show (S-08); 0 in read-only sessions, which join nobody.</summary>
    public UInt128 Token;

    /// <summary>UUID of the export (S-07).</summary>
    public UInt128 Identity;

    /// <summary>Size and limits.</summary>
    public ExportGeometry Geometry;

    /// <summary>Boot id of the server process (S-20).</summary>
    public ulong BootId;

    /// <summary>Write-error generation (S-20).</summary>
    public ulong WriteErrorGeneration;

    /// <summary>What an acknowledgement means (S-21).</summary>
    public CacheMode Cache;

    /// <summary>
    /// Data of the export is lost; flushes fail until it is written anew or an operator says so (S-24).
    /// </summary>
    public bool Poisoned;

    /// <summary>Granted credits.</summary>
    public CreditGrant Credits;

    /// <summary>Checksum kind of all connections of the session.</summary>
    public ChecksumKind Checksum;

    /// <summary>Entries in the COMPLETED frames before this frame (S-10).</summary>
    public uint CompletedCount;
}

/// <summary>JOIN (S-08); the epoch stands in the header.</summary>
public struct JoinMessage
{
    /// <summary>The server's nonce of this connection.</summary>
    public UInt128 Challenge;

    /// <summary>Name of the export.</summary>
    public WireText Export;

    /// <summary>From ATTACH_OK.</summary>
    public UInt128 Token;

    /// <summary>Number in the session, 1 to the granted connections - 1.</summary>
    public ushort Connection;
}

/// <summary>ATTACH_WAIT (S-05).</summary>
public struct AttachWaitMessage
{
    /// <summary>Requests of older connections that the disk still has.</summary>
    public uint Requests;

    /// <summary>Milliseconds since the drain began; sticks at its maximum.</summary>
    public uint WaitedMs;

    /// <summary>What is waited for, for people.</summary>
    public WireText Text;
}

/// <summary>ERROR; the code stands in the header.</summary>
public struct ErrorMessage
{
    /// <summary>Why, and what to do next, for people.</summary>
    public WireText Text;

    /// <summary>
    /// With <see cref="RefusalCode.Held"/> and <see cref="RefusalCode.Fenced"/>: name and address of the holder.
    /// </summary>
    public WireText Holder;

    /// <summary>With the same: the newest used epoch, which a take-over has to name; 0 for none.</summary>
    public ulong Epoch;

    /// <summary>Slot of the request that it is about.</summary>
    public ushort Slot;

    /// <summary>Sequence of that request; 0 for none (S-33).</summary>
    public ulong Sequence;
}

/// <summary>
/// One entry of a COMPLETED frame: u16 connection, u16 slot, u16 status, u16 zero, u64 sequence (S-10).
/// </summary>
/// <param name="Connection">Number in the session.</param>
/// <param name="Slot">Slot of that connection.</param>
/// <param name="Status">A <see cref="WireStatus"/>.</param>
/// <param name="Sequence">The change that is done.</param>
public readonly record struct CompletedEntry(ushort Connection, ushort Slot, ushort Status, ulong Sequence);
