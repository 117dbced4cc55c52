using Dst.Interop;

namespace Dst.Nodes.Backings;

/// <summary>Words for what goes wrong at the border to the kernel.</summary>
internal static class Refusal
{
    /// <summary>What was asked cannot work.</summary>
    public static BackingException Usage(string message) => new(BackingFailure.Usage, message);

    /// <summary>Someone else has it.</summary>
    public static BackingException Busy(string message) => new(BackingFailure.Busy, message);

    /// <summary>The host said no.</summary>
    public static BackingException Failure(string message) => new(BackingFailure.Failure, message);

    /// <summary>A path could not be found or opened.</summary>
    /// <param name="what">What it was to be: <c>file</c>.</param>
    /// <param name="path">As given.</param>
    /// <param name="error">-errno.</param>
    public static BackingException CannotOpen(string what, string path, int error)
    {
        string reason = $"cannot open {what} {path}: {Errno.Describe(error)}";
        return -error switch
        {
            Errno.ENOENT => Usage($"{reason}; check the path"),
            Errno.ENOTDIR => Usage($"{reason}; a folder of the path is a file"),
            Errno.ELOOP => Usage($"{reason}; name the {what} itself, without loops of links or /proc/PID/fd"),
            Errno.ENAMETOOLONG or Errno.EINVAL or Errno.EILSEQ => Usage($"{reason}; check the path"),
            Errno.ETXTBSY => Busy($"{reason}; it is in use as swap space or program"),
            Errno.EACCES or Errno.EPERM => Failure(
                $"{reason}; check its permissions and attributes (lsattr), or run as root"),
            Errno.EROFS => Failure($"{reason}; remount writable or make the device with --read-only"),
            Errno.EMFILE or Errno.ENFILE => Failure($"{reason}; raise the limit of open files"),
            Errno.ENXIO or Errno.ENODEV or Errno.ENOMEDIUM => Failure(
                $"{reason}; the device behind it is gone or empty"),
            _ => Failure(reason),
        };
    }

    /// <summary>A call on an open backing failed.</summary>
    public static BackingException CallFailed(string what, string path, long error) =>
        Failure($"cannot {what} {path}: {Errno.Describe((int)error)}; see the kernel log (dmesg)");
}
