using Dst.Core.Requests;
using Dst.Core.Wire;

namespace Dst.Core.Sessions;

/// <summary>What the owner of a lane does next.</summary>
public enum LaneAction
{
    /// <summary>Nothing: PONG that nobody waits for, a reply for a connection that is closed.</summary>
    None,

    /// <summary>Receive the body of the slot's write, then call <see cref="ServerLane.OnBody"/>.</summary>
    ReceiveBody,

    /// <summary>Give the slot's request to the disk, then call <see cref="ServerLane.OnDone"/>.</summary>
    Run,

    /// <summary>
    /// Send the slot's reply; it may be built with <see cref="ServerLane.WriteReply"/> until the slot is used again.
    /// </summary>
    Reply,

    /// <summary>
    /// Give a flush of the whole volume to the disk for this slot, then call <see cref="ServerLane.OnDone"/> again.
    /// </summary>
    RunFlush,

    /// <summary>Take the poison away durably, then call <see cref="ServerLane.OnPoisonCleared"/>.</summary>
    ClearPoison,

    /// <summary>Send a PONG with <see cref="LaneVerdict.Sequence"/>, before any reply that waits (S-30).</summary>
    SendPong,

    /// <summary>Read nothing more and hand the goodbye to the control thread.</summary>
    Goodbye,

    /// <summary>
    /// Send ERROR with <see cref="LaneVerdict.Code"/> if that can be, close, tell the control thread.
    /// </summary>
    Close,
}

/// <summary>Answer of a lane to an event.</summary>
/// <param name="Action">What to do next.</param>
/// <param name="Slot">The slot it is about; -1 for none.</param>
public readonly record struct LaneVerdict(LaneAction Action, int Slot = -1)
{
    /// <summary>
    /// With <see cref="LaneAction.Close"/>: why; <see cref="RefusalCode.None"/> when the peer ended it.
    /// </summary>
    public RefusalCode Code { get; init; }

    /// <summary>
    /// With <see cref="LaneAction.SendPong"/>: the number to send back. With <see cref="LaneAction.Close"/> over a
    /// request: its sequence, else 0.
    /// </summary>
    public ulong Sequence { get; init; }

    /// <summary>
    /// True when the lane is over (closed, or a newer epoch stands) and its last request has left the disk: the control
    /// thread has to be told (<c>ExportSession.LaneDrained</c>), whatever the action is (S-05).
    /// </summary>
    public bool Drained { get; init; }
}

/// <summary>
/// The requests of one live connection. Its engine thread owns it and is the only caller; with the control thread it
/// shares the count of requests that the disk has, and reads the export's gate. Allocates nothing after construction.
/// </summary>
public sealed class ServerLane
{
    private readonly ExportGate _gate;
    private readonly CompletedTable _table;
    private readonly ExportGeometry _geometry;
    private readonly CreditGrant _credits;
    private readonly ChecksumKind _checksum;
    private readonly ulong _wireEpoch;
    private readonly ulong _gateEpoch;
    private readonly ulong _bootId;
    private readonly bool _readOnly;
    private readonly Slot[] _slots;
    private readonly ushort[] _active; // slots in use, in no order
    private int _activeCount;
    private long _payloadBytes;
    private int _inFlight; // shared: written here, read by the control thread
    private bool _closed;

    /// <summary>
    /// A lane without requests. Control thread; then it belongs to the engine thread it is handed to.
    /// </summary>
    internal ServerLane(
        ExportGate gate,
        CompletedTable table,
        in ExportGeometry geometry,
        CreditGrant credits,
        ChecksumKind checksum,
        ulong wireEpoch,
        ulong gateEpoch)
    {
        Must.Be(table.SlotCount >= credits.Requests, $"table of {table.SlotCount} slots for {credits}");
        _gate = gate;
        _table = table;
        _geometry = geometry;
        _credits = credits;
        _checksum = checksum;
        _wireEpoch = wireEpoch;
        _gateEpoch = gateEpoch;
        _bootId = gate.BootId;
        _readOnly = wireEpoch == 0;
        _slots = new Slot[credits.Requests];
        _active = new ushort[credits.Requests];
    }

    /// <summary>Requests that the disk has, or is about to be given. Any thread (S-05).</summary>
    public int InFlightCount => Volatile.Read(ref _inFlight);

    /// <summary>What the connection may have in flight (S-31). Any thread.</summary>
    public CreditGrant Credits => _credits;

