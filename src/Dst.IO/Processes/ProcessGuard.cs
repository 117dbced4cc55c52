using System.Text;
using Dst.Interop;

namespace Dst.IO.Processes;

/// <summary>
/// What keeps a process on the road of a block request from waiting for that very request: no memory reclaim into our
/// own device (U-50), no mount of our own device in our mount namespace (U-27), no hangup or signal of somebody's
/// terminal. Memory flags and mount namespace hold per thread, so they are set on one thread which then executes the
/// same program again: every thread of the new image is born with them.
/// </summary>
public static class ProcessGuard
{
    /// <summary>Set for the second image, so that it does not execute itself once more.</summary>
    private const string Variable = "DST_GUARDED";

    /// <summary>Descriptors a process asks for: many times what the largest device needs (D-12).</summary>
    private const ulong OpenFilesWanted = 65536;

    /// <summary>
    /// First thing in Main, before any thread, file or socket of ours exists. Either does not return (the process
    /// starts over), or returns.
    /// </summary>
    /// <returns>
    /// Null when every thread is guarded; else one line that says why this process must not serve a device.
    /// </returns>
    public static string? Enter()
    {
        if (Environment.GetEnvironmentVariable(Variable) is not null)
        {
            Environment.SetEnvironmentVariable(Variable, null);
            return Libc.Prctl(LinuxAbi.PR_GET_IO_FLUSHER, 0) == 1
                ? null
                : "the kernel forgot the IO_FLUSHER mark over execve; this kernel cannot run a target safely";
        }

        // EPERM says that we lead a session already, which is all we want.
        _ = Libc.Setsid();
        int error = Libc.Unshare(LinuxAbi.CLONE_NEWNS);
        if (error < 0)
        {
            return $"no mount namespace of its own: {Errno.Describe(-error)}; run as root with CAP_SYS_ADMIN";
        }

        error = Libc.Mount(null, "/", null, LinuxAbi.MS_REC | LinuxAbi.MS_PRIVATE, null);
        if (error < 0)
        {
            return $"the mount namespace cannot be made private: {Errno.Describe(-error)}; "
                + "run as root with CAP_SYS_ADMIN";
        }

        error = Libc.Prctl(LinuxAbi.PR_SET_IO_FLUSHER, 1);
        return error < 0
            ? $"PR_SET_IO_FLUSHER: {Errno.Describe(-error)}; "
                + "the process needs CAP_SYS_RESOURCE, without it memory reclaim can wait for our own device"
            : ExecuteSelf();
    }

    /// <summary>
    /// For a process that serves files to other machines and has no disk of this host: as <see cref="Enter"/>, but it
    /// stays in the mount namespace it was born in, where it pins no file system beyond the files it has open and sees
    /// those that are mounted later; and it serves also without the mark.
    /// </summary>
    /// <returns>Null, or one line that warns of what could not be had.</returns>
    public static string? EnterShared()
    {
        if (Environment.GetEnvironmentVariable(Variable) is not null)
        {
            Environment.SetEnvironmentVariable(Variable, null);
        }
        else
        {
            _ = Libc.Setsid();
            int error = Libc.Prctl(LinuxAbi.PR_SET_IO_FLUSHER, 1);
            if (error == 0 && ExecuteSelf() is { } problem)
            {
                return problem;
            }
        }

        return Libc.Prctl(LinuxAbi.PR_GET_IO_FLUSHER, 0) == 1
            ? null
            : "not marked IO_FLUSHER, which needs CAP_SYS_RESOURCE: when memory is short, reclaim may wait for a disk "
                + "of this host that itself waits for this server";
    }

    /// <summary>
    /// Detaches, in our own namespace, every mount but the few that a target needs, so that it keeps no file system
    /// busy that others unmount, least of all its own. Open descriptors stay valid. After <see cref="Enter"/>, once all
    /// nodes are open.
    /// </summary>
    /// <param name="kept">The mounts that hold these directories stay, too.</param>
    public static void DetachForeignMounts(params IReadOnlyList<string> kept)
    {
        string[] points = [.. File.ReadLines("/proc/self/mountinfo").Select(line => Unescape(line.Split(' ')[4]))];
        HashSet<string> keptMounts =
        [
            .. kept.Select(each =>
                points.Where(point => Contains(point, each)).MaxBy(point => point.Length) ?? "/"),
        ];
        foreach (string point in points.Reverse())
        {
            if (point is not ("/" or "/dev" or "/proc" or "/sys" or "/run")
                && !keptMounts.Contains(point))
            {
                // What cannot be detached was detached with its parent, or is hidden below a later mount: nothing that
                // others could miss.
                _ = Libc.Umount2(point, LinuxAbi.MNT_DETACH);
            }
        }
    }

