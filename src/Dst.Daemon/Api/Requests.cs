using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;
using Dst.Control;

namespace Dst.Daemon.Api;

/// <summary>
/// What comes in over the API, bounded and strict: nothing unknown is let pass as if it had been obeyed.
/// </summary>
internal static class Requests
{
    /// <summary>Largest body (D-08).</summary>
    public const int MaxBodyBytes = 512 * 1024;

    /// <summary>Longest time a caller may ask to wait: a day.</summary>
    public const int MaxTimeoutMs = 86_400_000;

    private static readonly ControlJson Strict = new(new JsonSerializerOptions(ControlJson.Default.Options)
    {
        UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow,
        RespectNullableAnnotations = true,
        AllowDuplicateProperties = false,
    });

    /// <summary>The strict reader of a device request.</summary>
    public static JsonTypeInfo<DeviceRequest> Device => Strict.DeviceRequest;

    /// <summary>The strict reader of a node's settings.</summary>
    public static JsonTypeInfo<NodeSettings> NodeSettings => Strict.NodeSettings;

    /// <summary>The strict reader of an export request.</summary>
    public static JsonTypeInfo<ExportRequest> Export => Strict.ExportRequest;

    /// <summary>The strict reader of a clear-error request.</summary>
    public static JsonTypeInfo<ClearErrorRequest> ClearError => Strict.ClearErrorRequest;

    /// <summary>Reads the body.</summary>
    /// <exception cref="ControlException">It is not such a document.</exception>
    /// <exception cref="BadHttpRequestException">It is too long; it was not read.</exception>
    public static async Task<T> ReadAsync<T>(HttpContext context, JsonTypeInfo<T> type)
    {
        if (context.Request.ContentLength > MaxBodyBytes)
        {
            throw new BadHttpRequestException("request body is too long", StatusCodes.Status413PayloadTooLarge);
        }

        try
        {
            return await JsonSerializer.DeserializeAsync(context.Request.Body, type, context.RequestAborted)
                ?? throw new ControlException(ControlErrorCode.Usage, "request body is null");
        }
        catch (JsonException e)
        {
            throw new ControlException(
                ControlErrorCode.Usage, $"request body is refused: {e.Message.ReplaceLineEndings(" ")}");
        }
    }

    /// <summary>A time limit from the query.</summary>
    /// <param name="context">The request.</param>
    /// <param name="whenAbsent">The limit when none is given.</param>
    /// <exception cref="ControlException">It is no number of milliseconds up to a day.</exception>
    public static TimeSpan Timeout(HttpContext context, TimeSpan whenAbsent)
    {
        return Milliseconds(context, "timeoutMs") is { } ms ? TimeSpan.FromMilliseconds(ms) : whenAbsent;
    }

    /// <summary>A number of milliseconds from the query; null when absent.</summary>
    /// <exception cref="ControlException">It is none up to a day.</exception>
    public static int? Milliseconds(HttpContext context, string name)
    {
        string? text = context.Request.Query[name];
        if (text is null)
        {
            return null;
        }

        return int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int ms) && ms <= MaxTimeoutMs
            ? ms
            : throw new ControlException(ControlErrorCode.Usage, $"{name} '{text}' is not 0 to {MaxTimeoutMs}");
    }

    /// <summary>A yes or no from the query; no when absent.</summary>
    /// <exception cref="ControlException">It is neither true nor false.</exception>
    public static bool Flag(HttpContext context, string name) => (string?)context.Request.Query[name] switch
    {
        null or "false" => false,
        "true" => true,
        var other => throw new ControlException(ControlErrorCode.Usage, $"{name} '{other}' is neither true nor false"),
    };
}
