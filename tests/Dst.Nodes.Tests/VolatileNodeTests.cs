using Dst.Core.Requests;
using Dst.Core.Specs;
using Dst.IO.Memory;
using Dst.Nodes.Backings;
using Dst.Nodes.Faults;
using Dst.Nodes.Legs;
using Dst.Nodes.Local;
using Xunit;

namespace Dst.Nodes.Tests;

/// <summary>The disk that forgets: the power cut tests are worth what it is worth.</summary>
public sealed class VolatileNodeTests : IDisposable
{
    private const int Block = 512;
    private const int Blocks = 64;
    private readonly string _path = Path.GetTempFileName();
    private readonly NativeBlock _buffer = NativeBlock.Allocate(Blocks * Block, "test");

    public VolatileNodeTests() => File.WriteAllBytes(_path, new byte[Blocks * Block]);

    public void Dispose()
    {
        _buffer.Dispose();
        File.Delete(_path);
    }

    [Fact]
    public void Only_flush_and_FUA_outlive_a_cut()
    {
        using (VolatileNode node = Open(seed: 0))
        {
            Do(node, Operation.Write, 0, 4, fill: 1);
            Do(node, Operation.Write, 8, 2, fill: 2, RequestFlags.Fua);
            Assert.Equal(1, Read(node, 3));
            Assert.Equal(2, Read(node, 8));
        }

        using (VolatileNode node = Open(seed: 0))
        {
            Assert.Equal(0, Read(node, 3));
            Assert.Equal(2, Read(node, 9));
            Do(node, Operation.Write, 0, 4, fill: 1);
            Do(node, Operation.WriteZeroes, 8, 1, fill: 0);
            Do(node, Operation.Flush, 0, 0, fill: 0);
            Do(node, Operation.Discard, 9, 1, fill: 0);
            Assert.Equal(0, Read(node, 9));
        }

        using (VolatileNode node = Open(seed: 0))
        {
            Assert.Equal(1, Read(node, 3));
            Assert.Equal(0, Read(node, 8));
            Assert.Equal(2, Read(node, 9));
        }
    }

    [Fact]
    public void A_seed_brings_some_blocks_early_and_not_all()
    {
        using (VolatileNode node = Open(seed: 5))
        {
            Do(node, Operation.Write, 0, Blocks, fill: 9);
        }

        using (VolatileNode node = Open(seed: 0))
        {
            int kept = Enumerable.Range(0, Blocks).Count(block => Read(node, block) == 9);
            Assert.InRange(kept, 1, Blocks / 2);
        }
    }

    private VolatileNode Open(int seed)
    {
        Assert.True(NodeSpec.TryParse($"file:{_path},buffered", out NodeSpec? spec, out string? error), error);
        Backing backing = BackingOpener.OpenFile((FileNodeSpec)spec, new BackingRequest());
        return new VolatileNode(seed, new BackingNode("file", backing, static () => { }));
    }

    private unsafe int Read(VolatileNode node, int block)
    {
        Do(node, Operation.Read, block, 1, fill: 0xee);
        return *(byte*)_buffer.Address;
    }

    private void Do(
        VolatileNode node,
        Operation operation,
        int block,
        int count,
        byte fill,
        RequestFlags flags = RequestFlags.None)
    {
        _buffer.AsSpan().Fill(fill);
        LegSlot[] slots =
        [
            new()
            {
                Operation = operation,
                Flags = flags,
                OffsetBytes = block * Block,
                LengthBytes = count * Block,
                RemainingBytes = count * Block,
                Buffer = _buffer.Address,
            },
        ];
        var sink = new Sink();
        using NodeQueue queue = node.CreateQueue(new NodeQueueContext(null!, 0, 0, -1, slots, sink));
        queue.Submit(0, 0);
        Assert.Equal(DstStatus.Ok, sink.Status);
    }

    private sealed class Sink : ILegSink
    {
        public DstStatus? Status { get; private set; }

        public void LegDone(int slot, DstStatus status, long nowTicks) => Status = status;
    }
}
