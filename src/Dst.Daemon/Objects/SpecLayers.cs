using Dst.Control;
using Dst.Core.Specs;

namespace Dst.Daemon.Objects;

/// <summary>What the node specifications of a request hold, wrapped nodes included. Pure; any thread.</summary>
internal static class SpecLayers
{
    /// <summary>Every node of a specification, the outermost first; nothing for one that cannot be read.</summary>
    public static IEnumerable<NodeSpec> Of(string text)
    {
        NodeSpec? layer = NodeSpec.TryParse(text, out NodeSpec? spec, out _) ? spec : null;
        while (layer is not null)
        {
            yield return layer;
            layer = layer switch
            {
                DelayNodeSpec delay => delay.Inner,
                ErrorNodeSpec error => error.Inner,
                TraceNodeSpec trace => trace.Inner,
                VolatileNodeSpec forgetful => forgetful.Inner,
                _ => null,
            };
        }
    }

    /// <summary>The files that a target may make for a request, in words; empty when there are none.</summary>
    public static string FilesMade(DeviceRequest request) => string.Join(
        ", ",
        request.Nodes.SelectMany(Of).OfType<FileNodeSpec>().Where(file => file.SizeBytes is not null)
            .Select(file => file.Path).Distinct(StringComparer.Ordinal));
}
