using Dst.Interop;
using Dst.Ublk.Control;
using Xunit;

namespace Dst.Ublk.Tests;

/// <summary>A device that the kernel made otherwise than asked for is refused and does not stay (U-11).</summary>
public sealed class AddTests
{
    private const ulong Needed = UblkAbi.UBLK_F_CMD_IOCTL_ENCODE | UblkAbi.UBLK_F_NO_AUTO_PART_SCAN;

    private static UblkDeviceSpec Sample => new()
    {
        Id = -1,
        Queues = 2,
        DepthTags = 128,
        MaxIoBytes = 1 << 20,
        Flags = Needed,
    };

    [Fact]
    public void A_device_as_asked_for_stays_and_has_our_tag()
    {
        FakeChannel kernel = new();
        using UblkControl control = new(kernel);
        UblkDeviceInfo device = control.Add(Sample);
        Assert.Equal((7, Needed, true), (device.Id, device.Flags, device.IsDst));
        Assert.Equal(UblkMaker.Self, device.Maker);
        Assert.Equal([7u], kernel.Devices);
    }

    [Fact]
    public void Flags_beyond_those_asked_for_are_no_reason_to_refuse()
    {
        FakeChannel kernel = new() { Make = asked => asked with { Flags = asked.Flags | UblkAbi.UBLK_F_USER_COPY } };
        using UblkControl control = new(kernel);
        Assert.Equal(Needed | UblkAbi.UBLK_F_USER_COPY, control.Add(Sample).Flags);
        Assert.Equal([7u], kernel.Devices);
    }

    [Fact]
    public void A_flag_that_the_driver_does_not_know_is_refused_before_a_device_is_made()
    {
        FakeChannel kernel = new() { Features = UblkAbi.UBLK_F_CMD_IOCTL_ENCODE };
        using UblkControl control = new(kernel);
        UblkException e = Assert.Throws<UblkException>(() => control.Add(Sample));
        Assert.Equal(
            "ublk: this kernel lacks NO_AUTO_PART_SCAN (Linux 7.0); boot that version or a newer one", e.Message);
        Assert.Equal(Errno.EOPNOTSUPP, e.ErrorNumber);
        Assert.Equal([UblkAbi.UBLK_U_CMD_GET_FEATURES], kernel.Commands);
    }

    [Theory]
    [InlineData(UblkAbi.UBLK_F_NO_AUTO_PART_SCAN, "NO_AUTO_PART_SCAN (Linux 7.0)")]
    [InlineData(Needed, "CMD_IOCTL_ENCODE (Linux 6.4), NO_AUTO_PART_SCAN (Linux 7.0)")]
    public void A_flag_that_is_masked_in_silence_is_refused_with_the_kernel_that_has_it(ulong masked, string named)
    {
        FakeChannel kernel = new() { Make = asked => asked with { Flags = asked.Flags & ~masked } };
        using UblkControl control = new(kernel);
        UblkException e = Assert.Throws<UblkException>(() => control.Add(Sample));
        Assert.Equal($"ublk: this kernel lacks {named}; boot that version or a newer one", e.Message);
        Assert.Equal(Errno.EOPNOTSUPP, e.ErrorNumber);
        Assert.Empty(kernel.Devices);
        Assert.Contains(UblkAbi.UBLK_U_CMD_DEL_DEV, kernel.Commands);
    }

    [Theory]
    [InlineData("queues", "1 queues of 2")]
    [InlineData("depth", "depth 64 of 128")]
    [InlineData("max I/O", "524288 bytes of 1048576")]
    public void A_device_of_another_shape_is_refused(string changed, string named)
    {
        FakeChannel kernel = new()
        {
            Make = asked => changed switch
            {
                "queues" => asked with { NrHwQueues = 1 },
                "depth" => asked with { QueueDepth = 64 },
                _ => asked with { MaxIoBufBytes = 512 << 10 },
            },
        };
        using UblkControl control = new(kernel);
        UblkException e = Assert.Throws<UblkException>(() => control.Add(Sample with { Id = 3 }));
        Assert.Contains(named, e.Message, StringComparison.Ordinal);
        Assert.Empty(kernel.Devices);
    }
}
