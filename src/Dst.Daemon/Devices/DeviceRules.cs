using Dst.Control;
using Dst.Daemon.Objects;

namespace Dst.Daemon.Devices;

/// <summary>What a request must hold before anything is done for it. Pure; any thread.</summary>
internal static class DeviceRules
{
    /// <summary>Largest number of a ublk device: minors have 20 bits.</summary>
    public const int UblkIdMax = (1 << 20) - 1;

    /// <summary>
    /// Refuses a request that is wrong in itself. The target checks what depends on nodes and machine.
    /// </summary>
    /// <exception cref="ControlException">What is wrong.</exception>
    public static void Check(DeviceRequest request, RunDirectory run)
    {
        NodeRules.Check(NameSpace.Device, request.Name, request.Nodes);
        if (System.Text.Encoding.UTF8.GetByteCount(run.TargetSocket(request.Name)) > RunDirectory.MaxSocketPathBytes)
        {
            throw Usage($"name '{request.Name}' is too long for the run directory {run.Path}");
        }

        if (request.Id is < 0 or > UblkIdMax)
        {
            throw Usage($"device {request.Name}: id {request.Id} is not 0 to {UblkIdMax}");
        }
    }

    private static ControlException Usage(string message) => new(ControlErrorCode.Usage, message);
}
