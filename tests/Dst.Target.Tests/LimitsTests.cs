using Dst.Core.Volumes;
using Dst.IO.Rings;
using Xunit;

namespace Dst.Target.Tests;

/// <summary>Limits of different projects that have to fit each other.</summary>
public sealed class LimitsTests
{
    [Fact]
    public void The_largest_device_fits_the_loop_of_a_queue()
    {
        const int frontendAndEngine = 2;
        const int clientsOfDelay = 2;
        int clients = frontendAndEngine + VolumeLimits.NodesMax + (clientsOfDelay * VolumeLimits.DelayNodesMax);
        Assert.InRange(clients, 1, RingLoop.ClientsMax);
    }
}
