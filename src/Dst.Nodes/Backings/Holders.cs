using System.Globalization;

namespace Dst.Nodes.Backings;

/// <summary>
/// Finds who uses a file or disk, for messages. Best effort: an empty answer means that nobody was found.
/// </summary>
/// <param name="host">Where to look.</param>
internal sealed class Holders(HostView host)
{
    private const int MaxDescriptors = 200_000;

    /// <summary>
    /// Uses of a file or disk that no lock shows: loop devices, swap, image mounts. Null when there are none.
    /// </summary>
    public string? OtherUse(FileFacts facts)
    {
        foreach (string name in host.List("/sys/block").Where(n => n.StartsWith("loop", StringComparison.Ordinal)))
        {
            if (IsSame(host.Text($"/sys/block/{name}/loop/backing_file"), facts))
            {
                return $"it backs /dev/{name} (detach it: losetup -d /dev/{name})";
            }
        }

        foreach (string path in SwapPaths())
        {
            if (IsSame(path, facts))
            {
                return $"it is swap space in use (stop it: swapoff {path})";
            }
        }

        return facts.Kind == FileKind.Regular
            && MountTable.Read(host).Find(m => m.Kind is "erofs" && IsSame(m.Source, facts)) is { } mount
                ? $"it is mounted on {mount.MountPoint}"
                : null;
    }

    /// <summary>Who holds a disk or its partitions: mounts, swap, devices made of it, processes.</summary>
    public string OfDisk(DeviceNumber number)
    {
        List<DeviceNumber> numbers = [number];
        List<string> found = [];
        if (SysfsDisk.Find(host, number) is { } disk)
        {
            SysfsDisk[] parts = [disk, .. disk.IsPartition ? [disk.Whole] : disk.Partitions];
            numbers.AddRange(parts.Select(p => p.Number).OfType<DeviceNumber>());
            found.AddRange(parts.SelectMany(p => p.Holders).Select(h => $"part of /dev/{h}"));
        }

        foreach (MountEntry mount in MountTable.Read(host))
        {
            if (numbers.Contains(mount.FileSystem)
                || (host.TryStat(mount.Source, out FileFacts? source) && source.Kind == FileKind.BlockDevice
                    && numbers.Contains(source.Disk)))
            {
                found.Add($"mounted on {mount.MountPoint}");
            }
        }

        found.AddRange(SwapPaths()
            .Where(p => host.TryStat(p, out FileFacts? f) && f.Kind == FileKind.BlockDevice && numbers.Contains(f.Disk))
            .Select(_ => "used as swap"));
        if (found.Count == 0)
        {
            found.AddRange(Processes(f => f.Kind == FileKind.BlockDevice && numbers.Contains(f.Disk), mustLock: false));
        }

        return string.Join(", ", found.Distinct(StringComparer.Ordinal).Take(4));
    }

    /// <summary>Which processes hold a lock on a file through an open file description.</summary>
    public string OfLockedFile(FileFacts facts) =>
        string.Join(", ", Processes(facts.IsSameFile, mustLock: true).Distinct(StringComparer.Ordinal).Take(4));

    /// <summary>Number and name of a process for a message.</summary>
    public string Process(int pid) =>
        pid == Environment.ProcessId
            ? "this same device (give each backing once)"
            : $"process {pid} ({host.Text($"/proc/{pid}/comm") ?? "gone"})";

    private IEnumerable<string> Processes(Predicate<FileFacts> isIt, bool mustLock)
    {
        int looked = 0;
        foreach (string name in host.List("/proc"))
        {
            if (!int.TryParse(name, NumberStyles.None, CultureInfo.InvariantCulture, out int pid))
            {
                continue;
            }

            foreach (string fd in host.List($"/proc/{pid}/fd"))
            {
                if (++looked > MaxDescriptors)
                {
                    yield break;
                }

                if (IsCandidate(pid, fd, mustLock) && host.TryStat($"/proc/{pid}/fd/{fd}", out FileFacts? facts)
                    && isIt(facts))
                {
                    yield return Process(pid);
                }
            }
        }
    }

    /// <summary>
    /// Descriptors of sockets and pipes are not asked, and of files only those with the lock that is looked for.
    /// </summary>
    private bool IsCandidate(int pid, string fd, bool mustLock) =>
        mustLock
            ? host.Lines($"/proc/{pid}/fdinfo/{fd}").Any(l => l.StartsWith("lock:", StringComparison.Ordinal))
            : Native.ReadLink($"/proc/{pid}/fd/{fd}")?.StartsWith("/dev/", StringComparison.Ordinal) == true;

    private IEnumerable<string> SwapPaths() =>
        host.Lines("/proc/swaps").Skip(1).Select(l => MountTable.Unescape(l.Split(' ', '\t')[0]));

    private bool IsSame(string? path, FileFacts facts) =>
        path?.StartsWith('/') == true && host.TryStat(path, out FileFacts? other)
        && (facts.Kind == FileKind.BlockDevice
            ? other.Kind == FileKind.BlockDevice && other.Disk == facts.Disk
            : other.IsSameFile(facts));
}
