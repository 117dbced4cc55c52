using Serilog.Core;
using Serilog.Events;
using Serilog.Parsing;

namespace Dst.Daemon.Logging;

/// <summary>
/// Lets through so many lines a minute of one kind about one device, then counts the others and says how many they were
/// (D-14). Any thread.
/// </summary>
/// <param name="inner">Where lines go.</param>
/// <param name="clock">Tells the minute.</param>
internal sealed class LineLimiter(ILogEventSink inner, TimeProvider clock) : ILogEventSink, IDisposable
{
    /// <summary>Lines of one kind about one device in a window.</summary>
    public const int LinesMax = 30;

    /// <summary>Kinds and devices that are told apart; beyond that all begin anew.</summary>
    public const int KindsMax = 1024;

    /// <summary>How long a window is.</summary>
    public static readonly TimeSpan Window = TimeSpan.FromMinutes(1);

    private static readonly MessageTemplate LeftOut =
        new MessageTemplateParser().Parse("{Count} lines like the next one were left out");

    private readonly Lock _lock = new();
    private readonly Dictionary<string, Count> _counts = new(StringComparer.Ordinal);

    /// <inheritdoc/>
    public void Emit(LogEvent logEvent)
    {
        int leftOut;
        lock (_lock)
        {
            if (!Admit(KeyOf(logEvent), out leftOut))
            {
                return;
            }
        }

        if (leftOut > 0)
        {
            LogEventProperty count = new("Count", new ScalarValue(leftOut));
            inner.Emit(new LogEvent(logEvent.Timestamp, logEvent.Level, exception: null, LeftOut, [count]));
        }

        inner.Emit(logEvent);
    }

    /// <inheritdoc/>
    public void Dispose() => (inner as IDisposable)?.Dispose();

    private static string KeyOf(LogEvent logEvent) =>
        logEvent.Properties.TryGetValue("Name", out LogEventPropertyValue? device)
            ? $"{logEvent.MessageTemplate.Text} {device}"
            : logEvent.MessageTemplate.Text;

    private bool Admit(string key, out int leftOut)
    {
        leftOut = 0;
        long now = clock.GetTimestamp();
        if (!_counts.TryGetValue(key, out Count? count) || clock.GetElapsedTime(count.Begin, now) >= Window)
        {
            leftOut = int.Max((count?.Lines ?? 0) - LinesMax, 0);
            if (count is null && _counts.Count >= KindsMax)
            {
                _counts.Clear();
            }

            _counts[key] = new Count(now);
            return true;
        }

        return ++count.Lines <= LinesMax;
    }

    private sealed class Count(long begin)
    {
        public long Begin { get; } = begin;

        public int Lines { get; set; } = 1;
    }
}
