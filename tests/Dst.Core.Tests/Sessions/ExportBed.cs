using Dst.Core.Requests;
using Dst.Core.Sessions;
using Dst.Core.Wire;
using Xunit;

namespace Dst.Core.Tests.Sessions;

/// <summary>
/// An export with the driver's side of it: a disk for records that keeps what was synced, and the effects.
/// </summary>
internal sealed class ExportBed
{
    internal static readonly UInt128 Identity = 77;
    internal static readonly DeviceId A = new(1, 0);
    internal static readonly DeviceId B = new(2, 0);
    internal const ulong SizeBytes = 1 << 30;
    internal const uint MaxRequestBytes = 1 << 20;

    private readonly List<SessionEffect> _log = [];
    private int _nextConnection = 1;
    private ulong _nextToken = 1000;

    internal ExportBed(
        CacheMode cache = CacheMode.WriteThrough,
        HoldRecord record = default,
        long budgetBytes = 256L << 20,
        bool poisoned = false,
        bool readOnly = false)
    {
        Budget = new CreditBudget(budgetBytes);
        OnDisk = record;
        Cache = cache;
        Poisoned = poisoned;
        ReadOnly = readOnly;
        Session = Make();
    }

    internal ExportSession Session { get; private set; }

    internal CreditBudget Budget { get; private set; }

    internal HoldRecord OnDisk { get; private set; }

    internal ulong BootId { get; private set; } = 10;

    internal CacheMode Cache { get; }

    internal bool Poisoned { get; set; }

    internal bool ReadOnly { get; }

    internal long NowMs { get; set; } = 1000;

    /// <summary>False: PersistHold is only noted; <see cref="Persist"/> ends it.</summary>
    internal bool PersistAtOnce { get; set; } = true;

    internal bool PersistFails { get; set; }

    /// <summary>Effects since the last call, in order; the records among them are written first.</summary>
    internal SessionEffect[] Take()
    {
        Drain();
        SessionEffect[] taken = [.. _log];
        _log.Clear();
        return taken;
    }

    internal void Persist(bool durable = true)
    {
        if (durable)
        {
            OnDisk = Session.PendingHold;
        }

        Session.HoldPersisted(durable, NowMs);
        Drain();
    }

    /// <summary>The server's process dies and comes back with what is on its disk.</summary>
    internal void Restart()
    {
        Budget = new CreditBudget(256L << 20);
        BootId++;
        _log.Clear();
        Session = Make();
    }

    internal static AttachMessage Message(
        DeviceId device, ulong replaces, ulong incarnation = 5, bool takeOver = false) => new()
        {
            Challenge = 1,
            Export = new WireText("disk1"),
            Device = device,
            Incarnation = incarnation,
            Access = AccessKind.ReadWrite,
            TakeOver = takeOver,
            Replaces = replaces,
            Credits = new CreditGrant(2, 8, 4 << 20),
            Checksum = ChecksumKind.Xxh3,
            Holder = new WireText($"host{device.Uuid}"),
        };

    internal static AttachMessage Reader() => Message(A, 0) with { Access = AccessKind.ReadOnly };

    internal int Attach(in AttachMessage message)
    {
        int connection = _nextConnection++;
        Session.Attach(connection, in message, new WireText("192.0.2.1"), _nextToken++, NowMs);
        Drain();
        return connection;
    }

    internal RefusalCode Refusal(in AttachMessage message)
    {
        Take();
        int connection = Attach(in message);
        SessionEffect[] effects = Take();
        return effects.Any(e => e.Kind == SessionEffectKind.Grant && e.Connection == connection)
            ? RefusalCode.None
            : effects.Single(e => e.Kind == SessionEffectKind.Close && e.Connection == connection).Code;
    }

    /// <summary>Attaches, must be granted at once; optionally begins.</summary>
    internal Live Granted(in AttachMessage message, bool begin = true)
    {
        int connection = Attach(in message);
        Assert.Contains(Take(), e => e.Kind == SessionEffectKind.Grant && e.Connection == connection);
        return Begun(connection, begin);
    }

    internal Live Begun(int connection, bool begin = true)
    {
        AttachOkMessage ok = ReadGrant(connection, out ulong epoch, out List<CompletedEntry> completed);
        if (begin)
        {
            Session.Begin(connection, NowMs);
            Assert.Contains(Take(), e => e.Kind == SessionEffectKind.Begun && e.Connection == connection);
        }

        return new Live(this, connection, epoch, Session.LaneOf(connection)!, ok, completed);
    }

