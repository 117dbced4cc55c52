using Dst.Core.Wire;

namespace Dst.Core.Sessions;

/// <summary>
/// What a server must have on disk about an export before it acts on it (S-03). A new export has the default value.
/// </summary>
public struct HoldRecord : IEquatable<HoldRecord>
{
    /// <summary>Highest epoch that was ever granted.</summary>
    public ulong Granted;

    /// <summary>Highest epoch that a client has begun; 0 for none.</summary>
    public ulong Used;

    /// <summary>True while <see cref="Holder"/> holds the export (S-04).</summary>
    public bool Held;

    /// <summary>The device that was granted last.</summary>
    public DeviceId Holder;

    /// <summary>First epoch that was granted to the holder since it became it.</summary>
    public ulong First;

    /// <summary>Incarnation that was granted last (S-10).</summary>
    public ulong Incarnation;

    /// <summary>More than one incarnation may have changes that no flush has covered (S-24).</summary>
    public bool MixedWriters;

    /// <summary>Who the holder is, for people: host, device and address.</summary>
    public WireText HolderName;

    /// <summary>True when both are the same.</summary>
    /// <param name="left">One.</param>
    /// <param name="right">The other.</param>
    public static bool operator ==(in HoldRecord left, in HoldRecord right) => left.Equals(right);

    /// <summary>True when they differ.</summary>
    /// <param name="left">One.</param>
    /// <param name="right">The other.</param>
    public static bool operator !=(in HoldRecord left, in HoldRecord right) => !left.Equals(right);

    /// <summary>
    /// The compare-and-swap of an attach (S-02, S-04): none when it may be granted, else the refusal. Pure.
    /// </summary>
    /// <param name="device">Who attaches.</param>
    /// <param name="replaces">The epoch it replaces, 0 for none.</param>
    /// <param name="takeOver">An operator wants the holder fenced.</param>
    public readonly RefusalCode Check(DeviceId device, ulong replaces, bool takeOver)
    {
        bool isNewest = replaces != 0 && (replaces == Used || Mutations.Has(Mutation.ReplacesIgnored));
        if (Held && Holder != device && !Mutations.Has(Mutation.HolderNotCompared))
        {
            if (replaces == 0 && Mutations.Has(Mutation.TakeOverIgnored))
            {
                return RefusalCode.None;
            }

            if (isNewest || (takeOver && replaces == 0 && Used == 0))
            {
                return takeOver && !Mutations.Has(Mutation.TakeOverRefused) ? RefusalCode.None : RefusalCode.Held;
            }

            // Whoever names an epoch that is not the newest was fenced by somebody in between.
            return replaces == 0 ? RefusalCode.Held : RefusalCode.Fenced;
        }

        if (replaces == 0)
        {
            // Held by the same device: its ATTACH_OK was lost before it could use it.
            return !Held || Used < First ? RefusalCode.None : RefusalCode.Fenced;
        }

        bool grantedSince = Holder == device && replaces >= First && replaces > Used && replaces <= Granted;
        return isNewest || grantedSince ? RefusalCode.None : RefusalCode.Fenced;
    }

    /// <inheritdoc/>
    public readonly bool Equals(HoldRecord other) => Granted == other.Granted
        && Used == other.Used
        && Held == other.Held
        && Holder == other.Holder
        && First == other.First
        && Incarnation == other.Incarnation
        && MixedWriters == other.MixedWriters
        && HolderName == other.HolderName;

    /// <inheritdoc/>
    public override readonly bool Equals(object? obj) => obj is HoldRecord other && Equals(other);

    /// <inheritdoc/>
    public override readonly int GetHashCode() => HashCode.Combine(Granted, Used, Held, Holder, First, Incarnation);
}
