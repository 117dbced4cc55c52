using System.Net;
using System.Net.Http.Headers;
using System.Net.Sockets;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Dst.Control;

namespace Dst.Cli;

/// <summary>
/// The HTTP API of dstd over its Unix socket. Every failure is a <see cref="ControlException"/>, save for the
/// caller's own cancellation. Any thread; calls may overlap.
/// </summary>
internal sealed class DaemonClient : IDisposable
{
    /// <summary>Longest answer that is accepted.</summary>
    public const int MaxAnswerBytes = 64 << 20;

    private readonly RunDirectory _runDirectory;
    private readonly CliLimits _limits;
    private readonly HttpClient _http;

    /// <summary>A client that connects with its first call.</summary>
    /// <param name="runDirectory">The instance.</param>
    /// <param name="limits">How long dstd may take for an answer.</param>
    public DaemonClient(RunDirectory runDirectory, CliLimits limits)
    {
        _limits = limits;
        _runDirectory = runDirectory;
        var handler = new SocketsHttpHandler
        {
            UseProxy = false,
            UseCookies = false,
            AllowAutoRedirect = false,
            ActivityHeadersPropagator = null,
            ConnectCallback = (_, cancellation) => ConnectAsync(runDirectory.DaemonSocket, cancellation),
        };
        _http = new HttpClient(handler)
        {
            BaseAddress = new Uri("http://dstd/"),
            Timeout = Timeout.InfiniteTimeSpan,
            MaxResponseContentBufferSize = MaxAnswerBytes,
        };
    }

    /// <summary>What the daemon says of itself.</summary>
    public Task<DaemonInfo> GetVersionAsync(CancellationToken cancellation) =>
        ReadAsync("v1/version", ControlJson.Default.DaemonInfo, cancellation);

    /// <summary>Every device, in the order of the names.</summary>
    public async Task<IReadOnlyList<DeviceStatus>> GetDevicesAsync(CancellationToken cancellation)
    {
        DeviceStatus[] devices = await ReadAsync("v1/devices", ControlJson.Default.DeviceStatusArray, cancellation);
        Array.Sort(devices, static (a, b) => string.CompareOrdinal(a.Name, b.Name));
        return devices;
    }

    /// <summary>One device.</summary>
    public Task<DeviceStatus> GetDeviceAsync(string name, CancellationToken cancellation) =>
        ReadAsync(DevicePath(name), ControlJson.Default.DeviceStatus, cancellation);

    /// <summary>Makes a device and waits until it is live.</summary>
    /// <param name="request">What to make.</param>
    /// <param name="nodeTimeoutMs">How long its network nodes may take to attach before all is undone.</param>
    /// <param name="takeOver">Fences who holds the exports of its network nodes.</param>
    /// <param name="cancellation">Ends the waiting, not the making.</param>
    public Task<DeviceStatus> AddDeviceAsync(
        DeviceRequest request, int? nodeTimeoutMs, bool takeOver, CancellationToken cancellation)
    {
        string query = $"?nodeTimeoutMs={nodeTimeoutMs}{(takeOver ? "&takeOver=true" : string.Empty)}";
        return SendAsync(
            HttpMethod.Post,
            $"v1/devices{query}",
            Body(request, ControlJson.Default.DeviceRequest),
            ControlJson.Default.DeviceStatus,
            cancellation);
    }

    /// <summary>Removes a device and waits until it is gone.</summary>
    public Task<RemovalReport> RemoveDeviceAsync(
        string name, bool force, int timeoutMs, CancellationToken cancellation) =>
        SendAsync(
            HttpMethod.Delete,
            $"{DevicePath(name)}?force={(force ? "true" : "false")}&timeoutMs={timeoutMs}",
            null,
            ControlJson.Default.RemovalReport,
            cancellation);

    /// <summary>Clears the error mark of one node, or of all when <paramref name="index"/> is null.</summary>
    public async Task ClearErrorAsync(string name, int? index, CancellationToken cancellation)
    {
        HttpContent body = Body(new ClearErrorRequest(index), ControlJson.Default.ClearErrorRequest);
        await LimitAsync(
            limited => SendAsync<DaemonInfo>(HttpMethod.Post, $"{DevicePath(name)}/clear-error", body, null, limited),
            _limits.ClearError,
            cancellation);
    }