    internal AttachOkMessage ReadGrant(int connection, out ulong epoch, out List<CompletedEntry> completed)
    {
        byte[] frame = new byte[WireLimits.ControlFrameMaxBytes];
        completed = [];
        for (int index = 0; ; index++)
        {
            int length = Session.WriteGrant(connection, index, frame);
            Assert.True(length > 0, "no ATTACH_OK");
            Assert.Equal(WireError.None, FrameCodec.TryRead(frame, out FrameHeader header));
            epoch = header.Epoch;
            ReadOnlySpan<byte> body = frame.AsSpan(WireLimits.HeaderBytes, (int)header.BodyBytes);
            if (header.Kind == FrameKind.AttachOk)
            {
                Assert.Equal(WireError.None, MessageCodec.TryRead(body, out AttachOkMessage ok));
                Assert.Equal(completed.Count, (int)ok.CompletedCount);
                Assert.Equal(0, Session.WriteGrant(connection, index + 1, frame));
                return ok;
            }

            for (int i = 0; i < body.Length / WireLimits.CompletedEntryBytes; i++)
            {
                Assert.Equal(WireError.None, MessageCodec.TryReadCompleted(body, i, out CompletedEntry entry));
                completed.Add(entry);
            }
        }
    }

    internal Live Join(Live first, ushort number)
    {
        int connection = _nextConnection++;
        Session.Join(connection, first.Epoch, new JoinMessage { Token = first.Ok.Token, Connection = number });
        Assert.Contains(Take(), e => e.Kind == SessionEffectKind.Joined && e.Connection == connection && e.A == number);
        return new Live(this, connection, first.Epoch, Session.LaneOf(connection)!, first.Ok, []);
    }

    internal int NewConnection() => _nextConnection++;

    internal void Lost(int connection)
    {
        Session.ConnectionLost(connection, NowMs);
        Drain();
    }

    internal void Drain()
    {
        while (Session.Effects.TryTake(out SessionEffect effect))
        {
            _log.Add(effect);
            if (!PersistAtOnce || effect.Kind != SessionEffectKind.PersistHold)
            {
                continue;
            }

            if (!PersistFails)
            {
                OnDisk = Session.PendingHold;
            }

            Session.HoldPersisted(!PersistFails, NowMs);
        }
    }

    private ExportSession Make() => new(
        new ExportOptions
        {
            Name = new WireText("disk1"),
            Identity = Identity,
            BootId = BootId,
            Cache = Cache,
            Geometry = new ExportGeometry(
                SizeBytes, 1 << 28, 4096, MaxRequestBytes, 4096,
                ExportCapabilities.Discard | ExportCapabilities.WriteZeroes
                | (ReadOnly ? ExportCapabilities.ReadOnly : ExportCapabilities.None)),
            ConnectionsMax = 4,
            SlotsMax = 16,
            ReadersMax = 2,
        },
        OnDisk,
        Budget,
        Poisoned);
}

/// <summary>A connection that was granted or joined, with its lane.</summary>
internal sealed record Live(
    ExportBed Bed, int Connection, ulong Epoch, ServerLane Lane, AttachOkMessage Ok, List<CompletedEntry> Completed)
{
    internal FrameHeader Request(
        Operation operation,
        int slot,
        ulong sequence,
        ulong offset = 0,
        ulong length = 4096,
        FrameFlags flags = FrameFlags.None)
    {
        bool flush = operation == Operation.Flush;
        return new FrameHeader
        {
            Kind = FrameKind.Request,
            Operation = operation,
            Flags = flags,
            Epoch = Epoch,
            Slot = (ushort)slot,
            Sequence = sequence,
            OffsetBytes = flush ? 0 : offset,
            LengthBytes = flush ? 0 : length,
            BodyBytes = operation == Operation.Write ? (uint)DataChecksum.BodyBytes(Lane.Checksum, (int)length) : 0,
        };
    }

    /// <summary>Sends a request with its good body.</summary>
    internal LaneVerdict Send(
        Operation operation,
        int slot,
        ulong sequence,
        ulong offset = 0,
        ulong length = 4096,
        FrameFlags flags = FrameFlags.None)
    {
        LaneVerdict verdict = Lane.OnHeader(Request(operation, slot, sequence, offset, length, flags));
        return verdict.Action == LaneAction.ReceiveBody ? Lane.OnBody(slot, checksumsMatch: true) : verdict;
    }

    /// <summary>Sends a request that must run, and lets the disk be done with it.</summary>
    internal void Do(Operation operation, int slot, ulong sequence, DstStatus status = DstStatus.Ok, ulong offset = 0)
    {
        Assert.Equal(LaneAction.Run, Send(operation, slot, sequence, offset).Action);
        LaneVerdict verdict = Lane.OnDone(slot, status);
        while (verdict.Action == LaneAction.RunFlush)
        {
            verdict = Lane.OnDone(slot, DstStatus.Ok);
        }

        Assert.Equal(LaneAction.Reply, verdict.Action);
        Assert.Equal(WireStatus.ToWire(status), Reply(slot).Status);
    }

    internal FrameHeader Reply(int slot)
    {
        byte[] frame = new byte[WireLimits.HeaderBytes];
        int body = Lane.WriteReply(slot, frame);
        Assert.Equal(WireError.None, FrameCodec.TryRead(frame, out FrameHeader header));
        Assert.Equal(body, (int)header.BodyBytes);
        return header;
    }
}
