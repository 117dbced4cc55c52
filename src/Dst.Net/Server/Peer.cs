using System.Net;
using System.Runtime.InteropServices;
using Dst.Core.Sessions;
using Dst.Core.Wire;
using Dst.Net.Server.Engine;

namespace Dst.Net.Server;

/// <summary>How far the life of a connection on the session thread is.</summary>
internal enum PeerState
{
    /// <summary>Frames of the handshake go both ways.</summary>
    Talking,

    /// <summary>Its session is granted; the engine gets it once nothing of ours is with the kernel.</summary>
    HandingOver,

    /// <summary>An engine thread owns its socket.</summary>
    Live,

    /// <summary>A last frame is being sent.</summary>
    Closing,

    /// <summary>The last frame is out; what still comes is thrown away.</summary>
    Lingering,

    /// <summary>The socket is shut; the kernel still has an operation on it.</summary>
    Ending,
}

/// <summary>One connection as the session thread knows it, from accept to its end. Session thread only.</summary>
internal sealed class Peer
{
    /// <summary>Bytes of a receive buffer, and of a send buffer at first: one frame.</summary>
    public const int BufferBytes = WireLimits.ControlFrameMaxBytes;

    /// <summary>Takes over a socket.</summary>
    /// <param name="id">Number of the connection, never used again.</param>
    /// <param name="fd">The socket, blocking.</param>
    /// <param name="machine">Its state.</param>
    /// <param name="receiveBuffer">Pinned, <see cref="BufferBytes"/> long.</param>
    /// <param name="sendBuffer">As the receive buffer.</param>
    public Peer(int id, int fd, ServerConnection machine, byte[] receiveBuffer, byte[] sendBuffer)
    {
        Id = id;
        Fd = fd;
        Machine = machine;
        ReceiveBuffer = receiveBuffer;
        SendBuffer = sendBuffer;
    }

    /// <summary>Number of the connection.</summary>
    public int Id { get; }

    /// <summary>Socket, while the session thread owns it.</summary>
    public int Fd { get; set; }

    /// <summary>State of the handshake.</summary>
    public ServerConnection Machine { get; }

    /// <summary>State.</summary>
    public PeerState State { get; set; }

    /// <summary>Local end of a TCP connection, normalised.</summary>
    public IPEndPoint? Local { get; init; }

    /// <summary>Remote end of a TCP connection, normalised.</summary>
    public IPEndPoint? Remote { get; init; }

    /// <summary>Path of the Unix socket it came by.</summary>
    public string? UnixPath { get; init; }

    /// <summary>Where it comes from, for people.</summary>
    public required string Name { get; init; }

    /// <summary>What rate limits of the log go by: the client's host.</summary>
    public string Host => Remote?.Address.ToString() ?? "unix";

    /// <summary>
    /// The export whose session knows it; null before ATTACH or JOIN, and after the session has closed it.
    /// </summary>
    public Export? Export { get; set; }

    /// <summary>The lane it gets, while handing over.</summary>
    public ServerLane? Lane { get; set; }

    /// <summary>The engine's side of it, once handed over.</summary>
    public LiveConnection? Live { get; set; }

    /// <summary>Engine thread that has it.</summary>
    public EngineThread? Engine { get; set; }

    /// <summary>Bytes of the present frame.</summary>
    public byte[] ReceiveBuffer { get; }

    /// <summary>Bytes of it that are there.</summary>
    public int Received { get; set; }

    /// <summary>Bytes that are being waited for: a header, then a whole frame.</summary>
    public int ReceiveTarget { get; set; } = WireLimits.HeaderBytes;

    /// <summary>Header of the frame whose body is being received.</summary>
    public FrameHeader Header;

    /// <summary>A receive is with the kernel.</summary>
    public bool Receiving { get; set; }

    /// <summary>That receive was asked to end.</summary>
    public bool CancelAsked { get; set; }

    /// <summary>Frames to be sent.</summary>
    public byte[] SendBuffer { get; private set; }

    /// <summary>First byte that was not taken.</summary>
    public int SendStart { get; set; }

    /// <summary>End of what is to be sent.</summary>
    public int SendEnd { get; set; }

    /// <summary>Bytes that are to be sent.</summary>
    public int UnsentBytes => SendEnd - SendStart;

    /// <summary>More is unsent than may be; what came after that is thrown away, and the connection is cut.</summary>
    public bool Overflows { get; set; }

    /// <summary>A send is with the kernel.</summary>
    public bool Sending { get; set; }

    /// <summary>Its socket is closed as soon as the last frame is out.</summary>
    public bool Hurries { get; set; }

    /// <summary>When the present state ends by force, monotonic ms.</summary>
    public long DeadlineMs { get; set; }

    /// <summary>Address of a byte of a pinned buffer.</summary>
    public static nint AddressOf(byte[] pinned, int index) => Marshal.UnsafeAddrOfPinnedArrayElement(pinned, index);

    /// <summary>
    /// Room for one more frame at the end of what is to be sent. Not while a send is with the kernel and it would have
    /// to move.
    /// </summary>
    /// <param name="retired">The buffer that was replaced, which a send may still use.</param>
    public Span<byte> RoomForFrame(out byte[]? retired)
    {
        retired = null;
        if (SendBuffer.Length - SendEnd < BufferBytes)
        {
            retired = SendBuffer;
            byte[] larger = GC.AllocateUninitializedArray<byte>(2 * (SendBuffer.Length + BufferBytes), pinned: true);
            SendBuffer.AsSpan(SendStart, SendEnd - SendStart).CopyTo(larger);
            SendEnd -= SendStart;
            SendStart = 0;
            SendBuffer = larger;
        }

        return SendBuffer.AsSpan(SendEnd, BufferBytes);
    }
}
