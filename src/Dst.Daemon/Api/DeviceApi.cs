using System.Globalization;
using Dst.Control;
using Dst.Daemon.Devices;
using Dst.Daemon.Logging;

namespace Dst.Daemon.Api;

/// <summary>The HTTP API, version 1. Every failure is a <see cref="ControlError"/> document.</summary>
/// <param name="manager">The devices.</param>
/// <param name="info">What the daemon says of itself.</param>
/// <param name="log">The log.</param>
internal sealed class DeviceApi(DeviceManager manager, DaemonInfo info, ILogger log)
{
    /// <summary>Version of the API.</summary>
    public const int Version = 1;

    private readonly TaskCompletionSource _open = new(TaskCreationOptions.RunContinuationsAsynchronously);

    private static readonly TimeSpan DefaultRemovalTimeout = TimeSpan.FromSeconds(10);

    /// <summary>Lets requests through, which wait until then.</summary>
    public void Open() => _open.TrySetResult();

    /// <summary>Adds the routes.</summary>
    public void Map(WebApplication app)
    {
        app.Use(next => context => GuardAsync(context, next));
        app.MapGet("/v1/version", (RequestDelegate)VersionAsync);
        app.MapGet("/v1/devices", (RequestDelegate)ListAsync);
        app.MapGet("/v1/devices/{name}", (RequestDelegate)StatusAsync);
        app.MapPost("/v1/devices", (RequestDelegate)CreateAsync);
        app.MapDelete("/v1/devices/{name}", (RequestDelegate)RemoveAsync);
        app.MapPost("/v1/devices/{name}/clear-error", (RequestDelegate)ClearErrorAsync);
        app.MapPost("/v1/devices/{name}/nodes/{index:int}/{order}", (RequestDelegate)OrderNodeAsync);
    }

    private async Task GuardAsync(HttpContext context, RequestDelegate next)
    {
        try
        {
            await _open.Task.WaitAsync(context.RequestAborted);
            await next(context);
            bool isUnknown = context.Response.StatusCode
                is StatusCodes.Status404NotFound or StatusCodes.Status405MethodNotAllowed;
            if (isUnknown && !context.Response.HasStarted)
            {
                ControlError unknown = new(
                    ControlErrorCode.Usage,
                    $"{context.Request.Method} {context.Request.Path} is not in API version {Version}");
                await Replies.SendErrorAsync(context, unknown, context.Response.StatusCode);
            }
        }
        catch (ControlException e)
        {
            await Replies.SendErrorAsync(context, e.Error);
        }
        catch (BadHttpRequestException e)
        {
            await RefuseAsync(context, e);
        }
        catch (OperationCanceledException) when (context.RequestAborted.IsCancellationRequested)
        {
            // The client has gone; whatever it began goes on.
        }
        catch (Exception e) when (!context.Response.HasStarted)
        {
            log.RequestFailed(e, context.Request.Method, context.Request.Path);
            await Replies.SendErrorAsync(
                context, new(ControlErrorCode.Failure, "internal error; the log of dstd says more"));
        }
    }

    private static Task RefuseAsync(HttpContext context, BadHttpRequestException e)
    {
        context.Response.Headers.Connection = "close";
        string message = e.StatusCode == StatusCodes.Status413PayloadTooLarge
            ? $"request body is longer than {Requests.MaxBodyBytes} bytes"
            : $"request is refused: {e.Message}";
        return Replies.SendErrorAsync(context, new(ControlErrorCode.Usage, message), e.StatusCode);
    }

    private Task VersionAsync(HttpContext context) =>
        Replies.SendAsync(context, StatusCodes.Status200OK, info, ControlJson.Default.DaemonInfo);

    private async Task ListAsync(HttpContext context)
    {
        DeviceStatus[] devices = await manager.StatusAsync();
        await Replies.SendAsync(context, StatusCodes.Status200OK, devices, ControlJson.Default.DeviceStatusArray);
    }

    private async Task StatusAsync(HttpContext context)
    {
        DeviceStatus device = await manager.StatusAsync(NameOf(context));
        await Replies.SendAsync(context, StatusCodes.Status200OK, device, ControlJson.Default.DeviceStatus);
    }

    private async Task CreateAsync(HttpContext context)
    {
        TimeSpan timeout = Requests.Timeout(context, Timeout.InfiniteTimeSpan);
        DeviceRequest request = await Requests.ReadAsync(context, Requests.Device);
        var wishes = new CreationWishes(
            Requests.Flag(context, "takeOver"), Requests.Milliseconds(context, "nodeTimeoutMs"));
        DeviceStatus device = await manager.CreateAsync(request, wishes, timeout);
        await Replies.SendAsync(context, StatusCodes.Status201Created, device, ControlJson.Default.DeviceStatus);
    }

    private async Task RemoveAsync(HttpContext context)
    {
        bool force = Requests.Flag(context, "force");
        TimeSpan timeout = Requests.Timeout(context, DefaultRemovalTimeout);
        RemovalReport report = await manager.RemoveAsync(NameOf(context), force, timeout);
        await Replies.SendAsync(context, StatusCodes.Status200OK, report, ControlJson.Default.RemovalReport);
    }

    private async Task ClearErrorAsync(HttpContext context)
    {
        ClearErrorRequest request = await Requests.ReadAsync(context, Requests.ClearError);
        await manager.ClearErrorAsync(NameOf(context), request.Index);
        context.Response.StatusCode = StatusCodes.Status204NoContent;
    }

    private async Task OrderNodeAsync(HttpContext context)
    {
        string order = (string?)context.Request.RouteValues["order"] ?? "";
        bool isSet = string.Equals(order, NodeOrder.Set, StringComparison.Ordinal);
        if (!isSet && order is not (NodeOrder.Suspend or NodeOrder.Resume or NodeOrder.Fail))
        {
            throw new ControlException(ControlErrorCode.Usage, $"nodes know no order '{order}'");
        }

        int index = int.Parse((string)context.Request.RouteValues["index"]!, CultureInfo.InvariantCulture);
        NodeSettings? settings = isSet ? await Requests.ReadAsync(context, Requests.NodeSettings) : null;
        await manager.OrderNodeAsync(NameOf(context), index, order, settings);
        context.Response.StatusCode = StatusCodes.Status204NoContent;
    }

    private static string NameOf(HttpContext context) => (string?)context.Request.RouteValues["name"] ?? "";
}
