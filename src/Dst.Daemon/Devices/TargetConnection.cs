using System.Buffers;
using System.Collections.Concurrent;
using System.IO.Pipelines;
using System.Net.Sockets;
using System.Text.Json;
using Dst.Control;
using Dst.Daemon.Kernel;

namespace Dst.Daemon.Devices;

/// <summary>
/// One connection to one target, speaking <see cref="TargetProtocol"/>. Any thread may send; replies are told apart by
/// their request id.
/// </summary>
internal sealed class TargetConnection : IDisposable
{
    private readonly Socket _socket;
    private readonly NetworkStream _stream;
    private readonly PipeReader _reader;
    private readonly SemaphoreSlim _sending = new(1, 1);
    private readonly ConcurrentDictionary<long, TaskCompletionSource<TargetReply>> _waiting = new();
    private readonly Action<TargetReply> _onEvent;
    private long _lastRequestId;
    private volatile bool _lost;

    private TargetConnection(Socket socket, ProcessHandle process, Action<TargetReply> onEvent)
    {
        _socket = socket;
        _stream = new NetworkStream(socket, ownsSocket: true);
        _reader = PipeReader.Create(_stream);
        Process = process;
        _onEvent = onEvent;
    }

    /// <summary>The process that listens on the other end.</summary>
    public ProcessHandle Process { get; }

    /// <summary>What it said first.</summary>
    public TargetHello Hello { get; private set; } = null!;

    /// <summary>True when nothing more can be asked here.</summary>
    public bool Lost => _lost;

    /// <summary>Connects and hears the hello.</summary>
    /// <param name="path">Socket of the target.</param>
    /// <param name="helloLimit">How long the target may be silent.</param>
    /// <param name="onEvent">Called for every event, one at a time.</param>
    /// <param name="cancel">Gives up.</param>
    /// <returns>The connection, or null when nobody listens there.</returns>
    /// <exception cref="ControlException">Somebody listens but says no proper hello.</exception>
    public static async Task<TargetConnection?> OpenAsync(
        string path, TimeSpan helloLimit, Action<TargetReply> onEvent, CancellationToken cancel)
    {
        Socket? socket = await ConnectAsync(path, helloLimit, cancel);
        if (socket is null || ProcessHandle.OfPeer(socket) is not { } process)
        {
            socket?.Dispose();
            return null;
        }

        TargetConnection connection = new(socket, process, onEvent);
        try
        {
            await connection.HearHelloAsync(path, helloLimit, cancel);
            _ = connection.ReceiveAsync();
            return connection;
        }
        catch
        {
            connection.Dispose();
            throw;
        }
    }

    /// <summary>Asks and awaits the answer.</summary>
    /// <param name="request">The request; its id is chosen here.</param>
    /// <param name="cancel">Gives up waiting; the target goes on.</param>
    /// <exception cref="ControlException">The target's own error.</exception>
    /// <exception cref="IOException">The connection is lost.</exception>
    public async Task<TargetReply> AskAsync(TargetRequest request, CancellationToken cancel)
    {
        long id = Interlocked.Increment(ref _lastRequestId);
        TaskCompletionSource<TargetReply> waiting = new(TaskCreationOptions.RunContinuationsAsynchronously);
        _waiting[id] = waiting;
        try
        {
            await SendAsync(request with { RequestId = id }, cancel);
            if (_lost)
            {
                throw new IOException("connection to the target is lost");
            }

            TargetReply reply = await waiting.Task.WaitAsync(cancel);
            return reply.Error is { } error ? throw new ControlException(error.Code, error.Message) : reply;
        }
        finally
        {
            _waiting.TryRemove(id, out _);
        }
    }

    /// <summary>
    /// Closes the connection; a target that is not live yet ends by it. The process handle stays for its watchers.
    /// </summary>
    public void Dispose()
    {
        _lost = true;
        _stream.Dispose();
        _socket.Dispose();
        Process.Dispose();
    }

