namespace Dst.Daemon.Devices;

/// <summary>The links NAME → /dev/ublkbN. Any thread.</summary>
/// <param name="folder">Where they are.</param>
internal sealed class DeviceLinks(string folder)
{
    /// <summary>Points the link to a device.</summary>
    /// <returns>Null, or why the link is not there.</returns>
    public string? Set(string name, string blockDevice)
    {
        string path = $"{folder}/{name}";
        try
        {
            Directory.CreateDirectory(folder);
            FileInfo link = new(path);
            if (string.Equals(link.LinkTarget, blockDevice, StringComparison.Ordinal))
            {
                return null;
            }

            if (link.LinkTarget is { } other && File.Exists(other))
            {
                return $"{path} points to {other}, which is there; link not made";
            }

            File.Delete(path);
            File.CreateSymbolicLink(path, blockDevice);
            return null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return $"link {path} cannot be made: {e.Message}";
        }
    }

    /// <summary>Removes the link when it points to that device.</summary>
    public void Remove(string name, string blockDevice)
    {
        string path = $"{folder}/{name}";
        try
        {
            if (string.Equals(new FileInfo(path).LinkTarget, blockDevice, StringComparison.Ordinal))
            {
                File.Delete(path);
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // A link to nowhere harms nobody and is replaced by the next device of that name.
        }
    }
}
