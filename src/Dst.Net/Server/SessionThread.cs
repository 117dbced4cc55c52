using System.Collections.Concurrent;
using Dst.Core.Sessions;
using Dst.Core.Wire;
using Dst.Interop;
using Dst.IO.Rings;
using Dst.Net.Server.Engine;

namespace Dst.Net.Server;

/// <summary>
/// The one thread that owns the sessions of all exports and every connection that is not live: it accepts, greets,
/// attaches, notes holds and drives the drain. No data of any disk passes here. Other threads reach it by
/// <see cref="Post"/>.
/// </summary>
internal sealed unsafe partial class SessionThread : IRingClient, IDisposable
{
    private const int StackBytes = 512 * 1024;
    private const long TicksPerMs = 1_000_000;

    private readonly ServerHostOptions _options;
    private readonly ServerIdentity _identity;
    private readonly KeeperThread _keeper;
    private readonly ConcurrentQueue<Action> _posts = new();
    private readonly ManualResetEventSlim _ready = new();
    private readonly Thread _thread;
    private readonly Dictionary<int, Peer> _peers = [];
    private readonly Dictionary<string, Export> _exports = new(StringComparer.Ordinal);
    private readonly Dictionary<int, Listener> _listeners = [];
    private readonly HandshakeRoom _room = new();
    private readonly PeerLog _log;
    private RingLoop? _loop;
    private LoopTicker? _ticker;
    private ListenerSet? _listenerSet;
    private byte _client;
    private int _lastId;
    private long _nowTicks;
    private bool _goingAway;
    private string? _failure;

    /// <summary>Starts the thread.</summary>
    /// <exception cref="ServerException">It cannot have its ring.</exception>
    public SessionThread(ServerHostOptions options, ServerIdentity identity, KeeperThread keeper)
    {
        _options = options;
        _identity = identity;
        _keeper = keeper;
        _log = new PeerLog(options.Log);
        _thread = new Thread(Run, StackBytes) { Name = "dst-sessions", IsBackground = true };
        _thread.Start();
        _ready.Wait();
        if (_failure is not null)
        {
            throw new ServerException(_failure);
        }
    }

    /// <summary>What the kernel was asked to do; part of an operation's token.</summary>
    private enum Act
    {
        Accept,
        Receive,
        Send,
        Cancel,
    }

    private long NowMs => _nowTicks / TicksPerMs;

    /// <summary>Runs something on the session thread, soon. Any thread.</summary>
    public void Post(Action action)
    {
        _posts.Enqueue(action);
        _loop!.Wake();
    }

    /// <summary>Runs something on the session thread and waits for its result. Any other thread.</summary>
    public T Ask<T>(Func<T> question)
    {
        TaskCompletionSource<T> answer = new(TaskCreationOptions.RunContinuationsAsynchronously);
        Post(() =>
        {
            try
            {
                answer.SetResult(question());
            }
            catch (ServerException e)
            {
                answer.SetException(e);
            }
        });
        return answer.Task.GetAwaiter().GetResult();
    }

    /// <summary>Wakes the thread so that it takes the engines' reports. Any thread.</summary>
    public void Wake() => _loop!.Wake();

    /// <inheritdoc/>
    public void OnCompletion(ulong token, int result, long nowTicks)
    {
        _nowTicks = nowTicks;
        int id = (int)(token >> 2);
        switch ((Act)(token & 3))
        {
            case Act.Accept:
                OnAccepted(_listeners[id], result);
                break;
            case Act.Receive:
                OnReceived(_peers[id], result);
                break;
            case Act.Send:
                OnSent(_peers[id], result);
                break;
            default:
                break;
        }
    }

    /// <inheritdoc/>
    public void OnWake(long nowTicks)
    {
        _nowTicks = nowTicks;
        foreach (Export export in _exports.Values)
        {
            TakeReports(export);
        }

        while (_posts.TryDequeue(out Action? action))
        {
            action();
        }
    }

    /// <summary>Ends the thread and closes what is left. After every export was removed.</summary>
    public void Dispose()
    {
        Post(() =>
        {
            _listenerSet!.Clear();
            foreach (Peer peer in _peers.Values)
            {
                Libc.Shutdown(peer.Fd, LinuxAbi.SHUT_RDWR);
            }

            _loop!.Stop();
        });
        _thread.Join();
        _loop!.Dispose();
        _ticker!.Dispose();
        foreach (Peer peer in _peers.Values.Where(peer => peer.Live is null))
        {
            _ = Libc.Close(peer.Fd);
        }

        foreach (Listener listener in _listeners.Values)
        {
            listener.Dispose();
        }

        _ready.Dispose();
    }

