using Dst.Ublk.Control;

namespace Dst.Target.Devices;

/// <summary>/dev/dst/NAME, which points to the block device whatever its number.</summary>
internal static class DeviceLink
{
    private const string Folder = "/dev/dst";

    /// <summary>Makes or corrects the link. A device without its link still works: failures are only logged.</summary>
    public static void Make(string name, int ublkId, TargetLog log)
    {
        try
        {
            Directory.CreateDirectory(Folder);
            string link = $"{Folder}/{name}";
            string temporary = $"{Folder}/.{name}.{Environment.ProcessId}";
            File.Delete(temporary);
            File.CreateSymbolicLink(temporary, $"../{Path.GetFileName(UblkControl.BlockPath(ublkId))}");
            File.Move(temporary, link, overwrite: true);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            log.Write($"{Folder}/{name} cannot be made: {e.Message}");
        }
    }

    /// <summary>Removes the link if it still points to this device.</summary>
    public static void Remove(string name, int ublkId)
    {
        var link = new FileInfo($"{Folder}/{name}");
        if (link.LinkTarget == $"../{Path.GetFileName(UblkControl.BlockPath(ublkId))}")
        {
            link.Delete();
        }
    }
}
