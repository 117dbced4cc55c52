using System.Runtime.CompilerServices;

namespace Dst.Interop;

/// <summary>
/// The three io_uring system calls. Each returns the kernel's value, or -errno; none throws, allocates or retries.
/// </summary>
public static unsafe class IoUringCalls
{
    /// <summary>Makes a ring. Any thread; with SINGLE_ISSUER the first submitter owns it.</summary>
    /// <param name="entries">Submission entries, a power of two or rounded up to one.</param>
    /// <param name="parameters">In: wanted flags and sizes. Out: what the kernel made of them.</param>
    /// <returns>File descriptor of the ring, or -errno.</returns>
    public static int Setup(uint entries, ref IoUringParams parameters)
    {
        fixed (IoUringParams* p = &parameters)
        {
            return (int)NativeMethods.Result(
                NativeMethods.Syscall(LinuxAbi.__NR_io_uring_setup, (nint)entries, (nint)p, 0, 0, 0, 0));
        }
    }

    /// <summary>Submits and, with <c>IORING_ENTER_GETEVENTS</c>, waits without a time limit.</summary>
    /// <returns>Entries taken, or -errno (-EINTR when a signal came first).</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int Enter(int ringFd, uint toSubmit, uint minComplete, uint flags) =>
        (int)NativeMethods.Result(NativeMethods.Syscall(
            LinuxAbi.__NR_io_uring_enter, ringFd, (nint)toSubmit, (nint)minComplete, (nint)flags, 0, 0));

    /// <summary>Submits and waits with an extended argument; <c>IORING_ENTER_EXT_ARG</c> is added here.</summary>
    /// <returns>Entries taken, or -errno (-ETIME when the time limit passed, -EINTR when a signal came first).</returns>
    public static int Enter(int ringFd, uint toSubmit, uint minComplete, uint flags, ref GetEventsArg argument)
    {
        fixed (GetEventsArg* p = &argument)
        {
            return (int)NativeMethods.Result(NativeMethods.Syscall(
                LinuxAbi.__NR_io_uring_enter, ringFd, (nint)toSubmit, (nint)minComplete,
                (nint)(flags | IoUringAbi.IORING_ENTER_EXT_ARG), (nint)p, sizeof(GetEventsArg)));
        }
    }

    /// <summary>Submits and waits at most <paramref name="timeoutNs"/>; GETEVENTS and EXT_ARG are added here.</summary>
    /// <param name="ringFd">The ring.</param>
    /// <param name="toSubmit">Entries to take from the submission ring.</param>
    /// <param name="minComplete">Completions to wait for.</param>
    /// <param name="flags">Further IORING_ENTER_ flags.</param>
    /// <param name="timeoutNs">Nanoseconds; negative waits for ever. Needs <c>IORING_FEAT_EXT_ARG</c> (Linux 5.11).</param>
    /// <returns>Entries taken, or -errno (-ETIME when the time limit passed, -EINTR when a signal came first).</returns>
    public static int EnterTimeout(int ringFd, uint toSubmit, uint minComplete, uint flags, long timeoutNs)
    {
        uint all = flags | IoUringAbi.IORING_ENTER_GETEVENTS;
        if (timeoutNs < 0)
        {
            return Enter(ringFd, toSubmit, minComplete, all);
        }

        KernelTimespec limit = KernelTimespec.FromNanoseconds(timeoutNs);
        GetEventsArg argument = new() { Ts = (ulong)&limit };
        return Enter(ringFd, toSubmit, minComplete, all, ref argument);
    }

    /// <summary>Registers files, buffers, the ring itself, or asks the kernel what it can do.</summary>
    /// <param name="ringFd">The ring, or -1 for the few operations that need none.</param>
    /// <param name="operation">One of IORING_REGISTER_ / IORING_UNREGISTER_.</param>
    /// <param name="argument">What the operation wants, or null.</param>
    /// <param name="count">Entries in the argument, as the operation counts them.</param>
    /// <returns>0 or a value of the operation's own, or -errno.</returns>
    public static int Register(int ringFd, uint operation, void* argument, uint count) =>
        (int)NativeMethods.Result(NativeMethods.Syscall(
            LinuxAbi.__NR_io_uring_register, ringFd, (nint)operation, (nint)argument, (nint)count, 0, 0));
}
