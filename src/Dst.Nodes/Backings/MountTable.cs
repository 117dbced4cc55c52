using System.Text;

namespace Dst.Nodes.Backings;

/// <summary>One mount of /proc/self/mountinfo.</summary>
/// <param name="Id">Number of the mount.</param>
/// <param name="FileSystem">Device that its files report.</param>
/// <param name="MountPoint">Where it is mounted.</param>
/// <param name="Kind">Kind of file system: <c>ext4</c>.</param>
/// <param name="Source">What was mounted: a path, or a word that the kind understands.</param>
/// <param name="Options">Options of the file system.</param>
internal sealed record MountEntry(
    ulong Id, DeviceNumber FileSystem, string MountPoint, string Kind, string Source, string[] Options)
{
    /// <summary>Values of an option, in order; overlay repeats some.</summary>
    public IEnumerable<string> Values(string key) =>
        Options.Where(o => o.StartsWith($"{key}=", StringComparison.Ordinal)).Select(o => o[(key.Length + 1)..]);
}

/// <summary>The mounts that this process sees.</summary>
internal static class MountTable
{
    /// <summary>Reads all; lines that make no sense are passed over.</summary>
    public static List<MountEntry> Read(HostView host) =>
        [.. host.Lines("/proc/self/mountinfo").Select(Parse).OfType<MountEntry>()];

    /// <summary>Reads one line; null when it makes no sense.</summary>
    public static MountEntry? Parse(string line)
    {
        // 36 35 98:0 /root /mount/point rw,noatime master:1 - ext4 /dev/sda1 rw,errors=continue
        string[] fields = line.Split(' ');
        int dash = Array.IndexOf(fields, "-", 6 > fields.Length ? fields.Length : 6);
        if (dash < 0 || fields.Length < dash + 4 || !ulong.TryParse(fields[0], out ulong id)
            || DeviceNumber.Parse(fields[2]) is not { } number)
        {
            return null;
        }

        return new MountEntry(
            id,
            number,
            Unescape(fields[4]),
            fields[dash + 1],
            Unescape(fields[dash + 2]),
            [.. SplitEscaped(fields[dash + 3], ',').Select(Unescape)]);
    }

    /// <summary>Turns \040 and the like back into characters.</summary>
    public static string Unescape(string text)
    {
        if (!text.Contains('\\', StringComparison.Ordinal))
        {
            return text;
        }

        byte[] raw = Encoding.UTF8.GetBytes(text);
        List<byte> bytes = new(raw.Length);
        for (int i = 0; i < raw.Length; i++)
        {
            if (raw[i] == '\\' && i + 3 < raw.Length
                && IsOctal(raw[i + 1]) && IsOctal(raw[i + 2]) && IsOctal(raw[i + 3]))
            {
                bytes.Add((byte)(((raw[i + 1] - '0') << 6) | ((raw[i + 2] - '0') << 3) | (raw[i + 3] - '0')));
                i += 3;
            }
            else
            {
                bytes.Add(raw[i]);
            }
        }

        return Encoding.UTF8.GetString([.. bytes]);
    }

    /// <summary>Splits at a separator that no backslash precedes; the backslashes of other characters stay.</summary>
    public static List<string> SplitEscaped(string text, char separator)
    {
        List<string> parts = [];
        StringBuilder part = new();
        for (int i = 0; i < text.Length; i++)
        {
            if (text[i] == '\\' && i + 1 < text.Length && text[i + 1] == separator)
            {
                part.Append(separator);
                i++;
            }
            else if (text[i] == separator)
            {
                parts.Add(part.ToString());
                part.Clear();
            }
            else
            {
                part.Append(text[i]);
            }
        }

        parts.Add(part.ToString());
        return parts;
    }

    private static bool IsOctal(byte b) => b is >= (byte)'0' and <= (byte)'7';
}
