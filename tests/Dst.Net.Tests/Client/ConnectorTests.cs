using System.Net;
using System.Net.Sockets;
using Dst.Core.Specs;
using Dst.Net.Client;

namespace Dst.Net.Tests.Client;

/// <summary>A name with several addresses, of which some are not answered at (S-30).</summary>
public sealed class ConnectorTests
{
    private static readonly IPAddress Silent = IPAddress.Parse("127.0.0.9");
    private static readonly IPAddress Good = IPAddress.Loopback;

    [Fact]
    public void An_address_that_nobody_answers_at_keeps_no_later_attempt_from_the_next_one()
    {
        using Socket server = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        server.Bind(new IPEndPoint(Good, 0));
        server.Listen();
        int port = ((IPEndPoint)server.LocalEndPoint!).Port;
        using FullSocket silent = new(new IPEndPoint(Silent, port));
        using BlockingQueue results = new();
        Assert.True(NodeSpec.TryParse($"dst://storage:{port}/disk1", out NodeSpec? spec, out string? error), error);
        Connector first = Attempt(0);
        Assert.False(results.TryTake(500, out _), "the full socket answers");
        first.Cancel();
        Assert.True(results.TryTake(10_000, out ConnectResult failed));
        Assert.Null(failed.Socket);
        _ = Attempt(1);
        Assert.True(results.TryTake(10_000, out ConnectResult connected), "the second attempt hangs as the first");
        Assert.Equal($"{Good}:{port}", connected.Peer);
        connected.Socket!.Dispose();

        Connector Attempt(int number)
        {
            Connector connector = new((NetworkNodeSpec)spec, 0, number, results.Add)
            {
                Lookup = _ => [Silent, Good],
            };
            connector.Start();
            return connector;
        }
    }

    /// <summary>Results in the order in which they came.</summary>
    private sealed class BlockingQueue : IDisposable
    {
        private readonly System.Collections.Concurrent.BlockingCollection<ConnectResult> _results = [];

        public void Add(ConnectResult result) => _results.Add(result);

        public bool TryTake(int timeoutMs, out ConnectResult result) => _results.TryTake(out result, timeoutMs);

        public void Dispose() => _results.Dispose();
    }

    /// <summary>A socket whose queue is full: the kernel leaves further connections unanswered.</summary>
    private sealed class FullSocket : IDisposable
    {
        private readonly List<Socket> _sockets = [];

        public FullSocket(IPEndPoint endPoint)
        {
            Socket listener = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
            _sockets.Add(listener);
            listener.Bind(endPoint);
            listener.Listen(0);
            for (int i = 0; i < 4; i++)
            {
                Socket client = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
                client.Blocking = false;
                _sockets.Add(client);
                try
                {
                    client.Connect(endPoint);
                }
                catch (SocketException e) when (e.SocketErrorCode is SocketError.WouldBlock or SocketError.InProgress)
                {
                    Thread.Sleep(20);
                }
            }
        }

        public void Dispose() => _sockets.ForEach(socket => socket.Dispose());
    }
}
