using System.Net;
using System.Net.Sockets;
using Dst.Core.Sessions;
using Dst.Core.Wire;
using Dst.Interop;
using Dst.IO.Rings;
using Dst.Net.Server.Engine;

namespace Dst.Net.Server;

/// <summary>Sockets that are not live: accept, frames of the handshake, handing over, and the end.</summary>
internal sealed unsafe partial class SessionThread
{
    /// <summary>
    /// A peer that lets us send nothing in this time is cut, whatever the rest of the kernel's timers think (S-30).
    /// </summary>
    private const int UserTimeoutMs = WireLimits.SendStallMs;

    private readonly Stack<byte[]> _freeBuffers = new();

    private void OnListening(Listener listener)
    {
        listener.Id = ++_lastId;
        _listeners.Add(listener.Id, listener);
        ArmAccept(listener);
    }

    private void OnListenerDropped(Listener listener)
    {
        listener.Closing = true;
        if (listener.Accepting)
        {
            listener.Interrupt();
        }
        else
        {
            CloseListener(listener);
        }
    }

    private void CloseListener(Listener listener)
    {
        _listeners.Remove(listener.Id);
        listener.Dispose();
    }

    private void ArmAccept(Listener listener)
    {
        if (listener.Accepting || listener.Closing)
        {
            return;
        }

        listener.Accepting = true;
        IoUringSqe* sqe = _loop!.Ring.NextSqe();
        sqe->Opcode = IoUringAbi.IORING_OP_ACCEPT;
        sqe->Fd = listener.Fd;
        sqe->OpFlags = LinuxAbi.SOCK_CLOEXEC;
        sqe->UserData = RingLoop.UserData(_client, Token(listener.Id, Act.Accept));
    }

    private void OnAccepted(Listener listener, int result)
    {
        listener.Accepting = false;
        if (result >= 0)
        {
            Admit(listener, result);
        }

        if (listener.Closing)
        {
            CloseListener(listener);
        }
        else if (result is -Errno.EMFILE or -Errno.ENFILE or -Errno.ENOMEM or -Errno.ENOBUFS)
        {
            // Without a pause this would be a loop that only makes heat (D-12).
            _log.Write(
                "accept",
                $"{listener.Address}: a connection cannot be taken: {Errno.Describe(-result)}; raise ulimit -n",
                NowMs);
            _ticker!.Start();
        }
        else
        {
            ArmAccept(listener);
        }
    }

    private void Admit(Listener listener, int fd)
    {
        if ((_peers.Count >= ServerLimits.ConnectionsMax && !CutLingering()) || _goingAway)
        {
            Turn(fd, _goingAway ? RefusalCode.ShuttingDown : RefusalCode.TooMany);
            return;
        }

        int id = ++_lastId;
        ServerConnection machine = new(_identity, RandomId(), NowMs);
        IPEndPoint? remote = null;
        IPEndPoint? local = null;
        if (listener.Address.Path is null && !TryFindEnds(fd, out local, out remote))
        {
            _ = Libc.Close(fd);
            return;
        }

        Peer peer = new(id, fd, machine, TakeBuffer(), TakeBuffer())
        {
            Local = local,
            Remote = remote,
            UnixPath = listener.Address.Path,
            Name = remote?.ToString() ?? $"unix:{listener.Address.Path}",
        };
        _peers.Add(id, peer);
        _ticker!.Start();
        int evicted = _room.Enter(id);
        if (evicted >= 0 && _peers.TryGetValue(evicted, out Peer? oldest))
        {
            // It has sent nothing that would have to be read first, or is none of those who are waited for.
            oldest.Hurries = true;
            Close(oldest, RefusalCode.TooMany, null);
        }

        ArmReceive(peer);
    }

    /// <summary>Connections that only wait for their peer to read a refusal make room.</summary>
    /// <returns>True when there is room, or will be once the kernel lets go of them.</returns>
    private bool CutLingering()
    {
        foreach (Peer peer in _peers.Values.ToArray())
        {
            if (peer.State is PeerState.Closing or PeerState.Lingering)
            {
                End(peer);
            }
        }

        return _peers.Values.Count(peer => peer.State != PeerState.Ending) < ServerLimits.ConnectionsMax
            && _peers.Count < 2 * ServerLimits.ConnectionsMax;
    }

