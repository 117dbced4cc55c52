using Dst.Core.Wire;

namespace Dst.Core.Sessions;

/// <summary>
/// Who uses an export: attach, drain, hold, take-over, join, begin, goodbye, release, and the connections that only
/// read. One control thread owns it; lanes of live connections belong to engine threads and share only the
/// <see cref="ExportGate"/> and their count. Each method is an event; what is to be done is in <see cref="Effects"/>
/// afterwards and is drained before the next event. Pure; allocates only the lane of a connection that attaches.
/// </summary>
public sealed partial class ExportSession
{
    private const int OwnEffects = 16;
    private const int NoConnection = -1;

    private readonly ExportOptions _options;
    private readonly CreditBudget _budget;
    private readonly CompletedTable[] _tables;
    private readonly Seat[] _seats; // of the writer's session, by number of the connection
    private readonly Seat[] _readers;
    private HoldRecord _record; // what is on disk, as far as is known
    private HoldRecord _pending; // what is being made durable
    private Persist _persist;
    private ulong _raised; // no epoch up to here is given to anybody again

    // The writer's session: live, or ended and draining while a lane is left.
    private bool _live;
    private bool _begin;
    private ulong _epoch;
    private UInt128 _token;
    private CreditGrant _grant;
    private bool _hasGrant;
    private ChecksumKind _checksum;

    // Whose changes the tables know, and with how many slots.
    private DeviceId _tableDevice;
    private ulong _tableIncarnation;
    private CreditGrant _tableGrant;

    private Attempt _attempt = new() { Connection = NoConnection };
    private int _grantFor = NoConnection;
    private bool _leave;
    private int _leaving = NoConnection;
    private bool _release;
    private RefusalCode _stopCode;
    private bool _stopped;

    /// <summary>An export that nobody uses yet.</summary>
    /// <param name="options">What it is.</param>
    /// <param name="record">What is on disk about it; default for a new export (S-03).</param>
    /// <param name="budget">Of the server; shared by its exports (S-31).</param>
    /// <param name="poisoned">A mark says that changes were lost (S-24).</param>
    public ExportSession(ExportOptions options, in HoldRecord record, CreditBudget budget, bool poisoned)
    {
        Must.Be(
            options.Identity != UInt128.Zero && options.Geometry.IsValid,
            $"export {options.Name} with {options.Geometry}");
        Must.Be(
            options.ConnectionsMax is >= 1 and <= WireLimits.ConnectionsMax && options.ReadersMax >= 0,
            $"export {options.Name} with {options.ConnectionsMax} connections, {options.ReadersMax} readers");
        _options = options;
        _budget = budget;
        _record = record;
        _raised = record.Granted;
        Gate = new ExportGate(options.BootId, options.Cache);
        Gate.SetPoison(poisoned);
        Gate.RaiseReaders();
        if (record.MixedWriters)
        {
            Gate.SetMixedWriters();
        }

        _tables = new CompletedTable[options.ConnectionsMax];
        for (int i = 0; i < _tables.Length; i++)
        {
            _tables[i] = new CompletedTable(options.SlotsMax);
        }

        _seats = EmptySeats(options.ConnectionsMax);
        _readers = EmptySeats(options.ReadersMax);
        Effects = new EffectList(options.ConnectionsMax + options.ReadersMax + OwnEffects);
    }

    /// <summary>What the lanes share with this session.</summary>
    public ExportGate Gate { get; }

    /// <summary>What is to be done; taken by the driver after each event.</summary>
    public EffectList Effects { get; }

    /// <summary>What is on disk about the export, as far as is known.</summary>
    public ref readonly HoldRecord Record => ref _record;

    /// <summary>With PersistHold: what is to be made durable.</summary>
    public ref readonly HoldRecord PendingHold => ref _pending;

    /// <summary>Epoch of the running session; 0 without one.</summary>
    public ulong Epoch => _live ? _epoch : 0;

    /// <summary>True while requests of an ended session are with the disk (S-05).</summary>
    public bool IsDraining => !_live && InFlightCount > 0;

    /// <summary>Requests of the writer's connections that the disk has.</summary>
    public int InFlightCount
    {
        get
        {
            int count = 0;
            foreach (ref readonly Seat seat in _seats.AsSpan())
            {
                count += seat.Lane?.InFlightCount ?? 0;
            }

            return count;
        }
    }

    /// <summary>When <see cref="Tick"/> is to be called at the latest, monotonic time.</summary>
    public long NextMs => _attempt.Connection == NoConnection ? long.MaxValue : _attempt.NextWaitMs;

