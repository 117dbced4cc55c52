using Dst.Target.Helpers;
using Xunit;

namespace Dst.Target.Tests;

/// <summary>A missing control device must not keep the leftovers of a device that the kernel cannot have.</summary>
public sealed class DriverTracesTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("dst-traces-").FullName;

    private string Control => $"{_folder}/ublk-control";

    private string Class => $"{_folder}/class/ublk-char";

    private DriverTraces Traces => new(Control, Class);

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void A_driver_that_is_not_loaded_has_no_device()
    {
        Directory.CreateDirectory($"{_folder}/class");
        Assert.True(Traces.ProveNone());
        Assert.True(Traces.ProveNone(0));
    }

    [Fact]
    public void A_loaded_driver_has_the_devices_of_its_class()
    {
        Directory.CreateDirectory(Class);
        Assert.True(Traces.ProveNone());
        Directory.CreateDirectory($"{Class}/ublkc3");
        Assert.False(Traces.ProveNone());
        Assert.False(Traces.ProveNone(3));
        Assert.True(Traces.ProveNone(33));
    }

    [Fact]
    public void With_a_control_device_or_without_sysfs_nothing_is_proven()
    {
        Assert.False(Traces.ProveNone());
        Directory.CreateDirectory($"{_folder}/class");
        File.WriteAllText(Control, "");
        Assert.False(Traces.ProveNone());
        Assert.False(Traces.ProveNone(0));
    }

    [Theory]
    [InlineData("sweep")]
    [InlineData("delete-device", "0")]
    public void Without_the_driver_there_is_nothing_to_delete(params string[] verb)
    {
        Assert.SkipUnless(new DriverTraces().ProveNone(), "this kernel has the driver");
        Assert.Equal(0, HelperVerbs.Run(verb));
    }
}
