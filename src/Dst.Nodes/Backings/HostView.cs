using System.Diagnostics.CodeAnalysis;

namespace Dst.Nodes.Backings;

/// <summary>
/// The host's /sys, /proc and /run as the checks read them. Everything is best effort: what is absent or unreadable is
/// null or empty, never an exception. Any thread.
/// </summary>
/// <param name="root">Put before every path; empty for the real host.</param>
internal class HostView(string root = "")
{
    private readonly string _root = root;

    /// <summary>The host this process runs on.</summary>
    public static HostView Real { get; } = new();

    /// <summary>Content of a small file without surrounding white space, or null.</summary>
    public string? Text(string path) => RawText(path)?.Trim() is { Length: > 0 } text ? text : null;

    /// <summary>Lines of a small file, or none.</summary>
    public string[] Lines(string path) =>
        RawText(path)?.Split('\n', StringSplitOptions.RemoveEmptyEntries) ?? [];

    /// <summary>Names in a folder, sorted, or none.</summary>
    public string[] List(string path)
    {
        try
        {
            string[] names = [.. Directory.EnumerateFileSystemEntries(_root + path).Select(e => Path.GetFileName(e)!)];
            Array.Sort(names, StringComparer.Ordinal);
            return names;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return [];
        }
    }

    /// <summary>Whether a file or folder is there.</summary>
    public bool Exists(string path) => Path.Exists(_root + path);

    /// <summary>Where a symbolic link to a folder leads in the end, as a path of this view, or null.</summary>
    public string? Resolve(string path)
    {
        try
        {
            string? full = new DirectoryInfo(_root + path).ResolveLinkTarget(returnFinalTarget: true)?.FullName
                ?? (Directory.Exists(_root + path) ? _root + path : null);
            return full?[_root.Length..];
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    /// <summary>Facts of whatever a path leads to, symbolic links followed; automounts are left alone.</summary>
    public virtual bool TryStat(string path, [NotNullWhen(true)] out FileFacts? facts)
    {
        bool found = Native.StatPath(path, follow: true, out FileFacts found1) == 0;
        facts = found ? found1 : null;
        return found;
    }

    private string? RawText(string path)
    {
        try
        {
            return File.ReadAllText(_root + path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }
}
