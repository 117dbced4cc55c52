using System.Globalization;

namespace Dst.Daemon.Kernel;

/// <summary>
/// Names and numbers of one ublk disk and its partitions, read from sysfs without touching the disk. Any thread.
/// </summary>
internal sealed class BlockDevice
{
    private BlockDevice(string name, IReadOnlyList<Member> members)
    {
        Name = name;
        Members = members;
    }

    /// <summary>Kernel name, such as ublkb3.</summary>
    public string Name { get; }

    /// <summary>The disk first, then its partitions.</summary>
    public IReadOnlyList<Member> Members { get; }

    /// <summary>Kernel name of the disk with that id.</summary>
    public static string NameOf(int ublkId) => string.Create(CultureInfo.InvariantCulture, $"ublkb{ublkId}");

    /// <summary>Path of the disk with that id.</summary>
    public static string PathOf(int ublkId) => $"/dev/{NameOf(ublkId)}";

    /// <summary>True as long as the kernel shows the disk.</summary>
    public static bool Exists(string sysRoot, int ublkId) => Directory.Exists(FolderOf(sysRoot, ublkId));

    /// <summary>Folder of the disk in sysfs.</summary>
    public static string FolderOf(string sysRoot, int ublkId) => $"{sysRoot}/block/{NameOf(ublkId)}";

    /// <summary>Reads what sysfs shows now; a disk that is gone has its own name as only member.</summary>
    public static BlockDevice Read(string sysRoot, int ublkId)
    {
        string name = NameOf(ublkId);
        string folder = FolderOf(sysRoot, ublkId);
        List<Member> members = [new(name, folder, NumberOf(folder))];
        foreach (string child in Tolerant.Directories(folder))
        {
            if (File.Exists($"{child}/partition"))
            {
                members.Add(new(Path.GetFileName(child), child, NumberOf(child)));
            }
        }

        return new(name, members);
    }

    private static string? NumberOf(string folder) => Tolerant.FirstLine($"{folder}/dev");

    /// <summary>The disk or one partition.</summary>
    /// <param name="Name">Kernel name.</param>
    /// <param name="Folder">Its folder in sysfs.</param>
    /// <param name="Number">"major:minor", null when gone.</param>
    internal sealed record Member(string Name, string Folder, string? Number)
    {
        /// <summary>Its usual path.</summary>
        public string Path => $"/dev/{Name}";

        /// <summary>True when the device number or the path is that of this member.</summary>
        public bool Is(string? number, string? path) =>
            (number is not null && string.Equals(number, Number, StringComparison.Ordinal))
            || string.Equals(path, Path, StringComparison.Ordinal);
    }
}

/// <summary>Reading of files that may vanish at any time: what is gone or forbidden is empty. Any thread.</summary>
internal static class Tolerant
{
    /// <summary>Folders in a folder.</summary>
    public static IReadOnlyList<string> Directories(string path) => List(path, Directory.GetDirectories);

    /// <summary>Everything in a folder.</summary>
    public static IReadOnlyList<string> Entries(string path) => List(path, Directory.GetFileSystemEntries);

    /// <summary>Lines of a file.</summary>
    public static IReadOnlyList<string> Lines(string path) => List(path, File.ReadAllLines);

    /// <summary>First line of a file, null when there is none.</summary>
    public static string? FirstLine(string path) => Lines(path) is [string first, ..] ? first : null;

    /// <summary>Where a link points, as it stands in the link.</summary>
    public static string? LinkTarget(string path)
    {
        try
        {
            return new FileInfo(path).LinkTarget;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    private static string[] List(string path, Func<string, string[]> read)
    {
        try
        {
            return read(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return [];
        }
    }
}
