using System.Collections.Concurrent;
using System.Diagnostics;
using System.Security.Cryptography;
using Dst.Core.Sessions.Client;
using Dst.Core.Specs;
using Dst.Core.Wire;
using Dst.IO.Measure;
using Dst.IO.Memory;
using Dst.Net.Client.Lanes;

namespace Dst.Net.Client;

/// <summary>
/// The session thread of a network node: drives the node's machine with what sockets, lanes, timers and operators
/// bring,
/// and carries out what it wants. It may allocate and block on files; requests never wait for it while they flow.
/// </summary>
internal sealed class NodeSession
{
    private const long TicksPerMs = 1_000_000;

    private readonly NetworkNodeSpec _spec;
    private readonly NodeLanes _lanes;
    private readonly ClientNode _machine;
    private readonly NetworkStores _stores;
    private readonly ActivitySignal _signal;
    private readonly Action<string> _log;
    private readonly Connector?[] _connectors;
    private readonly List<LaneRoute>[] _routes;
    private readonly bool[] _lostTold;
    private readonly bool[] _rxTold;
    private readonly bool[] _txTold;
    private readonly ConcurrentQueue<ConnectResult> _connects = new();
    private readonly ConcurrentQueue<Action> _commands = new();
    private readonly ManualResetEventSlim _settled = new();
    private readonly Thread _thread;
    private NetworkNodeStatus _status;
    private string _localError = "";
    private string _loggedText = "";
    private AttachOkMessage _export;
    private int _hasExport;
    private int _ended;
    private int _firstAddress;
    private long _nowMs;
    private bool _wasLost;
    private Action _onLossAccepted = static () => { };

    /// <summary>A session that has not begun.</summary>
    /// <param name="spec">Where the export is.</param>
    /// <param name="lanes">Lanes and connections.</param>
    /// <param name="machine">The machine; this thread's from now on.</param>
    /// <param name="stores">What must outlive it.</param>
    /// <param name="signal">Wakes this thread.</param>
    /// <param name="log">Takes lines for people; the session thread calls it.</param>
    public NodeSession(
        NetworkNodeSpec spec,
        NodeLanes lanes,
        ClientNode machine,
        NetworkStores stores,
        ActivitySignal signal,
        Action<string> log)
    {
        _spec = spec;
        _lanes = lanes;
        _machine = machine;
        _stores = stores;
        _signal = signal;
        _log = log;
        int connections = lanes.Connections.Length;
        _connectors = new Connector?[connections];
        _routes = [.. Enumerable.Range(0, connections).Select(_ => new List<LaneRoute>())];
        _lostTold = new bool[connections];
        _rxTold = new bool[connections];
        _txTold = new bool[connections];
        _status = MakeStatus();
        _wasLost = machine.LostUnflushedWrites;
        _thread = new Thread(Run) { Name = $"dst-session-{spec.Export}", IsBackground = true };
    }

    /// <summary>As of the last look of the session thread. Any thread.</summary>
    public NetworkNodeStatus Status => Volatile.Read(ref _status);

    /// <summary>True once the machine is closed and every thread of it has ended. Any thread.</summary>
    public bool HasEnded => Volatile.Read(ref _ended) != 0;

    /// <summary>The server has made durable that nobody holds. After the end.</summary>
    public bool HoldGivenBack => HasEnded && _machine.HoldGivenBack;

    /// <summary>The server may have the device as the holder. After the end, or after a wait for it in vain.</summary>
    public bool MayHold => _machine.MayHold;

    /// <summary>What the first ATTACH_OK offered. Any thread.</summary>
    /// <param name="export">The offer.</param>
    /// <returns>False before it came.</returns>
    public bool TryGetExport(out AttachOkMessage export)
    {
        bool has = Volatile.Read(ref _hasExport) != 0;
        export = has ? _export : default;
        return has;
    }

    /// <summary>
    /// Called when an operator's acceptance of a loss takes effect: the log is empty, and no FLUSH has said ok since;
    /// none will before it returns (S-23). On the session thread; may wait. Set by any thread.
    /// </summary>
    public Action OnLossAccepted
    {
        set => Volatile.Write(ref _onLossAccepted, value);
    }

    /// <summary>Begins.</summary>
    public void Start() => _thread.Start();

    /// <summary>Waits for the first attach, or until the node has failed for good. Control threads.</summary>
    /// <param name="timeoutMs">-1 for no limit.</param>
    /// <param name="cancellation">Ends the wait.</param>
    /// <returns>True when attached.</returns>
    public bool WaitSettled(int timeoutMs, CancellationToken cancellation) =>
        _settled.Wait(timeoutMs, cancellation) && Volatile.Read(ref _hasExport) != 0;

    /// <summary>Has the session thread do something with the machine. Any thread.</summary>
    /// <param name="command">Gets the machine and the time.</param>
    public void Command(Action<ClientNode, long> command)
    {
        _commands.Enqueue(() => command(_machine, _nowMs));
        _signal.Signal();
    }

