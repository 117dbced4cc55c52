using System.Globalization;
using Dst.Control;
using Dst.Daemon.Kernel;
using Dst.Daemon.Objects;

namespace Dst.Daemon.Devices;

/// <summary>Values of status trees; what is missing or torn is left out. Any thread.</summary>
internal static class StatusTreeReader
{
    private const string LatencyPrefix = "latency_";

    /// <summary>A node of a device or of an export.</summary>
    /// <param name="tree">The tree of that.</param>
    /// <param name="geometry">What the node is.</param>
    /// <param name="index">Its place in the map.</param>
    /// <param name="live">What it is shown as when its files say nothing.</param>
    public static NodeStatus Node(string tree, NodeGeometry geometry, int index, bool live)
    {
        string folder = string.Create(CultureInfo.InvariantCulture, $"{tree}/{StatusTree.Nodes}/{index}");
        return new NodeStatus
        {
            Index = index,
            Type = geometry.Type,
            Address = geometry.Address,
            StartBytes = geometry.StartBytes,
            SizeBytes = geometry.LengthBytes,
            State = Text($"{folder}/{StatusTree.State}") ?? (live ? ObjectState.Live : "down"),
            Reason = Text($"{folder}/{StatusTree.NodeReason}"),
            Peer = Text($"{folder}/{StatusTree.NodePeer}"),
            Counters = Counters(folder, StatusTree.Counters.Concat(StatusTree.NetworkNumbers)),
            Latency = Latency(folder),
        };
    }

    private static Dictionary<string, string> Latency(string folder)
    {
        Dictionary<string, string> lines = new(StringComparer.Ordinal);
        foreach (string operation in StatusTree.LatencyOperations)
        {
            if (Text($"{folder}/{LatencyPrefix}{operation}") is { } line)
            {
                lines[operation] = line;
            }
        }

        return lines;
    }

    /// <summary>The values of those names that are numbers.</summary>
    public static Dictionary<string, long> Counters(string folder, IEnumerable<string> names)
    {
        Dictionary<string, long> counters = new(StringComparer.Ordinal);
        foreach (string name in names)
        {
            if (Number($"{folder}/{name}") is { } value)
            {
                counters[name] = value;
            }
        }

        return counters;
    }

    /// <summary>The value of a file that is a number; null when there is none.</summary>
    public static long? Number(string path) =>
        long.TryParse(Text(path), NumberStyles.None, CultureInfo.InvariantCulture, out long value) ? value : null;

    /// <summary>The value of a file; null when there is none.</summary>
    public static string? Text(string path) => Tolerant.FirstLine(path) is { Length: > 0 } text ? text : null;
}
