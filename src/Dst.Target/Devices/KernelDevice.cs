using Dst.Control;
using Dst.Interop;
using Dst.Ublk.Control;

namespace Dst.Target.Devices;

/// <summary>
/// The kernel's side of a device: made, opened, started, stopped, deleted, in that order and once. Control threads
/// only, one at a time.
/// </summary>
internal sealed class KernelDevice : IDisposable
{
    /// <summary>
    /// udev may hold a new character device for a moment, and devtmpfs may show it a moment late (U-05).
    /// </summary>
    private const int CharOpenTimeoutMs = 5_000;

    private const int PollMs = 20;

    /// <summary>
    /// STOP writes back what is dirty and waits for what is started: longer than any disk of ours should take (U-21).
    /// </summary>
    private const int StopTimeoutMs = 120_000;

    private readonly UblkControl _control = new();
    private int _id = -1;
    private int _charFd = -1;

    /// <summary>Whether a ublk device is one of DST's (D-03, U-28).</summary>
    /// <exception cref="UblkException">The driver does not say.</exception>
    public bool IsDst(int id) => _control.TryGetInfo(id) is { IsDst: true };

    /// <summary>Makes the device, not yet visible as a disk. Nothing remains when it fails.</summary>
    /// <param name="geometry">What it shall be; its number may be -1 for the first free one.</param>
    /// <param name="queues">Hardware queues on this machine.</param>
    /// <returns>Its number.</returns>
    /// <exception cref="UblkException">The kernel refused.</exception>
    public int Make(DeviceGeometry geometry, int queues)
    {
        ulong flags = UblkAbi.UBLK_F_CMD_IOCTL_ENCODE;
        // Where the kernel can leave the partition scan out of START, dstd has it made by a helper afterwards (U-25).
        flags |= _control.Features & UblkAbi.UBLK_F_NO_AUTO_PART_SCAN;
        UblkDeviceInfo info = _control.Add(new UblkDeviceSpec
        {
            Id = geometry.UblkId,
            Queues = queues,
            DepthTags = geometry.DepthTags,
            MaxIoBytes = geometry.MaxIoBytes,
            Flags = flags,
        });
        try
        {
            _control.SetParameters(info.Id, ParametersOf(geometry).ToKernel());
        }
        catch (UblkException)
        {
            _control.Delete(info.Id);
            throw;
        }

        _id = info.Id;
        return info.Id;
    }

    /// <summary>Opens the character device that the queues work with (U-05); closed by <see cref="Delete"/>.</summary>
    /// <exception cref="ControlException">Somebody else has it, or it does not appear.</exception>
    public int OpenQueues()
    {
        string path = UblkControl.CharPath(_id);
        long deadline = Environment.TickCount64 + CharOpenTimeoutMs;
        while (true)
        {
            _charFd = Libc.Open(path, LinuxAbi.O_RDWR | LinuxAbi.O_CLOEXEC);
            if (_charFd >= 0)
            {
                return _charFd;
            }

            if (_charFd is not (-Errno.EBUSY or -Errno.ENOENT) || Environment.TickCount64 > deadline)
            {
                throw new ControlException(
                    ControlErrorCode.Failure,
                    $"{path} cannot be opened: {Errno.Describe(-_charFd)}; see who holds it with 'fuser {path}'");
            }

            Thread.Sleep(PollMs);
        }
    }

    /// <summary>Shows the disk. Every queue must serve (U-04).</summary>
    /// <exception cref="UblkException">The kernel refused, or does not answer.</exception>
    public void Start() => _control.Start(_id);

    /// <summary>Takes the disk away; queues serve until it returns (U-23).</summary>
    /// <exception cref="UblkException">The kernel refused, or does not answer.</exception>
    public void Stop() => _control.Stop(_id, StopTimeoutMs);

    /// <summary>
    /// Closes the character device and deletes what there is of the device (U-22). After the queues have ended.
    /// </summary>
    /// <exception cref="UblkException">
    /// It could not be deleted: it goes when this process ends, or is deleted by dstd's helper.
    /// </exception>
    public void Delete()
    {
        if (_charFd >= 0)
        {
            _ = Libc.Close(_charFd);
            _charFd = -1;
        }

        int id = _id;
        _id = -1;
        // Under this number there may be another device by now, when somebody else deleted ours (D-03).
        if (id >= 0 && _control.TryGetInfo(id) is { IsDst: true } info && info.Maker == UblkMaker.Self)
        {
            _control.Delete(id);
        }
    }

    /// <summary>Lets the driver's control device go.</summary>
    public void Dispose() => _control.Dispose();

    private static DeviceParameters ParametersOf(DeviceGeometry geometry) => new()
    {
        SizeBytes = geometry.SizeBytes,
        BlockSizeBytes = geometry.BlockSizeBytes,
        MaxIoBytes = geometry.MaxIoBytes,
        ReadOnly = geometry.ReadOnly,
        VolatileCache = geometry.VolatileCache,
        MaxDiscardBytes = geometry.MaxDiscardBytes,
        DiscardGranularityBytes = geometry.DiscardGranularityBytes,
        MaxWriteZeroesBytes = geometry.MaxWriteZeroesBytes,
    };
}
