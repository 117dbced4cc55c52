using System.Text.Json.Serialization;

namespace Dst.Control;

/// <summary>What kind of failure a control operation met. Each kind has one exit code of <c>dstctl</c>.</summary>
[JsonConverter(typeof(JsonStringEnumConverter<ControlErrorCode>))]
public enum ControlErrorCode
{
    /// <summary>Anything that no other kind covers: exit code 1.</summary>
    [JsonStringEnumMemberName("failure")] Failure,

    /// <summary>The request itself is wrong: exit code 2.</summary>
    [JsonStringEnumMemberName("usage")] Usage,

    /// <summary>No object of that name: exit code 3.</summary>
    [JsonStringEnumMemberName("not-found")] NotFound,

    /// <summary>The daemon does not answer: exit code 4.</summary>
    [JsonStringEnumMemberName("unreachable")] Unreachable,

    /// <summary>It exists already, or somebody uses it: exit code 5.</summary>
    [JsonStringEnumMemberName("busy")] Busy,

    /// <summary>It did not end in the time allowed: exit code 6.</summary>
    [JsonStringEnumMemberName("timed-out")] TimedOut,
}

/// <summary>A failure as it travels over the control sockets.</summary>
/// <param name="Code">The kind of failure.</param>
/// <param name="Message">One line for people: what failed, on which object, why, what to do next.</param>
public sealed record ControlError(ControlErrorCode Code, string Message)
{
    /// <summary>The exit code of <c>dstctl</c> for this failure.</summary>
    [JsonIgnore]
    public int ExitCode => Code switch
    {
        ControlErrorCode.Usage => 2,
        ControlErrorCode.NotFound => 3,
        ControlErrorCode.Unreachable => 4,
        ControlErrorCode.Busy => 5,
        ControlErrorCode.TimedOut => 6,
        _ => 1,
    };
}

/// <summary>
/// A control operation failed in a way that its caller shall be told. Control plane only, never on the road of a
/// request.
/// </summary>
public sealed class ControlException(ControlErrorCode code, string message) : Exception(message)
{
    /// <summary>The failure as it travels.</summary>
    public ControlError Error { get; } = new(code, message);

    /// <summary>The same failure with more for people; itself when there is nothing to add.</summary>
    /// <param name="notes">A line each.</param>
    public ControlException With(IReadOnlyList<string> notes) => notes.Count == 0
        ? this
        : new ControlException(Error.Code, string.Join("; ", [Message, .. notes]));
}