    // Only a refused or absent socket means that nobody is there: a stopped target whose backlog is full is still
    // there.
    private static async Task<Socket?> ConnectAsync(string path, TimeSpan limit, CancellationToken cancel)
    {
        using CancellationTokenSource timer = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        timer.CancelAfter(limit);
        Socket socket = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            await socket.ConnectAsync(new UnixDomainSocketEndPoint(path), timer.Token);
            return socket;
        }
        catch (SocketException e)
            when (e.SocketErrorCode is SocketError.ConnectionRefused or SocketError.AddressNotAvailable)
        {
            socket.Dispose();
            return null;
        }
        catch (Exception e)
            when (e is SocketException || (e is OperationCanceledException && !cancel.IsCancellationRequested))
        {
            socket.Dispose();
            throw new ControlException(ControlErrorCode.Failure, $"target at {path} cannot be reached: {e.Message}");
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    private async Task HearHelloAsync(string path, TimeSpan limit, CancellationToken cancel)
    {
        using CancellationTokenSource timer = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        timer.CancelAfter(limit);
        try
        {
            byte[]? line = await ReadLineAsync(timer.Token);
            Hello = (line is null ? null : JsonSerializer.Deserialize(line, ControlJson.Default.TargetHello))
                ?? throw new ControlException(
                    ControlErrorCode.Failure, $"target at {path} (pid {Process.Pid}) closed the connection");
        }
        catch (OperationCanceledException) when (!cancel.IsCancellationRequested)
        {
            throw new ControlException(
                ControlErrorCode.TimedOut,
                $"target (pid {Process.Pid}) did not answer within {limit.TotalSeconds:0.#} s; is it stopped?");
        }
        catch (Exception e) when (e is JsonException or IOException)
        {
            throw new ControlException(
                ControlErrorCode.Failure, $"target at {path} (pid {Process.Pid}) speaks no known protocol");
        }
    }

    private async Task SendAsync(TargetRequest request, CancellationToken cancel)
    {
        byte[] line = [.. JsonSerializer.SerializeToUtf8Bytes(request, ControlJson.Default.TargetRequest), (byte)'\n'];
        await _sending.WaitAsync(cancel);
        try
        {
            await _stream.WriteAsync(line, cancel);
        }
        catch (ObjectDisposedException e)
        {
            throw new IOException("connection to the target is closed", e);
        }
        finally
        {
            _sending.Release();
        }
    }

    private async Task ReceiveAsync()
    {
        try
        {
            while (await ReadLineAsync(CancellationToken.None) is { } line)
            {
                Dispatch(JsonSerializer.Deserialize(line, ControlJson.Default.TargetReply));
            }
        }
        catch (Exception e)
            when (e is IOException or JsonException or ObjectDisposedException or OperationCanceledException)
        {
            // Same as the end of the stream: nothing more can be trusted here.
        }

        _lost = true;
        foreach (TaskCompletionSource<TargetReply> waiting in _waiting.Values)
        {
            waiting.TrySetException(new IOException("connection to the target is lost"));
        }
    }

    private void Dispatch(TargetReply? reply)
    {
        if (reply?.RequestId is { } id)
        {
            if (_waiting.TryGetValue(id, out TaskCompletionSource<TargetReply>? waiting))
            {
                waiting.TrySetResult(reply);
            }
        }
        else if (reply is not null)
        {
            _onEvent(reply);
        }
    }

    private async Task<byte[]?> ReadLineAsync(CancellationToken cancel)
    {
        while (true)
        {
            ReadResult result = await _reader.ReadAsync(cancel);
            ReadOnlySequence<byte> buffer = result.Buffer;
            if (buffer.PositionOf((byte)'\n') is { } end)
            {
                byte[] line = buffer.Slice(0, end).ToArray();
                _reader.AdvanceTo(buffer.GetPosition(1, end));
                return line;
            }

            _reader.AdvanceTo(buffer.Start, buffer.End);
            if (result.IsCompleted || buffer.Length > TargetProtocol.MaxLineBytes)
            {
                return null;
            }
        }
    }
}
