using Dst.Core.Requests;
using Dst.Core.Wire;

namespace Dst.Core.Sessions;

/// <summary>The part of an export's session that grants: records, seats, tables, and the frames that say so.</summary>
public sealed partial class ExportSession
{
    /// <summary>
    /// Writes the frames that answer ATTACH, in order: COMPLETED as many as are needed, then ATTACH_OK (S-10). To be
    /// called with 0, 1, 2 … until it gives 0, right after the Grant effect.
    /// </summary>
    /// <param name="connection">The granted connection.</param>
    /// <param name="index">Which frame.</param>
    /// <param name="frame">At least <see cref="WireLimits.ControlFrameMaxBytes"/>.</param>
    /// <returns>Bytes of the frame; 0 when there is no such frame.</returns>
    public int WriteGrant(int connection, int index, Span<byte> frame)
    {
        int reader = Find(_readers, connection);
        if (reader >= 0)
        {
            return index == 0 ? WriteAttachOk(0, UInt128.Zero, _readers[reader].Lane!, 0, frame) : 0;
        }

        Must.Be(
            _live && _seats[0].Connection == connection,
            $"export {_options.Name}: no grant for connection {connection}");
        int skip = index * WireLimits.CompletedEntriesMax;
        Span<CompletedEntry> entries = stackalloc CompletedEntry[WireLimits.CompletedEntriesMax];
        int found = CollectCompleted(skip, entries, out int total);
        if (found > 0)
        {
            return MessageCodec.WriteCompleted(_epoch, entries[..found], frame);
        }

        int completedFrames = (total + WireLimits.CompletedEntriesMax - 1) / WireLimits.CompletedEntriesMax;
        return index == completedFrames ? WriteAttachOk(_epoch, _token, _seats[0].Lane!, (uint)total, frame) : 0;
    }

    /// <summary>Writes the ERROR of a Close effect: what, on which export, why, what next.</summary>
    /// <param name="code">Of the effect; not none.</param>
    /// <param name="frame">At least <see cref="WireLimits.ControlFrameMaxBytes"/>.</param>
    public int WriteRefusal(RefusalCode code, Span<byte> frame)
    {
        ErrorMessage message = new() { Text = RefusalText.For(_options.Name, code, in _record) };
        if (code is RefusalCode.Held or RefusalCode.Fenced)
        {
            message.Holder = _record.HolderName;
            message.Epoch = _record.Used;
        }

        return MessageCodec.Write(code, in message, frame);
    }

    private void PersistGrant(long nowMs)
    {
        // The record may have changed since the attempt began: a BEGIN or a release came to its end in between.
        ref readonly AttachMessage message = ref _attempt.Message;
        RefusalCode code = _record.Check(message.Device, message.Replaces, message.TakeOver);
        bool known = _tableIncarnation == message.Incarnation && _tableDevice == message.Device;
        CreditGrant wanted = known
            ? message.Credits with { Connections = _tableGrant.Connections, Requests = _tableGrant.Requests }
            : message.Credits;
        if (code == RefusalCode.None)
        {
            bool taken = _budget.TryTake(
                wanted,
                _options.Geometry.MaxRequestBytes,
                _options.SlotsMax,
                _options.ConnectionsMax,
                mayShrink: !known,
                out _grant,
                message.Lanes);
            _hasGrant = taken;
            code = taken ? RefusalCode.None : RefusalCode.NoCredits;
        }

        if (code == RefusalCode.NoCredits && EndReader(out bool isGone))
        {
            if (isGone)
            {
                Advance(nowMs);
            }

            return;
        }

        if (code != RefusalCode.None)
        {
            AbortAttempt(code);
            Advance(nowMs);
            return;
        }

        bool sameHolder = _record.Held && _record.Holder == message.Device;
        bool sameWriter = _record.Holder == message.Device && _record.Incarnation == message.Incarnation;
        bool firstWriter = _record.Incarnation == 0 && !Gate.IsPoisoned;
        _pending = _record;
        _pending.Granted = ++_raised;
        _pending.Held = true;
        _pending.Holder = message.Device;
        _pending.First = sameHolder ? _record.First : _raised;
        _pending.Incarnation = message.Incarnation;
        _pending.MixedWriters = Gate.HasMixedWriters || !(sameWriter || firstWriter);
        _pending.HolderName = RefusalText.HolderOf(in message.Holder, in _attempt.Address);
        _grantFor = _attempt.Connection;
        StartPersist(Persist.Grant);
    }

