using Dst.Interop;
using Dst.IO.Memory;
using Dst.IO.Rings;

namespace Dst.Ublk.Control;

/// <summary>The way to the driver's control device.</summary>
internal interface IControlChannel : IDisposable
{
    /// <summary>Runs one command. Any thread; callers take turns.</summary>
    /// <param name="operation">UBLK_U_CMD_*.</param>
    /// <param name="command">Its header; address and length are filled in here.</param>
    /// <param name="payloadBytes">Length of the payload, at most one page.</param>
    /// <param name="prepare">Fills the payload before.</param>
    /// <param name="inspect">Reads the payload after success.</param>
    /// <param name="timeoutMs">How long to wait for the kernel.</param>
    /// <returns>
    /// The command's result, 0 or more, or -errno; -ETIMEDOUT when the kernel has not answered, after which no command
    /// is taken.
    /// </returns>
    int Execute(
        uint operation,
        UblkCtrlCmd command,
        int payloadBytes,
        PayloadAction? prepare,
        PayloadAction? inspect,
        int timeoutMs);
}

/// <summary>
/// Command payload: what a command reads from us or writes to us. Valid only within the caller's turn, see
/// <see cref="IControlChannel.Execute"/>.
/// </summary>
/// <param name="payload">The bytes.</param>
internal delegate void PayloadAction(Span<byte> payload);

/// <summary>
/// The one thread that talks to /dev/ublk-control, over a ring with entries of 128 bytes (U-03). Commands of ublk may
/// sleep for long, even for ever (U-21, U-25): they sleep here, while callers wait no longer than they say. A thread
/// that did not come back in time is never used again.
/// </summary>
internal sealed unsafe class ControlThread : IControlChannel
{
    /// <summary>The driver's control device.</summary>
    public const string ControlPath = "/dev/ublk-control";

    private const int PayloadBytes = NativeBlock.PageBytes;
    private const ulong CommandToken = 1;

    private readonly Lock _callers = new();
    private readonly AutoResetEvent _asked = new(false);
    private readonly AutoResetEvent _answered = new(false);
    private readonly NativeBlock _payload = NativeBlock.Allocate(PayloadBytes, "ublk control payload");
    private readonly Thread _thread;
    private readonly int _fd;
    private UblkCtrlCmd _command;
    private uint _operation;
    private int _result;
    private bool _ending;
    private volatile bool _stuck;
    private Exception? _failure;

    public ControlThread()
    {
        _fd = Libc.Open(ControlPath, LinuxAbi.O_RDWR | LinuxAbi.O_CLOEXEC);
        if (_fd < 0)
        {
            _payload.Dispose();
            throw new UblkException(-_fd, DescribeOpenFailure(-_fd));
        }

        _thread = new Thread(Run, maxStackSize: 256 * 1024) { IsBackground = true, Name = "dst-ublk-ctl" };
        _thread.Start();
    }

    /// <inheritdoc/>
    public int Execute(
        uint operation,
        UblkCtrlCmd command,
        int payloadBytes,
        PayloadAction? prepare,
        PayloadAction? inspect,
        int timeoutMs)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(payloadBytes, PayloadBytes);
        lock (_callers)
        {
            if (_stuck)
            {
                return -Errno.ETIMEDOUT;
            }

            Span<byte> payload = new((void*)_payload.Address, payloadBytes);
            payload.Clear();
            prepare?.Invoke(payload);
            command.Addr = payloadBytes == 0 ? 0 : (ulong)_payload.Address;
            command.Len = (ushort)payloadBytes;
            _command = command;
            _operation = operation;
            _asked.Set();
            if (!_answered.WaitOne(timeoutMs))
            {
                _stuck = true;
                return -Errno.ETIMEDOUT;
            }

            if (_failure is not null)
            {
                _stuck = true;
                throw new UblkException(0, _failure.Message);
            }

            if (_result >= 0)
            {
                inspect?.Invoke(payload);
            }

            return _result;
        }
    }

    /// <summary>
    /// Ends the thread and closes the control device, unless a command still sleeps in the kernel: then everything it
    /// may touch stays.
    /// </summary>
    public void Dispose()
    {
        lock (_callers)
        {
            if (_stuck || _ending)
            {
                return;
            }

            _ending = true;
            _asked.Set();
        }

        _thread.Join();
        _ = Libc.Close(_fd);
        _payload.Dispose();
        _asked.Dispose();
        _answered.Dispose();
    }

    private static string DescribeOpenFailure(int errno) => errno switch
    {
        Errno.ENOENT or Errno.ENODEV or Errno.ENXIO =>
            $"{ControlPath} is missing: this kernel has no ublk driver loaded; "
            + "run 'modprobe ublk_drv' (CONFIG_BLK_DEV_UBLK, Linux 6.12 or newer)",
        Errno.EACCES or Errno.EPERM => $"{ControlPath} cannot be opened: {Errno.Describe(errno)}; run as root",
        _ => $"{ControlPath} cannot be opened: {Errno.Describe(errno)}",
    };

    private void Run()
    {
        Ring? ring = null;
        try
        {
            ring = Ring.Create(
                new RingOptions { SubmissionEntries = 4, CompletionEntries = 8, LargeSubmissions = true });
        }
        catch (RingException e)
        {
            _failure = e;
        }

        while (true)
        {
            _asked.WaitOne();
            if (_ending)
            {
                ring?.Dispose();
                return;
            }

            if (ring is not null)
            {
                _result = Submit(ring);
            }

            _answered.Set();
        }
    }

    private int Submit(Ring ring)
    {
        var sqe = (IoUringSqe128*)ring.NextSqe();
        sqe->Opcode = (byte)IoUringAbi.IORING_OP_URING_CMD;
        sqe->Fd = _fd;
        sqe->CmdOp = _operation;
        sqe->UserData = CommandToken;
        sqe->Command<UblkCtrlCmd>() = _command;
        while (true)
        {
            ring.SubmitAndWait(1);
            if (ring.TryTake(out IoUringCqe cqe))
            {
                return cqe.Res;
            }
        }
    }
}
