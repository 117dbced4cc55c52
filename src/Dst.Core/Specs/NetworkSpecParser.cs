using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Text;
using Dst.Core.Wire;

namespace Dst.Core.Specs;

/// <summary>Reads the addresses of network nodes. Each method gives a value, or null and the reason.</summary>
internal static class NetworkSpecParser
{
    private const string Form = "expected dst://HOST[:PORT]/EXPORT[,key=value]…";
    private const string UnixForm = "expected dst+unix:/PATH,export=EXPORT[,key=value]…";

    private const string Keys =
        "connections=, checksum=, deadline=, retries=, retry-time=, on-timeout=queue|error, log=";

    internal static NetworkNodeSpec? ParseTcp(string rest, out string? error)
    {
        if (!rest.StartsWith("//", StringComparison.Ordinal))
        {
            error = $"dst: {SpecText.Quote(rest)}: no '//' after the colon, {Form}";
            return null;
        }

        int comma = rest.IndexOf(',', StringComparison.Ordinal);
        string address = comma < 0 ? rest[2..] : rest[2..comma];
        int slash = address.IndexOf('/', StringComparison.Ordinal);
        if (slash < 0)
        {
            error = $"dst: {SpecText.Quote(address)}: no export after a '/', {Form}";
            return null;
        }

        string export = address[(slash + 1)..];
        if (!TryTakeAuthority(address[..slash], out string? host, out int port, out error)
            || !ObjectName.TryCheck(export, out error))
        {
            error = "dst: " + error;
            return null;
        }

        string? optionText = comma < 0 ? null : rest[(comma + 1)..];
        NetworkOptions? options = ParseOptions("dst", optionText, export: null, out _, out error);
        return options is null ? null : new NetworkNodeSpec(host, port, null, export, options);
    }

    internal static NetworkNodeSpec? ParseUnix(string path, string? rest, out string? error)
    {
        int bytes = Encoding.UTF8.GetByteCount(path);
        if (bytes > NetworkNodeSpec.SocketPathBytesMax)
        {
            error = $"dst+unix: path {SpecText.Quote(path)}: {bytes} bytes, a socket's path has at most "
                + $"{NetworkNodeSpec.SocketPathBytesMax}";
            return null;
        }

        NetworkOptions? options = ParseOptions("dst+unix", rest, export: "", out string? export, out error);
        if (options is not null && string.IsNullOrEmpty(export))
        {
            error = $"dst+unix: export= is missing, {UnixForm}";
            return null;
        }

        return options is null ? null : new NetworkNodeSpec(null, 0, path, export!, options);
    }

    private static bool TryTakeAuthority(
        string text, [NotNullWhen(true)] out string? host, out int port, [NotNullWhen(false)] out string? error)
    {
        port = WireLimits.DefaultPort;
        bool bracket = text.StartsWith('[');
        int end = bracket ? text.IndexOf(']', StringComparison.Ordinal) : text.IndexOf(':', StringComparison.Ordinal);
        if (bracket && end < 0)
        {
            host = null;
            error = $"host {SpecText.Quote(text)}: no ']' after the IPv6 address";
            return false;
        }

        host = bracket ? text[1..end] : end < 0 ? text : text[..end];
        string after = bracket ? text[(end + 1)..] : end < 0 ? "" : text[end..];
        error = bracket ? WhyNotIPv6(host) : WhyNotHost(host);
        if (!bracket && after.LastIndexOf(':') > 0)
        {
            error = $"host {SpecText.Quote(text)}: an IPv6 address stands in brackets, such as dst://[::1]/disk";
        }

        if (error is null && after.Length > 0)
        {
            bool good = after[0] == ':' && SpecText.TryParseWhole(after.AsSpan(1), out long number)
                && number is >= 1 and <= ushort.MaxValue;
            port = good ? int.Parse(after.AsSpan(1), NumberStyles.None, CultureInfo.InvariantCulture) : 0;
            error = good ? null : $"port {SpecText.Quote(after)}: must be ':' and 1 to 65535";
        }

        host = host.ToLowerInvariant();
        return error is null;
    }

    private static string? WhyNotHost(string host)
    {
        if (host.Length is 0 or > NetworkNodeSpec.HostCharsMax)
        {
            return host.Length == 0 ? $"a host is missing, {Form}" : $"host {SpecText.Quote(host)}: too long";
        }

        if (host.AsSpan().ContainsAnyExcept(HostChars) || !char.IsAsciiLetterOrDigit(host[0])
            || host.Contains("..", StringComparison.Ordinal))
        {
            return $"host {SpecText.Quote(host)}: no host name or address";
        }

        return host.AsSpan().ContainsAnyExcept(NumberChars) || IsIPv4(host)
            ? null
            : $"host {SpecText.Quote(host)}: no IPv4 address, four numbers of 0 to 255 are needed";
    }

    private static readonly System.Buffers.SearchValues<char> HostChars =
        System.Buffers.SearchValues.Create("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_");

    private static readonly System.Buffers.SearchValues<char> NumberChars =
        System.Buffers.SearchValues.Create("0123456789.");

    private static bool IsIPv4(ReadOnlySpan<char> text)
    {
        int parts = 0;
        foreach (Range part in text.Split('.'))
        {
            ReadOnlySpan<char> number = text[part];
            if (++parts > 4 || number.Length is 0 or > 3 || !SpecText.TryParseWhole(number, out long value)
                || value > 255 || (number.Length > 1 && number[0] == '0'))
            {
                return false;
            }
        }

        return parts == 4;
    }

