using Dst.Interop;
using Dst.Target.Helpers;
using Dst.Ublk.Control;
using Xunit;

namespace Dst.Target.Tests;

/// <summary>Which kernel devices a helper may delete.</summary>
public sealed class DeadDeviceTests
{
    [Theory]
    [InlineData(false, false, UblkAbi.UBLK_S_DEV_DEAD, "Foreign")]
    [InlineData(true, true, UblkAbi.UBLK_S_DEV_LIVE, "Served")]
    [InlineData(true, true, UblkAbi.UBLK_S_DEV_DEAD, "Served")]
    [InlineData(true, false, UblkAbi.UBLK_S_DEV_LIVE, "Ending")]
    [InlineData(true, false, UblkAbi.UBLK_S_DEV_DEAD, "Dead")]
    public void Only_what_a_dead_maker_left_and_the_kernel_has_let_go_of_is_deleted(
        bool isDst, bool makerLives, int state, string verdict)
    {
        UblkDeviceInfo info = new(5, state, 1, 0, isDst, new UblkMaker(1, 0));
        Assert.Equal(verdict, DeadDevice.Judge(info, makerLives).ToString());
    }
}
