using System.Net.Sockets;
using Dst.Control;
using Dst.Daemon.Connections;
using Dst.Daemon.Kernel;

namespace Dst.Daemon.Devices;

/// <summary>One connection to one target, speaking <see cref="TargetProtocol"/>. Any thread.</summary>
internal sealed class TargetConnection : ControlConnection<TargetHello, TargetRequest, TargetReply>
{
    private static readonly ControlDialect<TargetHello, TargetRequest, TargetReply> Dialect = new(
        "target",
        TargetProtocol.MaxLineBytes,
        ControlJson.Default.TargetHello,
        ControlJson.Default.TargetRequest,
        ControlJson.Default.TargetReply,
        static (request, id) => request with { RequestId = id },
        static reply => reply.RequestId,
        static reply => reply.Error);

    private TargetConnection(Socket socket, ProcessHandle process, Action<TargetReply> onEvent)
        : base(Dialect, socket, process, onEvent)
    {
    }

    /// <summary>Connects and hears the hello.</summary>
    /// <param name="path">Socket of the target.</param>
    /// <param name="helloLimit">How long the target may be silent.</param>
    /// <param name="onEvent">Called for every event, one at a time.</param>
    /// <param name="cancel">Gives up.</param>
    /// <returns>The connection, or null when nobody listens there or who did has just ended.</returns>
    /// <exception cref="ControlException">Somebody listens but says no proper hello.</exception>
    public static Task<TargetConnection?> OpenAsync(
        string path, TimeSpan helloLimit, Action<TargetReply> onEvent, CancellationToken cancel) =>
        OpenAsync(
            path,
            Dialect.Word,
            helloLimit,
            (socket, process) => new TargetConnection(socket, process, onEvent),
            cancel);
}
