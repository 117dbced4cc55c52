using Dst.Interop;

namespace Dst.Nodes.Backings;

/// <summary>What fallocate can do on a file system.</summary>
/// <param name="CanPunch">Ranges can be given back.</param>
/// <param name="CanZero">Ranges can be zeroed; they stay allocated.</param>
/// <param name="GranularityBytes">Block of the file system.</param>
internal readonly record struct FileAbilities(bool CanPunch, bool CanZero, int GranularityBytes)
{
    /// <summary>Whether a file can discard: one that keeps its room by zeroing, any other by punching (C-18).</summary>
    public bool CanDiscard(bool keepsAllocation) => keepsAllocation ? CanZero : CanPunch;
}

/// <summary>Finds what a file can do without touching its data.</summary>
internal static class AbilityProbe
{
    private const int ProbeBytes = 64 * 1024;

    private const int Punch = BlockAbi.FALLOC_FL_PUNCH_HOLE | BlockAbi.FALLOC_FL_KEEP_SIZE;

    private const int Zero = BlockAbi.FALLOC_FL_ZERO_RANGE | BlockAbi.FALLOC_FL_KEEP_SIZE;

    /// <summary>Tries on a file that is new, empty and writable; it is empty again afterwards.</summary>
    public static FileAbilities OfEmptyFile(int fd)
    {
        if (Libc.Ftruncate(fd, ProbeBytes) != 0)
        {
            return new FileAbilities(false, false, Granularity(fd));
        }

        bool canPunch = Native.Fallocate(fd, Punch, 0, ProbeBytes) == 0;
        bool canZero = Native.Fallocate(fd, Zero, 0, ProbeBytes) == 0;
        Libc.Ftruncate(fd, 0);
        return new FileAbilities(canPunch, canZero, Granularity(fd));
    }

    /// <summary>
    /// Tries on a nameless file beside an existing one. Where that cannot be had (no O_TMPFILE, no right to the folder,
    /// a file mounted alone), a hole is punched beyond the existing file's end, which changes nothing, and zeroing is
    /// taken for impossible.
    /// </summary>
    public static FileAbilities OfExistingFile(int fd, string path, FileFacts facts)
    {
        int probe = Libc.Open(
            Path.GetDirectoryName(path) ?? "/",
            LinuxAbi.O_TMPFILE | LinuxAbi.O_RDWR | LinuxAbi.O_CLOEXEC,
            FileCreation.Mode);
        try
        {
            if (probe >= 0 && Native.Stat(probe, out FileFacts beside) == 0 && beside.FileSystem == facts.FileSystem)
            {
                return OfEmptyFile(probe);
            }
        }
        finally
        {
            if (probe >= 0)
            {
                Libc.Close(probe);
            }
        }

        long beyond = facts.SizeBytes <= long.MaxValue - (4 * ProbeBytes)
            ? (facts.SizeBytes + (2 * ProbeBytes) - 1) / ProbeBytes * ProbeBytes
            : long.MaxValue;
        bool canPunch = beyond < long.MaxValue && Native.Fallocate(fd, Punch, beyond, ProbeBytes) == 0;
        return new FileAbilities(canPunch, CanZero: false, Granularity(fd));
    }

    private static int Granularity(int fd) =>
        Libc.Fstatfs(fd, out StatFs statFs) == 0 && statFs.BlockSize is >= 512 and <= 1 << 30
            ? (int)statFs.BlockSize
            : 4096;
}