    /// <summary>
    /// Raises the limit of open files as far as it may be and looks whether it is enough (D-12): a device that runs out
    /// of descriptors when its last queue starts is harder to understand than one that is refused at once.
    /// </summary>
    /// <param name="needed">Descriptors that will be open at once.</param>
    /// <returns>Null, or one line that says why it is not enough.</returns>
    public static string? RaiseOpenFiles(long needed)
    {
        int error = Libc.GetLimit(0, LinuxAbi.RLIMIT_NOFILE, out ResourceLimit limit);
        if (error < 0)
        {
            return $"the limit of open files cannot be asked: {Errno.Describe(-error)}";
        }

        var wanted = new ResourceLimit
        {
            Current = ulong.Max(limit.Current, OpenFilesWanted),
            Maximum = ulong.Max(limit.Maximum, OpenFilesWanted),
        };
        if (Libc.SetLimit(0, LinuxAbi.RLIMIT_NOFILE, wanted) == 0)
        {
            limit = wanted;
        }
        else if (Libc.SetLimit(0, LinuxAbi.RLIMIT_NOFILE, limit with { Current = limit.Maximum }) == 0)
        {
            limit.Current = limit.Maximum;
        }

        return limit.Current >= (ulong)needed
            ? null
            : $"{limit.Current} files may be open and {needed} are needed; raise the limit of dstd "
                + $"(LimitNOFILE={OpenFilesWanted} in its unit, or ulimit -Hn {OpenFilesWanted} before it is started)";
    }

    /// <summary>
    /// Limits of a process that serves disks: no core file (it would take minutes while the device hangs, U-57), last
    /// choice of the memory killer (U-52), all memory that is there now or comes later locked as it is touched (U-53).
    /// </summary>
    /// <returns>One line for each thing that could not be had.</returns>
    public static IReadOnlyList<string> Harden()
    {
        var complaints = new List<string>();
        _ = Libc.SetLimit(0, LinuxAbi.RLIMIT_CORE, default);
        try
        {
            File.WriteAllText("/proc/self/oom_score_adj", "-1000");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            complaints.Add(
                $"oom_score_adj cannot be set: {e.Message}; out of memory may kill this process and its device");
        }

        int error = Libc.Mlockall(LinuxAbi.MCL_CURRENT | LinuxAbi.MCL_FUTURE | LinuxAbi.MCL_ONFAULT);
        if (error < 0)
        {
            complaints.Add(
                $"memory cannot be locked: {Errno.Describe(-error)}; "
                + "raise the limit of locked memory (ulimit -l unlimited)");
        }

        return complaints;
    }

    private static string ExecuteSelf()
    {
        string[] argv = SplitZeros(File.ReadAllBytes("/proc/self/cmdline"));
        string[] inherited = SplitZeros(File.ReadAllBytes("/proc/self/environ"));
        string[] environment = [.. inherited, $"{Variable}=1", "MALLOC_ARENA_MAX=1"];
        int error = Libc.Execve("/proc/self/exe", argv, environment);
        return $"cannot execute itself again: {Errno.Describe(-error)}";
    }

    private static string[] SplitZeros(byte[] bytes) =>
        Encoding.UTF8.GetString(bytes).TrimEnd('\0').Split('\0');

    private static bool Contains(string mountPoint, string path) =>
        mountPoint is "/" || path.Equals(mountPoint, StringComparison.Ordinal)
            || path.StartsWith(mountPoint + "/", StringComparison.Ordinal);

    /// <summary>Mount points come with blanks, tabs, newlines and backslashes as three octal digits.</summary>
    private static string Unescape(string field)
    {
        if (!field.Contains('\\', StringComparison.Ordinal))
        {
            return field;
        }

        var text = new StringBuilder(field.Length);
        for (int i = 0; i < field.Length; i++)
        {
            if (field[i] == '\\' && i + 3 < field.Length)
            {
                text.Append((char)Convert.ToInt32(field.Substring(i + 1, 3), 8));
                i += 3;
            }
            else
            {
                text.Append(field[i]);
            }
        }

        return text.ToString();
    }
}
