namespace Dst.Control;

/// <summary>
/// Names under the run directory (default /run/dst), which vanish with the host's boot as the kernel devices do (D-06).
/// </summary>
/// <param name="path">Absolute path of the directory.</param>
public sealed class RunDirectory(string path)
{
    /// <summary>Where it is when nobody says otherwise.</summary>
    public const string DefaultPath = "/run/dst";

    /// <summary>Environment variable that names it for <c>dstctl</c>, <c>dstd</c> and their children.</summary>
    public const string Variable = "DST_RUN_DIR";

    /// <summary>Longest path of a Unix socket, without its closing zero (sun_path).</summary>
    public const int MaxSocketPathBytes = 107;

    /// <summary>Absolute path of the directory.</summary>
    public string Path { get; } = path;

    /// <summary>Socket of the HTTP API.</summary>
    public string DaemonSocket => $"{Path}/dstd.sock";

    /// <summary>Held exclusively by dstd for its life (D-05).</summary>
    public string DaemonLock => $"{Path}/dstd.lock";

    /// <summary>Folder of the targets' sockets.</summary>
    public string Targets => $"{Path}/targets";

    /// <summary>Socket of one target.</summary>
    public string TargetSocket(string name) => $"{Targets}/{name}";

    /// <summary>Folder of the devices' status trees.</summary>
    public string Devices => $"{Path}/devices";

    /// <summary>Status tree of one device.</summary>
    public string Device(string name) => $"{Devices}/{name}";

    /// <summary>Folder of what targets note for their successors on the same boot (S-23).</summary>
    public string Notes => $"{Path}/notes";

    /// <summary>What one network node has seen of its server.</summary>
    public string NodeNote(string device, int nodeIndex) => $"{Notes}/{device}.{nodeIndex}";

    /// <summary>Control socket of the server of exports.</summary>
    public string ServerSocket => $"{Path}/server.sock";

    /// <summary>Held exclusively by the server of exports for its life (D-05).</summary>
    public string ServerLock => $"{Path}/server.lock";

    /// <summary>Status tree of the server of exports.</summary>
    public string Server => $"{Path}/server";

    /// <summary>Folder of the exports' status trees.</summary>
    public string Exports => $"{Path}/exports";

    /// <summary>Status tree of one export.</summary>
    public string Export(string name) => $"{Exports}/{name}";
}

/// <summary>Names under the state directory (default /var/lib/dst), which outlive the host's boot (D-06).</summary>
/// <param name="path">Absolute path of the directory.</param>
public sealed class StateDirectory(string path)
{
    /// <summary>Where it is when nobody says otherwise.</summary>
    public const string DefaultPath = "/var/lib/dst";

    /// <summary>Environment variable that names it for <c>dstd</c>.</summary>
    public const string Variable = "DST_STATE_DIR";

    /// <summary>Absolute path of the directory.</summary>
    public string Path { get; } = path;

    /// <summary>Held exclusively by dstd for its life (D-05).</summary>
    public string DaemonLock => $"{Path}/dstd.lock";

    /// <summary>Folder of the device records.</summary>
    public string Devices => $"{Path}/devices";

    /// <summary>Record of one device.</summary>
    public string DeviceRecord(string name) => $"{Devices}/{name}.json";

    /// <summary>Error marks of one device's nodes, written by its target (C-16).</summary>
    public string DeviceMarks(string name) => $"{Devices}/{name}.marks";

    /// <summary>Last epoch of one network node, written by its target (S-03).</summary>
    public string NodeEpoch(string device, int nodeIndex) => $"{Devices}/{device}.{nodeIndex}.epoch";

    /// <summary>Held exclusively by the server of exports for its life (D-05).</summary>
    public string ServerLock => $"{Path}/server.lock";

    /// <summary>Folder of what is kept of exports.</summary>
    public string Exports => $"{Path}/exports";

    /// <summary>Record of one export.</summary>
    public string ExportRecord(string name) => $"{Exports}/{name}.json";

    /// <summary>Error marks of one export's nodes, written by the server (C-16).</summary>
    public string ExportMarks(string name) => $"{Exports}/{name}.marks";

    /// <summary>Last epoch of one network node of an export, written by the server (S-03).</summary>
    public string ExportNodeEpoch(string name, int nodeIndex) => $"{Exports}/{name}.{nodeIndex}.epoch";

    /// <summary>Who holds the export, written by the server (S-03).</summary>
    public string ExportHold(string name) => $"{Exports}/{name}.hold";
}
