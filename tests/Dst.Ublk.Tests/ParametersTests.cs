using Dst.Interop;
using Dst.Ublk.Control;
using Dst.Ublk.Queues;
using Xunit;

namespace Dst.Ublk.Tests;

public sealed class ParametersTests
{
    private static DeviceParameters Sample => new()
    {
        SizeBytes = 10L << 20,
        BlockSizeBytes = 4096,
        MaxIoBytes = 1 << 20,
        ReadOnly = false,
        VolatileCache = true,
        MaxDiscardBytes = 4L << 20,
        DiscardGranularityBytes = 4096,
        MaxWriteZeroesBytes = 2L << 20,
    };

    [Fact]
    public void Lengths_become_sectors_and_shifts()
    {
        UblkParams kernel = Sample.ToKernel();
        Assert.Equal((20480UL, 2048u, (byte)12), (kernel.Basic.DevSectors, kernel.Basic.MaxSectors, kernel.Basic.LogicalBsShift));
        Assert.Equal(UblkAbi.UBLK_PARAM_TYPE_BASIC | UblkAbi.UBLK_PARAM_TYPE_DISCARD, kernel.Types);
        Assert.Equal((8192u, 4096u, (ushort)1), (kernel.Discard.MaxDiscardSectors, kernel.Discard.MaxWriteZeroesSectors, kernel.Discard.MaxDiscardSegments));
        Assert.Equal(9, (Sample with { BlockSizeBytes = 512 }).ToKernel().Basic.LogicalBsShift);
        Assert.True((Sample with { BlockSizeBytes = 512 }).ToKernel().Basic.PhysicalBsShift >= 9);
    }

    [Theory]
    [InlineData(true, false, UblkAbi.UBLK_ATTR_READ_ONLY)]
    [InlineData(false, true, UblkAbi.UBLK_ATTR_VOLATILE_CACHE | UblkAbi.UBLK_ATTR_FUA)]
    [InlineData(false, false, 0u)]
    public void Attributes_say_what_the_nodes_keep(bool readOnly, bool cache, uint attributes) =>
        Assert.Equal(attributes, (Sample with { ReadOnly = readOnly, VolatileCache = cache }).ToKernel().Basic.Attrs);

    [Fact]
    public void Without_limits_there_are_no_discard_parameters()
    {
        UblkParams kernel = (Sample with { MaxDiscardBytes = 0, MaxWriteZeroesBytes = 0 }).ToKernel();
        Assert.Equal(UblkAbi.UBLK_PARAM_TYPE_BASIC, kernel.Types);
        UblkParams zeroesOnly = (Sample with { MaxDiscardBytes = 0, DiscardGranularityBytes = 0 }).ToKernel();
        Assert.True(zeroesOnly.Discard.DiscardGranularity > 0, "the kernel refuses a granularity of 0");
        Assert.Equal(0u, zeroesOnly.Discard.MaxDiscardSectors);
    }

    [Fact]
    public void The_descriptor_stride_is_that_of_the_deepest_queue() => Assert.Equal(98_304, UblkQueue.DescriptorStrideBytes);

    [Fact]
    public void Missing_features_are_named_with_their_kernel()
    {
        Assert.Null(UblkFeatures.Missing(ulong.MaxValue, UblkAbi.UBLK_F_USER_COPY));
        Assert.Equal("USER_COPY (Linux 6.5)", UblkFeatures.Missing(UblkAbi.UBLK_F_CMD_IOCTL_ENCODE, UblkAbi.UBLK_F_CMD_IOCTL_ENCODE | UblkAbi.UBLK_F_USER_COPY));
        Assert.Equal(["USER_COPY", "bit 63"], UblkFeatures.Names(UblkAbi.UBLK_F_USER_COPY | (1UL << 63)));
        Assert.Equal(UblkFeatures.All.Count, UblkFeatures.All.Select(feature => feature.Bit).Distinct().Count());
    }

    [Fact]
    public void Without_the_driver_the_error_says_what_to_do()
    {
        if (File.Exists("/dev/ublk-control"))
        {
            Assert.Skip("this kernel has ublk");
        }

        UblkException e = Assert.Throws<UblkException>(() => new UblkControl());
        Assert.Contains("modprobe ublk_drv", e.Message, StringComparison.Ordinal);
        Assert.Equal(Errno.ENOENT, e.ErrorNumber);
    }
}
