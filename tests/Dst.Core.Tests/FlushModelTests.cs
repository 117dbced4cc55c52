using CsCheck;
using Dst.Core.Requests;
using Dst.Core.Transactions;
using Dst.Core.Volumes;
using Xunit;

namespace Dst.Core.Tests;

/// <summary>
/// The promise of a flush, seen from outside (C-02, C-04): two queues over nodes with volatile caches, every leg
/// reaching its node and coming back at any time, some failing. When a flush says ok, each change that was completed
/// before it began is durable; when a change with FUA says ok, it is durable itself.
/// </summary>
public sealed class FlushModelTests
{
    private const int Block = 512;
    private const int NodeCount = 3;
    private const int QueueCount = 2;
    private const int Depth = 4;

    internal readonly record struct Step(int Kind, int Queue, int Pick, bool Fails);

    private static readonly Gen<Step> GenStep = Gen.Select(
        Gen.Int[0, 9],
        Gen.Int[0, QueueCount - 1],
        Gen.Int[0, 1000],
        Gen.Frequency((8, Gen.Const(false)), (1, Gen.Const(true))),
        (kind, queue, pick, fails) => new Step(kind, queue, pick, fails));

    [Fact]
    public void Flush_that_says_ok_made_durable_what_was_completed_before_it() =>
        GenStep.Array[1, 150].Sample(steps => new Model().Run(steps), iter: 5000);

    /// <summary>One cache: which changes it took, and which of them would be there after a power cut.</summary>
    private sealed class Node
    {
        internal HashSet<int> Taken { get; } = [];

        internal HashSet<int> Durable { get; } = [];
    }

    private sealed class Flight
    {
        internal required int Queue { get; init; }

        internal required int Tag { get; init; }

        internal required int Leg { get; init; }

        internal required int Id { get; init; }

        internal bool Reached { get; set; }
    }

    private sealed class Model
    {
        private readonly Node[] _nodes = [new(), new(), new()];
        private readonly TransactionTable[] _tables = new TransactionTable[QueueCount];
        private readonly List<Flight> _flights = [];
        private readonly List<(int Id, int Node)> _completed = [];
        private readonly (int Id, int Node)[][] _before = new (int, int)[QueueCount * Depth][];
        private int _lastId;

        internal Model()
        {
            VolumeMap map = new([8 * Block, 8 * Block, 8 * Block], Block, 8 * Block);
            FlushLedger ledger = new(NodeCount, QueueCount);
            for (int queue = 0; queue < QueueCount; queue++)
            {
                _tables[queue] = new TransactionTable(map, ledger, queue, Depth);
            }
        }

        internal void Run(Step[] steps)
        {
            foreach (Step step in steps)
            {
                if (step.Kind < 4)
                {
                    Begin(step);
                }
                else if (_flights.Count > 0)
                {
                    Advance(_flights[step.Pick % _flights.Count], step.Fails);
                }
            }

            while (_flights.Count > 0)
            {
                Advance(_flights[^1], fails: false);
            }

            Assert.All(_tables, table => Assert.Equal(0, table.InFlightCount));
        }

        private void Begin(Step step)
        {
            TransactionTable table = _tables[step.Queue];
            int tag = 0;
            while (tag < Depth && table.IsInFlight(tag))
            {
                tag++;
            }

            if (tag == Depth)
            {
                return;
            }

            Request request = step.Kind switch
            {
                0 => new Request(Operation.Flush, RequestFlags.None, 0, 0),
                1 => new Request(Operation.Write, RequestFlags.Fua, step.Pick % 20 * Block, 4 * Block),
                2 => new Request(Operation.WriteZeroes, RequestFlags.None, step.Pick % 17 * Block, 8 * Block),
                _ => new Request(Operation.Write, RequestFlags.None, step.Pick % 20 * Block, 4 * Block),
            };
            _lastId++;
            _before[step.Queue * Depth + tag] = [.. _completed];
            BeginResult begun = table.Begin(tag, in request);
            for (int leg = 0; leg < begun.LegCount; leg++)
            {
                _flights.Add(new Flight { Queue = step.Queue, Tag = tag, Leg = leg, Id = _lastId });
            }

            if (begun.IsFinal)
            {
                Assert.Equal(DstStatus.Ok, begun.Status);
                Check(step.Queue, tag);
            }
        }

        /// <summary>The leg reaches its node, or comes back. A failed change may have reached it too.</summary>
        private void Advance(Flight flight, bool fails)
        {
            TransactionTable table = _tables[flight.Queue];
            Leg leg = table.LegAt(flight.Tag, flight.Leg);
            Request request = table.RequestAt(flight.Tag);
            Node node = _nodes[leg.NodeIndex];
            if (!flight.Reached && !fails)
            {
                flight.Reached = true;
                if (request.Operation == Operation.Flush)
                {
                    node.Durable.UnionWith(node.Taken);
                }
                else
                {
                    node.Taken.Add(flight.Id);
                    if (leg.Flags == RequestFlags.Fua)
                    {
                        node.Durable.Add(flight.Id);
                    }
                }

                return;
            }

            _flights.Remove(flight);
            bool wasDirtied = request.IsChange && flight.Reached;
            DstStatus status = fails ? DstStatus.IoError : DstStatus.Ok;
            if (wasDirtied)
            {
                // The node's own state may be known to others before the whole request is.
                _completed.Add((flight.Id, leg.NodeIndex));
            }

            if (table.LegDone(flight.Tag, flight.Leg, status, out DstStatus final) && final == DstStatus.Ok)
            {
                Check(flight.Queue, flight.Tag);
            }

            if (status == DstStatus.Ok && request.Flags == RequestFlags.Fua)
            {
                Assert.Contains(flight.Id, node.Durable);
            }
        }

        private void Check(int queue, int tag)
        {
            if (_tables[queue].RequestAt(tag).Operation == Operation.Flush)
            {
                Assert.All(_before[queue * Depth + tag], c => Assert.Contains(c.Id, _nodes[c.Node].Durable));
            }
        }
    }
}
