using Dst.Core.Requests;
using Dst.Core.Wire;

namespace Dst.Core.Sessions.Client;

/// <summary>
/// One network node's session: connects, attaches, lets lanes recover, resend and serve, ends epochs and begins anew.
/// Owned by the node's session thread; talks to lanes by orders and news, to sockets and files by effects and events.
/// Allocates nothing after construction.
/// </summary>
/// <remarks>
/// The order of an epoch: connect, HELLO, ATTACH (drain), note the epoch durably, BEGIN, JOIN the others (S-03, S-08);
/// settle all lanes with the completed table; replay and flush if the server changed, or flush for a predecessor (S-22,
/// S-23); note the server; resend on all lanes; open all lanes (S-12). Whatever goes wrong ends the epoch by one road:
/// shut all connections, wait until RX, TX and lanes have let go, pause, begin anew (S-11, S-13, S-20).
/// </remarks>
public sealed partial class ClientNode
{
    private readonly ClientNodeOptions _options;
    private readonly ClientNodeShared _shared;
    private readonly ConnectionState[] _connections;
    private readonly byte[] _frames;
    private readonly int _frameCount;
    private readonly RetryPause _pause;
    private int _granted;
    private AfterEnd _afterEnd;
    private bool _lanesUp;
    private bool _letGo;
    private int _pendingLanes;
    private bool _notingEpoch;
    private bool _notingServer;
    private bool _closing;
    private long _liveSinceMs;
    private long _leaveUntilMs;

    /// <summary>A node that is idle.</summary>
    /// <param name="options">Who attaches to what.</param>
    /// <param name="shared">What it shares with its lanes.</param>
    public ClientNode(ClientNodeOptions options, ClientNodeShared shared)
    {
        Must.Be(options.Credits.IsValid, $"wanted credits {options.Credits}");
        Must.Be(
            options.Credits.Connections <= shared.Connections && options.Credits.Requests <= shared.SlotsPerConnection,
            $"wanted {options.Credits}, made for {shared.Connections} connections of {shared.SlotsPerConnection}");
        Must.Be(options.Incarnation != 0 && options.Device.Uuid != UInt128.Zero, "device or incarnation is missing");
        _options = options;
        _shared = shared;
        _connections = new ConnectionState[shared.Connections];
        _frameCount = (4 * shared.Connections) + 8;
        _frames = new byte[_frameCount * WireLimits.ControlFrameMaxBytes];
        _pause = new RetryPause(options.JitterSeed, options.PauseMaxMs);
        _known = options.Known;
        _replaces = options.LastEpoch;
        LastEpoch = options.LastEpoch;
        _holds = options.LastEpoch != 0;
        _noted = options.Note;
        _takeOver = options.TakeOver;
        LostUnflushedWrites = options.Note.Lost;

        // One call shuts, frees or sends on every connection and orders every lane at most a few times.
        Effects = new EffectList<NodeEffect>((8 * shared.Lanes) + (8 * shared.Connections) + 64);
    }

    private enum AfterEnd : byte
    {
        TryAgain,
        TryAgainSlowly,
        Fail,
        Close,
    }

    private enum ConnectionPhase : byte
    {
        Down,
        Connecting,
        Greeting,
        Attaching,
        Joining,
        Ready,
    }

    /// <summary>What is to be done; the driver drains it after every call.</summary>
    public EffectList<NodeEffect> Effects { get; }

    /// <summary>Where the machine is.</summary>
    public ClientNodePhase Phase { get; private set; }

