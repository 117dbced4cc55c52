using Dst.Control;
using Dst.Daemon.Objects;

namespace Dst.Daemon.Exports;

/// <summary>What a worker shows of its export.</summary>
/// <param name="State">One of <see cref="ObjectState"/>.</param>
/// <param name="Record">The record as stored; null when there is none that can be read.</param>
internal sealed record ExportView(string State, ExportRecord? Record) : ObjectView<ExportRecord>(State, Record);
