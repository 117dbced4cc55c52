using System.Buffers;
using System.Collections.Concurrent;
using System.IO.Pipelines;
using System.Net.Sockets;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Dst.Control;
using Dst.Daemon.Kernel;

namespace Dst.Daemon.Connections;

/// <summary>
/// One connection to a serving process: JSON documents, one a line. Any thread may send; replies are told apart by
/// their request id.
/// </summary>
/// <typeparam name="THello">What the process says first.</typeparam>
/// <typeparam name="TRequest">What it is asked.</typeparam>
/// <typeparam name="TReply">What it answers, and its events.</typeparam>
internal abstract class ControlConnection<THello, TRequest, TReply> : IDisposable
    where THello : class
    where TRequest : class
    where TReply : class
{
    /// <summary>A process that dies closes its sockets a little before it is seen to have ended.</summary>
    private static readonly TimeSpan EndAfterClose = TimeSpan.FromSeconds(1);

    private readonly Socket _socket;
    private readonly NetworkStream _stream;
    private readonly PipeReader _reader;
    private readonly SemaphoreSlim _sending = new(1, 1);
    private readonly ConcurrentDictionary<long, TaskCompletionSource<TReply>> _waiting = new();
    private readonly Action<TReply> _onEvent;
    private long _lastRequestId;
    private volatile bool _lost;

    private readonly ControlDialect<THello, TRequest, TReply> _dialect;

    protected ControlConnection(
        ControlDialect<THello, TRequest, TReply> dialect,
        Socket socket,
        ProcessHandle process,
        Action<TReply> onEvent)
    {
        _dialect = dialect;
        _socket = socket;
        _stream = new NetworkStream(socket, ownsSocket: true);
        _reader = PipeReader.Create(_stream);
        Process = process;
        _onEvent = onEvent;
    }

    /// <summary>The process that listens on the other end.</summary>
    public ProcessHandle Process { get; }

    /// <summary>What it said first.</summary>
    public THello Hello { get; private set; } = null!;

    /// <summary>True when nothing more can be asked here.</summary>
    public bool Lost => _lost;

    /// <summary>Connects and hears the hello.</summary>
    /// <param name="path">Socket of the process.</param>
    /// <param name="word">What people call the process.</param>
    /// <param name="helloLimit">How long it may be silent.</param>
    /// <param name="make">Makes the connection.</param>
    /// <param name="cancel">Gives up.</param>
    /// <returns>The connection, or null when nobody listens there or who did has just ended.</returns>
    /// <exception cref="ControlException">Somebody listens but says no proper hello.</exception>
    protected static async Task<TConnection?> OpenAsync<TConnection>(
        string path,
        string word,
        TimeSpan helloLimit,
        Func<Socket, ProcessHandle, TConnection> make,
        CancellationToken cancel)
        where TConnection : ControlConnection<THello, TRequest, TReply>
    {
        Socket? socket = await ConnectAsync(path, word, helloLimit, cancel);
        if (socket is null || ProcessHandle.OfPeer(socket) is not { } process)
        {
            socket?.Dispose();
            return null;
        }

        TConnection connection = make(socket, process);
        try
        {
            if (!await connection.HearHelloAsync(path, helloLimit, cancel))
            {
                connection.Dispose();
                return null;
            }

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
    /// <param name="cancel">Gives up waiting; the process goes on.</param>
    /// <exception cref="ControlException">The process's own error.</exception>
    /// <exception cref="IOException">The connection is lost.</exception>
    public async Task<TReply> AskAsync(TRequest request, CancellationToken cancel)
    {
        long id = Interlocked.Increment(ref _lastRequestId);
        TaskCompletionSource<TReply> waiting = new(TaskCreationOptions.RunContinuationsAsynchronously);
        _waiting[id] = waiting;
        try
        {
            await SendAsync(_dialect.WithId(request, id), cancel);
            if (_lost)
            {
                throw new IOException($"connection to the {_dialect.Word} is lost");
            }

            TReply reply = await waiting.Task.WaitAsync(cancel);
            return _dialect.ErrorOf(reply) is { } error ? throw new ControlException(error.Code, error.Message) : reply;
        }
        finally
        {
            _waiting.TryRemove(id, out _);
        }
    }

    /// <summary>
    /// Closes the connection; what it had begun is undone. The process handle stays for its watchers.
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
    private static async Task<Socket?> ConnectAsync(
        string path, string word, TimeSpan limit, CancellationToken cancel)
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
            throw new ControlException(ControlErrorCode.Failure, $"{word} at {path} cannot be reached: {e.Message}");
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    // False when the process has ended instead: a killed one answers nobody, though its socket may outlive it a while.
    private async Task<bool> HearHelloAsync(string path, TimeSpan limit, CancellationToken cancel)
    {
        using CancellationTokenSource timer = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        timer.CancelAfter(limit);
        try
        {
            if (await ReadLineAsync(timer.Token) is { } line
                && JsonSerializer.Deserialize(line, _dialect.HelloType) is { } hello)
            {
                Hello = hello;
                return true;
            }
        }
        catch (OperationCanceledException) when (!cancel.IsCancellationRequested)
        {
            throw new ControlException(
                ControlErrorCode.TimedOut,
                $"{_dialect.Word} (pid {Process.Pid}) did not answer within {limit.TotalSeconds:0.#} s; "
                + "is it stopped?");
        }
        catch (IOException)
        {
            // Reset: as good as closed.
        }
        catch (JsonException)
        {
            throw new ControlException(
                ControlErrorCode.Failure, $"{_dialect.Word} at {path} (pid {Process.Pid}) speaks no known protocol");
        }

        return await Process.WaitAsync(EndAfterClose)
            ? false
            : throw new ControlException(
                ControlErrorCode.Failure, $"{_dialect.Word} at {path} (pid {Process.Pid}) closed the connection");
    }

    private async Task SendAsync(TRequest request, CancellationToken cancel)
    {
        byte[] line = [.. JsonSerializer.SerializeToUtf8Bytes(request, _dialect.RequestType), (byte)'\n'];
        await _sending.WaitAsync(cancel);
        try
        {
            await _stream.WriteAsync(line, cancel);
        }
        catch (ObjectDisposedException e)
        {
            throw new IOException($"connection to the {_dialect.Word} is closed", e);
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
                Dispatch(JsonSerializer.Deserialize(line, _dialect.ReplyType));
            }
        }
        catch (Exception e)
            when (e is IOException or JsonException or ObjectDisposedException or OperationCanceledException)
        {
            // Same as the end of the stream: nothing more can be trusted here.
        }

        _lost = true;
        foreach (TaskCompletionSource<TReply> waiting in _waiting.Values)
        {
            waiting.TrySetException(new IOException($"connection to the {_dialect.Word} is lost"));
        }
    }

    private void Dispatch(TReply? reply)
    {
        if (reply is not null && _dialect.IdOf(reply) is { } id)
        {
            if (_waiting.TryGetValue(id, out TaskCompletionSource<TReply>? waiting))
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
            if (result.IsCompleted || buffer.Length > _dialect.MaxLineBytes)
            {
                return null;
            }
        }
    }
}

/// <summary>How one protocol of <see cref="ControlConnection{THello,TRequest,TReply}"/> is spoken.</summary>
/// <param name="Word">What people call the process.</param>
/// <param name="MaxLineBytes">Longest line.</param>
/// <param name="HelloType">How a hello is read.</param>
/// <param name="RequestType">How a request is written.</param>
/// <param name="ReplyType">How a reply is read.</param>
/// <param name="WithId">The request with an id.</param>
/// <param name="IdOf">The id that a reply answers; null for an event.</param>
/// <param name="ErrorOf">The error of a reply.</param>
internal sealed record ControlDialect<THello, TRequest, TReply>(
    string Word,
    int MaxLineBytes,
    JsonTypeInfo<THello> HelloType,
    JsonTypeInfo<TRequest> RequestType,
    JsonTypeInfo<TReply> ReplyType,
    Func<TRequest, long, TRequest> WithId,
    Func<TReply, long?> IdOf,
    Func<TReply, ControlError?> ErrorOf);
