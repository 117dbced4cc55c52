using System.Globalization;
using Dst.Control;

namespace Dst.Cli.Output;

/// <summary>The status of devices as people read it: a table, what is to be said, details of one device.</summary>
internal static class StatusText
{
    private const string Absent = "-";

    private static readonly string[] CounterColumns =
        ["reads", "read_bytes", "writes", "write_bytes", "flushes", "discards", "write_zeroes", "errors", "inflight"];

    /// <summary>Writes all of it.</summary>
    /// <param name="output">Where to.</param>
    /// <param name="devices">In the order to show.</param>
    /// <param name="exports">In the order to show, after the devices.</param>
    /// <param name="detailed">Settings and latencies too.</param>
    public static void Write(
        TextWriter output, IReadOnlyList<DeviceStatus> devices, IReadOnlyList<ExportStatus> exports, bool detailed)
    {
        WriteTable(output, devices, exports);
        foreach (DeviceStatus device in devices)
        {
            foreach (string note in Notes(device))
            {
                output.WriteLine(Printable.Line(note));
            }
        }

        foreach (string note in exports.SelectMany(Notes))
        {
            output.WriteLine(Printable.Line(note));
        }

        if (!detailed)
        {
            return;
        }

        foreach (ExportStatus export in exports)
        {
            output.WriteLine();
            WriteSettings(output, export);
            WriteSessions(output, export.Nodes);
            WriteLatencies(output, export.Nodes);
        }

        foreach (DeviceStatus device in devices)
        {
            output.WriteLine();
            WriteSettings(output, device);
            WriteSessions(output, device.Nodes);
            WriteLatencies(output, device.Nodes);
        }
    }

    /// <summary>How far a preallocation is, for people; null when there is none.</summary>
    public static string? Progress(long? doneBytes, long? totalBytes) =>
        (doneBytes, totalBytes) is ({ } done, { } total and > 0)
            ? $"{HumanSize.Format(done)} of {HumanSize.Format(total)} preallocated ({(Int128)done * 100 / total}%)"
            : null;

    private static void WriteTable(
        TextWriter output, IReadOnlyList<DeviceStatus> devices, IReadOnlyList<ExportStatus> exports)
    {
        var table = new TextTable(
            "NAME", "TYPE", "STATE", ">SIZE", ">READS", ">READ", ">WRITES", ">WRITTEN",
            ">FLUSHES", ">DISCARDS", ">ZEROES", ">ERRORS", ">INFLIGHT", "WHERE");
        foreach (DeviceStatus device in devices)
        {
            table.Add(
                [
                    device.Name, "device", device.State, Size(device.SizeBytes), .. Counters(device.Counters),
                    device.BlockDevice ?? Absent,
                ]);
            AddNodes(table, device.Nodes);
        }

        foreach (ExportStatus export in exports)
        {
            table.Add(
                [
                    export.Name, "export", export.State, Size(export.SizeBytes), .. Counters(export.Counters),
                    string.Join(' ', ExportAddress.Of(export)),
                ]);
            AddNodes(table, export.Nodes);
        }

        table.Write(output);
    }

    private static IEnumerable<string> Notes(DeviceStatus device)
    {
        if (device.Reason is { Length: > 0 } reason)
        {
            yield return $"{device.Name}: {device.State}: {reason}";
        }

        if (Progress(device.ProgressBytes, device.ProgressTotalBytes) is { } progress)
        {
            yield return $"{device.Name}: {progress}";
        }

        foreach (NodeStatus node in device.Nodes)
        {
            if (NoteOf(device.Name, node, $" {node.Index}") is { } note)
            {
                yield return note;
            }
        }

        foreach (string warning in device.Warnings)
        {
            yield return $"{device.Name}: warning: {warning}";
        }
    }

    private static IEnumerable<string> Notes(ExportStatus export)
    {
        if (export.Reason is { Length: > 0 } reason)
        {
            yield return $"{export.Name}: {export.State}: {reason}";
        }

        if (Progress(export.ProgressBytes, export.ProgressTotalBytes) is { } progress)
        {
            yield return $"{export.Name}: {progress}";
        }

        if (export.Held == true)
        {
            yield return $"{export.Name}: held by {export.Holder}";
        }

        foreach (NodeStatus node in export.Nodes)
        {
            if (NoteOf(export.Name, node, string.Empty) is { } note)
            {
                yield return note;
            }
        }

        foreach (string warning in export.Warnings)
        {
            yield return $"{export.Name}: warning: {warning}";
        }
    }

    private static string? NoteOf(string owner, NodeStatus node, string index)
    {
        string clear = node.State is "poisoned" or "lost unflushed writes"
            ? $"; once it is mended: dstctl clear-error {owner}{index}"
            : string.Empty;
        if (clear.Length == 0 && node.Reason is not { Length: > 0 })
        {
            return null;
        }

        string why = string.IsNullOrEmpty(node.Reason) ? string.Empty : $": {node.Reason}";
        return $"{owner} node {node.Index}: {node.State}{why}{clear}";
    }

