using Dst.Core.Sessions;
using Dst.Interop;

namespace Dst.Net.Server.Engine;

/// <summary>How far the life of a connection on its engine thread is.</summary>
internal enum LiveState
{
    /// <summary>Handed over, not taken yet.</summary>
    New,

    /// <summary>Requests come and replies go.</summary>
    Live,

    /// <summary>The client said goodbye; only pings are answered until the export has noted it.</summary>
    Leaving,

    /// <summary>No new requests; replies still go, then GOODBYE.</summary>
    Finishing,

    /// <summary>A last frame is to be sent; nothing else is.</summary>
    Closing,

    /// <summary>The last frame is out; what the peer still sends is thrown away until it closes too.</summary>
    Lingering,

    /// <summary>The socket is shut; the kernel still has an operation on it.</summary>
    Ending,

    /// <summary>The socket is closed; requests may still be with the disk.</summary>
    Closed,
}

/// <summary>
/// A connection whose session is granted. The session thread makes it and hands it to one engine thread, which owns it
/// from then on; the session thread keeps it as a name for reports and orders.
/// </summary>
/// <param name="fd">The socket, blocking; closed by the engine.</param>
/// <param name="lane">The requests of the connection.</param>
/// <param name="id">Number of the connection in this process, for people.</param>
/// <param name="peer">Address of the client, for people.</param>
/// <param name="engineIndex">Engine thread that owns it.</param>
internal sealed unsafe class LiveConnection(int fd, ServerLane lane, long id, string peer, int engineIndex)
{
    /// <summary>Length of <see cref="Memory"/>.</summary>
    public const int MemoryBytes = 4096;

    /// <summary>Entries for sending: head and data of each reply, and the frames that carry none.</summary>
    public const int SendVectors = (2 * ServerLimits.RepliesPerSendMax) + 1;

    private const int ReceiveMessageAt = 0;
    private const int ReceiveVectorsAt = 64;
    private const int SendMessageAt = 128;
    private const int SendVectorsAt = 192;
    private const int FramesAt = SendVectorsAt + (SendVectors * 16);

    /// <summary>Room for PONGs, one PING and a last frame.</summary>
    public const int FramesBytes = MemoryBytes - FramesAt;

    /// <summary>Socket; -1 once closed.</summary>
    public int Fd { get; set; } = fd;

    /// <summary>Its requests.</summary>
    public ServerLane Lane { get; } = lane;

    /// <summary>Number of the connection, for people.</summary>
    public long Id { get; } = id;

    /// <summary>Address of the client, for people.</summary>
    public string Peer { get; } = peer;

    /// <summary>Engine thread that owns it.</summary>
    public int EngineIndex { get; } = engineIndex;

    /// <summary>What the session thread knows it by; the engine does not look at it.</summary>
    public object? Owner { get; set; }

    /// <summary>
    /// Bytes that came before the connection was handed over, behind the last frame of the handshake.
    /// </summary>
    public byte[] EarlyBytes { get; init; } = [];

    /// <summary>State; engine thread, as all that follows.</summary>
    public LiveState State;

    /// <summary>Place in the engine's list.</summary>
    public int Index;

    /// <summary>Liveness (S-30).</summary>
    public LaneTimers Timers;

    /// <summary>Tags that work for it, whether with the disk or waiting to be sent.</summary>
    public int TagCount;

    /// <summary>Memory of those tags.</summary>
    public long BlockBytes;

    /// <summary>Data of the request that waits for room; counts while <see cref="Starved"/>.</summary>
    public int WantedBytes;

    /// <summary>Memory for messages, vectors and small frames.</summary>
    public nint Memory;

    /// <summary>Where bytes are received.</summary>
    public nint Staging;

    /// <summary>First byte in staging that was not looked at.</summary>
    public int StagingStart;

    /// <summary>End of what was received into staging.</summary>
    public int StagingEnd;

    /// <summary>A receive is with the kernel.</summary>
    public bool Receiving;

    /// <summary>Nothing is received until tags or memory come free.</summary>
    public bool Starved;

    /// <summary>Next connection that waits for memory.</summary>
    public LiveConnection? NextStarved;

    /// <summary>Tag whose body is being received; -1 for none.</summary>
    public int BodyTag = -1;

    /// <summary>Bytes of that body that are there.</summary>
    public int BodyBytes;

    /// <summary>A send is with the kernel.</summary>
    public bool Sending;

    /// <summary>Bytes of that send that are not taken yet.</summary>
    public long SendBytes;

    /// <summary>Bytes of that send that are taken and belong to a reply which is not taken whole.</summary>
    public long TakenBytes;

    /// <summary>First and last reply that waits; -1 for none.</summary>
    public int FirstReply = -1, LastReply = -1;

    /// <summary>Replies that the send takes along, as a list of tags; -1 for none.</summary>
    public int FirstSent = -1;

    /// <summary>PONGs that wait.</summary>
    public int PongCount;

    /// <summary>A PING waits.</summary>
    public bool PingDue;

    /// <summary>In the list of connections that have something to send.</summary>
    public bool Dirty;

    /// <summary>The last frame is GOODBYE, not ERROR.</summary>
    public bool EndsWithGoodbye;

    /// <summary>Epoch of that GOODBYE.</summary>
    public ulong GoodbyeEpoch;

    /// <summary>The ERROR that ends it, a whole frame; empty for none.</summary>
    public byte[] LastFrame = [];

    /// <summary>The send that is with the kernel is the last one.</summary>
    public bool LastFrameSent;

    /// <summary>The session thread was told that it takes no more requests.</summary>
    public bool EndReported;

    /// <summary>When the present state ends by force, monotonic ms.</summary>
    public long DeadlineMs;

    /// <summary>Numbers of the PONGs that wait.</summary>
    public readonly ulong[] Pongs = new ulong[ServerLimits.PongsMax];

    /// <summary>Puts the early bytes where they belong.</summary>
    public void TakeOver()
    {
        EarlyBytes.CopyTo(new Span<byte>((void*)Staging, ServerLimits.StagingBytes));
        StagingEnd = EarlyBytes.Length;
    }

    /// <summary>Message of receives that have two places to fill.</summary>
    public MsgHdr* ReceiveMessage => (MsgHdr*)(Memory + ReceiveMessageAt);

    /// <summary>Vectors of that message.</summary>
    public IoVec* ReceiveVectors => (IoVec*)(Memory + ReceiveVectorsAt);

    /// <summary>Message of sends.</summary>
    public MsgHdr* SendMessage => (MsgHdr*)(Memory + SendMessageAt);

    /// <summary>Vectors of sends.</summary>
    public IoVec* SendVectorsStart => (IoVec*)(Memory + SendVectorsAt);

    /// <summary>Room for frames without data; in use while a send is with the kernel.</summary>
    public Span<byte> Frames => new((void*)(Memory + FramesAt), FramesBytes);

    /// <summary>Address of <see cref="Frames"/>.</summary>
    public nint FramesAddress => Memory + FramesAt;
}
