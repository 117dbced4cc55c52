using Dst.Control;
using Dst.Daemon.Kernel;

namespace Dst.Daemon.Store;

/// <summary>Directories that nobody but the owner of the daemon may change.</summary>
internal static class PrivateDirectory
{
    private const UnixFileMode Foreign = UnixFileMode.GroupWrite | UnixFileMode.OtherWrite;

    /// <summary>
    /// Refuses a directory that is there already and that somebody else could change; changes nothing.
    /// </summary>
    /// <param name="word">What people call it: run or state.</param>
    /// <param name="path">Absolute path.</param>
    /// <exception cref="ControlException">Why it cannot be used.</exception>
    public static void Check(string word, string path)
    {
        if (!Directory.Exists(path))
        {
            return;
        }

        string? problem =
            Native.OwnerOf(path) is { } owner && owner != Native.EffectiveUser()
                ? $"belongs to user {owner}, dstd runs as user {Native.EffectiveUser()}: chown it"
            : (File.GetUnixFileMode(path) & Foreign) != UnixFileMode.None
                ? $"may be changed by others: chmod go-w {path}"
            : null;
        if (problem is not null)
        {
            throw new ControlException(
                ControlErrorCode.Failure, $"{word} directory {path} {problem}, or choose another --{word}-dir");
        }
    }

    /// <summary>Makes a directory of that mode; one that is there keeps the mode that somebody gave it.</summary>
    public static void Make(string path, UnixFileMode mode)
    {
        if (!Directory.Exists(path))
        {
            Directory.CreateDirectory(path, mode);
            File.SetUnixFileMode(path, mode);
        }
    }
}
