using Dst.Control;
using Dst.Core.Specs;
using Dst.Core.Volumes;
using Dst.Daemon.Devices;
using Dst.Hosting;

namespace Dst.Daemon.Exports;

/// <summary>What a request must hold before anything is done for it. Pure; any thread.</summary>
internal static class ExportRules
{
    /// <summary>
    /// Refuses a request that is wrong in itself. The server checks what depends on nodes and machine.
    /// </summary>
    /// <returns>The request with its defaults written out.</returns>
    /// <exception cref="ControlException">What is wrong.</exception>
    public static ExportRequest Check(ExportRequest request)
    {
        if (!ObjectName.TryCheck(request.Name, out string? error))
        {
            throw Usage(error);
        }

        if (request.Nodes.Count is 0 or > VolumeLimits.NodesMax)
        {
            throw Usage(
                $"export {request.Name}: {request.Nodes.Count} nodes; 1 to {VolumeLimits.NodesMax} are allowed");
        }

        foreach (string? node in request.Nodes)
        {
            if (!NodeSpec.TryParse(node ?? "", out _, out error))
            {
                throw Usage(error);
            }
        }

        int delays = request.Nodes.SelectMany(SpecLayers.Of).OfType<DelayNodeSpec>().Count();
        if (delays > VolumeLimits.DelayNodesMax)
        {
            throw Usage(
                $"export {request.Name}: {delays} delay nodes; at most {VolumeLimits.DelayNodesMax} are allowed, "
                + "those around each other counted one by one");
        }

        AddressRules rules = AddressRules.Check(request.Name, request.Listen, request.Allow);
        return request with
        {
            Listen = [.. rules.Listen.Select(address => address.ToString())],
            Allow = rules.Allow.Texts,
        };
    }

    private static ControlException Usage(string message) => new(ControlErrorCode.Usage, message);
}
