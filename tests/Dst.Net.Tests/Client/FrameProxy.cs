using System.Net;
using System.Net.Sockets;
using Dst.Core.Requests;
using Dst.Core.Wire;

namespace Dst.Net.Tests.Client;

/// <summary>One frame that does not come through whole: after some bytes of it the connection ends.</summary>
/// <param name="Way">Which way it goes.</param>
/// <param name="Kind">What it is.</param>
/// <param name="Operation">Of a request or a reply.</param>
/// <param name="AtByte">How much of it passes; the whole frame at most.</param>
/// <param name="Act">How the connection ends.</param>
internal sealed record FrameCut(Way Way, FrameKind Kind, Operation Operation, int AtByte, ProxyAct Act)
{
    private int _skip;

    /// <summary>Frames of the kind that still pass.</summary>
    public int Skip
    {
        init => _skip = value;
    }

    /// <summary>It has happened.</summary>
    public ManualResetEventSlim Done { get; } = new();

    /// <summary>Length of the frame that was cut.</summary>
    public int FrameBytes { get; set; }

    public bool Fits(Way way, in FrameHeader header) => way == Way
        && header.Kind == Kind
        && (header.Kind is not (FrameKind.Request or FrameKind.Reply) || header.Operation == Operation)
        && Interlocked.Decrement(ref _skip) < 0;
}

/// <summary>
/// A TCP port that leads to a server and passes whole frames, both ways. It cuts one of them at any byte, and says
/// frames of its own in the name of either end.
/// </summary>
internal sealed class FrameProxy : IDisposable
{
    private readonly EndPoint _server;
    private readonly Socket _listener;
    private readonly HashSet<Pipe> _pipes = [];
    private readonly Lock _gate = new();
    private FrameCut? _next;
    private int _holes;
    private bool _swallows;

    public FrameProxy(EndPoint server)
    {
        _server = server;
        _listener = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        _listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        _listener.Listen(64);
        new Thread(Accept) { IsBackground = true, Name = "frame-proxy" }.Start();
    }

    /// <summary>Said before each answer to ATTACH.</summary>
    public byte[]? Wait { get; set; }

    public int Port => ((IPEndPoint)_listener.LocalEndPoint!).Port;

    /// <summary>Connections that stand take bytes from both ends and give them to nobody, for good.</summary>
    public void SwallowFromNowOn() => Interlocked.Increment(ref _holes);

    /// <summary>Those that come take bytes and give them to nobody.</summary>
    public bool Swallows
    {
        get => Volatile.Read(ref _swallows);
        set => Volatile.Write(ref _swallows, value);
    }

    /// <summary>The next frame that is the one is cut.</summary>
    public void Arm(FrameCut cut) => Volatile.Write(ref _next, cut);

    /// <summary>Cuts every connection.</summary>
    public void CutAll()
    {
        foreach (Pipe pipe in Pipes())
        {
            pipe.Close();
        }
    }

    /// <summary>Says a frame on each connection that stands, between two others.</summary>
    public void Say(Way way, byte[] frame)
    {
        foreach (Pipe pipe in Pipes())
        {
            pipe.Say(way, frame);
        }
    }

    public void Dispose()
    {
        _listener.Dispose();
        CutAll();
    }

    private Pipe[] Pipes()
    {
        lock (_gate)
        {
            return [.. _pipes];
        }
    }

