using System.Globalization;
using System.Text;

namespace Dst.Daemon.Kernel;

/// <summary>
/// Who uses a block device, read from procfs and sysfs only, so that asking never waits for the device (U-20). Any
/// thread; scans are slow, keep them off timers.
/// </summary>
/// <param name="procRoot">Where procfs is.</param>
/// <param name="sysRoot">Where sysfs is.</param>
internal sealed class DeviceUsers(string procRoot, string sysRoot)
{
    private const int MountNumberField = 2;
    private const int MountPointField = 4;
    private const int MaxNamed = 8;

    /// <summary>
    /// Lasting users, one line each: mounts of every mount namespace, swap, stacked devices, loop devices.
    /// </summary>
    public IReadOnlyList<string> Lasting(int ublkId)
    {
        BlockDevice device = BlockDevice.Read(sysRoot, ublkId);
        List<string> users = [.. Mounts(device)];
        if (users.Count == 0)
        {
            users.AddRange(HiddenMounts(device));
        }

        users.AddRange(Swaps(device));
        users.AddRange(Holders(device));
        users.AddRange(Loops(device));
        return users;
    }

    /// <summary>Processes that have the device or a partition open, one line each.</summary>
    /// <param name="ublkId">Number of the device.</param>
    public IReadOnlyList<string> Openers(int ublkId)
    {
        BlockDevice device = BlockDevice.Read(sysRoot, ublkId);
        List<string> openers = [];
        foreach (string process in Processes())
        {
            if (openers.Count < MaxNamed && OpenedBy(process, device) is { } member)
            {
                string command = Tolerant.FirstLine($"{process}/comm") ?? "?";
                openers.Add($"{member} is open in {command} (pid {Path.GetFileName(process)})");
            }
        }

        return openers;
    }

    /// <summary>Lines of /proc/swaps that name the device (U-51).</summary>
    public IReadOnlyList<string> Swaps(int ublkId) => [.. Swaps(BlockDevice.Read(sysRoot, ublkId))];

    /// <summary>Undoes the octal escapes of mountinfo and swaps.</summary>
    internal static string Unescape(string text)
    {
        if (!text.Contains('\\', StringComparison.Ordinal))
        {
            return text;
        }

        StringBuilder plain = new(text.Length);
        for (int i = 0; i < text.Length; i++)
        {
            if (text[i] == '\\' && i + 3 < text.Length && OctalValue(text.AsSpan(i + 1, 3)) is { } value)
            {
                plain.Append(value);
                i += 3;
            }
            else
            {
                plain.Append(text[i]);
            }
        }

        return plain.ToString();
    }

    private static char? OctalValue(ReadOnlySpan<char> digits)
    {
        int value = 0;
        foreach (char digit in digits)
        {
            if (digit is < '0' or > '7')
            {
                return null;
            }

            value = (value * 8) + (digit - '0');
        }

        return (char)value;
    }

    private IEnumerable<string> Mounts(BlockDevice device)
    {
        HashSet<string> namespaces = new(StringComparer.Ordinal);
        HashSet<string> seen = new(StringComparer.Ordinal);
        foreach (string process in Processes())
        {
            string? mountNamespace = Tolerant.LinkTarget($"{process}/ns/mnt");
            if (mountNamespace is not null && !namespaces.Add(mountNamespace))
            {
                continue;
            }

            foreach (string line in Tolerant.Lines($"{process}/mountinfo"))
            {
                if (MountOf(line, device) is { } mount && seen.Add(mount))
                {
                    yield return mount;
                }
            }
        }
    }

    // A file system over several disks (btrfs) has a device number of its own: there the source tells.
    private static string? MountOf(string line, BlockDevice device)
    {
        string[] halves = line.Split(" - ", 2);
        string[] fields = halves[0].Split(' ');
        if (halves.Length != 2 || fields.Length <= MountPointField)
        {
            return null;
        }

        string[] tail = halves[1].Split(' ');
        string source = tail.Length > 1 ? Unescape(tail[1]) : "";
        foreach (BlockDevice.Member member in device.Members)
        {
            if (member.Is(fields[MountNumberField], source))
            {
                return $"{member.Name} is mounted at {Unescape(fields[MountPointField])}";
            }
        }

        return null;
    }

    // A lazily detached mount is in no mountinfo, but its file system still shows itself in sysfs.
    private IEnumerable<string> HiddenMounts(BlockDevice device)
    {
        foreach (string type in Tolerant.Directories($"{sysRoot}/fs"))
        {
            foreach (BlockDevice.Member member in device.Members)
            {
                bool used = Directory.Exists($"{type}/{member.Name}")
                    || Tolerant.Directories(type).Any(each => Path.Exists($"{each}/devices/{member.Name}"));
                if (used)
                {
                    yield return $"{member.Name} is mounted ({Path.GetFileName(type)}) where no process sees it";
                }
            }
        }
    }

    private IEnumerable<string> Swaps(BlockDevice device)
    {
        foreach (string line in Tolerant.Lines($"{procRoot}/swaps"))
        {
            string path = Unescape(line.Split([' ', '\t'], 2)[0]);
            foreach (BlockDevice.Member member in device.Members)
            {
                if (member.Is(null, path))
                {
                    yield return $"{member.Name} is used as swap";
                }
            }
        }
    }

    private static IEnumerable<string> Holders(BlockDevice device) =>
        from member in device.Members
        from holder in Tolerant.Entries($"{member.Folder}/holders")
        select $"{member.Name} is held by {Path.GetFileName(holder)}";

    private IEnumerable<string> Loops(BlockDevice device) =>
        from loop in Tolerant.Directories($"{sysRoot}/block")
        where Path.GetFileName(loop).StartsWith("loop", StringComparison.Ordinal)
        let backing = Tolerant.FirstLine($"{loop}/loop/backing_file")
        from member in device.Members
        where member.Is(null, backing)
        select $"{member.Name} is the backing of {Path.GetFileName(loop)}";

    private IEnumerable<string> Processes() =>
        Tolerant.Directories(procRoot).Where(path => int.TryParse(
            Path.GetFileName(path.AsSpan()), NumberStyles.None, CultureInfo.InvariantCulture, out _));

    private static string? OpenedBy(string process, BlockDevice device)
    {
        foreach (string descriptor in Tolerant.Entries($"{process}/fd"))
        {
            string? target = Tolerant.LinkTarget(descriptor);
            if (target is null || target.Contains(':', StringComparison.Ordinal)
                || target.StartsWith("anon_inode", StringComparison.Ordinal))
            {
                continue;
            }

            string? number = Native.BlockDeviceNumber(descriptor);
            foreach (BlockDevice.Member member in device.Members)
            {
                if (member.Is(number, target))
                {
                    return member.Name;
                }
            }
        }

        return null;
    }
}
