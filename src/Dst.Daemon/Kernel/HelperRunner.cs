using System.ComponentModel;
using System.Diagnostics;
using System.Globalization;
using Dst.Daemon.Logging;

namespace Dst.Daemon.Kernel;

/// <summary>How a helper ended.</summary>
/// <param name="ExitCode">Its exit code; null when it did not end in time.</param>
/// <param name="Output">What it printed.</param>
/// <param name="Text">First line of what it complained about.</param>
internal sealed record HelperResult(int? ExitCode, string Output, string Text)
{
    internal const int Done = 0;
    internal const int BusyExit = 5;
    internal const int NotYetExit = 6;

    /// <summary>The limit came before its end.</summary>
    public bool TimedOut => ExitCode is null;
}

/// <summary>
/// Runs everything that may block in the kernel on a device in short processes of their own, so that dstd never ends in
/// an uninterruptible wait (U-26, D-09). One that hangs is killed, left behind and reported. Any thread.
/// </summary>
/// <param name="options">Names the programs and their limits.</param>
/// <param name="log">Told about helpers left behind.</param>
internal sealed class HelperRunner(DaemonOptions options, ILogger log)
{
    private const int MaxTextChars = 1000;
    private static readonly TimeSpan KillWait = TimeSpan.FromSeconds(1);

    /// <summary>Deletes a dead kernel device of ours: 0 done or absent, 5 foreign or alive, 6 not yet.</summary>
    public Task<HelperResult> DeleteDeviceAsync(int ublkId) =>
        RunAsync(options.TargetBinary, ["helper", "delete-device", $"{ublkId}"], options.Timing.Helper);

    /// <summary>
    /// Deletes every kernel device whose DST maker is dead, also those whose number nobody came to know (D-03).
    /// </summary>
    public Task<HelperResult> SweepAsync() =>
        RunAsync(options.TargetBinary, ["helper", "sweep"], options.Timing.Helper);

    /// <summary>Takes error marks of a device away that no target serves (C-16).</summary>
    /// <param name="marksPath">Its marks file.</param>
    /// <param name="nodeIndex">The node, or null for all.</param>
    public Task<HelperResult> ClearErrorAsync(string marksPath, int? nodeIndex)
    {
        string[] node = nodeIndex is { } index ? [index.ToString(CultureInfo.InvariantCulture)] : [];
        return RunAsync(options.TargetBinary, ["helper", "clear-error", marksPath, .. node], options.Timing.Helper);
    }

    /// <summary>Has the kernel read the partition table again (U-25).</summary>
    public Task<HelperResult> RescanAsync(string blockDevice) =>
        RunAsync(options.TargetBinary, ["helper", "rescan", blockDevice], options.Timing.Helper);

    /// <summary>Reads one kernel attribute whose lock may be held by a stuck queue (U-13).</summary>
    public Task<HelperResult> ReadAttributeAsync(string path) =>
        RunAsync(options.SelfBinary, ["read-attribute", path], options.Timing.Helper);

    /// <summary>Opens the device exclusively, flushes it and keeps it until disposed.</summary>
    /// <param name="blockDevice">Path of the block device.</param>
    /// <param name="limit">How long opening and flushing may take.</param>
    public Task<DeviceHold> HoldAsync(string blockDevice, TimeSpan limit) =>
        DeviceHold.TakeAsync(Start(options.TargetBinary, ["helper", "hold", blockDevice]), blockDevice, limit, log);

    private async Task<HelperResult> RunAsync(string program, string[] arguments, TimeSpan limit)
    {
        using Process process = Start(program, arguments);
        process.StandardInput.Close();
        Task<string> output = DrainAsync(process.StandardOutput);
        Task<string> text = DrainAsync(process.StandardError);
        if (await EndsAsync(process, limit))
        {
            return new HelperResult(process.ExitCode, await output, FirstLine(await text));
        }

        await AbandonAsync(process, string.Join(' ', arguments), log);
        return new HelperResult(
            null, "", $"helper '{string.Join(' ', arguments)}' did not end within {limit.TotalSeconds:0.#} s");
    }

    /// <summary>
    /// Reads to the end and closes: disposal of a <see cref="Process"/> leaves pipes that somebody reads to the
    /// collector (D-12).
    /// </summary>
    internal static async Task<string> DrainAsync(StreamReader pipe)
    {
        using (pipe)
        {
            return await pipe.ReadToEndAsync();
        }
    }

    internal static async Task<bool> EndsAsync(Process process, TimeSpan limit)
    {
        using CancellationTokenSource timer = new(limit);
        try
        {
            await process.WaitForExitAsync(timer.Token);
            return true;
        }
        catch (OperationCanceledException)
        {
            return false;
        }
    }

    internal static async Task AbandonAsync(Process process, string what, ILogger log)
    {
        process.Kill();
        if (!await EndsAsync(process, KillWait))
        {
            log.HelperLeftBehind(what, process.Id);
        }
    }

    internal static string FirstLine(string text)
    {
        string line = text.AsSpan().Trim().ToString().Split('\n')[0].Trim();
        return line.Length > MaxTextChars ? line[..MaxTextChars] : line;
    }

    private static Process Start(string program, string[] arguments)
    {
        ProcessStartInfo start = new(program, arguments)
        {
            UseShellExecute = false,
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        start.Environment.Remove("NOTIFY_SOCKET");
        try
        {
            return Process.Start(start) ?? throw new IOException($"helper {program} did not start");
        }
        catch (Win32Exception e)
        {
            throw new IOException($"helper {program} cannot be started: {e.Message}", e);
        }
    }
}
