using Dst.Cli.Features;
using Dst.Control;

namespace Dst.Cli.Tests;

/// <summary>A kernel with a few features; a null list is a part that cannot be asked.</summary>
internal sealed class FakeKernel : IKernelProbe
{
    public IReadOnlyList<Feature>? UblkFeatures { get; init; } =
    [
        new("ublk", "USER_COPY", Present: true, "6.5"),
        new("ublk", "SAFE_STOP_DEV", Present: false, "7.0"),
        new("ublk", "bit 40", Present: true, Since: null),
    ];

    public IReadOnlyList<Feature>? RingFeatures { get; init; } = [new("io_uring", "OP_READ", Present: true, "5.6")];

    public IReadOnlyList<Feature> Ublk() => UblkFeatures ?? throw Unknown("no ublk here; run 'modprobe ublk_drv'");

    public IReadOnlyList<Feature> IoUring() => RingFeatures ?? throw Unknown("io_uring: setup failed: EPERM");

    private static ControlException Unknown(string message) => new(ControlErrorCode.Failure, message);
}
