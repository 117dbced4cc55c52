using Dst.Core.Sessions.Client;
using Dst.Core.Wire;
using Dst.Interop;
using Dst.IO.Measure;
using Dst.IO.Memory;

namespace Dst.Net.Client;

/// <summary>
/// The sending half of a connection. Who has a frame puts it into an outbox and kicks: the first to take the token sends
/// for all, without blocking. What the socket does not take goes to TX along with the token, so that a frame is always
/// finished before the next begins, or the connection ends (N-13). PONG and control frames go at the next frame boundary,
/// before waiting data (N-14). Allocates nothing after construction, takes no lock.
/// </summary>
internal sealed unsafe class ConnectionSender : IDisposable
{
    private const int Free = 0;
    private const int Held = 1;
    private const int WithTx = 2;
    private const int Dead = 3;
    private const int PadLongs = 16;
    private const int PollMs = 500;

    private readonly Outbox _pongs = new(ClientNetLimits.PongsMax);
    private readonly Outbox _control = new(ClientNetLimits.ControlFramesMax);
    private readonly Outbox[] _ownSources;
    private readonly Outbox?[] _gathered = new Outbox?[ClientNetLimits.VectorsPerSend];
    private readonly int[] _gatheredBytes = new int[ClientNetLimits.VectorsPerSend];
    private readonly NativeBlock _memory;
    private readonly ActivitySignal _txSignal = new();
    private readonly Action<EpochEnd> _lost;
    private readonly long[] _words = new long[4 * PadLongs];
    private Outbox[] _sources;
    private Outbox? _partial;
    private int _partialBytes;
    private int _gatheredCount;
    private int _closing;
    private int _fd = -1;

    /// <summary>A sender without a socket.</summary>
    /// <param name="lost">Told, on any thread, that nothing can be sent any more.</param>
    public ConnectionSender(Action<EpochEnd> lost)
    {
        _lost = lost;
        _ownSources = [_pongs, _control];
        _sources = _ownSources;
        _memory = NativeBlock.Allocate(
            VectorsBytes + (ClientNetLimits.PongsMax * WireLimits.HeaderBytes)
                + (ClientNetLimits.ControlFramesMax * WireLimits.ControlFrameMaxBytes),
            "frames of a connection");
    }

    private enum SendResult
    {
        Empty,
        More,
        Blocked,
        Broken,
    }

    /// <summary>Bytes that the kernel has taken. Any thread.</summary>
    public long SentBytes => Volatile.Read(ref _words[3 * PadLongs]);

    private static int VectorsBytes => (ClientNetLimits.VectorsPerSend * sizeof(IoVec)) + sizeof(MsgHdr);

    private ref int Token => ref System.Runtime.CompilerServices.Unsafe.As<long, int>(ref _words[PadLongs]);

    private ref int Sending => ref System.Runtime.CompilerServices.Unsafe.As<long, int>(ref _words[2 * PadLongs]);

    private IoVec* Vectors => (IoVec*)_memory.Address;

    private MsgHdr* Message => (MsgHdr*)(_memory.Address + (ClientNetLimits.VectorsPerSend * sizeof(IoVec)));

    private nint PongCells => _memory.Address + VectorsBytes;

    private nint ControlCells => PongCells + (ClientNetLimits.PongsMax * WireLimits.HeaderBytes);

    /// <summary>Takes a fresh socket. Session thread, while nobody else uses this object.</summary>
    /// <param name="fd">The socket.</param>
    public void Open(int fd)
    {
        _fd = fd;
        _pongs.Clear();
        _control.Clear();
        _sources = _ownSources;
        _partial = null;
        _partialBytes = 0;
        _closing = 0;
        Volatile.Write(ref Sending, 0);
        Volatile.Write(ref Token, Free);
    }

    /// <summary>Says which lanes send here. Session thread, before they do.</summary>
    /// <param name="lanes">Their outboxes.</param>
    public void Serve(IReadOnlyList<LaneBorder> lanes) =>
        Volatile.Write(ref _sources, [.. _ownSources, .. lanes.Select(lane => lane.Outbox)]);

