using Dst.Daemon.Logging;
using Serilog;
using Serilog.Core;
using Serilog.Events;
using Xunit;

namespace Dst.Daemon.Tests;

public sealed class LineLimiterTests
{
    [Fact]
    public void A_flood_of_one_device_is_counted_and_hides_no_other()
    {
        Lines lines = new();
        Clock clock = new();
        using Logger log = new LoggerConfiguration().WriteTo.Sink(new LineLimiter(lines, clock)).CreateLogger();
        for (int i = 0; i < 1000; i++)
        {
            log.Error("device {Name} failed: {Reason}", "a", i);
        }

        log.Error("device {Name} failed: {Reason}", "b", "other");
        log.Error("helper of {Name} hangs", "a");
        Assert.Equal(LineLimiter.LinesMax + 2, lines.Texts.Count);
        Assert.Equal("device \"b\" failed: \"other\"", lines.Texts[^2]);
        clock.Now += LineLimiter.Window;
        log.Error("device {Name} failed: {Reason}", "a", "again");
        log.Error("device {Name} failed: {Reason}", "b", "again");
        Assert.Equal(
            [
                $"{1000 - LineLimiter.LinesMax} lines like the next one were left out",
                "device \"a\" failed: \"again\"",
                "device \"b\" failed: \"again\"",
            ],
            lines.Texts[^3..]);
    }

    [Fact]
    public void What_it_remembers_is_bounded()
    {
        Lines lines = new();
        using Logger log = new LoggerConfiguration().WriteTo.Sink(new LineLimiter(lines, new Clock())).CreateLogger();
        for (int i = 0; i <= LineLimiter.LinesMax; i++)
        {
            log.Error("device {Name}", "a");
        }

        Assert.Equal(LineLimiter.LinesMax, lines.Texts.Count);
        for (int i = 0; i < LineLimiter.KindsMax; i++)
        {
            log.Error("device {Name}", i);
        }

        log.Error("device {Name}", "a");
        Assert.Equal(LineLimiter.LinesMax + LineLimiter.KindsMax + 1, lines.Texts.Count);
    }

    private sealed class Lines : ILogEventSink
    {
        public List<string> Texts { get; } = [];

        public void Emit(LogEvent logEvent) =>
            Texts.Add(logEvent.RenderMessage(System.Globalization.CultureInfo.InvariantCulture));
    }

    private sealed class Clock : TimeProvider
    {
        public TimeSpan Now { get; set; }

        public override long TimestampFrequency => TimeSpan.TicksPerSecond;

        public override long GetTimestamp() => Now.Ticks;
    }
}
