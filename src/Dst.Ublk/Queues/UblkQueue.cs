using System.Runtime.CompilerServices;
using Dst.Core.Requests;
using Dst.Interop;
using Dst.IO.Memory;
using Dst.IO.Rings;

namespace Dst.Ublk.Queues;

/// <summary>
/// One hardware queue of a ublk device: fetches requests, hands them to the engine, commits their results. All on the
/// queue thread, the one task that may commit what it fetched (U-01). Copy mode: the kernel copies a write's data into
/// the tag's buffer once, before we see it, so every leg and every resend sees the same bytes (C-17).
/// </summary>
public sealed unsafe class UblkQueue : IRingClient, IRequestCompletion, IDisposable
{
    /// <summary>
    /// Index of the character device among the ring's fixed files; registered so that no I/O of ours outlives the
    /// device (U-36).
    /// </summary>
    public const int CharFileIndex = 0;

    private const int SectorShift = 9;

    /// <summary>Bytes of descriptor area that the kernel sets aside per queue, whatever its depth (U-05).</summary>
    internal const int DescriptorStrideBytes =
        ((UblkAbi.UBLK_MAX_QUEUE_DEPTH * 24) + NativeBlock.PageBytes - 1)
            / NativeBlock.PageBytes * NativeBlock.PageBytes;

    private readonly RingLoop _loop;
    private readonly IRequestHandler _handler;
    private readonly int _queueIndex;
    private readonly int _depthTags;
    private readonly int _maxIoBytes;
    private readonly byte _client;
    private readonly NativeBlock _buffers;
    private readonly UblkIoDesc* _descriptors;
    private readonly nuint _descriptorBytes;
    private readonly TagState[] _states;
    private readonly long[] _lengths;
    private int _retiredTags;
    private bool _fetched;

    /// <summary>Maps descriptors and buffers of the queue. Queue thread.</summary>
    /// <param name="loop">
    /// The queue's loop; its ring has the character device as fixed file <see cref="CharFileIndex"/>.
    /// </param>
    /// <param name="charFd">Open /dev/ublkcN.</param>
    /// <param name="handler">Takes the requests.</param>
    /// <param name="queueIndex">Hardware queue, from 0.</param>
    /// <param name="depthTags">Tags of the queue.</param>
    /// <param name="maxIoBytes">Bytes of buffer per tag, a multiple of the page size.</param>
    /// <exception cref="RingException">The descriptors cannot be mapped.</exception>
    /// <exception cref="NativeMemoryException">Buffers cannot be had or locked (U-08).</exception>
    public UblkQueue(RingLoop loop, int charFd, IRequestHandler handler, int queueIndex, int depthTags, int maxIoBytes)
    {
        _loop = loop;
        _handler = handler;
        _queueIndex = queueIndex;
        _depthTags = depthTags;
        _maxIoBytes = maxIoBytes;
        _states = new TagState[depthTags];
        _lengths = new long[depthTags];
        _client = loop.Add(this);
        _buffers = NativeBlock.Allocate((long)depthTags * maxIoBytes, $"buffers of queue {queueIndex}", locked: true);
        _descriptorBytes =
            (nuint)((depthTags * sizeof(UblkIoDesc)) + NativeBlock.PageBytes - 1) & ~(nuint)(NativeBlock.PageBytes - 1);
        nint address = Libc.Mmap(
            0,
            _descriptorBytes,
            LinuxAbi.PROT_READ,
            LinuxAbi.MAP_SHARED | LinuxAbi.MAP_POPULATE,
            charFd,
            UblkAbi.UBLKSRV_CMD_BUF_OFFSET + ((long)queueIndex * DescriptorStrideBytes));
        if (address is < 0 and > -4096)
        {
            _buffers.Dispose();
            throw new RingException(
                $"ublk: mapping the descriptors of queue {queueIndex} failed: {Errno.Describe((int)-address)}");
        }

        _descriptors = (UblkIoDesc*)address;
    }

    /// <summary>
    /// Where a tag is. Every other combination of state and event ends the process: recovery, not guessing, is the way
    /// out.
    /// </summary>
    private enum TagState : byte
    {
        /// <summary>Not fetched yet.</summary>
        Idle,

        /// <summary>A FETCH or COMMIT_AND_FETCH is with the kernel.</summary>
        Kernel,

        /// <summary>Its request is with the engine.</summary>
        Ours,

        /// <summary>The kernel ended the tag: the device is going (U-09).</summary>
        Retired,
    }

    /// <summary>
    /// Fetches every tag. Queue thread, once; the kernel accepts START when all queues have done so (U-04).
    /// </summary>
    public void FetchAll()
    {
        Assert(!_fetched, "fetched twice", 0);
        _fetched = true;
        for (int tag = 0; tag < _depthTags; tag++)
        {
            Issue(UblkAbi.UBLK_U_IO_FETCH_REQ, tag, -1);
        }
    }

