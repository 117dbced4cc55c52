using System.Diagnostics;

namespace Dst.Daemon.Kernel;

/// <summary>How an attempt to hold a device ended.</summary>
internal enum HoldOutcome
{
    /// <summary>Open exclusively and flushed.</summary>
    Held,

    /// <summary>Somebody else has it exclusively.</summary>
    Busy,

    /// <summary>It could not be opened, or its flush failed: data may be lost (U-20).</summary>
    Failed,

    /// <summary>Opening or flushing did not end in time.</summary>
    TimedOut,
}

/// <summary>
/// A helper process that has a block device open exclusively and flushed, which keeps new mounts and writers of dirty
/// pages off until it is let go (U-20). Owned by one removal.
/// </summary>
internal sealed class DeviceHold : IAsyncDisposable
{
    private static readonly TimeSpan ReleaseWait = TimeSpan.FromSeconds(2);

    private readonly Process _process;
    private readonly string _blockDevice;
    private readonly ILogger _log;
    private bool _released;

    private DeviceHold(Process process, string blockDevice, ILogger log, HoldOutcome outcome, string text)
    {
        _process = process;
        _blockDevice = blockDevice;
        _log = log;
        Outcome = outcome;
        Text = text;
    }

    /// <summary>Whether it is held, and if not why.</summary>
    public HoldOutcome Outcome { get; }

    /// <summary>What the helper complained about.</summary>
    public string Text { get; }

    /// <summary>Waits for a started helper to say that it holds the device.</summary>
    internal static async Task<DeviceHold> TakeAsync(Process process, string blockDevice, TimeSpan limit, ILogger log)
    {
        Task<string> complaint = HelperRunner.DrainAsync(process.StandardError);
        Task<string?> said = FirstLineAsync(process.StandardOutput);
        if (await Task.WhenAny(said, Task.Delay(limit)) != said)
        {
            await HelperRunner.AbandonAsync(process, $"hold {blockDevice}", log);
            string late = $"flush did not end within {limit.TotalSeconds:0.#} s";
            return new(process, blockDevice, log, HoldOutcome.TimedOut, late);
        }

        if (await said is "held")
        {
            return new(process, blockDevice, log, HoldOutcome.Held, "");
        }

        bool ended = await HelperRunner.EndsAsync(process, ReleaseWait);
        string text = ended ? HelperRunner.FirstLine(await complaint) : "helper closed its output but did not end";
        bool busy = ended && process.ExitCode == HelperResult.BusyExit;
        HoldOutcome outcome = busy ? HoldOutcome.Busy : HoldOutcome.Failed;
        return new(process, blockDevice, log, outcome, text);
    }

    /// <summary>
    /// Lets the device go: U-22, a kernel device is not deleted before its last opener has left. Once more does
    /// nothing.
    /// </summary>
    public async ValueTask DisposeAsync()
    {
        if (_released)
        {
            return;
        }

        _released = true;
        try
        {
            _process.StandardInput.Close();
        }
        catch (IOException)
        {
            // The helper has ended already.
        }

        if (Outcome == HoldOutcome.Held && !await HelperRunner.EndsAsync(_process, ReleaseWait))
        {
            await HelperRunner.AbandonAsync(_process, $"hold {_blockDevice}", _log);
        }

        _process.Dispose();
    }

    private static async Task<string?> FirstLineAsync(StreamReader pipe)
    {
        using (pipe)
        {
            return await pipe.ReadLineAsync();
        }
    }
}
