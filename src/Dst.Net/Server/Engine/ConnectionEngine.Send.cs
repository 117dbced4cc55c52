using Dst.Core.Wire;
using Dst.Interop;
using Dst.IO.Rings;

namespace Dst.Net.Server.Engine;

/// <summary>
/// Sending. Replies wait in a list until the end of the turn; then one send takes all of them along, small frames
/// first. One send of a connection is with the kernel at a time.
/// </summary>
internal sealed unsafe partial class ConnectionEngine
{
    /// <summary>The reply is made at once, for the slot may be used again as soon as the client has it.</summary>
    private void QueueReply(LiveConnection connection, int tag, int slot)
    {
        if (connection.State > LiveState.Finishing)
        {
            Drop(connection, tag);
            return;
        }

        ref RequestTag at = ref _tags[tag];
        Span<byte> head = _tags.Head(tag);
        int bodyBytes = connection.Lane.WriteReply(slot, head);
        at.HeadBytes = WireLimits.HeaderBytes;
        if (bodyBytes > 0)
        {
            // Just after the disk read (N-25).
            ChecksumKind kind = connection.Lane.Checksum;
            ReadOnlySpan<byte> data = _tags.Data(tag);
            int tableBytes = DataChecksum.TableBytes(kind, data.Length);
            DataChecksum.WriteTable(kind, data, head.Slice(WireLimits.HeaderBytes, tableBytes));
            at.HeadBytes += tableBytes;
            at.DataBytes = data.Length;
        }

        at.Next = -1;
        if (connection.LastReply < 0)
        {
            connection.FirstReply = tag;
        }
        else
        {
            _tags[connection.LastReply].Next = tag;
        }

        connection.LastReply = tag;
        MarkDirty(connection);
    }

    private void QueuePong(LiveConnection connection, ulong sequence)
    {
        if (connection.PongCount < ServerLimits.PongsMax)
        {
            connection.Pongs[connection.PongCount++] = sequence;
            MarkDirty(connection);
        }
    }

    /// <summary>Sends what there is, unless a send is under way.</summary>
    private void Pump(LiveConnection connection)
    {
        if (connection.Sending
            || connection.State is LiveState.New or LiveState.Lingering or LiveState.Ending or LiveState.Closed)
        {
            return;
        }

        int vectors = connection.State == LiveState.Closing ? GatherLast(connection) : Gather(connection);
        int halfBodies = connection.BodyTag < 0 ? 0 : 1;
        if (vectors == 0 && connection.State == LiveState.Finishing && connection.TagCount == halfBodies)
        {
            vectors = GatherLast(connection);
        }

        if (vectors > 0)
        {
            *connection.SendMessage = new MsgHdr { Iov = (nint)connection.SendVectorsStart, IovLen = (nuint)vectors };
            connection.Timers.Sent(allTaken: false, progressed: false, NowMs);
            ArmSend(connection);
        }
        else if (connection.State == LiveState.Closing)
        {
            End(connection);
        }
    }

    /// <summary>PONGs and PING, then replies, as many as one send may take.</summary>
    private int Gather(LiveConnection connection)
    {
        IoVec* vectors = connection.SendVectorsStart;
        int count = 0;
        connection.SendBytes = 0;
        int frameBytes = GatherFrames(connection);
        connection.TakenBytes = -frameBytes;
        if (frameBytes > 0)
        {
            Add(connection, ref count, connection.FramesAddress, frameBytes);
        }

        int last = -1;
        for (int replies = 0; replies < ServerLimits.RepliesPerSendMax && connection.FirstReply >= 0; replies++)
        {
            int tag = connection.FirstReply;
            ref RequestTag at = ref _tags[tag];
            if (replies > 0 && connection.SendBytes + at.DataBytes > ServerLimits.SendMaxBytes)
            {
                break;
            }

            Add(connection, ref count, _tags.HeadOf(tag), at.HeadBytes);
            if (at.DataBytes > 0)
            {
                Add(connection, ref count, at.Buffer, at.DataBytes);
            }

            connection.FirstReply = at.Next;
            at.Next = -1;
            if (last < 0)
            {
                connection.FirstSent = tag;
            }
            else
            {
                _tags[last].Next = tag;
            }

            last = tag;
        }

        connection.LastReply = connection.FirstReply < 0 ? -1 : connection.LastReply;
        return count;
    }

