using Dst.Control;
using Dst.Daemon.Exports;

namespace Dst.Daemon.Api;

/// <summary>Exports in the HTTP API, version 1; failures as <see cref="DeviceApi"/> has them.</summary>
/// <param name="manager">The exports.</param>
internal sealed class ExportApi(ExportManager manager)
{
    private static readonly TimeSpan DefaultTimeout = TimeSpan.FromSeconds(10);

    /// <summary>Adds the routes.</summary>
    public void Map(WebApplication app)
    {
        app.MapGet("/v1/exports", (RequestDelegate)ListAsync);
        app.MapGet("/v1/exports/{name}", (RequestDelegate)StatusAsync);
        app.MapPost("/v1/exports", (RequestDelegate)CreateAsync);
        app.MapDelete("/v1/exports/{name}", (RequestDelegate)RemoveAsync);
        app.MapPost("/v1/exports/{name}/release", (RequestDelegate)ReleaseAsync);
        app.MapPost("/v1/exports/{name}/clear-error", (RequestDelegate)ClearErrorAsync);
    }

    private Task ListAsync(HttpContext context) => Replies.SendAsync(
        context, StatusCodes.Status200OK, manager.Status(), ControlJson.Default.ExportStatusArray);

    private Task StatusAsync(HttpContext context) => Replies.SendAsync(
        context, StatusCodes.Status200OK, manager.Status(NameOf(context)), ControlJson.Default.ExportStatus);

    private async Task CreateAsync(HttpContext context)
    {
        TimeSpan timeout = Requests.Timeout(context, Timeout.InfiniteTimeSpan);
        ExportRequest request = await Requests.ReadAsync(context, Requests.Export);
        ExportStatus export = await manager.CreateAsync(request, timeout);
        await Replies.SendAsync(context, StatusCodes.Status201Created, export, ControlJson.Default.ExportStatus);
    }

    private async Task RemoveAsync(HttpContext context)
    {
        bool force = Requests.Flag(context, "force");
        TimeSpan timeout = Requests.Timeout(context, DefaultTimeout);
        RemovalReport report = await manager.RemoveAsync(NameOf(context), force, timeout);
        await Replies.SendAsync(context, StatusCodes.Status200OK, report, ControlJson.Default.RemovalReport);
    }

    private async Task ReleaseAsync(HttpContext context)
    {
        await manager.ReleaseAsync(NameOf(context), Requests.Timeout(context, DefaultTimeout));
        context.Response.StatusCode = StatusCodes.Status204NoContent;
    }

    private async Task ClearErrorAsync(HttpContext context)
    {
        ClearErrorRequest request = await Requests.ReadAsync(context, Requests.ClearError);
        if (request.Index is { } index)
        {
            throw new ControlException(
                ControlErrorCode.Usage,
                $"export {NameOf(context)}: marks of an export are cleared together; leave the index {index} out");
        }

        await manager.ClearErrorAsync(NameOf(context));
        context.Response.StatusCode = StatusCodes.Status204NoContent;
    }

    private static string NameOf(HttpContext context) => (string?)context.Request.RouteValues["name"] ?? "";
}