    /// <summary>Says why, if that takes no time, and closes.</summary>
    private static void Turn(int fd, RefusalCode code)
    {
        byte[] frame = LastWords.OfServer.For(code);
        fixed (byte* first = frame)
        {
            _ = Libc.Send(fd, first, (nuint)frame.Length, LinuxAbi.MSG_DONTWAIT | LinuxAbi.MSG_NOSIGNAL);
        }

        _ = Libc.Close(fd);
    }

    private static bool TryFindEnds(int fd, out IPEndPoint? local, out IPEndPoint? remote)
    {
        local = remote = null;
        _ = Libc.Setsockopt(fd, LinuxAbi.IPPROTO_TCP, LinuxAbi.TCP_NODELAY, 1);
        _ = Libc.Setsockopt(fd, LinuxAbi.IPPROTO_TCP, LinuxAbi.TCP_USER_TIMEOUT, UserTimeoutMs);
        try
        {
            using Socket socket = new(new SafeSocketHandle(fd, ownsHandle: false));
            local = Normalise(socket.LocalEndPoint);
            remote = Normalise(socket.RemoteEndPoint);
            return local is not null && remote is not null;
        }
        catch (SocketException)
        {
            return false;
        }
    }

    private static IPEndPoint? Normalise(EndPoint? endPoint) =>
        endPoint is IPEndPoint ip ? new IPEndPoint(ListenAddress.Normalise(ip.Address), ip.Port) : null;

    private byte[] TakeBuffer() =>
        _freeBuffers.TryPop(out byte[]? buffer) ? buffer
            : GC.AllocateUninitializedArray<byte>(Peer.BufferBytes, pinned: true);

    private void GiveBuffer(byte[] buffer)
    {
        if (buffer.Length == Peer.BufferBytes && _freeBuffers.Count < 2 * ServerLimits.ConnectionsMax)
        {
            _freeBuffers.Push(buffer);
        }
    }

    private void ArmReceive(Peer peer)
    {
        IoUringSqe* sqe = _loop!.Ring.NextSqe();
        sqe->Opcode = IoUringAbi.IORING_OP_RECV;
        sqe->Fd = peer.Fd;
        sqe->Addr = (ulong)Peer.AddressOf(peer.ReceiveBuffer, peer.Received);
        sqe->Len = (uint)(peer.ReceiveTarget - peer.Received);
        sqe->UserData = RingLoop.UserData(_client, Token(peer.Id, Act.Receive));
        peer.Receiving = true;
    }

    private void OnReceived(Peer peer, int result)
    {
        peer.Receiving = false;
        if (peer.State >= PeerState.Closing)
        {
            OnReceivedAfterwards(peer, result);
            return;
        }

        if (result > 0)
        {
            peer.Received += result;
            peer.Machine.OnBytes(NowMs);
        }
        else if (result is not (-Errno.EINTR or -Errno.EAGAIN) && !(result == -Errno.ECANCELED && peer.CancelAsked))
        {
            peer.Machine.OnClosed();
            Forget(peer);
            End(peer);
            return;
        }

        if (peer.State == PeerState.HandingOver)
        {
            TryHandOver(peer);
            return;
        }

        if (peer.Received == peer.ReceiveTarget)
        {
            TakeFrame(peer);
        }

        if (peer.State == PeerState.Talking)
        {
            ArmReceive(peer);
        }
    }

    /// <summary>
    /// Frames are received exactly, so that nothing of what follows them is in a wrong buffer when the engine takes
    /// over.
    /// </summary>
    private void TakeFrame(Peer peer)
    {
        ReadOnlySpan<byte> bytes = peer.ReceiveBuffer.AsSpan(0, peer.Received);
        if (peer.Received == WireLimits.HeaderBytes)
        {
            WireError error = FrameCodec.TryRead(bytes, out peer.Header);
            ConnectionVerdict verdict = error == WireError.None
                ? peer.Machine.OnHeader(in peer.Header)
                : peer.Machine.OnMalformed(error);
            if (verdict.Action != ConnectionAction.None)
            {
                Follow(peer, in verdict);
                return;
            }

            peer.ReceiveTarget = WireLimits.HeaderBytes + (int)peer.Header.BodyBytes;
        }

        if (peer.Received == peer.ReceiveTarget)
        {
            peer.Received = 0;
            peer.ReceiveTarget = WireLimits.HeaderBytes;
            Follow(peer, peer.Machine.OnFrame(in peer.Header, bytes[WireLimits.HeaderBytes..], NowMs));
        }
    }

