using Xunit;

namespace Dst.Interop.Tests;

public sealed class ErrnoTests
{
    [Theory]
    [InlineData(Errno.EIO, "EIO (input/output error)")]
    [InlineData(-Errno.EIO, "EIO (input/output error)")]
    [InlineData(Errno.ENOSPC, "ENOSPC (no space left on device)")]
    public void An_error_is_described_for_people(int errno, string expected) =>
        Assert.Equal(expected, Errno.Describe(errno));

    [Theory]
    [InlineData(4711, "errno 4711")]
    [InlineData(0, "errno 0")]
    [InlineData(int.MinValue, "errno -2147483648")]
    public void A_number_without_a_name_stays_a_number(int errno, string expected)
    {
        Assert.Equal(expected, Errno.Name(errno));
        Assert.StartsWith(expected, Errno.Describe(errno), StringComparison.Ordinal);
    }

    [Fact]
    public void An_abbreviation_at_the_head_of_the_meaning_keeps_its_case() =>
        Assert.Equal("EDOTDOT (RFS specific error)", Errno.Describe(Errno.EDOTDOT));
}
