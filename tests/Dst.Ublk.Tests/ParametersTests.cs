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
        Assert.Equal(
            (20480UL, 2048u, (byte)12),
            (kernel.Basic.DevSectors, kernel.Basic.MaxSectors, kernel.Basic.LogicalBsShift));
        Assert.Equal(UblkAbi.UBLK_PARAM_TYPE_BASIC | UblkAbi.UBLK_PARAM_TYPE_DISCARD, kernel.Types);
        UblkParamDiscard discard = kernel.Discard;
        Assert.Equal(
            (8192u, 4096u, (ushort)1),
            (discard.MaxDiscardSectors, discard.MaxWriteZeroesSectors, discard.MaxDiscardSegments));
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
    public void Parameters_are_read_back_after_they_were_set()
    {
        FakeChannel kernel = new() { Keep = WithDeviceNumbers };
        using UblkControl control = new(kernel);
        control.SetParameters(3, Sample.ToKernel());
        control.SetParameters(3, (Sample with { MaxDiscardBytes = 0, MaxWriteZeroesBytes = 0 }).ToKernel());
        uint[] both = [UblkAbi.UBLK_U_CMD_SET_PARAMS, UblkAbi.UBLK_U_CMD_GET_PARAMS];
        Assert.Equal([.. both, .. both], kernel.Commands);
    }

    [Theory]
    [InlineData("attributes 4 instead of 12")]
    [InlineData("sectors 20472 instead of 20480")]
    [InlineData("max sectors 8 instead of 2048")]
    [InlineData("parts 1 instead of 3")]
    [InlineData("discard granularity 512 instead of 4096")]
    [InlineData("write-zeroes sectors 0 instead of 4096")]
    public void Parameters_that_the_kernel_changed_are_refused(string difference)
    {
        FakeChannel kernel = new() { Keep = given => WithDeviceNumbers(Changed(given, difference)) };
        using UblkControl control = new(kernel);
        UblkException e = Assert.Throws<UblkException>(() => control.SetParameters(3, Sample.ToKernel()));
        Assert.Contains($"parameters of device 3: {difference};", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void The_descriptor_stride_is_that_of_the_deepest_queue() =>
        Assert.Equal(98_304, UblkQueue.DescriptorStrideBytes);

    [Fact]
    public void Missing_features_are_named_with_their_kernel()
    {
        Assert.Null(UblkFeatures.Missing(ulong.MaxValue, UblkAbi.UBLK_F_USER_COPY));
        const ulong Has = UblkAbi.UBLK_F_CMD_IOCTL_ENCODE;
        Assert.Equal("USER_COPY (Linux 6.5)", UblkFeatures.Missing(Has, Has | UblkAbi.UBLK_F_USER_COPY));
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

    private static UblkParams WithDeviceNumbers(UblkParams given)
    {
        given.Types |= UblkAbi.UBLK_PARAM_TYPE_DEVT;
        given.Devt.DiskMajor = 259;
        return given;
    }

    private static UblkParams Changed(UblkParams given, string difference)
    {
        switch (difference.Split(' ')[0])
        {
            case "attributes":
                given.Basic.Attrs &= ~UblkAbi.UBLK_ATTR_FUA;
                break;
            case "sectors":
                given.Basic.DevSectors -= 8;
                break;
            case "max":
                given.Basic.MaxSectors = 8;
                break;
            case "parts":
                given.Types &= ~UblkAbi.UBLK_PARAM_TYPE_DISCARD;
                break;
            case "discard":
                given.Discard.DiscardGranularity = 512;
                break;
            default:
                given.Discard.MaxWriteZeroesSectors = 0;
                break;
        }

        return given;
    }
}