    /// <summary>The same for people.</summary>
    public ClientNodeState State => Phase switch
    {
        ClientNodePhase.Failed => ClientNodeState.Failed,
        ClientNodePhase.Closed => ClientNodeState.Closed,
        _ when IsSuspended => ClientNodeState.Suspended,
        ClientNodePhase.Idle or ClientNodePhase.Connecting or ClientNodePhase.Greeting => ClientNodeState.Connecting,
        ClientNodePhase.Attaching or ClientNodePhase.NotingEpoch or ClientNodePhase.Joining =>
            ClientNodeState.Attaching,
        ClientNodePhase.Draining => ClientNodeState.WaitingForDrain,
        ClientNodePhase.Live or ClientNodePhase.Leaving =>
            LostUnflushedWrites ? ClientNodeState.LostUnflushedWrites : ClientNodeState.Live,
        ClientNodePhase.Ending or ClientNodePhase.Pausing =>
            LastEnd is EpochEnd.Refused or EpochEnd.Unsuitable ? ClientNodeState.Refused : ClientNodeState.NextTry,
        _ => ClientNodeState.Replaying,
    };

    /// <summary>Why the last epoch or attempt ended.</summary>
    public EpochEnd LastEnd { get; private set; }

    /// <summary>Code of the last refusal.</summary>
    public RefusalCode LastRefusal { get; private set; }

    /// <summary>Text of the last refusal, and who holds the export.</summary>
    public ErrorMessage LastError { get; private set; }

    /// <summary>Why this side could not use the last grant.</summary>
    public ExportFault LastFault { get; private set; }

    /// <summary>Time of the next attempt while <see cref="ClientNodePhase.Pausing"/>.</summary>
    public long NextTryMs { get; private set; }

    /// <summary>The session's epoch; 0 without one.</summary>
    public ulong Epoch { get; private set; }

    /// <summary>The epoch that was noted durably last (S-03).</summary>
    public ulong LastEpoch { get; private set; }

    /// <summary>What the last ATTACH_OK granted; valid once <see cref="HasAttached"/>.</summary>
    public AttachOkMessage Export { get; private set; }

    /// <summary>True once an ATTACH_OK was good.</summary>
    public bool HasAttached { get; private set; }

    /// <summary>An operator holds requests back.</summary>
    public bool IsSuspended { get; private set; }

    /// <summary>FLUSH and FUA fail until an operator clears the error (S-23).</summary>
    public bool LostUnflushedWrites { get; private set; }

    /// <summary>The hold was given back by GOODBYE, durably on the server.</summary>
    public bool HoldGivenBack { get; private set; }

    /// <summary>
    /// The server may have this device as the one that holds the export; false before it was asked, once the hold was
    /// given back, and when another has it (S-04).
    /// </summary>
    public bool MayHold => !IsReadOnly && !HoldGivenBack && (_holds || _isAsked);

    /// <summary>Requests that the server's disk still has, of the last ATTACH_WAIT (S-05).</summary>
    public AttachWaitMessage DrainWait { get; private set; }

    /// <summary>Sessions that went live after the first.</summary>
    public long ReconnectCount { get; private set; }

    /// <summary>Last round trip of a ping in milliseconds; -1 before the first.</summary>
    public long RoundTripMs { get; private set; } = -1;

    /// <summary>The bytes of a SendFrame effect; valid until the list is cleared.</summary>
    /// <param name="effect">The effect.</param>
    public ReadOnlySpan<byte> FrameOf(in NodeEffect effect) =>
        _frames.AsSpan(effect.Frame * WireLimits.ControlFrameMaxBytes, effect.LengthBytes);

    /// <summary>Begins. Once.</summary>
    /// <param name="nowMs">Now.</param>
    public void Start(long nowMs)
    {
        Must.Be(Phase == ClientNodePhase.Idle, $"node started while {Phase}");
        BeginAttempt(nowMs);
    }

    /// <summary>A connection stands, its RX and TX run.</summary>
    /// <param name="connection">As in the effect.</param>
    /// <param name="nonce">16 random bytes.</param>
    /// <param name="nowMs">Now.</param>
    public void OnConnected(int connection, UInt128 nonce, long nowMs)
    {
        ref ConnectionState state = ref ConnectionAt(connection);
        Must.Be(state.Phase == ConnectionPhase.Connecting, $"connection {connection} made while {state.Phase}");
        state.Phase = ConnectionPhase.Greeting;
        state.RxRuns = state.TxRuns = true;
        state.LastReceivedMs = state.LastSentMs = nowMs;
        state.DeadlineMs = nowMs + WireLimits.HandshakeMs;
        if (!state.IsShut)
        {
            if (connection == 0)
            {
                Phase = ClientNodePhase.Greeting;
            }

            SendHello(connection, nonce, nowMs);
        }
    }

