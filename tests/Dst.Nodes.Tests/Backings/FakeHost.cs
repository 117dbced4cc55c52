using System.Diagnostics.CodeAnalysis;
using Dst.Nodes.Backings;

namespace Dst.Nodes.Tests.Backings;

/// <summary>A /sys and /proc made of ordinary files.</summary>
internal sealed class FakeHost : HostView, IDisposable
{
    private readonly TemporaryFolder _folder;
    private readonly Dictionary<string, FileFacts> _facts = new(StringComparer.Ordinal);

    public FakeHost()
        : this(new TemporaryFolder())
    {
    }

    private FakeHost(TemporaryFolder folder)
        : base(folder.Path) => _folder = folder;

    public void Write(string path, string text)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(_folder.Path + path)!);
        File.WriteAllText(_folder.Path + path, text + "\n");
    }

    public void Link(string path, string target)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(_folder.Path + path)!);
        string relative = Path.GetRelativePath(Path.GetDirectoryName(path)!, target);
        File.CreateSymbolicLink(_folder.Path + path, relative);
    }

    /// <summary>Adds a disk, or with a parent a partition of it.</summary>
    public void AddDisk(
        string name, string number, string? parent = null, params (string Name, string Text)[] attributes)
    {
        string folder = parent is null ? $"/sys/devices/{name}" : $"/sys/devices/{parent}/{name}";
        Write($"{folder}/dev", number);
        if (parent is not null)
        {
            Write($"{folder}/partition", "1");
        }

        foreach ((string attribute, string text) in attributes)
        {
            Write($"{folder}/{attribute}", text);
        }

        Link($"/sys/dev/block/{number}", folder);
        Link(parent is null ? $"/sys/block/{name}" : $"/sys/class/block/{name}", folder);
        AddStat(
            $"/dev/{name}", FileKind.BlockDevice, DeviceNumber.Parse("0:6")!.Value, disk: DeviceNumber.Parse(number));
    }

    public void AddSlave(string disk, string slave) =>
        Link($"/sys/devices/{disk}/slaves/{slave}", $"/sys/devices/{slave}");

    public FileFacts AddStat(
        string path,
        FileKind kind,
        DeviceNumber fileSystem,
        ulong inode = 1,
        DeviceNumber? disk = null,
        ulong? mountId = null)
    {
        FileFacts facts = new()
        {
            Mode = (uint)kind,
            FileSystem = fileSystem,
            Inode = inode,
            Disk = disk ?? default,
            MountId = mountId,
        };
        _facts[path] = facts;
        return facts;
    }

    public override bool TryStat(string path, [NotNullWhen(true)] out FileFacts? facts) =>
        _facts.TryGetValue(path, out facts);

    public void Dispose() => _folder.Dispose();
}