    /// <summary>Groups of up to four hex digits, one gap, an IPv4 tail, a zone; sixteen bytes in all.</summary>
    private static string? WhyNotIPv6(string text)
    {
        int zone = text.IndexOf('%', StringComparison.Ordinal);
        ReadOnlySpan<char> address = zone < 0 ? text : text.AsSpan(0, zone);
        bool good = zone < 0
            || (text.Length - zone is > 1 and <= 17 && !text.AsSpan(zone + 1).ContainsAnyExcept(HostChars));
        int gap = address.IndexOf("::", StringComparison.Ordinal);
        good &= gap < 0 || !address[(gap + 1)..].Contains("::", StringComparison.Ordinal);
        int groups = 0;
        if (gap < 0)
        {
            good &= TryCountGroups(address, ref groups, mayEndInIPv4: true) && groups == 8;
        }
        else
        {
            good &= TryCountGroups(address[..gap], ref groups, mayEndInIPv4: false)
                && TryCountGroups(address[(gap + 2)..], ref groups, mayEndInIPv4: true)
                && groups < 8;
        }

        return good ? null : $"host {SpecText.Quote(text)}: no IPv6 address";
    }

    private static bool TryCountGroups(ReadOnlySpan<char> text, ref int groups, bool mayEndInIPv4)
    {
        while (text.Length > 0)
        {
            int colon = text.IndexOf(':');
            ReadOnlySpan<char> group = colon < 0 ? text : text[..colon];
            if (colon < 0 && mayEndInIPv4 && group.Contains('.'))
            {
                groups += 2;
                return IsIPv4(group);
            }

            if (group.Length is 0 or > 4 || !IsHex(group) || colon == text.Length - 1)
            {
                return false;
            }

            groups++;
            text = colon < 0 ? [] : text[(colon + 1)..];
        }

        return true;
    }

    private static bool IsHex(ReadOnlySpan<char> text)
    {
        foreach (char c in text)
        {
            if (!char.IsAsciiHexDigit(c))
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>Reads the options; <paramref name="export"/> is null where it is no option.</summary>
    private static NetworkOptions? ParseOptions(
        string kind, string? text, string? export, out string? chosenExport, out string? error)
    {
        NetworkOptions options = new();
        HashSet<string> seen = new(StringComparer.Ordinal);
        chosenExport = export;
        error = null;
        foreach (string option in text is null ? [] : text.Split(','))
        {
            int equals = option.IndexOf('=', StringComparison.Ordinal);
            string key = equals < 0 ? option : option[..equals];
            string value = equals < 0 ? "" : option[(equals + 1)..];
            if (export is not null && key == "export")
            {
                chosenExport = value;
                ObjectName.TryCheck(value, out error);
            }
            else
            {
                options = Apply(options, key, value, out error);
            }

            if (error is null && !seen.Add(key))
            {
                error = $"{key} is given twice";
            }

            if (error is not null)
            {
                error = $"{kind}: {error}";
                return null;
            }
        }

        return options;
    }

    private static NetworkOptions Apply(NetworkOptions options, string key, string value, out string? error)
    {
        switch (key)
        {
            case "connections":
                int connections = ParseCount(key, value, 1, WireLimits.ConnectionsMax, out error);
                return options with { Connections = connections };
            case "checksum":
                return options with { Checksum = ParseChecksum(value, out error) };
            case "deadline":
                return options with { DeadlineMs = ParseSpan(key, value, out error) };
            case "retries":
                return options with { Retries = ParseCount(key, value, 0, NetworkOptions.RetriesMax, out error) };
            case "retry-time":
                return options with { RetryTimeMs = ParseSpan(key, value, out error) };
            case "on-timeout":
                error = value is "queue" or "error"
                    ? null
                    : $"on-timeout: {SpecText.Quote(value)} must be queue or error";
                return options with { OnTimeout = value == "error" ? TimeoutRule.Error : TimeoutRule.Queue };
            case "log":
                return options with { LogBytes = ParseLog(value, out error) };
            default:
                error = key.Length == 0 ? "an option is missing after ','" : $"unknown option {SpecText.Quote(key)}";
                error += $", allowed are {Keys}";
                return options;
        }
    }

    private static int ParseCount(string key, string value, int min, int max, out string? error)
    {
        error = null;
        if (!SpecText.TryParseWhole(value, out long count) || count < min || count > max)
        {
            error = $"{key}: {SpecText.Quote(value)} must be a whole number, {min} to {max}";
        }

        return error is null ? (int)count : 0;
    }

    private static ChecksumKind ParseChecksum(string value, out string? error)
    {
        error = null;
        switch (value)
        {
            case "none":
                return ChecksumKind.None;
            case "crc32c":
                return ChecksumKind.Crc32C;
            case "xxh3":
                return ChecksumKind.Xxh3;
            default:
                error = $"checksum: {SpecText.Quote(value)} must be none, crc32c or xxh3";
                return ChecksumKind.None;
        }
    }

    private static long ParseSpan(string key, string value, out string? error)
    {
        if (!Duration.TryParse(value, NetworkOptions.DurationMaxMs, out long spanMs, out string? why))
        {
            error = $"{key}: {why}";
            return 0;
        }

        error = null;
        return spanMs;
    }

    private static long ParseLog(string value, out string? error)
    {
        if (!ByteSize.TryParse(value, out long bytes, out string? why))
        {
            error = $"log: {why}";
            return 0;
        }

        error = bytes is >= NetworkOptions.LogMinBytes and <= NetworkOptions.LogMaxBytes
            ? null
            : $"log={value}: must be {ByteSize.ToSpec(NetworkOptions.LogMinBytes)} to "
                + ByteSize.ToSpec(NetworkOptions.LogMaxBytes);
        return bytes;
    }
}