    private void FinishGrant(bool durable)
    {
        bool wanted = _attempt.Connection != NoConnection && _attempt.Connection == _grantFor;
        durable |= Mutations.Has(Mutation.GrantBeforeDurable);
        _grantFor = NoConnection;
        if (durable && _pending.MixedWriters)
        {
            Gate.SetMixedWriters();
        }

        if (!durable || !wanted)
        {
            ReturnGrant();
            if (!durable && wanted)
            {
                AbortAttempt(RefusalCode.Unstable);
            }

            return;
        }

        ref readonly AttachMessage message = ref _attempt.Message;
        if (_tableIncarnation != message.Incarnation || _tableDevice != message.Device)
        {
            if (!Mutations.Has(Mutation.TableKeptForSuccessor))
            {
                ForgetCompleted();
            }

            _tableIncarnation = message.Incarnation;
            _tableDevice = message.Device;
            _tableGrant = _grant;
        }

        _live = true;
        _epoch = _pending.Granted;
        _token = _attempt.Token;
        _checksum = message.Checksum;
        Gate.Raise(_epoch);
        int connection = _attempt.Connection;
        _attempt.Connection = NoConnection;
        TakeSeat(0, connection);
        Effects.Add(new SessionEffect(SessionEffectKind.Grant, connection, A: (long)_epoch));
    }

    private void PersistBegin()
    {
        _begin = false;
        if (Mutations.Has(Mutation.BeginBeforeDurable))
        {
            Gate.Begin(_epoch);
            Effects.Add(new SessionEffect(SessionEffectKind.Begun, _seats[0].Connection));
            return;
        }

        _pending = _record;
        _pending.Used = _epoch;
        _pending.MixedWriters = Gate.HasMixedWriters;
        StartPersist(Persist.Begin);
    }

    private void FinishBegin(bool durable)
    {
        if (!_live || _pending.Used != _epoch)
        {
            return;
        }

        if (!durable)
        {
            EndSession(RefusalCode.Unstable);
            return;
        }

        Gate.Begin(_epoch);
        Effects.Add(new SessionEffect(SessionEffectKind.Begun, _seats[0].Connection));
    }

    private void PersistLeave()
    {
        _pending = _record;
        _pending.Held = false;
        if (_release && _record.Held)
        {
            // An epoch that nobody was granted is the newest used one: the device can name none that matches.
            _pending.Granted = ++_raised;
            _pending.Used = Mutations.Has(Mutation.ReleaseFencesNobody) ? _pending.Used : _raised;
        }

        StartPersist(Persist.Leave);
    }

    private void FinishLeave(bool durable)
    {
        if (_leave && _leaving != NoConnection)
        {
            Effects.Add(durable
                ? new SessionEffect(SessionEffectKind.SendGoodbye, _leaving)
                : new SessionEffect(SessionEffectKind.Close, _leaving, RefusalCode.Unstable));
        }

        if (_release)
        {
            Effects.Add(new SessionEffect(SessionEffectKind.Released, A: durable ? 1 : 0));
        }

        _leave = false;
        _release = false;
        _leaving = NoConnection;
    }

    private void StartPersist(Persist what)
    {
        _persist = what;
        Effects.Add(new SessionEffect(SessionEffectKind.PersistHold));
    }

    /// <summary>
    /// Gives a connection its place and its lane; the table of that place has no other user now (S-10).
    /// </summary>
    private void TakeSeat(int number, int connection)
    {
        ref Seat seat = ref _seats[number];
        Must.Be(seat.Lane is null, $"export {_options.Name}: connection {number} of epoch {_epoch} has a lane already");
        seat.Connection = connection;
        seat.Lane = new ServerLane(Gate, _tables[number], _options.Geometry, _grant, _checksum, _epoch, _epoch);
    }

