using System.Net;
using System.Net.Sockets;
using Dst.Control;
using Dst.Daemon.Objects;
using Dst.Hosting;
using Dst.Net.Server;

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
        // Of new exports only: one that is on record comes back as it was.
        foreach (ListenAddress address in rules.Listen)
        {
            if (WhyUnreachable(address) is { } why)
            {
                throw new ControlException(
                    ControlErrorCode.Usage, $"export {request.Name}: --listen {address}: {why}");
            }
        }

        if (request.MemoryBytes is <= 0)
        {
            throw new ControlException(
                ControlErrorCode.Usage,
                $"export {request.Name}: {request.MemoryBytes} bytes of memory; give a positive --memory, or none");
        }

        return request with
        {
            Listen = [.. rules.Listen.Select(address => address.ToString())],
            Allow = rules.Allow.Texts,
        };
    }

    /// <summary>Null for an address that clients can connect to.</summary>
    private static string? WhyUnreachable(ListenAddress address) => address.EndPoint switch
    {
        null => null,
        { Port: 0 } => "no client finds port 0; write a port of 1 to 65535",
        { Address: var ip } when ip.Equals(IPAddress.Broadcast) => "a broadcast address; write one of this host",
        { Address: var ip } when ip.IsIPv6Multicast || IsMulticast(ip) => "a multicast address; write one of this host",
        _ => null,
    };

    private static bool IsMulticast(IPAddress ip) =>
        ip.AddressFamily == AddressFamily.InterNetwork && (ip.GetAddressBytes()[0] & 0xF0) == 0xE0;
}
