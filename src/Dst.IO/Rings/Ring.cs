using System.Runtime.CompilerServices;
using Dst.Interop;

namespace Dst.IO.Rings;

/// <summary>
/// One io_uring. The thread that makes it owns it: every member is for that thread alone (SINGLE_ISSUER, U-02),
/// asserted where it is cheap. Where the kernel has them it is made with SINGLE_ISSUER, COOP_TASKRUN and DEFER_TASKRUN:
/// completions run only inside <see cref="SubmitAndWait"/>.
/// </summary>
public sealed unsafe class Ring : IDisposable
{
    /// <summary>Most submission entries a ring may have (the kernel's IORING_MAX_ENTRIES).</summary>
    public const uint SubmissionEntriesMax = 32768;

    /// <summary>Most completion entries a ring may have (the kernel's IORING_MAX_CQ_ENTRIES).</summary>
    public const uint CompletionEntriesMax = 2 * SubmissionEntriesMax;

    private readonly RingEnter? _enterInstead;
    private readonly int _ownerThreadId = Environment.CurrentManagedThreadId;
    private readonly uint* _sqHead;
    private readonly uint* _sqTail;
    private readonly uint* _sqFlags;
    private readonly uint* _cqHead;
    private readonly uint* _cqTail;
    private readonly uint* _cqOverflow;
    private readonly byte* _sqes;
    private readonly IoUringCqe* _cqes;
    private readonly uint _sqMask;
    private readonly uint _sqEntries;
    private readonly uint _cqMask;
    private readonly int _sqeStrideBytes;
    private readonly nint _ringMemory;
    private readonly nuint _ringMemoryBytes;
    private readonly nuint _sqesBytes;
    private uint _tail;
    private uint _submitted;
    private int _fd;

    private Ring(int fd, in IoUringParams p, bool large, RingEnter? enterInstead)
    {
        _fd = fd;
        _enterInstead = enterInstead;
        _sqeStrideBytes = large ? 128 : 64;
        SetupFlags = p.Flags;
        _sqEntries = p.SqEntries;
        CheckParameters(p);

        nuint sqBytes = p.SqOff.Array + (p.SqEntries * sizeof(uint));
        nuint cqBytes = p.CqOff.Cqes + (p.CqEntries * (nuint)sizeof(IoUringCqe));
        _ringMemoryBytes = Math.Max(sqBytes, cqBytes);
        _ringMemory = Map(fd, _ringMemoryBytes, IoUringAbi.IORING_OFF_SQ_RING, "ring");
        _sqesBytes = p.SqEntries * (nuint)_sqeStrideBytes;
        _sqes = (byte*)Map(fd, _sqesBytes, IoUringAbi.IORING_OFF_SQES, "submission entries");

        _sqHead = Word(p.SqOff.Head);
        _sqTail = Word(p.SqOff.Tail);
        _sqFlags = Word(p.SqOff.Flags);
        _cqHead = Word(p.CqOff.Head);
        _cqTail = Word(p.CqOff.Tail);
        _cqOverflow = Word(p.CqOff.Overflow);
        _sqMask = *Word(p.SqOff.RingMask);
        _cqMask = *Word(p.CqOff.RingMask);
        _cqes = (IoUringCqe*)At(p.CqOff.Cqes, p.CqEntries * (nuint)sizeof(IoUringCqe));
        if (_sqMask != p.SqEntries - 1 || _cqMask != p.CqEntries - 1)
        {
            throw new RingException(
                "io_uring: the kernel's masks do not fit its entry counts; this kernel's io_uring cannot be used");
        }

        // The index array stays the identity for the life of the ring: entry i of the array names submission entry i.
        uint* array = (uint*)At(p.SqOff.Array, p.SqEntries * sizeof(uint));
        for (uint i = 0; i < p.SqEntries; i++)
        {
            array[i] = i;
        }
    }

    /// <summary>Flags the kernel accepted (IORING_SETUP_*).</summary>
    public uint SetupFlags { get; }

    /// <summary>File descriptor of the ring.</summary>
    public int Fd => _fd;

    /// <summary>Completions the kernel had no room for and dropped; anything but 0 is a sizing error of ours.</summary>
    public uint DroppedCompletions => Volatile.Read(ref *_cqOverflow);

    /// <summary>Makes a ring owned by the calling thread.</summary>
    /// <exception cref="RingException">The kernel refuses; the text says why and what to do.</exception>
    public static Ring Create(in RingOptions options) => Create(in options, IoUringCalls.Setup);

