using Dst.Control;
using Dst.Net.Server;

namespace Dst.Hosting;

/// <summary>Where an export is reached and by whom, checked. Pure; any thread.</summary>
/// <param name="Listen">Its addresses, at least one.</param>
/// <param name="Allow">Its clients.</param>
public sealed record AddressRules(IReadOnlyList<ListenAddress> Listen, AllowList Allow)
{
    /// <summary>Addresses of one export.</summary>
    public const int ListenMax = 16;

    /// <summary>Networks of one export.</summary>
    public const int AllowMax = 256;

    /// <summary>Reads what an operator wrote. Without addresses it is loopback with the usual port.</summary>
    /// <param name="name">The export, for messages.</param>
    /// <param name="listen">Addresses; null for none.</param>
    /// <param name="allow">Networks; null for none.</param>
    /// <exception cref="ControlException">
    /// One is wrong, or other machines could come in and none is allowed.
    /// </exception>
    public static AddressRules Check(string name, IReadOnlyList<string>? listen, IReadOnlyList<string>? allow)
    {
        listen ??= [];
        allow ??= [];
        if (listen.Count > ListenMax || allow.Count > AllowMax)
        {
            throw Usage(
                $"export {name}: {listen.Count} addresses and {allow.Count} networks; "
                + $"at most {ListenMax} and {AllowMax} are allowed");
        }

        List<ListenAddress> addresses = [];
        foreach (string? text in listen)
        {
            if (!ListenAddress.TryParse(text ?? "", out ListenAddress? address, out string? error))
            {
                throw Usage($"export {name}: --listen {error}");
            }

            if (addresses.Contains(address))
            {
                throw Usage($"export {name}: --listen {text} is given twice");
            }

            addresses.Add(address);
        }

        AllowList? list = AllowList.Loopback;
        if (allow.Count > 0 && !AllowList.TryParse(allow.Select(each => each ?? ""), out list, out string? fault))
        {
            throw Usage($"export {name}: --allow {fault}");
        }

        if (allow.Count == 0 && addresses.Find(address => !address.IsLocal) is { } wide)
        {
            throw Usage(
                $"export {name}: {wide} is reached from other machines and none is allowed; "
                + "name them: --allow CIDR, for example --allow 192.0.2.0/24");
        }

        return new AddressRules(addresses.Count == 0 ? [ListenAddress.Default] : addresses, list!);
    }

    private static ControlException Usage(string message) => new(ControlErrorCode.Usage, message);
}
