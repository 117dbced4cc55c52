using System.Globalization;
using Dst.Core.Requests;
using Dst.Interop;
using Dst.IO.Rings;
using Dst.Ublk.Queues;
using Xunit;

namespace Dst.Ublk.Tests;

/// <summary>The buffers of a queue's requests are in memory and stay there (U-08).</summary>
public sealed class QueueMemoryTests
{
    [Fact]
    public void All_buffers_of_a_queue_are_locked_from_its_making_to_its_end()
    {
        const int DepthTags = 16;
        const int MaxIoBytes = 256 << 10;

        // In place of the character device: what a queue maps of it are its descriptors.
        int device = Libc.MemfdCreate("descriptors\0"u8, LinuxAbi.MFD_CLOEXEC);
        Assert.Equal(0, Libc.Ftruncate(device, UblkQueue.DescriptorStrideBytes));
        using (RingLoop loop = new(Ring.Create(new RingOptions { SubmissionEntries = 16, CompletionEntries = 64 })))
        {
            long before = LockedBytes();
            using (new UblkQueue(loop, device, new NoRequests(), 0, DepthTags, MaxIoBytes))
            {
                Assert.Equal(DepthTags * MaxIoBytes, LockedBytes() - before);
            }

            Assert.Equal(before, LockedBytes());
        }

        _ = Libc.Close(device);
    }

    /// <summary>Memory of this process that is there and locked. No other test of this project locks any.</summary>
    private static long LockedBytes() => File.ReadLines("/proc/self/smaps")
        .Where(line => line.StartsWith("Locked:", StringComparison.Ordinal))
        .Sum(line => 1024 * long.Parse(
            line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture));

    private sealed class NoRequests : IRequestHandler
    {
        public void Submit(int tag, in Request request, nint buffer, long nowTicks) =>
            Assert.Fail("no request was sent");
    }
}
