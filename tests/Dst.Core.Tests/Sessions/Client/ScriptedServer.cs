using Dst.Core.Requests;
using Dst.Core.Wire;

namespace Dst.Core.Tests.Sessions.Client;

/// <summary>One frame on a stream, with the versions of the blocks that it carries instead of data.</summary>
internal sealed record WorldFrame(FrameHeader Header, byte[] Body, long[] Blocks);

/// <summary>Two streams and what the server knows of them.</summary>
internal sealed class WorldConnection
{
    internal Queue<WorldFrame> ToServer { get; } = new();

    internal Queue<WorldFrame> ToClient { get; } = new();

    internal bool IsCut { get; set; }

    internal bool Attached { get; set; }

    internal int Number { get; set; }

    internal ulong Epoch { get; set; }

    internal List<WorldFrame> Pending { get; } = [];
}

/// <summary>
/// A server as docs/protocol.md has it, as far as an honest client can tell: holds, epochs, drain, completed table, boot id,
/// generation, poison; its disk has a cache that a power cut empties and flushes that fail.
/// </summary>
internal sealed class ScriptedServer(Random random, bool writeBack, ushort requests)
{
    internal const int BlockBytes = 512;

    private readonly Dictionary<long, long> _durable = [];
    private readonly Dictionary<long, long> _cache = [];
    private readonly HashSet<long> _dirty = [];
    private readonly Dictionary<(int, int), (ulong Sequence, ushort Status)> _table = [];
    private readonly List<WorldConnection> _old = [];
    private ulong _boot = 100;
    private ulong _generation = 1;
    private ulong _granted;
    private ulong _used;
    private ulong _newest;
    private bool _poisoned;
    private ulong _incarnation;

    internal int FailFlushes { get; set; }

    internal ushort Requests { get; set; } = requests;

    internal long Durable(long block) => _durable.GetValueOrDefault(block);

    /// <summary>Takes one frame of a connection, or carries out one of its requests.</summary>
    internal void Step(WorldConnection connection)
    {
        if (connection.Pending.Count > 0 && (connection.ToServer.Count == 0 || random.Next(2) == 0))
        {
            int index = random.Next(connection.Pending.Count);
            WorldFrame request = connection.Pending[index];
            connection.Pending.RemoveAt(index);
            Execute(connection, request);
        }
        else if (connection.ToServer.TryDequeue(out WorldFrame? frame))
        {
            Take(connection, frame);
        }
    }

    /// <summary>The machine loses its power: what was not flushed is there or not, as it happens.</summary>
    internal void PowerCut()
    {
        foreach (long block in _dirty.Where(_ => random.Next(2) == 0))
        {
            _durable[block] = _cache[block];
        }

        _dirty.Clear();
        _cache.Clear();
        foreach ((long block, long version) in _durable)
        {
            _cache[block] = version;
        }

        _table.Clear();
        _old.Clear();
        _boot++;
        _generation = 1;
    }

    private void Take(WorldConnection connection, WorldFrame frame)
    {
        switch (frame.Header.Kind)
        {
            case FrameKind.Hello:
                HelloReply hello = new()
                {
                    Version = 1,
                    Nonce = 4,
                    Checksums = DataChecksum.KnownKinds,
                    BootId = _boot,
                };
                byte[] bytes = new byte[WireLimits.ControlFrameMaxBytes];
                Send(connection, bytes, MessageCodec.Write(in hello, bytes));
                break;
            case FrameKind.Attach:
                Attach(connection, frame);
                break;
            case FrameKind.Join:
                Join(connection, frame);
                break;
            case FrameKind.Begin:
                _used = frame.Header.Epoch;
                Plain(connection, FrameKind.BeginOk, frame.Header.Epoch, 0);
                break;
            case FrameKind.Ping:
                Plain(connection, FrameKind.Pong, 0, frame.Header.Sequence);
                break;
            case FrameKind.Request:
                TakeRequest(connection, frame);
                break;
            case FrameKind.Pong:
                break;
            default:
                throw new InvalidOperationException($"the client sent {frame.Header.Kind}");
        }
    }

    private void TakeRequest(WorldConnection connection, WorldFrame frame)
    {
        if (!connection.Attached || frame.Header.Epoch != connection.Epoch || frame.Header.Slot >= Requests)
        {
            throw new InvalidOperationException($"request in epoch {frame.Header.Epoch}, slot {frame.Header.Slot}");
        }

        _table.TryGetValue((connection.Number, frame.Header.Slot), out (ulong Sequence, ushort Status) last);
        if (frame.Header.Sequence <= last.Sequence && last.Sequence != 0)
        {
            throw new InvalidOperationException("a change that was reported as done came again");
        }

        if (connection.Pending.Exists(other => other.Header.Slot == frame.Header.Slot))
        {
            throw new InvalidOperationException("two requests in one slot");
        }

        bool overlaps = writeBack && IsChange(frame) && connection.Pending.Exists(
            other => IsChange(other) && Overlap(other.Header, frame.Header));
        if (overlaps)
        {
            throw new InvalidOperationException("two overlapping changes in flight together");
        }

        connection.Pending.Add(frame);
    }

    private static bool IsChange(WorldFrame frame) => frame.Header.Operation is not (Operation.Read or Operation.Flush);

    private static bool Overlap(in FrameHeader one, in FrameHeader two) =>
        one.OffsetBytes < two.OffsetBytes + two.LengthBytes && two.OffsetBytes < one.OffsetBytes + one.LengthBytes;

