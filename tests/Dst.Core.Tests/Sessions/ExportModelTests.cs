using CsCheck;
using Dst.Core.Requests;
using Dst.Core.Sessions;
using Dst.Core.Wire;
using Xunit;

namespace Dst.Core.Tests.Sessions;

/// <summary>
/// Any order of events, with lanes that go on after their session ended, against what must always hold.
/// </summary>
public sealed class ExportModelTests
{
    private const int Clients = 3;

    internal readonly record struct Step(int Kind, int Client, int Pick, int Slot);

    private static readonly Gen<Step> GenStep = Gen.Select(
        Gen.Int[0, 15], Gen.Int[0, Clients - 1], Gen.Int[0, 1000], Gen.Int[0, 7],
        (kind, client, pick, slot) => new Step(kind, client, pick, slot));

    [Fact]
    public void No_order_of_events_breaks_the_rules() =>
        GenStep.Array[1, 150].Sample(
            steps =>
            {
                World world = new();
                foreach (Step step in steps)
                {
                    world.Do(step);
                }

                world.End();
            },
            iter: 4000);

    private sealed class World
    {
        private readonly ExportBed _bed = new(CacheMode.WriteThrough) { PersistAtOnce = false };
        private readonly List<Lane> _lanes = [];
        private readonly Dictionary<int, AttachMessage> _attaching = [];
        private readonly List<int> _known = [];
        private readonly ulong[] _noted = new ulong[Clients]; // each client's newest epoch, noted at its ATTACH_OK
        private ulong _newest;
        private ulong _sequence;
        private bool _persisting;

        internal void Do(Step step)
        {
            _bed.NowMs += step.Pick;
            switch (step.Kind)
            {
                case 0 or 1 or 2:
                    Attach(step);
                    break;
                case 3 when _known.Count > 0:
                    _bed.Session.Begin(_known[step.Pick % _known.Count], _bed.NowMs);
                    break;
                case 4 when _known.Count > 0:
                    _bed.Session.ConnectionLost(_known[step.Pick % _known.Count], _bed.NowMs);
                    break;
                case 5 when _known.Count > 0 && step.Slot == 0:
                    _bed.Session.Goodbye(_known[step.Pick % _known.Count], _bed.NowMs);
                    break;
                case 6 when step.Slot == 0:
                    _bed.Session.Release(_bed.NowMs);
                    break;
                case 7:
                    _bed.Session.Tick(_bed.NowMs);
                    break;
                case 8 or 9 when _persisting:
                    _persisting = false;
                    _bed.Persist(durable: step.Slot != 0);
                    break;
                case 10 or 11 or 12 when _lanes.Count > 0:
                    _lanes[step.Pick % _lanes.Count].Send(step.Slot, ++_sequence, _newest);
                    break;
                case 13 or 14 when _lanes.Count > 0:
                    Lane lane = _lanes[step.Pick % _lanes.Count];
                    if (lane.Finish())
                    {
                        _bed.Session.LaneDrained(_bed.NowMs);
                    }

                    break;
                case 15 when step.Slot == 0 && step.Pick < 200 && _lanes.TrueForAll(l => l.RunningCount == 0):
                    // S-09: a successor begins only when the dead process has nothing with the disk.
                    _bed.Restart();
                    _lanes.Clear();
                    _known.Clear();
                    _attaching.Clear();
                    _persisting = false;
                    break;
                default:
                    break;
            }

            Look();
        }

        internal void End()
        {
            while (_persisting)
            {
                _persisting = false;
                _bed.Persist();
                Look();
            }

            foreach (int connection in _known.ToArray().Concat(_attaching.Keys.ToArray()))
            {
                _bed.Session.ConnectionLost(connection, _bed.NowMs);
            }

            foreach (Lane lane in _lanes)
            {
                while (lane.RunningCount > 0)
                {
                    lane.Finish();
                }
            }

            _bed.Session.LaneDrained(_bed.NowMs);
            Look();
            while (_persisting)
            {
                _persisting = false;
                _bed.Persist();
                Look();
            }

            Assert.Equal(0, _bed.Budget.UsedBytes);
            Assert.Equal(0, _bed.Session.InFlightCount);
        }

        private void Attach(Step step)
        {
            DeviceId device = new((UInt128)(uint)(step.Client + 1), 0);
            ulong replaces = step.Slot switch
            {
                0 => 0,
                1 => _bed.Session.Record.Used,
                2 => (ulong)step.Pick % (_newest + 2),
                _ => _noted[step.Client],
            };
            ulong incarnation = (ulong)(step.Client + 1);
            AttachMessage message = ExportBed.Message(device, replaces, incarnation, takeOver: step.Slot == 1);
            int connection = _bed.NewConnection();
            _attaching[connection] = message;
            _bed.Session.Attach(connection, in message, default, (UInt128)(uint)connection, _bed.NowMs);
        }

        private void Look()
        {
            foreach (SessionEffect effect in _bed.Take())
            {
                switch (effect.Kind)
                {
                    case SessionEffectKind.PersistHold:
                        Assert.False(_persisting, "two records are made durable at a time");
                        _persisting = true;
                        break;
                    case SessionEffectKind.Grant:
                        Granted(effect.Connection);
                        break;
                    case SessionEffectKind.Begun:
                        Assert.Equal(_newest, _bed.OnDisk.Used);
                        break;
                    case SessionEffectKind.Close:
                    case SessionEffectKind.SendGoodbye:
                        _known.Remove(effect.Connection);
                        _attaching.Remove(effect.Connection);
                        break;
                    default:
                        break;
                }
            }

            Assert.True(_bed.OnDisk.Used <= _bed.OnDisk.Granted);
        }

        private void Granted(int connection)
        {
            // S-05: nothing of older epochs is with the disk.
            Assert.All(_lanes, lane => Assert.Equal(0, lane.RunningCount));
            AttachOkMessage ok = _bed.ReadGrant(connection, out ulong epoch, out _);

            // S-02, S-03: greater than any, and on disk already.
            Assert.True(epoch > _newest, $"epoch {epoch} after {_newest}");
            Assert.Equal((epoch, true), (_bed.OnDisk.Granted, _bed.OnDisk.Held));
            AttachMessage message = _attaching[connection];
            _attaching.Remove(connection);
            _newest = epoch;
            _noted[(int)(uint)message.Device.Uuid - 1] = epoch;
            _known.Add(connection);
            _lanes.Add(new Lane(new Live(_bed, connection, epoch, _bed.Session.LaneOf(connection)!, ok, [])));
        }
    }

    /// <summary>An engine thread with its lane; it may be late in learning that its session is over.</summary>
    private sealed class Lane(Live live)
    {
        private readonly Queue<int> _running = [];

        internal int RunningCount => _running.Count;

        internal void Send(int slot, ulong sequence, ulong newest)
        {
            if (live.Lane.IsClosed || _running.Contains(slot))
            {
                return;
            }

            LaneVerdict verdict = live.Send(Operation.Write, slot, sequence);
            if (verdict.Action == LaneAction.Run)
            {
                Assert.Equal(newest, live.Epoch);
                Assert.Equal(live.Epoch, live.Bed.OnDisk.Used);
                Assert.Equal(live.Epoch, live.Bed.Session.Epoch);
                _running.Enqueue(slot);
            }
        }

        internal bool Finish() =>
            _running.TryDequeue(out int slot) && live.Lane.OnDone(slot, DstStatus.Ok).Drained;
    }
}