    /// <summary>Waits for the end after a command that closes.</summary>
    /// <param name="timeoutMs">Milliseconds.</param>
    public bool Join(int timeoutMs) => !_thread.IsAlive || _thread.Join(timeoutMs);

    private static long Now => Stopwatch.GetTimestamp() / TicksPerMs;

    private void Run()
    {
        try
        {
            Serve();
        }
        catch (Exception e)
        {
            // Requests of every queue would wait for ever for what this thread owes them (S-13): end now, loudly.
            Environment.FailFast($"node {_spec}: the session thread died: {e.Message}", e);
        }
    }

    private void Serve()
    {
        _nowMs = Now;
        _machine.Start(_nowMs);
        CarryOut();
        while (_machine.Phase != ClientNodePhase.Closed)
        {
            _signal.Wait(ClientNetLimits.TickMs);
            Look();
        }

        foreach (NodeConnection connection in _lanes.Connections)
        {
            connection.Release();
        }

        Publish();
        Volatile.Write(ref _ended, 1);
        _settled.Set();
    }

    private void Look()
    {
        _nowMs = Now;
        while (_commands.TryDequeue(out Action? command))
        {
            command();
            CarryOut();
        }

        while (_connects.TryDequeue(out ConnectResult result))
        {
            TakeConnect(in result);
            CarryOut();
        }

        for (int i = 0; i < _lanes.Connections.Length; i++)
        {
            TakeConnection(i);
        }

        TakeNews();
        _machine.Tick(_nowMs);
        CarryOut();
        Publish();
    }

    private void TakeNews()
    {
        for (int lane = 0; lane < _lanes.Borders.Length; lane++)
        {
            while (_lanes.Borders[lane].News.TryTake(out LaneNews news))
            {
                _machine.OnLane(lane, in news, _nowMs);
                CarryOut();
            }
        }
    }

    private void TakeConnect(in ConnectResult result)
    {
        int index = result.Connection;
        bool cancelled = _connectors[index]!.IsCancelled;
        _connectors[index] = null;
        if (result.Socket is null || cancelled)
        {
            result.Socket?.Dispose();
            _localError = result.Error;
            _firstAddress = (_firstAddress + 1) & ushort.MaxValue;
            _machine.OnConnectFailed(index, _nowMs);
            return;
        }

        _lostTold[index] = _rxTold[index] = _txTold[index] = false;
        _routes[index].Clear();
        _lanes.Connections[index].Open(result.Socket, result.Peer);
        _machine.OnConnected(index, RandomId(), _nowMs);
    }

    private void TakeConnection(int index)
    {
        NodeConnection connection = _lanes.Connections[index];
        if (!connection.IsOpen)
        {
            return;
        }

        // Ends first, then frames: a frame that RX left before it ended is then taken before the end is told.
        bool rxEnded = connection.RxEnded;
        bool txEnded = connection.TxEnded;
        EpochEnd lost = connection.LostReason;
        _machine.OnTraffic(index, connection.Receiver.ReceivedBytes, connection.Sender.SentBytes, _nowMs);
        while (connection.Inbox.TryTake(out int cell))
        {
            _machine.OnFrame(index, in connection.Inbox.HeaderOf(cell), connection.Inbox.BodyOf(cell), _nowMs);
            connection.Inbox.Give(cell);
            CarryOut();
        }

        if (lost != EpochEnd.None && !_lostTold[index])
        {
            _lostTold[index] = true;
            _machine.OnLost(index, lost, _nowMs);
            CarryOut();
        }

        if (rxEnded && !_rxTold[index])
        {
            _rxTold[index] = true;
            _machine.OnRxEnded(index, _nowMs);
            CarryOut();
        }

        if (txEnded && !_txTold[index])
        {
            _txTold[index] = true;
            _machine.OnTxEnded(index, _nowMs);
            CarryOut();
        }
    }

    /// <summary>Carries out all effects; some of them lead to further ones.</summary>
    private void CarryOut()
    {
        for (int i = 0; i < _machine.Effects.Count; i++)
        {
            // Before the orders that open the lanes are carried out.
            TellLossAccepted();
            NodeEffect effect = _machine.Effects[i];
            CarryOut(in effect);
        }

        _machine.Effects.Clear();
        TellLossAccepted();
    }

    private void TellLossAccepted()
    {
        bool isAccepted = _wasLost && !_machine.LostUnflushedWrites;
        _wasLost = _machine.LostUnflushedWrites;
        if (isAccepted)
        {
            Volatile.Read(ref _onLossAccepted)();
            _nowMs = Now;
        }
    }

