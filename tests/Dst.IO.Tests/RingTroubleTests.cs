using System.Runtime.InteropServices;
using Dst.Interop;
using Dst.IO.Memory;
using Dst.IO.Rings;
using Xunit;

namespace Dst.IO.Tests;

/// <summary>Rings on kernels that know less, with too few completion entries, and under signals (U-02, U-10).</summary>
public sealed unsafe partial class RingTroubleTests
{
    private const uint Best = IoUringAbi.IORING_SETUP_SINGLE_ISSUER | IoUringAbi.IORING_SETUP_COOP_TASKRUN
        | IoUringAbi.IORING_SETUP_DEFER_TASKRUN;

    private const int BoundedTries = 100_000;

    private static readonly RingOptions Options = new() { SubmissionEntries = 8, CompletionEntries = 64 };

    [Fact]
    public void A_ring_has_every_flag_that_this_kernel_knows()
    {
        IoUringParams p = new() { Flags = Best };
        int fd = IoUringCalls.Setup(8, ref p);
        Assert.SkipWhen(fd < 0, $"this kernel does not know all three flags: {Errno.Describe(-fd)}");
        _ = Libc.Close(fd);
        using Ring ring = Ring.Create(in Options);
        Assert.Equal(Best, ring.SetupFlags & Best);
        Assert.NotEqual(0u, ring.SetupFlags & IoUringAbi.IORING_SETUP_CQSIZE);
    }

    [Theory]
    [InlineData(0u, Best)]
    [InlineData(IoUringAbi.IORING_SETUP_DEFER_TASKRUN, IoUringAbi.IORING_SETUP_COOP_TASKRUN)]
    [InlineData(IoUringAbi.IORING_SETUP_SINGLE_ISSUER, IoUringAbi.IORING_SETUP_COOP_TASKRUN)]
    [InlineData(Best, 0u)]
    public void A_ring_falls_back_to_what_the_kernel_knows_and_works(uint unknown, uint expected)
    {
        foreach (bool large in (bool[])[false, true])
        {
            RingOptions options = Options with { LargeSubmissions = large };
            using Ring ring = Ring.Create(in options, KernelWithout(unknown));
            Assert.Equal(expected, ring.SetupFlags & Best);
            Assert.Equal(large, (ring.SetupFlags & IoUringAbi.IORING_SETUP_SQE128) != 0);
            Submit(ring, 0, 8);
            ring.SubmitAndWait(8);
            Assert.Equal(Numbers(8), TakeAll(ring));
        }
    }

    [Theory]
    [InlineData(Errno.EPERM, "kernel.io_uring_disabled=0")]
    [InlineData(Errno.ENOSYS, "Linux 6.12 or newer")]
    [InlineData(Errno.ENOMEM, "ulimit -l")]
    [InlineData(Errno.EMFILE, "ulimit -n")]
    public void A_refusal_that_is_no_matter_of_flags_is_told_at_once(int errno, string hint)
    {
        int calls = 0;
        RingException e = Assert.Throws<RingException>(() => Ring.Create(in Options, (uint _, ref IoUringParams _) =>
        {
            calls++;
            return -errno;
        }));
        Assert.Contains(hint, e.Message, StringComparison.Ordinal);
        Assert.Equal(1, calls);
    }

    [Theory]
    [InlineData(Errno.EAGAIN)]
    [InlineData(Errno.EBUSY)]
    public void A_kernel_that_is_short_of_memory_for_a_while_ends_no_ring(int errno)
    {
        long calls = 0;
        long endMs = long.MaxValue;
        using Ring ring = Ring.Create(in Options, IoUringCalls.Setup, (fd, toSubmit, minComplete, flags) =>
        {
            calls++;
            return Environment.TickCount64 < endMs
                ? -errno
                : IoUringCalls.Enter(fd, toSubmit, minComplete, flags);
        });
        endMs = Environment.TickCount64 + 500;
        Submit(ring, 0, 8);
        ring.SubmitAndWait(8);
        Assert.Equal(Numbers(8), TakeAll(ring));

        // Pauses: nobody else gets memory while we spin.
        Assert.InRange(calls, 2, 2_000);
        calls = 0;
        endMs = Environment.TickCount64 + 500;
        Submit(ring, 0, 9);
        ring.SubmitAndWait(9);
        Assert.Equal(Numbers(9), TakeAll(ring));
        Assert.InRange(calls, 2, 2_000);
    }

