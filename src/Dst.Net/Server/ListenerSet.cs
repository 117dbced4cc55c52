using System.Net;
using System.Net.Sockets;
using Dst.Interop;

namespace Dst.Net.Server;

/// <summary>What kind of refusal a <see cref="ServerException"/> is.</summary>
public enum ServerFault
{
    /// <summary>It failed.</summary>
    Failed,

    /// <summary>Somebody else has what it needs.</summary>
    InUse,

    /// <summary>What was asked for can never be.</summary>
    WrongInput,
}

/// <summary>The server cannot do what was asked; the message is one line for people.</summary>
/// <param name="message">What failed, on which object, why, what to do.</param>
/// <param name="fault">What kind of refusal it is.</param>
public sealed class ServerException(string message, ServerFault fault = ServerFault.Failed) : Exception(message)
{
    /// <summary>What kind of refusal it is.</summary>
    public ServerFault Fault => fault;
}

/// <summary>One socket that listens.</summary>
internal sealed class Listener : IDisposable
{
    private readonly Socket _socket;
    private readonly SocketFile? _file;

    private Listener(ListenAddress address, Socket socket, SocketFile? file)
    {
        Address = address;
        _socket = socket;
        _file = file;
        Fd = (int)socket.Handle;
        Bound = address.EndPoint is null ? null : (IPEndPoint)socket.LocalEndPoint!;
    }

    /// <summary>What it was opened for.</summary>
    public ListenAddress Address { get; }

    /// <summary>The address it has, with its real port; null for a Unix socket.</summary>
    public IPEndPoint? Bound { get; }

    /// <summary>Its address, with its real port, for people.</summary>
    public string Name => Bound?.ToString() ?? Address.ToString();

    /// <summary>Descriptor.</summary>
    public int Fd { get; }

    /// <summary>Number that the session thread gave it.</summary>
    public int Id { get; set; }

    /// <summary>An accept is with the kernel.</summary>
    public bool Accepting { get; set; }

    /// <summary>It is to be closed as soon as no accept is with the kernel.</summary>
    public bool Closing { get; set; }

    /// <summary>Opens a socket.</summary>
    /// <exception cref="ServerException">
    /// The kernel refuses, or the path is that of something else; nothing has changed.
    /// </exception>
    public static Listener Open(ListenAddress address)
    {
        Socket? socket = null;
        try
        {
            SocketFile? file = null;
            socket = address.Path is null ? OpenTcp(address.EndPoint!) : SocketFile.Bind(address.Path, out file);
            socket.Listen(ServerLimits.Backlog);
            return new Listener(address, socket, file);
        }
        catch (Exception e) when (e is SocketException or IOException or UnauthorizedAccessException)
        {
            socket?.Dispose();
            if (e is SocketException { SocketErrorCode: SocketError.AddressAlreadyInUse })
            {
                throw new ServerException(
                    $"{address}: cannot listen: address in use; end the program that listens there (ss -ltnp names it) "
                    + "or choose another address or port",
                    ServerFault.InUse);
            }

            throw new ServerException(
                $"{address}: cannot listen: {e.Message}; is another program there, and does the address exist?");
        }
    }

    /// <summary>Wakes an accept that is with the kernel.</summary>
    public void Interrupt() => _ = Libc.Shutdown(Fd, LinuxAbi.SHUT_RDWR);

    /// <summary>Removes the socket's file, unless another is there by now, and closes it.</summary>
    public void Dispose()
    {
        _file?.Remove();
        _socket.Dispose();
    }

