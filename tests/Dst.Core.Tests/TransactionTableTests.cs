using Dst.Core.Requests;
using Dst.Core.Transactions;
using Dst.Core.Volumes;
using Xunit;

namespace Dst.Core.Tests;

public sealed class TransactionTableTests
{
    private const int Block = 512;
    private const int MaxRequest = 4096;
    private const long NodeBytes = 8192;
    private const int NodeCount = 3;

    private readonly VolumeMap _map = new([NodeBytes, NodeBytes, NodeBytes], Block, MaxRequest);
    private readonly FlushLedger _ledger = new(NodeCount, 2);
    private readonly TransactionTable _table;

    public TransactionTableTests() => _table = new TransactionTable(_map, _ledger, 0, 4);

    private static Request Write(long offset, long length, RequestFlags flags = RequestFlags.None) =>
        new(Operation.Write, flags, offset, length);

    private static Request Flush => new(Operation.Flush, RequestFlags.None, 0, 0);

    private static DstStatus Complete(TransactionTable table, int tag, int legCount, DstStatus status = DstStatus.Ok)
    {
        DstStatus final = DstStatus.Ok;
        for (int leg = 0; leg < legCount; leg++)
        {
            Assert.Equal(leg == legCount - 1, table.LegDone(tag, leg, status, out final));
        }

        return final;
    }

    private void MakeClean()
    {
        int legs = _table.Begin(0, Flush).LegCount;
        Assert.Equal(DstStatus.Ok, legs == 0 ? DstStatus.Ok : Complete(_table, 0, legs));
    }

    [Theory]
    [InlineData(Operation.Read, 0, 0)]
    [InlineData(Operation.Read, 0, -512)]
    [InlineData(Operation.Read, -512, 512)]
    [InlineData(Operation.Read, 1, 512)]
    [InlineData(Operation.Read, 0, 513)]
    [InlineData(Operation.Read, 0, MaxRequest + 512)]
    [InlineData(Operation.Write, 0, MaxRequest + 512)]
    [InlineData(Operation.Read, 3 * NodeBytes, 512)]
    [InlineData(Operation.Read, 3 * NodeBytes - 512, 1024)]
    [InlineData(Operation.Write, long.MaxValue - 511, 512)]
    [InlineData(Operation.Write, 512, long.MaxValue)]
    [InlineData(Operation.Write, long.MinValue, long.MinValue)]
    [InlineData(Operation.Discard, 0, NodeBytes + 512)]
    [InlineData(Operation.WriteZeroes, 0, NodeBytes + 512)]
    [InlineData(Operation.WriteZeroes, 512, 100)]
    public void Wrong_range_is_refused_and_the_tag_stays_free(Operation operation, long offset, long length)
    {
        BeginResult result = _table.Begin(1, new Request(operation, RequestFlags.None, offset, length));
        Assert.True(result.IsFinal);
        Assert.Equal(DstStatus.Invalid, result.Status);
        Assert.False(_table.IsInFlight(1));
        Assert.Equal(0, _table.InFlightCount);
        Assert.Equal(1, _table.Begin(1, Write(0, 512)).LegCount);
    }

    [Theory]
    [InlineData(Operation.Read, 3 * NodeBytes - MaxRequest, MaxRequest)]
    [InlineData(Operation.Write, 3 * NodeBytes - 512, 512)]
    [InlineData(Operation.Discard, 0, NodeBytes)]
    [InlineData(Operation.WriteZeroes, NodeBytes + 512, NodeBytes)]
    public void Largest_and_last_ranges_are_taken(Operation operation, long offset, long length) =>
        Assert.False(_table.Begin(1, new Request(operation, RequestFlags.None, offset, length)).IsFinal);

    [Fact]
    public void Unknown_operation_is_not_supported() =>
        Assert.Equal(DstStatus.NotSupported, _table.Begin(0, new Request((Operation)9, RequestFlags.None, 0, 512)).Status);

