using System.Diagnostics;
using Dst.Interop;

namespace Dst.Nodes.Backings;

/// <summary>
/// Gets hold of a backing against other users (C-20, D-11, S-09): at creation it is refused within a second, at a
/// restart it is waited for without end, until the last request of a dead owner is done.
/// </summary>
internal static class BackingLock
{
    /// <summary>How often a held backing is tried again.</summary>
    public const int PollMs = 100;

    /// <summary>How long a device being made tries: who probes a disk or dies in these moments is let pass.</summary>
    public const int CreationLimitMs = 1000;

    /// <summary>How often waiting is told again.</summary>
    public const int TellMs = 10_000;

    /// <summary>Locks the whole of a file: against everyone, or for a read-only volume against writers.</summary>
    public static void LockFile(int fd, string path, FileFacts facts, in BackingRequest request, HostView host)
    {
        short type = (short)(request.ReadOnly ? LinuxAbi.F_RDLCK : LinuxAbi.F_WRLCK);
        Acquire(
            () => Native.Lock(fd, LinuxAbi.F_OFD_SETLK, type, out _),
            -Errno.EAGAIN,
            () => $"file {path} is locked by {HolderOf(fd, type, facts, host)}",
            $"lock file {path}",
            request);
    }

    /// <summary>Repeats a call that answers 0 or more once the backing is free.</summary>
    /// <param name="attempt">The call.</param>
    /// <param name="busy">The -errno that means that someone has it.</param>
    /// <param name="describe">Says who.</param>
    /// <param name="what">Words for a call that fails otherwise: <c>lock file /x</c>.</param>
    /// <param name="request">Decides how long.</param>
    /// <returns>What the call answered; a negative value other than <paramref name="busy"/> too.</returns>
    public static int AcquireOrError(
        Func<int> attempt, int busy, Func<string> describe, string what, in BackingRequest request)
    {
        long start = Stopwatch.GetTimestamp();
        double toldMs = double.NegativeInfinity;
        while (true)
        {
            int result = attempt();
            if (result != busy && result != -Errno.EINTR)
            {
                return result;
            }

            double elapsedMs = Stopwatch.GetElapsedTime(start).TotalMilliseconds;
            if (!request.Restore && elapsedMs >= CreationLimitMs)
            {
                throw Refusal.Busy($"{describe()}; stop that user or give another backing");
            }

            if (request.Restore && elapsedMs - toldMs >= TellMs)
            {
                toldMs = elapsedMs;
                request.Events?.Waiting($"waiting to {what}: {describe()}");
            }

            request.CancellationToken.WaitHandle.WaitOne(PollMs);
            request.CancellationToken.ThrowIfCancellationRequested();
        }
    }

    private static void Acquire(
        Func<int> attempt, int busy, Func<string> describe, string what, in BackingRequest request)
    {
        int result = AcquireOrError(attempt, busy, describe, what, request);
        if (result < 0)
        {
            throw Refusal.Failure(
                $"cannot {what}: {Errno.Describe(result)}; its file system has to support locks of open files");
        }
    }

    private static string HolderOf(int fd, short type, FileFacts facts, HostView host)
    {
        Holders holders = new(host);
        if (Native.Lock(fd, LinuxAbi.F_OFD_GETLK, type, out int pid) == 0 && pid > 0)
        {
            return holders.Process(pid);
        }

        return holders.OfLockedFile(facts) is { Length: > 0 } names ? names : "another process";
    }
}
