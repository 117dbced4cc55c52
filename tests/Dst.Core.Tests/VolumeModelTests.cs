using CsCheck;
using Dst.Core.Requests;
using Dst.Core.Transactions;
using Dst.Core.Volumes;
using Xunit;

namespace Dst.Core.Tests;

/// <summary>
/// The map and the transactions, with a byte array for each node, held against one byte array for the whole volume:
/// requests of every kind, size and place, several in flight, their legs ending in any order.
/// </summary>
public sealed class VolumeModelTests
{
    private const int Block = 512;
    private const int MaxRequest = 8 * Block;
    private const int Depth = 8;

    internal readonly record struct Step(
        Operation Operation, uint Place, uint Size, byte Fill, uint Order, RequestFlags Flags);

    private static readonly Gen<Step> GenStep = Gen.Select(
        Generators.Of(Operation.Read, Operation.Write, Operation.Discard, Operation.WriteZeroes),
        Gen.UInt,
        Gen.UInt,
        Gen.Byte[1, 255],
        Gen.UInt,
        Generators.Of(RequestFlags.None, RequestFlags.Fua, RequestFlags.NoUnmap),
        (operation, place, size, fill, order, flags) => new Step(operation, place, size, fill, order, flags));

    [Fact]
    public void Volume_of_nodes_is_one_array_of_bytes() =>
        Gen.Select(Generators.NodeLengths, GenStep.Array[1, 120])
            .Sample((lengths, steps) => new Model(lengths).Run(steps), iter: 2000);

    /// <summary>Every offset and length of small volumes, each kind of request.</summary>
    [Fact]
    public void Every_range_of_small_volumes_goes_where_it_belongs()
    {
        long[][] volumes = [[8, 8], [8, 9, 11], [8, 8, 8, 8], [13]];
        foreach (long[] blocks in volumes)
        {
            Model model = new(blocks.Select(b => b * Block).ToArray());
            long count = blocks.Sum();
            byte fill = 1;
            for (long start = 0; start < count; start++)
            {
                for (long length = 1; length <= long.Min(8, count - start); length++)
                {
                    foreach (Operation operation in new[] { Operation.Write, Operation.Read, Operation.Discard })
                    {
                        fill = (byte)(fill % 255 + 1);
                        model.Submit(0, new Request(operation, RequestFlags.None, start * Block, length * Block), fill);
                        model.Finish(0, reversed: length % 2 == 0);
                    }
                }
            }

            model.CompareAll();
        }
    }

    private sealed class Model
    {
        private readonly VolumeMap _map;
        private readonly TransactionTable _table;
        private readonly byte[][] _nodes;
        private readonly byte[] _expected;
        private readonly Request[] _inFlight = new Request[Depth];
        private readonly byte[][] _buffers = new byte[Depth][];
        private readonly byte[][] _wanted = new byte[Depth][];

        internal Model(long[] lengths)
        {
            _map = new VolumeMap(lengths, Block, MaxRequest);
            _table = new TransactionTable(_map, new FlushLedger(lengths.Length, 1), 0, Depth);
            _nodes = lengths.Select(length => new byte[length]).ToArray();
            _expected = new byte[lengths.Sum()];
        }

        internal void Run(Step[] steps)
        {
            foreach (Step step in steps)
            {
                Request request = Place(step);

                // Requests in flight have no order among themselves (C-01): what overlaps waits for the older one.
                for (int tag = 0; tag < Depth; tag++)
                {
                    if (_table.IsInFlight(tag) && Overlap(_inFlight[tag], request))
                    {
                        Finish(tag, reversed: step.Order % 2 == 0);
                    }
                }

                int free = (int)(step.Order % Depth);
                if (_table.IsInFlight(free))
                {
                    Finish(free, reversed: step.Fill % 2 == 0);
                }

                Submit(free, request, step.Fill);
            }

            for (int tag = Depth - 1; tag >= 0; tag--)
            {
                if (_table.IsInFlight(tag))
                {
                    Finish(tag, reversed: tag % 2 == 0);
                }
            }

            CompareAll();
        }

