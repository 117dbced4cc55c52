using Dst.Core.Requests;
using Dst.Core.Specs;
using Dst.Interop;
using Dst.IO.Memory;
using Dst.IO.Rings;
using Dst.Nodes.Backings;
using Dst.Nodes.Health;
using Dst.Nodes.Legs;
using Dst.Nodes.Local;
using Xunit;

namespace Dst.Nodes.Tests;

/// <summary>
/// Poison without a kernel that fails: what queue threads, keeper and operator do to each other (C-16).
/// </summary>
public sealed class NodeHealthTests : IDisposable
{
    private readonly string _path = Path.GetTempFileName();

    public void Dispose() => File.Delete(_path);

    [Fact]
    public void A_failure_reported_while_its_mark_is_taken_away_is_not_lost()
    {
        int signals = 0;
        var health = new NodeHealth(() => signals++);
        health.Report(Errno.EIO);
        health.SetPoisoned(Errno.EIO);

        // The operator's clean record is on its way to the disk.
        health.Report(Errno.ENOSPC);
        health.SetLive();
        Assert.Equal(NodeHealthState.Marking, health.State);
        Assert.Equal(2, signals);

        health.SetPoisoned(Errno.ENOSPC);
        health.SetLive();
        Assert.Equal(NodeHealthState.Live, health.State);
    }

    [Theory]
    [InlineData(Operation.Flush, RequestFlags.None)]
    [InlineData(Operation.Write, RequestFlags.Fua)]
    public void Flush_and_FUA_are_answered_only_when_the_mark_is_durable(Operation operation, RequestFlags flags)
    {
        File.WriteAllBytes(_path, new byte[4096]);
        Assert.True(NodeSpec.TryParse($"file:{_path},buffered", out NodeSpec? spec, out string? error), error);
        Backing backing = BackingOpener.OpenFile((FileNodeSpec)spec, new BackingRequest());
        using var node = new BackingNode("file", backing, static () => { });
        using var loop = new RingLoop(Ring.Create(new RingOptions { SubmissionEntries = 8, CompletionEntries = 16 }));
        using NativeBlock buffer = NativeBlock.Allocate(4096, "test");
        LegSlot[] slots =
        [
            new()
            {
                Operation = operation,
                Flags = flags,
                LengthBytes = 4096,
                RemainingBytes = 4096,
                Buffer = buffer.Address,
            },
        ];
        var sink = new Sink();
        using NodeQueue queue = node.CreateQueue(new NodeQueueContext(loop, 0, 0, 0, slots, sink));

        node.Health.Report(Errno.EIO);
        queue.Submit(0, 0);
        ((IRingClient)queue).OnWake(0);
        Assert.Null(sink.Status);

        node.Health.SetPoisoned(Errno.EIO);
        ((IRingClient)queue).OnWake(0);
        Assert.Equal(DstStatus.IoError, sink.Status);
    }

    private sealed class Sink : ILegSink
    {
        public DstStatus? Status { get; private set; }

        public void LegDone(int slot, DstStatus status, long nowTicks) => Status = status;
    }
}
