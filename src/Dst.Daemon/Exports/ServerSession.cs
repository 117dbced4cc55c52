using Dst.Control;
using Dst.Daemon.Objects;

namespace Dst.Daemon.Exports;

/// <summary>A running server of exports and the way to talk to it. Any thread; calls may overlap.</summary>
internal sealed class ServerSession(
    DaemonOptions options, ServingProcess process, ServerConnection connection, Action<ServerReply> onEvent)
    : IDisposable
{
    private readonly SemaphoreSlim _reconnecting = new(1, 1);
    private volatile ServerConnection _connection = connection;

    /// <summary>The process.</summary>
    public ServingProcess Process => process;

    /// <summary>What it lacks; null when nothing.</summary>
    public string? Warning => _connection.Hello.Warning;

    /// <summary>Asks the server for something.</summary>
    /// <param name="request">What; its id is chosen here.</param>
    /// <param name="doing">The same in words, as in "while opening export a".</param>
    /// <param name="limit">How long the answer may take; null: as long as it takes.</param>
    /// <param name="cancel">Gives up waiting; the server goes on.</param>
    /// <exception cref="ControlException">The server refused, ended, or did not answer in time.</exception>
    public async Task<ServerReply> AskAsync(
        ServerRequest request, string doing, TimeSpan? limit, CancellationToken cancel)
    {
        using CancellationTokenSource timer = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        timer.CancelAfter(limit ?? Timeout.InfiniteTimeSpan);
        try
        {
            ServerConnection current = await ConnectedAsync(timer.Token);
            return await current.AskAsync(request, timer.Token);
        }
        catch (IOException)
        {
            bool ended = await process.WaitAsync(options.Timing.ProcessEnd);
            string how = ended ? await process.EndAsync() : $"server (pid {process.Pid}) closed its connection";
            throw new ControlException(ControlErrorCode.Failure, $"{how} while {doing}; its log says more");
        }
        catch (OperationCanceledException) when (!cancel.IsCancellationRequested)
        {
            throw new ControlException(
                ControlErrorCode.TimedOut,
                $"server (pid {process.Pid}) did not answer within {limit?.TotalSeconds:0.#} s while {doing}");
        }
    }

    /// <summary>What the server has of one export.</summary>
    /// <returns>Null when it has none of that name.</returns>
    public async Task<ServedExport?> FindAsync(string name, CancellationToken cancel)
    {
        ServerRequest status = new() { RequestId = 0, Command = ServerProtocol.ServerCommand.Status };
        ServerReply reply = await AskAsync(status, "asking what it serves", options.Timing.Hello, cancel);
        return reply.Exports?.FirstOrDefault(each => string.Equals(each.Name, name, StringComparison.Ordinal));
    }

    /// <summary>Closes the connection; what was not committed is undone, the rest goes on.</summary>
    public void Dispose() => _connection.Dispose();

    // A server that lives may lose the connection, for example to a line that it did not understand.
    private async Task<ServerConnection> ConnectedAsync(CancellationToken cancel)
    {
        if (!_connection.Lost)
        {
            return _connection;
        }

        await _reconnecting.WaitAsync(cancel);
        try
        {
            if (!_connection.Lost)
            {
                return _connection;
            }

            ServerConnection? next = await ServerConnection.OpenAsync(
                options.Run.ServerSocket, options.Timing.Hello, onEvent, cancel);
            if (next is null || next.Process.Pid != process.Pid)
            {
                next?.Dispose();
                throw new IOException("the server cannot be reached at its socket");
            }

            _connection.Dispose();
            _connection = next;
            return next;
        }
        finally
        {
            _reconnecting.Release();
        }
    }
}