    /// <summary>
    /// ATTACH of a connection whose client may know this export (S-02, S-04, S-07). Answered by Grant or Close,
    /// at once or after the drain.
    /// </summary>
    /// <param name="connection">
    /// Id of the connection, of the driver's choice, not used again while it is known here.
    /// </param>
    /// <param name="message">What it asks for.</param>
    /// <param name="address">Where it comes from, for people.</param>
    /// <param name="token">Random, new for each attach (S-08).</param>
    /// <param name="nowMs">Monotonic time.</param>
    public void Attach(int connection, in AttachMessage message, in WireText address, UInt128 token, long nowMs)
    {
        RefusalCode code = CheckExport(in message);
        if (code == RefusalCode.None && message.Access == AccessKind.ReadOnly)
        {
            code = TryAddReader(connection, in message);
        }
        else if (code == RefusalCode.None)
        {
            code = CheckAttempt(in message);
            if (code == RefusalCode.None)
            {
                BeginAttempt(connection, in message, in address, token, nowMs);
            }
        }

        if (code != RefusalCode.None)
        {
            Effects.Add(new SessionEffect(SessionEffectKind.Close, connection, code));
        }

        Advance(nowMs);
    }

    /// <summary>True while the connection's ATTACH is taken up and not answered yet; one at a time is.</summary>
    /// <param name="connection">Its id.</param>
    public bool IsAttaching(int connection) => _attempt.Connection == connection;

    /// <summary>JOIN (S-08): answered at once by Joined or Close. Fences nothing.</summary>
    /// <param name="connection">Id of the connection.</param>
    /// <param name="epoch">From the header.</param>
    /// <param name="message">What it shows.</param>
    public void Join(int connection, ulong epoch, in JoinMessage message)
    {
        RefusalCode code = RefusalCode.None;
        if (_stopCode != RefusalCode.None)
        {
            code = _stopCode;
        }
        else if (!_live || (epoch != _epoch && !Mutations.Has(Mutation.JoinUnchecked)))
        {
            code = RefusalCode.EpochOver;
        }
        else if ((message.Token != _token && !Mutations.Has(Mutation.JoinUnchecked))
            || message.Connection >= _grant.Connections
            || _seats[message.Connection].Lane is not null)
        {
            code = RefusalCode.Token;
        }

        if (code != RefusalCode.None)
        {
            Effects.Add(new SessionEffect(SessionEffectKind.Close, connection, code));
            return;
        }

        TakeSeat(message.Connection, connection);
        Effects.Add(new SessionEffect(SessionEffectKind.Joined, connection, A: message.Connection));
    }

    /// <summary>
    /// BEGIN: the client has noted its epoch (S-03). Answered by Begun once that is durable here, too.
    /// </summary>
    /// <param name="connection">Its first connection.</param>
    /// <param name="nowMs">Monotonic time.</param>
    public void Begin(int connection, long nowMs)
    {
        if (_live && _seats[0].Connection == connection && !_begin && !Gate.HasBegun(_epoch))
        {
            _begin = true;
            Advance(nowMs);
        }
    }

    /// <summary>
    /// GOODBYE: the client gives the hold back (S-04). Answered by SendGoodbye when nobody holds, durably.
    /// </summary>
    /// <param name="connection">Any of its connections.</param>
    /// <param name="nowMs">Monotonic time.</param>
    public void Goodbye(int connection, long nowMs)
    {
        int reader = Find(_readers, connection);
        if (reader >= 0)
        {
            _readers[reader].Connection = NoConnection;
            Effects.Add(new SessionEffect(SessionEffectKind.Close, connection));
        }
        else if (_live && Find(_seats, connection) is int seat and >= 0)
        {
            _seats[seat].Connection = NoConnection;
            EndSession(RefusalCode.EpochOver);
            _leave = true;
            _leaving = connection;
        }

        Advance(nowMs);
    }

    /// <summary>
    /// A connection is gone, in whatever state. The hold stays (S-04); the session ends for all its connections (S-08).
    /// Unknown ones are ignored.
    /// </summary>
    /// <param name="connection">Its id.</param>
    /// <param name="nowMs">Monotonic time.</param>
    public void ConnectionLost(int connection, long nowMs)
    {
        if (_attempt.Connection == connection)
        {
            _attempt.Connection = NoConnection;
        }

        _leaving = _leaving == connection ? NoConnection : _leaving;
        int reader = Find(_readers, connection);
        if (reader >= 0)
        {
            _readers[reader].Connection = NoConnection;
        }

        if (Find(_seats, connection) is int seat and >= 0)
        {
            _seats[seat].Connection = NoConnection;
            if (_live)
            {
                EndSession(RefusalCode.EpochOver);
                _release |= Mutations.Has(Mutation.HoldDroppedWithConnection);
            }
        }

        Advance(nowMs);
    }

