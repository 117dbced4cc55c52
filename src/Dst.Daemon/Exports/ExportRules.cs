using Dst.Control;
using Dst.Daemon.Objects;
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
        NodeRules.Check(NameSpace.Export, request.Name, request.Nodes);
        AddressRules rules = AddressRules.Check(request.Name, request.Listen, request.Allow);
        return request with
        {
            Listen = [.. rules.Listen.Select(address => address.ToString())],
            Allow = rules.Allow.Texts,
        };
    }
}
