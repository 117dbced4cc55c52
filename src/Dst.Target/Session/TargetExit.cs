using Dst.Hosting;
using Dst.Interop;
using Dst.Target.Devices;

namespace Dst.Target.Session;

/// <summary>Exit codes of a target and the way out when the kernel device cannot be taken back in order.</summary>
internal static class TargetExit
{
    /// <summary>The device was stopped in order.</summary>
    public const int Ok = 0;

    /// <summary>The device could not be served, or was lost.</summary>
    public const int Failed = 1;

    /// <summary>Wrong arguments.</summary>
    public const int Usage = 2;

    /// <summary>Ends the process at once, queue threads and all; the kernel then takes the device away.</summary>
    public static void Now(TargetDevice device, TargetIdentity identity, string reason)
    {
        try
        {
            new ProcessLog($"dst-target {identity.Name}").Write(reason);
            device.RemoveCreated();
        }
        finally
        {
            _ = Libc.Kill(Environment.ProcessId, LinuxAbi.SIGKILL);
            Thread.Sleep(Timeout.Infinite);
        }
    }
}