    /// <summary>A lane said that its last request has left the disk (S-05).</summary>
    /// <param name="nowMs">Monotonic time.</param>
    public void LaneDrained(long nowMs) => Advance(nowMs);

    /// <summary>Time passed: a drain that lasts says so (S-05).</summary>
    /// <param name="nowMs">Monotonic time.</param>
    public void Tick(long nowMs)
    {
        Advance(nowMs);
        if (_attempt.Connection != NoConnection && nowMs >= _attempt.NextWaitMs)
        {
            _attempt.NextWaitMs = nowMs + WireLimits.AttachWaitEveryMs;
            Effects.Add(new SessionEffect(
                SessionEffectKind.SendWait, _attempt.Connection, A: InFlightCount, B: nowMs - _attempt.SinceMs));
        }
    }

    /// <summary>The record that PersistHold named is on disk, or could not be written (S-03).</summary>
    /// <param name="durable">False: nothing that depended on it happens.</param>
    /// <param name="nowMs">Monotonic time.</param>
    public void HoldPersisted(bool durable, long nowMs)
    {
        Persist what = _persist;
        Must.Be(what != Persist.None, $"export {_options.Name}: a record is durable that nobody asked for");
        _persist = Persist.None;
        if (durable)
        {
            _record = _pending;
        }

        switch (what)
        {
            case Persist.Grant:
                FinishGrant(durable);
                break;
            case Persist.Begin:
                FinishBegin(durable);
                break;
            default:
                FinishLeave(durable);
                break;
        }

        Advance(nowMs);
    }

    /// <summary>An operator ends the hold (S-04). Answered by Released.</summary>
    /// <param name="nowMs">Monotonic time.</param>
    public void Release(long nowMs)
    {
        if (_stopped || Mutations.Has(Mutation.ReleaseIgnored))
        {
            Effects.Add(new SessionEffect(SessionEffectKind.Released, A: _stopped ? 0 : 1));
            return;
        }

        AbortAttempt(RefusalCode.Released);
        if (_live)
        {
            EndSession(RefusalCode.Released);
        }

        _release = true;
        Advance(nowMs);
    }

    /// <summary>
    /// The export or its server goes away: nobody attaches any more. Answered by Stopped. The hold stays.
    /// </summary>
    /// <param name="code"><see cref="RefusalCode.ShuttingDown"/> or <see cref="RefusalCode.ExportGone"/>.</param>
    /// <param name="nowMs">Monotonic time.</param>
    public void Stop(RefusalCode code, long nowMs)
    {
        Must.Be(RefusalTable.IsKnown(code), $"export {_options.Name} stops with code {(int)code}");
        _stopCode = code;
        AbortAttempt(code);
        if (_live)
        {
            EndSession(code);
        }

        Gate.RaiseReaders();
        foreach (ref Seat seat in _readers.AsSpan())
        {
            CloseSeat(ref seat, code);
        }

        Advance(nowMs);
    }

    /// <summary>A durable mark was set, or was taken away (S-24).</summary>
    /// <param name="poisoned">True while there is one.</param>
    public void SetPoison(bool poisoned) => Gate.SetPoison(poisoned);

    /// <summary>
    /// What lies behind the export may have lost acknowledged changes: the clients replay as after a restart (S-23).
    /// </summary>
    /// <param name="bootId">Drawn now, not 0.</param>
    /// <param name="nowMs">Monotonic time.</param>
    public void ChangeBootId(ulong bootId, long nowMs)
    {
        Must.Be(bootId != 0, "a boot id of 0");
        if (!Mutations.Has(Mutation.BootIdKept))
        {
            Gate.ChangeBootId(bootId);
        }

        // Emptied by the next grant: until the drain, lanes still write the tables.
        _tableIncarnation = 0;
        if (_live)
        {
            EndSession(RefusalCode.EpochOver);
        }

        Advance(nowMs);
    }

    /// <summary>
    /// The lane of a connection that was granted or joined; it belongs to the connection's engine thread then.
    /// </summary>
    /// <param name="connection">Its id.</param>
    public ServerLane? LaneOf(int connection)
    {
        int seat = Find(_seats, connection);
        if (seat >= 0)
        {
            return _seats[seat].Lane;
        }

        int reader = Find(_readers, connection);
        return reader >= 0 ? _readers[reader].Lane : null;
    }

