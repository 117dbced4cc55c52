using Dst.Control;

namespace Dst.Cli.Output;

/// <summary>What to write after <c>--node</c> to use an export.</summary>
internal static class ExportAddress
{
    private const string UnixPrefix = "unix:";
    private const string DefaultPort = ":7003";

    /// <summary>One for each of its addresses.</summary>
    public static IEnumerable<string> Of(ExportStatus export) =>
        (export.Listen ?? []).Select(address => Of(address, export.Name));

    private static string Of(string address, string name)
    {
        if (address.StartsWith(UnixPrefix, StringComparison.Ordinal))
        {
            string path = address[UnixPrefix.Length..].Replace(",", ",,", StringComparison.Ordinal);
            return $"dst+unix:{path},export={name}";
        }

        string host = address.EndsWith(DefaultPort, StringComparison.Ordinal)
            ? address[..^DefaultPort.Length]
            : address;
        return $"dst://{host}/{name}";
    }
}
