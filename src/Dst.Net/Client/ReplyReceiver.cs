using Dst.Core.Sessions.Client;
using Dst.Core.Wire;
using Dst.Interop;
using Dst.IO.Memory;

namespace Dst.Net.Client;

/// <summary>A lane's place on a connection.</summary>
/// <param name="Border">The lane.</param>
/// <param name="FirstSlot">Its first slot.</param>
/// <param name="Slots">Its slots, the same for each lane of a session.</param>
internal readonly record struct LaneRoute(LaneBorder Border, int FirstSlot, int Slots);

/// <summary>
/// The receiving half of a connection, the body of its RX thread. Many small replies come in with one receive; the data
/// of a long one goes from the socket into the request's buffer. A header is matched with the slot that waits for it
/// before a byte is placed, the data is verified before the lane hears of it (S-14, S-33), and each lane is woken once
/// for all that one receive brought. Allocates nothing, takes no lock, never waits for TX (S-31).
/// </summary>
internal sealed unsafe class ReplyReceiver : IDisposable
{
    private const int TableMaxBytes = WireLimits.ChunksMax * WireLimits.ChecksumMaxBytes;

    private readonly ConnectionSender _sender;
    private readonly FrameInbox _inbox;
    private readonly Action<EpochEnd> _lost;
    private readonly Action _frameCame;
    private readonly NativeBlock _memory;
    private readonly bool[] _touched = new bool[ClientLimits.LanesMax];
    private LaneRoute[] _routes = [];
    private ulong _epoch;
    private ChecksumKind _checksum;
    private int _serves;
    private long _receivedBytes;
    private int _closing;
    private int _fd = -1;
    private int _start;
    private int _end;

    /// <summary>A receiver without a socket.</summary>
    /// <param name="sender">The connection's sender: for PONGs, and for what is sent.</param>
    /// <param name="inbox">Where control frames go.</param>
    /// <param name="lost">Told, on RX, why nothing more is received.</param>
    /// <param name="frameCame">Told, on RX, that the inbox has something.</param>
    public ReplyReceiver(ConnectionSender sender, FrameInbox inbox, Action<EpochEnd> lost, Action frameCame)
    {
        _sender = sender;
        _inbox = inbox;
        _lost = lost;
        _frameCame = frameCame;
        _memory = NativeBlock.Allocate(ClientNetLimits.StagingBytes + TableMaxBytes, "staging of a connection");
    }

    /// <summary>Bytes received. Any thread.</summary>
    public long ReceivedBytes => Volatile.Read(ref _receivedBytes);

    private byte* Staging => (byte*)_memory.Address;

    private byte* Table => Staging + ClientNetLimits.StagingBytes;

    private int Available => _end - _start;

    /// <summary>Takes a fresh socket. Session thread, while RX does not run.</summary>
    /// <param name="fd">The socket, blocking.</param>
    public void Open(int fd)
    {
        _fd = fd;
        _start = _end = 0;
        _serves = 0;
        _closing = 0;
        _routes = [];
        Array.Clear(_touched);
    }

    /// <summary>Replies of this epoch may be matched from now on. Session thread, before a request is sent.</summary>
    /// <param name="epoch">Epoch of the session.</param>
    /// <param name="checksum">Its kind of checksum.</param>
    public void Serve(ulong epoch, ChecksumKind checksum)
    {
        _epoch = epoch;
        _checksum = checksum;
        Volatile.Write(ref _serves, 1);
    }

    /// <summary>Says which lanes have slots here. Session thread, before they send.</summary>
    /// <param name="routes">In the order of their slots.</param>
    public void Route(LaneRoute[] routes) => Volatile.Write(ref _routes, routes);

    /// <summary>RX is to give up where it would wait for the session thread. The socket is shut down already.</summary>
    public void Close() => Volatile.Write(ref _closing, 1);

    /// <summary>Body of the RX thread; returns when the connection has ended, holding no slot (S-13).</summary>
    public void Run()
    {
        bool goesOn = true;
        while (goesOn && Fill())
        {
            goesOn = TakeFrames();
            WakeTouched();
        }
    }

    /// <summary>Gives native memory back. After RX has ended.</summary>
    public void Dispose() => _memory.Dispose();

    private bool Lose(EpochEnd reason)
    {
        _lost(reason);
        return false;
    }

    /// <summary>Receives at least one byte behind what is there.</summary>
    private bool Fill()
    {
        Compact();
        while (true)
        {
            long got = Libc.Recv(_fd, Staging + _end, (nuint)(ClientNetLimits.StagingBytes - _end), 0);
            if (got > 0)
            {
                Volatile.Write(ref _receivedBytes, _receivedBytes + got);
                _end += (int)got;
                return true;
            }

            if (got != -Errno.EINTR)
            {
                return Lose(EpochEnd.ConnectionLost);
            }
        }
    }

    private void Compact()
    {
        if (_start > 0)
        {
            Buffer.MemoryCopy(Staging + _start, Staging, ClientNetLimits.StagingBytes, Available);
            _end -= _start;
            _start = 0;
        }
    }