    private static Socket OpenTcp(IPEndPoint endPoint)
    {
        Socket socket = new(endPoint.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        // The class library's ReuseAddress sets SO_REUSEPORT too, with which two servers share a port unawares.
        socket.SetRawSocketOption(LinuxAbi.SOL_SOCKET, LinuxAbi.SO_REUSEADDR, BitConverter.GetBytes(1));
        if (endPoint.AddressFamily == AddressFamily.InterNetworkV6)
        {
            socket.DualMode = endPoint.Address.Equals(IPAddress.IPv6Any);
        }

        socket.Bind(endPoint);
        return socket;
    }
}

/// <summary>
/// The sockets of a server. Addresses are asked for as often as exports want them; one socket serves all that it
/// covers, and none is wider than somebody wants. Session thread.
/// </summary>
internal sealed class ListenerSet
{
    private readonly List<ListenAddress> _wanted = [];
    private readonly List<Listener> _open = [];
    private readonly Action<Listener> _opened;
    private readonly Action<Listener> _dropped;
    private readonly Action<string> _stayed;

    /// <summary>Makes an empty set.</summary>
    /// <param name="opened">A socket listens.</param>
    /// <param name="dropped">
    /// A socket is no longer wanted; whoever takes it ends its listening at once and closes it.
    /// </param>
    /// <param name="stayed">A socket is wider than is wanted, or is missing: a line for people.</param>
    public ListenerSet(Action<Listener> opened, Action<Listener> dropped, Action<string> stayed)
    {
        _opened = opened;
        _dropped = dropped;
        _stayed = stayed;
    }

    /// <summary>The sockets that are open.</summary>
    public IReadOnlyList<Listener> Open => _open;

    /// <summary>Wants an address once more.</summary>
    /// <exception cref="ServerException">It cannot be had; nothing has changed.</exception>
    public void Add(ListenAddress address)
    {
        if (!_open.Exists(listener => listener.Address.Covers(address)))
        {
            OpenFor(address);
        }

        _wanted.Add(address);
    }

    /// <summary>Wants an address once less.</summary>
    public bool Remove(ListenAddress address)
    {
        if (!_wanted.Remove(address))
        {
            return false;
        }

        foreach (Listener listener in _open.ToArray())
        {
            if (!_wanted.Exists(listener.Address.Covers))
            {
                Drop(listener);
            }
            else if (!_wanted.Contains(listener.Address))
            {
                Narrow(listener);
            }
        }

        return true;
    }

    /// <summary>Drops all sockets.</summary>
    public void Clear()
    {
        _wanted.Clear();
        foreach (Listener listener in _open.ToArray())
        {
            Drop(listener);
        }
    }

    /// <summary>A socket for every address takes over from those for single ones, which would be in its way.</summary>
    private void OpenFor(ListenAddress address)
    {
        if (_open.Count >= ServerLimits.ListenersMax)
        {
            throw new ServerException($"{address}: a server listens on at most {ServerLimits.ListenersMax} addresses");
        }

        if (address.IsWildcard && _open.Exists(listener => address.Covers(listener.Address)))
        {
            throw new ServerException(
                $"{address}: exports already use single addresses with this port; "
                + "remove them first, or use another port");
        }

        Listener listener = Listener.Open(address);
        _open.Add(listener);
        _opened(listener);
    }

    /// <summary>
    /// Sockets for what is wanted in place of one for more. The kernel gives no address twice, so the wide one goes
    /// first; clients that it has not accepted yet come again. It comes back when one of the others cannot be had.
    /// </summary>
    private void Narrow(Listener wide)
    {
        List<Listener> made = [];
        Drop(wide);
        try
        {
            foreach (ListenAddress address in _wanted.Where(wide.Address.Covers).OrderBy(address => address.Breadth))
            {
                if (!_open.Exists(listener => listener.Address.Covers(address)))
                {
                    OpenFor(address);
                    made.Add(_open[^1]);
                }
            }
        }
        catch (ServerException e)
        {
            made.ForEach(Drop);
            _stayed($"{wide.Address}: stays open, though no export asks for all of it: {e.Message}");
            Reopen(wide.Address);
        }
    }

    private void Reopen(ListenAddress address)
    {
        try
        {
            OpenFor(address);
        }
        catch (ServerException e)
        {
            _stayed($"{e.Message}; exports are not reached there until one with this address is added again");
        }
    }

    private void Drop(Listener listener)
    {
        _open.Remove(listener);
        _dropped(listener);
    }
}
