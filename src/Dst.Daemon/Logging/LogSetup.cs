using Serilog;
using Serilog.Configuration;
using Serilog.Core;
using Serilog.Events;
using Serilog.Formatting.Compact;
using Serilog.Sinks.SystemConsole.Themes;

namespace Dst.Daemon.Logging;

/// <summary>Makes the logger, in code only: configuration by reflection does not survive a native build.</summary>
internal static class LogSetup
{
    private const string HumanTemplate = "{Timestamp:HH:mm:ss.fff} {Level:u3} {Message:lj}{NewLine}{Exception}";

    /// <summary>Logs to standard error, one line an event.</summary>
    /// <param name="json">One JSON document a line instead of text for people.</param>
    /// <param name="level">Least level that is logged.</param>
    public static Logger Create(bool json, LogEventLevel level)
    {
        LoggerConfiguration configuration = new LoggerConfiguration()
            .MinimumLevel.Is(level)
            .MinimumLevel.Override("Microsoft", LogEventLevel.Warning);
        ILogEventSink limited = LoggerSinkConfiguration.Wrap(
            static sink => new LineLimiter(sink, TimeProvider.System), sink => ToConsole(sink, json));
        return configuration.WriteTo.Sink(limited).CreateLogger();
    }

    private static void ToConsole(LoggerSinkConfiguration sink, bool json)
    {
        if (json)
        {
            sink.Console(new CompactJsonFormatter(), standardErrorFromLevel: LogEventLevel.Verbose);
            return;
        }

        sink.Console(
            outputTemplate: HumanTemplate,
            standardErrorFromLevel: LogEventLevel.Verbose,
            theme: ConsoleTheme.None,
            formatProvider: System.Globalization.CultureInfo.InvariantCulture);
    }
}
