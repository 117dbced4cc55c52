using Dst.Ublk.Control;
using Xunit;

namespace Dst.Ublk.Tests;

/// <summary>What the kernel's list of processors says.</summary>
public sealed class PossibleProcessorsTests
{
    [Theory]
    [InlineData("0\n", 1)]
    [InlineData("0-3\n", 4)]
    [InlineData("0,2-3\n", 4)]
    [InlineData("0-1,7\n", 8)]
    [InlineData("", null)]
    [InlineData("0-\n", null)]
    [InlineData("0-2147483647", null)]
    public void The_last_number_counts(string list, int? expected) =>
        Assert.Equal(expected, PossibleProcessors.CountOf(list));

    [Fact]
    public void There_are_no_more_online_than_possible() =>
        Assert.InRange(Environment.ProcessorCount, 1, PossibleProcessors.Count());
}