    [Fact]
    public void An_error_that_waiting_does_not_mend_is_not_waited_for()
    {
        EnterPatience patience = default;
        Assert.False(patience.TryAgain(-Errno.EBADF, 0));
        Assert.True(patience.TryAgain(-Errno.EINTR, 0));
    }

    // A queue without work waits in the kernel for hours; the collector's signals end that wait now and then.
    [Theory]
    [InlineData(EnterPatience.WaitedMs, true)]
    [InlineData(24 * 3600 * 1000, true)]
    [InlineData(EnterPatience.WaitedMs - 1, false)]
    [InlineData(1, false)]
    public void Signals_that_end_a_long_wait_use_up_no_patience(int betweenMs, bool isPatient)
    {
        EnterPatience patience = default;
        bool again = true;
        for (long call = 0; call <= EnterPatience.LimitMs && again; call++)
        {
            again = patience.TryAgain(-Errno.EINTR, call * betweenMs);
        }

        Assert.Equal(isPatient, again);
    }

    [Theory]
    [InlineData("single mapping", "too old")]
    [InlineData("overflow list", "too old")]
    [InlineData("entries", "out of range")]
    [InlineData("offset", "outside its mapping")]
    [InlineData("unaligned offset", "outside its mapping")]
    [InlineData("mask", "do not fit")]
    public void An_answer_that_cannot_be_right_is_refused(string what, string named)
    {
        int fd = -1;
        RingException e = Assert.Throws<RingException>(
            () => Ring.Create(in Options, (uint entries, ref IoUringParams p) =>
            {
                fd = IoUringCalls.Setup(entries, ref p);
                Falsify(ref p, what);
                return fd;
            }));
        Assert.Contains(named, e.Message, StringComparison.Ordinal);
        Assert.True(fd >= 0, "the kernel was not asked");
        Assert.Equal(-Errno.EBADF, IoUringCalls.Enter(fd, 0, 0, 0));
    }

    /// <summary>More results than completion entries, none fetched meanwhile: the kernel keeps a list.</summary>
    [Theory]
    [InlineData(0u)]
    [InlineData(Best)]
    public void Completions_beyond_the_queue_come_later_and_none_is_lost(uint unknown)
    {
        const int Count = 200;
        RingOptions small = new() { SubmissionEntries = 4, CompletionEntries = 4 };
        using Ring ring = Ring.Create(in small, KernelWithout(unknown));
        for (int i = 0; i < Count; i += 4)
        {
            Submit(ring, i, 4);
            ring.SubmitAndWait(0);
        }

        List<ulong> seen = TakeAll(ring);
        Assert.Equal(4, seen.Count);
        for (int tries = 0; tries < Count && seen.Count < Count; tries++)
        {
            ring.SubmitAndWait(1);
            seen.AddRange(TakeAll(ring));
        }

        Assert.Equal(Numbers(Count), seen);
        Assert.Equal(0u, ring.DroppedCompletions);
        Submit(ring, Count, 1);
        ring.SubmitAndWait(1);
        Assert.Equal([(ulong)Count], TakeAll(ring));
    }

    [Fact]
    public void Signals_do_not_end_a_wait_whose_completion_is_not_there()
    {
        const int Signals = 50;
        int fd = Libc.Eventfd(0, LinuxAbi.EFD_CLOEXEC);
        int returns = 0;
        int result = 0;
        ulong token = 0;
        using RingThread waiter = new(ring =>
        {
            using NativeBlock block = NativeBlock.Allocate(sizeof(ulong), "signal test");
            IoUringSqe* sqe = ring.NextSqe();
            sqe->Opcode = (byte)IoUringAbi.IORING_OP_READ;
            sqe->Fd = fd;
            sqe->Addr = (ulong)block.Address;
            sqe->Len = sizeof(ulong);
            sqe->UserData = 42;
            ring.SubmitAndWait(0);
            ring.SubmitAndWait(1);
            Volatile.Write(ref returns, 1);
            if (ring.TryTake(out IoUringCqe cqe))
            {
                (token, result) = (cqe.UserData, cqe.Res);
            }
        });
        for (int i = 0; i < Signals; i++)
        {
            waiter.AwaitSleep();
            waiter.Interrupt();
        }

        waiter.AwaitSleep();
        Assert.Equal(0, Volatile.Read(ref returns));
        ulong one = 1;
        Assert.Equal(sizeof(ulong), Libc.Write(fd, &one, sizeof(ulong)));
        waiter.Join();
        Assert.Equal((42ul, sizeof(ulong)), (token, result));
        _ = Libc.Close(fd);
    }