    private Span<byte> RoomOf(Peer peer)
    {
        peer.Overflows |= peer.UnsentBytes > ServerLimits.PeerUnsentMaxBytes;
        if (peer.Overflows)
        {
            return _thrownAway;
        }

        Span<byte> room = peer.RoomForFrame(out byte[]? retired);
        if (retired is not null && peer.Sending)
        {
            // The kernel still reads the old one; the peer's end frees it.
            _retired.Add((peer, retired));
        }

        return room;
    }

    private readonly List<(Peer Peer, byte[] Buffer)> _retired = [];
    private readonly byte[] _thrownAway = new byte[Peer.BufferBytes];

    /// <summary>A frame was written into the room; it goes out in order.</summary>
    private void Commit(Peer peer, int lengthBytes)
    {
        peer.SendEnd += peer.Overflows ? 0 : lengthBytes;
        if (!peer.Sending && peer.State < PeerState.Lingering && lengthBytes > 0)
        {
            ArmSend(peer);
        }
    }

    private void ArmSend(Peer peer)
    {
        IoUringSqe* sqe = _loop!.Ring.NextSqe();
        sqe->Opcode = IoUringAbi.IORING_OP_SEND;
        sqe->Fd = peer.Fd;
        sqe->Addr = (ulong)Peer.AddressOf(peer.SendBuffer, peer.SendStart);
        sqe->Len = (uint)(peer.SendEnd - peer.SendStart);
        sqe->OpFlags = LinuxAbi.MSG_NOSIGNAL;
        sqe->UserData = RingLoop.UserData(_client, Token(peer.Id, Act.Send));
        peer.Sending = true;
        peer.Machine.OnSent(allTaken: false, progressed: false, NowMs);
    }

    private void OnSent(Peer peer, int result)
    {
        peer.Sending = false;
        _retired.RemoveAll(entry => entry.Peer == peer);
        if (peer.State == PeerState.Ending)
        {
            CloseIfQuiet(peer);
            return;
        }

        if (result < 0 && result is not (-Errno.EINTR or -Errno.EAGAIN))
        {
            peer.Machine.OnClosed();
            Forget(peer);
            End(peer);
            return;
        }

        peer.SendStart += int.Max(result, 0);
        bool all = peer.SendStart == peer.SendEnd;
        peer.Machine.OnSent(all, result > 0, NowMs);
        if (!all)
        {
            ArmSend(peer);
            return;
        }

        peer.SendStart = peer.SendEnd = 0;
        if (peer.State == PeerState.HandingOver)
        {
            TryHandOver(peer);
        }
        else if (peer.State == PeerState.Closing)
        {
            Linger(peer);
        }
    }

    private void BeginHandOver(Export export, Peer peer)
    {
        peer.State = PeerState.HandingOver;
        peer.DeadlineMs = NowMs + WireLimits.SendStallMs;
        peer.Lane = export.Session.LaneOf(peer.Id);
        TryHandOver(peer);
    }

    /// <summary>
    /// Gives the socket to an engine thread, with what came early, once the kernel has nothing of ours on it.
    /// </summary>
    private void TryHandOver(Peer peer)
    {
        if (peer.Receiving && !peer.CancelAsked)
        {
            peer.CancelAsked = true;
            IoUringSqe* sqe = _loop!.Ring.NextSqe();
            sqe->Opcode = IoUringAbi.IORING_OP_ASYNC_CANCEL;
            sqe->Fd = -1;
            sqe->Addr = RingLoop.UserData(_client, Token(peer.Id, Act.Receive));
            sqe->UserData = RingLoop.UserData(_client, Token(peer.Id, Act.Cancel));
        }

        if (peer.Receiving || peer.Sending || peer.Overflows)
        {
            return;
        }

        int engineIndex = peer.Export!.PickEngine();
        EngineThread engine = peer.Export.Engines[engineIndex];
        LiveConnection live = new(peer.Fd, peer.Lane!, peer.Id, peer.Name, engineIndex)
        {
            EarlyBytes = peer.ReceiveBuffer.AsSpan(0, peer.Received).ToArray(),
            Owner = peer,
        };
        peer.Live = live;
        peer.Engine = engine;
        peer.Lane = null;
        peer.State = PeerState.Live;
        engine.Assigned++;
        engine.AssignedBytes += live.Lane.Credits.PayloadBytes;
        GiveBuffer(peer.ReceiveBuffer);
        GiveBuffer(peer.SendBuffer);
        engine.Tell(new EngineOrder(EngineOrderKind.Adopt, live));
    }

