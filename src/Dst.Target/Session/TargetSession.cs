using System.Net.Sockets;
using System.Text.Json;
using Dst.Control;
using Dst.Nodes.Backings;
using Dst.Target.Devices;

namespace Dst.Target.Session;

/// <summary>
/// One connection of dstd: reads requests line by line and answers each, one at a time (see <see cref="TargetProtocol"/>). While a request runs, the socket is
/// watched: the loss of the connection that opened a device which is not live yet cancels and undoes it.
/// </summary>
internal sealed class TargetSession(Socket socket, TargetDevice device, TargetIdentity identity, Lock deviceLock) : IBackingEvents, IDisposable
{
    private readonly NetworkStream _stream = new(socket, ownsSocket: true);
    private readonly CancellationTokenSource _gone = new();
    private readonly Lock _writing = new();
    private bool _stopped;

    /// <summary>The device was stopped over this connection, in order.</summary>
    public bool StoppedDevice => _stopped;

    /// <summary>Serves the connection until it is lost.</summary>
    /// <returns>True when the process is to end: the device was stopped, or the connection that was making it is lost.</returns>
    public async Task<bool> RunAsync()
    {
        bool opener = false;
        try
        {
            Send(Hello(), ControlJson.Default.TargetHello);
            using var reader = new LineReader(_stream, TargetProtocol.MaxLineBytes);
            Task<bool>? running = null;
            while (await reader.ReadAsync() is { } line)
            {
                if (running is not null && await running)
                {
                    return true;
                }

                if (JsonSerializer.Deserialize(line.Span, ControlJson.Default.TargetRequest) is not { } request)
                {
                    break;
                }

                opener |= request.Command == TargetProtocol.TargetCommand.Open;
                running = Task.Run(() => Execute(request));
                _ = running.ContinueWith(ended => EndIfStopped(ended), TaskScheduler.Default);
            }

            await _gone.CancelAsync();
            if (running is not null && await running)
            {
                return true;
            }
        }
        catch (Exception e) when (e is IOException or SocketException or JsonException)
        {
            await _gone.CancelAsync();
        }

        if (_stopped)
        {
            return true;
        }

        lock (deviceLock)
        {
            return identity.Refusal is not null || (opener && device.State is not "live");
        }
    }

    /// <inheritdoc/>
    public void Progress(long doneBytes, long totalBytes) => Reply(new TargetReply { ProgressBytes = doneBytes, ProgressTotalBytes = totalBytes });

    /// <inheritdoc/>
    public void Waiting(string text) => Reply(new TargetReply { Waiting = text });

    /// <inheritdoc/>
    public void Dispose()
    {
        _stream.Dispose();
        _gone.Dispose();
    }

    /// <summary>After a stop nothing more is read: the reader is woken by closing our side.</summary>
    private void EndIfStopped(Task<bool> ended)
    {
        if (ended.IsCompletedSuccessfully && ended.Result)
        {
            try
            {
                socket.Shutdown(SocketShutdown.Receive);
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException)
            {
                // The other side was faster.
            }
        }
    }

    private TargetHello Hello() => new()
    {
        Protocol = TargetProtocol.Version,
        Version = identity.Version,
        Name = identity.Name,
        Pid = Environment.ProcessId,
        State = device.State,
        Geometry = device.Geometry,
        Refusal = identity.Refusal,
    };

    /// <returns>True when the device was stopped.</returns>
    private bool Execute(TargetRequest request)
    {
        bool stopped = false;
        TargetReply reply;
        try
        {
            lock (deviceLock)
            {
                reply = Dispatch(request);
            }

            stopped = request.Command == TargetProtocol.TargetCommand.Stop;
            _stopped |= stopped;
        }
        catch (ControlException e)
        {
            reply = new TargetReply { Error = e.Error };
        }
        catch (OperationCanceledException)
        {
            reply = new TargetReply { Error = new ControlError(ControlErrorCode.Failure, $"device {identity.Name}: given up, its daemon went away") };
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or Dst.Ublk.Control.UblkException)
        {
            reply = new TargetReply { Error = new ControlError(ControlErrorCode.Failure, $"device {identity.Name}: {e.Message}") };
        }
        catch (TargetFatalException e)
        {
            Reply(new TargetReply { RequestId = request.RequestId, Error = new ControlError(ControlErrorCode.Failure, e.Message) });
            TargetExit.Now(device, identity, e.Message);
            throw;
        }

        Reply(reply with { RequestId = request.RequestId });
        return stopped;
    }

    private TargetReply Dispatch(TargetRequest request)
    {
        if (identity.Refusal is not null)
        {
            throw new ControlException(ControlErrorCode.Failure, identity.Refusal);
        }

        switch (request.Command)
        {
            case TargetProtocol.TargetCommand.Open when request is { Record: { } record, StateDirectory: { } state }:
                return new TargetReply { Geometry = device.Open(record, state, this, _gone.Token) };
            case TargetProtocol.TargetCommand.Start:
                return new TargetReply { BlockDevice = device.Start() };
            case TargetProtocol.TargetCommand.Stop:
                device.Stop(request.FailPending, request.TimeoutMs ?? 0);
                return new TargetReply();
            case TargetProtocol.TargetCommand.ClearError:
                device.ClearError(request.NodeIndex);
                return new TargetReply();
            default:
                throw new ControlException(ControlErrorCode.Usage, $"target of {identity.Name}: unknown or incomplete command '{request.Command}'");
        }
    }

    private void Reply(TargetReply reply) => Send(reply, ControlJson.Default.TargetReply);

    private void Send<T>(T document, System.Text.Json.Serialization.Metadata.JsonTypeInfo<T> type)
    {
        byte[] json = JsonSerializer.SerializeToUtf8Bytes(document, type);
        try
        {
            lock (_writing)
            {
                _stream.Write(json);
                _stream.WriteByte((byte)'\n');
            }
        }
        catch (Exception e) when (e is IOException or ObjectDisposedException)
        {
            // Nobody is there to hear it; the reading side notices.
        }
    }
}

/// <summary>What a target says of itself.</summary>
/// <param name="Name">Name of its device.</param>
/// <param name="Version">Version of the program.</param>
/// <param name="Refusal">Why it refuses to serve, or null.</param>
internal sealed record TargetIdentity(string Name, string Version, string? Refusal);
