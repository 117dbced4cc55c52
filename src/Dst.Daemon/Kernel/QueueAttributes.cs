namespace Dst.Daemon.Kernel;

/// <summary>
/// The write cache mode that the kernel shows for one device. Reading it takes a lock that a stuck queue may hold, so a
/// helper reads it (U-13), and a status waits only a moment for a fresh value. Any thread.
/// </summary>
/// <param name="helpers">Runs the reading process.</param>
/// <param name="options">Where sysfs is and how long to wait.</param>
internal sealed class QueueAttributes(HelperRunner helpers, DaemonOptions options)
{
    private static readonly TimeSpan FreshFor = TimeSpan.FromSeconds(2);

    private readonly Lock _lock = new();
    private Task? _reading;
    private long _readAt;
    private string? _writeCache;

    /// <summary>"write back" or "write through"; the last value known, null when there is none.</summary>
    public async Task<string?> WriteCacheAsync(int ublkId)
    {
        Task? reading;
        lock (_lock)
        {
            bool stale = _readAt == 0 || TimeProvider.System.GetElapsedTime(_readAt) > FreshFor;
            if (stale && _reading is null or { IsCompleted: true })
            {
                _readAt = TimeProvider.System.GetTimestamp();
                _reading = ReadAsync($"{BlockDevice.FolderOf(options.SysRoot, ublkId)}/queue/write_cache");
            }

            reading = _reading;
        }

        if (reading is { IsCompleted: false })
        {
            await Task.WhenAny(reading, Task.Delay(options.Timing.AttributeWait));
        }

        return Volatile.Read(ref _writeCache);
    }

    private async Task ReadAsync(string path)
    {
        string? value = null;
        try
        {
            HelperResult result = await helpers.ReadAttributeAsync(path);
            value = result.ExitCode == HelperResult.Done ? result.Output.Trim() : null;
        }
        catch (IOException)
        {
            // Without the helper the value stays unknown.
        }

        Volatile.Write(ref _writeCache, value);
    }
}
