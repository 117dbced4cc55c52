using System.Diagnostics;
using Dst.Interop;
using Dst.IO.Measure;
using Dst.IO.Memory;

namespace Dst.IO.Rings;

/// <summary>
/// A party of a ring: it submits operations tagged with its own client number and gets their completions. Loop thread
/// only.
/// </summary>
public interface IRingClient
{
    /// <summary>An operation of this client ended.</summary>
    /// <param name="token">The low 56 bits of the operation's user data.</param>
    /// <param name="result">Result of the operation: a count or -errno.</param>
    /// <param name="nowTicks">Time of this turn of the loop, in ticks of <see cref="Stopwatch"/>.</param>
    void OnCompletion(ulong token, int result, long nowTicks);

    /// <summary>Another thread called <see cref="RingLoop.Wake"/>: look at what it may have left.</summary>
    /// <param name="nowTicks">Time of this turn of the loop.</param>
    void OnWake(long nowTicks);
}

/// <summary>A party that has something to do once in each turn, after its completions. Loop thread only.</summary>
public interface ITurnEnd
{
    /// <summary>
    /// All completions of this turn were handed out; what is submitted here goes to the kernel with the rest of the turn. That is
    /// where replies which became ready together are sent together.
    /// </summary>
    /// <param name="nowTicks">Time of this turn of the loop.</param>
    void OnTurnEnd(long nowTicks);
}

/// <summary>
/// One thread, one ring, several clients. The loop blocks nowhere but in the ring (U-02) and allocates nothing. Other
/// threads reach it only through <see cref="Wake"/>, an eventfd that the ring reads.
/// </summary>
public sealed unsafe class RingLoop : IDisposable
{
    /// <summary>
    /// Most clients of a loop, by the 8 bits of their numbers. A queue has at most 194: its frontend and engine, one for
    /// each of 64 nodes, two for each of 64 delays.
    /// </summary>
    public const int ClientsMax = 255;

    /// <summary>
    /// Completions handled before the ring is entered again, so that new submissions of a busy turn do not wait for all
    /// of it.
    /// </summary>
    private const int CompletionsPerTurnMax = 256;

    private const int TokenBits = 56;
    private const ulong TokenMask = (1UL << TokenBits) - 1;
    private const byte WakeClient = 0;

    private readonly IRingClient[] _clients = new IRingClient[ClientsMax + 1];
    private readonly NativeBlock _wakeCount;
    private readonly int _wakeFd;
    private readonly ITurnEnd[] _turnEnds = new ITurnEnd[ClientsMax];
    private int _turnEndCount;
    private int _clientCount = 1;
    private bool _stopped;

    /// <summary>Makes a loop on a ring. Called on the thread that will run it and made the ring.</summary>
    /// <param name="ring">The ring; disposed with the loop.</param>
    /// <exception cref="RingException">No eventfd can be had.</exception>
    public RingLoop(Ring ring)
    {
        Ring = ring;
        _wakeFd = Libc.Eventfd(0, LinuxAbi.EFD_CLOEXEC);
        if (_wakeFd < 0)
        {
            throw new RingException($"eventfd: {Errno.Describe(-_wakeFd)}; raise the limit of open files (ulimit -n)");
        }

        _wakeCount = NativeBlock.Allocate(sizeof(ulong), "wake counter");
    }

    /// <summary>The loop's ring.</summary>
    public Ring Ring { get; }

    /// <summary>
    /// Time the thread spent outside the kernel's wait, one value a turn: what a device feels as a stall (U-02).
    /// </summary>
    public LatencyHistogram TurnTime { get; } = new();

    /// <summary>Adds a client. Loop thread, before <see cref="Run"/>.</summary>
    /// <returns>Its number, for <see cref="UserData"/>.</returns>
    public byte Add(IRingClient client)
    {
        if (_clientCount > ClientsMax)
        {
            throw new RingException($"a loop has at most {ClientsMax} clients");
        }

        _clients[_clientCount] = client;
        return (byte)_clientCount++;
    }

    /// <summary>
    /// Adds a party that is told of the end of each turn. Loop thread, before <see cref="Run"/>. Who was added last is told first: a frontend,
    /// made after the nodes that it hands requests to, is done before they send what they have.
    /// </summary>
    /// <param name="turnEnd">Called once before the ring is entered.</param>
    public void AtTurnEnd(ITurnEnd turnEnd)
    {
        if (_turnEndCount == ClientsMax)
        {
            throw new RingException($"a loop has at most {ClientsMax} parties that end its turns");
        }

        _turnEnds[_turnEndCount++] = turnEnd;
    }

    /// <summary>The user data of an operation of a client.</summary>
    /// <param name="client">Number from <see cref="Add"/>.</param>
    /// <param name="token">At most 56 bits, comes back in <see cref="IRingClient.OnCompletion"/>.</param>
    public static ulong UserData(byte client, ulong token) => ((ulong)client << TokenBits) | (token & TokenMask);

    /// <summary>Runs until <see cref="Stop"/>. Any exception out of it is a bug and ends the process.</summary>
    public void Run()
    {
        ArmWake();
        long turnStart = Stopwatch.GetTimestamp();
        while (!_stopped)
        {
            for (int i = _turnEndCount - 1; i >= 0; i--)
            {
                _turnEnds[i].OnTurnEnd(turnStart);
            }

            if (_stopped)
            {
                break;
            }

            TurnTime.Record(Stopwatch.GetTimestamp() - turnStart);
            Ring.SubmitAndWait(1);
            turnStart = Stopwatch.GetTimestamp();
            for (int taken = 0; taken < CompletionsPerTurnMax && Ring.TryTake(out IoUringCqe cqe); taken++)
            {
                byte client = (byte)(cqe.UserData >> TokenBits);
                if (client == WakeClient)
                {
                    OnWoken(turnStart);
                }
                else
                {
                    _clients[client].OnCompletion(cqe.UserData & TokenMask, cqe.Res, turnStart);
                }
            }
        }
    }

    /// <summary>Ends <see cref="Run"/> after the current turn. Loop thread.</summary>
    public void Stop() => _stopped = true;

    /// <summary>
    /// Makes the loop call <see cref="IRingClient.OnWake"/> of every client soon. Any thread; several calls may become
    /// one.
    /// </summary>
    public void Wake()
    {
        ulong one = 1;
        _ = Libc.Write(_wakeFd, &one, sizeof(ulong));
    }

    /// <summary>
    /// Closes ring and eventfd. After <see cref="Run"/> has returned and no other thread calls <see cref="Wake"/> any
    /// more.
    /// </summary>
    public void Dispose()
    {
        Ring.Dispose();
        _ = Libc.Close(_wakeFd);
        _wakeCount.Dispose();
    }

    private void OnWoken(long nowTicks)
    {
        ArmWake();
        for (int i = 1; i < _clientCount; i++)
        {
            _clients[i].OnWake(nowTicks);
        }
    }

    private void ArmWake()
    {
        IoUringSqe* sqe = Ring.NextSqe();
        sqe->Opcode = (byte)IoUringAbi.IORING_OP_READ;
        sqe->Fd = _wakeFd;
        sqe->Addr = (ulong)_wakeCount.Address;
        sqe->Len = sizeof(ulong);
        sqe->UserData = UserData(WakeClient, 0);
    }
}
