using System.Net.Sockets;
using Dst.Control;
using Dst.Daemon.Connections;
using Dst.Daemon.Kernel;

namespace Dst.Daemon.Exports;

/// <summary>One connection to the server of exports, speaking <see cref="ServerProtocol"/>. Any thread.</summary>
internal sealed class ServerConnection : ControlConnection<ServerHello, ServerRequest, ServerReply>
{
    private static readonly ControlDialect<ServerHello, ServerRequest, ServerReply> Dialect = new(
        "server",
        ServerProtocol.MaxLineBytes,
        ControlJson.Default.ServerHello,
        ControlJson.Default.ServerRequest,
        ControlJson.Default.ServerReply,
        static (request, id) => request with { RequestId = id },
        static reply => reply.RequestId,
        static reply => reply.Error);

    private ServerConnection(Socket socket, ProcessHandle process, Action<ServerReply> onEvent)
        : base(Dialect, socket, process, onEvent)
    {
    }

    /// <summary>Connects and hears the hello.</summary>
    /// <param name="path">Socket of the server.</param>
    /// <param name="helloLimit">How long the server may be silent.</param>
    /// <param name="onEvent">Called for every event, one at a time.</param>
    /// <param name="cancel">Gives up.</param>
    /// <returns>The connection, or null when nobody listens there or who did has just ended.</returns>
    /// <exception cref="ControlException">Somebody listens but says no proper hello.</exception>
    public static Task<ServerConnection?> OpenAsync(
        string path, TimeSpan helloLimit, Action<ServerReply> onEvent, CancellationToken cancel) =>
        OpenAsync(
            path,
            Dialect.Word,
            helloLimit,
            (socket, process) => new ServerConnection(socket, process, onEvent),
            cancel);
}
