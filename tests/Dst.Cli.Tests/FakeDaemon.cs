using System.Collections.Concurrent;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Dst.Control;

namespace Dst.Cli.Tests;

/// <summary>A request as the fake daemon read it.</summary>
internal sealed record FakeRequest(string Method, string Target, string Body);

/// <summary>What the fake daemon answers; a null body closes the connection without a word.</summary>
internal sealed record FakeAnswer(int Status, string? Body)
{
    public static FakeAnswer Json<T>(int status, T value, JsonTypeInfo<T> type) =>
        new(status, JsonSerializer.Serialize(value, type));

    public static FakeAnswer Error(ControlErrorCode code, string message) =>
        Json(400, new ControlError(code, message), ControlJson.Default.ControlError);

    public static FakeAnswer HangUp { get; } = new(0, null);
}

/// <summary>Just enough of HTTP/1.1 over a Unix socket, in a run directory of its own.</summary>
internal sealed class FakeDaemon : IAsyncDisposable
{
    private readonly Socket _listener = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
    private readonly CancellationTokenSource _end = new();
    private readonly Func<FakeRequest, CancellationToken, Task<FakeAnswer>> _answer;
    private readonly Task _accepting;

    public FakeDaemon(Func<FakeRequest, FakeAnswer> answer)
        : this((request, _) => Task.FromResult(answer(request)))
    {
    }

    public FakeDaemon(Func<FakeRequest, CancellationToken, Task<FakeAnswer>> answer)
    {
        _answer = answer;
        RunPath = Directory.CreateTempSubdirectory("dstcli-").FullName;
        _listener.Bind(new UnixDomainSocketEndPoint(new RunDirectory(RunPath).DaemonSocket));
        _listener.Listen();
        _accepting = AcceptAsync();
    }

    public string RunPath { get; }

    /// <summary>The answer to who asks for all exports; null leaves that to the test.</summary>
    public string? Exports { get; init; } = "[]";

    public ConcurrentQueue<FakeRequest> Requests { get; } = new();

    public async ValueTask DisposeAsync()
    {
        await _end.CancelAsync();
        _listener.Dispose();
        await _accepting;
        _end.Dispose();
        Directory.Delete(RunPath, recursive: true);
    }

    private async Task AcceptAsync()
    {
        var connections = new List<Task>();
        try
        {
            while (true)
            {
                connections.Add(ServeAsync(await _listener.AcceptAsync(_end.Token)));
            }
        }
        catch (Exception end) when (end is OperationCanceledException or ObjectDisposedException or SocketException)
        {
            await Task.WhenAll(connections);
        }
    }

    private async Task ServeAsync(Socket socket)
    {
        using var stream = new NetworkStream(socket, ownsSocket: true);
        try
        {
            while (await ReadAsync(stream) is { } request)
            {
                bool isDefault = request.Target == "/v1/exports" && request.Method == "GET" && Exports is not null;
                if (!isDefault)
                {
                    Requests.Enqueue(request);
                }

                FakeAnswer answer = isDefault ? new FakeAnswer(200, Exports) : await _answer(request, _end.Token);
                if (answer.Body is null)
                {
                    return;
                }

                byte[] body = Encoding.UTF8.GetBytes(answer.Body);
                string length = answer.Status == 204 ? string.Empty : $"Content-Length: {body.Length}\r\n";
                byte[] head = Encoding.ASCII.GetBytes($"HTTP/1.1 {answer.Status} X\r\n{length}\r\n");
                await stream.WriteAsync(head, _end.Token);
                await stream.WriteAsync(body, _end.Token);
            }
        }
        catch (Exception end) when (end is OperationCanceledException or IOException)
        {
            // The test is over, or the client went.
        }
    }

    private async Task<FakeRequest?> ReadAsync(NetworkStream stream)
    {
        var head = new StringBuilder();
        byte[] one = new byte[1];
        while (!head.ToString().EndsWith("\r\n\r\n", StringComparison.Ordinal))
        {
            if (await stream.ReadAsync(one, _end.Token) == 0)
            {
                return null;
            }

            head.Append((char)one[0]);
        }

        string[] lines = head.ToString().Split("\r\n");
        string? length = lines.FirstOrDefault(l => l.StartsWith("Content-Length:", StringComparison.OrdinalIgnoreCase));
        byte[] body = new byte[length is null ? 0 : int.Parse(length.Split(':')[1])];
        await stream.ReadExactlyAsync(body, _end.Token);
        string[] first = lines[0].Split(' ');
        return new FakeRequest(first[0], first[1], Encoding.UTF8.GetString(body));
    }
}
