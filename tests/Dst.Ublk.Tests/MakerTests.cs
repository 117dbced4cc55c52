using System.Diagnostics;
using Dst.Ublk.Control;
using Xunit;

namespace Dst.Ublk.Tests;

/// <summary>Whether the maker of a device lives, and not somebody else under its number.</summary>
public sealed class MakerTests
{
    [Fact]
    public void A_maker_is_found_again_by_its_word()
    {
        UblkMaker self = UblkMaker.Self;
        Assert.Equal(Environment.ProcessId, self.Pid);
        Assert.InRange(self.StartMark, 1, 1023);
        Assert.Equal(self, UblkMaker.FromWord(self.ToWord()));
        Assert.True(self.Lives());
        UblkMaker largest = new((1 << 22) - 1, 1023);
        Assert.Equal(largest, UblkMaker.FromWord(largest.ToWord()));
    }

    [Fact]
    public void A_process_that_got_the_number_later_is_not_the_maker()
    {
        UblkMaker self = UblkMaker.Self;
        Assert.False((self with { StartMark = (self.StartMark % 1023) + 1 }).Lives());
        Assert.True((self with { StartMark = 0 }).Lives());
    }

    [Fact]
    public void A_dead_maker_does_not_live()
    {
        using Process child = Process.Start("/bin/sleep", ["0.5"]);
        Assert.True(new UblkMaker(child.Id, 0).Lives());
        child.WaitForExit();
        Assert.False(new UblkMaker(child.Id, 0).Lives());
    }
}
