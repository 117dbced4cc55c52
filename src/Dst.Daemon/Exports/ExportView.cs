using Dst.Control;
using Dst.Daemon.Devices;

namespace Dst.Daemon.Exports;

/// <summary>
/// What a worker shows of its export: replaced as a whole, so that readers take no lock and wait for nobody (D-09).
/// </summary>
/// <param name="State">One of <see cref="DeviceState"/>.</param>
/// <param name="Record">The record as stored; null when there is none that can be read.</param>
internal sealed record ExportView(string State, ExportRecord? Record)
{
    /// <summary>Why it is in that state.</summary>
    public string? Reason { get; init; }

    /// <summary>Process id of the server while it serves the export.</summary>
    public int? Pid { get; init; }

    /// <summary>Bytes preallocated.</summary>
    public long? ProgressBytes { get; init; }

    /// <summary>Bytes to preallocate.</summary>
    public long? ProgressTotalBytes { get; init; }

    /// <summary>What an operator should know.</summary>
    public IReadOnlyList<string> Warnings { get; init; } = [];

    /// <summary>True while clients can reach it.</summary>
    public bool IsLive => string.Equals(State, DeviceState.Live, StringComparison.Ordinal);
}