    private static int GatherFrames(LiveConnection connection)
    {
        Span<byte> frames = connection.Frames;
        int length = 0;
        for (int i = 0; i < connection.PongCount; i++)
        {
            length += MessageCodec.WritePlain(FrameKind.Pong, 0, connection.Pongs[i], frames[length..]);
        }

        connection.PongCount = 0;
        if (connection.PingDue)
        {
            length += MessageCodec.WritePlain(FrameKind.Ping, 0, (ulong)connection.Id, frames[length..]);
            connection.PingDue = false;
        }

        return length;
    }

    /// <summary>The frame that ends the connection, if there is one.</summary>
    private static int GatherLast(LiveConnection connection)
    {
        int length = 0;
        if (connection.EndsWithGoodbye)
        {
            length = MessageCodec.WritePlain(FrameKind.Goodbye, connection.GoodbyeEpoch, 0, connection.Frames);
        }
        else
        {
            connection.LastFrame.CopyTo(connection.Frames);
            length = connection.LastFrame.Length;
        }

        int count = 0;
        connection.SendBytes = 0;
        if (length > 0 && !connection.LastFrameSent)
        {
            connection.LastFrameSent = true;
            Add(connection, ref count, connection.FramesAddress, length);
        }

        return count;
    }

    private static void Add(LiveConnection connection, ref int count, nint address, int lengthBytes)
    {
        connection.SendVectorsStart[count++] = new IoVec { Base = address, Len = (nuint)lengthBytes };
        connection.SendBytes += lengthBytes;
    }

    private void ArmSend(LiveConnection connection)
    {
        IoUringSqe* sqe = _loop.Ring.NextSqe();
        sqe->Opcode = IoUringAbi.IORING_OP_SENDMSG;
        sqe->Fd = connection.Fd;
        sqe->Addr = (ulong)connection.SendMessage;
        sqe->Len = 1;
        sqe->OpFlags = LinuxAbi.MSG_NOSIGNAL;
        sqe->UserData = RingLoop.UserData(_client, Token(connection, Act.Send));
        connection.Sending = true;
    }

    private void OnSent(LiveConnection connection, int result)
    {
        connection.Sending = false;
        if (result > 0)
        {
            Counters.Add(NetCounter.Sends);
            Counters.Add(NetCounter.BytesSent, result);
            connection.SendBytes -= result;
            connection.Timers.Sent(allTaken: connection.SendBytes == 0, progressed: true, NowMs);
        }

        bool again = result is -Errno.EINTR or -Errno.EAGAIN;
        if ((result > 0 || again) && connection.SendBytes > 0 && connection.State < LiveState.Ending)
        {
            SkipSent(connection, again ? 0 : result);
            GiveTaken(connection, again ? 0 : result);
            ArmSend(connection);
            return;
        }

        GiveSent(connection);
        if (connection.State >= LiveState.Ending)
        {
            CloseIfQuiet(connection);
        }
        else if (result <= 0)
        {
            EndByPeer(connection);
        }
        else if (connection.LastFrameSent)
        {
            Linger(connection);
        }
        else
        {
            MarkDirty(connection);
        }
    }

    private static void SkipSent(LiveConnection connection, int sentBytes)
    {
        MsgHdr* message = connection.SendMessage;
        var vector = (IoVec*)message->Iov;
        nuint left = (nuint)sentBytes;
        while (left > 0)
        {
            nuint taken = nuint.Min(left, vector->Len);
            vector->Base += (nint)taken;
            vector->Len -= taken;
            left -= taken;
            if (vector->Len == 0)
            {
                vector++;
                message->IovLen--;
            }
        }

        message->Iov = (nint)vector;
    }

    /// <summary>
    /// Replies that the socket has taken whole are done: the client may ask for more before the send has ended.
    /// </summary>
    private void GiveTaken(LiveConnection connection, int takenBytes)
    {
        connection.TakenBytes += takenBytes;
        while (connection.FirstSent >= 0)
        {
            int tag = connection.FirstSent;
            ref readonly RequestTag at = ref _tags[tag];
            long replyBytes = at.HeadBytes + at.DataBytes;
            if (connection.TakenBytes < replyBytes)
            {
                return;
            }

            connection.TakenBytes -= replyBytes;
            connection.FirstSent = at.Next;
            _tags.Give(tag);
        }
    }

    private void GiveSent(LiveConnection connection)
    {
        GiveList(ref connection.FirstSent);
        ReapIfDone(connection);
    }

    private void GiveList(ref int first)
    {
        while (first >= 0)
        {
            int tag = first;
            first = _tags[tag].Next;
            _tags.Give(tag);
        }
    }
}