    /// <summary>A connection could not be made, or was shut before it stood.</summary>
    /// <param name="connection">As in the effect.</param>
    /// <param name="nowMs">Now.</param>
    public void OnConnectFailed(int connection, long nowMs)
    {
        ref ConnectionState state = ref ConnectionAt(connection);
        Must.Be(state.Phase == ConnectionPhase.Connecting, $"connection {connection} failed while {state.Phase}");
        state.Phase = ConnectionPhase.Down;
        if (Phase == ClientNodePhase.Ending)
        {
            AdvanceEnd(nowMs);
        }
        else
        {
            End(EpochEnd.ConnectFailed, AfterEnd.TryAgain, nowMs);
        }
    }

    /// <summary>
    /// RX or TX met an error, the end of the stream, a reply that may not be, or a send without progress.
    /// </summary>
    /// <param name="connection">Its number.</param>
    /// <param name="reason">Why.</param>
    /// <param name="nowMs">Now.</param>
    public void OnLost(int connection, EpochEnd reason, long nowMs)
    {
        bool isUp = ConnectionAt(connection).Phase != ConnectionPhase.Down && !IsLossBorne(connection);
        if (isUp && Phase != ClientNodePhase.Ending && !IsLeavingBeside(connection))
        {
            // The loss of any one ends the epoch for all (S-08).
            End(reason, _closing ? AfterEnd.Close : AfterEnd.TryAgain, nowMs);
        }
    }

    /// <summary>RX has ended: it holds no slot and touches no buffer (S-13).</summary>
    /// <param name="connection">Its number.</param>
    /// <param name="nowMs">Now.</param>
    public void OnRxEnded(int connection, long nowMs)
    {
        ref ConnectionState state = ref ConnectionAt(connection);
        Must.Be(state.RxRuns, $"RX of connection {connection} ended twice");
        state.RxRuns = false;
        OnThreadEnded(connection, nowMs);
    }

    /// <summary>TX has ended: it holds no bytes of any buffer (S-13).</summary>
    /// <param name="connection">Its number.</param>
    /// <param name="nowMs">Now.</param>
    public void OnTxEnded(int connection, long nowMs)
    {
        ref ConnectionState state = ref ConnectionAt(connection);
        Must.Be(state.TxRuns, $"TX of connection {connection} ended twice");
        state.TxRuns = false;
        OnThreadEnded(connection, nowMs);
    }

    /// <summary>Bytes that went over a connection so far; before each <see cref="Tick"/> (S-30).</summary>
    /// <param name="connection">Its number.</param>
    /// <param name="receivedBytes">Grows.</param>
    /// <param name="sentBytes">Grows.</param>
    /// <param name="nowMs">Now.</param>
    public void OnTraffic(int connection, long receivedBytes, long sentBytes, long nowMs)
    {
        ref ConnectionState state = ref ConnectionAt(connection);
        state.LastReceivedMs = receivedBytes != state.ReceivedBytes ? nowMs : state.LastReceivedMs;
        state.LastSentMs = sentBytes != state.SentBytes ? nowMs : state.LastSentMs;
        state.ReceivedBytes = receivedBytes;
        state.SentBytes = sentBytes;
    }