    /// <summary>Tells a network node something.</summary>
    /// <param name="name">The device.</param>
    /// <param name="index">The node.</param>
    /// <param name="order">A word of <see cref="NodeOrder"/>.</param>
    /// <param name="settings">With set: what changes.</param>
    /// <param name="cancellation">Ends the waiting.</param>
    public async Task OrderNodeAsync(
        string name, int index, string order, NodeSettings? settings, CancellationToken cancellation)
    {
        HttpContent? body = settings is null ? null : Body(settings, ControlJson.Default.NodeSettings);
        string path = string.Create(
            System.Globalization.CultureInfo.InvariantCulture, $"{DevicePath(name)}/nodes/{index}/{order}");
        await LimitAsync(
            limited => SendAsync<DaemonInfo>(HttpMethod.Post, path, body, null, limited),
            _limits.QuickAnswer,
            cancellation);
    }

    /// <summary>Every export, in the order of the names.</summary>
    public async Task<IReadOnlyList<ExportStatus>> GetExportsAsync(CancellationToken cancellation)
    {
        ExportStatus[] exports = await ReadAsync("v1/exports", ControlJson.Default.ExportStatusArray, cancellation);
        Array.Sort(exports, static (a, b) => string.CompareOrdinal(a.Name, b.Name));
        return exports;
    }

    /// <summary>One export.</summary>
    public Task<ExportStatus> GetExportAsync(string name, CancellationToken cancellation) =>
        ReadAsync(ExportPath(name), ControlJson.Default.ExportStatus, cancellation);

    /// <summary>Makes an export and waits until it is live.</summary>
    /// <param name="request">What to make.</param>
    /// <param name="timeoutMs">When the daemon ends the waiting; null: never.</param>
    /// <param name="cancellation">Ends the waiting, not the making.</param>
    public Task<ExportStatus> AddExportAsync(
        ExportRequest request, int? timeoutMs, CancellationToken cancellation)
    {
        string query = timeoutMs is null ? string.Empty : $"?timeoutMs={timeoutMs}";
        return SendAsync(
            HttpMethod.Post,
            $"v1/exports{query}",
            Body(request, ControlJson.Default.ExportRequest),
            ControlJson.Default.ExportStatus,
            cancellation);
    }

    /// <summary>Removes an export and waits until it is gone.</summary>
    public Task<RemovalReport> RemoveExportAsync(
        string name, bool force, int timeoutMs, CancellationToken cancellation) =>
        SendAsync(
            HttpMethod.Delete,
            $"{ExportPath(name)}?force={(force ? "true" : "false")}&timeoutMs={timeoutMs}",
            null,
            ControlJson.Default.RemovalReport,
            cancellation);

    /// <summary>Ends the hold of an export's client.</summary>
    public Task ReleaseExportAsync(string name, int timeoutMs, CancellationToken cancellation) =>
        SendAsync<DaemonInfo>(
            HttpMethod.Post, $"{ExportPath(name)}/release?timeoutMs={timeoutMs}", null, null, cancellation);

    /// <summary>Clears the error marks of an export.</summary>
    public async Task ClearExportErrorAsync(string name, int? index, CancellationToken cancellation)
    {
        HttpContent body = Body(new ClearErrorRequest(index), ControlJson.Default.ClearErrorRequest);
        await LimitAsync(
            limited => SendAsync<DaemonInfo>(HttpMethod.Post, $"{ExportPath(name)}/clear-error", body, null, limited),
            _limits.ClearError,
            cancellation);
    }

    public void Dispose() => _http.Dispose();

    private static string ExportPath(string name) => $"v1/exports/{Uri.EscapeDataString(name)}";

    private static string DevicePath(string name) => $"v1/devices/{Uri.EscapeDataString(name)}";

    private static ByteArrayContent Body<T>(T value, JsonTypeInfo<T> type)
    {
        var content = new ByteArrayContent(JsonSerializer.SerializeToUtf8Bytes(value, type));
        content.Headers.ContentType = new MediaTypeHeaderValue("application/json");
        return content;
    }

