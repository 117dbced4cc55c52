using System.Net;
using System.Net.Sockets;
using Dst.Core.Sessions.Client;
using Dst.Core.Specs;

namespace Dst.Net.Client;

/// <summary>How an attempt to connect ended.</summary>
/// <param name="Connection">Number of the connection.</param>
/// <param name="Socket">Connected and blocking; null when it failed.</param>
/// <param name="Peer">The address that answered.</param>
/// <param name="Error">Why it failed, for people.</param>
internal readonly record struct ConnectResult(int Connection, Socket? Socket, string Peer, string Error);

/// <summary>
/// One attempt to connect, on a thread of its own since resolving and connecting block. Names are resolved anew each
/// time; every address is tried in turn (S-30), from another one each time: the time for an attempt may be over before
/// the first address, which nobody answers at, gives up.
/// </summary>
/// <remarks>
/// Blocking calls on purpose: an asynchronous connect would leave the descriptor non-blocking and registered with the
/// runtime's own event loop, which would then wake for each reply.
/// </remarks>
internal sealed class Connector
{
    private readonly NetworkNodeSpec _spec;
    private readonly int _connection;
    private readonly int _first;
    private readonly Action<ConnectResult> _done;
    private readonly Lock _gate = new();
    private Socket? _socket;
    private bool _cancelled;
    private bool _told;

    /// <summary>An attempt that has not begun.</summary>
    /// <param name="spec">Where to.</param>
    /// <param name="connection">Number of the connection.</param>
    /// <param name="first">Which address comes first, counted round.</param>
    /// <param name="done">Told once how it ended, on the attempt's thread or the one that cancels it.</param>
    public Connector(NetworkNodeSpec spec, int connection, int first, Action<ConnectResult> done)
    {
        _spec = spec;
        _first = first;
        _connection = connection;
        _done = done;
    }

    /// <summary>Begins.</summary>
    public void Start() => new Thread(Run, ClientNetLimits.StackBytes)
    {
        Name = "dst-connect-" + _connection,
        IsBackground = true,
    }.Start();

    /// <summary>Addresses of a host name; tests give others.</summary>
    internal Func<string, IPAddress[]> Lookup { private get; init; } = Dns.GetHostAddresses;

    /// <summary>Gives up at once, also while a name is being resolved. Any thread.</summary>
    public void Cancel()
    {
        lock (_gate)
        {
            _cancelled = true;
            _socket?.Dispose();
        }

        Tell(new ConnectResult(_connection, null, "", "cancelled"));
    }

    /// <summary>True once <see cref="Cancel"/> was called.</summary>
    public bool IsCancelled
    {
        get
        {
            lock (_gate)
            {
                return _cancelled;
            }
        }
    }

    private void Run()
    {
        string error = "it has no address";
        try
        {
            EndPoint[] targets = Resolve();
            for (int i = 0; i < targets.Length && !IsCancelled; i++)
            {
                EndPoint target = targets[(_first + i) % targets.Length];
                if (TryConnect(target, out error) is { } socket)
                {
                    Tell(new ConnectResult(_connection, socket, target.ToString() ?? "", ""));
                    return;
                }
            }
        }
        catch (Exception e) when (e is SocketException or ArgumentException)
        {
            error = e.Message;
        }

        Tell(new ConnectResult(_connection, null, "", error));
    }

    private void Tell(in ConnectResult result)
    {
        lock (_gate)
        {
            if (_told)
            {
                result.Socket?.Dispose();
                return;
            }

            _told = true;
        }

        _done(result);
    }

    private EndPoint[] Resolve()
    {
        if (_spec.SocketPath is { } path)
        {
            return [new UnixDomainSocketEndPoint(path)];
        }

        IPAddress[] addresses = IPAddress.TryParse(_spec.Host, out IPAddress? address)
            ? [address]
            : Lookup(_spec.Host!);
        return [.. addresses.Select(a => new IPEndPoint(a, _spec.Port))];
    }

    private Socket? TryConnect(EndPoint target, out string error)
    {
        Socket socket = new(
            target.AddressFamily,
            SocketType.Stream,
            target is UnixDomainSocketEndPoint ? ProtocolType.Unspecified : ProtocolType.Tcp);
        lock (_gate)
        {
            if (_cancelled)
            {
                socket.Dispose();
                error = "cancelled";
                return null;
            }

            _socket = socket;
        }

        try
        {
            SetOptions(socket, target);
            socket.Connect(target);
            lock (_gate)
            {
                _socket = null;
                if (!_cancelled)
                {
                    error = "";
                    return socket;
                }
            }

            error = "cancelled";
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            error = e is SocketException failure ? TextOf(failure, target) : "cancelled";
        }

        lock (_gate)
        {
            _socket = null;
        }

        socket.Dispose();
        return null;
    }

    // The runtime's text names the address too, but not always.
    private static string TextOf(SocketException failure, EndPoint target)
    {
        string text = failure.Message;
        string address = $" {target}";
        return $"{target}: {(text.EndsWith(address, StringComparison.Ordinal) ? text[..^address.Length] : text)}";
    }

    private static void SetOptions(Socket socket, EndPoint target)
    {
        if (target is UnixDomainSocketEndPoint)
        {
            return;
        }

        const int TcpUserTimeout = Interop.LinuxAbi.TCP_USER_TIMEOUT;
        socket.NoDelay = true;
        Span<byte> timeout = stackalloc byte[sizeof(int)];
        BitConverter.TryWriteBytes(timeout, ClientLimits.ConnectMs);
        socket.SetRawSocketOption(Interop.LinuxAbi.IPPROTO_TCP, TcpUserTimeout, timeout);
        socket.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.KeepAlive, true);
        socket.SetSocketOption(
            SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveTime, ClientNetLimits.KeepAliveSeconds);
        socket.SetSocketOption(
            SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveInterval, ClientNetLimits.KeepAliveSeconds);
    }
}
