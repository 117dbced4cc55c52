using Dst.Core.Requests;
using Dst.Core.Sessions;
using Dst.Core.Wire;
using Dst.Interop;
using Dst.IO.Rings;

namespace Dst.Net.Server.Engine;

/// <summary>
/// Receiving. Bytes come into the staging of their connection; every whole frame in it is taken at once. Only a long
/// write's data goes past staging, straight into the memory of its request, and what follows that write is received
/// along with it.
/// </summary>
internal sealed unsafe partial class ConnectionEngine
{
    /// <summary>What became of the bytes in staging.</summary>
    private enum Parsed
    {
        /// <summary>A frame was taken, look at the next one.</summary>
        Frame,

        /// <summary>More bytes are needed.</summary>
        NeedsBytes,

        /// <summary>Tags or memory are needed.</summary>
        NeedsRoom,

        /// <summary>Nothing more is read.</summary>
        Ended,
    }

    private void ArmReceive(LiveConnection connection)
    {
        int free = ServerLimits.StagingBytes - connection.StagingEnd;
        IoUringSqe* sqe = _loop.Ring.NextSqe();
        sqe->Fd = connection.Fd;
        sqe->UserData = RingLoop.UserData(_client, Token(connection, Act.Receive));
        connection.Receiving = true;
        if (connection.BodyTag < 0)
        {
            sqe->Opcode = IoUringAbi.IORING_OP_RECV;
            sqe->Addr = (ulong)(connection.Staging + connection.StagingEnd);
            sqe->Len = (uint)free;
            return;
        }

        ref RequestTag tag = ref _tags[connection.BodyTag];
        IoVec* vectors = connection.ReceiveVectors;
        vectors[0] = new IoVec
        {
            Base = tag.Buffer + connection.BodyBytes,
            Len = (nuint)(tag.BufferBytes - connection.BodyBytes),
        };
        vectors[1] = new IoVec { Base = connection.Staging + connection.StagingEnd, Len = (nuint)free };
        *connection.ReceiveMessage = new MsgHdr { Iov = (nint)vectors, IovLen = 2 };
        sqe->Opcode = IoUringAbi.IORING_OP_RECVMSG;
        sqe->Addr = (ulong)connection.ReceiveMessage;
        sqe->Len = 1;
    }

    private void OnReceived(LiveConnection connection, int result)
    {
        connection.Receiving = false;
        if (result is -Errno.EINTR or -Errno.EAGAIN)
        {
            ArmReceive(connection);
            return;
        }

        if (result > 0)
        {
            Counters.Add(NetCounter.Receives);
            Counters.Add(NetCounter.BytesReceived, result);
            connection.Timers.Received(NowMs);
        }

        if (connection.State > LiveState.Leaving)
        {
            OnReceivedAfterwards(connection, result);
            return;
        }

        if (result <= 0)
        {
            EndByPeer(connection);
            return;
        }

        int rest = result;
        if (connection.BodyTag >= 0)
        {
            int body = int.Min(rest, _tags[connection.BodyTag].BufferBytes - connection.BodyBytes);
            connection.BodyBytes += body;
            rest -= body;
        }

        connection.StagingEnd += rest;
        Read(connection);
    }

    /// <summary>Takes every whole frame that is there, then receives on.</summary>
    private void Read(LiveConnection connection)
    {
        Parsed parsed = Parsed.Frame;
        if (connection.BodyTag >= 0)
        {
            if (connection.BodyBytes < _tags[connection.BodyTag].BufferBytes)
            {
                ArmReceive(connection);
                return;
            }

            EndBody(connection);
        }

        while (parsed == Parsed.Frame)
        {
            parsed = connection.State <= LiveState.Leaving ? TakeFrame(connection) : Parsed.Ended;
        }

        Compact(connection);
        switch (parsed)
        {
            case Parsed.NeedsBytes:
                ArmReceive(connection);
                break;
            case Parsed.NeedsRoom:
                Starve(connection);
                break;
            default:
                // A connection that closes is received from on its way out.
                break;
        }
    }

