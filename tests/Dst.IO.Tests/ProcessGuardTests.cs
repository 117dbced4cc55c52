using Dst.Interop;
using Dst.IO.Processes;
using Xunit;

namespace Dst.IO.Tests;

public sealed class ProcessGuardTests
{
    [Fact]
    public void The_limit_of_open_files_is_raised_and_one_that_is_too_low_is_said()
    {
        Assert.Null(ProcessGuard.RaiseOpenFiles(16));
        Assert.Equal(0, Libc.GetLimit(0, LinuxAbi.RLIMIT_NOFILE, out ResourceLimit limit));
        Assert.True(limit.Current == limit.Maximum || limit.Current >= 65536, $"{limit.Current} of {limit.Maximum}");
        Assert.Contains("LimitNOFILE=65536", ProcessGuard.RaiseOpenFiles(long.MaxValue), StringComparison.Ordinal);
    }
}
