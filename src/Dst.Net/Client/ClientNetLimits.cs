using Dst.Core.Wire;

namespace Dst.Net.Client;

/// <summary>Every bound of a network node's threads, named; those of the machines are in Core.</summary>
public static class ClientNetLimits
{
    /// <summary>What RX receives in one go before it looks at it.</summary>
    public const int StagingBytes = 128 * 1024;

    /// <summary>Buffers that one send takes along.</summary>
    public const int VectorsPerSend = 256;

    /// <summary>
    /// No further frame joins a send that has so many bytes, so that a PONG never waits long behind data (N-14).
    /// </summary>
    public const int BytesPerSend = 512 * 1024;

    /// <summary>Sends in a row by a thread that has other work; then TX goes on.</summary>
    public const int SendsInARowMax = 8;

    /// <summary>PONGs that wait; a server that pings faster than it reads gets no more.</summary>
    public const int PongsMax = 8;

    /// <summary>Control frames that wait to be sent on one connection.</summary>
    public const int ControlFramesMax = 16;

    /// <summary>Control frames of one connection that the session thread has not looked at yet.</summary>
    public const int InboxFrames = 32;

    /// <summary>
    /// Orders to a lane that its thread has not taken yet: few of the machine, the rest an operator's.
    /// </summary>
    public const int OrdersMax = 1024;

    /// <summary>News of a lane that the session thread has not taken yet: at most six in an epoch.</summary>
    public const int NewsMax = 64;

    /// <summary>How often session thread and lanes look at their clocks.</summary>
    public const int TickMs = 100;

    /// <summary>Stack of the threads of a connection.</summary>
    public const int StackBytes = 256 * 1024;

    /// <summary>Silence before the kernel probes a TCP connection, and time between its probes.</summary>
    public const int KeepAliveSeconds = 5;

    /// <summary>Data bytes of reads and writes that a connection asks for.</summary>
    public const uint PayloadBytes = 32 * 1024 * 1024;

    /// <summary>Replay log of a node unless asked for otherwise, over all lanes (S-21).</summary>
    public const long DefaultLogBytes = 64L * 1024 * 1024;

    /// <summary>Entries of a lane's replay log: one for each so many bytes of it.</summary>
    public const int LogBytesPerEntry = 4096;

    /// <summary>Fewest entries of a lane's replay log.</summary>
    public const int LogEntriesMin = 1024;

    /// <summary>Longest head of a request frame: header and checksum table.</summary>
    public const int HeadMaxBytes = WireLimits.HeaderBytes + (WireLimits.ChunksMax * WireLimits.ChecksumMaxBytes);

    /// <summary>
    /// RX looks so often whether a request whose reply is here was wholly handed to the kernel; then it was not.
    /// </summary>
    public const int SentLooksMax = 1_000_000;

    /// <summary>Time for a server to make durable that nobody holds any more.</summary>
    public const int LeaveMs = 5_000;

    /// <summary>Time for the threads of a node to end when it is closed.</summary>
    public const int CloseMs = 15_000;
}
