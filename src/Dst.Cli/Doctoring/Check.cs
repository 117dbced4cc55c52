using System.Text.Json.Serialization;

namespace Dst.Cli.Doctoring;

/// <summary>How a check went.</summary>
[JsonConverter(typeof(JsonStringEnumConverter<CheckState>))]
internal enum CheckState
{
    /// <summary>As it must be.</summary>
    [JsonStringEnumMemberName("ok")] Ok,

    /// <summary>It works, but could be better.</summary>
    [JsonStringEnumMemberName("warn")] Warn,

    /// <summary>DST does not work, or not safely, until this is mended.</summary>
    [JsonStringEnumMemberName("missing")] Missing,
}

/// <summary>One thing that a host needs.</summary>
/// <param name="Name">What was looked at.</param>
/// <param name="State">How it went.</param>
/// <param name="Finding">What was found, for people.</param>
/// <param name="Mend">The command that mends it, to be run as root; null where all is well.</param>
internal sealed record Check(string Name, CheckState State, string Finding, string? Mend = null);