    private FrameCut? Take(Way way, in FrameHeader header)
    {
        FrameCut? cut = Volatile.Read(ref _next);
        bool taken = cut is not null && cut.Fits(way, in header)
            && Interlocked.CompareExchange(ref _next, null, cut) == cut;
        return taken ? cut : null;
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
        Socket server = new(_server.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        try
        {
            server.Connect(_server);
            client.NoDelay = true;
            server.NoDelay = true;
        }
        catch (SocketException)
        {
            client.Dispose();
            server.Dispose();
            return;
        }

        Pipe pipe = new(this, client, server);
        lock (_gate)
        {
            _pipes.Add(pipe);
        }

        pipe.Start();
    }

    private void Forget(Pipe pipe)
    {
        lock (_gate)
        {
            _pipes.Remove(pipe);
        }
    }

    private sealed class Pipe(FrameProxy proxy, Socket client, Socket server)
    {
        private readonly Lock _toServer = new();
        private readonly Lock _toClient = new();
        private readonly int _holesBefore = proxy.Swallows ? -1 : Volatile.Read(ref proxy._holes);
        private int _left = 2;

        private bool IsSwallowed => Volatile.Read(ref proxy._holes) != _holesBefore;

        public void Start()
        {
            new Thread(() => Pass(Way.ToServer, client, server)) { IsBackground = true }.Start();
            new Thread(() => Pass(Way.ToClient, server, client)) { IsBackground = true }.Start();
        }

        public void Close()
        {
            client.Dispose();
            server.Dispose();
            proxy.Forget(this);
        }

        public bool Say(Way way, byte[] frame)
        {
            Assert.Equal(WireError.None, FrameCodec.TryRead(frame, out FrameHeader header));
            try
            {
                return Send(way, in header, frame);
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException)
            {
                // Nobody hears it any more.
                return false;
            }
        }

        private void Pass(Way way, Socket from, Socket to)
        {
            byte[] frame = new byte[4096];
            try
            {
                while (from.ReceiveAll(frame.AsSpan(0, WireLimits.HeaderBytes)))
                {
                    Assert.Equal(WireError.None, FrameCodec.TryRead(frame, out FrameHeader header));
                    int length = WireLimits.HeaderBytes + (int)header.BodyBytes;
                    if (length > frame.Length)
                    {
                        Array.Resize(ref frame, length);
                    }

                    if (!from.ReceiveAll(frame.AsSpan(WireLimits.HeaderBytes, (int)header.BodyBytes)))
                    {
                        break;
                    }

                    bool isAnswer = header.Kind is FrameKind.Completed or FrameKind.AttachOk;
                    bool goesOn = !isAnswer || proxy.Wait is not { } wait || Say(way, wait);
                    if (!goesOn || !Send(way, in header, frame.AsSpan(0, length)))
                    {
                        break;
                    }
                }

                if (!IsSwallowed)
                {
                    to.Shutdown(SocketShutdown.Send);
                }
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException)
            {
                if (!IsSwallowed)
                {
                    Close();
                }
            }

            // The other way may go on after half a close; in a hole no end hears of the other's.
            if (Interlocked.Decrement(ref _left) == 0)
            {
                Close();
            }
        }

        /// <summary>False when nothing passes this way any more.</summary>
        private bool Send(Way way, in FrameHeader header, ReadOnlySpan<byte> frame)
        {
            Socket to = way == Way.ToServer ? server : client;
            lock (way == Way.ToServer ? _toServer : _toClient)
            {
                if (IsSwallowed)
                {
                    return true;
                }

                if (proxy.Take(way, in header) is not { } cut)
                {
                    to.SendAll(frame);
                    return true;
                }

                try
                {
                    cut.FrameBytes = frame.Length;
                    to.SendAll(frame[..int.Min(cut.AtByte, frame.Length)]);
                    End(cut.Act, to);
                }
                finally
                {
                    cut.Done.Set();
                }
            }

            return false;
        }

        private void End(ProxyAct act, Socket to)
        {
            switch (act)
            {
                case ProxyAct.Reset:
                    client.LingerState = new LingerOption(true, 0);
                    server.LingerState = new LingerOption(true, 0);
                    Close();
                    break;
                case ProxyAct.HalfClose:
                    to.Shutdown(SocketShutdown.Send);
                    break;
                default:
                    // What was sent before arrives, then the end of the stream, at both ends.
                    server.Shutdown(SocketShutdown.Both);
                    client.Shutdown(SocketShutdown.Both);
                    break;
            }
        }
    }
}
