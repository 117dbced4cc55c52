namespace Dst.Nodes.Backings;

/// <summary>What lies below a backing.</summary>
/// <param name="DstDevice">A DST device that it was traced to, <c>ublkb3</c>, or null.</param>
/// <param name="IsComplete">False when the trace was given up at <see cref="CycleWalk.MaxSteps"/>.</param>
/// <param name="LogicalBlockBytes">Largest logical block of the disks that were met, 0 when none says.</param>
internal readonly record struct CycleReport(string? DstDevice, bool IsComplete, int LogicalBlockBytes);

/// <summary>
/// Traces a backing down to the disks that hold it, through partitions, device mapper, md, loop, zram and stacked file
/// systems, so that no device comes to lie on itself or on another DST device of this host (U-28). What lies behind a
/// network, a FUSE server or a ZFS pool is not seen. One use per object, any thread.
/// </summary>
/// <param name="host">Where to look.</param>
/// <param name="isDstDevice">Says of a ublk id whether it is ours; null takes all for ours.</param>
internal sealed class CycleWalk(HostView host, Func<int, bool>? isDstDevice)
{
    /// <summary>Disks and file systems that are looked at before the trace is given up.</summary>
    public const int MaxSteps = 256;

    private static readonly string[] RemoteKinds = ["9p", "virtiofs", "nfs", "nfs4", "cifs", "smb3", "ceph", "afs"];

    private static readonly string[] FurtherDiskOptions = ["logdev", "rtdev", "journal_path"];

    private readonly HashSet<Place> _seen = [];
    private readonly Queue<Place> _open = new();
    private List<MountEntry>? _mounts;
    private int _logicalBlockBytes;

    /// <summary>Traces a disk by its number.</summary>
    public CycleReport OfDisk(DeviceNumber number)
    {
        Add(new Place(number, null, IsDisk: true));
        return Run();
    }

    /// <summary>Traces a file, or the folder that it will be made in.</summary>
    public CycleReport OfFile(FileFacts facts)
    {
        AddFileOrDisk(facts);
        return Run();
    }

    private CycleReport Run()
    {
        for (int step = 0; step < MaxSteps; step++)
        {
            if (!_open.TryDequeue(out Place place))
            {
                return new CycleReport(null, true, _logicalBlockBytes);
            }

            if (!place.IsDisk)
            {
                VisitFileSystem(place);
            }
            else if (VisitDisk(place.Number) is { } found)
            {
                return new CycleReport(found, true, _logicalBlockBytes);
            }
        }

        return new CycleReport(null, false, _logicalBlockBytes);
    }

    private void Add(Place place)
    {
        if (_seen.Add(place))
        {
            _open.Enqueue(place);
        }
    }

    private void AddPath(string path)
    {
        if (path.StartsWith('/') && host.TryStat(path, out FileFacts? facts))
        {
            AddFileOrDisk(facts);
        }
    }

    private void AddFileOrDisk(FileFacts facts) =>
        Add(facts.Kind == FileKind.BlockDevice
            ? new Place(facts.Disk, null, IsDisk: true)
            : new Place(facts.FileSystem, facts.MountId, IsDisk: false));

    private string? VisitDisk(DeviceNumber number)
    {
        if (SysfsDisk.Find(host, number) is not { } disk)
        {
            return null;
        }

        SysfsDisk whole = disk.Whole;
        if (UblkId(whole.Name) is { } id && (isDstDevice is null || isDstDevice(id)))
        {
            return whole.Name;
        }

        _logicalBlockBytes = (int)long.Max(_logicalBlockBytes, disk.QueueNumber("logical_block_size") ?? 0);
        foreach (SysfsDisk part in disk.IsPartition ? [disk, whole] : new[] { disk })
        {
            foreach (DeviceNumber slave in part.Slaves)
            {
                Add(new Place(slave, null, IsDisk: true));
            }
        }

        AddPath(whole.Text("loop/backing_file") ?? "");
        AddPath(whole.Text("backing_dev") ?? "");
        return null;
    }

    private void VisitFileSystem(Place place)
    {
        _mounts ??= MountTable.Read(host);
        MountEntry? mount = _mounts.Find(m => m.Id == place.MountId)
            ?? _mounts.Find(m => m.FileSystem == place.Number);
        if (SysfsDisk.Find(host, place.Number) is not null)
        {
            Add(new Place(place.Number, null, IsDisk: true));
        }

        if (mount is null || RemoteKinds.Contains(mount.Kind, StringComparer.Ordinal))
        {
            return;
        }

        foreach (string source in mount.Kind is "bcachefs" ? mount.Source.Split(':') : [mount.Source])
        {
            AddPath(source);
        }

        foreach (string path in FurtherDiskOptions.SelectMany(mount.Values))
        {
            AddPath(path);
        }

        if (mount.Kind is "overlay")
        {
            foreach (string path in OverlayLayers(mount))
            {
                AddPath(path);
            }
        }
        else if (mount.Kind is "btrfs")
        {
            AddBtrfsDisks(mount);
        }
    }

    private static IEnumerable<string> OverlayLayers(MountEntry mount) =>
        mount.Values("upperdir")
            .Concat(mount.Values("lowerdir").SelectMany(v => MountTable.SplitEscaped(v, ':')))
            .Concat(mount.Values("lowerdir+"))
            .Concat(mount.Values("datadir+"));

    /// <summary>A btrfs on several disks names one of them as its source; /sys lists all.</summary>
    private void AddBtrfsDisks(MountEntry mount)
    {
        DeviceNumber? source = host.TryStat(mount.Source, out FileFacts? facts) ? facts.Disk : null;
        foreach (string uuid in host.List("/sys/fs/btrfs"))
        {
            string folder = $"/sys/fs/btrfs/{uuid}/devices";
            List<DeviceNumber> disks = [.. host.List(folder)
                .Select(name => DeviceNumber.Parse(host.Text($"{folder}/{name}/dev")))
                .OfType<DeviceNumber>()];
            if (source is null || disks.Contains(source.Value))
            {
                disks.ForEach(disk => Add(new Place(disk, null, IsDisk: true)));
            }
        }
    }

    /// <summary>Id of a ublk disk by its name, or null.</summary>
    private static int? UblkId(string name) =>
        name.StartsWith("ublkb", StringComparison.Ordinal) && int.TryParse(name.AsSpan(5), out int id) ? id : null;

    private readonly record struct Place(DeviceNumber Number, ulong? MountId, bool IsDisk);
}
