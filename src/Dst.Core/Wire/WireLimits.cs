namespace Dst.Core.Wire;

/// <summary>
/// Every bound of the protocol DST/1, named (N-30, S-32). A frame beyond one of them ends its connection.
/// </summary>
public static class WireLimits
{
    /// <summary>The newest protocol version that this code speaks.</summary>
    public const ushort VersionMax = 1;

    /// <summary>The oldest protocol version that this code speaks.</summary>
    public const ushort VersionMin = 1;

    /// <summary>
    /// Highest epoch that may be granted: above what a client has noted there is always another number (S-03).
    /// </summary>
    public const ulong EpochMax = ulong.MaxValue - 1;

    /// <summary>TCP port of a server when the address names none.</summary>
    public const int DefaultPort = 7003;

    /// <summary>Every frame begins with a header of this length.</summary>
    public const int HeaderBytes = 64;

    /// <summary>Longest frame that carries no data, header included; the only frames before ATTACH (S-32).</summary>
    public const int ControlFrameMaxBytes = 4096;

    /// <summary>Longest body of a frame that carries no data.</summary>
    public const int ControlBodyMaxBytes = ControlFrameMaxBytes - HeaderBytes;

    /// <summary>Most type-length-value entries of one body.</summary>
    public const int TlvsMax = 64;

    /// <summary>Type and length in front of a value.</summary>
    public const int TlvHeaderBytes = 4;

    /// <summary>One entry of a COMPLETED frame.</summary>
    public const int CompletedEntryBytes = 16;

    /// <summary>Most entries of one COMPLETED frame.</summary>
    public const int CompletedEntriesMax = ControlBodyMaxBytes / CompletedEntryBytes;

    /// <summary>Longest text in a body, in UTF-8 bytes.</summary>
    public const int TextMaxBytes = 240;

    /// <summary>Longest name of an export.</summary>
    public const int ExportNameMaxBytes = 64;

    /// <summary>Data is checked in chunks of this length; the last one may be shorter (S-33).</summary>
    public const int ChunkBytes = 64 * 1024;

    /// <summary>Longest data of one read or write.</summary>
    public const int DataMaxBytes = 16 * 1024 * 1024;

    /// <summary>Longest range of one discard or write-zeroes (C-09).</summary>
    public const long ChangeMaxBytes = 1L << 30;

    /// <summary>Most chunks of one frame.</summary>
    public const int ChunksMax = DataMaxBytes / ChunkBytes;

    /// <summary>Longest checksum of a chunk.</summary>
    public const int ChecksumMaxBytes = 8;

    /// <summary>Longest body of any frame.</summary>
    public const int BodyMaxBytes = DataMaxBytes + ChunksMax * ChecksumMaxBytes;

    /// <summary>Most connections of one session.</summary>
    public const int ConnectionsMax = 64;

    /// <summary>Most slots of one connection, which is most requests in flight on it.</summary>
    public const int SlotsMax = 4096;

    /// <summary>All of HELLO, ATTACH or JOIN together; the server's drain does not count (S-05, S-32).</summary>
    public const int HandshakeMs = 10_000;

    /// <summary>A drain that lasts says so this often (S-05).</summary>
    public const int AttachWaitEveryMs = 1_000;

    /// <summary>A side that has sent nothing for so long pings (S-30).</summary>
    public const int PingEveryMs = 1_000;

    /// <summary>Without a byte for so long the other side is dead (S-30).</summary>
    public const int SilenceMs = 5_000;

    /// <summary>A send that moves no byte for so long ends its connection (S-30).</summary>
    public const int SendStallMs = 10_000;

    /// <summary>Most connections of one server that have not attached; the oldest makes room (S-32).</summary>
    public const int UnattachedMax = 64;
}