    /// <summary>Takes every frame that is there; false ends the connection.</summary>
    private bool TakeFrames()
    {
        while (Available >= WireLimits.HeaderBytes)
        {
            if (FrameCodec.TryRead(new ReadOnlySpan<byte>(Staging + _start, Available), out FrameHeader header) != WireError.None)
            {
                return Lose(EpochEnd.Protocol);
            }

            if (header.Kind == FrameKind.Reply)
            {
                _start += WireLimits.HeaderBytes;
                if (!TakeReply(in header))
                {
                    return false;
                }

                continue;
            }

            if (header.BodyBytes > WireLimits.ControlBodyMaxBytes)
            {
                return Lose(EpochEnd.Protocol);
            }

            int frameBytes = WireLimits.HeaderBytes + (int)header.BodyBytes;
            if (Available < frameBytes)
            {
                break;
            }

            ReadOnlySpan<byte> body = new(Staging + _start + WireLimits.HeaderBytes, (int)header.BodyBytes);
            _start += frameBytes;
            if (!TakeControl(in header, body))
            {
                return false;
            }
        }

        return true;
    }

    private bool TakeControl(in FrameHeader header, ReadOnlySpan<byte> body)
    {
        if (header.Kind == FrameKind.Ping)
        {
            _sender.SendPong(header.Sequence);
            return true;
        }

        // Only frames before the first request come in such numbers that this waits: the session thread sets the pace.
        while (!_inbox.TryPut(in header, body))
        {
            if (Volatile.Read(ref _closing) != 0)
            {
                return false;
            }

            WakeTouched();
            _frameCame();
            Thread.Sleep(1);
        }

        _frameCame();
        return true;
    }

    private bool TakeReply(in FrameHeader header)
    {
        LaneRoute[] routes = Volatile.Read(ref _routes);
        if (Volatile.Read(ref _serves) == 0 || routes.Length == 0)
        {
            return Lose(EpochEnd.Protocol);
        }

        int place = header.Slot / routes[0].Slots;
        if (place >= routes.Length)
        {
            return Lose(EpochEnd.Protocol);
        }

        LaneRoute route = routes[place];
        int slot = header.Slot - route.FirstSlot;
        switch (route.Border.Replies.Claim(in header, slot, _epoch, _checksum, out ReplyTarget target))
        {
            case ReplyVerdict.Take:
                return TakeClaimed(route.Border, in header, in target);
            case ReplyVerdict.Drain:
                return Skip((int)header.BodyBytes);
            default:
                return Lose(EpochEnd.Protocol);
        }
    }

    /// <summary>From here to Finish or LetGo the slot is ours: nobody else touches its buffer (S-13).</summary>
    private bool TakeClaimed(LaneBorder border, in FrameHeader header, in ReplyTarget target)
    {
        ReplySlots replies = border.Replies;
        if (!_sender.IsSent(border, target.Slot, header.Sequence))
        {
            // An answer to a question that is not wholly asked: its buffer is still being read by the kernel or TX.
            replies.LetGo(target.Slot);
            return Lose(EpochEnd.Protocol);
        }

        bool good = true;
        if (target.DataBytes > 0)
        {
            int tableBytes = (int)header.BodyBytes - target.DataBytes;
            if (!TakeTable(tableBytes) || !TakeData((byte*)target.Buffer, target.DataBytes))
            {
                replies.LetGo(target.Slot);
                return false;
            }

            ReadOnlySpan<byte> data = new((byte*)target.Buffer, target.DataBytes);
            good = DataChecksum.FindMismatch(_checksum, data, new ReadOnlySpan<byte>(Table, tableBytes)) < 0;
        }

        replies.Finish(target.Slot, in header, good);
        _touched[border.Lane] = true;
        return true;
    }

    private bool TakeTable(int tableBytes)
    {
        while (Available < tableBytes)
        {
            WakeTouched();
            if (!Fill())
            {
                return false;
            }
        }

        Buffer.MemoryCopy(Staging + _start, Table, TableMaxBytes, tableBytes);
        _start += tableBytes;
        return true;
    }

    /// <summary>Copies what is staged, receives the rest into its place and what follows it into staging.</summary>
    private bool TakeData(byte* buffer, int dataBytes)
    {
        int staged = int.Min(Available, dataBytes);
        Buffer.MemoryCopy(Staging + _start, buffer, dataBytes, staged);
        _start += staged;
        if (staged == dataBytes)
        {
            return true;
        }

        WakeTouched();
        _start = _end = 0;
        IoVec* vectors = stackalloc IoVec[2];
        int placed = staged;
        while (placed < dataBytes)
        {
            vectors[0] = new IoVec { Base = (nint)(buffer + placed), Len = (nuint)(dataBytes - placed) };
            vectors[1] = new IoVec { Base = (nint)Staging, Len = ClientNetLimits.StagingBytes };
            MsgHdr message = new() { Iov = (nint)vectors, IovLen = 2 };
            long got = Libc.Recvmsg(_fd, ref message, 0);
            if (got == -Errno.EINTR)
            {
                continue;
            }

            if (got <= 0)
            {
                return Lose(EpochEnd.ConnectionLost);
            }

            Volatile.Write(ref _receivedBytes, _receivedBytes + got);
            int own = int.Min((int)got, dataBytes - placed);
            placed += own;
            _end = (int)got - own;
        }

        return true;
    }

    /// <summary>Reads a body into nothing.</summary>
    private bool Skip(int bodyBytes)
    {
        while (bodyBytes > 0)
        {
            if (Available == 0)
            {
                WakeTouched();
                if (!Fill())
                {
                    return false;
                }
            }

            int taken = int.Min(bodyBytes, Available);
            _start += taken;
            bodyBytes -= taken;
        }

        return true;
    }

    private void WakeTouched()
    {
        foreach (LaneRoute route in Volatile.Read(ref _routes))
        {
            if (_touched[route.Border.Lane])
            {
                _touched[route.Border.Lane] = false;
                route.Border.Wake();
            }
        }
    }
}
