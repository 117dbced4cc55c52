using Dst.Hosting.Status;
using Xunit;

namespace Dst.Hosting.Tests;

public sealed class StatusFileTests : IDisposable
{
    private readonly string _path = Directory.CreateTempSubdirectory("dst-status").FullName;

    [Fact]
    public void A_value_is_one_line_and_written_only_when_it_changed()
    {
        using var folder = new StatusFolder(_path);
        StatusFile file = folder.File("reads");
        Assert.True(file.Write(7));
        Assert.Equal("7\n", File.ReadAllText($"{_path}/reads"));
        File.Delete($"{_path}/reads");
        Assert.False(file.Write(7));
        Assert.False(File.Exists($"{_path}/reads"), "an unchanged value must not be written again");
        Assert.True(file.Write(-8));
        Assert.Equal("-8\n", File.ReadAllText($"{_path}/reads"));
        Assert.Equal("reads", Path.GetFileName(Assert.Single(Directory.EnumerateFileSystemEntries(_path))));
    }

    [Fact]
    public void A_text_never_breaks_its_line()
    {
        using var folder = new StatusFolder(_path);
        Assert.True(folder.File("reason").Write("one\ntwo"));
        Assert.Equal("one two\n", File.ReadAllText($"{_path}/reason"));
    }

    [Fact]
    public void A_value_that_could_not_be_written_is_tried_again()
    {
        using var folder = new StatusFolder(_path);
        StatusFile number = folder.File("reads");
        StatusFile text = folder.File("state");
        // Nothing can be written to a name that a folder has.
        Directory.CreateDirectory($"{_path}/.new");
        Assert.True(number.Write(7));
        Assert.True(text.Write("live"));
        Directory.Delete($"{_path}/.new");
        Assert.True(number.Write(7));
        Assert.True(text.Write("live"));
        Assert.False(number.Write(7));
        Assert.Equal("7\nlive\n", File.ReadAllText($"{_path}/reads") + File.ReadAllText($"{_path}/state"));
    }

    [Fact]
    public void Numbers_are_written_without_allocation()
    {
        using var folder = new StatusFolder(_path);
        StatusFile file = folder.File("writes");
        file.Write(1);
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 2; i < 200; i++)
        {
            file.Write(i);
        }

        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
    }

    public void Dispose() => Directory.Delete(_path, recursive: true);
}
