using System.Globalization;
using Dst.Control;
using Dst.Daemon.Kernel;
using Dst.Daemon.Logging;

namespace Dst.Daemon.Devices;

/// <summary>
/// Clears away what a dead target leaves: socket, status tree, link, kernel device (D-03, D-07). Any thread, never
/// while the target runs.
/// </summary>
internal sealed class Leftovers(DaemonOptions options, HelperRunner helpers, DeviceLinks links, ILogger log)
{
    private static readonly TimeSpan PauseFirst = TimeSpan.FromMilliseconds(250);
    private static readonly TimeSpan PauseLongest = TimeSpan.FromSeconds(2);

    /// <summary>Clears everything.</summary>
    /// <param name="name">Name of the device.</param>
    /// <param name="ublkId">Its number where known; the status tree may know it otherwise.</param>
    /// <param name="ended">The target is known to have ended: a living kernel device of that number is somebody
    /// else's.</param>
    /// <param name="patience">
    /// How long the kernel may take to let go of the device; zero: it is tried once.
    /// </param>
    /// <param name="cancel">Ends the patience.</param>
    /// <returns>Null, or what could not be cleared.</returns>
    public async Task<ControlError?> ClearAsync(
        string name, int? ublkId, bool ended, TimeSpan patience, CancellationToken cancel)
    {
        int? id = ublkId ?? IdInTree(name);
        ControlError? problem = id is { } known
            ? await DeleteKernelDeviceAsync(known, patience, cancel)
            : await SweepAsync();
        if (problem is { Code: ControlErrorCode.Busy } && !ended)
        {
            return problem;
        }

        try
        {
            File.Delete(options.Run.TargetSocket(name));
            if (Directory.Exists(options.Run.Device(name)))
            {
                Directory.Delete(options.Run.Device(name), recursive: true);
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            problem ??= new(ControlErrorCode.Failure, $"leftovers of device {name} cannot be removed: {e.Message}");
        }

        if (id is { } number && problem is null)
        {
            links.Remove(name, BlockDevice.PathOf(number));
        }

        if (problem is not null)
        {
            log.DeviceWarning(name, problem.Message);
        }

        return problem;
    }

    /// <summary>
    /// A target that died before it could say which kernel device it made leaves one that nobody knows by number.
    /// </summary>
    private async Task<ControlError?> SweepAsync()
    {
        try
        {
            HelperResult result = await helpers.SweepAsync();
            return result.ExitCode == HelperResult.Done
                ? null
                : new(ControlErrorCode.Failure, $"kernel devices of dead targets cannot be deleted: {result.Text}");
        }
        catch (IOException e)
        {
            return new(ControlErrorCode.Failure, e.Message);
        }
    }

    private int? IdInTree(string name)
    {
        string? text = Tolerant.FirstLine($"{options.Run.Device(name)}/{StatusTree.UblkId}");
        return int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int id) ? id : null;
    }

    /// <summary>
    /// The kernel may still be ending the dead target's requests (U-33); asking again is all that helps. Making its
    /// request timer shorter would do no harm to a served device, whose timer it starts anew for ever (U-12), but
    /// writing that attribute waits for every request in flight with the queue frozen (U-13): one node that hangs at
    /// that moment would take the whole device with it.
    /// </summary>
    private async Task<ControlError?> DeleteKernelDeviceAsync(int ublkId, TimeSpan patience, CancellationToken cancel)
    {
        long begin = TimeProvider.System.GetTimestamp();
        TimeSpan pause = PauseFirst;
        while (true)
        {
            (ControlError? problem, bool notYet) = await TryDeleteAsync(ublkId);
            if (!notYet || TimeProvider.System.GetElapsedTime(begin) + pause > patience)
            {
                return problem;
            }

            try
            {
                await Task.Delay(pause, cancel);
            }
            catch (OperationCanceledException)
            {
                return problem;
            }

            pause = pause * 2 < PauseLongest ? pause * 2 : PauseLongest;
        }
    }

    private async Task<(ControlError? Problem, bool NotYet)> TryDeleteAsync(int ublkId)
    {
        try
        {
            HelperResult result = await helpers.DeleteDeviceAsync(ublkId);
            string why = result.Text.Length == 0 ? "" : $": {result.Text}";
            ControlError? problem = result.ExitCode switch
            {
                HelperResult.Done => null,
                HelperResult.BusyExit => new(
                    ControlErrorCode.Busy, $"ublk device {ublkId} belongs to somebody else or is alive{why}"),
                HelperResult.NotYetExit or null => new(
                    ControlErrorCode.TimedOut, $"ublk device {ublkId} is not deleted yet{why}"),
                _ => new(ControlErrorCode.Failure, $"ublk device {ublkId} cannot be deleted{why}"),
            };
            return (problem, result.ExitCode == HelperResult.NotYetExit);
        }
        catch (IOException e)
        {
            return (new(ControlErrorCode.Failure, e.Message), false);
        }
    }
}
