using System.Globalization;
using Dst.Interop;
using Dst.Nodes.Marks;
using Dst.Ublk.Control;

namespace Dst.Target.Helpers;

/// <summary>
/// Short processes for what may sleep in the kernel on somebody's disk: never the target itself, whose own device it
/// might be (U-26), and never dstd, which may not hang. Exit codes: 0 done, 1 failed, 2 usage, 5 busy, 6 not yet. One
/// line on stderr says why.
/// </summary>
internal static class HelperVerbs
{
    private const int Failed = 1;
    private const int Usage = 2;
    private const int Busy = 5;
    private const int NotYet = 6;

    /// <summary>Runs a verb.</summary>
    /// <param name="arguments">Verb and its arguments.</param>
    /// <returns>Exit code.</returns>
    public static int Run(ReadOnlySpan<string> arguments)
    {
        try
        {
            return arguments switch
            {
                ["hold", var path] => Hold(path),
                ["rescan", var path] => Rescan(path),
                ["sweep"] => Sweep(),
                ["delete-device", var id] when int.TryParse(id, out int number) => DeleteDevice(number),
                ["clear-error", var path] => ClearError(path, null),
                ["clear-error", var path, var index] when IsNode(index, out int number) => ClearError(path, number),
                _ => Complain(
                    Usage,
                    "usage: dst-target helper hold PATH | rescan PATH | delete-device N | sweep | "
                    + "clear-error MARKS [INDEX]"),
            };
        }
        catch (UblkException e)
        {
            return Complain(Failed, e.Message);
        }
    }

    /// <summary>
    /// Opens a disk for itself alone, writes back what is dirty, says so, and keeps it until stdin ends (U-20).
    /// </summary>
    private static int Hold(string path)
    {
        int fd = Libc.Open(path, LinuxAbi.O_RDONLY | LinuxAbi.O_EXCL | LinuxAbi.O_CLOEXEC);
        if (fd < 0)
        {
            return Complain(
                fd == -Errno.EBUSY ? Busy : Failed, $"{path} cannot be opened for removal: {Errno.Describe(-fd)}");
        }

        int error = Libc.Fsync(fd);
        if (error < 0)
        {
            return Complain(
                Failed,
                $"{path} cannot be flushed: {Errno.Describe(-error)}; "
                + "data written to it may be lost, --force removes it all the same");
        }

        Console.Out.WriteLine("held");
        Console.Out.Flush();
        while (Console.In.ReadLine() is not null)
        {
            // Only the end of the input counts.
        }

        _ = Libc.Close(fd);
        return 0;
    }

    /// <summary>
    /// Reads the partition table of a disk anew (U-25). A disk without one, or in use, is left as it is.
    /// </summary>
    private static int Rescan(string path)
    {
        int fd = Libc.Open(path, LinuxAbi.O_RDONLY | LinuxAbi.O_CLOEXEC);
        if (fd < 0)
        {
            return Complain(Failed, $"{path} cannot be opened: {Errno.Describe(-fd)}");
        }

        int error = Libc.Ioctl(fd, BlockAbi.BLKRRPART);
        _ = Libc.Close(fd);
        return error is 0 or -Errno.EINVAL
            ? 0
            : Complain(
                error == -Errno.EBUSY ? Busy : Failed, $"{path}: partition table not read: {Errno.Describe(-error)}");
    }

    /// <summary>Deletes the kernel device of a dead target; any other is left alone (D-03).</summary>
    private static int DeleteDevice(int id)
    {
        if (new DriverTraces().ProveNone(id))
        {
            return 0;
        }

        using var control = new UblkControl();
        if (control.TryGetInfo(id) is not { } info)
        {
            return 0;
        }

        switch (DeadDevice.Judge(info, info.Maker.Lives()))
        {
            case DeviceVerdict.Foreign:
                return Complain(Busy, $"ublk device {id} is not DST's; it is left alone");
            case DeviceVerdict.Served:
                return Complain(
                    Busy, $"ublk device {id} belongs to process {info.Maker.Pid}, which lives; it is left alone");
            case DeviceVerdict.Ending:
                return Complain(
                    NotYet,
                    $"the kernel has not yet ended the requests of process {info.Maker.Pid}, which is dead; "
                    + "before Linux 6.15 that takes up to 30 s");
            default:
                control.Delete(id);
                return 0;
        }
    }

    /// <summary>
    /// Deletes every kernel device that a dead target left, also those whose number nobody came to know (D-03).
    /// One that cannot be deleted does not keep the others.
    /// </summary>
    private static int Sweep()
    {
        if (new DriverTraces().ProveNone())
        {
            return 0;
        }

        using var control = new UblkControl();
        int result = 0;
        foreach (string path in Directory.EnumerateFiles("/dev", "ublkc*"))
        {
            if (!int.TryParse(path.AsSpan("/dev/ublkc".Length), out int id))
            {
                continue;
            }

            try
            {
                if (control.TryGetInfo(id) is { } info
                    && DeadDevice.Judge(info, info.Maker.Lives()) == DeviceVerdict.Dead)
                {
                    control.Delete(id);
                    Console.Out.WriteLine(id);
                }
            }
            catch (UblkException e)
            {
                result = Complain(Failed, e.Message);
            }
        }

        return result;
    }

    /// <summary>
    /// Takes the error marks of a device away that no target serves (C-16): each node's record is replaced by one write
    /// of one sector (C-14) and durable when this ends. A node without a mark is not written.
    /// </summary>
    private static int ClearError(string path, int? nodeIndex)
    {
        try
        {
            using NodeMarks marks = NodeMarks.Open(path);
            marks.Own();
            for (int i = nodeIndex ?? 0; i <= (nodeIndex ?? NodeMarks.MaxNodes - 1); i++)
            {
                if (marks[i].IsPoisoned && marks.Clear(i) is < 0 and int error)
                {
                    return Complain(Failed, $"the error mark of node {i} in {path} stays: {Errno.Describe(-error)}");
                }
            }

            return 0;
        }
        catch (NodeMarksException e)
        {
            return Complain(e.IsOwned ? Busy : Failed, e.Message);
        }
    }

    private static bool IsNode(string text, out int index) =>
        int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out index) && index < NodeMarks.MaxNodes;

    private static int Complain(int code, string message)
    {
        Console.Error.WriteLine($"dst-target: {message}");
        return code;
    }
}
