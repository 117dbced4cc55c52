using System.Globalization;
using System.Runtime.InteropServices;
using Dst.Interop;

namespace Dst.Nodes.Backings;

/// <summary>
/// What makes a file the same file over reboots (D-10): UUID of its file system, inode, birth time. Numbers of devices
/// have no part in it, they are handed out anew at each boot.
/// </summary>
internal static class FileIdentity
{
    /// <summary>Start of every identity of a file.</summary>
    public const string Prefix = "file:";

    /// <summary>Identity of an open file.</summary>
    /// <param name="fd">Open for reading or writing; a descriptor of O_PATH has no file system to ask.</param>
    /// <param name="facts">Facts of the same file.</param>
    public static string Of(int fd, FileFacts facts)
    {
        string birth = facts.Birth is { } b
            ? string.Create(CultureInfo.InvariantCulture, $"{b.Seconds}.{b.Nanoseconds:D9}")
            : "none";
        return $"{Prefix}fsuuid={FileSystem(fd)},ino={facts.Inode},btime={birth}";
    }

    /// <summary>
    /// Whether an identity found now is the one stored. A part that one side lacks, because another kernel told less,
    /// is left out, as long as a birth time or a UUID remains to be compared beside the inode.
    /// </summary>
    public static bool Matches(string stored, string found)
    {
        if (string.Equals(stored, found, StringComparison.Ordinal))
        {
            return true;
        }

        Dictionary<string, string> one = Fields(stored);
        Dictionary<string, string> other = Fields(found);
        if (!stored.StartsWith(Prefix, StringComparison.Ordinal) || !found.StartsWith(Prefix, StringComparison.Ordinal)
            || one.GetValueOrDefault("ino") is not { } inode
            || !string.Equals(inode, other.GetValueOrDefault("ino"), StringComparison.Ordinal))
        {
            return false;
        }

        bool? uuid = Compare(one, other, "fsuuid");
        bool? birth = Compare(one, other, "btime");
        return (uuid ?? birth) is not null && (uuid ?? true) && (birth ?? true);
    }

    /// <summary>
    /// Null where one side cannot tell. Kinds of file systems that have no UUID (<c>none/0xef53</c>) only tell apart.
    /// </summary>
    private static bool? Compare(Dictionary<string, string> one, Dictionary<string, string> other, string key)
    {
        string first = one.GetValueOrDefault(key, "none");
        string second = other.GetValueOrDefault(key, "none");
        bool isFirstNone = first.StartsWith("none", StringComparison.Ordinal);
        bool isSecondNone = second.StartsWith("none", StringComparison.Ordinal);
        bool isEqual = string.Equals(first, second, StringComparison.Ordinal);
        if (isFirstNone && isSecondNone)
        {
            return isEqual || first is "none" || second is "none" ? null : false;
        }

        return isFirstNone || isSecondNone ? null : isEqual;
    }

    private static Dictionary<string, string> Fields(string identity)
    {
        Dictionary<string, string> fields = new(StringComparer.Ordinal);
        int colon = identity.IndexOf(':', StringComparison.Ordinal);
        foreach (string field in identity[(colon + 1)..].Split(','))
        {
            string[] pair = field.Split('=', 2);
            fields[pair[0]] = pair.Length == 2 ? pair[1] : "";
        }

        return fields;
    }

    private static string FileSystem(int fd)
    {
        FsUuid2 uuid = default;
        if (Libc.Ioctl(fd, BlockAbi.FS_IOC_GETFSUUID, ref uuid) == 0 && uuid.Len is > 0 and <= 16)
        {
            ReadOnlySpan<byte> whole = MemoryMarshal.AsBytes(MemoryMarshal.CreateReadOnlySpan(ref uuid, 1));
            ReadOnlySpan<byte> bytes = whole[1..][..uuid.Len];
            if (bytes.ContainsAnyExcept((byte)0))
            {
                return bytes.Length == 16
                    ? new Guid(bytes, bigEndian: true).ToString()
                    : Convert.ToHexStringLower(bytes);
            }
        }

        return Libc.Fstatfs(fd, out StatFs statFs) == 0
            ? string.Create(CultureInfo.InvariantCulture, $"none/0x{statFs.Type:x}")
            : "none";
    }
}
