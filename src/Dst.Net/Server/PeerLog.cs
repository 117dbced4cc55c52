using System.Globalization;

namespace Dst.Net.Server;

/// <summary>
/// Lines about peers, which strangers can cause at will: a few for each host in a while, the others are counted and the count is told with the next
/// line (N-36). Session thread.
/// </summary>
internal sealed class PeerLog(Action<string> write)
{
    /// <summary>Lines of a host in one window.</summary>
    public const int LinesMax = 5;

    /// <summary>Length of a window.</summary>
    public const int WindowMs = 10_000;

    /// <summary>Hosts that are told apart; beyond them all others share one window.</summary>
    public const int HostsMax = 256;

    private const string Others = "other hosts";

    private readonly Dictionary<string, Window> _windows = new(StringComparer.Ordinal);

    /// <summary>Lines that were not written.</summary>
    public long SuppressedCount { get; private set; }

    /// <summary>Writes a line about a peer, or counts it.</summary>
    public void Write(string host, string line, long nowMs)
    {
        Window window = WindowOf(host, nowMs);
        if (nowMs - window.StartMs >= WindowMs)
        {
            window.StartMs = nowMs;
            window.Lines = 0;
        }

        if (window.Lines >= LinesMax)
        {
            window.Suppressed++;
            SuppressedCount++;
            return;
        }

        window.Lines++;
        string more = window.Suppressed == 0 ? string.Empty
            : string.Create(CultureInfo.InvariantCulture, $" ({window.Suppressed} more lines about {host} were left out)");
        window.Suppressed = 0;
        write(line + more);
    }

    private Window WindowOf(string host, long nowMs)
    {
        if (_windows.TryGetValue(host, out Window? window))
        {
            return window;
        }

        if (_windows.Count >= HostsMax)
        {
            foreach ((string name, Window old) in _windows)
            {
                if (nowMs - old.StartMs >= WindowMs && old.Suppressed == 0)
                {
                    _windows.Remove(name);
                }
            }

            host = _windows.Count >= HostsMax ? Others : host;
            if (_windows.TryGetValue(host, out window))
            {
                return window;
            }
        }

        window = new Window { StartMs = nowMs };
        _windows[host] = window;
        return window;
    }

    private sealed class Window
    {
        public long StartMs { get; set; }

        public int Lines { get; set; }

        public long Suppressed { get; set; }
    }
}