    /// <summary>Closes a connection, with ERROR unless the code is none; tells its session.</summary>
    /// <param name="peer">The connection.</param>
    /// <param name="code">Why.</param>
    /// <param name="export">The export whose text is sent; null for a text of the server.</param>
    private void Close(Peer peer, RefusalCode code, Export? export)
    {
        peer.Machine.OnClosed();
        if (peer.Live is { } live)
        {
            Forget(peer);
            Span<byte> frame = stackalloc byte[WireLimits.ControlFrameMaxBytes];
            peer.Engine!.Tell(new EngineOrder(EngineOrderKind.Close, live)
            {
                Code = code,
                Frame = code == RefusalCode.None ? null : frame[..WriteRefusal(code, export, frame)].ToArray(),
            });
            return;
        }

        if (peer.State >= PeerState.Closing)
        {
            return;
        }

        if (code is not (RefusalCode.None or RefusalCode.EpochOver or RefusalCode.ShuttingDown))
        {
            _log.Write(peer.Host, $"{peer.Name}: connection {peer.Id} is refused: {code}", NowMs);
        }

        peer.Lane?.Detach();
        peer.Lane = null;
        if (code != RefusalCode.None)
        {
            Span<byte> room = RoomOf(peer);
            Commit(peer, WriteRefusal(code, export, room));
        }

        BeginEnd(peer);
        Forget(peer);
    }

    private static int WriteRefusal(RefusalCode code, Export? export, Span<byte> frame)
    {
        if (export is not null)
        {
            return export.Session.WriteRefusal(code, frame);
        }

        byte[] made = LastWords.OfServer.For(code);
        made.CopyTo(frame);
        return made.Length;
    }

    private void BeginEnd(Peer peer)
    {
        peer.State = PeerState.Closing;
        peer.DeadlineMs = NowMs + ServerLimits.LingerMs;
        if (!peer.Sending)
        {
            End(peer);
        }
    }

    /// <summary>
    /// Closing with unread bytes would reset the connection and take our last frame from the peer: read on for a
    /// moment.
    /// </summary>
    private void Linger(Peer peer)
    {
        if (peer.Hurries)
        {
            End(peer);
            return;
        }

        peer.State = PeerState.Lingering;
        _ = Libc.Shutdown(peer.Fd, LinuxAbi.SHUT_WR);
        peer.Received = 0;
        peer.ReceiveTarget = Peer.BufferBytes;
        if (!peer.Receiving)
        {
            ArmReceive(peer);
        }
    }

    private void OnReceivedAfterwards(Peer peer, int result)
    {
        peer.Received = 0;
        peer.ReceiveTarget = Peer.BufferBytes;
        if (peer.State == PeerState.Ending)
        {
            CloseIfQuiet(peer);
        }
        else if (result > 0)
        {
            ArmReceive(peer);
        }
        else if (peer.State == PeerState.Lingering || result < 0)
        {
            End(peer);
        }
    }

    private void End(Peer peer)
    {
        peer.State = PeerState.Ending;
        _ = Libc.Shutdown(peer.Fd, LinuxAbi.SHUT_RDWR);
        CloseIfQuiet(peer);
    }

    private void CloseIfQuiet(Peer peer)
    {
        if (peer.Receiving || peer.Sending)
        {
            return;
        }

        _ = Libc.Close(peer.Fd);
        _peers.Remove(peer.Id);
        GiveBuffer(peer.ReceiveBuffer);
        GiveBuffer(peer.SendBuffer);
    }

    private void Tick(Peer peer)
    {
        switch (peer.State)
        {
            case PeerState.Talking or PeerState.HandingOver when peer.Overflows:
                peer.Machine.OnClosed();
                Forget(peer);
                End(peer);
                break;
            case PeerState.Talking:
                ConnectionVerdict verdict = peer.Machine.Tick(NowMs);
                Follow(peer, in verdict);
                break;
            case PeerState.HandingOver when NowMs >= peer.DeadlineMs:
                peer.Machine.OnClosed();
                Forget(peer);
                End(peer);
                break;
            case PeerState.Closing or PeerState.Lingering when NowMs >= peer.DeadlineMs:
                End(peer);
                break;
            default:
                break;
        }
    }
}
