using Dst.Control;
using Dst.Daemon.Objects;

namespace Dst.Daemon.Devices;

/// <summary>What holds for the creation of a device and is not kept.</summary>
/// <param name="TakeOver">An operator wants the holders of its network nodes' exports fenced, once (S-04).</param>
/// <param name="NodeTimeoutMs">How long its network nodes may take to attach; null for no limit.</param>
internal sealed record CreationWishes(bool TakeOver, int? NodeTimeoutMs)
{
    /// <summary>Nothing special: for devices that are brought back, which wait for ever.</summary>
    public static CreationWishes None { get; } = new(false, null);
}

/// <summary>What a worker shows of its device.</summary>
/// <param name="State">One of <see cref="ObjectState"/>.</param>
/// <param name="Record">The record as stored; null when there is none that can be read.</param>
internal sealed record DeviceView(string State, DeviceRecord? Record) : ObjectView<DeviceRecord>(State, Record)
{
    /// <summary>Path of the block device while live.</summary>
    public string? BlockDevice { get; init; }

    /// <summary>Number of the device: the one it has, or the one it asked for.</summary>
    public int? UblkId => Record?.Geometry?.UblkId ?? Record?.Request.Id;
}
