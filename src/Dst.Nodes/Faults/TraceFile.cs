using Dst.Core.Traces;
using Dst.Interop;
using Dst.Nodes.Backings;

namespace Dst.Nodes.Faults;

/// <summary>
/// A trace in a file that is mapped and shared: what was written is there after a kill -9. Queues take their places
/// with one atomic addition.
/// </summary>
internal sealed unsafe class TraceFile : IDisposable
{
    /// <summary>Room of a trace; the file is sparse.</summary>
    public const long CapacityBytes = 1L << 30;

    private byte* _base;

    private TraceFile(byte* address) => _base = address;

    /// <summary>Makes an empty trace. Start-up only.</summary>
    /// <param name="path">The file; one that is there is replaced.</param>
    /// <param name="sizeBytes">Size of the node.</param>
    /// <exception cref="BackingException">It cannot be made.</exception>
    public static TraceFile Create(string path, long sizeBytes)
    {
        try
        {
            using FileStream file = new(path, FileMode.Create, FileAccess.ReadWrite, FileShare.ReadWrite);
            file.SetLength(CapacityBytes);
            nint address = Libc.Mmap(
                0,
                (nuint)CapacityBytes,
                LinuxAbi.PROT_READ | LinuxAbi.PROT_WRITE,
                LinuxAbi.MAP_SHARED,
                (int)file.SafeFileHandle.DangerousGetHandle(),
                0);
            if (address is < 0 and > -4096)
            {
                throw new IOException($"cannot be mapped: {Errno.Describe((int)-address)}");
            }

            TraceCodec.WriteHead(sizeBytes, new Span<byte>((void*)address, TraceCodec.HeadBytes));
            return new TraceFile((byte*)address);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new BackingException(BackingFailure.Failure, $"trace {path}: {e.Message}");
        }
    }

    /// <summary>Adds a record; counts it only when there is no room. Any queue thread.</summary>
    /// <param name="record">The record.</param>
    /// <param name="data">The contents that it tells of.</param>
    public void Add(in TraceRecord record, ReadOnlySpan<byte> data)
    {
        int length = TraceCodec.LengthOf(in record);
        long end = Interlocked.Add(ref *(long*)(_base + TraceCodec.UsedBytesAt), length);
        long at = TraceCodec.HeadBytes + end - length;
        if (at + length > CapacityBytes)
        {
            return;
        }

        TraceCodec.Write(in record, data, new Span<byte>(_base + at, length));
        Volatile.Write(ref *(_base + at + TraceCodec.KindAt), (byte)record.Kind);
    }

    /// <summary>Unmaps the file. After every queue has ended.</summary>
    public void Dispose()
    {
        if (_base != null)
        {
            _ = Libc.Munmap((nint)_base, (nuint)CapacityBytes);
            _base = null;
        }
    }
}
