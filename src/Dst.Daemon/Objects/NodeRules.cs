using Dst.Control;
using Dst.Core.Specs;
using Dst.Core.Volumes;

namespace Dst.Daemon.Objects;

/// <summary>What the name and the nodes of a device or an export must be. Pure; any thread.</summary>
internal static class NodeRules
{
    /// <summary>Refuses what is wrong in itself.</summary>
    /// <param name="kind">Of what, as in <see cref="NameSpace"/>.</param>
    /// <param name="name">Its name.</param>
    /// <param name="nodes">Specifications of its nodes, as somebody wrote them.</param>
    /// <exception cref="ControlException">What is wrong.</exception>
    public static void Check(string kind, string name, IReadOnlyList<string?> nodes)
    {
        if (!ObjectName.TryCheck(name, out string? error))
        {
            throw Usage(error);
        }

        if (nodes.Count is 0 or > VolumeLimits.NodesMax)
        {
            throw Usage($"{kind} {name}: {nodes.Count} nodes; 1 to {VolumeLimits.NodesMax} are allowed");
        }

        foreach (string? node in nodes)
        {
            if (!NodeSpec.TryParse(node ?? "", out _, out error))
            {
                throw Usage(error);
            }
        }

        int delays = nodes.SelectMany(node => SpecLayers.Of(node!)).OfType<DelayNodeSpec>().Count();
        if (delays > VolumeLimits.DelayNodesMax)
        {
            throw Usage(
                $"{kind} {name}: {delays} delay nodes; at most {VolumeLimits.DelayNodesMax} are allowed, "
                + "those around each other counted one by one");
        }
    }

    private static ControlException Usage(string message) => new(ControlErrorCode.Usage, message);
}