    /// <summary>Looks at all timers; at least each 100 ms.</summary>
    /// <param name="nowMs">Milliseconds of a monotonic clock.</param>
    public void Tick(long nowMs)
    {
        switch (Phase)
        {
            case ClientNodePhase.Pausing when nowMs >= NextTryMs:
                BeginAttempt(nowMs);
                return;
            case ClientNodePhase.Leaving when nowMs >= _leaveUntilMs:
                End(EpochEnd.HandshakeTimeout, AfterEnd.Close, nowMs);
                return;
            case ClientNodePhase.Live when nowMs - _liveSinceMs >= ClientLimits.HealthyMs:
                _pause.Reset();
                break;
            default:
                break;
        }

        for (int i = 0; i < _connections.Length && Phase != ClientNodePhase.Ending; i++)
        {
            TickConnection(i, nowMs);
        }
    }

    private void TickConnection(int connection, long nowMs)
    {
        ref ConnectionState state = ref _connections[connection];
        if (state.Phase == ConnectionPhase.Down)
        {
            return;
        }

        if (nowMs >= state.DeadlineMs && AwaitsStep(connection))
        {
            End(EpochEnd.HandshakeTimeout, AfterEnd.TryAgain, nowMs);
            return;
        }

        bool silent = nowMs - state.LastReceivedMs >= WireLimits.SilenceMs
            && !Mutations.Has(Mutation.SilenceIgnored) && !IsLossBorne(connection);
        if (state.Phase != ConnectionPhase.Connecting && silent)
        {
            End(EpochEnd.Silence, _closing ? AfterEnd.Close : AfterEnd.TryAgain, nowMs);
            return;
        }

        if (state.Phase > ConnectionPhase.Greeting && nowMs - state.LastSentMs >= WireLimits.PingEveryMs)
        {
            state.PingNumber++;
            state.PingSentMs = nowMs;
            SendPlain(connection, FrameKind.Ping, 0, state.PingNumber, nowMs);
        }
    }

    /// <summary>True while a step of the handshake is awaited; the server's drain is none (S-05, S-32).</summary>
    private bool AwaitsStep(int connection) => _connections[connection].Phase switch
    {
        ConnectionPhase.Ready => connection == 0 && Phase == ClientNodePhase.Joining && !_begun,
        ConnectionPhase.Attaching =>
            Phase != ClientNodePhase.Draining || Mutations.Has(Mutation.DrainHasDeadline),
        _ => true,
    };

    private void OnThreadEnded(int connection, long nowMs)
    {
        if (Phase == ClientNodePhase.Ending)
        {
            AdvanceEnd(nowMs);
        }
        else if (!IsLeavingBeside(connection) && !IsLossBorne(connection))
        {
            End(EpochEnd.ConnectionLost, _closing ? AfterEnd.Close : AfterEnd.TryAgain, nowMs);
        }
    }

    /// <summary>
    /// After a goodbye the server closes all connections, in any order; its answer comes on the first.
    /// </summary>
    private bool IsLeavingBeside(int connection) => Phase == ClientNodePhase.Leaving && connection != 0;

    /// <summary>Of a broken variant only.</summary>
    private static bool IsLossBorne(int connection) => connection != 0 && Mutations.Has(Mutation.OneLossBorne);

    private void BeginAttempt(long nowMs)
    {
        Phase = ClientNodePhase.Connecting;
        Epoch = 0;
        _begun = false;
        _granted = 1;
        Connect(0, nowMs);
    }

    private void Connect(int connection, long nowMs)
    {
        ref ConnectionState state = ref _connections[connection];
        Must.Be(state.Phase == ConnectionPhase.Down, $"connection {connection} is made while {state.Phase}");
        state = new ConnectionState
        {
            Phase = ConnectionPhase.Connecting,
            DeadlineMs = nowMs + ClientLimits.ConnectMs,
        };
        Effects.Add(new NodeEffect { Kind = NodeEffectKind.Connect, Connection = connection });
    }

