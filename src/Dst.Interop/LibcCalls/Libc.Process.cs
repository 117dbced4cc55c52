using Tmds.Linux;

namespace Dst.Interop;

// Processes and threads: identity, limits, name spaces, execution, time.
public static unsafe partial class Libc
{
    /// <summary>Kernel's number of the calling thread.</summary>
    public static int Gettid() => NativeMethods.Gettid();

    /// <summary>Number of this process.</summary>
    public static int Getpid() => Environment.ProcessId;

    /// <summary>Effective user.</summary>
    public static uint Geteuid() => (uint)LibC.geteuid();

    /// <summary>Sets or asks an attribute of the calling thread or process (PR_).</summary>
    /// <returns>The option's value, or -errno.</returns>
    public static int Prctl(int option, nuint a = 0, nuint b = 0, nuint c = 0, nuint d = 0) =>
        NativeMethods.Result(NativeMethods.Prctl(option, a, b, c, d));

    /// <summary>Names the calling thread, up to 15 bytes.</summary>
    public static int SetThreadName(ReadOnlySpan<byte> name)
    {
        if (!IsTerminated(name))
        {
            return -Errno.EINVAL;
        }

        fixed (byte* n = name)
        {
            return Prctl(LinuxAbi.PR_SET_NAME, (nuint)n);
        }
    }

    /// <summary>Begins a session of its own.</summary>
    /// <returns>Number of the session, or -errno (-EPERM when the process already leads a group).</returns>
    public static int Setsid() => Result((int)LibC.setsid());

    /// <summary>Leaves name spaces (CLONE_NEW…) of the calling thread.</summary>
    public static int Unshare(int flags) => Result(LibC.unshare(flags));

    /// <summary>Enters a name space.</summary>
    public static int Setns(int fd, int kind) => Result(LibC.setns(fd, kind));

    /// <summary>Mounts, or changes a mount (MS_).</summary>
    public static int Mount(string? source, string target, string? kind, ulong flags, string? data = null)
    {
        using ZeroTerminated s = new(source);
        using ZeroTerminated t = new(target);
        using ZeroTerminated k = new(kind);
        using ZeroTerminated d = new(data);
        int error = int.Min(int.Min(s.Error, t.Error), int.Min(k.Error, d.Error));
        return error < 0
            ? error
            : Result(LibC.mount(s.Pointer, t.Pointer, k.Pointer, (ulong_t)flags, d.Pointer));
    }

    /// <summary>Unmounts; MNT_DETACH takes the mount away now, and lets go of it when nobody uses it any more.</summary>
    public static int Umount2(string target, int flags)
    {
        using ZeroTerminated t = new(target);
        return t.Error < 0 ? t.Error : Result(LibC.umount2(t.Pointer, flags));
    }

    /// <summary>Replaces the program of this process. Does not come back when it succeeds.</summary>
    /// <param name="path">The program.</param>
    /// <param name="arguments">Its arguments, the first being its name.</param>
    /// <param name="environment">Its environment, <c>NAME=value</c>.</param>
    /// <returns>-errno.</returns>
    public static int Execve(string path, IReadOnlyList<string> arguments, IReadOnlyList<string> environment)
    {
        ArgumentNullException.ThrowIfNull(arguments);
        ArgumentNullException.ThrowIfNull(environment);
        using ZeroTerminated program = new(path);
        using ZeroTerminatedList argv = new(arguments);
        using ZeroTerminatedList envp = new(environment);
        int error = int.Min(program.Error, int.Min(argv.Error, envp.Error));
        return error < 0 ? error : Result(LibC.execve(program.Pointer, argv.Pointer, envp.Pointer));
    }

    /// <summary>Binds a thread to CPUs.</summary>
    /// <param name="threadId">Kernel's number of the thread; 0 is the caller.</param>
    /// <param name="mask">One bit a CPU, as many words as there are CPUs to speak of.</param>
    public static int SchedSetaffinity(int threadId, ReadOnlySpan<ulong> mask)
    {
        fixed (ulong* m = mask)
        {
            return NativeMethods.Result(
                NativeMethods.SchedSetaffinity(threadId, (nuint)mask.Length * sizeof(ulong), m));
        }
    }

