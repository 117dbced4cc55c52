using Dst.Core.Specs;

namespace Dst.Nodes.Backings;

/// <summary>Checks of size and offset, the same for files that exist and files to be made.</summary>
internal static class FileLimits
{
    /// <summary>Refuses sizes and offsets that no block fits.</summary>
    public static void CheckMultiples(FileNodeSpec spec, int blockSizeBytes)
    {
        CheckMultiple("size", spec.SizeBytes ?? 0, spec.Path, blockSizeBytes);
        CheckMultiple("offset", spec.OffsetBytes, spec.Path, blockSizeBytes);
    }

    /// <summary>End of the node's data in a file of the given size.</summary>
    public static long EndOf(FileNodeSpec spec, long sizeBytes)
    {
        if (sizeBytes < 0 || spec.OffsetBytes < 0 || spec.OffsetBytes > long.MaxValue - sizeBytes)
        {
            throw Refusal.Usage(
                $"file {spec.Path}: size= and offset= are beyond what a file can have; give smaller ones");
        }

        return spec.OffsetBytes + sizeBytes;
    }

    /// <summary>Usable bytes of an existing file.</summary>
    public static long UsableBytes(FileNodeSpec spec, string path, long lengthBytes, in BackingRequest request)
    {
        long end = EndOf(spec, spec.SizeBytes ?? 0);
        if (request.Restore && (lengthBytes < end || lengthBytes - spec.OffsetBytes < request.MinimumSizeBytes))
        {
            long was = long.Max(end, spec.OffsetBytes + request.MinimumSizeBytes);
            throw Refusal.Failure(
                $"file {path} has shrunk: it has {lengthBytes} bytes, the device needs {was}; "
                + "put the missing part back");
        }

        if (lengthBytes == 0)
        {
            throw Refusal.Usage($"file {path} is empty; give it a size (truncate -s 4G) or remove it and give size=");
        }

        if (spec.OffsetBytes >= lengthBytes)
        {
            throw Refusal.Usage($"file {path} has {lengthBytes} bytes, offset={spec.OffsetBytes} is beyond its end");
        }

        if (lengthBytes < end)
        {
            throw Refusal.Usage(
                $"file {path} has {lengthBytes} bytes, size= and offset= ask for {end}; "
                + "leave size= out or make it smaller");
        }

        return spec.SizeBytes ?? (lengthBytes - spec.OffsetBytes);
    }

    /// <summary>Refuses a backing that is smaller than the device can use.</summary>
    public static void CheckMinimum(string what, long sizeBytes, int blockSizeBytes, in BackingRequest request)
    {
        long least = long.Max(blockSizeBytes, request.MinimumSizeBytes);
        if (sizeBytes >= least)
        {
            return;
        }

        throw request.Restore
            ? Refusal.Failure(
                $"{what} has shrunk: {sizeBytes} bytes are usable, it had {least}; put the missing part back")
            : Refusal.Usage(
                $"{what} is too small: {sizeBytes} bytes are usable, a node needs at least {least}; give a larger one");
    }

    private static void CheckMultiple(string key, long value, string path, int blockSizeBytes)
    {
        if (value % blockSizeBytes != 0)
        {
            throw Refusal.Usage(
                $"file {path}: {key}={value} is no multiple of its block size, {blockSizeBytes} bytes; round it");
        }
    }
}
