using Dst.Core.Specs;

namespace Dst.Nodes.Backings;

/// <summary>
/// Opens what local nodes are made of and checks everything that can be checked before the first I/O. Blocks, allocates
/// and reads /sys and /proc: for start-up only, on any thread but those of the data plane.
/// </summary>
public static class BackingOpener
{
    /// <summary>
    /// Opens a file, or makes it when a size is given and it is not there (D-10, D-11, U-28, C-13, C-18, C-20).
    /// </summary>
    /// <param name="spec">What the user wrote.</param>
    /// <param name="request">What the device wants.</param>
    /// <returns>The backing; the caller disposes it.</returns>
    /// <exception cref="BackingException">It cannot be used; the message is for people.</exception>
    /// <exception cref="OperationCanceledException">The request was cancelled.</exception>
    public static Backing OpenFile(FileNodeSpec spec, in BackingRequest request) =>
        new FileOpening(spec, request, HostView.Real).Open();

    /// <summary>Opens a disk or partition, exclusively (D-10, D-11, U-28, C-13, C-20).</summary>
    /// <inheritdoc cref="OpenFile"/>
    public static Backing OpenDisk(DeviceNodeSpec spec, in BackingRequest request) =>
        new DiskOpening(spec, request, HostView.Real).Open();
}