    private void CarryOut(in NodeEffect effect)
    {
        NodeConnection connection = _lanes.Connections[effect.Connection];
        switch (effect.Kind)
        {
            case NodeEffectKind.Connect:
                _connectors[effect.Connection] = new Connector(
                    _spec, effect.Connection, _firstAddress, OnConnectDone);
                _connectors[effect.Connection]!.Start();
                break;
            case NodeEffectKind.SendFrame:
                if (connection.IsOpen && !connection.Sender.TrySend(_machine.FrameOf(in effect)))
                {
                    _machine.OnLost(effect.Connection, EpochEnd.ConnectionLost, _nowMs);
                }

                break;
            case NodeEffectKind.Serve:
                connection.Receiver.Serve(effect.Epoch, effect.Checksum);
                break;
            case NodeEffectKind.Shut:
                _connectors[effect.Connection]?.Cancel();
                connection.Shut();
                break;
            case NodeEffectKind.Free:
                connection.Release();
                break;
            case NodeEffectKind.Order:
                GiveOrder(effect.Lane, in effect.Order);
                break;
            case NodeEffectKind.NoteEpoch:
                ulong epoch = effect.Epoch;
                _machine.OnEpochNoted(TryNote(() => _stores.Epochs.Persist(epoch)), _nowMs);
                break;
            default:
                ServerNote note = effect.Note;
                _machine.OnServerNoted(TryNote(() => _stores.Notes.Write(in note)), _nowMs);
                break;
        }
    }

    private void OnConnectDone(ConnectResult result)
    {
        _connects.Enqueue(result);
        _signal.Signal();
    }

    private void GiveOrder(int lane, in LaneOrder order)
    {
        if (order.Kind == LaneOrderKind.Settle && !PrepareLane(lane, in order.Session))
        {
            _machine.OnLost(0, EpochEnd.NotDurable, _nowMs);
        }

        if (_lanes.Desks[lane].Give(in order, out LaneNews news))
        {
            _machine.OnLane(lane, in news, _nowMs);
        }
    }

    /// <summary>Makes RX and TX know the lane before it sends.</summary>
    private bool PrepareLane(int lane, in LaneSession session)
    {
        LaneShare share = session.Share;
        List<LaneRoute> routes = _routes[share.Connection];
        routes.Add(new LaneRoute(_lanes.Borders[lane], share.FirstSlot, share.Slots));
        NodeConnection connection = _lanes.Connections[share.Connection];
        connection.Receiver.Route([.. routes]);
        connection.Sender.Serve([.. routes.Select(route => route.Border)]);
        if (!session.WriteBack)
        {
            return true;
        }

        try
        {
            _lanes.AllocateLogs();
            return true;
        }
        catch (NativeMemoryException e)
        {
            _localError = e.Message;
            return false;
        }
    }

    private bool TryNote(Action note)
    {
        try
        {
            note();
            _nowMs = Now;
            return true;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            _localError = e.Message;
            _nowMs = Now;
            return false;
        }
    }

    private static UInt128 RandomId()
    {
        Span<byte> bytes = stackalloc byte[16];
        RandomNumberGenerator.Fill(bytes);
        return System.Buffers.Binary.BinaryPrimitives.ReadUInt128BigEndian(bytes);
    }

    private void Publish()
    {
        ClientNodePhase phase = _machine.Phase;
        if (phase is >= ClientNodePhase.Settling and <= ClientNodePhase.Live && _hasExport == 0)
        {
            _export = _machine.Export;
            Volatile.Write(ref _hasExport, 1);
        }

        NetworkNodeStatus status = MakeStatus();
        if (status != _status)
        {
            Volatile.Write(ref _status, status);
        }

        if (_hasExport != 0 || phase is ClientNodePhase.Failed or ClientNodePhase.Closed)
        {
            _settled.Set();
        }

        string text = status.LastError.Length > 0 && phase != ClientNodePhase.Live
            ? $"{status.State}: {status.LastError}"
            : status.State;
        if (phase is ClientNodePhase.Live or ClientNodePhase.Pausing or ClientNodePhase.Failed && text != _loggedText)
        {
            _loggedText = text;
            _log($"node {_spec}: {text}");
        }
    }

    private NetworkNodeStatus MakeStatus()
    {
        int requests = 0;
        int inFlight = 0;
        long resends = 0;
        long replayed = 0;
        long budgetEnds = 0;
        long badReplies = 0;
        foreach (LaneBorder border in _lanes.Borders)
        {
            if (border.Machine is { } lane)
            {
                requests += lane.LegCount;
                inFlight += lane.InFlightCount;
                resends += lane.ResendCount;
                replayed += lane.ReplayedBytes;
                budgetEnds += lane.BudgetEndCount;
                badReplies += lane.BadDataCount;
            }
        }

        return new NetworkNodeStatus(
            NodeTexts.StateOf(_machine),
            _machine.Phase,
            _machine.Epoch,
            _lanes.Connections[0].IsOpen ? _lanes.Connections[0].Peer : "",
            _machine.RoundTripMs,
            requests,
            inFlight,
            resends,
            _machine.ReconnectCount,
            replayed,
            budgetEnds,
            badReplies,
            NodeTexts.ErrorOf(_machine, _localError),
            _machine.Phase == ClientNodePhase.Pausing ? long.Max(0, _machine.NextTryMs - _nowMs) : -1,
            _machine.LostUnflushedWrites);
    }
}
