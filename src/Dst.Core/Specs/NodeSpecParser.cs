using System.Text;

namespace Dst.Core.Specs;

/// <summary>
/// Reads node specifications. Each method gives a value, or null and the reason. Recursion is bounded by the nesting
/// limit.
/// </summary>
internal static class NodeSpecParser
{
    private const string Kinds =
        "file:PATH[,size=SIZE][,offset=SIZE][,sparse][,buffered], dev:PATH, zero:SIZE, mem:SIZE, delay:MS,NODE, "
        + "error:WHEN,NODE, volatile:SEED,NODE, trace:PATH,NODE, dst://HOST[:PORT]/EXPORT[,key=value]… "
        + "or dst+unix:/PATH,export=EXPORT";

    private static readonly string NestedTooDeep =
        $"delay and error nodes may be nested at most {NodeSpec.NestingMax} deep";

    private const string CommaHint = "a comma in a path is written twice";

    // Throws at what UTF-8 cannot say, where the default would silently name another file.
    private static readonly UTF8Encoding StrictUtf8 = new(false, throwOnInvalidBytes: true);

    internal static NodeSpec? Parse(string text, string? workingDirectory, int nestingLeft, out string? error)
    {
        if (text.Length > NodeSpec.TextCharsMax)
        {
            return Refuse($"node {SpecText.Quote(text)}: longer than {NodeSpec.TextCharsMax} characters", out error);
        }

        int colon = text.IndexOf(':', StringComparison.Ordinal);
        if (colon < 0)
        {
            return Refuse($"node {SpecText.Quote(text)}: no kind before a ':', expected {Kinds}", out error);
        }

        string kind = text[..colon];
        string rest = text[(colon + 1)..];
        return kind switch
        {
            "file" => ParseFile(rest, workingDirectory, out error),
            "dev" => ParseDevice(rest, workingDirectory, out error),
            "zero" => ParseSize(kind, rest, out error) is long bytes ? new ZeroNodeSpec(bytes) : null,
            "mem" => ParseSize(kind, rest, out error) is long bytes ? new MemoryNodeSpec(bytes) : null,
            "delay" => ParseDelay(rest, workingDirectory, nestingLeft, out error),
            "error" => ParseError(rest, workingDirectory, nestingLeft, out error),
            "volatile" => ParseVolatile(rest, workingDirectory, nestingLeft, out error),
            "trace" => ParseTrace(rest, workingDirectory, nestingLeft, out error),
            "dst" => NetworkSpecParser.ParseTcp(rest, out error),
            "dst+unix" => ParseUnix(rest, workingDirectory, out error),
            _ => Refuse($"node {SpecText.Quote(text)}: unknown kind, expected {Kinds}", out error),
        };
    }

    private static FileNodeSpec? ParseFile(string rest, string? workingDirectory, out string? error)
    {
        string? path = TakePath("file", rest, workingDirectory, out string? options, out error);
        if (path is null)
        {
            return null;
        }

        FileNodeSpec file = new(path);
        HashSet<string> seen = new(StringComparer.Ordinal);
        foreach (string option in options is null ? [] : options.Split(','))
        {
            int equals = option.IndexOf('=', StringComparison.Ordinal);
            string key = equals < 0 ? option : option[..equals];
            string? value = equals < 0 ? null : option[(equals + 1)..];
            file = Apply(file, key, value, out error);
            if (error is null && !seen.Add(key))
            {
                error = $"file: {key} is given twice";
            }

            if (error is not null)
            {
                return null;
            }
        }

        if (file.SizeBytes is long size && size > long.MaxValue - file.OffsetBytes)
        {
            error = "file: offset and size together are larger than 2^63-1 bytes";
            return null;
        }

        return file;
    }