    /// <summary>Makes a ring by other calls than the kernel's own.</summary>
    internal static Ring Create(in RingOptions options, RingSetup setup, RingEnter? enterInstead = null)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(options.SubmissionEntries, SubmissionEntriesMax);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(options.CompletionEntries, CompletionEntriesMax);
        const uint Common =
            IoUringAbi.IORING_SETUP_CQSIZE | IoUringAbi.IORING_SETUP_CLAMP | IoUringAbi.IORING_SETUP_SUBMIT_ALL;
        ReadOnlySpan<uint> wishes =
        [
            IoUringAbi.IORING_SETUP_SINGLE_ISSUER | IoUringAbi.IORING_SETUP_COOP_TASKRUN
                | IoUringAbi.IORING_SETUP_DEFER_TASKRUN,
            IoUringAbi.IORING_SETUP_COOP_TASKRUN,
            0,
        ];
        int error = 0;
        foreach (uint wish in wishes)
        {
            IoUringParams p = default;
            p.Flags = Common | wish | (options.LargeSubmissions ? IoUringAbi.IORING_SETUP_SQE128 : 0);
            p.CqEntries = Math.Max(options.CompletionEntries, options.SubmissionEntries);
            int fd = setup(options.SubmissionEntries, ref p);
            if (fd >= 0)
            {
                return Adopt(fd, p, options, enterInstead);
            }

            error = -fd;
            if (error != Errno.EINVAL)
            {
                break;
            }
        }

