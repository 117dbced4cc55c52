using System.Diagnostics;
using Dst.Interop;
using Dst.IO.Measure;
using Dst.IO.Memory;
using Dst.IO.Rings;
using Xunit;

namespace Dst.IO.Tests;

public sealed unsafe class RingTests
{
    private static Ring NewRing(uint submissions = 8, uint completions = 64) =>
        Ring.Create(new RingOptions { SubmissionEntries = submissions, CompletionEntries = completions });

    [Fact]
    public void Every_entry_completes_with_its_own_user_data()
    {
        using Ring ring = NewRing();
        var seen = new HashSet<ulong>();
        for (ulong round = 0; round < 1000; round++)
        {
            for (ulong i = 0; i < 5; i++)
            {
                IoUringSqe* sqe = ring.NextSqe();
                sqe->Opcode = (byte)IoUringAbi.IORING_OP_NOP;
                sqe->UserData = (round * 5) + i;
            }

            ring.SubmitAndWait(5);
            while (ring.TryTake(out IoUringCqe cqe))
            {
                Assert.Equal(0, cqe.Res);
                Assert.True(seen.Add(cqe.UserData));
            }
        }

        Assert.Equal(5000, seen.Count);
        Assert.Equal(0u, ring.DroppedCompletions);
    }

    [Fact]
    public void More_entries_than_the_ring_holds_are_submitted_on_the_way()
    {
        using Ring ring = NewRing(submissions: 4, completions: 256);
        for (int i = 0; i < 200; i++)
        {
            ring.NextSqe()->Opcode = (byte)IoUringAbi.IORING_OP_NOP;
        }

        int taken = 0;
        while (taken < 200)
        {
            ring.SubmitAndWait(1);
            while (ring.TryTake(out _))
            {
                taken++;
            }
        }

        Assert.Equal(200, taken);
        Assert.False(ring.HasCompletions);
    }

    [Fact]
    public void Reads_and_writes_on_a_fixed_file_move_the_bytes()
    {
        int fd = Libc.MemfdCreate("ring-test\0"u8, 0);
        Assert.True(fd >= 0);
        using Ring ring = NewRing();
        ring.RegisterFiles([fd]);
        using NativeBlock block = NativeBlock.Allocate(8192, "test");
        block.AsSpan()[..4096].Fill(0xa5);
        Assert.Equal(4096, Transfer(ring, IoUringAbi.IORING_OP_WRITE, block.Address));
        Assert.Equal(4096, Transfer(ring, IoUringAbi.IORING_OP_READ, block.Address + 4096));
        Assert.Equal(-1, block.AsSpan()[4096..].IndexOfAnyExcept((byte)0xa5));
        _ = Libc.Close(fd);
    }

    [Fact]
    public void Probing_tells_known_opcodes_from_unknown_ones()
    {
        using Ring ring = NewRing();
        Assert.True(ring.Supports((byte)IoUringAbi.IORING_OP_READ));
        Assert.True(ring.Supports((byte)IoUringAbi.IORING_OP_URING_CMD));
        Assert.False(ring.Supports(255));
    }

    [Fact]
    public void The_large_ring_has_entries_of_128_bytes()
    {
        using Ring ring = Ring.Create(
            new RingOptions { SubmissionEntries = 4, CompletionEntries = 8, LargeSubmissions = true });
        byte* first = (byte*)ring.NextSqe();
        byte* second = (byte*)ring.NextSqe();
        Assert.Equal(128, second - first);
        Assert.NotEqual(0u, ring.SetupFlags & IoUringAbi.IORING_SETUP_SQE128);
    }

    [Fact]
    public void Wakes_from_other_threads_reach_every_client_and_are_never_lost()
    {
        const int Wakes = 2000;
        int sent = 0;
        var client = new CountingClient(() => Volatile.Read(ref sent) == Wakes);
        RingLoop? loop = null;
        using var ready = new ManualResetEventSlim();
        var thread = new Thread(() =>
        {
            loop = new RingLoop(NewRing());
            client.Loop = loop;
            loop.Add(client);
            ready.Set();
            loop.Run();
        });
        thread.Start();
        ready.Wait(TestContext.Current.CancellationToken);
        for (int i = 0; i < Wakes; i++)
        {
            Interlocked.Increment(ref sent);
            loop!.Wake();
        }

        Assert.True(thread.Join(TimeSpan.FromSeconds(20)), "the last wake was lost");
        Assert.InRange(client.Wakes, 1, Wakes);
        loop!.Dispose();
    }

    [Fact]
    public void A_turning_loop_allocates_nothing()
    {
        using var loop = new RingLoop(NewRing());
        var client = new NopClient(loop, count: 200_000);
        client.Number = loop.Add(client);
        client.Issue();
        long before = GC.GetAllocatedBytesForCurrentThread();
        loop.Run();
        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
        Assert.Equal(0, client.Left);
    }

    [Fact]
    public void An_armed_signal_wakes_its_sleeper_once()
    {
        using var signal = new ActivitySignal();
        signal.Touch();
        var clock = Stopwatch.StartNew();
        signal.Wait(50);
        Assert.True(clock.ElapsedMilliseconds >= 40, "an unarmed signal must not wake");
        signal.Arm();
        signal.Touch();
        signal.Touch();
        signal.Wait(10_000);
        clock.Restart();
        signal.Wait(50);
        Assert.True(clock.ElapsedMilliseconds >= 40, "the second touch must not wake again");
    }

    private static int Transfer(Ring ring, uint opcode, nint address)
    {
        IoUringSqe* sqe = ring.NextSqe();
        sqe->Opcode = (byte)opcode;
        sqe->Flags = (byte)IoUringAbi.IOSQE_FIXED_FILE;
        sqe->Fd = 0;
        sqe->Addr = (ulong)address;
        sqe->Len = 4096;
        ring.SubmitAndWait(1);
        Assert.True(ring.TryTake(out IoUringCqe cqe));
        return cqe.Res;
    }

    private sealed class CountingClient(Func<bool> isLast) : IRingClient
    {
        public RingLoop? Loop { get; set; }

        public int Wakes { get; private set; }

        public void OnCompletion(ulong token, int result, long nowTicks)
        {
        }

        public void OnWake(long nowTicks)
        {
            Wakes++;
            if (isLast())
            {
                Loop!.Stop();
            }
        }
    }

    private sealed class NopClient(RingLoop loop, int count) : IRingClient
    {
        private int _left = count;

        public int Left => _left;

        public byte Number { get; set; }

        public void Issue()
        {
            IoUringSqe* sqe = loop.Ring.NextSqe();
            sqe->Opcode = (byte)IoUringAbi.IORING_OP_NOP;
            sqe->UserData = RingLoop.UserData(Number, 7);
        }

        public void OnCompletion(ulong token, int result, long nowTicks)
        {
            if (--_left == 0 || token != 7)
            {
                loop.Stop();
            }
            else
            {
                Issue();
            }
        }

        public void OnWake(long nowTicks)
        {
        }
    }
}