    /// <summary>Queues a control frame and sends it if nobody else is sending. Session thread.</summary>
    /// <param name="frame">Copied.</param>
    /// <returns>False when too many wait.</returns>
    public bool TrySend(ReadOnlySpan<byte> frame)
    {
        nint cell = ControlCells
            + ((nint)(_control.NextNumber % ClientNetLimits.ControlFramesMax) * WireLimits.ControlFrameMaxBytes);
        if (_control.NextNumber - _control.SentCount == ClientNetLimits.ControlFramesMax)
        {
            return false;
        }

        frame.CopyTo(new Span<byte>((void*)cell, WireLimits.ControlFrameMaxBytes));
        _control.TryPut(new OutgoingFrame(cell, frame.Length, 0, 0));
        Kick();
        return true;
    }

    /// <summary>Answers a PING; dropped when many wait. RX thread.</summary>
    /// <param name="sequence">Number of the PING.</param>
    public void SendPong(ulong sequence)
    {
        if (_pongs.NextNumber - _pongs.SentCount == ClientNetLimits.PongsMax)
        {
            return;
        }

        nint cell = PongCells + ((nint)(_pongs.NextNumber % ClientNetLimits.PongsMax) * WireLimits.HeaderBytes);
        Span<byte> frame = new((void*)cell, WireLimits.HeaderBytes);
        int length = MessageCodec.WritePlain(FrameKind.Pong, 0, sequence, frame);
        _pongs.TryPut(new OutgoingFrame(cell, length, 0, 0));
        Kick();
    }

    /// <summary>Sends what waits, unless somebody is sending already, who then sends it. Never blocks. Any thread.</summary>
    public void Kick()
    {
        // Each turn but the first means that a frame came between the last look and the end of the token.
        while (Interlocked.CompareExchange(ref Token, Held, Free) == Free)
        {
            SendResult result = SendResult.More;
            for (int i = 0; i < ClientNetLimits.SendsInARowMax && result == SendResult.More; i++)
            {
                result = SendOnce();
            }

            if (result == SendResult.Broken)
            {
                End();
                return;
            }

            if (result != SendResult.Empty)
            {
                Volatile.Write(ref Token, WithTx);
                _txSignal.Signal();
                return;
            }

            // Full fence: who puts a frame after this sees a free token, who put it before is seen below.
            Interlocked.Exchange(ref Token, Free);
            if (!HasFrames())
            {
                return;
            }
        }
    }

    /// <summary>
    /// True when the kernel has every byte of a slot's request. A sender that is just inside a send call is waited for:
    /// such a call does not block. RX thread (S-13).
    /// </summary>
    /// <param name="lane">The slot's lane.</param>
    /// <param name="slot">The slot.</param>
    /// <param name="sequence">Its sequence.</param>
    public bool IsSent(LaneBorder lane, int slot, ulong sequence)
    {
        for (int i = 0; i < ClientNetLimits.SentLooksMax; i++)
        {
            // Before the look: a send that began later cannot have brought the reply that is here.
            bool sending = Volatile.Read(ref Sending) != 0;
            if (lane.IsSent(slot, sequence))
            {
                return true;
            }

            if (!sending)
            {
                return false;
            }

            Thread.Yield();
        }

        return false;
    }

    /// <summary>Body of the TX thread: sends what the socket would not take at once, until <see cref="Close"/>.</summary>
    public void RunTx()
    {
        while (Volatile.Read(ref _closing) == 0)
        {
            _txSignal.Wait(-1);
            while (Volatile.Read(ref Token) == WithTx && Volatile.Read(ref _closing) == 0)
            {
                SendAsTx();
            }
        }
    }

    /// <summary>Ends TX. The socket is shut down already. Session thread.</summary>
    public void Close()
    {
        Interlocked.Exchange(ref _closing, 1);
        _txSignal.Signal();
    }

    /// <summary>Gives native memory back. After TX has ended and every lane is gone.</summary>
    public void Dispose()
    {
        _txSignal.Dispose();
        _memory.Dispose();
    }

    private void SendAsTx()
    {
        long progressMs = Environment.TickCount64;
        while (Volatile.Read(ref _closing) == 0)
        {
            long before = SentBytes;
            SendResult result = SendOnce();
            if (SentBytes != before)
            {
                progressMs = Environment.TickCount64;
            }

            switch (result)
            {
                case SendResult.Empty:
                    Interlocked.Exchange(ref Token, Free);
                    if (!HasFrames() || Interlocked.CompareExchange(ref Token, WithTx, Free) != Free)
                    {
                        return;
                    }

                    break;
                case SendResult.Broken:
                    End();
                    return;
                case SendResult.Blocked when Environment.TickCount64 - progressMs >= WireLimits.SendStallMs:
                    // A peer that takes nothing is dead, whatever it sends (S-30).
                    End();
                    return;
                case SendResult.Blocked:
                    PollFd poll = new() { Fd = _fd, Events = LinuxAbi.POLLOUT };
                    _ = Libc.Poll(new Span<PollFd>(ref poll), PollMs);
                    break;
                default:
                    break;
            }
        }
    }