    /// <summary>Kind of the data checksums. Any thread.</summary>
    public ChecksumKind Checksum => _checksum;

    /// <summary>Epoch in the headers of this connection; 0 when it only reads. Any thread.</summary>
    public ulong Epoch => _wireEpoch;

    /// <summary>Slots in use: received in part, running, or being answered.</summary>
    public int ActiveCount => _activeCount;

    /// <summary>True after a verdict to close or a goodbye.</summary>
    public bool IsClosed => _closed;

    /// <summary>The request of a slot as the disk is to run it: in write-through every write has FUA (S-21).</summary>
    /// <param name="slot">A slot that a verdict named.</param>
    public Request RequestAt(int slot)
    {
        ref readonly FrameHeader header = ref SlotAt(slot).Header;
        bool keep = (header.Flags & FrameFlags.NoUnmap) != FrameFlags.None;
        RequestFlags flags = keep ? RequestFlags.NoUnmap : RequestFlags.None;
        if (header.Operation == Operation.Write && IsDurable(in header) && !Mutations.Has(Mutation.AckBeforeDurable))
        {
            flags |= RequestFlags.Fua;
        }

        bool elsewhere = _readOnly && Mutations.Has(Mutation.ReaderReadsElsewhere);
        long offset = elsewhere ? (long)(_geometry.SizeBytes - header.LengthBytes) : (long)header.OffsetBytes;
        return new Request(header.Operation, flags, offset, (long)header.LengthBytes);
    }

    /// <summary>
    /// A valid header came. Frames that are no business of a live connection end it (S-01). Nothing is run here that
    /// has a body (S-14).
    /// </summary>
    /// <param name="header">As <see cref="FrameCodec.TryRead"/> gave it.</param>
    public LaneVerdict OnHeader(in FrameHeader header)
    {
        if (_closed)
        {
            return new LaneVerdict(LaneAction.None);
        }

        switch (header.Kind)
        {
            case FrameKind.Request:
                return OnRequest(in header);
            case FrameKind.Ping:
                return new LaneVerdict(LaneAction.SendPong) { Sequence = header.Sequence };
            case FrameKind.Pong:
                return new LaneVerdict(LaneAction.None);
            case FrameKind.Goodbye when header.Epoch == _wireEpoch:
                // What still runs, a flush of the client's own, ends without an answer.
                _closed = true;
                return new LaneVerdict(LaneAction.Goodbye);
            case FrameKind.Error:
                return Close(RefusalCode.None);
            default:
                return Close(RefusalCode.Protocol);
        }
    }

    /// <summary>The bytes are no frame (N-30).</summary>
    /// <param name="error">Why.</param>
    public LaneVerdict OnMalformed(WireError error)
    {
        Must.Be(error != WireError.None, "a frame without a fault");
        return Close(RefusalCode.Protocol);
    }

    /// <summary>
    /// The whole body of a write is there. It runs only now, and only with the right checksums (S-14, S-33).
    /// </summary>
    /// <param name="slot">The slot of <see cref="LaneAction.ReceiveBody"/>.</param>
    /// <param name="checksumsMatch">Verdict over table and data.</param>
    public LaneVerdict OnBody(int slot, bool checksumsMatch)
    {
        if (_closed)
        {
            return new LaneVerdict(LaneAction.None);
        }

        ref Slot state = ref SlotAt(slot);
        Must.Be(state.Phase == Phase.Receiving, $"slot {slot} has a body in phase {state.Phase}");

        if (!checksumsMatch && !Mutations.Has(Mutation.BodyChecksumIgnored))
        {
            ulong sequence = state.Header.Sequence;
            Free(slot);
            return Close(RefusalCode.Checksum) with { Slot = slot, Sequence = sequence };
        }

        return Submit(slot);
    }

