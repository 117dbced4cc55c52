using System.Runtime.InteropServices;
using Dst.Interop;

namespace Dst.Nodes.Backings;

/// <summary>What offsets, lengths and addresses of a backing's I/O have to be multiples of (C-13).</summary>
/// <param name="BlockSizeBytes">512 or 4096.</param>
/// <param name="MemoryBytes">At most the block size.</param>
internal readonly record struct IoAlignment(int BlockSizeBytes, int MemoryBytes)
{
    /// <summary>Largest that a device can offer.</summary>
    public const int MaxBytes = 4096;

    private const int MinBytes = 512;

    /// <summary>I/O through the page cache has no rules; the device's smallest block remains.</summary>
    public static IoAlignment Buffered => new(MinBytes, 1);

    /// <summary>
    /// Makes a device's block out of what was found: 512 or 4096, nothing between. A leg may begin at any block inside
    /// a request's buffer, so blocks are also multiples of what addresses have to be.
    /// </summary>
    /// <returns>The alignment, or null where more than 4096 is wanted.</returns>
    public static IoAlignment? From(long offsetBytes, long memoryBytes)
    {
        long larger = long.Max(offsetBytes, memoryBytes);
        return larger > MaxBytes
            ? null
            : new IoAlignment(larger <= MinBytes ? MinBytes : MaxBytes, (int)long.Max(memoryBytes, 1));
    }

    /// <summary>
    /// Finds it for a file opened with O_DIRECT whose file system does not report it, by trying reads. Holes may be
    /// read at any alignment, so the disks below, as far as they are known, set a least value.
    /// </summary>
    /// <param name="fd">The file.</param>
    /// <param name="floorBytes">Logical block of the disks below, 0 when unknown.</param>
    /// <param name="error">-errno of a read that failed otherwise, or 0.</param>
    /// <returns>The alignment, or null where no read of at most 4096 works.</returns>
    public static unsafe IoAlignment? Probe(int fd, int floorBytes, out int error)
    {
        byte* buffer = (byte*)NativeMemory.AlignedAlloc(2 * MaxBytes, MaxBytes);
        try
        {
            for (int block = int.Max(MinBytes, floorBytes); block <= MaxBytes; block *= 2)
            {
                error = Try(fd, buffer + (block % MaxBytes), block, 0);
                if (error == 0)
                {
                    error = Try(fd, buffer + (block % MaxBytes), block, block);
                }

                if (error != -Errno.EINVAL)
                {
                    return error == 0 ? From(block, block) : null;
                }
            }

            error = 0;
            return null;
        }
        finally
        {
            NativeMemory.AlignedFree(buffer);
        }
    }

    private static unsafe int Try(int fd, byte* address, int lengthBytes, long offsetBytes) =>
        (int)long.Min(0, Libc.Pread(fd, address, (nuint)lengthBytes, offsetBytes));
}
