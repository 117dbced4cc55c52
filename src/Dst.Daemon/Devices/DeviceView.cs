using Dst.Control;

namespace Dst.Daemon.Devices;

/// <summary>Names of the states that a device shows.</summary>
internal static class DeviceState
{
    public const string Creating = "creating";
    public const string Starting = "starting";
    public const string Live = "live";
    public const string Stopping = "stopping";
    public const string Failed = "failed";
}

/// <summary>What holds for the creation of a device and is not kept.</summary>
/// <param name="TakeOver">An operator wants the holders of its network nodes' exports fenced, once (S-04).</param>
/// <param name="NodeTimeoutMs">How long its network nodes may take to attach; null for no limit.</param>
internal sealed record CreationWishes(bool TakeOver, int? NodeTimeoutMs)
{
    /// <summary>Nothing special: for devices that are brought back, which wait for ever.</summary>
    public static CreationWishes None { get; } = new(false, null);
}

/// <summary>
/// What a worker shows of its device: replaced as a whole, so that readers take no lock and wait for nobody (D-09).
/// </summary>
/// <param name="State">One of <see cref="DeviceState"/>.</param>
/// <param name="Record">The record as stored; null when there is none that can be read.</param>
internal sealed record DeviceView(string State, DeviceRecord? Record)
{
    /// <summary>Why it is in that state.</summary>
    public string? Reason { get; init; }

    /// <summary>Process id of the target while it runs.</summary>
    public int? Pid { get; init; }

    /// <summary>Path of the block device while live.</summary>
    public string? BlockDevice { get; init; }

    /// <summary>Bytes preallocated.</summary>
    public long? ProgressBytes { get; init; }

    /// <summary>Bytes to preallocate.</summary>
    public long? ProgressTotalBytes { get; init; }

    /// <summary>What an operator should know.</summary>
    public IReadOnlyList<string> Warnings { get; init; } = [];

    /// <summary>Number of the device: the one it has, or the one it asked for.</summary>
    public int? UblkId => Record?.Geometry?.UblkId ?? Record?.Request.Id;

    /// <summary>True while the kernel shows the device.</summary>
    public bool IsLive => string.Equals(State, DeviceState.Live, StringComparison.Ordinal);
}
