using System.Net;
using System.Net.Sockets;
using Dst.Core.Requests;
using Dst.Core.Wire;

namespace Dst.Net.Tests.Client;

/// <summary>
/// A TCP port that leads to a server, with a wire that may flip bits in the body of a write or of the reply to a read:
/// in its checksums or in its data, never in a header, so that the stream goes on.
/// </summary>
internal sealed class DamageProxy : IDisposable
{
    private readonly EndPoint _server;
    private readonly Socket _listener;
    private readonly Func<FrameHeader, int> _damage;
    private readonly List<Socket> _sockets = [];
    private readonly ManualResetEventSlim _open = new(true);
    private readonly Lock _gate = new();
    private int _damaged;

    /// <summary>A proxy in front of a server.</summary>
    /// <param name="server">Where it leads.</param>
    /// <param name="damage">The byte of the body to damage, or -1. Called for one frame at a time.</param>
    public DamageProxy(EndPoint server, Func<FrameHeader, int> damage)
    {
        _server = server;
        _damage = damage;
        _listener = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        _listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        _listener.Listen(64);
        new Thread(Accept) { IsBackground = true, Name = "damage-proxy" }.Start();
    }

    public int Port => ((IPEndPoint)_listener.LocalEndPoint!).Port;

    /// <summary>Bodies that were changed.</summary>
    public int Damaged => Volatile.Read(ref _damaged);

    /// <summary>New connections wait until <see cref="Open"/>.</summary>
    public void Shut() => _open.Reset();

    public void Open() => _open.Set();

    public void Dispose()
    {
        _open.Set();
        _listener.Dispose();
        lock (_gate)
        {
            _sockets.ForEach(socket => socket.Dispose());
        }
    }

    private void Accept()
    {
        try
        {
            while (true)
            {
                Socket client = _listener.Accept();
                _open.Wait();
                bool unix = _server is UnixDomainSocketEndPoint;
                Socket server = new(
                    _server.AddressFamily, SocketType.Stream, unix ? ProtocolType.Unspecified : ProtocolType.Tcp);
                client.NoDelay = true;
                lock (_gate)
                {
                    _sockets.Add(client);
                    _sockets.Add(server);
                }

                try
                {
                    server.Connect(_server);
                }
                catch (SocketException)
                {
                    client.Dispose();
                    continue;
                }

                new Thread(() => Pass(client, server)) { IsBackground = true }.Start();
                new Thread(() => Pass(server, client)) { IsBackground = true }.Start();
            }
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // The proxy is being closed.
        }
    }

    private void Pass(Socket from, Socket to)
    {
        byte[] frame = new byte[4096];
        try
        {
            while (from.ReceiveAll(frame.AsSpan(0, WireLimits.HeaderBytes)))
            {
                Assert.Equal(WireError.None, FrameCodec.TryRead(frame, out FrameHeader header));
                int length = WireLimits.HeaderBytes + (int)header.BodyBytes;
                Array.Resize(ref frame, int.Max(frame.Length, length));
                if (!from.ReceiveAll(frame.AsSpan(WireLimits.HeaderBytes, (int)header.BodyBytes)))
                {
                    break;
                }

                Damage(in header, frame.AsSpan(WireLimits.HeaderBytes, (int)header.BodyBytes));
                to.SendAll(frame.AsSpan(0, length));
            }
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // One of them is gone.
        }

        from.Dispose();
        to.Dispose();
    }

    private void Damage(in FrameHeader header, Span<byte> body)
    {
        bool hasData = header is { Kind: FrameKind.Request, Operation: Operation.Write }
            or { Kind: FrameKind.Reply, Operation: Operation.Read };
        if (!hasData || body.Length == 0)
        {
            return;
        }

        lock (_gate)
        {
            int at = _damage(header);
            if (at >= 0)
            {
                body[at] ^= 0x10;
                Interlocked.Increment(ref _damaged);
            }
        }
    }
}
