using Dst.Daemon.Kernel;
using Microsoft.Extensions.Logging.Abstractions;
using Xunit;

namespace Dst.Daemon.Tests;

/// <summary>Helpers cost dstd nothing once they have ended.</summary>
public sealed class HelperTests
{
    private const int Runs = 50;

    /// <summary>More than the runs allocate, so that no collection closes what they forgot.</summary>
    private const long UncollectedBytes = 64L << 20;

    private const string Helper =
        """
        #!/bin/sh
        case "$2" in
        hold)
            case "$3" in
            */busy) echo "somebody has it" >&2; exit 5 ;;
            */hang) exec sleep 1000 ;;
            *) echo held; exec cat ;;
            esac ;;
        *) echo out; echo err >&2 ;;
        esac

        """;

    [Fact]
    public async Task Ended_helpers_leave_no_descriptors()
    {
        await using TestBed bed = new();
        await File.WriteAllTextAsync(bed.Options.TargetBinary, Helper, TestContext.Current.CancellationToken);
        HelperRunner helpers = new(bed.Options, NullLogger.Instance);
        await RunEachAsync(helpers);
        int before = Descriptors();
        Assert.True(GC.TryStartNoGCRegion(UncollectedBytes));
        try
        {
            for (int i = 0; i < Runs; i++)
            {
                await RunEachAsync(helpers);
            }

            Assert.InRange(Descriptors(), 0, before + 3);
        }
        finally
        {
            GC.EndNoGCRegion();
        }
    }

    [Fact]
    public async Task A_helper_that_was_killed_leaves_no_descriptors()
    {
        await using TestBed bed = new();
        await File.WriteAllTextAsync(bed.Options.TargetBinary, Helper, TestContext.Current.CancellationToken);
        HelperRunner helpers = new(bed.Options, NullLogger.Instance);
        int before = Descriptors();
        for (int i = 0; i < 5; i++)
        {
            await using DeviceHold hold = await helpers.HoldAsync("/dev/hang", TimeSpan.FromMilliseconds(50));
            Assert.Equal(HoldOutcome.TimedOut, hold.Outcome);
        }

        await TestBed.UntilAsync(() => Descriptors() <= before + 3, "descriptors of killed helpers are closed");
    }

    private static async Task RunEachAsync(HelperRunner helpers)
    {
        HelperResult result = await helpers.RescanAsync("/dev/none");
        Assert.Equal((HelperResult.Done, "out\n", "err"), (result.ExitCode, result.Output, result.Text));
        await using (DeviceHold held = await helpers.HoldAsync("/dev/free", TimeSpan.FromSeconds(20)))
        {
            Assert.Equal(HoldOutcome.Held, held.Outcome);
        }

        await using DeviceHold busy = await helpers.HoldAsync("/dev/busy", TimeSpan.FromSeconds(20));
        Assert.Equal((HoldOutcome.Busy, "somebody has it"), (busy.Outcome, busy.Text));
    }

    private static int Descriptors() => Directory.GetFileSystemEntries("/proc/self/fd").Length;
}