    /// <summary>Ends the attempt or epoch by the one road there is (S-11, S-13).</summary>
    private void End(EpochEnd reason, AfterEnd next, long nowMs)
    {
        if (Phase == ClientNodePhase.Ending)
        {
            _afterEnd = next > _afterEnd ? next : _afterEnd;
            return;
        }

        LastEnd = reason;
        _afterEnd = next;
        _letGo = false;
        bool lanesClose = _lanesUp && Phase != ClientNodePhase.Leaving;
        Phase = ClientNodePhase.Ending;
        for (int i = 0; i < _connections.Length; i++)
        {
            if (_connections[i].Phase != ConnectionPhase.Down)
            {
                _connections[i].IsShut = true;
                Effects.Add(new NodeEffect { Kind = NodeEffectKind.Shut, Connection = i });
            }
        }

        if (!_lanesUp)
        {
            _pendingLanes = 0;
        }
        else if (lanesClose)
        {
            _pendingLanes = _shared.Lanes;
            for (int lane = 0; lane < _shared.Lanes; lane++)
            {
                bool named = _badSequence != 0 && ShareOf(lane, _granted, Export.Credits).Connection == _badConnection;
                OrderOne(lane, new LaneOrder
                {
                    Kind = LaneOrderKind.Close,
                    BadSlot = _badSlot,
                    BadSequence = named ? _badSequence : 0,
                });
            }
        }

        _badSequence = 0;
        AdvanceEnd(nowMs);
    }

    /// <summary>
    /// Goes on once everybody has let go: first RX, TX and the lanes' senders, then the lanes themselves.
    /// </summary>
    private void AdvanceEnd(long nowMs)
    {
        if (_pendingLanes > 0 || _notingEpoch || _notingServer)
        {
            return;
        }

        foreach (ref readonly ConnectionState state in _connections.AsSpan())
        {
            if (state.Phase == ConnectionPhase.Connecting || state.RxRuns || state.TxRuns)
            {
                return;
            }
        }

        if (_lanesUp && !_letGo)
        {
            _letGo = true;
            _pendingLanes = _shared.Lanes;
            OrderAll(new LaneOrder { Kind = LaneOrderKind.LetGo });
            return;
        }

        _lanesUp = false;
        for (int i = 0; i < _connections.Length; i++)
        {
            if (_connections[i].Phase != ConnectionPhase.Down)
            {
                _connections[i] = default;
                Effects.Add(new NodeEffect { Kind = NodeEffectKind.Free, Connection = i });
            }
        }

        GoOnAfterEnd(nowMs);
    }

    private void GoOnAfterEnd(long nowMs)
    {
        switch (_afterEnd)
        {
            case AfterEnd.TryAgain:
                NextTryMs = nowMs + _pause.Next();
                Phase = ClientNodePhase.Pausing;
                break;
            case AfterEnd.TryAgainSlowly:
                NextTryMs = nowMs + int.Min(ClientLimits.SlowRetryMs, _options.PauseMaxMs);
                Phase = ClientNodePhase.Pausing;
                break;
            case AfterEnd.Fail:
                Phase = ClientNodePhase.Failed;
                OrderAll(new LaneOrder
                {
                    Kind = LaneOrderKind.Fail,
                    Status = DstStatus.ReservationConflict,
                    ForEver = true,
                });
                break;
            default:
                Phase = ClientNodePhase.Closed;
                break;
        }
    }

    private void OrderAll(in LaneOrder order)
    {
        for (int lane = 0; lane < _shared.Lanes; lane++)
        {
            OrderOne(lane, in order);
        }
    }

    private void OrderOne(int lane, in LaneOrder order) =>
        Effects.Add(new NodeEffect { Kind = NodeEffectKind.Order, Lane = lane, Order = order });

    private ref ConnectionState ConnectionAt(int connection)
    {
        Must.Be((uint)connection < (uint)_connections.Length, $"connection {connection} of {_connections.Length}");
        return ref _connections[connection];
    }

    private struct ConnectionState
    {
        internal ConnectionPhase Phase;
        internal bool IsShut;
        internal bool RxRuns;
        internal bool TxRuns;
        internal long DeadlineMs;
        internal long ReceivedBytes;
        internal long SentBytes;
        internal long LastReceivedMs;
        internal long LastSentMs;
        internal ulong PingNumber;
        internal long PingSentMs;
    }
}
