using Dst.Core.Requests;
using Dst.Core.Specs;
using Dst.Core.Transactions;
using Dst.Core.Volumes;
using Dst.Interop;
using Dst.IO.Rings;
using Dst.Nodes.Backings;
using Dst.Nodes.Engine;
using Dst.Nodes.Local;
using Dst.Nodes.Tests.Backings;
using Xunit;

namespace Dst.Nodes.Tests;

/// <summary>What a discard leaves of a file (C-18).</summary>
public sealed class DiscardTests
{
    private const int FileBytes = 8 << 20;
    private const int DiscardBytes = 4 << 20;

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_discard_gives_room_back_only_of_a_sparse_file(bool sparse)
    {
        using TemporaryFolder folder = new();
        FileNodeSpec spec = new(folder.File("a"), FileBytes, Sparse: sparse);
        using BackingNode node = new("file", BackingOpener.OpenFile(spec, default), static () => { });
        Assert.True(node.CanDiscard, "the file system of the tests can neither punch nor zero");
        Fill(spec.Path);
        long full = AllocatedBytes(node);
        Assert.True(full >= FileBytes);
        Assert.Equal(DstStatus.Ok, Discard(node));
        Assert.Equal(0, Libc.Fsync(node.Fd));
        long left = AllocatedBytes(node);
        Assert.True(sparse ? left <= full - DiscardBytes : left >= FileBytes, $"{left} of {full} bytes are allocated");
        byte[] data = File.ReadAllBytes(spec.Path);
        Assert.Equal(FileBytes, data.Length);
        Assert.False(data.AsSpan(0, DiscardBytes).ContainsAnyExcept((byte)0));
        Assert.False(data.AsSpan(DiscardBytes).ContainsAnyExcept((byte)7));
    }

    private static void Fill(string path)
    {
        using FileStream file = new(path, FileMode.Open, FileAccess.Write);
        byte[] data = new byte[FileBytes];
        data.AsSpan().Fill(7);
        file.Write(data);
        file.Flush(flushToDisk: true);
    }

    private static long AllocatedBytes(BackingNode node)
    {
        Assert.Equal(0, Libc.Fstatx(node.Fd, LinuxAbi.STATX_BASIC_STATS, out Statx facts));
        return (long)facts.Blocks * 512;
    }

    private static DstStatus Discard(BackingNode node)
    {
        Answer? answer = null;
        Thread thread = new(() =>
        {
            using RingLoop loop = new(Ring.Create(new RingOptions { SubmissionEntries = 8, CompletionEntries = 16 }));
            loop.Ring.RegisterFiles([node.Fd]);
            VolumeMap map = new([FileBytes], 512, 1 << 20);
            VolumeQueueOptions options = new(0, 1, 0, false);
            using VolumeQueue engine = new(loop, map, new FlushLedger(1, 1), [node], options, null);
            answer = new Answer(loop);
            engine.Connect(answer);
            engine.Submit(0, new Request(Operation.Discard, RequestFlags.None, 0, DiscardBytes), 0, 0);
            loop.Run();
        });
        thread.Start();
        Assert.True(thread.Join(TimeSpan.FromMinutes(1)), "the engine hangs");
        return answer!.Status;
    }

    private sealed class Answer(RingLoop loop) : IRequestCompletion
    {
        public DstStatus Status { get; private set; } = DstStatus.IoError;

        public void Complete(int tag, DstStatus status)
        {
            Status = status;
            loop.Stop();
        }
    }
}