    private void Attach(WorldConnection connection, WorldFrame frame)
    {
        WireError error = MessageCodec.TryRead(frame.Body, out AttachMessage attach);
        bool ours = attach.Replaces == 0 ? _used == 0 : attach.Replaces == _used || attach.Replaces <= _granted;
        if (error != WireError.None || !ours || attach.Replaces < _used)
        {
            throw new InvalidOperationException($"attach {error}, replaces {attach.Replaces}, used {_used}");
        }

        // Drain: what the disk has is done, the rest is dropped.
        foreach (WorldConnection old in _old)
        {
            old.Attached = false;
            foreach (WorldFrame request in old.Pending.Where(_ => random.Next(2) == 0))
            {
                Execute(old, request);
            }

            old.Pending.Clear();
        }

        _old.Clear();
        if (attach.Incarnation != _incarnation)
        {
            _table.Clear();
            _incarnation = attach.Incarnation;
        }

        _newest = ++_granted;
        Grant(connection, attach);
    }

    private void Grant(WorldConnection connection, in AttachMessage attach)
    {
        byte[] bytes = new byte[WireLimits.ControlFrameMaxBytes];
        CompletedEntry[] done =
        [
            .. _table.Select(entry => new CompletedEntry(
                (ushort)entry.Key.Item1, (ushort)entry.Key.Item2, entry.Value.Status, entry.Value.Sequence)),
        ];
        if (done.Length > 0)
        {
            Send(connection, bytes, MessageCodec.WriteCompleted(_newest, done, bytes));
        }

        AttachOkMessage ok = new()
        {
            Token = 3,
            Identity = 1,
            Geometry = new ExportGeometry(1 << 30, 1 << 20, BlockBytes, 2048, 0, ExportCapabilities.None),
            BootId = _boot,
            WriteErrorGeneration = _generation,
            Cache = writeBack ? CacheMode.WriteBack : CacheMode.WriteThrough,
            Poisoned = _poisoned,
            Credits = new CreditGrant(2, Requests, 8192),
            Checksum = attach.Checksum,
            CompletedCount = (uint)done.Length,
        };
        Send(connection, bytes, MessageCodec.Write(_newest, in ok, bytes));
        Enter(connection, 0);
    }

    private void Join(WorldConnection connection, WorldFrame frame)
    {
        MessageCodec.TryRead(frame.Body, out JoinMessage join);
        if (frame.Header.Epoch != _newest || _old.Count == 0)
        {
            ErrorMessage message = default;
            byte[] error = new byte[WireLimits.ControlFrameMaxBytes];
            Send(connection, error, MessageCodec.Write(RefusalCode.EpochOver, in message, error));
            return;
        }

        byte[] bytes = new byte[WireLimits.ControlFrameMaxBytes];
        Send(connection, bytes, MessageCodec.WriteJoinOk(_newest, join.Connection, bytes));
        Enter(connection, join.Connection);
    }

    private void Enter(WorldConnection connection, int number)
    {
        connection.Attached = true;
        connection.Number = number;
        connection.Epoch = _newest;
        _old.Add(connection);
    }

    private void Execute(WorldConnection connection, WorldFrame request)
    {
        FrameHeader reply = request.Header;
        reply.Kind = FrameKind.Reply;
        reply.Flags = FrameFlags.None;
        reply.BodyBytes = 0;
        long first = (long)reply.OffsetBytes / BlockBytes;
        long count = (long)reply.LengthBytes / BlockBytes;
        long[] blocks = [];
        switch (request.Header.Operation)
        {
            case Operation.Read:
                blocks = [.. Enumerable.Range(0, (int)count).Select(i => _cache.GetValueOrDefault(first + i))];
                reply.BodyBytes = (uint)DataChecksum.BodyBytes(ChecksumKind.None, (int)reply.LengthBytes);
                break;
            case Operation.Flush:
                reply.Status = Flush((request.Header.Flags & FrameFlags.Replayed) != FrameFlags.None);
                reply.OffsetBytes = _boot;
                reply.LengthBytes = _generation;
                break;
            default:
                for (int i = 0; i < count; i++)
                {
                    Store(first + i, request.Header.Operation == Operation.Write ? request.Blocks[i] : 0, request.Header.Flags);
                }

                _table[(connection.Number, reply.Slot)] = (reply.Sequence, reply.Status);
                break;
        }

        connection.ToClient.Enqueue(new WorldFrame(reply, [], blocks));
    }

    private void Store(long block, long version, FrameFlags flags)
    {
        _cache[block] = version;
        if (!writeBack || (flags & FrameFlags.Fua) != FrameFlags.None)
        {
            _durable[block] = version;
            _dirty.Remove(block);
        }
        else
        {
            _dirty.Add(block);
        }
    }

    private ushort Flush(bool replayed)
    {
        if (_poisoned && !replayed)
        {
            return 1;
        }

        if (FailFlushes > 0)
        {
            // As the kernel does it: pages that were not written count as clean from now on.
            FailFlushes--;
            _dirty.RemoveWhere(_ => random.Next(2) == 0);
            _poisoned = writeBack;
            _generation++;
            return 1;
        }

        foreach (long block in _dirty)
        {
            _durable[block] = _cache[block];
        }

        _dirty.Clear();
        _poisoned = false;
        return 0;
    }

    private static void Plain(WorldConnection connection, FrameKind kind, ulong epoch, ulong sequence)
    {
        byte[] bytes = new byte[WireLimits.HeaderBytes];
        Send(connection, bytes, MessageCodec.WritePlain(kind, epoch, sequence, bytes));
    }

    private static void Send(WorldConnection connection, byte[] bytes, int length)
    {
        FrameCodec.TryRead(bytes, out FrameHeader header);
        connection.ToClient.Enqueue(new WorldFrame(header, bytes[WireLimits.HeaderBytes..length], []));
    }
}
