using System.Net;
using System.Net.Sockets;

namespace Dst.Net.Tests.Client;

/// <summary>Which way bytes go through a proxy.</summary>
public enum Way
{
    ToServer,
    ToClient,
}

/// <summary>What a proxy does at a byte.</summary>
internal enum ProxyAct
{
    /// <summary>Keeps what comes from then on, until told to let go.</summary>
    Hold,

    /// <summary>Closes both sides in order.</summary>
    Cut,

    /// <summary>Resets the client's side.</summary>
    Reset,

    /// <summary>Sends the end of the stream this way only, then passes nothing more.</summary>
    HalfClose,
}

/// <summary>At which byte of a way a proxied connection does what.</summary>
internal sealed record ProxyRule(Way Way, long AtByte, ProxyAct Act);

/// <summary>
/// A TCP port that leads to a server; each connection follows the rule that was next when it was accepted.
/// </summary>
internal sealed class HoldProxy : IDisposable
{
    private readonly EndPoint _server;
    private readonly Socket _listener;
    private readonly Queue<ProxyRule?> _rules = new();
    private readonly List<Pipe> _pipes = [];
    private readonly Lock _gate = new();
    private int _accepted;
    private int _acted;
    private bool _refuses;

    public HoldProxy(EndPoint server)
    {
        _server = server;
        _listener = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        _listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        _listener.Listen(64);
        new Thread(Accept) { IsBackground = true, Name = "proxy" }.Start();
    }

    public int Port => ((IPEndPoint)_listener.LocalEndPoint!).Port;

    /// <summary>Connections that came so far.</summary>
    public int Accepted => Volatile.Read(ref _accepted);

    /// <summary>Rules that were carried out.</summary>
    public int Acted => Volatile.Read(ref _acted);

    /// <summary>Closes new connections at once.</summary>
    public bool Refuses
    {
        get => Volatile.Read(ref _refuses);
        set => Volatile.Write(ref _refuses, value);
    }

    /// <summary>The rule of the next connection that has none yet; null passes everything.</summary>
    public void Next(ProxyRule? rule)
    {
        lock (_gate)
        {
            _rules.Enqueue(rule);
        }
    }

    /// <summary>Cuts every connection that stands.</summary>
    public void CutAll()
    {
        foreach (Pipe pipe in Pipes())
        {
            pipe.Close();
        }
    }

    /// <summary>Passes on what is held, and all that comes after it.</summary>
    public void LetGo()
    {
        foreach (Pipe pipe in Pipes())
        {
            pipe.Held.Set();
        }
    }

    public void Dispose()
    {
        _listener.Dispose();
        LetGo();
        CutAll();
    }

    private Pipe[] Pipes()
    {
        lock (_gate)
        {
            return [.. _pipes];
        }
    }

    private void Accept()
    {
        try
        {
            while (true)
            {
                Begin(_listener.Accept());
            }
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // The proxy is being closed.
        }
    }

    private void Begin(Socket client)
    {
        Interlocked.Increment(ref _accepted);
        bool unix = _server is UnixDomainSocketEndPoint;
        Socket server = new(
            _server.AddressFamily, SocketType.Stream, unix ? ProtocolType.Unspecified : ProtocolType.Tcp);
        try
        {
            if (Refuses)
            {
                throw new SocketException();
            }

            server.Connect(_server);
            client.NoDelay = true;
        }
        catch (SocketException)
        {
            client.Dispose();
            server.Dispose();
            return;
        }

        lock (_gate)
        {
            Pipe pipe = new(this, client, server, _rules.TryDequeue(out ProxyRule? rule) ? rule : null);
            _pipes.Add(pipe);
            pipe.Start();
        }
    }

    private sealed class Pipe(HoldProxy proxy, Socket client, Socket server, ProxyRule? rule)
    {
        public ManualResetEventSlim Held { get; } = new();

        public void Start()
        {
            new Thread(() => Pass(Way.ToServer, client, server)) { IsBackground = true }.Start();
            new Thread(() => Pass(Way.ToClient, server, client)) { IsBackground = true }.Start();
        }

        public void Close()
        {
            client.Dispose();
            server.Dispose();
        }

        private void Pass(Way way, Socket from, Socket to)
        {
            byte[] buffer = new byte[64 * 1024];
            long passed = 0;
            long at = rule?.Way == way ? rule.AtByte : long.MaxValue;
            try
            {
                for (int got = from.Receive(buffer); got > 0; got = from.Receive(buffer))
                {
                    int before = (int)long.Clamp(at - passed, 0, got);
                    to.SendAll(buffer.AsSpan(0, before));
                    passed += got;
                    if (before < got)
                    {
                        at = long.MaxValue;
                        Interlocked.Increment(ref proxy._acted);
                        if (!Act(to))
                        {
                            return;
                        }

                        to.SendAll(buffer.AsSpan(before, got - before));
                    }
                }

                to.Shutdown(SocketShutdown.Send);
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException)
            {
                Close();
            }
        }

        /// <summary>True when the way goes on.</summary>
        private bool Act(Socket to)
        {
            switch (rule!.Act)
            {
                case ProxyAct.Hold:
                    Held.Wait();
                    return true;
                case ProxyAct.Reset:
                    client.LingerState = new LingerOption(true, 0);
                    Close();
                    return false;
                case ProxyAct.HalfClose:
                    to.Shutdown(SocketShutdown.Send);
                    return false;
                default:
                    Close();
                    return false;
            }
        }
    }
}
