using Dst.Interop;

namespace Dst.Ublk.Control;

/// <summary>Features of the ublk driver by name, and the kernel that first has each.</summary>
public static class UblkFeatures
{
    /// <summary>Feature bits in ascending order with their name and first kernel version.</summary>
    public static readonly IReadOnlyList<(ulong Bit, string Name, string Since)> All =
    [
        (UblkAbi.UBLK_F_SUPPORT_ZERO_COPY, "SUPPORT_ZERO_COPY", "6.15"),
        (UblkAbi.UBLK_F_URING_CMD_COMP_IN_TASK, "URING_CMD_COMP_IN_TASK", "6.0"),
        (UblkAbi.UBLK_F_NEED_GET_DATA, "NEED_GET_DATA", "6.0"),
        (UblkAbi.UBLK_F_USER_RECOVERY, "USER_RECOVERY", "6.1"),
        (UblkAbi.UBLK_F_USER_RECOVERY_REISSUE, "USER_RECOVERY_REISSUE", "6.1"),
        (UblkAbi.UBLK_F_UNPRIVILEGED_DEV, "UNPRIVILEGED_DEV", "6.3"),
        (UblkAbi.UBLK_F_CMD_IOCTL_ENCODE, "CMD_IOCTL_ENCODE", "6.4"),
        (UblkAbi.UBLK_F_USER_COPY, "USER_COPY", "6.5"),
        (UblkAbi.UBLK_F_ZONED, "ZONED", "6.6"),
        (UblkAbi.UBLK_F_USER_RECOVERY_FAIL_IO, "USER_RECOVERY_FAIL_IO", "6.13"),
        (UblkAbi.UBLK_F_UPDATE_SIZE, "UPDATE_SIZE", "6.16"),
        (UblkAbi.UBLK_F_AUTO_BUF_REG, "AUTO_BUF_REG", "6.16"),
        (UblkAbi.UBLK_F_QUIESCE, "QUIESCE", "6.16"),
        (UblkAbi.UBLK_F_PER_IO_DAEMON, "PER_IO_DAEMON", "6.16"),
        (UblkAbi.UBLK_F_BUF_REG_OFF_DAEMON, "BUF_REG_OFF_DAEMON", "6.17"),
        (UblkAbi.UBLK_F_BATCH_IO, "BATCH_IO", "7.0"),
        (UblkAbi.UBLK_F_INTEGRITY, "INTEGRITY", "7.0"),
        (UblkAbi.UBLK_F_SAFE_STOP_DEV, "SAFE_STOP_DEV", "7.0"),
        (UblkAbi.UBLK_F_NO_AUTO_PART_SCAN, "NO_AUTO_PART_SCAN", "7.0"),
        (UblkAbi.UBLK_F_SHMEM_ZC, "SHMEM_ZC", "7.1"),
    ];

    /// <summary>Names of the bits that are set; bits without a name come as "bit N".</summary>
    public static IReadOnlyList<string> Names(ulong features)
    {
        var names = new List<string>();
        for (int bit = 0; bit < 64; bit++)
        {
            ulong mask = 1UL << bit;
            if ((features & mask) != 0)
            {
                names.Add(All.FirstOrDefault(f => f.Bit == mask).Name ?? $"bit {bit}");
            }
        }

        return names;
    }

    /// <summary>What a kernel lacks, for people: "USER_COPY (Linux 6.5)"; null when it lacks nothing.</summary>
    public static string? Missing(ulong features, ulong needed)
    {
        IEnumerable<string> missing =
            All.Where(f => (needed & ~features & f.Bit) != 0).Select(f => $"{f.Name} (Linux {f.Since})");
        string text = string.Join(", ", missing);
        return text.Length == 0 ? null : text;
    }
}
