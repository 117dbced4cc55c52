using Dst.Core.Sessions;
using Dst.Core.Wire;
using Dst.Simulation.Engine;
using Dst.Simulation.Network;

namespace Dst.Simulation.Servers;

/// <summary>Which thread of the server has a connection.</summary>
internal enum PeerHome
{
    /// <summary>The session thread: handshake and goodbye.</summary>
    Session,

    /// <summary>On its way to the engine: nobody reads it.</summary>
    Moving,

    /// <summary>An engine thread: requests.</summary>
    Engine,

    /// <summary>Closed.</summary>
    Gone,
}

/// <summary>A connection of a server: its socket, its machine while it is not live, its lane while it is.</summary>
internal sealed class Peer : IEndpoint
{
    private readonly SessionThread _server;
    private readonly ByteRing _out = new();

    /// <summary>A connection that was accepted now.</summary>
    public Peer(SessionThread server, int id, string name, Link link, UInt128 nonce, long nowMs)
    {
        _server = server;
        Id = id;
        Name = name;
        Link = link;
        Machine = new ServerConnection(server.Identity, nonce, nowMs);
        link.Up.Reader = this;
        link.Down.Writer = this;
    }

    /// <summary>Number in its server.</summary>
    public int Id { get; }

    /// <summary>For people.</summary>
    public string Name { get; }

    /// <summary>The socket.</summary>
    public Link Link { get; }

    /// <summary>The handshake.</summary>
    public ServerConnection Machine { get; }

    /// <summary>Drawn for its ATTACH (S-08).</summary>
    public UInt128 Token { get; set; }

    /// <summary>Who has it.</summary>
    public PeerHome Home { get; set; }

    /// <summary>Its engine, once it is live.</summary>
    public SimEngine? Engine { get; set; }

    /// <summary>Its requests, once it is live.</summary>
    public ServerLane? Lane { get; set; }

    /// <summary>Liveness while it is live.</summary>
    public LaneTimers Timers;

    /// <summary>The header whose body is awaited.</summary>
    public FrameHeader Header;

    /// <summary>A header was read and its body is awaited.</summary>
    public bool HasHeader { get; set; }

    /// <summary>The slot whose body is awaited; -1 for none.</summary>
    public int BodySlot { get; set; } = -1;

    /// <summary>It closes once all is sent.</summary>
    public bool Closing { get; private set; }

    /// <summary>When it closes by force: nobody takes what it has to say.</summary>
    public long ClosesAtMs { get; private set; }

    /// <summary>The session was told of its end.</summary>
    public bool EndTold { get; set; }

    /// <summary>A read event is posted.</summary>
    public bool ReadPosted { get; set; }

    /// <summary>Bytes that wait for the socket.</summary>
    public int Waiting => _out.Count;

    /// <summary>Queues bytes and sends what the socket takes.</summary>
    public void Send(ReadOnlySpan<byte> bytes)
    {
        if (Home != PeerHome.Gone)
        {
            _out.Write(bytes);
            Pump();
        }
    }

    /// <summary>Sends what waits.</summary>
    public void Pump()
    {
        Span<byte> chunk = stackalloc byte[1024];
        while (_out.Count > 0 && Home != PeerHome.Gone)
        {
            Span<byte> part = chunk[..int.Min(chunk.Length, _out.Count)];
            _out.Peek(part);
            int taken = Link.Down.Write(part);
            bool all = taken == _out.Count;
            Timers.Sent(all, taken > 0, _server.NowMs);
            if (Home == PeerHome.Session)
            {
                Machine.OnSent(all, taken > 0, _server.NowMs);
            }

            if (taken < 0)
            {
                _out.Clear();
                return;
            }

            _out.Skip(taken);
            if (taken < part.Length)
            {
                return;
            }
        }

        if (Closing && _out.Count == 0)
        {
            Close();
        }
    }

    /// <summary>Closes once what waits is sent; nothing is read any more.</summary>
    public void CloseSoon()
    {
        Closing = true;
        ClosesAtMs = _server.NowMs + WireLimits.SendStallMs;
        Pump();
    }

    /// <summary>Closes the socket.</summary>
    public void Close()
    {
        if (Home != PeerHome.Gone)
        {
            Home = PeerHome.Gone;
            _out.Clear();
            Link.Close(byClient: false);
            _server.Forget(this);
        }
    }

    /// <inheritdoc/>
    public void OnReadable()
    {
        if (!ReadPosted)
        {
            ReadPosted = true;
            _server.PostRead(this);
        }
    }

    /// <inheritdoc/>
    public void OnWritable()
    {
        if (_server.Process is { Alive: true } && Home != PeerHome.Gone)
        {
            Pump();
        }
    }
}
