using Dst.Cli.Features;

namespace Dst.Cli.Tests;

public sealed class FeaturesTests
{
    [Fact]
    public async Task FeaturesAreATable()
    {
        const string Expected = """
            GROUP     FEATURE        HERE  SINCE
            kernel    unknown        yes   -
            ublk      USER_COPY      yes   6.5
            ublk      SAFE_STOP_DEV  no    7.0
            ublk      bit 40         yes   -
            io_uring  OP_READ        yes   5.6

            """;
        Assert.Equal(Expected, (await Cli.RunAsync(new Setting(), "features")).Succeeds());
    }

    [Fact]
    public async Task WhatCannotBeAskedIsToldAndNotShownAsAbsent()
    {
        var setting = new Setting { Probe = new FakeKernel { UblkFeatures = null } };
        Outcome text = await Cli.RunAsync(setting, "features");
        Assert.Equal((1, "dstctl: no ublk here; run 'modprobe ublk_drv'\n"), (text.ExitCode, text.Error));
        Assert.DoesNotContain("USER_COPY", text.Output, StringComparison.Ordinal);
        Outcome json = await Cli.RunAsync(setting, "features", "--json");
        Assert.Equal(1, json.ExitCode);
        Assert.Equal(
            """
            {
              "schema": 2,
              "kernel": "unknown",
              "features": [
                {
                  "group": "io_uring",
                  "name": "OP_READ",
                  "present": true,
                  "since": "5.6"
                }
              ],
              "errors": [
                "no ublk here; run 'modprobe ublk_drv'"
              ]
            }

            """,
            json.Output);
    }

    [Fact]
    public void TheRunningKernelKnowsTheOperationsThatItsReleaseHas()
    {
        IReadOnlyList<Feature> features = new KernelProbe().IoUring();
        Version kernel = Version.Parse(Environment.OSVersion.Version.ToString(2));
        Assert.All(features, feature =>
        {
            if (kernel >= Version.Parse(feature.Since!))
            {
                Assert.True(feature.Present, feature.Name);
            }
        });
    }
}
