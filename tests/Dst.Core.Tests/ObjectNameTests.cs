using Dst.Core.Specs;
using Xunit;

namespace Dst.Core.Tests;

public sealed class ObjectNameTests
{
    [Theory]
    [InlineData("a")]
    [InlineData("0")]
    [InlineData("disk-1.old_B")]
    [InlineData("a..")]
    public void Name_is_taken(string name) => Assert.True(ObjectName.TryCheck(name, out _));

    [Fact]
    public void Sixty_four_characters_are_taken_and_no_more()
    {
        Assert.True(ObjectName.TryCheck(new string('x', 64), out _));
        Assert.False(ObjectName.TryCheck(new string('x', 65), out string? error));
        Assert.Contains("65 characters, at most 64", error, StringComparison.Ordinal);
        Assert.False(ObjectName.TryCheck(new string('x', 300), out error));
        Assert.True(error!.Length < 200);
    }

    [Theory]
    [InlineData("", "missing")]
    [InlineData("..", "start with a letter")]
    [InlineData(".a", "start with a letter")]
    [InlineData("-a", "start with a letter")]
    [InlineData("_a", "start with a letter")]
    [InlineData("a/b", "'/'")]
    [InlineData("a b", "' '")]
    [InlineData("a\n", "\\u000a")]
    [InlineData("ä", "start with a letter")]
    [InlineData("aı", "'ı'")]
    [InlineData("a\u0661", "is not allowed")]
    [InlineData("a\0", "\\u0000")]
    public void What_is_no_name_is_refused_with_the_reason(string name, string reason)
    {
        Assert.False(ObjectName.TryCheck(name, out string? error));
        Assert.Contains(reason, error, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', error);
    }
}
