using Dst.Interop;

namespace Dst.IO.Rings;

/// <summary>The system call that makes a ring.</summary>
/// <param name="entries">Submission entries.</param>
/// <param name="parameters">In: what is wanted. Out: what the kernel made of it.</param>
/// <returns>Its file descriptor, or -errno.</returns>
internal delegate int RingSetup(uint entries, ref IoUringParams parameters);

/// <summary>The call that enters a ring; gives entries taken, or -errno.</summary>
internal delegate int RingEnter(int ringFd, uint toSubmit, uint minComplete, uint flags);

/// <summary>How a ring is made.</summary>
public readonly record struct RingOptions
{
    /// <summary>
    /// Submission entries, 1 to <see cref="Ring.SubmissionEntriesMax"/>; the kernel rounds up to a power of two.
    /// </summary>
    public required uint SubmissionEntries { get; init; }

    /// <summary>
    /// Completion entries: at least the number of operations that can be in the kernel at once, so that it never
    /// overflows.
    /// </summary>
    public required uint CompletionEntries { get; init; }

    /// <summary>Entries of 128 bytes, which ublk's control commands need (U-03).</summary>
    public bool LargeSubmissions { get; init; }
}