    private static async ValueTask<Stream> ConnectAsync(string path, CancellationToken cancellation)
    {
        var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            await socket.ConnectAsync(new UnixDomainSocketEndPoint(path), cancellation);
            return new NetworkStream(socket, ownsSocket: true);
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    private Task<T> ReadAsync<T>(string path, JsonTypeInfo<T> type, CancellationToken cancellation)
        where T : class =>
        LimitAsync(limited => SendAsync(HttpMethod.Get, path, null, type, limited), _limits.QuickAnswer, cancellation);

    private async Task<T> LimitAsync<T>(
        Func<CancellationToken, Task<T>> call, TimeSpan longest, CancellationToken cancellation)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        limit.CancelAfter(longest);
        try
        {
            return await call(limit.Token);
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
        {
            throw new ControlException(
                ControlErrorCode.TimedOut,
                $"dstd has not answered within {longest.TotalSeconds:0} s on {_runDirectory.DaemonSocket}; "
                + "look at its log");
        }
    }

    private async Task<T> SendAsync<T>(
        HttpMethod method,
        string path,
        HttpContent? body,
        JsonTypeInfo<T>? answerType,
        CancellationToken cancellation)
        where T : class
    {
        using var request = new HttpRequestMessage(method, path) { Content = body };
        try
        {
            using HttpResponseMessage response = await _http.SendAsync(request, cancellation);
            byte[] answer = await response.Content.ReadAsByteArrayAsync(cancellation);
            if (!response.IsSuccessStatusCode)
            {
                throw Refusal(response.StatusCode, answer, $"{method} /{path}");
            }

            // Only calls whose answer nobody reads come without a type.
            return answerType is null
                ? null!
                : JsonSerializer.Deserialize(answer, answerType) ?? throw new JsonException("null");
        }
        catch (HttpRequestException failure)
        {
            throw Unreachable(failure);
        }
        catch (JsonException)
        {
            throw new ControlException(
                ControlErrorCode.Failure,
                $"the answer of dstd to {method} /{path} cannot be read; "
                + $"are dstctl ({CommandLine.Version}) and dstd of one version? see 'dstctl doctor'");
        }
    }

    private static ControlException Refusal(HttpStatusCode status, byte[] answer, string call)
    {
        try
        {
            if (JsonSerializer.Deserialize(answer, ControlJson.Default.ControlError) is { Message: not null } error)
            {
                return new ControlException(error.Code, error.Message);
            }
        }
        catch (JsonException)
        {
            // Not ours: a proxy, another program on that socket, or a daemon in trouble.
        }

        return new ControlException(
            ControlErrorCode.Failure,
            $"dstd answered {(int)status} to {call}; look at its log");
    }

    private ControlException Unreachable(HttpRequestException failure)
    {
        string socket = _runDirectory.DaemonSocket;
        string message = (failure.InnerException as SocketException)?.SocketErrorCode switch
        {
            // The runtime's name for ENOENT on a Unix socket.
            SocketError.AddressNotAvailable =>
                $"dstd is not running: no socket {socket} (ENOENT); start it: {StartCommand}, "
                + "or name its directory with --run-dir",
            SocketError.ConnectionRefused =>
                $"dstd is not running: nobody listens on {socket} (ECONNREFUSED); start it: {StartCommand}",
            SocketError.AccessDenied =>
                $"no permission for {socket} (EACCES); run dstctl as root, for example with sudo",
            null when failure.InnerException is IOException or null =>
                $"dstd closed the connection on {socket} before it answered; look at its log, then at 'dstctl status'",
            _ => $"dstd cannot be reached on {socket}: {(failure.InnerException ?? failure).Message}; is it running?",
        };
        return new ControlException(ControlErrorCode.Unreachable, message);
    }

    private string StartCommand =>
        string.Equals(_runDirectory.Path, RunDirectory.DefaultPath, StringComparison.Ordinal)
            ? "'systemctl start dstd' or 'dstd' as root"
            : $"'dstd --run-dir {_runDirectory.Path}' as root";
}
