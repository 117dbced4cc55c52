using System.Collections.Concurrent;
using System.Net.Sockets;
using Dst.Control;
using Dst.Hosting.Sockets;
using Dst.Nodes.Backings;

namespace Dst.Server.Session;

/// <summary>
/// One connection of dstd (see <see cref="ServerProtocol"/>): each request on a pool thread of its own, so that an
/// export whose disk is slow holds up no other. The loss of the connection undoes what it opened and did not commit.
/// </summary>
internal sealed class ServerSession(Socket socket, ServerControl control) : IDisposable
{
    /// <summary>Requests at once; dstd sends one for each export.</summary>
    private const int RequestsMax = 512;

    private readonly LineChannel _channel = new(socket, ServerProtocol.MaxLineBytes);
    private readonly CancellationTokenSource _gone = new();
    private readonly ConcurrentDictionary<string, bool> _opened = new(StringComparer.Ordinal);
    private readonly SemaphoreSlim _places = new(RequestsMax);

    /// <summary>Serves the connection until it is lost.</summary>
    public async Task RunAsync()
    {
        _channel.Send(control.Hello(), ControlJson.Default.ServerHello);
        List<Task> running = [];
        while (await _channel.ReadAsync(ControlJson.Default.ServerRequest) is { } request)
        {
            await _places.WaitAsync();
            running.RemoveAll(task => task.IsCompleted);
            running.Add(Task.Factory.StartNew(
                () => Execute(request),
                CancellationToken.None,
                TaskCreationOptions.LongRunning,
                TaskScheduler.Default));
        }

        await _gone.CancelAsync();
        await Task.WhenAll(running);
        control.Abandon(_opened.Keys);
    }

    /// <summary>Closes the connection.</summary>
    public void Dispose()
    {
        _channel.Dispose();
        _gone.Dispose();
        _places.Dispose();
    }

    private void Execute(ServerRequest request)
    {
        ServerReply reply;
        try
        {
            reply = Dispatch(request);
        }
        catch (ControlException e)
        {
            reply = new ServerReply { Error = e.Error };
        }
        catch (OperationCanceledException)
        {
            reply = Failure("given up, its daemon went away");
        }
        catch (Exception e)
        {
            // One export that cannot be had must not end the others.
            reply = Failure(e.Message.ReplaceLineEndings(" "));
        }

        _channel.Send(reply with { RequestId = request.RequestId }, ControlJson.Default.ServerReply);
        _places.Release();
        control.Leave();

        ServerReply Failure(string why) => new()
        {
            Error = new ControlError(
                ControlErrorCode.Failure, $"export {request.Name ?? request.Record?.Request.Name}: {why}"),
        };
    }

    private ServerReply Dispatch(ServerRequest request)
    {
        int timeoutMs = request.TimeoutMs ?? 0;
        switch (request)
        {
            case { Command: ServerProtocol.ServerCommand.OpenExport, Record: { } record }:
                ExportLayout layout = control.Open(record, new Events(this, record.Request.Name), _gone.Token);
                _opened[record.Request.Name] = true;
                return new ServerReply { Layout = layout };
            case { Command: ServerProtocol.ServerCommand.CommitExport, Name: { } name }:
                control.Commit(name);
                _opened.TryRemove(name, out _);
                return new ServerReply();
            case { Command: ServerProtocol.ServerCommand.CloseExport, Name: { } name }:
                return new ServerReply { Notes = control.Close(name, request.FailPending, timeoutMs) };
            case { Command: ServerProtocol.ServerCommand.ReleaseExport, Name: { } name }:
                control.Release(name, timeoutMs);
                return new ServerReply();
            case { Command: ServerProtocol.ServerCommand.ClearError, Name: { } name }:
                control.ClearError(name);
                return new ServerReply();
            case { Command: ServerProtocol.ServerCommand.Status }:
                return new ServerReply { Exports = control.Served() };
            case { Command: ServerProtocol.ServerCommand.Stop }:
                control.Stop();
                return new ServerReply();
            default:
                throw new ControlException(
                    ControlErrorCode.Usage, $"server: unknown or incomplete command '{request.Command}'");
        }
    }

    private sealed class Events(ServerSession session, string name) : IBackingEvents
    {
        public void Progress(long doneBytes, long totalBytes) => Send(
            new ServerReply { Name = name, ProgressBytes = doneBytes, ProgressTotalBytes = totalBytes });

        public void Waiting(string text) => Send(new ServerReply { Name = name, Waiting = text });

        private void Send(ServerReply reply) => session._channel.Send(reply, ControlJson.Default.ServerReply);
    }
}
