using System.Globalization;
using System.Text;
using Dst.Core.Wire;

namespace Dst.Core.Specs;

/// <summary>What happens to requests of a network node whose budget is spent (S-15).</summary>
public enum TimeoutRule
{
    /// <summary>They wait on; status shows it.</summary>
    Queue,

    /// <summary>They end with the errno of C-10.</summary>
    Error,
}

/// <summary>
/// Options of a network node. Null means the default of the time, so that a stored device follows a better default.
/// </summary>
/// <param name="Connections">1 to <see cref="WireLimits.ConnectionsMax"/>; null: one for each queue.</param>
/// <param name="Checksum">Kind of data checksum; null: the default.</param>
/// <param name="DeadlineMs">A request without a reply for so long ends the epoch (S-11).</param>
/// <param name="Retries">How often a request may be sent again before its budget is spent.</param>
/// <param name="RetryTimeMs">How long a request may take before its budget is spent.</param>
/// <param name="OnTimeout">What a spent budget does.</param>
/// <param name="LogBytes">Bound of the replay log of a write-back export (S-21).</param>
public sealed record NetworkOptions(
    int? Connections = null,
    ChecksumKind? Checksum = null,
    long? DeadlineMs = null,
    int? Retries = null,
    long? RetryTimeMs = null,
    TimeoutRule? OnTimeout = null,
    long? LogBytes = null)
{
    /// <summary>Longest deadline and retry time: a week.</summary>
    public const long DurationMaxMs = 7L * 24 * 3_600_000;

    /// <summary>Most retries.</summary>
    public const int RetriesMax = 1_000_000;

    /// <summary>Smallest replay log: one request of the largest size.</summary>
    public const long LogMinBytes = WireLimits.DataMaxBytes;

    /// <summary>Largest replay log.</summary>
    public const long LogMaxBytes = 64L << 30;

    /// <summary>The options in canonical order, each after a comma; empty when there are none.</summary>
    public override string ToString()
    {
        StringBuilder text = new();
        CultureInfo culture = CultureInfo.InvariantCulture;
        if (Connections is int connections)
        {
            text.Append(culture, $",connections={connections}");
        }

        if (Checksum is ChecksumKind checksum)
        {
            text.Append(",checksum=").Append(ChecksumName(checksum));
        }

        if (DeadlineMs is long deadlineMs)
        {
            text.Append(",deadline=").Append(Duration.ToSpec(deadlineMs));
        }

        if (Retries is int retries)
        {
            text.Append(culture, $",retries={retries}");
        }

        if (RetryTimeMs is long retryTimeMs)
        {
            text.Append(",retry-time=").Append(Duration.ToSpec(retryTimeMs));
        }

        if (OnTimeout is TimeoutRule rule)
        {
            text.Append(rule == TimeoutRule.Queue ? ",on-timeout=queue" : ",on-timeout=error");
        }

        if (LogBytes is long logBytes)
        {
            text.Append(",log=").Append(ByteSize.ToSpec(logBytes));
        }

        return text.ToString();
    }

    /// <summary>The name of a checksum kind in specifications.</summary>
    /// <param name="kind">A known kind.</param>
    public static string ChecksumName(ChecksumKind kind) => kind switch
    {
        ChecksumKind.None => "none",
        ChecksumKind.Crc32C => "crc32c",
        _ => "xxh3",
    };
}

/// <summary>
/// <c>dst://HOST[:PORT]/EXPORT[,key=value]…</c> or <c>dst+unix:/PATH,export=EXPORT[,key=value]…</c>: an export of a DST
/// server, see docs/protocol.md.
/// </summary>
/// <param name="Host">Name, IPv4 or IPv6 address without brackets, in lower case; null for a Unix socket.</param>
/// <param name="Port">TCP port; 0 for a Unix socket.</param>
/// <param name="SocketPath">Absolute path of a Unix socket; null for TCP.</param>
/// <param name="Export">Name of the export.</param>
/// <param name="Options">The rest.</param>
public sealed record NetworkNodeSpec(string? Host, int Port, string? SocketPath, string Export, NetworkOptions Options)
    : NodeSpec
{
    /// <summary>Longest host name.</summary>
    public const int HostCharsMax = 253;

    /// <summary>Longest path of a socket: what the kernel's address takes, without the closing NUL.</summary>
    public const int SocketPathBytesMax = 107;

    /// <inheritdoc/>
    public override string Kind => SocketPath is null ? "dst" : "dst+unix";

    /// <inheritdoc/>
    public override string Address => SocketPath is null ? $"{Authority}/{Export}" : $"{SocketPath} export {Export}";

    /// <summary>
    /// Host and port as written in an address; IPv6 in brackets, the port left out when it is the default.
    /// </summary>
    public string Authority
    {
        get
        {
            string host = Host!.Contains(':', StringComparison.Ordinal) ? $"[{Host}]" : Host;
            return Port == WireLimits.DefaultPort
                ? host
                : string.Create(CultureInfo.InvariantCulture, $"{host}:{Port}");
        }
    }

    private protected override void AppendTo(StringBuilder text)
    {
        if (SocketPath is null)
        {
            text.Append("dst://").Append(Authority).Append('/').Append(Export);
        }
        else
        {
            AppendPath(text.Append("dst+unix:"), SocketPath);
            text.Append(",export=").Append(Export);
        }

        text.Append(Options);
    }
}
