using Dst.Control;
using Dst.Target.Devices;
using Xunit;

namespace Dst.Target.Tests;

/// <summary>How many queues a device has on the machine where it is.</summary>
public sealed class QueuesTests
{
    [Theory]
    [InlineData(4, 64, 4)]
    [InlineData(4, 4, 4)]
    [InlineData(4, 3, 3)]
    [InlineData(4, 1, 1)]
    public void A_device_that_comes_back_takes_what_the_kernel_gives(int stored, int queuesMax, int expected)
    {
        DeviceRecord record = Record() with { Geometry = Geometry(stored) };
        Assert.Equal(expected, DeviceGeometryRules.QueuesOf(record, queuesMax));
    }

    [Fact]
    public void What_is_asked_for_is_not_made_smaller_in_silence() =>
        Assert.Equal(7, DeviceGeometryRules.QueuesOf(Record(7), queuesMax: 2));

    [Fact]
    public void A_new_device_has_a_queue_for_each_processor_up_to_four() =>
        Assert.Equal(int.Min(Environment.ProcessorCount, 4), DeviceGeometryRules.QueuesOf(Record(), queuesMax: 64));

    private static DeviceRecord Record(int? queues = null) => new()
    {
        Request = new DeviceRequest { Name = "disk", Nodes = ["zero:64M"], Queues = queues },
        Uuid = Guid.Empty,
    };

    private static DeviceGeometry Geometry(int queues) => new()
    {
        UblkId = 0,
        Queues = queues,
        DepthTags = 32,
        MaxIoBytes = 1 << 20,
        BlockSizeBytes = 512,
        SizeBytes = 64 << 20,
        MemoryBytes = 128 << 20,
        ReadOnly = false,
        VolatileCache = false,
        MaxDiscardBytes = 0,
        MaxWriteZeroesBytes = 0,
        DiscardGranularityBytes = 0,
        Nodes = [],
    };
}
