using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;
using Dst.Control;

namespace Dst.Cli.Doctoring;

/// <summary>Directories that dstd writes, and swap on its devices.</summary>
/// <param name="files">The host.</param>
/// <param name="devices">Devices of dstd; null when it does not answer.</param>
internal sealed partial class StorageChecks(HostFiles files, IReadOnlyList<DeviceStatus>? devices)
{
    private const int MaxStackedDevices = 16;

    /// <summary>A directory that dstd makes when it is not there, and writes to.</summary>
    public Check Directory(string name, string path)
    {
        string existing = path;
        while (!files.Exists(existing) && Path.GetDirectoryName(existing) is { } parent)
        {
            existing = parent;
        }

        bool isThere = string.Equals(existing, path, StringComparison.Ordinal);
        string place = isThere ? path : $"{path} (to be made in {existing})";
        return files.WriteFault(existing) is { } fault
            ? new Check(
                name,
                CheckState.Missing,
                $"{place} cannot be written: {fault}",
                $"sudo install -d -m 0755 {Quote(path)} && df {Quote(existing)}")
            : new Check(name, CheckState.Ok, place);
    }

    /// <summary>
    /// Swap on a DST device: the target may need memory that only this swap could free (U-51). One check each,
    /// or one that all is well.
    /// </summary>
    public IEnumerable<Check> Swaps()
    {
        const string Name = "no swap on DST";
        bool any = false;
        foreach (string line in files.Lines("/proc/swaps").Skip(1))
        {
            string[] words = line.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries);
            if (words.Length < 2)
            {
                continue;
            }

            string swap = Unescape(words[0]);
            string source = string.Equals(words[1], "file", StringComparison.Ordinal) ? MountSource(swap) : swap;
            if (DeviceBelow(Path.GetFileName(source), MaxStackedDevices) is { } owner)
            {
                any = true;
                yield return new Check(
                    Name,
                    CheckState.Missing,
                    $"{swap} lies on {owner}: under memory pressure the host can hang for ever",
                    $"swapoff {Quote(swap)}");
            }
        }

        if (!any)
        {
            yield return new Check(Name, CheckState.Ok, "none");
        }
    }

    /// <summary>The DST device that a block device is, is a partition of, or is stacked upon; null when none.</summary>
    private string? DeviceBelow(string blockName, int depth)
    {
        Match ublk = UblkName().Match(blockName);
        if (ublk.Success)
        {
            int id = int.Parse(ublk.Groups["id"].ValueSpan, NumberStyles.None, CultureInfo.InvariantCulture);
            if (devices is null)
            {
                return $"the ublk device {blockName}";
            }

            DeviceStatus? device = devices.FirstOrDefault(d => d.UblkId == id);
            return device is null ? null : $"DST device {device.Name} ({blockName})";
        }

        string[] below = depth == 0 ? [] : files.Names($"/sys/class/block/{blockName}/slaves");
        return below.Select(name => DeviceBelow(name, depth - 1)).FirstOrDefault(found => found is not null);
    }

    private string MountSource(string file)
    {
        string source = string.Empty;
        int longest = -1;
        foreach (string line in files.Lines("/proc/self/mountinfo"))
        {
            string[] words = line.Split(' ');
            int separator = Array.IndexOf(words, "-");
            if (words.Length < 5 || separator < 0 || separator + 2 >= words.Length)
            {
                continue;
            }

            string mount = Unescape(words[4]);
            string prefix = mount.EndsWith('/') ? mount : $"{mount}/";
            // Of mounts upon each other the last one counts.
            if (file.StartsWith(prefix, StringComparison.Ordinal) && prefix.Length >= longest)
            {
                longest = prefix.Length;
                source = Unescape(words[separator + 2]);
            }
        }

        return source;
    }

    /// <summary>Blank, tab, newline and backslash are written in octal in these tables.</summary>
    private static string Unescape(string text)
    {
        var plain = new StringBuilder(text.Length);
        for (int i = 0; i < text.Length; i++)
        {
            if (text[i] == '\\' && i + 3 < text.Length && text.AsSpan(i + 1, 3).IndexOfAnyExceptInRange('0', '7') < 0)
            {
                plain.Append((char)(((text[i + 1] - '0') << 6) | ((text[i + 2] - '0') << 3) | (text[i + 3] - '0')));
                i += 3;
            }
            else
            {
                plain.Append(text[i]);
            }
        }

        return plain.ToString();
    }

    /// <summary>The path as a shell takes it.</summary>
    private static string Quote(string path) =>
        path.All(c => char.IsAsciiLetterOrDigit(c) || c is '/' or '.' or '_' or '-')
        ? path
        : $"'{path.Replace("'", "'\\''", StringComparison.Ordinal)}'";

    [GeneratedRegex(@"^ublkb(?<id>\d{1,9})(p\d+)?$", RegexOptions.ExplicitCapture, matchTimeoutMilliseconds: 1000)]
    private static partial Regex UblkName();
}
