using CsCheck;
using Dst.Core.Specs;
using Xunit;

namespace Dst.Core.Tests;

public sealed class ByteSizeTests
{
    [Theory]
    [InlineData("0", 0)]
    [InlineData("512", 512)]
    [InlineData("007", 7)]
    [InlineData("1K", 1024)]
    [InlineData("64M", 64L << 20)]
    [InlineData("4G", 4L << 30)]
    [InlineData("3T", 3L << 40)]
    [InlineData("8388607T", 8388607L << 40)]
    [InlineData("9223372036854775807", long.MaxValue)]
    public void Size_is_read(string text, long bytes)
    {
        Assert.True(ByteSize.TryParse(text, out long read, out string? error), error);
        Assert.Equal(bytes, read);
        Assert.Null(error);
    }

    [Theory]
    [InlineData("", "missing")]
    [InlineData("K", "a number must come before K")]
    [InlineData("-1", "negative")]
    [InlineData("-5G", "negative")]
    [InlineData("+1", "whole number")]
    [InlineData("1.5x", "whole number")]
    [InlineData("1.5G", "1536M")]
    [InlineData("1x", "K, M, G or T")]
    [InlineData("1k", "K, M, G or T")]
    [InlineData("1KB", "K, M, G or T")]
    [InlineData("1 K", "whole number")]
    [InlineData(" 1", "whole number")]
    [InlineData("1P", "K, M, G or T")]
    [InlineData("0x10", "whole number")]
    [InlineData("1_000", "whole number")]
    [InlineData("1,000", "whole number")]
    [InlineData("\u0661", "whole number")]
    [InlineData("9999999T", "larger than 2^63-1")]
    [InlineData("8388608T", "larger than 2^63-1")]
    [InlineData("9223372036854775808", "larger than 2^63-1")]
    [InlineData("99999999999999999999999999", "larger than 2^63-1")]
    [InlineData("1\n", "\\u000a")]
    public void What_is_no_size_is_refused_with_the_reason(string text, string reason)
    {
        Assert.False(ByteSize.TryParse(text, out long bytes, out string? error));
        Assert.Contains(reason, error, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', error);
        Assert.InRange(bytes, 0, long.MaxValue);
    }

    [Theory]
    [InlineData(0, "0", "0 B")]
    [InlineData(1000, "1000", "1000 B")]
    [InlineData(1024, "1K", "1 KiB")]
    [InlineData(1536, "1536", "1.5 KiB")]
    [InlineData(1536L << 20, "1536M", "1.5 GiB")]
    [InlineData(4L << 30, "4G", "4 GiB")]
    [InlineData(1L << 50, "1024T", "1024 TiB")]
    [InlineData((1L << 30) - 1, "1073741823", "1023.9 MiB")]
    [InlineData(long.MaxValue, "9223372036854775807", "8388607.9 TiB")]
    public void Size_is_written(long bytes, string spec, string forPeople)
    {
        Assert.Equal(spec, ByteSize.ToSpec(bytes));
        Assert.Equal(forPeople, ByteSize.Format(bytes));
    }

    [Fact]
    public void Written_sizes_are_read_back() =>
        Gen.Select(Gen.Long[0, long.MaxValue], Gen.Int[0, 62]).Sample((bits, shift) =>
        {
            long bytes = bits >> shift;
            Assert.True(ByteSize.TryParse(ByteSize.ToSpec(bytes), out long read, out string? error), error);
            Assert.Equal(bytes, read);
        });
}