    [Theory]
    [InlineData(Operation.Write, DstStatus.ReadOnly)]
    [InlineData(Operation.Discard, DstStatus.ReadOnly)]
    [InlineData(Operation.WriteZeroes, DstStatus.ReadOnly)]
    [InlineData(Operation.Read, DstStatus.Ok)]
    [InlineData(Operation.Flush, DstStatus.Ok)]
    public void Read_only_volume_takes_no_change(Operation operation, DstStatus expected)
    {
        TransactionTable table = new(_map, _ledger, 0, 4, readOnly: true);
        Assert.Equal(expected, table.Begin(0, new Request(operation, RequestFlags.None, 0, 512)).Status);
    }

    [Theory]
    [InlineData(0, 1)]
    [InlineData(1, 0)]
    public void First_error_wins_and_both_legs_are_awaited(int firstLeg, int secondLeg)
    {
        Assert.Equal(2, _table.Begin(2, Write(NodeBytes - 512, 1024)).LegCount);
        Assert.False(_table.LegDone(2, firstLeg, DstStatus.NoSpace, out _));
        Assert.True(_table.IsInFlight(2));
        Assert.True(_table.LegDone(2, secondLeg, DstStatus.MediumError, out DstStatus final));
        Assert.Equal(DstStatus.NoSpace, final);
        Assert.False(_table.IsInFlight(2));
    }

    [Fact]
    public void Error_of_the_last_leg_counts_too()
    {
        _table.Begin(2, Write(NodeBytes - 512, 1024));
        Assert.False(_table.LegDone(2, 0, DstStatus.Ok, out _));
        Assert.True(_table.LegDone(2, 1, DstStatus.TimedOut, out DstStatus final));
        Assert.Equal(DstStatus.TimedOut, final);
        _table.Begin(2, Write(0, 512));
        Assert.True(_table.LegDone(2, 0, DstStatus.Ok, out final));
        Assert.Equal(DstStatus.Ok, final);
    }

    [Fact]
    public void Leg_done_twice_ends_the_process()
    {
        _table.Begin(3, Write(NodeBytes - 512, 1024));
        _table.LegDone(3, 1, DstStatus.Ok, out _);
        string message = MustFail.Message(() => _table.LegDone(3, 1, DstStatus.Ok, out _));
        Assert.Contains("queue 0 tag 3 leg 1", message, StringComparison.Ordinal);
        Assert.Contains("Write", message, StringComparison.Ordinal);
    }

    [Fact]
    public void Leg_of_a_free_tag_or_beyond_ends_the_process()
    {
        MustFail.Message(() => _table.LegDone(0, 0, DstStatus.Ok, out _));
        _table.Begin(0, Write(0, 512));
        MustFail.Message(() => _table.LegDone(0, 1, DstStatus.Ok, out _));
        MustFail.Message(() => _table.LegDone(0, 64, DstStatus.Ok, out _));
        MustFail.Message(() => _table.LegDone(0, -1, DstStatus.Ok, out _));
        MustFail.Message(() => _table.LegAt(0, 1));
        MustFail.Message(() => _table.LegDone(4, 0, DstStatus.Ok, out _));
        MustFail.Message(() => _table.Begin(-1, Write(0, 512)));
        Assert.True(_table.LegDone(0, 0, DstStatus.Ok, out _));
        MustFail.Message(() => _table.LegDone(0, 0, DstStatus.Ok, out _));
    }

    [Fact]
    public void Tag_begun_twice_ends_the_process()
    {
        _table.Begin(0, Write(0, 512));
        MustFail.Message(() => _table.Begin(0, Write(0, 512)));
        MustFail.Message(() => _table.Begin(0, new Request(Operation.Read, RequestFlags.None, 0, 0)));
    }

    [Fact]
    public void Each_use_of_a_tag_has_a_generation_of_its_own()
    {
        HashSet<ulong> seen = [0];
        for (int i = 0; i < 1000; i++)
        {
            int tag = i % _table.DepthTags;
            int legs = _table.Begin(tag, i % 7 == 0 ? Write(1, 1) : Write(0, 512)).LegCount;
            Assert.True(seen.Add(_table.GenerationAt(tag)));
            Complete(_table, tag, legs);
        }
    }