    private static ulong Token(int id, Act act) => ((ulong)id << 2) | (ulong)act;

    private void Run()
    {
        try
        {
            Ring ring = Ring.Create(
                new RingOptions { SubmissionEntries = 256, CompletionEntries = 8 * ServerLimits.ConnectionsMax });
            _loop = new RingLoop(ring);
            _client = _loop.Add(this);
            _ticker = new LoopTicker(_loop, ServerLimits.TickMs, OnTick);
            _listenerSet = new ListenerSet(
                OnListening, OnListenerDropped, line => _log.Write("listen", line, NowMs));
            _ready.Set();
            _loop.Run();
        }
        catch (RingException e) when (!_ready.IsSet)
        {
            _failure = $"session thread: {e.Message}";
            _ready.Set();
        }
        catch (Exception e)
        {
            // Without sessions nobody can attach, and a drain would never end: the next process does better.
            Environment.FailFast($"session thread died: {e.Message}", e);
        }
    }

    private bool OnTick(long nowTicks)
    {
        _nowTicks = nowTicks;
        foreach (Peer peer in _peers.Values.ToArray())
        {
            Tick(peer);
        }

        foreach (Export export in _exports.Values)
        {
            if (NowMs >= export.Session.NextMs)
            {
                export.Session.Tick(NowMs);
                Drain(export);
            }
        }

        foreach (Listener listener in _listeners.Values)
        {
            ArmAccept(listener);
        }

        return _peers.Count > 0 || _listeners.Values.Any(listener => !listener.Accepting);
    }

    private void TakeReports(Export export)
    {
        foreach (EngineThread engine in export.Engines)
        {
            while (engine.TryTakeReport(out EngineReport report))
            {
                OnReport(export, engine, in report);
            }
        }
    }

    private void OnReport(Export export, EngineThread engine, in EngineReport report)
    {
        var peer = (Peer)report.Connection.Owner!;
        switch (report.Kind)
        {
            case EngineReportKind.Ended:
                LogEnd(peer, report.Code);
                peer.Machine.OnClosed();
                Forget(peer);
                break;
            case EngineReportKind.Drained:
                export.Session.LaneDrained(NowMs);
                Drain(export);
                break;
            case EngineReportKind.Goodbye:
                if (peer.Export is not null)
                {
                    peer.Machine.OnLeaving(NowMs);
                    export.Session.Goodbye(peer.Id, NowMs);
                    Drain(export);
                }

                break;
            case EngineReportKind.ClearPoison:
                ClearPoison(export, engine, report);
                break;
            default:
                engine.Assigned--;
                engine.AssignedBytes -= report.Connection.Lane.Credits.PayloadBytes;
                _peers.Remove(peer.Id);
                export.Session.LaneDrained(NowMs);
                Drain(export);
                break;
        }
    }

    /// <summary>A replayed flush went well, so the mark may go: durably, before the flush is answered (S-24).</summary>
    private void ClearPoison(Export export, EngineThread engine, EngineReport report) => _keeper.Do(() =>
    {
        int error = export.ClearMarks();
        Post(() =>
        {
            export.Session.SetPoison(export.IsPoisoned);
            engine.Tell(new EngineOrder(EngineOrderKind.PoisonCleared, report.Connection)
            {
                Tag = report.Tag,
                Succeeded = error == 0,
            });
        });
    });

    private void LogEnd(Peer peer, RefusalCode code)
    {
        if (code is not (RefusalCode.None or RefusalCode.EpochOver or RefusalCode.ShuttingDown))
        {
            _log.Write(peer.Host, $"{peer.Name}: connection {peer.Id} ended: {code}", NowMs);
        }
    }

    /// <summary>The connection is no longer one of its session (S-08).</summary>
    private void Forget(Peer peer)
    {
        _room.Leave(peer.Id);
        if (peer.Export is { } export)
        {
            peer.Export = null;
            export.Session.ConnectionLost(peer.Id, NowMs);
            Drain(export);
        }
    }
}