        internal void Submit(int tag, Request request, byte fill)
        {
            BeginResult begun = _table.Begin(tag, in request);
            Assert.Equal(DstStatus.Ok, begun.Status);
            Assert.InRange(begun.LegCount, 1, 2);
            _inFlight[tag] = request;
            Range range = new((int)request.OffsetBytes, (int)(request.OffsetBytes + request.LengthBytes));
            Span<byte> expected = _expected.AsSpan(range);
            switch (request.Operation)
            {
                case Operation.Write:
                    _buffers[tag] = Pattern(request.LengthBytes, fill);
                    _buffers[tag].CopyTo(expected);
                    break;
                case Operation.Read:
                    _buffers[tag] = Pattern(request.LengthBytes, 0xA5);
                    _wanted[tag] = expected.ToArray();
                    break;
                default:
                    expected.Clear();
                    break;
            }
        }

        internal void Finish(int tag, bool reversed)
        {
            Request request = _inFlight[tag];
            int legCount = _table.IsLegPending(tag, 1) ? 2 : 1;
            long covered = 0;
            for (int i = 0; i < legCount; i++)
            {
                int legIndex = reversed ? legCount - 1 - i : i;
                Leg leg = _table.LegAt(tag, legIndex);
                Assert.Equal(request.Flags, leg.Flags);
                Assert.InRange(leg.LengthBytes, Block, request.LengthBytes);
                covered += leg.LengthBytes;
                Carry(request, leg, _buffers[tag]);
                bool last = _table.LegDone(tag, legIndex, DstStatus.Ok, out DstStatus final);
                Assert.Equal(i == legCount - 1, last);
                Assert.Equal(DstStatus.Ok, final);
            }

            Assert.Equal(request.LengthBytes, covered);
            Assert.False(_table.IsInFlight(tag));
            if (request.Operation == Operation.Read)
            {
                Assert.True(_wanted[tag].AsSpan().SequenceEqual(_buffers[tag]), $"{request} read something else");
            }
        }

        internal void CompareAll()
        {
            Assert.Equal(0, _table.InFlightCount);
            Assert.True(_expected.AsSpan().SequenceEqual(_nodes.SelectMany(n => n).ToArray()), "volume differs");
        }

        private void Carry(Request request, Leg leg, byte[] buffer)
        {
            Span<byte> node = _nodes[leg.NodeIndex].AsSpan((int)leg.NodeOffsetBytes, (int)leg.LengthBytes);
            switch (request.Operation)
            {
                case Operation.Write:
                    buffer.AsSpan((int)leg.RequestOffsetBytes, (int)leg.LengthBytes).CopyTo(node);
                    break;
                case Operation.Read:
                    node.CopyTo(buffer.AsSpan((int)leg.RequestOffsetBytes, (int)leg.LengthBytes));
                    break;
                default:
                    node.Clear();
                    break;
            }
        }

        private Request Place(Step step)
        {
            bool hasData = step.Operation is Operation.Read or Operation.Write;
            long limit = hasData ? _map.MaxRequestBytes : _map.MaxChangeBytes;
            long length = (1 + step.Size % (limit / Block)) * Block;
            long places = (_map.SizeBytes - length) / Block + 1;
            return new Request(step.Operation, step.Flags, step.Place % places * Block, length);
        }

        private static bool Overlap(Request a, Request b) =>
            a.OffsetBytes < b.OffsetBytes + b.LengthBytes && b.OffsetBytes < a.OffsetBytes + a.LengthBytes;

        private static byte[] Pattern(long length, byte fill)
        {
            byte[] bytes = new byte[length];
            for (int i = 0; i < bytes.Length; i++)
            {
                bytes[i] = (byte)(fill ^ (i / Block * 37) ^ i);
            }

            return bytes;
        }
    }
}