    private void FreeSeats()
    {
        foreach (ref Seat seat in _seats.AsSpan())
        {
            Must.Be(seat.Connection == NoConnection, $"export {_options.Name}: an ended session has a connection");
            seat.Lane = null;
        }

        if (_hasGrant)
        {
            ReturnGrant();
        }
    }

    private void ReturnGrant()
    {
        Must.Be(_hasGrant, $"export {_options.Name}: no credits to give back");
        if (!Mutations.Has(Mutation.GrantLeak))
        {
            _budget.Return(_grant);
        }

        _hasGrant = false;
    }

    private void ForgetCompleted()
    {
        _tableIncarnation = 0;
        foreach (CompletedTable table in _tables)
        {
            table.Clear();
        }
    }

    private RefusalCode TryAddReader(int connection, in AttachMessage message)
    {
        foreach (ref Seat seat in _readers.AsSpan())
        {
            if (seat.Lane is not null)
            {
                continue;
            }

            CreditGrant wanted = message.Credits with { Connections = 1 };
            if (!_budget.TryTake(
                wanted,
                _options.Geometry.MaxRequestBytes,
                _options.SlotsMax,
                connectionsMax: 1,
                mayShrink: true,
                out seat.Grant,
                message.Lanes))
            {
                return RefusalCode.NoCredits;
            }

            seat.Connection = connection;
            CompletedTable table = new(seat.Grant.Requests);
            seat.Lane = new ServerLane(
                Gate, table, _options.Geometry, seat.Grant, message.Checksum, wireEpoch: 0, Gate.ReaderEpoch);
            Effects.Add(new SessionEffect(SessionEffectKind.Grant, connection));
            return RefusalCode.None;
        }

        return RefusalCode.TooMany;
    }

    /// <summary>
    /// Readers never keep the writer out: the last of them ends, and the attach goes on with its credits.
    /// </summary>
    /// <param name="isGone">False while requests of a reader that ended are with the disk.</param>
    /// <returns>False when there is no reader.</returns>
    private bool EndReader(out bool isGone)
    {
        isGone = false;
        int last = -1;
        for (int i = 0; i < _readers.Length; i++)
        {
            if (_readers[i].Lane is not null && _readers[i].Connection == NoConnection)
            {
                return true;
            }

            last = _readers[i].Lane is null ? last : i;
        }

        if (last >= 0)
        {
            CloseSeat(ref _readers[last], RefusalCode.NoCredits);
            ReapReaders();
            isGone = _readers[last].Lane is null;
        }

        return last >= 0;
    }

    private void ReapReaders()
    {
        foreach (ref Seat seat in _readers.AsSpan())
        {
            if (seat.Connection == NoConnection && seat.Lane is { InFlightCount: 0 })
            {
                seat.Lane = null;
                _budget.Return(seat.Grant);
            }
        }
    }

    private bool AnyReader()
    {
        foreach (ref readonly Seat seat in _readers.AsSpan())
        {
            if (seat.Lane is not null)
            {
                return true;
            }
        }

        return false;
    }

    private int CollectCompleted(int skip, Span<CompletedEntry> entries, out int total)
    {
        total = 0;
        int found = 0;
        for (int number = 0; number < _grant.Connections; number++)
        {
            for (int slot = 0; slot < _grant.Requests; slot++)
            {
                if (!_tables[number].TryGetChange(slot, out ulong sequence, out DstStatus status))
                {
                    continue;
                }

                if (total >= skip && found < entries.Length)
                {
                    entries[found++] = new CompletedEntry(
                        (ushort)number, (ushort)slot, WireStatus.ToWire(status), sequence);
                }

                total++;
            }
        }

        return found;
    }

