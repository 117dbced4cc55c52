namespace Dst.Core.Requests;

/// <summary>How a leg or a request ended. Closed: whatever else may happen is <see cref="IoError"/> (C-10).</summary>
public enum DstStatus : byte
{
    /// <summary>Done in full length.</summary>
    Ok,

    /// <summary>Failed for a reason that has no status of its own, a short transfer included (C-11).</summary>
    IoError,

    /// <summary>The node cannot do this operation; the kernel falls back to another where it can (C-08).</summary>
    NotSupported,

    /// <summary>The backing has no room left (C-18).</summary>
    NoSpace,

    /// <summary>No answer within the time allowed.</summary>
    TimedOut,

    /// <summary>The way to the node is gone for good.</summary>
    LinkLost,

    /// <summary>The far side failed in a way that another path would not mend.</summary>
    TargetError,

    /// <summary>Another owner holds the node, or our lease is lost.</summary>
    ReservationConflict,

    /// <summary>The medium cannot give its data.</summary>
    MediumError,

    /// <summary>A checksum does not match.</summary>
    ProtectionError,

    /// <summary>The node is gone.</summary>
    Offline,

    /// <summary>A change was asked of what may not be changed (C-12).</summary>
    ReadOnly,

    /// <summary>The request itself is wrong: beyond the end, not aligned, empty or too long.</summary>
    Invalid,
}

/// <summary>The closed table between statuses and Linux error numbers (C-10). Pure; any thread.</summary>
public static class RequestResult
{
    /// <summary>
    /// The positive error number that the kernel is told, 0 for <see cref="DstStatus.Ok"/>. Never EAGAIN, EBUSY, ENOMEM
    /// or EINTR, which the block layer would retry or misread; a refused change is EIO (C-12).
    /// </summary>
    /// <param name="status">How the request ended; a value outside the enumeration ends the process.</param>
    public static int ToErrno(DstStatus status)
    {
        switch (status)
        {
            case DstStatus.Ok: return 0;
            case DstStatus.IoError: return Errno.EIO;
            case DstStatus.NotSupported: return Errno.EOPNOTSUPP;
            case DstStatus.NoSpace: return Errno.ENOSPC;
            case DstStatus.TimedOut: return Errno.ETIMEDOUT;
            case DstStatus.LinkLost: return Errno.ENOLINK;
            case DstStatus.TargetError: return Errno.EREMOTEIO;
            case DstStatus.ReservationConflict: return Errno.EBADE;
            case DstStatus.MediumError: return Errno.ENODATA;
            case DstStatus.ProtectionError: return Errno.EILSEQ;
            case DstStatus.Offline: return Errno.ENODEV;
            case DstStatus.ReadOnly: return Errno.EIO;
            case DstStatus.Invalid: return Errno.EINVAL;
            default:
                Must.Fail($"status {(int)status} is none that a request can end with");
                return Errno.EIO;
        }
    }

    /// <summary>The status of a node's error number.</summary>
    /// <param name="nodeErrno">
    /// Positive, as errno has it (negate a completion's result first). 0 is <see cref="DstStatus.Ok"/>; what the table
    /// does not know, negative numbers included, is <see cref="DstStatus.IoError"/>.
    /// </param>
    public static DstStatus FromErrno(int nodeErrno) => nodeErrno switch
    {
        0 => DstStatus.Ok,
        Errno.EOPNOTSUPP => DstStatus.NotSupported,
        Errno.ENOSPC or Errno.EDQUOT => DstStatus.NoSpace,
        Errno.ETIMEDOUT => DstStatus.TimedOut,
        Errno.ENOLINK => DstStatus.LinkLost,
        Errno.EREMOTEIO => DstStatus.TargetError,
        Errno.EBADE => DstStatus.ReservationConflict,
        Errno.ENODATA => DstStatus.MediumError,
        Errno.EILSEQ => DstStatus.ProtectionError,
        Errno.ENODEV => DstStatus.Offline,
        Errno.EROFS or Errno.EPERM => DstStatus.ReadOnly,
        Errno.EINVAL => DstStatus.Invalid,
        _ => DstStatus.IoError,
    };

    /// <summary>
    /// The name of an error number for people, such as EIO; its digits when the core has no name for it.
    /// </summary>
    /// <param name="errno">Positive error number.</param>
    public static string ErrnoName(int errno) =>
        Errno.NameOf(errno) ?? errno.ToString(System.Globalization.CultureInfo.InvariantCulture);
}
