using System.Runtime.CompilerServices;
using Xunit;

namespace Dst.Interop.Tests;

/// <summary>The three calls on a real ring, where this machine's kernel grants one.</summary>
public sealed unsafe class IoUringTests : IDisposable
{
    private readonly int _ring;
    private IoUringParams _parameters = new() { Flags = IoUringAbi.IORING_SETUP_CLAMP };

    public IoUringTests() => _ring = IoUringCalls.Setup(8, ref _parameters);

    public void Dispose()
    {
        if (_ring >= 0)
        {
            Libc.Close(_ring);
        }
    }

    [Fact]
    public void A_wait_ends_at_its_time_limit()
    {
        SkipWithoutRing();

        Assert.Equal(8u, _parameters.SqEntries);
        Assert.Equal(-Errno.ETIME, IoUringCalls.EnterTimeout(_ring, 0, 1, 0, 1_000_000));
        Assert.Equal(0, IoUringCalls.Enter(_ring, 0, 0, 0));
        Assert.Equal(-Errno.EBADF, IoUringCalls.Enter(-1, 0, 0, 0));
    }

    [Fact]
    public void The_probe_names_what_the_kernel_can_do()
    {
        SkipWithoutRing();
        const int operations = 256;
        byte* answer = stackalloc byte[sizeof(IoUringProbe) + (operations * sizeof(IoUringProbeOp))];
        Unsafe.InitBlock(answer, 0, (uint)(sizeof(IoUringProbe) + (operations * sizeof(IoUringProbeOp))));

        Assert.Equal(0, IoUringCalls.Register(_ring, IoUringAbi.IORING_REGISTER_PROBE, answer, operations));
        IoUringProbeOp* ops = (IoUringProbeOp*)(answer + sizeof(IoUringProbe));
        Assert.Equal(((IoUringProbe*)answer)->LastOp + 1, ((IoUringProbe*)answer)->OpsLen);
        Assert.Equal(IoUringAbi.IORING_OP_FSYNC, ops[IoUringAbi.IORING_OP_FSYNC].Op);
        Assert.Equal(IoUringAbi.IO_URING_OP_SUPPORTED, ops[IoUringAbi.IORING_OP_FSYNC].Flags);
    }

    [Fact]
    public void A_submission_comes_back_as_a_completion()
    {
        SkipWithoutRing();
        Assert.NotEqual(0u, _parameters.Features & IoUringAbi.IORING_FEAT_SINGLE_MMAP);
        nuint ringBytes = nuint.Max(
            _parameters.SqOff.Array + (_parameters.SqEntries * sizeof(uint)),
            _parameters.CqOff.Cqes + (_parameters.CqEntries * (uint)sizeof(IoUringCqe)));
        nuint entriesBytes = _parameters.SqEntries * (nuint)sizeof(IoUringSqe);
        byte* ring = Map(ringBytes, IoUringAbi.IORING_OFF_SQ_RING);
        IoUringSqe* entries = (IoUringSqe*)Map(entriesBytes, IoUringAbi.IORING_OFF_SQES);

        entries[0] = new() { Opcode = IoUringAbi.IORING_OP_NOP, UserData = 0x1234_5678_9abc_def0 };
        *(uint*)(ring + _parameters.SqOff.Array) = 0;
        Volatile.Write(ref *(uint*)(ring + _parameters.SqOff.Tail), 1);
        Assert.Equal(1, IoUringCalls.Enter(_ring, 1, 1, IoUringAbi.IORING_ENTER_GETEVENTS));
        Assert.Equal(1u, Volatile.Read(ref *(uint*)(ring + _parameters.CqOff.Tail)));
        IoUringCqe* completion = (IoUringCqe*)(ring + _parameters.CqOff.Cqes);
        Assert.Equal(0x1234_5678_9abc_def0ul, completion->UserData);
        Assert.Equal(0, completion->Res);

        Assert.Equal(0, Libc.Munmap((nint)ring, ringBytes));
        Assert.Equal(0, Libc.Munmap((nint)entries, entriesBytes));
    }

    [Fact]
    public void Command_areas_begin_where_drivers_read_them()
    {
        IoUringSqe small = default;
        IoUringSqe128 large = default;
        small.Command<UblkIoCmd>() = new() { QId = 1, Tag = 2, Result = 3, Addr = 4 };
        large.Command<UblkCtrlCmd>() = new() { DevId = 5, DevPathLen = 6 };

        Assert.Equal(1ul | (2ul << 16) | (3ul << 32), small.Addr3);
        Assert.Equal(4ul, small.Pad2);
        Assert.Equal(5, ((int*)&large)[12]);
        Assert.Equal(6, ((ushort*)&large)[36]);
    }

    private byte* Map(nuint lengthBytes, long offset)
    {
        nint address = Libc.Mmap(
            0, lengthBytes, LinuxAbi.PROT_READ | LinuxAbi.PROT_WRITE, LinuxAbi.MAP_SHARED | LinuxAbi.MAP_POPULATE,
            _ring, offset);
        Assert.True(address > 0, Errno.Describe((int)address));
        return (byte*)address;
    }

    private void SkipWithoutRing() =>
        Assert.SkipWhen(
            _ring is -Errno.ENOSYS or -Errno.EPERM, $"this machine grants no io_uring: {Errno.Describe(_ring)}");
}
