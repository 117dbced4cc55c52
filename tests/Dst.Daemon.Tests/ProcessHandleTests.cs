using System.Diagnostics;
using Dst.Daemon.Kernel;
using Xunit;

namespace Dst.Daemon.Tests;

public sealed class ProcessHandleTests
{
    [Fact]
    public async Task A_process_that_has_ended_can_still_be_told_to_end()
    {
        using Process child = Process.Start("/bin/sleep", ["1000"]);
        ProcessHandle handle = ProcessHandle.Open(child.Id)!;
        Assert.False(await handle.WaitAsync(TimeSpan.FromMilliseconds(100)));
        handle.Kill();
        Assert.True(await handle.WaitAsync(TimeSpan.FromSeconds(20)));
        await child.WaitForExitAsync(TestContext.Current.CancellationToken);

        // The watcher closes the handle; killing meanwhile or afterwards reaches nobody and throws nothing.
        for (int i = 0; i < 50; i++)
        {
            handle.Kill();
            await Task.Delay(1, TestContext.Current.CancellationToken);
        }
    }
}
