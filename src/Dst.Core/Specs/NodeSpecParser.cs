using System.Diagnostics.CodeAnalysis;
using System.Text;

namespace Dst.Core.Specs;

/// <summary>Reads node specifications; recursion is bounded by the nesting limit.</summary>
internal static class NodeSpecParser
{
    private const string Kinds =
        "file:PATH[,size=SIZE][,offset=SIZE][,sparse][,buffered], dev:PATH, zero:SIZE, mem:SIZE, delay:MS,NODE or error:WHEN,NODE";

    // Throws at what UTF-8 cannot say, where the default would silently name another file.
    private static readonly UTF8Encoding StrictUtf8 = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    internal static bool TryParse(
        string text,
        string? workingDirectory,
        int nestingLeft,
        [NotNullWhen(true)] out NodeSpec? spec,
        [NotNullWhen(false)] out string? error)
    {
        spec = null;
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
        switch (kind)
        {
            case "file":
                return TryParseFile(rest, workingDirectory, out spec, out error);
            case "dev":
                return TryParseDevice(rest, workingDirectory, out spec, out error);
            case "zero":
                spec = TryParseSized(kind, rest, out long zeroBytes, out error) ? new ZeroNodeSpec(zeroBytes) : null;
                break;
            case "mem":
                spec = TryParseSized(kind, rest, out long memoryBytes, out error) ? new MemoryNodeSpec(memoryBytes) : null;
                break;
            case "delay":
                return TryParseDelay(rest, workingDirectory, nestingLeft, out spec, out error);
            case "error":
                return TryParseError(rest, workingDirectory, nestingLeft, out spec, out error);
            default:
                return Refuse($"node {SpecText.Quote(text)}: unknown kind {SpecText.Quote(kind)}, expected {Kinds}", out error);
        }

        return error is null;
    }

    private static bool TryParseFile(
        string rest, string? workingDirectory, [NotNullWhen(true)] out NodeSpec? spec, [NotNullWhen(false)] out string? error)
    {
        spec = null;
        if (!TryTakePath("file", rest, workingDirectory, out string? path, out string? options, out error))
        {
            return false;
        }

        FileNodeSpec file = new(path);
        HashSet<string> seen = new(StringComparer.Ordinal);
        foreach (string option in options is null ? [] : options.Split(','))
        {
            int equals = option.IndexOf('=', StringComparison.Ordinal);
            string key = equals < 0 ? option : option[..equals];
            string? value = equals < 0 ? null : option[(equals + 1)..];
            if (!TryApply(ref file, key, value, out error))
            {
                return false;
            }

            if (!seen.Add(key))
            {
                return Refuse($"file: {key} is given twice", out error);
            }
        }

        if (file.SizeBytes is long size && size > long.MaxValue - file.OffsetBytes)
        {
            return Refuse("file: offset and size together are larger than 2^63-1 bytes", out error);
        }

        spec = file;
        error = null;
        return true;
    }

    private static bool TryApply(ref FileNodeSpec file, string key, string? value, [NotNullWhen(false)] out string? error)
    {
        long bytes;
        error = null;
        switch (key)
        {
            case "size":
                if (TryParseUnits(key, value, out bytes, out error) && bytes == 0)
                {
                    error = "file: size=0 is no size, at least 512 is needed";
                }

                file = file with { SizeBytes = bytes };
                break;
            case "offset":
                _ = TryParseUnits(key, value, out bytes, out error);
                file = file with { OffsetBytes = bytes };
                break;
            case "sparse":
                error = value is null ? null : "file: sparse takes no value";
                file = file with { Sparse = true };
                break;
            case "buffered":
                error = value is null ? null : "file: buffered takes no value";
                file = file with { Buffered = true };
                break;
            default:
                error = (key.Length == 0 ? "file: an option is missing after ','" : $"file: unknown option {SpecText.Quote(key)}")
                    + ", allowed are size=, offset=, sparse, buffered; a comma in a path is written twice";
                break;
        }

        return error is null;
    }

    private static bool TryParseUnits(string key, string? value, out long bytes, [NotNullWhen(false)] out string? error)
    {
        bytes = 0;
        if (string.IsNullOrEmpty(value))
        {
            return Refuse($"file: {key} needs a value, such as {key}=4G", out error);
        }

        if (!ByteSize.TryParse(value, out bytes, out string? why))
        {
            return Refuse($"file: {key}: {why}", out error);
        }

        if (bytes % NodeSpec.UnitBytes != 0)
        {
            return Refuse($"file: {key}={value} is no multiple of the block size, which is at least {NodeSpec.UnitBytes}", out error);
        }

        error = null;
        return true;
    }

