using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Dst.Control;

namespace Dst.Daemon.Api;

/// <summary>What goes back over the API: documents, and errors with the status code of their kind.</summary>
internal static class Replies
{
    /// <summary>Sends one document.</summary>
    public static Task SendAsync<T>(HttpContext context, int status, T value, JsonTypeInfo<T> type)
    {
        byte[] body = JsonSerializer.SerializeToUtf8Bytes(value, type);
        context.Response.StatusCode = status;
        context.Response.ContentType = "application/json";
        context.Response.ContentLength = body.Length;
        return context.Response.Body.WriteAsync(body).AsTask();
    }

    /// <summary>Sends an error, with the status code of its kind unless another fits better.</summary>
    public static Task SendErrorAsync(HttpContext context, ControlError error, int? status = null) =>
        SendAsync(context, status ?? StatusOf(error.Code), error, ControlJson.Default.ControlError);

    private static int StatusOf(ControlErrorCode code) => code switch
    {
        ControlErrorCode.Usage => StatusCodes.Status400BadRequest,
        ControlErrorCode.NotFound => StatusCodes.Status404NotFound,
        ControlErrorCode.Busy => StatusCodes.Status409Conflict,
        ControlErrorCode.TimedOut => StatusCodes.Status504GatewayTimeout,
        _ => StatusCodes.Status500InternalServerError,
    };
}
