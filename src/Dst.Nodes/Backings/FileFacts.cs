namespace Dst.Nodes.Backings;

/// <summary>Number of a device as the kernel prints it, major:minor.</summary>
/// <param name="Major">Number of the driver.</param>
/// <param name="Minor">Number within the driver.</param>
internal readonly record struct DeviceNumber(uint Major, uint Minor)
{
    /// <inheritdoc/>
    public override string ToString() => $"{Major}:{Minor}";

    /// <summary>Reads <c>major:minor</c>; null when it is something else.</summary>
    public static DeviceNumber? Parse(string? text)
    {
        string[] parts = text?.Trim().Split(':') ?? [];
        return parts.Length == 2 && uint.TryParse(parts[0], out uint major) && uint.TryParse(parts[1], out uint minor)
            ? new DeviceNumber(major, minor)
            : null;
    }
}

/// <summary>What statx tells of a file, as far as the checks want it.</summary>
internal sealed record FileFacts
{
    /// <summary>Kind and permissions, as in st_mode.</summary>
    public uint Mode { get; init; }

    /// <summary>Device that the file's file system says it is on; may be one that no disk has.</summary>
    public DeviceNumber FileSystem { get; init; }

    /// <summary>For device nodes: the device itself.</summary>
    public DeviceNumber Disk { get; init; }

    /// <summary>Inode number.</summary>
    public ulong Inode { get; init; }

    /// <summary>Length in bytes.</summary>
    public long SizeBytes { get; init; }

    /// <summary>Bytes of its file system that it occupies, holes left out and preallocated ranges counted.</summary>
    public long AllocatedBytes { get; init; }

    /// <summary>Birth time, seconds since 1970 and nanoseconds; null where the file system has none.</summary>
    public (long Seconds, uint Nanoseconds)? Birth { get; init; }

    /// <summary>Number of the mount in /proc/self/mountinfo, or null.</summary>
    public ulong? MountId { get; init; }

    /// <summary>
    /// Alignment of direct I/O in bytes, offset and memory; null where not reported, zeros where it cannot be done.
    /// </summary>
    public (uint Offset, uint Memory)? DirectAlignment { get; init; }

    /// <summary>Kind only: the S_IFMT bits.</summary>
    public FileKind Kind => (FileKind)(Mode & 0xF000);

    /// <summary>Whether both name the very same file.</summary>
    public bool IsSameFile(FileFacts other) => Inode == other.Inode && FileSystem == other.FileSystem;
}

/// <summary>Kinds of files, by their S_IFMT value.</summary>
internal enum FileKind : uint
{
    Unknown = 0,
    Fifo = 0x1000,
    CharacterDevice = 0x2000,
    Directory = 0x4000,
    BlockDevice = 0x6000,
    Regular = 0x8000,
    SymbolicLink = 0xA000,
    Socket = 0xC000,
}

/// <summary>Words for the kinds.</summary>
internal static class FileKindText
{
    /// <summary>The kind with its article, for a message.</summary>
    public static string Describe(this FileKind kind) => kind switch
    {
        FileKind.Fifo => "a FIFO",
        FileKind.CharacterDevice => "a character device",
        FileKind.Directory => "a directory",
        FileKind.BlockDevice => "a block device",
        FileKind.Regular => "a regular file",
        FileKind.SymbolicLink => "a symbolic link",
        FileKind.Socket => "a socket",
        _ => "of an unknown kind",
    };
}
