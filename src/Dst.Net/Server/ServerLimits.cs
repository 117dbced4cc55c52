using Dst.Core.Wire;

namespace Dst.Net.Server;

/// <summary>Every bound of a server that is not one of the protocol, named (S-31, S-32).</summary>
public static class ServerLimits
{
    /// <summary>Connections of a server, whatever their state.</summary>
    public const int ConnectionsMax = 1024;

    /// <summary>Engine threads of an export that are chosen without being asked for.</summary>
    public const int DefaultEnginesMax = 4;

    /// <summary>Most engine threads of an export.</summary>
    public const int EnginesMax = 64;

    /// <summary>Exports of a server.</summary>
    public const int ExportsMax = 256;

    /// <summary>Addresses that a server listens on.</summary>
    public const int ListenersMax = 64;

    /// <summary>Connections that the kernel completes before we take them.</summary>
    public const int Backlog = 128;

    /// <summary>Payload budget of a server unless asked for otherwise.</summary>
    public const long DefaultMemoryBytes = 256L * 1024 * 1024;

    /// <summary>Payload of one export unless asked for otherwise.</summary>
    public const long DefaultExportMemoryBytes = 64L * 1024 * 1024;

    /// <summary>Longest read or write of an export unless asked for otherwise.</summary>
    public const int DefaultMaxRequestBytes = 1024 * 1024;

    /// <summary>Requests of all connections of one engine thread that are worked on at once.</summary>
    public const int RequestsPerEngine = 1024;

    /// <summary>Connections of an engine thread that still close while their successors are there already.</summary>
    public const int LeavingMax = 16;

    /// <summary>What is received in one go before it is looked at.</summary>
    public const int StagingBytes = 64 * 1024;

    /// <summary>Replies that one send takes along.</summary>
    public const int RepliesPerSendMax = 48;

    /// <summary>Data that one send takes along at most, so that a PONG never waits long behind it (S-30).</summary>
    public const int SendMaxBytes = 4 * 1024 * 1024;

    /// <summary>PONGs that wait; a client that pings faster than it reads gets no more.</summary>
    public const int PongsMax = 8;

    /// <summary>
    /// Unsent bytes of a connection that is not live, beyond which it gets no PONG and no ATTACH_WAIT: it is slow to
    /// read, and hears from us anyway.
    /// </summary>
    public const int TalkUnsentBytes = 8 * WireLimits.HeaderBytes;

    /// <summary>
    /// Unsent bytes of a connection that is not live: more than the longest list of completed changes. Beyond them it
    /// is cut.
    /// </summary>
    public const int PeerUnsentMaxBytes = 8 * 1024 * 1024;

    /// <summary>
    /// A connection may have this many times its granted requests waiting, replies that it does not fetch included.
    /// </summary>
    public const int TagsPerRequest = 2;

    /// <summary>Time for an ERROR to reach a peer that still sends, before its connection is cut.</summary>
    public const int LingerMs = 1_000;

    /// <summary>Time for running requests of a connection when the server goes away in good order.</summary>
    public const int FinishMs = 5_000;

    /// <summary>How often threads with connections look at their clocks.</summary>
    public const int TickMs = 200;

    /// <summary>
    /// Orders and reports between session thread and an engine thread; each connection has a few at most.
    /// </summary>
    public const int MessagesMax = 8 * ConnectionsMax;
}