    [Fact]
    public void A_storm_of_signals_loses_and_doubles_nothing()
    {
        const int Rounds = 3_000;
        List<ulong> seen = [];
        using RingThread thread = new(ring =>
        {
            for (int round = 0; round < Rounds; round++)
            {
                Submit(ring, round * 8, 8);
                for (int tries = 0; tries < BoundedTries && seen.Count < (round + 1) * 8; tries++)
                {
                    ring.SubmitAndWait(1);
                    seen.AddRange(TakeAll(ring));
                }
            }
        });
        int signals = 0;
        while (thread.Runs)
        {
            thread.Interrupt();
            signals++;
        }

        thread.Join();
        Assert.Equal(Numbers(Rounds * 8), seen);
        Assert.True(signals > 0, "no signal came");
    }

    private static RingSetup KernelWithout(uint unknown) => (uint entries, ref IoUringParams p) =>
        (p.Flags & unknown) != 0 ? -Errno.EINVAL : IoUringCalls.Setup(entries, ref p);

    private static void Falsify(ref IoUringParams p, string what)
    {
        switch (what)
        {
            case "single mapping":
                p.Features &= ~IoUringAbi.IORING_FEAT_SINGLE_MMAP;
                break;
            case "overflow list":
                p.Features &= ~IoUringAbi.IORING_FEAT_NODROP;
                break;
            case "entries":
                p.CqEntries = Ring.CompletionEntriesMax + 1;
                break;
            case "offset":
                p.CqOff.Tail = 1 << 30;
                break;
            case "unaligned offset":
                p.SqOff.Head++;
                break;
            default:
                p.SqEntries /= 2;
                break;
        }
    }

    private static void Submit(Ring ring, int first, int count)
    {
        for (int i = 0; i < count; i++)
        {
            IoUringSqe* sqe = ring.NextSqe();
            sqe->Opcode = (byte)IoUringAbi.IORING_OP_NOP;
            sqe->UserData = (ulong)(first + i);
        }
    }

    private static List<ulong> TakeAll(Ring ring)
    {
        List<ulong> taken = [];
        while (ring.TryTake(out IoUringCqe cqe))
        {
            taken.Add(cqe.UserData);
        }

        return taken;
    }

    private static IEnumerable<ulong> Numbers(int count) => Enumerable.Range(0, count).Select(i => (ulong)i);

    /// <summary>A thread with a ring of its own, which takes signals that are handled and mean nothing.</summary>
    private sealed partial class RingThread : IDisposable
    {
        private const int SigWinCh = 28;

        private static readonly string RingEnter = $"{LinuxAbi.__NR_io_uring_enter} ";

        private readonly PosixSignalRegistration _handler =
            PosixSignalRegistration.Create((PosixSignal)SigWinCh, static context => context.Cancel = true);

        private readonly TaskCompletionSource<int> _id = new();
        private readonly TaskCompletionSource _end = new();
        private readonly Thread _thread;

        public RingThread(Action<Ring> run)
        {
            _thread = new Thread(() =>
            {
                _id.SetResult(Libc.Gettid());
                try
                {
                    using Ring ring = Ring.Create(in Options);
                    run(ring);
                    _end.SetResult();
                }
                catch (RingException e)
                {
                    _end.SetException(e);
                }
            })
            {
                IsBackground = true,
            };
            _thread.Start();
        }

        public bool Runs => !_end.Task.IsCompleted;

        /// <summary>Waits until the thread sleeps in the ring.</summary>
        public void AwaitSleep()
        {
            string path = $"/proc/self/task/{_id.Task.Result}/syscall";
            Assert.True(
                SpinWait.SpinUntil(
                    () => File.ReadAllText(path).StartsWith(RingEnter, StringComparison.Ordinal), 20_000),
                "the thread does not wait in its ring");
        }

        /// <summary>Interrupts the thread, not the process. It may have ended.</summary>
        public void Interrupt() => _ = Tgkill(Environment.ProcessId, _id.Task.Result, SigWinCh);

        public void Join()
        {
            Assert.True(_thread.Join(20_000), "the thread does not come back");
            _end.Task.GetAwaiter().GetResult();
        }

        public void Dispose() => _handler.Dispose();

        [LibraryImport("libc.so.6", EntryPoint = "tgkill")]
        private static partial int Tgkill(int processId, int threadId, int signal);
    }
}
