using System.Text;

namespace Dst.Nodes.Backings;

/// <summary>
/// What makes a disk the same disk over reboots (D-10): what its maker, device mapper or md wrote into it; never its
/// name or number. Disks without any such thing get an identity that ends with the boot.
/// </summary>
/// <param name="host">Where to look.</param>
/// <param name="fileIdentity">Identity of the file at a path, or null; for loop devices.</param>
internal sealed class DiskIdentity(HostView host, Func<string, string?> fileIdentity)
{
    /// <summary>Start of every identity of a disk.</summary>
    public const string Prefix = "disk:";

    private const string BootPrefix = Prefix + "boot=";

    private const int MaxFolds = 8;

    /// <summary>Whether an identity ends with the boot that gave it.</summary>
    public static bool IsOfOneBoot(string identity) => identity.Contains("boot=", StringComparison.Ordinal);

    /// <summary>Whether an identity was given by an earlier boot than the one now running.</summary>
    public bool IsOfOtherBoot(string identity) =>
        IsOfOneBoot(identity) && !identity.Contains($"boot={BootId}", StringComparison.Ordinal);

    /// <summary>Identity of a disk or partition.</summary>
    public string Of(DeviceNumber number) =>
        SysfsDisk.Find(host, number) is { } disk ? Prefix + Of(disk, 0) : $"{BootPrefix}{BootId},dev={number}";

    private string BootId => host.Text("/proc/sys/kernel/random/boot_id") ?? "unknown";

    private string Of(SysfsDisk disk, int depth)
    {
        if (!disk.IsPartition)
        {
            return OfWhole(disk, depth);
        }

        string parent = OfWhole(disk.Whole, depth);
        return disk.Event("PARTUUID") is { Length: > 0 } uuid
            ? $"{parent},partuuid={Clean(uuid)}"
            : $"{parent},part={disk.Text("partition")},start={disk.Text("start")}";
    }

    private string OfWhole(SysfsDisk disk, int depth)
    {
        if (disk.Text("dm/uuid") is { } dm)
        {
            return $"dm={Clean(dm)}";
        }

        if (disk.Text("md/uuid") is { } md)
        {
            return $"md={Clean(md)}";
        }

        if (disk.Name.StartsWith("md", StringComparison.Ordinal) && UdevValue(disk, "MD_UUID") is { } array)
        {
            return $"md={Clean(array)}";
        }

        if (disk.Text("loop/backing_file") is { } path && depth < MaxFolds && OfLoop(disk, path) is { } loop)
        {
            return loop;
        }

        return OfMaker(disk) ?? OfBoot(disk);
    }

    private static string? OfMaker(SysfsDisk disk)
    {
        foreach ((string attribute, string key) in (ReadOnlySpan<(string, string)>)[
            ("wwid", "wwid"),
            ("device/wwid", "wwid"),
            ("device/cid", "cid"),
            ("serial", "serial"),
            ("device/serial", "serial")])
        {
            if (disk.Text(attribute) is { } value && Clean(value) is { Length: > 0 } clean)
            {
                return $"{key}={clean}";
            }
        }

        return null;
    }

    private string? OfLoop(SysfsDisk disk, string path) =>
        fileIdentity(path) is { } file && !IsOfOneBoot(file)
            ? $"loop=({file}),offset={disk.Text("loop/offset") ?? "0"},limit={disk.Text("loop/sizelimit") ?? "0"}"
            : null;

    private string OfBoot(SysfsDisk disk) =>
        disk.Text("diskseq") is { } sequence
            ? $"boot={BootId},diskseq={sequence}"
            : $"boot={BootId},dev={disk.Number}";

    private string? UdevValue(SysfsDisk disk, string key) =>
        host.Lines($"/run/udev/data/b{disk.Number}")
            .FirstOrDefault(l => l.StartsWith($"E:{key}=", StringComparison.Ordinal))?[(key.Length + 3)..];

    /// <summary>
    /// Makers pad with blanks and worse; one underscore stands for each run of what is not printable.
    /// </summary>
    private static string Clean(string text)
    {
        StringBuilder clean = new(text.Length);
        foreach (char c in text.Trim())
        {
            bool plain = c is > ' ' and < (char)127 and not ',';
            if (plain || (clean.Length > 0 && clean[^1] != '_'))
            {
                clean.Append(plain ? c : '_');
            }
        }

        return clean.ToString().TrimEnd('_');
    }
}