    private static FileNodeSpec Apply(FileNodeSpec file, string key, string? value, out string? error)
    {
        switch (key)
        {
            case "size":
                long sizeBytes = ParseUnits(key, value, out error);
                if (error is null && sizeBytes == 0)
                {
                    error = "file: size=0 is no size, at least 512 is needed";
                }

                return file with { SizeBytes = sizeBytes };
            case "offset":
                return file with { OffsetBytes = ParseUnits(key, value, out error) };
            case "sparse":
                error = value is null ? null : "file: sparse takes no value";
                return file with { Sparse = true };
            case "buffered":
                error = value is null ? null : "file: buffered takes no value";
                return file with { Buffered = true };
            default:
                error = key.Length == 0 ? "an option is missing after ','" : $"unknown option {SpecText.Quote(key)}";
                error = $"file: {error}, allowed are size=, offset=, sparse, buffered; {CommaHint}";
                return file;
        }
    }

    private static long ParseUnits(string key, string? value, out string? error)
    {
        if (string.IsNullOrEmpty(value))
        {
            error = $"file: {key} needs a value, such as {key}=4G";
            return 0;
        }

        if (!ByteSize.TryParse(value, out long bytes, out string? why))
        {
            error = $"file: {key}: {why}";
            return 0;
        }

        error = bytes % NodeSpec.UnitBytes == 0
            ? null
            : $"file: {key}={value} is no multiple of the block size, which is at least {NodeSpec.UnitBytes}";
        return bytes;
    }

    private static DeviceNodeSpec? ParseDevice(string rest, string? workingDirectory, out string? error)
    {
        string? path = TakePath("dev", rest, workingDirectory, out string? options, out error);
        if (error is null && options is not null)
        {
            error = $"dev: takes no options, found {SpecText.Quote(options)}; {CommaHint}";
        }

        return error is null && path is not null ? new DeviceNodeSpec(path) : null;
    }

    private static NetworkNodeSpec? ParseUnix(string rest, string? workingDirectory, out string? error)
    {
        string? path = TakePath("dst+unix", rest, workingDirectory, out string? options, out error);
        return path is null ? null : NetworkSpecParser.ParseUnix(path, options, out error);
    }

    private static long? ParseSize(string kind, string rest, out string? error)
    {
        if (!ByteSize.TryParse(rest, out long bytes, out error))
        {
            error = $"{kind}: {error}, expected {kind}:SIZE such as {kind}:1G";
            return null;
        }

        if (bytes == 0)
        {
            error = $"{kind}: size 0 is no size, expected {kind}:SIZE such as {kind}:1G";
            return null;
        }

        return bytes;
    }

    private static DelayNodeSpec? ParseDelay(string rest, string? workingDirectory, int nestingLeft, out string? error)
    {
        string? ms = TakeArgument("delay", "MS", rest, nestingLeft, out string innerText, out error);
        if (ms is null)
        {
            return null;
        }

        if (!SpecText.TryParseWhole(ms, out long delayMs) || delayMs > NodeSpec.DelayMaxMs)
        {
            error = $"delay: {SpecText.Quote(ms)} must be a whole number of milliseconds, 0 to {NodeSpec.DelayMaxMs}";
            return null;
        }

        NodeSpec? inner = Parse(innerText, workingDirectory, nestingLeft - 1, out error);
        return inner is null ? null : new DelayNodeSpec((int)delayMs, inner);
    }

    private static VolatileNodeSpec? ParseVolatile(
        string rest, string? workingDirectory, int nestingLeft, out string? error)
    {
        string? text = TakeArgument("volatile", "SEED", rest, nestingLeft, out string innerText, out error);
        if (text is null)
        {
            return null;
        }

        if (!SpecText.TryParseWhole(text, out long seed) || seed > int.MaxValue)
        {
            error = $"volatile: {SpecText.Quote(text)} must be a whole number, 0 to {int.MaxValue}";
            return null;
        }

        NodeSpec? inner = Parse(innerText, workingDirectory, nestingLeft - 1, out error);
        if (inner is null or FileNodeSpec or DeviceNodeSpec)
        {
            return inner is null ? null : new VolatileNodeSpec((int)seed, inner);
        }

        error = $"volatile: the node inside must be file or dev, not {inner.Kind}";
        return null;
    }

