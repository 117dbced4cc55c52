using System.Diagnostics.CodeAnalysis;

namespace Dst.Daemon.Objects;

/// <summary>The one space of names that devices and exports share. Any thread.</summary>
internal sealed class NameSpace
{
    /// <summary>Kind of a device.</summary>
    public const string Device = "device";

    /// <summary>Kind of an export.</summary>
    public const string Export = "export";

    private readonly Lock _lock = new();
    private readonly Dictionary<string, string> _owners = new(StringComparer.Ordinal);

    /// <summary>Takes a name.</summary>
    /// <param name="name">The name.</param>
    /// <param name="kind">Of what.</param>
    /// <param name="owner">Kind of the object that has it already.</param>
    public bool TryClaim(string name, string kind, [NotNullWhen(false)] out string? owner)
    {
        lock (_lock)
        {
            return !_owners.TryGetValue(name, out owner) && _owners.TryAdd(name, kind);
        }
    }

    /// <summary>Gives a name back; only the kind that has it can.</summary>
    public void Free(string name, string kind)
    {
        lock (_lock)
        {
            if (_owners.TryGetValue(name, out string? owner) && string.Equals(owner, kind, StringComparison.Ordinal))
            {
                _owners.Remove(name);
            }
        }
    }
}
