using System.Globalization;

namespace Dst.Cli.Doctoring;

/// <summary>Effective capabilities of a process.</summary>
/// <param name="Mask">One bit each, as in CapEff.</param>
internal readonly record struct Capabilities(ulong Mask)
{
    /// <summary>Bit of CAP_IPC_LOCK: I/O buffers are locked.</summary>
    public const int IpcLock = 14;

    /// <summary>Bit of CAP_SYS_ADMIN: ublk devices are made, mounts are detached.</summary>
    public const int SysAdmin = 21;

    /// <summary>Bit of CAP_SYS_RESOURCE: a target marks itself as one that writes back memory.</summary>
    public const int SysResource = 24;

    /// <summary>True when the process has it.</summary>
    public bool Has(int bit) => (Mask >> bit & 1) == 1;
}

/// <summary>What the process that serves devices may do: dstd when it runs, else this one.</summary>
/// <param name="files">The host.</param>
/// <param name="daemonPid">Process id of dstd; null when it does not answer.</param>
internal sealed class ProcessChecks(HostFiles files, int? daemonPid)
{
    private const long EnoughFiles = 4096;

    private readonly string _process = daemonPid is null ? "self" : $"{daemonPid}";
    private readonly string _who = daemonPid is null ? "this process" : $"dstd ({daemonPid})";

    /// <summary>What the process has; nothing when that cannot be read.</summary>
    public Capabilities Effective
    {
        get
        {
            string? mask = files.Lines($"/proc/{_process}/status")
                .FirstOrDefault(l => l.StartsWith("CapEff:", StringComparison.Ordinal))?["CapEff:".Length..].Trim();
            bool known = ulong.TryParse(
                mask, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out ulong bits);
            return new Capabilities(known ? bits : 0);
        }
    }

    /// <summary>All of them.</summary>
    public IEnumerable<Check> All()
    {
        yield return Root();
        Capabilities effective = Effective;
        yield return Capability(effective, "CAP_SYS_ADMIN", Capabilities.SysAdmin);
        yield return Capability(effective, "CAP_SYS_RESOURCE", Capabilities.SysResource);
        yield return Capability(effective, "CAP_IPC_LOCK", Capabilities.IpcLock);
        yield return OpenFiles();
    }

    private bool IsRoot
    {
        get
        {
            // Real, effective, saved and file-system id, in this order.
            string[] ids = files.Lines($"/proc/{_process}/status")
                .FirstOrDefault(l => l.StartsWith("Uid:", StringComparison.Ordinal))?
                .Split('\t', StringSplitOptions.RemoveEmptyEntries) ?? [];
            return ids.Length > 2 && string.Equals(ids[2], "0", StringComparison.Ordinal);
        }
    }

    private string AsRoot => daemonPid is null ? "sudo dstctl doctor" : "systemctl restart dstd";

    private Check Root() => IsRoot
        ? new Check("root", CheckState.Ok, $"{_who} runs as root")
        : new Check("root", CheckState.Missing, $"{_who} does not run as root", AsRoot);

    private Check Capability(Capabilities effective, string name, int bit)
    {
        if (effective.Has(bit))
        {
            return new Check(name, CheckState.Ok, $"{_who} has it");
        }

        // Root without it means that something took it away: a container or a unit.
        string mend = IsRoot
            ? $"start the container with --cap-add={name["CAP_".Length..]}, or let the unit keep it "
                + $"(CapabilityBoundingSet={name})"
            : AsRoot;
        return new Check(name, CheckState.Missing, $"{_who} does not have it", mend);
    }

    private Check OpenFiles()
    {
        const string Name = "open files";
        const string Field = "Max open files";
        // The runtime raises the soft limit to the hard one by itself.
        string[] words = files.Lines($"/proc/{_process}/limits")
            .FirstOrDefault(l => l.StartsWith(Field, StringComparison.Ordinal))?[Field.Length..]
            .Split(' ', StringSplitOptions.RemoveEmptyEntries) ?? [];
        string hard = words.Length >= 2 ? words[1] : "unknown";
        bool enough = string.Equals(hard, "unlimited", StringComparison.Ordinal)
            || (long.TryParse(hard, NumberStyles.None, CultureInfo.InvariantCulture, out long limit)
                && limit >= EnoughFiles);
        return enough
            ? new Check(Name, CheckState.Ok, $"{_who} may open {hard}")
            : new Check(
                Name,
                CheckState.Warn,
                $"{_who} may open {hard}, fewer than the {EnoughFiles} that many nodes need",
                $"ulimit -Hn {EnoughFiles} before dstd is started, or LimitNOFILE={EnoughFiles} in its unit");
    }
}
