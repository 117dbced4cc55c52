using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using Dst.Core.Wire;

namespace Dst.Net.Server;

/// <summary>
/// An address that an export is reached by: a TCP address with port, or the path of a Unix socket. Immutable; any
/// thread.
/// </summary>
public sealed record ListenAddress
{
    /// <summary>Longest path of a Unix socket that the kernel takes.</summary>
    public const int PathMaxBytes = 107;

    private const string UnixPrefix = "unix:";

    private ListenAddress(IPEndPoint? endPoint, string? path)
    {
        EndPoint = endPoint;
        Path = path;
    }

    /// <summary>
    /// Where an export without an address of its own is reached: loopback, which every local user can use.
    /// </summary>
    public static ListenAddress Default { get; } =
        new(new IPEndPoint(IPAddress.Loopback, WireLimits.DefaultPort), null);

    /// <summary>The TCP address; null for a Unix socket.</summary>
    public IPEndPoint? EndPoint { get; }

    /// <summary>The path of a Unix socket; null for TCP.</summary>
    public string? Path { get; }

    /// <summary>True where only processes of this host can come from.</summary>
    public bool IsLocal => EndPoint is null || IPAddress.IsLoopback(EndPoint.Address);

    /// <summary>True for every address of the host.</summary>
    public bool IsWildcard => EndPoint is not null
        && (EndPoint.Address.Equals(IPAddress.Any) || EndPoint.Address.Equals(IPAddress.IPv6Any));

    /// <summary>Less for an address that covers others: all addresses, all of IPv4, a single one.</summary>
    internal int Breadth => !IsWildcard ? 2 : EndPoint!.Address.Equals(IPAddress.Any) ? 1 : 0;

    /// <summary>Reads ADDR, ADDR:PORT, [IPV6]:PORT or unix:/PATH.</summary>
    /// <param name="text">From an operator.</param>
    /// <param name="address">The address.</param>
    /// <param name="error">Why it is none, one line.</param>
    public static bool TryParse(
        string text, [NotNullWhen(true)] out ListenAddress? address, [NotNullWhen(false)] out string? error)
    {
        address = null;
        if (text.StartsWith(UnixPrefix, StringComparison.Ordinal))
        {
            string path = text[UnixPrefix.Length..];
            error = !path.StartsWith('/') ? $"{new WireText(text)}: the path of a Unix socket begins with /"
                : System.Text.Encoding.UTF8.GetByteCount(path) > PathMaxBytes
                    ? $"{new WireText(text)}: a path of a Unix socket has at most {PathMaxBytes} bytes"
                : null;
            address = error is null ? new ListenAddress(null, path) : null;
            return error is null;
        }

        bool hasPort =
            text.StartsWith('[') ? text.Contains("]:", StringComparison.Ordinal) : text.Count(c => c == ':') == 1;
        string full = hasPort ? text
            : string.Create(
                CultureInfo.InvariantCulture, $"{(IsBareIPv6(text) ? $"[{text}]" : text)}:{WireLimits.DefaultPort}");
        if (!IPEndPoint.TryParse(full, out IPEndPoint? endPoint) || (hasPort && text.EndsWith(':')))
        {
            error = $"{new WireText(text)}: no address; write ADDR:PORT, [IPV6]:PORT or unix:/PATH, "
                + "with numbers, not names";
            return false;
        }

        error = null;
        address = new ListenAddress(new IPEndPoint(Normalise(endPoint.Address), endPoint.Port), null);
        return true;
    }

    /// <summary>An IPv4 address that came as IPv6 becomes what it is.</summary>
    /// <param name="address">Any address.</param>
    public static IPAddress Normalise(IPAddress address) => address.IsIPv4MappedToIPv6 ? address.MapToIPv4() : address;

    /// <summary>True when a connection that came to a local address came to this one.</summary>
    /// <param name="local">Local end of a TCP connection, normalised; null for a Unix socket.</param>
    /// <param name="path">Path of the Unix socket it came by, or null.</param>
    public bool Covers(IPEndPoint? local, string? path)
    {
        if (EndPoint is null || local is null)
        {
            return Path is not null && string.Equals(Path, path, StringComparison.Ordinal);
        }

        return EndPoint.Port == local.Port && CoversAddress(local.Address);
    }

    /// <summary>True when a socket on this address also takes what comes to the other.</summary>
    /// <param name="other">Another address.</param>
    public bool Covers(ListenAddress other) => Covers(other.EndPoint, other.Path);

    /// <inheritdoc/>
    public override string ToString() => EndPoint is null ? UnixPrefix + Path : EndPoint.ToString();

    private bool CoversAddress(IPAddress local) =>
        EndPoint!.Address.Equals(local)
        || EndPoint.Address.Equals(IPAddress.IPv6Any)
        || (EndPoint.Address.Equals(IPAddress.Any) && local.AddressFamily == AddressFamily.InterNetwork);

    private static bool IsBareIPv6(string text) => !text.StartsWith('[') && text.Count(c => c == ':') > 1;
}

/// <summary>Which clients may see an export: networks in CIDR notation. Immutable; any thread.</summary>
public sealed class AllowList
{
    private readonly IPNetwork[] _networks;

    private AllowList(IPNetwork[] networks) => _networks = networks;

    /// <summary>Loopback only.</summary>
    public static AllowList Loopback { get; } = new([IPNetwork.Parse("127.0.0.0/8"), IPNetwork.Parse("::1/128")]);

    /// <summary>The networks, for people.</summary>
    public IReadOnlyList<string> Texts => [.. _networks.Select(network => network.ToString())];

    /// <summary>Reads networks; a lone address stands for itself.</summary>
    /// <param name="texts">From an operator.</param>
    /// <param name="list">The list.</param>
    /// <param name="error">Why it is none, one line.</param>
    public static bool TryParse(
        IEnumerable<string> texts, [NotNullWhen(true)] out AllowList? list, [NotNullWhen(false)] out string? error)
    {
        list = null;
        List<IPNetwork> networks = [];
        foreach (string text in texts)
        {
            string full = text.Contains('/', StringComparison.Ordinal) ? text
                : text.Contains(':', StringComparison.Ordinal) ? text + "/128" : text + "/32";
            if (!IPNetwork.TryParse(full, out IPNetwork network)
                || !network.BaseAddress.Equals(IPAddress.Parse(full[..full.IndexOf('/', StringComparison.Ordinal)])))
            {
                error = $"{new WireText(text)}: no network; write ADDR/BITS with no bits set behind the prefix, "
                    + "such as 192.0.2.0/24";
                return false;
            }

            if (network.BaseAddress.IsIPv4MappedToIPv6)
            {
                error = $"{new WireText(text)}: clients with IPv4 addresses are looked up as such; "
                    + "write the IPv4 network";
                return false;
            }

            networks.Add(network);
        }

        error = null;
        list = new AllowList([.. networks]);
        return true;
    }

    /// <summary>True when the client may see the export.</summary>
    /// <param name="client">Its address, normalised; null for a Unix socket, which its file's mode protects.</param>
    public bool Allows(IPAddress? client)
    {
        if (client is null)
        {
            return true;
        }

        foreach (IPNetwork network in _networks)
        {
            if (network.Contains(client))
            {
                return true;
            }
        }

        return false;
    }
}