    private int WriteAttachOk(ulong epoch, UInt128 token, ServerLane lane, uint completed, Span<byte> frame)
    {
        AttachOkMessage message = new()
        {
            Token = token,
            Identity = _options.Identity,
            Geometry = _options.Geometry,
            BootId = Gate.BootId,
            WriteErrorGeneration = Gate.WriteErrorGeneration,
            Cache = Gate.Cache,
            Poisoned = Gate.IsPoisoned,
            Credits = lane.Credits,
            Checksum = lane.Checksum,
            CompletedCount = completed,
        };
        return MessageCodec.Write(epoch, in message, frame);
    }
}

/// <summary>What a server says to people when it refuses. Allocates nothing; any thread.</summary>
public static class RefusalText
{
    /// <summary>One line: which export, why, what next.</summary>
    /// <param name="export">Its name; empty where there is none yet.</param>
    /// <param name="code">Why.</param>
    /// <param name="record">Who holds it.</param>
    public static WireText For(in WireText export, RefusalCode code, in HoldRecord record)
    {
        Span<byte> text = stackalloc byte[2 * WireLimits.TextMaxBytes];
        int length = 0;
        Append(text, ref length, export.IsEmpty ? "server"u8 : "export "u8);
        Append(text, ref length, export.Utf8);
        Append(text, ref length, ": "u8);
        Append(text, ref length, Reason(code));
        if (code is RefusalCode.Held or RefusalCode.Fenced && !record.HolderName.IsEmpty)
        {
            Append(text, ref length, record.Held ? ", held by "u8 : ", last held by "u8);
            Append(text, ref length, record.HolderName.Utf8);
        }

        return new WireText(text[..length]);
    }

    /// <summary>Name and address of a client.</summary>
    /// <param name="name">As it calls itself.</param>
    /// <param name="address">Where it comes from.</param>
    public static WireText HolderOf(in WireText name, in WireText address)
    {
        Span<byte> text = stackalloc byte[2 * WireLimits.TextMaxBytes + 4];
        int length = 0;
        Append(text, ref length, name.IsEmpty ? "unnamed client"u8 : name.Utf8);
        Append(text, ref length, " at "u8);
        Append(text, ref length, address.Utf8);
        return new WireText(text[..length]);
    }

    private static void Append(Span<byte> text, ref int length, ReadOnlySpan<byte> piece)
    {
        ReadOnlySpan<byte> fitting = piece[..int.Min(piece.Length, text.Length - length)];
        fitting.CopyTo(text[length..]);
        length += fitting.Length;
    }

    private static ReadOnlySpan<byte> Reason(RefusalCode code) => code switch
    {
        RefusalCode.Protocol => "a frame was malformed or out of order, both ends must speak DST/1"u8,
        RefusalCode.Version => "no protocol version in common, update the older end"u8,
        RefusalCode.Feature => "a feature or checksum kind that one end requires is unknown to the other"u8,
        RefusalCode.UnknownExport => "no such export for this client, see dstctl list on the server"u8,
        RefusalCode.Held => "another device holds it, use --take-over or dstctl release-export"u8,
        RefusalCode.Fenced => "this device was replaced and must not write any more"u8,
        RefusalCode.EpochOver => "the session is over, attach anew"u8,
        RefusalCode.Identity => "it is another export than the device remembers"u8,
        RefusalCode.Size => "it is smaller than the device remembers"u8,
        RefusalCode.ReadOnlyExport => "it is read-only, make the device with --read-only"u8,
        RefusalCode.NoCredits => "no memory for one more client, raise --memory of the server"u8,
        RefusalCode.TooMany => "too many connections"u8,
        RefusalCode.Timeout => "the handshake took too long, or nothing came"u8,
        RefusalCode.Token => "this connection may not join the session"u8,
        RefusalCode.Checksum => "data was damaged on its way"u8,
        RefusalCode.ShuttingDown => "the server is going away"u8,
        RefusalCode.Unstable => "the server cannot write its state, see its log"u8,
        RefusalCode.Busy => "another attach is under way"u8,
        RefusalCode.Released => "an operator ended the hold"u8,
        RefusalCode.ExportGone => "it was removed or cannot be opened"u8,
        _ => "closed"u8,
    };
}
