using Dst.Interop;
using Dst.Nodes.Marks;
using Dst.Target.Helpers;
using Xunit;

namespace Dst.Target.Tests;

/// <summary>The verbs that work on files.</summary>
public sealed class HelperVerbsTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("dst-verbs-").FullName;

    private string Marks => $"{_folder}/a.marks";

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void Marks_are_cleared_one_by_one_or_all()
    {
        using (NodeMarks marks = NodeMarks.Create(Marks))
        {
            Assert.Equal(0, marks.Poison(1, Errno.EIO) + marks.Poison(5, Errno.EIO) + marks.Poison(63, Errno.ENOSPC));
        }

        Assert.Equal(0, HelperVerbs.Run(["clear-error", Marks, "5"]));
        Assert.Equal([1, 63], Poisoned());
        Assert.Equal(0, HelperVerbs.Run(["clear-error", Marks, "6"]));
        Assert.Equal([1, 63], Poisoned());
        Assert.Equal(0, HelperVerbs.Run(["clear-error", Marks]));
        Assert.Empty(Poisoned());
    }

    [Fact]
    public void A_damaged_mark_can_be_cleared_and_sound_records_are_not_written()
    {
        NodeMarks.Create(Marks).Dispose();
        byte[] bytes = File.ReadAllBytes(Marks);
        bytes[NodeMarks.RecordBytes + 20] ^= 1;
        File.WriteAllBytes(Marks, bytes);
        Assert.Equal([1], Poisoned());
        Assert.Equal(0, HelperVerbs.Run(["clear-error", Marks]));
        Assert.Empty(Poisoned());
        Assert.Equal(bytes[..NodeMarks.RecordBytes], File.ReadAllBytes(Marks)[..NodeMarks.RecordBytes]);
    }

    [Fact]
    public void Marks_of_a_device_that_is_served_are_left_to_its_target()
    {
        using NodeMarks marks = NodeMarks.Create(Marks);
        marks.Poison(5, Errno.EIO);
        Assert.Equal(5, HelperVerbs.Run(["clear-error", Marks]));
        Assert.Equal([5], Poisoned());
    }

    [Theory]
    [InlineData(2, "64")]
    [InlineData(2, "-1")]
    [InlineData(2, "one")]
    [InlineData(1, "0")]
    public void What_cannot_be_cleared_is_refused_and_makes_no_file(int exitCode, string index)
    {
        Assert.Equal(exitCode, HelperVerbs.Run(["clear-error", Marks, index]));
        Assert.False(File.Exists(Marks));
    }

    private int[] Poisoned()
    {
        using NodeMarks marks = NodeMarks.Open(Marks);
        return [.. Enumerable.Range(0, NodeMarks.MaxNodes).Where(i => marks[i].IsPoisoned)];
    }
}
