using System.Globalization;
using Dst.Control;
using Dst.Daemon.Devices;

namespace Dst.Daemon.Exports;

/// <summary>
/// Puts the status of an export together from its worker's view, its record and its status tree, without locks. Any
/// thread.
/// </summary>
internal sealed class ExportStatusReader(DaemonOptions options)
{
    /// <summary>Reads it; never waits.</summary>
    public ExportStatus Read(ExportWorker worker)
    {
        ExportView view = worker.View;
        string tree = options.Run.Export(worker.Name);
        ExportLayout? layout = view.Record?.Layout;
        ExportRequest? request = view.Record?.Request;
        IEnumerable<string> counters = StatusTree.Counters.Append(StatusTree.NetReceived).Append(StatusTree.NetSent);
        return new ExportStatus
        {
            Name = worker.Name,
            State = view.IsLive ? StatusTreeReader.Text($"{tree}/{StatusTree.State}") ?? view.State : view.State,
            Reason = view.Reason,
            ProgressBytes = view.IsLive ? null : view.ProgressBytes,
            ProgressTotalBytes = view.IsLive ? null : view.ProgressTotalBytes,
            Uuid = view.Record?.Uuid ?? Guid.Empty,
            Pid = view.Pid,
            SizeBytes = layout?.SizeBytes,
            BlockSizeBytes = layout?.BlockSizeBytes,
            MaxIoBytes = layout?.MaxIoBytes,
            ReadOnly = layout?.ReadOnly ?? request?.ReadOnly ?? false,
            Cache = request?.Cache ?? ExportCache.WriteThrough,
            Listen = request?.Listen ?? [],
            Allow = request?.Allow ?? [],
            Epoch = Number($"{tree}/{StatusTree.Epoch}"),
            Held = Number($"{tree}/{StatusTree.Held}") is { } held ? held != 0 : null,
            Holder = StatusTreeReader.Text($"{tree}/{StatusTree.Holder}"),
            Connections = (int?)Number($"{tree}/{StatusTree.Connections}"),
            Counters = StatusTreeReader.Counters(tree, counters),
            Nodes = layout is null
                ? []
                : [.. layout.Nodes.Select((node, index) => StatusTreeReader.Node(tree, node, index, view.IsLive))],
            Warnings = view.Warnings,
        };
    }

    private static long? Number(string path) =>
        long.TryParse(StatusTreeReader.Text(path), NumberStyles.None, CultureInfo.InvariantCulture, out long value)
            ? value
            : null;
}