    /// <summary>
    /// The disk is done with the slot's request, or with the flush that a verdict asked for. Comes for every
    /// request that a verdict said to run, also on a closed connection: what was done must be known (S-10).
    /// </summary>
    /// <param name="slot">The slot.</param>
    /// <param name="status">How it ended.</param>
    public LaneVerdict OnDone(int slot, DstStatus status)
    {
        ref Slot state = ref SlotAt(slot);
        Must.Be(state.Phase is Phase.Running or Phase.Flushing, $"slot {slot} is done in phase {state.Phase}");
        ref readonly FrameHeader header = ref state.Header;
        if (IsWriteError(header.Operation, status) && !Mutations.Has(Mutation.GenerationKept))
        {
            // Before the reply, so that whoever hears of the failure finds it counted (S-20).
            _gate.CountWriteError();
        }

        if (header.Operation == Operation.Read && !_closed && IsOvertakenByLoss())
        {
            LaneVerdict close = Close(RefusalCode.EpochOver);
            return close with { Drained = Finish(slot, status).Drained };
        }

        bool flush = header.Operation == Operation.Flush;
        if (status == DstStatus.Ok && state.Phase == Phase.Running && NeedsFlushAfter(in header))
        {
            if (_gate.IsPoisoned)
            {
                // As a write with FUA fails: a flush now would use up the one that a replay is let through (S-24).
                return Finish(slot, DstStatus.IoError);
            }

            state.Phase = Phase.Flushing;
            return new LaneVerdict(LaneAction.RunFlush, slot);
        }

        if (flush && status == DstStatus.Ok && state.ClearsPoison)
        {
            state.Phase = Phase.Clearing;
            return new LaneVerdict(LaneAction.ClearPoison, slot);
        }

        // A reader's flush may have begun before the last change of an older writer.
        if (flush && status == DstStatus.Ok && !_readOnly)
        {
            _gate.ClearMixedWriters();
        }

        return Finish(slot, status);
    }

    /// <summary>The poison was taken away durably, or not (S-24).</summary>
    /// <param name="slot">The slot of <see cref="LaneAction.ClearPoison"/>.</param>
    /// <param name="cleared">False when the mark could not be removed: the flush fails.</param>
    public LaneVerdict OnPoisonCleared(int slot, bool cleared)
    {
        Must.Be(SlotAt(slot).Phase == Phase.Clearing, $"slot {slot} clears nothing");
        return Finish(slot, cleared ? DstStatus.Ok : DstStatus.IoError);
    }

    /// <summary>
    /// Writes the header of the slot's reply. The slot is free for the client once it has the reply, so this is called
    /// before the next <see cref="OnHeader"/>.
    /// </summary>
    /// <param name="slot">The slot of <see cref="LaneAction.Reply"/>.</param>
    /// <param name="frame">At least a header long.</param>
    /// <returns>Bytes of the body that has to follow: table and data of a good read, else 0.</returns>
    public int WriteReply(int slot, Span<byte> frame)
    {
        ref readonly Slot state = ref SlotAt(slot);
        FrameHeader reply = state.Header;
        reply.Kind = FrameKind.Reply;
        reply.Flags = FrameFlags.None;
        reply.Status = WireStatus.ToWire(state.Status);
        bool data = reply.Operation == Operation.Read && state.Status == DstStatus.Ok;
        reply.BodyBytes = data ? (uint)DataChecksum.BodyBytes(_checksum, (int)reply.LengthBytes) : 0;
        if (reply.Operation == Operation.Flush)
        {
            // Read after the flush ended (S-20).
            reply.OffsetBytes = _gate.BootId;
            reply.LengthBytes = _gate.WriteErrorGeneration;
        }

        FrameCodec.Write(in reply, frame);
        return (int)reply.BodyBytes;
    }

    /// <summary>
    /// The connection is gone: by a verdict, by the peer or by the control thread. Requests that wait for their body
    /// are dropped (S-05); those with the disk end through <see cref="OnDone"/>.
    /// </summary>
    public void Detach()
    {
        _closed = true;
        for (int i = _activeCount - 1; i >= 0; i--)
        {
            if (_slots[_active[i]].Phase == Phase.Receiving)
            {
                Free(_active[i]);
            }
        }
    }

    /// <summary>
    /// First half of the one step of S-06: counts a request, with a full fence. Pairs with the exchange in
    /// <see cref="ExportGate.Raise"/>: either this lane sees the new epoch, or the control thread sees the count.
    /// </summary>
    internal void Count() => Interlocked.Increment(ref _inFlight);

    /// <summary>Second half: reads the epoch. On false nothing of the request may reach the disk (S-06).</summary>
    internal bool IsCurrent() => _gate.IsCurrent(_gateEpoch, _readOnly);