    private static bool TryParseDevice(
        string rest, string? workingDirectory, [NotNullWhen(true)] out NodeSpec? spec, [NotNullWhen(false)] out string? error)
    {
        spec = null;
        if (!TryTakePath("dev", rest, workingDirectory, out string? path, out string? options, out error))
        {
            return false;
        }

        if (options is not null)
        {
            return Refuse(
                $"dev: takes no options, found {SpecText.Quote(options)}; a comma in a path is written twice", out error);
        }

        spec = new DeviceNodeSpec(path);
        return true;
    }

    private static bool TryParseSized(string kind, string rest, out long bytes, out string? error)
    {
        error = null;
        if (!ByteSize.TryParse(rest, out bytes, out string? why))
        {
            error = $"{kind}: {why}, expected {kind}:SIZE such as {kind}:1G";
        }
        else if (bytes == 0)
        {
            error = $"{kind}: size 0 is no size, expected {kind}:SIZE such as {kind}:1G";
        }

        return error is null;
    }

    private static bool TryParseDelay(
        string rest,
        string? workingDirectory,
        int nestingLeft,
        [NotNullWhen(true)] out NodeSpec? spec,
        [NotNullWhen(false)] out string? error)
    {
        spec = null;
        if (!TrySplitWrapper("delay:MS,NODE", rest, nestingLeft, out string? ms, out string? innerText, out error))
        {
            return false;
        }

        if (!SpecText.TryParseWhole(ms, out long delayMs) || delayMs > NodeSpec.DelayMaxMs)
        {
            return Refuse(
                $"delay: {SpecText.Quote(ms)} must be a whole number of milliseconds, 0 to {NodeSpec.DelayMaxMs}", out error);
        }

        if (!TryParse(innerText, workingDirectory, nestingLeft - 1, out NodeSpec? inner, out error))
        {
            return false;
        }

        spec = new DelayNodeSpec((int)delayMs, inner);
        return true;
    }

    private static bool TryParseError(
        string rest,
        string? workingDirectory,
        int nestingLeft,
        [NotNullWhen(true)] out NodeSpec? spec,
        [NotNullWhen(false)] out string? error)
    {
        spec = null;
        if (!TrySplitWrapper("error:WHEN,NODE", rest, nestingLeft, out string? when, out string? innerText, out error)
            || !ErrorRule.TryParse(when, out ErrorRule? rule, out error)
            || !TryParse(innerText, workingDirectory, nestingLeft - 1, out NodeSpec? inner, out error))
        {
            return false;
        }

        spec = new ErrorNodeSpec(rule, inner);
        return true;
    }

    private static bool TrySplitWrapper(
        string shape,
        string rest,
        int nestingLeft,
        [NotNullWhen(true)] out string? argument,
        [NotNullWhen(true)] out string? innerText,
        [NotNullWhen(false)] out string? error)
    {
        argument = null;
        innerText = null;
        int comma = rest.IndexOf(',', StringComparison.Ordinal);
        if (nestingLeft == 0)
        {
            return Refuse($"delay and error nodes may be nested at most {NodeSpec.NestingMax} deep", out error);
        }

        if (comma < 0 || comma == rest.Length - 1)
        {
            return Refuse($"{shape[..5]}: no node after {SpecText.Quote(rest)}, expected {shape}", out error);
        }

        argument = rest[..comma];
        innerText = rest[(comma + 1)..];
        error = null;
        return true;
    }

    /// <summary>Takes a path off the front; a doubled comma belongs to it, a single one ends it.</summary>
    private static bool TryTakePath(
        string kind,
        string rest,
        string? workingDirectory,
        [NotNullWhen(true)] out string? path,
        out string? options,
        [NotNullWhen(false)] out string? error)
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

        path = taken.ToString();
        if (path.Length > 0 && path[0] != '/' && workingDirectory is not null)
        {
            path = workingDirectory.TrimEnd('/') + "/" + path;
        }

        error = WhyNotPath(kind, path);
        return error is null;
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
                : $"{kind}: path {SpecText.Quote(path)} is {bytes} bytes long, at most {NodeSpec.PathBytesMax} are allowed";
        }
        catch (EncoderFallbackException)
        {
            return $"{kind}: path {SpecText.Quote(path)} is no valid Unicode";
        }
    }

    private static bool Refuse(string why, out string error)
    {
        error = why;
        return false;
    }
}