    private Parsed TakeFrame(LiveConnection connection)
    {
        int available = connection.StagingEnd - connection.StagingStart;
        if (available < WireLimits.HeaderBytes)
        {
            return Parsed.NeedsBytes;
        }

        ReadOnlySpan<byte> bytes = new((void*)(connection.Staging + connection.StagingStart), available);
        WireError error = FrameCodec.TryRead(bytes, out FrameHeader header);
        if (error != WireError.None)
        {
            Follow(connection, -1, connection.Lane.OnMalformed(error));
            return Parsed.Ended;
        }

        if (connection.State == LiveState.Leaving)
        {
            return TakeFrameOfLeaving(connection, in header);
        }

        if (header.Kind == FrameKind.Request)
        {
            return TakeRequest(connection, in header, bytes[WireLimits.HeaderBytes..]);
        }

        connection.StagingStart += WireLimits.HeaderBytes;
        LaneVerdict verdict = connection.Lane.OnHeader(in header);
        Follow(connection, -1, in verdict);
        return verdict.Action == LaneAction.Close ? Parsed.Ended : Parsed.Frame;
    }

    /// <summary>After its goodbye a client may only ask whether we are there (S-01).</summary>
    private Parsed TakeFrameOfLeaving(LiveConnection connection, in FrameHeader header)
    {
        connection.StagingStart += WireLimits.HeaderBytes;
        LaneVerdict verdict = header.Kind switch
        {
            FrameKind.Ping => new LaneVerdict(LaneAction.SendPong) { Sequence = header.Sequence },
            FrameKind.Pong => new LaneVerdict(LaneAction.None),
            FrameKind.Error => new LaneVerdict(LaneAction.Close),
            _ => new LaneVerdict(LaneAction.Close) { Code = RefusalCode.Protocol },
        };
        Follow(connection, -1, in verdict);
        return verdict.Action == LaneAction.Close ? Parsed.Ended : Parsed.Frame;
    }

    private Parsed TakeRequest(LiveConnection connection, in FrameHeader header, ReadOnlySpan<byte> body)
    {
        // Header and table are in staging together before anything happens; the codec bounds the table.
        int tableBytes = header.Operation == Operation.Write ? (int)(header.BodyBytes - header.LengthBytes) : 0;
        if (body.Length < tableBytes)
        {
            return Parsed.NeedsBytes;
        }

        // A length beyond the export's is the lane's to refuse; no memory is looked for.
        bool hasData = header.Operation is Operation.Read or Operation.Write;
        int dataBytes = hasData && header.LengthBytes <= (ulong)_maxRequestBytes ? (int)header.LengthBytes : 0;
        int tag = -1;
        if (MayTake(connection, dataBytes))
        {
            tag = _roomIsShort ? -1 : _tags.Take(connection, dataBytes);
            _roomIsShort |= tag < 0;
        }

        if (tag < 0)
        {
            connection.WantedBytes = dataBytes;
            return Parsed.NeedsRoom;
        }

        _tags[tag].Slot = header.Slot;
        connection.StagingStart += WireLimits.HeaderBytes;
        LaneVerdict verdict = connection.Lane.OnHeader(in header);
        if (verdict.Action != LaneAction.ReceiveBody)
        {
            if (verdict.Action == LaneAction.Run && (header.Flags & FrameFlags.Replayed) != FrameFlags.None)
            {
                _trustDisk();
            }

            CountUnlessRun(in verdict);
            Follow(connection, tag, in verdict);
            return verdict.Action == LaneAction.Close ? Parsed.Ended : Parsed.Frame;
        }

        body[..tableBytes].CopyTo(_tags.Head(tag)[WireLimits.HeaderBytes..]);
        ReadOnlySpan<byte> data = body[tableBytes..];
        int there = int.Min(data.Length, dataBytes);
        data[..there].CopyTo(_tags.Data(tag));
        connection.StagingStart += tableBytes + there;
        connection.BodyTag = tag;
        connection.BodyBytes = there;
        if (there < dataBytes)
        {
            return Parsed.NeedsBytes;
        }

        EndBody(connection);
        return Parsed.Frame;
    }

