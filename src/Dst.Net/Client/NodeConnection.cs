using System.Net.Sockets;
using Dst.Core.Sessions.Client;
using Dst.Interop;

namespace Dst.Net.Client;

/// <summary>
/// One connection of a network node: its socket and its two threads. The object is made once and used for one socket
/// after the other; the number of a socket is kept until RX, TX and lanes have let go of it. Session thread, unless said
/// otherwise.
/// </summary>
internal sealed class NodeConnection : IDisposable
{
    private readonly int _index;
    private readonly Action _signal;
    private Socket? _socket;
    private Thread? _rx;
    private Thread? _tx;
    private int _lostReason;
    private int _rxEnded;
    private int _txEnded;
    private long _allocatedBytes;

    /// <summary>A connection without a socket.</summary>
    /// <param name="index">Its number.</param>
    /// <param name="signal">Wakes the session thread; any thread.</param>
    public NodeConnection(int index, Action signal)
    {
        _index = index;
        _signal = signal;
        Sender = new ConnectionSender(OnLost);
        Receiver = new ReplyReceiver(Sender, Inbox, OnLost, signal);
    }

    /// <summary>Control frames that came in.</summary>
    public FrameInbox Inbox { get; } = new();

    /// <summary>The sending half.</summary>
    public ConnectionSender Sender { get; }

    /// <summary>The receiving half.</summary>
    public ReplyReceiver Receiver { get; }

    /// <summary>True while there is a socket.</summary>
    public bool IsOpen => _socket is not null;

    /// <summary>Where the socket leads, for people.</summary>
    public string Peer { get; private set; } = "";

    /// <summary>Why the connection can be used no longer; None while it can.</summary>
    public EpochEnd LostReason => (EpochEnd)Volatile.Read(ref _lostReason);

    /// <summary>RX has ended. Read before the inbox: what RX left before is then seen.</summary>
    public bool RxEnded => Volatile.Read(ref _rxEnded) != 0;

    /// <summary>TX has ended.</summary>
    public bool TxEnded => Volatile.Read(ref _txEnded) != 0;

    /// <summary>Bytes that RX and TX of sockets that are gone allocated on the managed heap. Any thread.</summary>
    public long AllocatedBytes => Volatile.Read(ref _allocatedBytes);

    /// <summary>Takes a connected socket and starts RX and TX.</summary>
    /// <param name="socket">Blocking; closed by <see cref="Release"/>.</param>
    /// <param name="peer">Where it leads.</param>
    public void Open(Socket socket, string peer)
    {
        _socket = socket;
        Peer = peer;
        _lostReason = 0;
        _rxEnded = _txEnded = 0;
        while (Inbox.TryTake(out int cell))
        {
            Inbox.Give(cell);
        }

        int fd = (int)socket.SafeHandle.DangerousGetHandle();
        Sender.Open(fd);
        Receiver.Open(fd);
        _rx = Start("dst-rx-", RunRx);
        _tx = Start("dst-tx-", RunTx);
    }

    /// <summary>Ends both directions; the number of the socket stays taken. RX and TX end soon.</summary>
    public void Shut()
    {
        if (_socket is not null)
        {
            _ = Libc.Shutdown((int)_socket.SafeHandle.DangerousGetHandle(), LinuxAbi.SHUT_RDWR);
            Receiver.Close();
            Sender.Close();
        }
    }

    /// <summary>Closes the socket, once RX and TX have ended.</summary>
    public void Release()
    {
        _rx?.Join();
        _tx?.Join();
        _rx = _tx = null;
        _socket?.Dispose();
        _socket = null;
    }

    /// <summary>Gives native memory back. After <see cref="Release"/>, when every lane is gone.</summary>
    public void Dispose()
    {
        Sender.Dispose();
        Receiver.Dispose();
    }

    private Thread Start(string prefix, ThreadStart body)
    {
        Thread thread = new(body, ClientNetLimits.StackBytes) { Name = prefix + _index, IsBackground = true };
        thread.Start();
        return thread;
    }

    private void RunRx()
    {
        long before = GC.GetAllocatedBytesForCurrentThread();
        Receiver.Run();
        Interlocked.Add(ref _allocatedBytes, GC.GetAllocatedBytesForCurrentThread() - before);
        Volatile.Write(ref _rxEnded, 1);
        _signal();
    }

    private void RunTx()
    {
        long before = GC.GetAllocatedBytesForCurrentThread();
        Sender.RunTx();
        Interlocked.Add(ref _allocatedBytes, GC.GetAllocatedBytesForCurrentThread() - before);
        Volatile.Write(ref _txEnded, 1);
        _signal();
    }

    private void OnLost(EpochEnd reason)
    {
        Interlocked.CompareExchange(ref _lostReason, (int)reason, (int)EpochEnd.None);
        _signal();
    }
}
