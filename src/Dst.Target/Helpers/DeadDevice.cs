using Dst.Interop;
using Dst.Ublk.Control;

namespace Dst.Target.Helpers;

/// <summary>What may be done to a kernel device that nobody seems to serve.</summary>
internal enum DeviceVerdict
{
    /// <summary>Of another program: hands off.</summary>
    Foreign,

    /// <summary>Its maker lives: hands off.</summary>
    Served,

    /// <summary>Its maker is dead, and the kernel is still ending its requests: later.</summary>
    Ending,

    /// <summary>Left behind: it may be deleted.</summary>
    Dead,
}

/// <summary>Tells devices that a dead target left from all others (D-03). Pure; any thread.</summary>
internal static class DeadDevice
{
    /// <summary>
    /// Judges a device. While the kernel calls it live it is not deleted: before Linux 6.15 a server that died with
    /// every tag in flight is noticed by the request timer only (U-33), and DEL_DEV would meanwhile keep every ublk
    /// device of the host waiting (U-21).
    /// </summary>
    /// <param name="info">What the kernel says of it.</param>
    /// <param name="makerLives">Whether the process that made it runs.</param>
    public static DeviceVerdict Judge(in UblkDeviceInfo info, bool makerLives)
    {
        if (!info.IsDst)
        {
            return DeviceVerdict.Foreign;
        }

        if (makerLives)
        {
            return DeviceVerdict.Served;
        }

        return info.State == UblkAbi.UBLK_S_DEV_LIVE ? DeviceVerdict.Ending : DeviceVerdict.Dead;
    }
}