    [Fact]
    public void Fua_is_copied_to_each_leg()
    {
        Assert.Equal(2, _table.Begin(0, Write(NodeBytes - 512, 1024, RequestFlags.Fua)).LegCount);
        Assert.Equal(RequestFlags.Fua, _table.LegAt(0, 0).Flags);
        Assert.Equal(RequestFlags.Fua, _table.LegAt(0, 1).Flags);
        Complete(_table, 0, 2);
        _table.Begin(0, Write(NodeBytes - 512, 1024));
        Assert.Equal(RequestFlags.None, _table.LegAt(0, 0).Flags);
        Assert.Equal(RequestFlags.None, _table.LegAt(0, 1).Flags);
    }

    [Fact]
    public void Request_can_be_looked_at_until_the_tag_begins_again()
    {
        _table.Begin(0, Write(512, 1024));
        Complete(_table, 0, 1);
        Assert.Equal(Write(512, 1024), _table.RequestAt(0));
    }

    [Fact]
    public void First_flush_goes_to_every_node_and_the_next_to_none()
    {
        BeginResult first = _table.Begin(0, Flush);
        Assert.Equal(NodeCount, first.LegCount);
        for (int leg = 0; leg < NodeCount; leg++)
        {
            Assert.Equal(leg, _table.LegAt(0, leg).NodeIndex);
            Assert.Equal((0L, 0L), (_table.LegAt(0, leg).NodeOffsetBytes, _table.LegAt(0, leg).LengthBytes));
        }

        Complete(_table, 0, NodeCount);
        Assert.Equal(new BeginResult(0, DstStatus.Ok), _table.Begin(0, Flush));
        Assert.False(_table.IsInFlight(0));
    }

    [Theory]
    [InlineData(Operation.Write)]
    [InlineData(Operation.Discard)]
    [InlineData(Operation.WriteZeroes)]
    public void Flush_goes_to_the_nodes_that_changed(Operation operation)
    {
        MakeClean();
        _table.Begin(1, new Request(operation, RequestFlags.None, 2 * NodeBytes - 512, 1024));
        Complete(_table, 1, 2);
        Assert.Equal(2, _table.Begin(0, Flush).LegCount);
        Assert.Equal(1, _table.LegAt(0, 0).NodeIndex);
        Assert.Equal(2, _table.LegAt(0, 1).NodeIndex);
    }

    [Fact]
    public void Read_leaves_nodes_clean()
    {
        MakeClean();
        _table.Begin(1, new Request(Operation.Read, RequestFlags.None, 0, 512));
        Complete(_table, 1, 1);
        Assert.True(_table.Begin(0, Flush).IsFinal);
    }

    [Fact]
    public void Durable_write_leaves_its_node_clean_unless_it_failed()
    {
        MakeClean();
        _table.Begin(1, Write(0, 512, RequestFlags.Fua));
        Complete(_table, 1, 1);
        Assert.False(_ledger.IsDirty(0));
        _table.Begin(1, Write(0, 512, RequestFlags.Fua));
        Complete(_table, 1, 1, DstStatus.IoError);
        Assert.True(_ledger.IsDirty(0));
    }

    [Fact]
    public void Write_zeroes_with_fua_still_counts()
    {
        MakeClean();
        _table.Begin(1, new Request(Operation.WriteZeroes, RequestFlags.Fua, 0, 512));
        Complete(_table, 1, 1);
        Assert.True(_ledger.IsDirty(0));
    }

    [Fact]
    public void Failed_write_makes_its_node_dirty()
    {
        MakeClean();
        _table.Begin(1, Write(0, 512));
        Complete(_table, 1, 1, DstStatus.NoSpace);
        Assert.Equal(1, _table.Begin(0, Flush).LegCount);
    }