    private LaneVerdict OnRequest(in FrameHeader header)
    {
        if (!IsCurrent())
        {
            // Only the kinder answer to what would end so anyway; what counts is the look in Submit.
            return Close(RefusalCode.EpochOver);
        }

        if (header.Epoch != _wireEpoch
            || (!_readOnly && !_gate.HasBegun(_wireEpoch))
            || header.Slot >= _slots.Length
            || _slots[header.Slot].Phase != Phase.Free
            || !FitsCredits(in header)
            || OverlapsInWriteBack(in header))
        {
            return Close(RefusalCode.Protocol);
        }

        int slot = header.Slot;
        ref Slot state = ref _slots[slot];
        state = new Slot { Header = header, Phase = Phase.Receiving, ActiveIndex = _activeCount };
        _active[_activeCount++] = (ushort)slot;
        _payloadBytes += PayloadOf(in header);
        return header.Operation == Operation.Write ? new LaneVerdict(LaneAction.ReceiveBody, slot) : Submit(slot);
    }

    /// <summary>
    /// The one step between receiving and the disk: counted, then the epoch (S-06), then the id (S-10), then the rest.
    /// The table is touched only while counted, for a successor of this lane may own it otherwise.
    /// </summary>
    private LaneVerdict Submit(int slot)
    {
        bool early = Mutations.Has(Mutation.CheckedBeforeCounted) && IsCurrent();
        if (early)
        {
            _gate.LookedHook?.Invoke();
        }

        Count();
        bool current = early || IsCurrent() || Mutations.Has(Mutation.EpochUncheckedAtSubmit);
        _gate.LookedHook?.Invoke();
        if (!current)
        {
            Free(slot);
            return Close(RefusalCode.EpochOver) with { Drained = Uncount() };
        }

        ref Slot state = ref _slots[slot];
        ref readonly FrameHeader header = ref state.Header;
        bool isChange = IsChange(header.Operation);
        switch (_table.Look(slot, header.Sequence, isChange, _gateEpoch, out DstStatus status))
        {
            case IdVerdict.Violation:
                Free(slot);
                return Close(RefusalCode.Protocol) with { Drained = Uncount() };
            case IdVerdict.Answered:
                return Answer(slot, status);
            default:
                break;
        }

        status = Check(in header);
        if (status != DstStatus.Ok)
        {
            return Finish(slot, status);
        }

        state.ClearsPoison = header.Operation == Operation.Flush
            && _gate.IsPoisoned
            && !Mutations.Has(Mutation.PoisonKept);
        state.Phase = Phase.Running;
        return new LaneVerdict(LaneAction.Run, slot);
    }

    /// <summary>The status that refuses a request, or Ok (C-08, C-12, C-13).</summary>
    private DstStatus Check(in FrameHeader header)
    {
        if (header.Operation == Operation.Flush)
        {
            bool replayed = (header.Flags & FrameFlags.Replayed) != FrameFlags.None;
            bool helps = replayed && !_readOnly && _gate.ReplayMayHelp;
            helps |= _readOnly && Mutations.Has(Mutation.ReaderClearsPoison);
            helps |= !_readOnly && Mutations.Has(Mutation.PoisonClearedByAnyFlush);
            return _gate.IsPoisoned && !helps ? DstStatus.IoError : DstStatus.Ok;
        }

        bool mayChange = !_readOnly || Mutations.Has(Mutation.ReaderMayWrite);
        if (IsChange(header.Operation) && (!mayChange || Has(ExportCapabilities.ReadOnly)))
        {
            return DstStatus.ReadOnly;
        }

        if ((header.Operation == Operation.Discard && !Has(ExportCapabilities.Discard))
            || (header.Operation == Operation.WriteZeroes && !Has(ExportCapabilities.WriteZeroes)))
        {
            return DstStatus.NotSupported;
        }

        ulong limit = header.Operation is Operation.Read or Operation.Write
            ? _geometry.MaxRequestBytes
            : _geometry.MaxChangeBytes;
        bool whole = ((header.OffsetBytes | header.LengthBytes) & (_geometry.BlockBytes - 1)) == 0;
        bool inside = header.LengthBytes <= _geometry.SizeBytes
            && header.OffsetBytes <= _geometry.SizeBytes - header.LengthBytes;
        return whole && inside && header.LengthBytes <= limit ? DstStatus.Ok : DstStatus.Invalid;
    }

    /// <summary>
    /// What is read now may be older than what the client has read before, and it has to replay first: the control
    /// thread is about to end the session, and the client asks again (S-23). Readers replay nothing, and see less.
    /// </summary>
    private bool IsOvertakenByLoss() =>
        !_readOnly && _gate.BootId != _bootId && !Mutations.Has(Mutation.ReadsOverALoss);

