using System.Net;
using System.Net.Sockets;
using Dst.Core.Wire;

namespace Dst.Net.Tests.Client;

/// <summary>A frame that stays in a wire: its client is cut off, its server has only the first bytes of it.</summary>
internal sealed class Ghost(Func<FrameHeader, bool> isIt, int atByte)
{
    public Func<FrameHeader, bool> IsIt => isIt;

    /// <summary>How much of the frame passes at once; the whole frame at most.</summary>
    public int AtByte => atByte;

    public ManualResetEventSlim Held { get; } = new();

    public ManualResetEventSlim Released { get; } = new();

    /// <summary>The server has closed the connection, after all of the frame was sent or could not be.</summary>
    public ManualResetEventSlim Gone { get; } = new();

    public void LetGo() => Released.Set();

    public bool IsHeld(int timeoutMs) => Held.Wait(timeoutMs);

    public bool IsGone(int timeoutMs) => Gone.Wait(timeoutMs);
}

/// <summary>
/// A TCP port that leads to a server and knows frames. It holds the rest of one of them back, at any byte, and cuts the
/// client off, while the connection to the server stands.
/// </summary>
internal sealed class GhostProxy : IDisposable
{
    private readonly EndPoint _server;
    private readonly Socket _listener;
    private readonly HashSet<Pipe> _pipes = [];
    private readonly Lock _gate = new();
    private Ghost? _next;

    public GhostProxy(EndPoint server)
    {
        _server = server;
        _listener = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        _listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        _listener.Listen(64);
        new Thread(Accept) { IsBackground = true, Name = "ghost-proxy" }.Start();
    }

    public int Port => ((IPEndPoint)_listener.LocalEndPoint!).Port;

    /// <summary>The next frame from a client that is the one becomes a ghost.</summary>
    public Ghost Arm(Func<FrameHeader, bool> isIt, int atByte)
    {
        Ghost ghost = new(isIt, atByte);
        Volatile.Write(ref _next, ghost);
        return ghost;
    }

    /// <summary>Cuts every connection that is no ghost.</summary>
    public void CutAll()
    {
        lock (_gate)
        {
            foreach (Pipe pipe in _pipes)
            {
                pipe.Cut();
            }
        }
    }

    public void Dispose()
    {
        _listener.Dispose();
        CutAll();
    }

    private Ghost? Take(in FrameHeader header)
    {
        Ghost? ghost = Volatile.Read(ref _next);
        bool taken = ghost is not null && ghost.IsIt(header)
            && Interlocked.CompareExchange(ref _next, null, ghost) == ghost;
        return taken ? ghost : null;
    }

    private void Accept()
    {
        try
        {
            while (true)
            {
                Socket client = _listener.Accept();
                bool unix = _server is UnixDomainSocketEndPoint;
                Socket server = new(
                    _server.AddressFamily, SocketType.Stream, unix ? ProtocolType.Unspecified : ProtocolType.Tcp);
                try
                {
                    server.Connect(_server);
                }
                catch (SocketException)
                {
                    client.Dispose();
                    server.Dispose();
                    continue;
                }

                client.NoDelay = true;
                Pipe pipe = new(this, client, server);
                lock (_gate)
                {
                    _pipes.Add(pipe);
                }

                pipe.Start();
            }
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // The proxy is being closed.
        }
    }

    private void Forget(Pipe pipe)
    {
        lock (_gate)
        {
            _pipes.Remove(pipe);
        }
    }

    private sealed class Pipe(GhostProxy proxy, Socket client, Socket server)
    {
        private Ghost? _ghost;

        public void Start()
        {
            new Thread(PassToServer) { IsBackground = true }.Start();
            new Thread(PassToClient) { IsBackground = true }.Start();
        }

        public void Cut()
        {
            if (Volatile.Read(ref _ghost) is null)
            {
                client.Dispose();
                server.Dispose();
            }
        }

        private void PassToServer()
        {
            byte[] frame = new byte[4096];
            try
            {
                while (client.ReceiveAll(frame.AsSpan(0, WireLimits.HeaderBytes)))
                {
                    Assert.Equal(WireError.None, FrameCodec.TryRead(frame, out FrameHeader header));
                    int length = WireLimits.HeaderBytes + (int)header.BodyBytes;
                    if (length > frame.Length)
                    {
                        Array.Resize(ref frame, length);
                    }

                    if (!client.ReceiveAll(frame.AsSpan(WireLimits.HeaderBytes, (int)header.BodyBytes)))
                    {
                        break;
                    }

                    if (proxy.Take(in header) is { } ghost)
                    {
                        Haunt(ghost, frame.AsSpan(0, length));
                        return;
                    }

                    server.SendAll(frame.AsSpan(0, length));
                }
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException)
            {
                // One of them is gone.
            }

            Cut();
            proxy.Forget(this);
        }

        private void Haunt(Ghost ghost, ReadOnlySpan<byte> frame)
        {
            int at = int.Min(ghost.AtByte, frame.Length);
            Volatile.Write(ref _ghost, ghost);
            try
            {
                server.SendAll(frame[..at]);
                client.Dispose();
                ghost.Held.Set();
                ghost.Released.Wait();
                server.SendAll(frame[at..]);
                server.Shutdown(SocketShutdown.Send);
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException)
            {
                // The server has closed.
            }
        }

        private void PassToClient()
        {
            byte[] buffer = new byte[64 * 1024];
            try
            {
                for (int got = server.Receive(buffer); got > 0; got = server.Receive(buffer))
                {
                    SendToClient(buffer.AsSpan(0, got));
                }
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException)
            {
                // The server is gone.
            }

            if (Volatile.Read(ref _ghost) is { } ghost)
            {
                ghost.Released.Wait();
                ghost.Gone.Set();
                server.Dispose();
                proxy.Forget(this);
            }
            else
            {
                Cut();
            }
        }

        private void SendToClient(ReadOnlySpan<byte> bytes)
        {
            try
            {
                client.SendAll(bytes);
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException)
            {
                // A ghost's client: what the server says goes nowhere.
                Cut();
            }
        }
    }
}
