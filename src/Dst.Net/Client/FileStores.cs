using System.Globalization;
using System.Text;
using Dst.Core.Sessions.Client;
using Dst.Core.Wire;
using Dst.Interop;

namespace Dst.Net.Client;

/// <summary>
/// One line of text in a file, with its checksum, replaced whole: written beside, synced, renamed, folder synced. Any
/// thread, one at a time.
/// </summary>
/// <param name="path">The file; its folder exists.</param>
/// <param name="kind">First word of the line.</param>
internal sealed class LineFile(string path, string kind)
{
    private const int LengthMaxBytes = 4096;

    /// <summary>The line without kind and checksum; null when there is no file.</summary>
    /// <exception cref="IOException">It cannot be read or is damaged.</exception>
    public string[]? Read()
    {
        if (!File.Exists(path))
        {
            return null;
        }

        using FileStream file = new(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
        byte[] bytes = new byte[LengthMaxBytes];
        int length = file.ReadAtLeast(bytes, bytes.Length, throwOnEndOfStream: false);
        string line = Encoding.UTF8.GetString(bytes, 0, length);
        int end = line.LastIndexOf(' ');
        bool whole = length < LengthMaxBytes
            && end > 0
            && line.StartsWith(kind + " ", StringComparison.Ordinal)
            && line[(end + 1)..] == $"{Sum(line[..end])}\n";
        return whole
            ? line[(kind.Length + 1)..end].Split(' ')
            : throw new IOException($"{path} is damaged: restore it from a backup, or remove the device and add it anew");
    }

    /// <summary>Replaces the line.</summary>
    /// <param name="fields">Words without spaces.</param>
    /// <exception cref="IOException">It could not be made durable.</exception>
    public void Write(params ReadOnlySpan<string> fields)
    {
        string line = $"{kind} {string.Join(' ', fields)}";
        string beside = path + ".new";
        using (FileStream file = new(beside, FileMode.Create, FileAccess.Write, FileShare.None))
        {
            file.Write(Encoding.UTF8.GetBytes($"{line} {Sum(line)}\n"));
            file.Flush(flushToDisk: true);
        }

        File.Move(beside, path, overwrite: true);
        SyncFolder();
    }

    private static string Sum(string line) =>
        DataChecksum.Crc32C(Encoding.UTF8.GetBytes(line)).ToString("x8", CultureInfo.InvariantCulture);

    private void SyncFolder()
    {
        string folder = Path.GetDirectoryName(Path.GetFullPath(path))!;
        int fd = Libc.Open(folder, LinuxAbi.O_RDONLY | LinuxAbi.O_DIRECTORY | LinuxAbi.O_CLOEXEC);
        int error = fd < 0 ? fd : Libc.Fsync(fd);
        if (fd >= 0)
        {
            _ = Libc.Close(fd);
        }

        if (error < 0)
        {
            throw new IOException($"{folder}: cannot be synced: {Errno.Describe(-error)}");
        }
    }
}

/// <summary>A target's last epoch in a file of the device's state directory (S-03).</summary>
/// <param name="path">The file; its folder exists.</param>
public sealed class FileEpochStore(string path) : IEpochStore
{
    private readonly LineFile _file = new(path, "dst-epoch-1");

    /// <inheritdoc/>
    public ulong Load()
    {
        if (_file.Read() is not { } fields)
        {
            return 0;
        }

        return fields.Length == 1 && ulong.TryParse(fields[0], CultureInfo.InvariantCulture, out ulong epoch)
            ? epoch
            : throw new IOException($"{path} is not an epoch");
    }

    /// <inheritdoc/>
    public void Persist(ulong epoch) => _file.Write(epoch.ToString(CultureInfo.InvariantCulture));
}

/// <summary>A target's note for its successor in a file under the run directory, which a restart of the host empties (S-23).</summary>
/// <param name="path">The file; its folder exists.</param>
public sealed class FileServerNoteStore(string path) : IServerNoteStore
{
    private readonly LineFile _file = new(path, "dst-server-1");

    /// <inheritdoc/>
    public ServerNote Load()
    {
        if (_file.Read() is not { } fields)
        {
            return default;
        }

        CultureInfo culture = CultureInfo.InvariantCulture;
        return fields.Length == 4
            && ulong.TryParse(fields[0], NumberStyles.HexNumber, culture, out ulong bootId)
            && ulong.TryParse(fields[1], culture, out ulong generation)
            && fields[2] is "write-back" or "write-through"
            && fields[3] is "lost" or "good"
            ? new ServerNote(
                bootId,
                generation,
                fields[2] == "write-back" ? CacheMode.WriteBack : CacheMode.WriteThrough,
                fields[3] == "lost")
            : throw new IOException($"{path} is not a note of a server");
    }

    /// <inheritdoc/>
    public void Write(in ServerNote note) => _file.Write(
        note.BootId.ToString("x16", CultureInfo.InvariantCulture),
        note.Generation.ToString(CultureInfo.InvariantCulture),
        note.Cache == CacheMode.WriteBack ? "write-back" : "write-through",
        note.Lost ? "lost" : "good");
}
