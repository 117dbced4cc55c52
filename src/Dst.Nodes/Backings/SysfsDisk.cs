namespace Dst.Nodes.Backings;

/// <summary>
/// A block device, disk or partition, as /sys shows it. Reads again each time it is asked. Any thread.
/// </summary>
internal sealed class SysfsDisk
{
    private readonly HostView _host;

    private SysfsDisk(HostView host, string folder)
    {
        _host = host;
        Folder = folder;
    }

    /// <summary>Its folder below /sys/devices.</summary>
    public string Folder { get; }

    /// <summary>Name of the kernel: <c>sda1</c>.</summary>
    public string Name => Path.GetFileName(Folder);

    /// <summary>Its number, or null when it has just gone.</summary>
    public DeviceNumber? Number => DeviceNumber.Parse(Text("dev"));

    /// <summary>Whether it is a part of <see cref="Whole"/>.</summary>
    public bool IsPartition => _host.Exists($"{Folder}/partition");

    /// <summary>The disk that a partition is part of; the disk itself otherwise.</summary>
    public SysfsDisk Whole => IsPartition ? new SysfsDisk(_host, Path.GetDirectoryName(Folder)!) : this;

    /// <summary>Numbers of the disks that this one is made of, for device mapper and md.</summary>
    public IEnumerable<DeviceNumber> Slaves => Numbers("slaves");

    /// <summary>Names of the devices that are made of this one.</summary>
    public string[] Holders => _host.List($"{Folder}/holders");

    /// <summary>Partitions of a whole disk.</summary>
    public IEnumerable<SysfsDisk> Partitions =>
        _host.List(Folder).Select(name => $"{Folder}/{name}")
            .Where(folder => _host.Exists($"{folder}/partition"))
            .Select(folder => new SysfsDisk(_host, folder));

    /// <summary>Finds a disk by its number; null when no disk has it.</summary>
    public static SysfsDisk? Find(HostView host, DeviceNumber number) =>
        host.Resolve($"/sys/dev/block/{number}") is { } folder ? new SysfsDisk(host, folder) : null;

    /// <summary>Content of an attribute, trimmed, or null.</summary>
    public string? Text(string attribute) => _host.Text($"{Folder}/{attribute}");

    /// <summary>An attribute of the whole disk's queue, trimmed, or null.</summary>
    public string? Queue(string attribute) => Whole.Text($"queue/{attribute}");

    /// <summary>A number from the queue, or null.</summary>
    public long? QueueNumber(string attribute) => long.TryParse(Queue(attribute), out long value) ? value : null;

    /// <summary>A line KEY=value of the disk's uevent, or null.</summary>
    public string? Event(string key) =>
        _host.Lines($"{Folder}/uevent")
            .FirstOrDefault(line => line.StartsWith($"{key}=", StringComparison.Ordinal))?[(key.Length + 1)..];

    private IEnumerable<DeviceNumber> Numbers(string folder) =>
        _host.List($"{Folder}/{folder}")
            .Select(name => DeviceNumber.Parse(_host.Text($"{Folder}/{folder}/{name}/dev")))
            .OfType<DeviceNumber>();
}