    private static void AddNodes(TextTable table, IReadOnlyList<NodeStatus> nodes)
    {
        foreach (NodeStatus node in nodes)
        {
            table.Add(
                [
                    $"  {node.Index}", node.Type, node.State, Size(node.SizeBytes), .. Counters(node.Counters),
                    node.Address,
                ]);
        }
    }

    private static void WriteSettings(TextWriter output, ExportStatus export)
    {
        var settings = new TextTable("SETTING", "VALUE");
        settings.Add("identity", export.Uuid.ToString());
        settings.Add("server pid", Number(export.Pid));
        settings.Add("size", export.SizeBytes is { } size ? $"{Number(size)} bytes" : Absent);
        settings.Add("max I/O", Size(export.MaxIoBytes));
        settings.Add("block size", Number(export.BlockSizeBytes));
        settings.Add("access", export.ReadOnly ? "read-only" : "read-write");
        settings.Add("cache", export.Cache == ExportCache.WriteBack ? "write-back" : "write-through");
        settings.Add("listen", string.Join(' ', export.Listen));
        settings.Add("allow", string.Join(' ', export.Allow));
        settings.Add("epoch", Number(export.Epoch));
        settings.Add("holder", export.Holder is { Length: > 0 } holder
            ? (export.Held == true ? holder : $"none, last {holder}")
            : "none");
        settings.Add("connections", Number(export.Connections));
        settings.Write(output);
    }

    private static void WriteSettings(TextWriter output, DeviceStatus device)
    {
        var settings = new TextTable("SETTING", "VALUE");
        settings.Add("uuid", device.Uuid.ToString());
        settings.Add("ublk id", Number(device.UblkId));
        settings.Add("target pid", Number(device.Pid));
        settings.Add("size", device.SizeBytes is { } size ? $"{Number(size)} bytes" : Absent);
        settings.Add("queues", Number(device.Queues));
        settings.Add("depth", Number(device.DepthTags));
        settings.Add("max I/O", Size(device.MaxIoBytes));
        settings.Add("block size", Number(device.BlockSizeBytes));
        settings.Add("access", device.ReadOnly ? "read-only" : "read-write");
        settings.Write(output);
    }

    // Of network nodes only: no others have these numbers.
    private static void WriteSessions(TextWriter output, IReadOnlyList<NodeStatus> nodes)
    {
        var table = new TextTable(
            ">NODE", "PEER", ">EPOCH", ">RTT_MS", ">NEXT_TRY_MS", ">WAITING", ">SENT", ">RESENDS", ">RECONNECTS",
            ">REPLAYED");
        bool any = false;
        foreach (NodeStatus node in nodes)
        {
            if (StatusTree.NetworkNumbers.Any(node.Counters.ContainsKey))
            {
                any = true;
                table.Add([Number(node.Index), node.Peer ?? Absent, .. StatusTree.NetworkNumbers.Select(Value)]);
            }

            string Value(string name) => !node.Counters.TryGetValue(name, out long value) ? Absent
                : name.EndsWith("_bytes", StringComparison.Ordinal) ? HumanSize.Format(value)
                : Number(value);
        }

        if (any)
        {
            output.WriteLine();
            table.Write(output);
        }
    }

    private static void WriteLatencies(TextWriter output, IReadOnlyList<NodeStatus> nodes)
    {
        var table = new TextTable(">NODE", "OPERATION", ">COUNT", ">P50_US", ">P99_US", ">MAX_US");
        bool any = false;
        foreach (NodeStatus node in nodes)
        {
            foreach ((string operation, string line) in node.Latency.OrderBy(l => OperationOrder(l.Key)))
            {
                Dictionary<string, string> values = Pairs(line);
                string Value(string key) => values.GetValueOrDefault(key, Absent);
                if (Value("count") is not ("0" or Absent))
                {
                    any = true;
                    table.Add(
                        Number(node.Index), operation,
                        Value("count"), Value("p50_us"), Value("p99_us"), Value("max_us"));
                }
            }
        }

        if (any)
        {
            output.WriteLine();
            table.Write(output);
        }
    }

    private static int OperationOrder(string operation)
    {
        for (int i = 0; i < StatusTree.LatencyOperations.Count; i++)
        {
            if (string.Equals(StatusTree.LatencyOperations[i], operation, StringComparison.Ordinal))
            {
                return i;
            }
        }

        return int.MaxValue;
    }

    private static Dictionary<string, string> Pairs(string line)
    {
        string[] words = line.Split(' ', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
        var pairs = new Dictionary<string, string>(StringComparer.Ordinal);
        for (int i = 0; i + 1 < words.Length; i += 2)
        {
            pairs[words[i]] = words[i + 1];
        }

        return pairs;
    }

    private static IEnumerable<string> Counters(IReadOnlyDictionary<string, long> counters) =>
        CounterColumns.Select(name => !counters.TryGetValue(name, out long value) ? Absent
            : name.EndsWith("_bytes", StringComparison.Ordinal) ? HumanSize.Format(value)
            : Number(value));

    private static string Size(long? bytes) => bytes is { } value ? HumanSize.Format(value) : Absent;

    private static string Number(long? value) => value?.ToString(CultureInfo.InvariantCulture) ?? Absent;
}