    /// <inheritdoc/>
    public void OnCompletion(ulong token, int result, long nowTicks)
    {
        int tag = (int)token;
        Assert(
            tag < _depthTags && _states[tag] == TagState.Kernel,
            "completion for a tag that is not with the kernel",
            tag);
        if (result == UblkAbi.UBLK_IO_RES_OK)
        {
            Dispatch(tag, nowTicks);
        }
        else if (result == UblkAbi.UBLK_IO_RES_ABORT)
        {
            _states[tag] = TagState.Retired;
            if (++_retiredTags == _depthTags)
            {
                _loop.Stop();
            }
        }
        else
        {
            Environment.FailFast(
                $"ublk queue {_queueIndex} tag {tag}: the kernel refused a fetch or commit: {Errno.Describe(-result)}");
        }
    }

    /// <inheritdoc/>
    public void OnWake(long nowTicks)
    {
    }

    /// <inheritdoc/>
    public void Complete(int tag, DstStatus status)
    {
        Assert(_states[tag] == TagState.Ours, "result for a tag that is not ours", tag);
        // The whole length or an errno, nothing between (U-07, C-11); 0 for what moves no data (C-09).
        int result = status == DstStatus.Ok ? (int)_lengths[tag] : -RequestResult.ToErrno(status);
        Issue(UblkAbi.UBLK_U_IO_COMMIT_AND_FETCH_REQ, tag, result);
    }

    /// <summary>Unmaps descriptors and buffers. After the loop has ended.</summary>
    public void Dispose()
    {
        _ = Libc.Munmap((nint)_descriptors, _descriptorBytes);
        _buffers.Dispose();
    }

    private static RequestFlags FlagsOf(uint opFlags) =>
        ((opFlags & UblkAbi.UBLK_IO_F_FUA) != 0 ? RequestFlags.Fua : RequestFlags.None)
        | ((opFlags & UblkAbi.UBLK_IO_F_NOUNMAP) != 0 ? RequestFlags.NoUnmap : RequestFlags.None);

    private void Dispatch(int tag, long nowTicks)
    {
        // One copy of the descriptor: the kernel filled it before it posted the completion that we took with acquire.
        UblkIoDesc descriptor = _descriptors[tag];
        _states[tag] = TagState.Ours;
        long offsetBytes = (long)descriptor.StartSector << SectorShift;
        long lengthBytes = (long)descriptor.NrSectors << SectorShift;
        Operation operation;
        switch (descriptor.OpFlags & 0xff)
        {
            case UblkAbi.UBLK_IO_OP_READ:
                operation = Operation.Read;
                break;
            case UblkAbi.UBLK_IO_OP_WRITE:
                operation = Operation.Write;
                break;
            case UblkAbi.UBLK_IO_OP_FLUSH:
                operation = Operation.Flush;
                break;
            case UblkAbi.UBLK_IO_OP_DISCARD:
                operation = Operation.Discard;
                break;
            case UblkAbi.UBLK_IO_OP_WRITE_ZEROES:
                operation = Operation.WriteZeroes;
                break;
            default:
                Complete(tag, DstStatus.NotSupported);
                return;
        }

        bool movesData = operation is Operation.Read or Operation.Write;
        _lengths[tag] = movesData ? lengthBytes : 0;
        Assert(!movesData || lengthBytes <= _maxIoBytes, "request larger than its buffer", tag);
        var request = new Request(operation, FlagsOf(descriptor.OpFlags), offsetBytes, lengthBytes);
        _handler.Submit(tag, request, BufferOf(tag), nowTicks);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private nint BufferOf(int tag) => _buffers.Address + ((nint)tag * _maxIoBytes);

    private void Issue(uint operation, int tag, int result)
    {
        _states[tag] = TagState.Kernel;
        IoUringSqe* sqe = _loop.Ring.NextSqe();
        sqe->Opcode = (byte)IoUringAbi.IORING_OP_URING_CMD;
        sqe->Flags = (byte)IoUringAbi.IOSQE_FIXED_FILE;
        sqe->Fd = CharFileIndex;
        sqe->CmdOp = operation;
        sqe->UserData = RingLoop.UserData(_client, (ulong)tag);
        ref UblkIoCmd command = ref sqe->Command<UblkIoCmd>();
        command.QId = (ushort)_queueIndex;
        command.Tag = (ushort)tag;
        command.Result = result;
        command.Addr = (ulong)BufferOf(tag);
    }

    private void Assert(bool condition, string what, int tag)
    {
        if (!condition)
        {
            Environment.FailFast($"ublk queue {_queueIndex} tag {tag}: {what}");
        }
    }
}
