using System.IO.Compression;

namespace Dst.Cli.Doctoring;

/// <summary>Files of the host under examination.</summary>
/// <param name="root">What is taken for the root directory.</param>
internal sealed class HostFiles(string root)
{
    private const int MaxTextBytes = 16 << 20;

    /// <summary>The path below the root.</summary>
    public string Resolve(string path) => string.Equals(root, "/", StringComparison.Ordinal) ? path : $"{root}{path}";

    /// <summary>Something is there: file, directory or device node.</summary>
    public bool Exists(string path) => Path.Exists(Resolve(path));

    /// <summary>The text of a file, without the newline at its end; null when it cannot be read.</summary>
    public string? Text(string path)
    {
        try
        {
            using FileStream file = File.OpenRead(Resolve(path));
            using Stream plain = path.EndsWith(".gz", StringComparison.Ordinal)
                ? new GZipStream(file, CompressionMode.Decompress)
                : file;
            return ReadText(plain)?.TrimEnd('\n');
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException or InvalidDataException)
        {
            return null;
        }
    }

    /// <summary>Lines of a file; none when it cannot be read.</summary>
    public string[] Lines(string path) => Text(path)?.Split('\n') ?? [];

    /// <summary>Names in a directory; none when it cannot be read.</summary>
    public string[] Names(string path)
    {
        try
        {
            return [.. Directory.EnumerateFileSystemEntries(Resolve(path)).Select(entry => Path.GetFileName(entry))];
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            return [];
        }
    }

    /// <summary>Tries to make a file in a directory, and leaves nothing behind. Null: it can; else why not.</summary>
    public string? WriteFault(string directory)
    {
        string probe = $"{Resolve(directory)}/.dstctl-doctor-{Environment.ProcessId}";
        try
        {
            using var file = new FileStream(
                probe, FileMode.CreateNew, FileAccess.Write, FileShare.None, bufferSize: 1, FileOptions.DeleteOnClose);
            file.WriteByte(0);
            file.Flush();
            return null;
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            return failure.Message.Replace($" '{probe}'", string.Empty, StringComparison.Ordinal).TrimEnd('.');
        }
    }

    private static string? ReadText(Stream stream)
    {
        using var reader = new StreamReader(stream);
        char[] buffer = new char[4096];
        var text = new System.Text.StringBuilder();
        for (int read = reader.Read(buffer); read > 0; read = reader.Read(buffer))
        {
            text.Append(buffer, 0, read);
            if (text.Length > MaxTextBytes)
            {
                return null;
            }
        }

        return text.ToString();
    }
}
