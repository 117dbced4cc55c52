using Dst.Core;
using Dst.Core.Requests;
using Dst.Core.Sessions.Client;
using Dst.Core.Wire;
using Dst.Nodes;
using Dst.Nodes.Legs;

namespace Dst.Net.Client.Lanes;

/// <summary>
/// Drives one lane on its queue's thread: carries out what the machine wants, in order. A request's frame is made here
/// and leaves at the end of the loop's turn, together with all others of the turn. Queue thread only; allocates nothing
/// after construction, takes no lock, never waits.
/// </summary>
internal sealed unsafe class NetworkLane
{
    private const long TicksPerMs = 1_000_000;

    private readonly NodeLanes _lanes;
    private readonly LaneBorder _border;
    private readonly ClientLane _machine;
    private readonly LegSlot[] _slots;
    private readonly ILegSink _sink;
    private readonly int[] _slotOfLeg;
    private readonly int[] _freeLegs;
    private readonly byte[] _tableKinds;
    private readonly LogCheck _logCheck = new();
    private readonly nint _heads;
    private readonly int _headBytes;
    private NodeConnection? _connection;
    private LaneShare _share;
    private ChecksumKind _checksum;
    private int _freeCount;
    private bool _busy;
    private bool _hasFrames;

    /// <summary>Takes a lane for a queue.</summary>
    /// <param name="lanes">All lanes of the node.</param>
    /// <param name="lane">Number of this one.</param>
    /// <param name="context">The queue.</param>
    public NetworkLane(NodeLanes lanes, int lane, in NodeQueueContext context)
    {
        _lanes = lanes;
        _border = lanes.Borders[lane];
        _slots = context.Slots;
        _sink = context.Sink;
        int legs = int.Min(context.Slots.Length, ClientLimits.LegsMax);
        _slotOfLeg = new int[legs];
        _freeLegs = new int[legs];
        _tableKinds = new byte[legs];
        for (int leg = legs - 1; leg >= 0; leg--)
        {
            _freeLegs[_freeCount++] = leg;
        }

        _headBytes = lanes.HeadBytes;
        _heads = lanes.AllocateHeads(legs + ClientLimits.OwnSlotsMax);
        _machine = new ClientLane(new ClientLaneOptions(lane, legs), _border.Replies, lanes.Shared, default);
        _border.Connect(context.Loop, _machine);
        lanes.Desks[lane].Bear(ReplayOrder);
        _border.Wake();
    }

    /// <summary>True while the lane has a request.</summary>
    public bool HasLegs => _machine.LegCount > 0;

    /// <summary>Takes a leg.</summary>
    /// <param name="slot">Its slot in the queue.</param>
    /// <param name="nowTicks">Now.</param>
    public void Submit(int slot, long nowTicks)
    {
        ref LegSlot at = ref _slots[slot];
        Must.Be(_freeCount > 0, $"lane {_border.Lane} has more than {_slotOfLeg.Length} requests");
        int leg = _freeLegs[--_freeCount];
        _slotOfLeg[leg] = slot;
        Request request = new(at.Operation, at.Flags, at.OffsetBytes, at.LengthBytes);
        _machine.Submit(leg, in request, at.Buffer, nowTicks / TicksPerMs);
        CarryOut(nowTicks);
    }

    /// <summary>Looks at replies and orders.</summary>
    /// <param name="nowTicks">Now.</param>
    public void OnWake(long nowTicks)
    {
        _border.BeginLook();
        _machine.OnReplies(nowTicks / TicksPerMs);
        CarryOut(nowTicks);
        while (_border.Orders.TryTake(out LaneOrder order))
        {
            Obey(in order, nowTicks);
            CarryOut(nowTicks);
        }
    }

    /// <summary>Looks at deadlines and budgets.</summary>
    /// <param name="nowTicks">Now.</param>
    public void Tick(long nowTicks)
    {
        _machine.Tick(nowTicks / TicksPerMs);
        CarryOut(nowTicks);
    }

    /// <summary>Ends every request, and those to come, with an error (U-21).</summary>
    /// <param name="nowTicks">Now.</param>
    public void Fail(long nowTicks)
    {
        LaneOrder order = new() { Kind = LaneOrderKind.Fail, Status = DstStatus.IoError, ForEver = true };
        _machine.OnOrder(in order, nowTicks / TicksPerMs);
        CarryOut(nowTicks);
    }

    /// <summary>Sends what this turn has brought.</summary>
    public void OnTurnEnd()
    {
        if (_hasFrames)
        {
            _hasFrames = false;
            _connection!.Sender.Kick();
        }
    }

    /// <summary>The loop has ended.</summary>
    public void End()
    {
        _border.Disconnect();
        _lanes.Desks[_border.Lane].Bury();
        _lanes.Signal();
    }

    private void ReplayOrder(LaneOrder order)
    {
        Obey(in order, System.Diagnostics.Stopwatch.GetTimestamp());
        if (order.Kind == LaneOrderKind.Recover)
        {
            CarryOut(System.Diagnostics.Stopwatch.GetTimestamp());
            OnTurnEnd();
        }
        else
        {
            _machine.Effects.Clear();
        }
    }

    private void Obey(in LaneOrder order, long nowTicks)
    {
        if (order.Kind == LaneOrderKind.Settle)
        {
            _share = order.Session.Share;
            _checksum = order.Session.Checksum;
            _connection = _lanes.Connections[_share.Connection];
            _border.ForgetSent();
        }
        else if (order.Kind == LaneOrderKind.LetGo)
        {
            // Nobody sends any more; what was not sent under this epoch is sent anew under the next.
            _border.Outbox.Clear();
            _hasFrames = false;
        }

        _machine.OnOrder(in order, nowTicks / TicksPerMs);
    }

