namespace Dst.Target.Helpers;

/// <summary>
/// Whether the driver can have devices although its control device is missing: one that is not loaded has none, and
/// each device that it has is an entry of its class in sysfs. Any thread.
/// </summary>
/// <param name="controlPath">The driver's control device.</param>
/// <param name="classFolder">The driver's class in sysfs, there while the driver is loaded.</param>
internal sealed class DriverTraces(
    string controlPath = "/dev/ublk-control", string classFolder = "/sys/class/ublk-char")
{
    private const string DevicePrefix = "ublkc";

    /// <summary>There can be no device at all; where sysfs cannot be seen, nobody knows.</summary>
    public bool ProveNone() => ProveNone(DevicePrefix + "*");

    /// <summary>There can be no device of this number.</summary>
    /// <param name="id">The number.</param>
    public bool ProveNone(int id) => ProveNone($"{DevicePrefix}{id}");

    private bool ProveNone(string pattern) =>
        !Path.Exists(controlPath)
        && Directory.Exists(Path.GetDirectoryName(classFolder))
        && (!Directory.Exists(classFolder) || !Directory.EnumerateFileSystemEntries(classFolder, pattern).Any());
}
