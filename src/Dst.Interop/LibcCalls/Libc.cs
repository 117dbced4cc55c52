using System.Buffers;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text.Unicode;

namespace Dst.Interop;

/// <summary>
/// Ordinary system calls. Every call returns the kernel's value, or -errno; none throws, logs or retries (EINTR
/// comes back as -EINTR). Any thread may call.
/// <para>
/// Paths come in two forms. Spans of bytes are UTF-8 and end in a zero byte that is part of the span
/// (<c>"/dev/ublk-control\0"u8</c>); one that does not end so gives -EINVAL. They allocate nothing. Strings are for
/// start and control; one with a zero in it gives -EINVAL, one that is no valid UTF-16 -EILSEQ.
/// </para>
/// </summary>
public static unsafe partial class Libc
{
    /// <summary>Longest path that a string may encode to, with its zero (PATH_MAX of Linux).</summary>
    private const int MaxPathBytes = 4096;

    /// <summary>True where the span can be handed over as a C string.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static bool IsTerminated(ReadOnlySpan<byte> path) => !path.IsEmpty && path[^1] == 0;

    /// <summary>Encodes a path with its zero into the buffer.</summary>
    /// <returns>Bytes with the zero, or -errno.</returns>
    private static int Encode(string path, Span<byte> buffer)
    {
        if (path.Contains('\0', StringComparison.Ordinal))
        {
            return -Errno.EINVAL;
        }

        OperationStatus status = Utf8.FromUtf16(path, buffer[..^1], out _, out int written, replaceInvalidSequences: false);
        if (status != OperationStatus.Done)
        {
            return status == OperationStatus.DestinationTooSmall ? -Errno.ENAMETOOLONG : -Errno.EILSEQ;
        }

        buffer[written] = 0;
        return written + 1;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static int LastError() => -Marshal.GetLastPInvokeError();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static int Result(int value) => value == -1 ? LastError() : value;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static long Result(long value) => value == -1 ? LastError() : value;
}