    private void End()
    {
        Volatile.Write(ref Token, Dead);
        _lost(EpochEnd.ConnectionLost);
    }

    private bool HasFrames()
    {
        foreach (Outbox source in Volatile.Read(ref _sources))
        {
            if (source.HasFrames)
            {
                return true;
            }
        }

        return false;
    }

    private SendResult SendOnce()
    {
        long total = Gather();
        if (total == 0)
        {
            return SendResult.Empty;
        }

        // Before the call, so that RX waits with a reply that overtakes the look at the call's result.
        Interlocked.Exchange(ref Sending, 1);
        long sent = Libc.Sendmsg(_fd, ref *Message, LinuxAbi.MSG_DONTWAIT | LinuxAbi.MSG_NOSIGNAL);
        if (sent > 0)
        {
            ref long bytes = ref _words[3 * PadLongs];
            Volatile.Write(ref bytes, bytes + sent);
            TakeOff(sent);
        }

        Volatile.Write(ref Sending, 0);
        if (sent == total)
        {
            return SendResult.More;
        }

        bool blocked = sent > 0 || sent is -Errno.EAGAIN or -Errno.EINTR;
        return blocked ? SendResult.Blocked : SendResult.Broken;
    }

    /// <summary>Collects frames for one send: the rest of a begun one first.</summary>
    private long Gather()
    {
        long bytes = 0;
        int vectors = 0;
        _gatheredCount = 0;
        Outbox? partial = _partial;
        if (partial is not null && partial.TryPeek(0, out OutgoingFrame begun))
        {
            bytes = Add(partial, in begun, _partialBytes, ref vectors);
        }

        foreach (Outbox source in Volatile.Read(ref _sources))
        {
            int ahead = ReferenceEquals(source, partial) ? 1 : 0;
            while (vectors + 2 <= ClientNetLimits.VectorsPerSend
                && bytes < ClientNetLimits.BytesPerSend
                && source.TryPeek(ahead, out OutgoingFrame frame))
            {
                bytes += Add(source, in frame, 0, ref vectors);
                ahead++;
            }
        }

        *Message = new MsgHdr { Iov = (nint)Vectors, IovLen = (nuint)vectors };
        return bytes;
    }

    private int Add(Outbox source, in OutgoingFrame frame, int skipBytes, ref int vectors)
    {
        int skipInHead = int.Min(skipBytes, frame.HeadBytes);
        if (skipInHead < frame.HeadBytes)
        {
            Vectors[vectors++] = new IoVec
            {
                Base = frame.Head + skipInHead,
                Len = (nuint)(frame.HeadBytes - skipInHead),
            };
        }

        int skipInData = skipBytes - skipInHead;
        if (skipInData < frame.DataBytes)
        {
            Vectors[vectors++] = new IoVec
            {
                Base = frame.Data + skipInData,
                Len = (nuint)(frame.DataBytes - skipInData),
            };
        }

        _gathered[_gatheredCount] = source;
        _gatheredBytes[_gatheredCount++] = frame.LengthBytes - skipBytes;
        return frame.LengthBytes - skipBytes;
    }

    /// <summary>Lets every frame leave that was sent wholly, and notes where the next one stands.</summary>
    private void TakeOff(long sentBytes)
    {
        for (int i = 0; i < _gatheredCount; i++)
        {
            bool wasBegun = i == 0 && _partial is not null;
            if (sentBytes < _gatheredBytes[i])
            {
                _partialBytes = (wasBegun ? _partialBytes : 0) + (int)sentBytes;
                _partial = _partialBytes > 0 ? _gathered[i] : null;
                return;
            }

            sentBytes -= _gatheredBytes[i];
            _gathered[i]!.Leave();
            if (wasBegun)
            {
                _partial = null;
                _partialBytes = 0;
            }
        }
    }
}