    private static ErrorNodeSpec? ParseError(string rest, string? workingDirectory, int nestingLeft, out string? error)
    {
        string? when = TakeArgument("error", "WHEN", rest, nestingLeft, out string innerText, out error);
        if (when is null || !ErrorRule.TryParse(when, out ErrorRule? rule, out error))
        {
            return null;
        }

        NodeSpec? inner = Parse(innerText, workingDirectory, nestingLeft - 1, out error);
        return inner is null ? null : new ErrorNodeSpec(rule, inner);
    }

    private static TraceNodeSpec? ParseTrace(string rest, string? workingDirectory, int nestingLeft, out string? error)
    {
        if (nestingLeft == 0)
        {
            error = NestedTooDeep;
            return null;
        }

        string? path = TakePath("trace", rest, workingDirectory, out string? innerText, out error);
        if (path is null)
        {
            return null;
        }

        if (string.IsNullOrEmpty(innerText))
        {
            error = $"trace: no node after {SpecText.Quote(rest)}, expected trace:PATH,NODE";
            return null;
        }

        NodeSpec? inner = Parse(innerText, workingDirectory, nestingLeft - 1, out error);
        return inner is null ? null : new TraceNodeSpec(path, inner);
    }

    /// <summary>Takes the own argument of delay or error off the front.</summary>
    private static string? TakeArgument(
        string kind, string argument, string rest, int nestingLeft, out string innerText, out string? error)
    {
        innerText = "";
        if (nestingLeft == 0)
        {
            error = NestedTooDeep;
            return null;
        }

        int comma = rest.IndexOf(',', StringComparison.Ordinal);
        if (comma < 0 || comma == rest.Length - 1)
        {
            error = $"{kind}: no node after {SpecText.Quote(rest)}, expected {kind}:{argument},NODE";
            return null;
        }

        innerText = rest[(comma + 1)..];
        error = null;
        return rest[..comma];
    }

    /// <summary>Takes a path off the front; a doubled comma belongs to it, a single one ends it.</summary>
    private static string? TakePath(
        string kind, string rest, string? workingDirectory, out string? options, out string? error)
    {
        StringBuilder taken = new();
        options = null;
        for (int i = 0; i < rest.Length; i++)
        {
            if (rest[i] == ',')
            {
                if (i + 1 == rest.Length || rest[i + 1] != ',')
                {
                    options = rest[(i + 1)..];
                    break;
                }

                i++;
            }

            taken.Append(rest[i]);
        }

        string path = taken.ToString();
        if (path.Length > 0 && path[0] != '/' && workingDirectory is not null)
        {
            path = Join(workingDirectory, path);
        }

        error = WhyNotPath(kind, path);
        return error is null ? path : null;
    }

    /// <summary>
    /// Puts a relative path behind a directory; ".." stays, since only the kernel knows where a link leads.
    /// </summary>
    private static string Join(string directory, string path)
    {
        while (path.StartsWith("./", StringComparison.Ordinal))
        {
            path = path[2..].TrimStart('/');
        }

        return directory.TrimEnd('/') + "/" + path;
    }

    private static string? WhyNotPath(string kind, string path)
    {
        if (path.Length == 0)
        {
            return $"{kind}: a path is missing, expected {kind}:PATH";
        }

        if (path[0] != '/')
        {
            return $"{kind}: path {SpecText.Quote(path)} is relative, an absolute one is needed";
        }

        if (path.AsSpan().ContainsAny('\0', '\n', '\r'))
        {
            return $"{kind}: path {SpecText.Quote(path)} holds a NUL or a line break";
        }

        try
        {
            int bytes = StrictUtf8.GetByteCount(path);
            return bytes <= NodeSpec.PathBytesMax
                ? null
                : $"{kind}: path {SpecText.Quote(path)}: {bytes} bytes, at most {NodeSpec.PathBytesMax} are allowed";
        }
        catch (EncoderFallbackException)
        {
            return $"{kind}: path {SpecText.Quote(path)} is no valid Unicode";
        }
    }

    private static NodeSpec? Refuse(string why, out string? error)
    {
        error = why;
        return null;
    }
}