    private LaneVerdict Finish(int slot, DstStatus status)
    {
        ref Slot state = ref _slots[slot];
        _table.Set(slot, state.Header.Sequence, IsChange(state.Header.Operation), _gateEpoch, status);
        return Answer(slot, status);
    }

    private LaneVerdict Answer(int slot, DstStatus status)
    {
        _slots[slot].Status = status;
        Free(slot);
        bool drained = Uncount();
        return new LaneVerdict(_closed ? LaneAction.None : LaneAction.Reply, slot) { Drained = drained };
    }

    /// <summary>Takes a request off the count; after this the table may belong to a successor.</summary>
    /// <returns>True when the control thread waits for this.</returns>
    private bool Uncount()
    {
        // Full fence between the count and the epoch; pairs with the exchange in ExportGate.Raise.
        int left = Interlocked.Decrement(ref _inFlight);
        Must.Be(left >= 0, "a lane has fewer than no requests");
        return left == 0 && (_closed || !IsCurrent());
    }

    private void Free(int slot)
    {
        ref Slot state = ref _slots[slot];
        Must.Be(state.Phase != Phase.Free, $"slot {slot} is freed twice");
        int last = _active[--_activeCount];
        _active[state.ActiveIndex] = (ushort)last;
        _slots[last].ActiveIndex = state.ActiveIndex;
        _payloadBytes -= Mutations.Has(Mutation.CreditLeak) ? 0 : PayloadOf(in state.Header);
        state.Phase = Phase.Free;
    }

    private LaneVerdict Close(RefusalCode code)
    {
        Detach();
        return new LaneVerdict(LaneAction.Close) { Code = code };
    }

    private ref Slot SlotAt(int slot)
    {
        Must.Be((uint)slot < (uint)_slots.Length, $"slot {slot} of {_slots.Length}");
        return ref _slots[slot];
    }

    /// <summary>Data must fit the largest request and what is left of the grant (S-31).</summary>
    private bool FitsCredits(in FrameHeader header)
    {
        long payload = PayloadOf(in header);
        if (payload > _geometry.MaxRequestBytes || payload > _credits.PayloadBytes - _payloadBytes)
        {
            return false;
        }

        return header.Operation != Operation.Write
            || header.BodyBytes == (uint)DataChecksum.BodyBytes(_checksum, (int)header.LengthBytes);
    }

    /// <summary>Two overlapping changes in flight have no order, so a log could not know it (S-21).</summary>
    private bool OverlapsInWriteBack(in FrameHeader header)
    {
        if (_gate.Cache != CacheMode.WriteBack || !IsChange(header.Operation))
        {
            return false;
        }

        for (int i = 0; i < _activeCount; i++)
        {
            ref readonly FrameHeader other = ref _slots[_active[i]].Header;
            if (IsChange(other.Operation)
                && header.OffsetBytes < other.OffsetBytes + other.LengthBytes
                && other.OffsetBytes < header.OffsetBytes + header.LengthBytes)
            {
                return true;
            }
        }

        return false;
    }

    private bool Has(ExportCapabilities capability) =>
        (_geometry.Capabilities & capability) != ExportCapabilities.None;

    private bool IsDurable(in FrameHeader header) =>
        _gate.Cache == CacheMode.WriteThrough || (header.Flags & FrameFlags.Fua) != FrameFlags.None;

    private bool NeedsFlushAfter(in FrameHeader header) =>
        header.Operation is Operation.Discard or Operation.WriteZeroes && IsDurable(in header)
        && !Mutations.Has(Mutation.ZeroesNotFlushed);

    private static long PayloadOf(in FrameHeader header) =>
        header.Operation is Operation.Read or Operation.Write ? (long)header.LengthBytes : 0;

    private static bool IsChange(Operation operation) =>
        operation is Operation.Write or Operation.Discard or Operation.WriteZeroes;

    /// <summary>True when the disk failed; what it refuses to do loses nothing.</summary>
    private static bool IsWriteError(Operation operation, DstStatus status) =>
        operation != Operation.Read
        && status is not (DstStatus.Ok or DstStatus.NotSupported or DstStatus.Invalid or DstStatus.ReadOnly);

    private enum Phase : byte
    {
        Free,
        Receiving,
        Running,
        Flushing,
        Clearing,
    }

    private struct Slot
    {
        internal FrameHeader Header;
        internal int ActiveIndex;
        internal Phase Phase;
        internal DstStatus Status;
        internal bool ClearsPoison;
    }
}