        string hint = error switch
        {
            Errno.EPERM => "; io_uring is switched off: set sysctl kernel.io_uring_disabled=0",
            Errno.ENOSYS => "; this kernel has no io_uring: Linux 6.12 or newer is needed",
            Errno.ENOMEM => "; raise the limit of locked memory (ulimit -l) or lower depth and queues",
            Errno.EMFILE => "; raise the limit of open files (ulimit -n)",
            _ => string.Empty,
        };
        throw new RingException($"io_uring: setup failed: {Errno.Describe(error)}{hint}");
    }

    /// <summary>
    /// The next free submission entry, cleared. When all are taken, what is there is submitted first. The caller fills
    /// it before the next call on this ring.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public IoUringSqe* NextSqe()
    {
        AssertOwner();
        // Acquire: pairs with the kernel's release of sq.head after it has read an entry, so that we may write it
        // again.
        if (_tail - Volatile.Read(ref *_sqHead) >= _sqEntries)
        {
            MakeRoom();
        }

        byte* sqe = _sqes + ((nint)(_tail & _sqMask) * _sqeStrideBytes);
        Unsafe.InitBlockUnaligned(sqe, 0, (uint)_sqeStrideBytes);
        _tail++;
        return (IoUringSqe*)sqe;
    }

    /// <summary>
    /// Hands every filled entry to the kernel and waits until at least <paramref name="completions"/> completions are
    /// there (0: does not wait, but runs what is due). What a signal interrupted is repeated (U-10), a full completion
    /// queue (EBUSY) returns so that the caller reaps first. A signal that comes after entries were taken returns with
    /// fewer completions, since the kernel tells of the entries: callers look and come back.
    /// </summary>
    public void SubmitAndWait(uint completions)
    {
        AssertOwner();
        EnterPatience patience = default;
        while (true)
        {
            uint pending = Publish();
            int taken = Enter(pending, completions, IoUringAbi.IORING_ENTER_GETEVENTS);
            if (taken >= 0)
            {
                _submitted += (uint)taken;
                if ((uint)taken == pending)
                {
                    return;
                }

                completions = 0;
            }
            else if (HasCompletions)
            {
                return;
            }

            if (taken <= 0 && !patience.TryAgain(taken, Environment.TickCount64))
            {
                Environment.FailFast($"io_uring: enter failed: {Errno.Describe(-taken)}, {pending} entries pending");
            }
        }
    }

    /// <summary>True when a completion can be taken without a system call.</summary>
    public bool HasCompletions => *_cqHead != Volatile.Read(ref *_cqTail);

    /// <summary>Takes the oldest completion.</summary>
    /// <returns>False when there is none; <paramref name="cqe"/> is then default.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool TryTake(out IoUringCqe cqe)
    {
        uint head = *_cqHead;
        // Acquire: pairs with the kernel's release of cq.tail; the entry is read after it.
        if (head == Volatile.Read(ref *_cqTail))
        {
            cqe = default;
            return false;
        }

        cqe = _cqes[head & _cqMask];
        // Release: the kernel may use the entry again only after it was copied.
        Volatile.Write(ref *_cqHead, head + 1);
        return true;
    }

    /// <summary>
    /// Registers descriptors as fixed files 0, 1, … of the ring. A file registered here lives until the last operation
    /// on it is done, whatever becomes of its descriptor: that is what makes a dead owner's lock wait for its writes
    /// (U-36, S-09).
    /// </summary>
    /// <exception cref="RingException">The kernel refuses.</exception>
    public void RegisterFiles(ReadOnlySpan<int> fds)
    {
        AssertOwner();
        fixed (int* first = fds)
        {
            int error = IoUringCalls.Register(_fd, IoUringAbi.IORING_REGISTER_FILES, first, (uint)fds.Length);
            if (error < 0)
            {
                throw new RingException($"io_uring: registering {fds.Length} files failed: {Errno.Describe(-error)}");
            }
        }
    }

    /// <summary>True when the kernel knows the opcode (IORING_REGISTER_PROBE).</summary>
    public bool Supports(byte opcode)
    {
        const int Operations = 256;
        byte* memory = stackalloc byte[sizeof(IoUringProbe) + (Operations * sizeof(IoUringProbeOp))];
        Unsafe.InitBlockUnaligned(memory, 0, (uint)(sizeof(IoUringProbe) + (Operations * sizeof(IoUringProbeOp))));
        int error = IoUringCalls.Register(_fd, IoUringAbi.IORING_REGISTER_PROBE, memory, Operations);
        var ops = (IoUringProbeOp*)(memory + sizeof(IoUringProbe));
        return error >= 0 && opcode <= ((IoUringProbe*)memory)->LastOp
            && (ops[opcode].Flags & IoUringAbi.IO_URING_OP_SUPPORTED) != 0;
    }

    /// <summary>Gives the ring back. Operations still in the kernel are cancelled by it, after this call.</summary>
    public void Dispose()
    {
        if (_fd < 0)
        {
            return;
        }

        _ = Libc.Munmap((nint)_sqes, _sqesBytes);
        _ = Libc.Munmap(_ringMemory, _ringMemoryBytes);
        _ = Libc.Close(_fd);
        _fd = -1;
    }

    private static Ring Adopt(int fd, in IoUringParams p, in RingOptions options, RingEnter? enterInstead)
    {
        try
        {
            return new Ring(fd, p, options.LargeSubmissions, enterInstead);
        }
        catch
        {
            _ = Libc.Close(fd);
            throw;
        }
    }

    private static void CheckParameters(in IoUringParams p)
    {
        const uint Needed = IoUringAbi.IORING_FEAT_SINGLE_MMAP | IoUringAbi.IORING_FEAT_NODROP;
        if ((p.Features & Needed) != Needed)
        {
            throw new RingException(
                "io_uring: this kernel is too old (no single mapping or no overflow list): "
                + "Linux 6.12 or newer is needed");
        }

        if (p.SqEntries is 0 or > SubmissionEntriesMax || p.CqEntries is 0 or > CompletionEntriesMax)
        {
            throw new RingException(
                $"io_uring: the kernel answered {p.SqEntries}/{p.CqEntries} entries, which is out of range");
        }
    }

    private static nint Map(int fd, nuint lengthBytes, ulong offset, string what)
    {
        nint address = Libc.Mmap(
            0,
            lengthBytes,
            LinuxAbi.PROT_READ | LinuxAbi.PROT_WRITE,
            LinuxAbi.MAP_SHARED | LinuxAbi.MAP_POPULATE,
            fd,
            (long)offset);
        return address is < 0 and > -4096
            ? throw new RingException(
                $"io_uring: mapping the {what} ({lengthBytes} bytes) failed: {Errno.Describe((int)-address)}")
            : address;
    }

    private uint* Word(uint offsetBytes) => (uint*)At(offsetBytes, sizeof(uint));

    private nint At(uint offsetBytes, nuint lengthBytes) =>
        offsetBytes + lengthBytes <= _ringMemoryBytes && offsetBytes % sizeof(uint) == 0
            ? _ringMemory + (nint)offsetBytes
            : throw new RingException(
                $"io_uring: the kernel's offset {offsetBytes} lies outside its mapping of {_ringMemoryBytes} bytes");

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private uint Publish()
    {
        // Release: pairs with the kernel's acquire of sq.tail; entries are complete before it sees them.
        Volatile.Write(ref *_sqTail, _tail);
        return _tail - _submitted;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void MakeRoom()
    {
        EnterPatience patience = default;
        while (true)
        {
            int taken = Enter(Publish(), 0, 0);
            if (taken > 0)
            {
                _submitted += (uint)taken;
                return;
            }

            if ((Volatile.Read(ref *_sqFlags) & IoUringAbi.IORING_SQ_CQ_OVERFLOW) != 0)
            {
                // The completion queue was sized for all that can be in flight: an overflow is a bug of ours, not load.
                Environment.FailFast("io_uring: the completion queue overflowed");
            }

            if (!patience.TryAgain(taken, Environment.TickCount64))
            {
                Environment.FailFast($"io_uring: no submission entry became free: {Errno.Describe(-taken)}");
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private int Enter(uint toSubmit, uint minComplete, uint flags) => _enterInstead is null
        ? IoUringCalls.Enter(_fd, toSubmit, minComplete, flags)
        : _enterInstead(_fd, toSubmit, minComplete, flags);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void AssertOwner()
    {
        if (Environment.CurrentManagedThreadId != _ownerThreadId)
        {
            Environment.FailFast("io_uring: a ring was used by a thread that does not own it");
        }
    }
}
