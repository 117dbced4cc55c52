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
        return TryParse(kind, bytes.AsSpan(0, length))
            ?? throw new IOException(
                $"{path} is damaged: restore it from a backup, or remove the device and add it anew");
    }

    /// <summary>The words of a line; null when it is damaged or of another kind.</summary>
    /// <param name="kind">First word of the line.</param>
    /// <param name="bytes">Any bytes.</param>
    internal static string[]? TryParse(string kind, ReadOnlySpan<byte> bytes)
    {
        string line = bytes.Length < LengthMaxBytes ? Encoding.UTF8.GetString(bytes) : "";
        int end = line.LastIndexOf(' ');
        bool whole = end > kind.Length
            && line.StartsWith(kind + " ", StringComparison.Ordinal)
            && line[(end + 1)..] == $"{Sum(line[..end])}\n";
        return whole ? line[(kind.Length + 1)..end].Split(' ') : null;
    }

    /// <summary>A line as it stands in the file.</summary>
    internal static byte[] Format(string kind, params ReadOnlySpan<string> fields)
    {
        string line = $"{kind} {string.Join(' ', fields)}";
        return Encoding.UTF8.GetBytes($"{line} {Sum(line)}\n");
    }

    /// <summary>Replaces the line.</summary>
    /// <param name="fields">Words without spaces.</param>
    /// <exception cref="IOException">It could not be made durable.</exception>
    public void Write(params ReadOnlySpan<string> fields)
    {
        string beside = path + ".new";
        using (FileStream file = new(beside, FileMode.Create, FileAccess.Write, FileShare.None))
        {
            file.Write(Format(kind, fields));
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
    /// <summary>First word of the file.</summary>
    internal const string Kind = "dst-epoch-1";

    private readonly LineFile _file = new(path, Kind);

    /// <inheritdoc/>
    public ulong Load()
    {
        if (_file.Read() is not { } fields)
        {
            return 0;
        }

        return TryParse(fields, out ulong epoch)
            ? epoch
            : throw new IOException($"{path} is not an epoch");
    }

    /// <inheritdoc/>
    public void Persist(ulong epoch) => _file.Write(epoch.ToString(CultureInfo.InvariantCulture));

    /// <summary>Reads the words of the file.</summary>
    internal static bool TryParse(string[] fields, out ulong epoch)
    {
        epoch = 0;
        return fields.Length == 1
            && ulong.TryParse(fields[0], NumberStyles.None, CultureInfo.InvariantCulture, out epoch);
    }
}

/// <summary>
/// A target's note for its successor in a file under the run directory, which a restart of the host empties (S-23).
/// </summary>
/// <param name="path">The file; its folder exists.</param>
public sealed class FileServerNoteStore(string path) : IServerNoteStore
{
    /// <summary>First word of the file.</summary>
    internal const string Kind = "dst-server-1";

    private readonly LineFile _file = new(path, Kind);

    /// <inheritdoc/>
    public ServerNote Load()
    {
        if (_file.Read() is not { } fields)
        {
            return default;
        }

        return TryParse(fields, out ServerNote note)
            ? note
            : throw new IOException($"{path} is not a note of a server");
    }

    /// <summary>Reads the words of the file.</summary>
    internal static bool TryParse(string[] fields, out ServerNote note)
    {
        CultureInfo culture = CultureInfo.InvariantCulture;
        note = default;
        if (fields.Length != 4
            || !ulong.TryParse(fields[0], NumberStyles.AllowHexSpecifier, culture, out ulong bootId)
            || !ulong.TryParse(fields[1], NumberStyles.None, culture, out ulong generation)
            || fields[2] is not ("write-back" or "write-through")
            || fields[3] is not ("lost" or "good"))
        {
            return false;
        }

        note = new ServerNote(
            bootId,
            generation,
            fields[2] == "write-back" ? CacheMode.WriteBack : CacheMode.WriteThrough,
            fields[3] == "lost");
        return true;
    }

    /// <summary>The words of the file for a note.</summary>
    internal static string[] FieldsOf(in ServerNote note) =>
    [
        note.BootId.ToString("x16", CultureInfo.InvariantCulture),
        note.Generation.ToString(CultureInfo.InvariantCulture),
        note.Cache == CacheMode.WriteBack ? "write-back" : "write-through",
        note.Lost ? "lost" : "good",
    ];

    /// <inheritdoc/>
    public void Write(in ServerNote note) => _file.Write(FieldsOf(in note));
}

/// <summary>
/// Keeps no note: for a node of an export, whose clients replay when the server comes back with another boot id, so
/// that nothing of a predecessor is lost without them (S-22, S-23).
/// </summary>
public sealed class NoServerNotes : IServerNoteStore
{
    /// <inheritdoc/>
    public ServerNote Load() => default;

    /// <inheritdoc/>
    public void Write(in ServerNote note)
    {
    }
}