    private void CarryOut(long nowTicks)
    {
        if (_busy)
        {
            // A request came out of a completion: the walk that is under way gets to its effects.
            return;
        }

        _busy = true;
        for (int i = 0; i < _machine.Effects.Count; i++)
        {
            CarryOut(in _machine.Effects[i], nowTicks);
        }

        _machine.Effects.Clear();
        _busy = false;
    }

    private void CarryOut(in LaneEffect effect, long nowTicks)
    {
        switch (effect.Kind)
        {
            case LaneEffectKind.Send:
                Send(in effect);
                break;
            case LaneEffectKind.SendLog:
                SendLog(in effect);
                break;
            case LaneEffectKind.CopyToLog:
                CopyToLog(in effect);
                break;
            case LaneEffectKind.Complete:
                _freeLegs[_freeCount++] = effect.Leg;
                _sink.LegDone(_slotOfLeg[effect.Leg], effect.Status, nowTicks);
                break;
            case LaneEffectKind.Tell:
                bool told = _border.News.TryPut(in effect.News);
                Must.Be(told, $"lane {_border.Lane}: nobody takes its news");
                _lanes.Signal();
                break;
            default:
                _lanes.Wake(effect.Lanes);
                break;
        }
    }

    private void Send(in LaneEffect effect)
    {
        if (effect.Leg < 0)
        {
            SendOwn(in effect.Header, 0, 0);
            return;
        }

        bool writes = effect.Header.Operation == Operation.Write;
        int dataBytes = writes ? (int)effect.Header.LengthBytes : 0;
        nint head = _heads + ((nint)effect.Leg * _headBytes);
        int tableBytes = DataChecksum.TableBytes(_checksum, dataBytes);
        bool hasTable = effect.Again && _tableKinds[effect.Leg] == (byte)_checksum;
        if (tableBytes > 0 && !hasTable)
        {
            WriteTable(head, effect.Buffer, dataBytes, tableBytes);
        }

        _tableKinds[effect.Leg] = (byte)_checksum;
        PutFrame(head, in effect.Header, tableBytes, effect.Buffer, dataBytes);
    }

    /// <summary>The sum is that of the table which went with the data, not one of what is copied now (N-25).</summary>
    private void CopyToLog(in LaneEffect effect)
    {
        nint place = _lanes.LogOf(_border.Lane) + (nint)effect.ArenaOffset;
        Buffer.MemoryCopy((void*)effect.Buffer, (void*)place, effect.DataBytes, effect.DataBytes);
        ChecksumKind kind = (ChecksumKind)_tableKinds[effect.Leg];
        nint table = _heads + ((nint)effect.Leg * _headBytes) + WireLimits.HeaderBytes;
        _lanes.SumsOf(_border.Lane)[effect.EntryPlace] = LogSum.Of(
            kind, new ReadOnlySpan<byte>((void*)table, DataChecksum.TableBytes(kind, effect.DataBytes)));
    }

    private void SendLog(in LaneEffect effect)
    {
        nint log = _lanes.LogOf(effect.LogLane);
        if (effect.DataBytes > 0)
        {
            ReadOnlySpan<byte> whole = new((void*)(log + (nint)effect.EntryArenaOffset), effect.EntryBytes);
            bool good = effect.EntryBegins
                ? _logCheck.Begin(_lanes.SumsOf(effect.LogLane)[effect.EntryPlace], whole)
                : _logCheck.IsIntact(whole, (int)(effect.ArenaOffset - effect.EntryArenaOffset), effect.DataBytes);
            if (!good)
            {
                _machine.OnDamagedLog();
                return;
            }
        }

        SendOwn(in effect.Header, log + (nint)effect.ArenaOffset, effect.DataBytes);
    }

    /// <summary>Requests of the lane itself have heads by the place of their slots, which stand side by side.</summary>
    private void SendOwn(in FrameHeader header, nint data, int dataBytes)
    {
        int cell = _slotOfLeg.Length + (SlotOf(in header) % ClientLimits.OwnSlotsMax);
        nint head = _heads + ((nint)cell * _headBytes);
        int tableBytes = DataChecksum.TableBytes(_checksum, dataBytes);
        if (tableBytes > 0)
        {
            WriteTable(head, data, dataBytes, tableBytes);
        }

        PutFrame(head, in header, tableBytes, data, dataBytes);
    }

    private void WriteTable(nint head, nint data, int dataBytes, int tableBytes)
    {
        ReadOnlySpan<byte> bytes = new((void*)data, dataBytes);
        Span<byte> table = new((void*)(head + WireLimits.HeaderBytes), tableBytes);
        DataChecksum.WriteTable(_checksum, bytes, table);
    }

    private void PutFrame(nint head, in FrameHeader header, int tableBytes, nint data, int dataBytes)
    {
        FrameCodec.Write(in header, new Span<byte>((void*)head, WireLimits.HeaderBytes));
        OutgoingFrame frame = new(head, WireLimits.HeaderBytes + tableBytes, data, dataBytes);
        _border.Put(SlotOf(in header), header.Sequence, in frame);
        _hasFrames = true;
    }

    private int SlotOf(in FrameHeader header) => header.Slot - _share.FirstSlot;
}
