namespace Dst.Core.Requests;

/// <summary>Linux error numbers by their names, as far as the core speaks of them. The same on x86-64 and arm64.</summary>
internal static class Errno
{
    internal const int EPERM = 1;
    internal const int EINTR = 4;
    internal const int EIO = 5;
    internal const int EAGAIN = 11;
    internal const int ENOMEM = 12;
    internal const int EBUSY = 16;
    internal const int ENODEV = 19;
    internal const int EINVAL = 22;
    internal const int ENOSPC = 28;
    internal const int EROFS = 30;
    internal const int EBADE = 52;
    internal const int ENODATA = 61;
    internal const int ENOLINK = 67;
    internal const int EILSEQ = 84;
    internal const int EOPNOTSUPP = 95;
    internal const int ETIMEDOUT = 110;
    internal const int EREMOTEIO = 121;
    internal const int EDQUOT = 122;

    /// <summary>Every name that can be written in a node specification, in the order in which they are offered.</summary>
    internal static readonly (string Name, int Number)[] Known =
    [
        (nameof(EIO), EIO),
        (nameof(ENOSPC), ENOSPC),
        (nameof(ETIMEDOUT), ETIMEDOUT),
        (nameof(EOPNOTSUPP), EOPNOTSUPP),
        (nameof(ENODEV), ENODEV),
        (nameof(EINVAL), EINVAL),
        (nameof(ENODATA), ENODATA),
        (nameof(EILSEQ), EILSEQ),
        (nameof(ENOLINK), ENOLINK),
        (nameof(EREMOTEIO), EREMOTEIO),
        (nameof(EBADE), EBADE),
        (nameof(EROFS), EROFS),
        (nameof(EPERM), EPERM),
        (nameof(EDQUOT), EDQUOT),
        (nameof(EAGAIN), EAGAIN),
        (nameof(EBUSY), EBUSY),
        (nameof(ENOMEM), ENOMEM),
        (nameof(EINTR), EINTR),
    ];

    internal static bool TryGetNumber(string name, out int number)
    {
        foreach ((string knownName, int knownNumber) in Known)
        {
            if (string.Equals(knownName, name, StringComparison.Ordinal))
            {
                number = knownNumber;
                return true;
            }
        }

        number = 0;
        return false;
    }

    internal static string? NameOf(int number)
    {
        foreach ((string knownName, int knownNumber) in Known)
        {
            if (knownNumber == number)
            {
                return knownName;
            }
        }

        return null;
    }
}
