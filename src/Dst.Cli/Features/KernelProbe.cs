using Dst.Control;
using Dst.Interop;
using Dst.IO.Rings;
using Dst.Ublk.Control;

namespace Dst.Cli.Features;

/// <summary>Something a kernel may have.</summary>
/// <param name="Group">ublk or io_uring.</param>
/// <param name="Name">The kernel's name of it.</param>
/// <param name="Present">This kernel has it.</param>
/// <param name="Since">First Linux version with it; null when we know none.</param>
internal sealed record Feature(string Group, string Name, bool Present, string? Since);

/// <summary>Asks the running kernel what it can do. Needs no daemon.</summary>
internal interface IKernelProbe
{
    /// <summary>Features of the ublk driver.</summary>
    /// <exception cref="ControlException">It cannot be asked; the text says why and what to do.</exception>
    IReadOnlyList<Feature> Ublk();

    /// <summary>What DST uses of io_uring.</summary>
    /// <exception cref="ControlException">No ring can be made; the text says why and what to do.</exception>
    IReadOnlyList<Feature> IoUring();
}

/// <summary>The kernel below this process.</summary>
internal sealed class KernelProbe : IKernelProbe
{
    private const string UblkGroup = "ublk";
    private const string RingGroup = "io_uring";

    private static readonly (string Name, uint Flag, string Since)[] SetupFlags =
    [
        ("SETUP_COOP_TASKRUN", IoUringAbi.IORING_SETUP_COOP_TASKRUN, "5.19"),
        ("SETUP_SQE128", IoUringAbi.IORING_SETUP_SQE128, "5.19"),
        ("SETUP_SINGLE_ISSUER", IoUringAbi.IORING_SETUP_SINGLE_ISSUER, "6.0"),
        ("SETUP_DEFER_TASKRUN", IoUringAbi.IORING_SETUP_DEFER_TASKRUN, "6.1"),
    ];

    private static readonly (string Name, byte Opcode, string Since)[] Operations =
    [
        ("OP_FSYNC", IoUringAbi.IORING_OP_FSYNC, "5.1"),
        ("OP_TIMEOUT", IoUringAbi.IORING_OP_TIMEOUT, "5.4"),
        ("OP_TIMEOUT_REMOVE", IoUringAbi.IORING_OP_TIMEOUT_REMOVE, "5.5"),
        ("OP_READ", IoUringAbi.IORING_OP_READ, "5.6"),
        ("OP_WRITE", IoUringAbi.IORING_OP_WRITE, "5.6"),
        ("OP_FALLOCATE", IoUringAbi.IORING_OP_FALLOCATE, "5.6"),
        ("OP_URING_CMD", IoUringAbi.IORING_OP_URING_CMD, "5.19"),
    ];

    /// <inheritdoc/>
    public IReadOnlyList<Feature> Ublk()
    {
        try
        {
            using var control = new UblkControl();
            ulong bits = control.Features;
            ulong known = UblkFeatures.All.Aggregate(0UL, (mask, feature) => mask | feature.Bit);
            return
            [
                .. UblkFeatures.All.Select(f => new Feature(UblkGroup, f.Name, (bits & f.Bit) != 0, f.Since)),
                .. UblkFeatures.Names(bits & ~known).Select(name => new Feature(UblkGroup, name, Present: true, null)),
            ];
        }
        catch (UblkException failure)
        {
            throw new ControlException(ControlErrorCode.Failure, failure.Message);
        }
    }

    /// <inheritdoc/>
    public IReadOnlyList<Feature> IoUring()
    {
        try
        {
            using Ring ring = Ring.Create(new RingOptions
            {
                SubmissionEntries = 1,
                CompletionEntries = 2,
                LargeSubmissions = true,
            });
            return
            [
                .. SetupFlags.Select(f => new Feature(RingGroup, f.Name, (ring.SetupFlags & f.Flag) != 0, f.Since)),
                .. Operations.Select(o => new Feature(RingGroup, o.Name, ring.Supports(o.Opcode), o.Since)),
            ];
        }
        catch (RingException failure)
        {
            throw new ControlException(ControlErrorCode.Failure, failure.Message);
        }
    }
}