    private RefusalCode CheckExport(in AttachMessage message)
    {
        if (_stopCode != RefusalCode.None)
        {
            return _stopCode;
        }

        bool readOnly = (_options.Geometry.Capabilities & ExportCapabilities.ReadOnly) != ExportCapabilities.None;
        if (readOnly && message.Access != AccessKind.ReadOnly)
        {
            return RefusalCode.ReadOnlyExport;
        }

        if (Mutations.Has(Mutation.IdentityNotCompared))
        {
            return RefusalCode.None;
        }

        if (message.ExpectedIdentity != UInt128.Zero && message.ExpectedIdentity != _options.Identity)
        {
            return RefusalCode.Identity;
        }

        return message.ExpectedSizeBytes > _options.Geometry.SizeBytes ? RefusalCode.Size : RefusalCode.None;
    }

    private RefusalCode CheckAttempt(in AttachMessage message)
    {
        if ((_attempt.Connection != NoConnection && _attempt.Message.Device != message.Device) || _leave || _release)
        {
            return RefusalCode.Busy;
        }

        RefusalCode code = _record.Check(message.Device, message.Replaces, message.TakeOver);
        if (code != RefusalCode.None)
        {
            return code;
        }

        // What the session before this one has comes back before the grant is taken, and readers make room.
        long free = _budget.FreeBytes + (_hasGrant ? (long)_grant.Connections * _grant.PayloadBytes : 0);
        foreach (ref readonly Seat seat in _readers.AsSpan())
        {
            free += seat.Lane is null ? 0 : seat.Grant.PayloadBytes;
        }

        bool fits = free >= _options.Geometry.MaxRequestBytes || Mutations.Has(Mutation.BudgetOverdrawn);
        return fits ? RefusalCode.None : RefusalCode.NoCredits;
    }

    private void BeginAttempt(
        int connection, in AttachMessage message, in WireText address, UInt128 token, long nowMs)
    {
        AbortAttempt(RefusalCode.EpochOver);
        _attempt = new Attempt
        {
            Connection = connection,
            Message = message,
            Address = address,
            Token = token,
            SinceMs = nowMs,
            NextWaitMs = nowMs + WireLimits.AttachWaitEveryMs,
        };
        if (_live)
        {
            EndSession(RefusalCode.EpochOver);
        }
    }

    private void AbortAttempt(RefusalCode code)
    {
        if (_attempt.Connection != NoConnection)
        {
            Effects.Add(new SessionEffect(SessionEffectKind.Close, _attempt.Connection, code));
            _attempt.Connection = NoConnection;
        }
    }

    /// <summary>
    /// Ends the session: first the epoch, then the counts are looked at, by <see cref="Advance"/> (S-05, S-06).
    /// </summary>
    private void EndSession(RefusalCode code)
    {
        if (!Mutations.Has(Mutation.EpochNotRaised))
        {
            Gate.Raise(++_raised);
        }

        _live = false;
        _begin = false;
        _token = UInt128.Zero;
        foreach (ref Seat seat in _seats.AsSpan())
        {
            CloseSeat(ref seat, code);
        }
    }

    private void CloseSeat(ref Seat seat, RefusalCode code)
    {
        if (seat.Connection != NoConnection)
        {
            Effects.Add(new SessionEffect(SessionEffectKind.Close, seat.Connection, code));
            seat.Connection = NoConnection;
        }
    }

    /// <summary>Does the next thing that nothing stands against; one record is made durable at a time.</summary>
    private void Advance(long nowMs)
    {
        ReapReaders();
        if (_persist != Persist.None || _stopped)
        {
            return;
        }

        if (_live)
        {
            if (_begin)
            {
                PersistBegin();
            }

            return;
        }

        if (InFlightCount > 0 && !Mutations.Has(Mutation.NoDrainAtAttach))
        {
            return;
        }

        FreeSeats();
        if (_leave || _release)
        {
            PersistLeave();
        }
        else if (_attempt.Connection != NoConnection)
        {
            PersistGrant(nowMs);
        }
        else if (_stopCode != RefusalCode.None && !AnyReader())
        {
            _stopped = true;
            Effects.Add(new SessionEffect(SessionEffectKind.Stopped));
        }
    }

    private static Seat[] EmptySeats(int count)
    {
        Seat[] seats = new Seat[count];
        Array.Fill(seats, new Seat { Connection = NoConnection });
        return seats;
    }

    private static int Find(Seat[] seats, int connection)
    {
        for (int i = 0; i < seats.Length && connection != NoConnection; i++)
        {
            if (seats[i].Connection == connection)
            {
                return i;
            }
        }

        return -1;
    }

    private enum Persist
    {
        None,
        Grant,
        Begin,
        Leave,
    }

    private struct Seat
    {
        internal int Connection;
        internal ServerLane? Lane;
        internal CreditGrant Grant; // of a reader
    }

    private struct Attempt
    {
        internal int Connection;
        internal AttachMessage Message;
        internal WireText Address;
        internal UInt128 Token;
        internal long SinceMs;
        internal long NextWaitMs;
    }
}