    /// <summary>Asks which CPUs a thread may use.</summary>
    /// <param name="threadId">Kernel's number of the thread; 0 is the caller.</param>
    /// <param name="mask">Filled with one bit a CPU; 16 words hold 1024 CPUs.</param>
    public static int SchedGetaffinity(int threadId, Span<ulong> mask)
    {
        mask.Clear();
        fixed (ulong* m = mask)
        {
            return NativeMethods.Result(
                NativeMethods.SchedGetaffinity(threadId, (nuint)mask.Length * sizeof(ulong), m));
        }
    }

    /// <summary>Asks for a resource limit (RLIMIT_).</summary>
    /// <param name="processId">0 is the caller.</param>
    /// <param name="resource">One of RLIMIT_.</param>
    /// <param name="limit">The limit.</param>
    public static int GetLimit(int processId, int resource, out ResourceLimit limit)
    {
        limit = default;
        fixed (ResourceLimit* old = &limit)
        {
            return NativeMethods.Result(NativeMethods.Prlimit(processId, resource, null, old));
        }
    }

    /// <summary>Sets a resource limit (RLIMIT_).</summary>
    /// <param name="processId">0 is the caller.</param>
    /// <param name="resource">One of RLIMIT_.</param>
    /// <param name="limit">The limit.</param>
    public static int SetLimit(int processId, int resource, ResourceLimit limit) =>
        NativeMethods.Result(NativeMethods.Prlimit(processId, resource, &limit, null));

    /// <summary>Asks which capabilities are in effect, one bit each (CAP_).</summary>
    /// <param name="threadId">Kernel's number of the thread; 0 is the caller.</param>
    /// <param name="effective">The set.</param>
    public static int GetEffectiveCapabilities(int threadId, out ulong effective)
    {
        CapabilityHeader header = new() { Version = LinuxAbi._LINUX_CAPABILITY_VERSION_3, Pid = threadId };
        CapabilityData* data = stackalloc CapabilityData[2];
        int result = NativeMethods.Result(NativeMethods.Capget(&header, data));
        effective = result < 0 ? 0 : data[0].Effective | ((ulong)data[1].Effective << 32);
        return result;
    }

    /// <summary>A descriptor that stands for a process, and becomes readable when it ends.</summary>
    /// <returns>The descriptor (close-on-exec), or -errno.</returns>
    public static int PidfdOpen(int processId, uint flags = 0) =>
        (int)NativeMethods.Result(NativeMethods.Syscall(
            LinuxAbi.__NR_pidfd_open, processId, (nint)flags, 0, 0, 0, 0));

    /// <summary>Sends a signal to the process of a descriptor; 0 asks whether it still is.</summary>
    public static int PidfdSendSignal(int pidFd, int signal) =>
        (int)NativeMethods.Result(NativeMethods.Syscall(
            LinuxAbi.__NR_pidfd_send_signal, pidFd, signal, 0, 0, 0, 0));

    /// <summary>Sends a signal to a process; 0 asks whether there is one.</summary>
    public static int Kill(int processId, int signal) => Result(LibC.kill((pid_t)processId, signal));

    /// <summary>Changes the working directory.</summary>
    public static int Chdir(string path)
    {
        using ZeroTerminated p = new(path);
        return p.Error < 0 ? p.Error : Result(LibC.chdir(p.Pointer));
    }

    /// <summary>Sets which mode bits new files do not get.</summary>
    /// <returns>The mask before; never fails.</returns>
    public static uint Umask(uint mask) => (uint)LibC.umask((mode_t)mask);

    /// <summary>Fills a buffer with random bytes; whole for up to 256 bytes.</summary>
    /// <returns>Bytes filled, or -errno.</returns>
    public static long Getrandom(Span<byte> buffer, uint flags = 0)
    {
        fixed (byte* p = buffer)
        {
            return NativeMethods.Result(NativeMethods.Getrandom(p, (nuint)buffer.Length, flags));
        }
    }

    /// <summary>Names of the running system.</summary>
    public static int Uname(out UtsName name)
    {
        name = default;
        fixed (UtsName* n = &name)
        {
            return NativeMethods.Result(NativeMethods.Uname(n));
        }
    }

    /// <summary>Reads a clock (CLOCK_).</summary>
    public static int ClockGettime(int clock, out KernelTimespec time)
    {
        time = default;
        fixed (KernelTimespec* t = &time)
        {
            return NativeMethods.Result(NativeMethods.ClockGettime(clock, t));
        }
    }
}