    [Fact]
    public void Leg_counts_when_it_is_done_though_its_request_is_not()
    {
        MakeClean();
        _table.Begin(1, Write(NodeBytes - 512, 1024));
        _table.LegDone(1, 1, DstStatus.Ok, out _);
        Assert.False(_ledger.IsDirty(0));
        Assert.True(_ledger.IsDirty(1));
    }

    [Fact]
    public void Flush_does_not_cover_what_is_completed_after_it_began()
    {
        MakeClean();
        _table.Begin(1, Write(0, 512));
        Complete(_table, 1, 1);
        Assert.Equal(1, _table.Begin(0, Flush).LegCount);
        _table.Begin(1, Write(0, 512));
        Complete(_table, 1, 1);
        Complete(_table, 0, 1);
        Assert.True(_ledger.IsDirty(0));
    }

    [Fact]
    public void Failed_flush_leaves_only_its_node_dirty_and_fails()
    {
        Assert.Equal(3, _table.Begin(0, Flush).LegCount);
        _table.LegDone(0, 2, DstStatus.Ok, out _);
        _table.LegDone(0, 0, DstStatus.IoError, out _);
        Assert.True(_table.LegDone(0, 1, DstStatus.Ok, out DstStatus final));
        Assert.Equal(DstStatus.IoError, final);
        Assert.True(_ledger.IsDirty(0));
        Assert.False(_ledger.IsDirty(1));
        Assert.False(_ledger.IsDirty(2));
        Assert.Equal(1, _table.Begin(0, Flush).LegCount);
    }

    [Fact]
    public void Flush_covers_the_changes_of_other_queues()
    {
        MakeClean();
        TransactionTable other = new(_map, _ledger, 1, 4);
        other.Begin(0, Write(NodeBytes, 512));
        Complete(other, 0, 1);
        Assert.Equal(1, _table.Begin(0, Flush).LegCount);
        Assert.Equal(1, _table.LegAt(0, 0).NodeIndex);
        Complete(_table, 0, 1);
        Assert.True(other.Begin(0, Flush).IsFinal);
    }

    [Fact]
    public void Flush_reaches_sixty_four_nodes()
    {
        VolumeMap map = new(Enumerable.Repeat(4096L, 64).ToArray(), Block, MaxRequest);
        TransactionTable table = new(map, new FlushLedger(64, 1), 0, 2);
        Assert.Equal(64, table.Begin(1, Flush).LegCount);
        Assert.Equal(ulong.MaxValue, table.PendingLegs(1));
        Assert.Equal(63, table.LegAt(1, 63).NodeIndex);
        Assert.Equal(64, table.Begin(0, Flush).LegCount);
        Assert.Equal(DstStatus.Ok, Complete(table, 1, 64));
        Assert.Equal(64, BitOperationsPopCount(table.PendingLegs(0)));
    }

    private static int BitOperationsPopCount(ulong value) => System.Numerics.BitOperations.PopCount(value);

    [Fact]
    public void Two_hundred_thousand_transactions_allocate_nothing()
    {
        Churn(1000);
        long before = GC.GetAllocatedBytesForCurrentThread();
        Churn(200_000);
        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
    }

    private void Churn(int count)
    {
        for (int i = 0; i < count; i++)
        {
            int tag = i & 3;
            Request request = (i % 5) switch
            {
                0 => Flush,
                1 => new Request(Operation.Read, RequestFlags.None, 0, 512),
                2 => new Request(Operation.Discard, RequestFlags.None, NodeBytes - 512, 4096),
                3 => new Request(Operation.Read, RequestFlags.None, 1, 512),
                _ => Write(NodeBytes - 512, 1024),
            };
            int legs = _table.Begin(tag, in request).LegCount;
            for (int leg = legs - 1; leg >= 0; leg--)
            {
                ref readonly Leg at = ref _table.LegAt(tag, leg);
                _table.LegDone(tag, leg, at.NodeIndex < 0 ? DstStatus.IoError : DstStatus.Ok, out _);
            }
        }
    }
}
