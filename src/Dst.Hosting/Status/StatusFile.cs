using System.Buffers.Text;
using System.Text;
using Dst.Interop;

namespace Dst.Hosting.Status;

/// <summary>
/// A folder of the status tree, kept open: its files are written relative to it, whatever happens to its path.
/// </summary>
public sealed class StatusFolder : IDisposable
{
    private const uint FolderMode = 0x1ed; // 0755

    private readonly int _fd;

    /// <summary>Makes the folder, and its parents, if they are not there.</summary>
    public StatusFolder(string path)
    {
        Directory.CreateDirectory(path);
        _fd = Libc.Open(path, LinuxAbi.O_RDONLY | LinuxAbi.O_DIRECTORY | LinuxAbi.O_CLOEXEC);
        if (_fd < 0)
        {
            throw new IOException($"{path} cannot be opened: {Errno.Describe(-_fd)}");
        }

        _ = Libc.Fchmod(_fd, FolderMode);
    }

    /// <summary>A file of this folder, not written yet.</summary>
    public StatusFile File(string name) => new(_fd, name);

    /// <summary>Closes the folder.</summary>
    public void Dispose() => _ = Libc.Close(_fd);
}

/// <summary>
/// One value of the status tree. It is written through a rename, so that a reader sees the old value or the new one,
/// and only when it changed. Writing allocates nothing. Publisher thread.
/// </summary>
public sealed class StatusFile
{
    private const uint FileMode = 0x1a4; // 0644
    private const int ValueBytesMax = 4096;

    private static readonly byte[] TemporaryName = ".new\0"u8.ToArray();
    private readonly int _folderFd;
    private readonly byte[] _name;
    private long _number;
    private string? _text;
    private bool _written;

    internal StatusFile(int folderFd, string name)
    {
        _folderFd = folderFd;
        _name = Encoding.UTF8.GetBytes(name + "\0");
    }

    /// <summary>Writes a number if it differs from the last one that was written.</summary>
    /// <returns>True when it did; if it could not be written, the next call tries again.</returns>
    public bool Write(long value)
    {
        if (_written && value == _number)
        {
            return false;
        }

        Span<byte> bytes = stackalloc byte[24];
        _ = Utf8Formatter.TryFormat(value, bytes, out int length);
        bytes[length++] = (byte)'\n';
        _written = Replace(bytes[..length]);
        _number = value;
        return true;
    }

    /// <summary>Writes a text if it differs from the last one that was written.</summary>
    /// <returns>True when it did; if it could not be written, the next call tries again.</returns>
    public bool Write(string value)
    {
        if (_written && string.Equals(_text, value, StringComparison.Ordinal))
        {
            return false;
        }

        _written = Replace(Encoding.UTF8.GetBytes(value.ReplaceLineEndings(" ") + "\n"));
        _text = value;
        return true;
    }

    /// <summary>Writes bytes, which the caller knows to have changed; a newline is theirs to bring.</summary>
    /// <returns>False when they could not be written: the tree is for people, so the device goes on.</returns>
    public bool Replace(ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length > ValueBytesMax)
        {
            bytes = bytes[..ValueBytesMax];
        }

        int fd = Libc.Openat(
            _folderFd,
            TemporaryName,
            LinuxAbi.O_WRONLY | LinuxAbi.O_CREAT | LinuxAbi.O_TRUNC | LinuxAbi.O_CLOEXEC,
            FileMode);
        if (fd < 0)
        {
            return false;
        }

        long written = Libc.Write(fd, bytes);
        _ = Libc.Close(fd);
        return written == bytes.Length && Libc.Renameat(_folderFd, TemporaryName, _folderFd, _name) >= 0;
    }
}
