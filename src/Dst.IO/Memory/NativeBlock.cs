using Dst.Interop;

namespace Dst.IO.Memory;

/// <summary>Native memory could not be had. Start-up only.</summary>
/// <param name="message">One line: how much, for what, why, what to do.</param>
public sealed class NativeMemoryException(string message) : Exception(message);

/// <summary>
/// Memory outside the managed heap: page-aligned, populated and, when asked, locked (U-08, U-53), left out of core
/// dumps (U-57). It is never moved, advised or given back while its owner lives.
/// </summary>
public sealed unsafe class NativeBlock : IDisposable
{
    /// <summary>Size of a page on the machines DST runs on; blocks are multiples of it.</summary>
    public const int PageBytes = 4096;

    private NativeBlock(nint address, nuint lengthBytes)
    {
        Address = address;
        LengthBytes = lengthBytes;
    }

    /// <summary>First byte; 0 after <see cref="Dispose"/>.</summary>
    public nint Address { get; private set; }

    /// <summary>Length, a multiple of <see cref="PageBytes"/>.</summary>
    public nuint LengthBytes { get; }

    /// <summary>Maps and populates a block. Any thread, start-up only.</summary>
    /// <param name="lengthBytes">At least 1; rounded up to whole pages.</param>
    /// <param name="purpose">For the error text.</param>
    /// <param name="locked">Also locks it in memory.</param>
    /// <exception cref="NativeMemoryException">The kernel refuses.</exception>
    public static NativeBlock Allocate(long lengthBytes, string purpose, bool locked = false)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(lengthBytes);
        nuint rounded = ((nuint)lengthBytes + PageBytes - 1) & ~(nuint)(PageBytes - 1);
        nint address = Libc.Mmap(
            0,
            rounded,
            LinuxAbi.PROT_READ | LinuxAbi.PROT_WRITE,
            LinuxAbi.MAP_PRIVATE | LinuxAbi.MAP_ANONYMOUS | LinuxAbi.MAP_POPULATE,
            -1,
            0);
        if (address is < 0 and > -4096)
        {
            throw new NativeMemoryException(
                $"{purpose}: {rounded} bytes of memory cannot be had: {Errno.Describe((int)-address)}; "
                + "use less memory (--memory)");
        }

        var block = new NativeBlock(address, rounded);
        _ = Libc.Madvise(address, rounded, LinuxAbi.MADV_DONTDUMP);
        _ = Libc.Madvise(address, rounded, LinuxAbi.MADV_DONTFORK);
        int error = locked ? Libc.Mlock(address, rounded) : 0;
        if (error < 0)
        {
            block.Dispose();
            throw new NativeMemoryException(
                $"{purpose}: {rounded} bytes cannot be locked: {Errno.Describe(-error)}; "
                + "raise the limit of locked memory (ulimit -l) or use less (--memory)");
        }

        return block;
    }

    /// <summary>The block as bytes.</summary>
    public Span<byte> AsSpan() => new((void*)Address, checked((int)LengthBytes));

    /// <summary>Gives the memory back.</summary>
    public void Dispose()
    {
        if (Address != 0)
        {
            _ = Libc.Munmap(Address, LengthBytes);
            Address = 0;
        }
    }
}