    /// <summary>All data of a write is there: checked just before it goes to the disk (N-25).</summary>
    private void EndBody(LiveConnection connection)
    {
        int tag = connection.BodyTag;
        connection.BodyTag = -1;
        ChecksumKind kind = connection.Lane.Checksum;
        ReadOnlySpan<byte> data = _tags.Data(tag);
        ReadOnlySpan<byte> table =
            _tags.Head(tag).Slice(WireLimits.HeaderBytes, DataChecksum.TableBytes(kind, data.Length));
        bool matches = DataChecksum.FindMismatch(kind, data, table) < 0;
        LaneVerdict verdict = connection.Lane.OnBody(_tags[tag].Slot, matches);
        CountUnlessRun(in verdict);
        Follow(connection, tag, in verdict);
    }

    private void CountUnlessRun(in LaneVerdict verdict)
    {
        if (verdict.Action == LaneAction.Reply)
        {
            Counters.Add(NetCounter.AnsweredWithoutDisk);
        }
    }

    /// <summary>
    /// A peer that does not fetch its replies must not use up what others need: it has no more tags than are left for
    /// all others, and no more memory than it was granted, unless that is one block.
    /// </summary>
    private bool MayTake(LiveConnection connection, int dataBytes)
    {
        CreditGrant credits = connection.Lane.Credits;
        long blockBytes = TagPool.BlockBytesOf(dataBytes);
        return connection.TagCount < int.Min(ServerLimits.TagsPerRequest * credits.Requests, _tags.FreeCount)
            && (connection.BlockBytes == 0
                || blockBytes == 0
                || connection.BlockBytes + blockBytes <= credits.PayloadBytes);
    }

    /// <summary>
    /// Moves what is left to the front; never more than a header and a table, or what waits for room.
    /// </summary>
    private static void Compact(LiveConnection connection)
    {
        int rest = connection.StagingEnd - connection.StagingStart;
        if (connection.StagingStart > 0 && rest > 0)
        {
            Buffer.MemoryCopy(
                (void*)(connection.Staging + connection.StagingStart),
                (void*)connection.Staging,
                ServerLimits.StagingBytes,
                rest);
        }

        connection.StagingStart = 0;
        connection.StagingEnd = rest;
    }

    private void Starve(LiveConnection connection)
    {
        Counters.Add(NetCounter.Starved);
        connection.Starved = true;
        _starved.Append(connection);
    }

    /// <summary>
    /// Reads on where room was missing, the longest waiting first. While one waits for room nobody takes any before it:
    /// so memory empties until even the longest request fits, whatever short ones others send. Who got some and wants
    /// more goes behind all that wait, or it would take every block that comes free.
    /// </summary>
    private void FeedStarved()
    {
        LiveConnection? next = _starved.First;
        StarvedList waiting = default;
        _starved = default;
        _roomIsShort = false;
        while (next is not null)
        {
            LiveConnection connection = next;
            next = connection.NextStarved;
            if (connection.State > LiveState.Leaving)
            {
                connection.NextStarved = null;
                connection.Starved = false;
            }
            else if (_roomIsShort || !MayTake(connection, connection.WantedBytes))
            {
                waiting.Append(connection);
            }
            else
            {
                connection.NextStarved = null;
                connection.Starved = false;
                Read(connection);
            }
        }

        waiting.Append(_starved);
        _starved = waiting;
    }

    /// <summary>Connections that wait for room, in order.</summary>
    private struct StarvedList
    {
        private LiveConnection? _last;

        public LiveConnection? First { get; private set; }

        public void Append(LiveConnection connection)
        {
            connection.NextStarved = null;
            Link(connection, connection);
        }

        public void Append(StarvedList list)
        {
            if (list.First is not null)
            {
                Link(list.First, list._last!);
            }
        }

        private void Link(LiveConnection first, LiveConnection last)
        {
            if (_last is null)
            {
                First = first;
            }
            else
            {
                _last.NextStarved = first;
            }

            _last = last;
        }
    }
}
