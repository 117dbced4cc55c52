using CsCheck;
using Dst.Simulation.Checks;
using Dst.Simulation.Disks;
using Dst.Simulation.Engine;
using Dst.Simulation.Plans;
using Xunit;

namespace Dst.Simulation.Tests;

/// <summary>The parts of the world by themselves: chance, events, bytes, the history of blocks.</summary>
public sealed class EngineTests
{
    [Fact]
    public void ChanceOfASeedNeverChanges()
    {
        // By another implementation of xoshiro256** with the same seeding.
        Chance chance = new(1, 2);
        ulong[] expected = [0xB99ADF478671A3A1, 0x8905F2F562E77B43, 0x6D7295FA3B2548CD];
        ulong[] drawn = [chance.Next(), chance.Next(), chance.Next()];
        Assert.Equal(expected, drawn);
        Assert.NotEqual(new Chance(1, 2).Next(), new Chance(1, 3).Next());
    }

    [Fact]
    public void EventsComeByTimeThenByOrder() => Gen.Int[0, 20].Select(Gen.ULong[0, 5]).Array[0, 200].Sample(items =>
    {
        EventQueue queue = new();
        foreach ((int at, ulong order) in items)
        {
            queue.Add(new SimEvent { AtUs = at, Order = order });
        }

        (long At, ulong Order) last = (-1, 0);
        for (int i = 0; i < items.Length; i++)
        {
            SimEvent item = queue.Take();
            Assert.True(item.AtUs > last.At || (item.AtUs == last.At && item.Order >= last.Order));
            last = (item.AtUs, item.Order);
        }

        Assert.Equal(0, queue.Count);
    });

    [Fact]
    public void BytesComeOutAsTheyWentIn() => Gen.Int[0, 5000].Array[1, 30].Sample(sizes =>
    {
        ByteRing ring = new();
        byte next = 0;
        byte expected = 0;
        foreach (int size in sizes)
        {
            byte[] bytes = new byte[size];
            for (int i = 0; i < size; i++)
            {
                bytes[i] = next++;
            }

            ring.Write(bytes);
            byte[] taken = new byte[ring.Count / 2];
            ring.Read(taken);
            Assert.All(taken, value => Assert.Equal(expected++, value));
        }
    });

    [Fact]
    public void AReadMayNotGoBack()
    {
        (World world, BlockHistory history, Writer writer) = Make();
        long first = Write(world, history, writer, 1);
        history.End(0, first, good: true, durable: false, writer);
        Step(world);
        long second = Write(world, history, writer, 2);
        long read = Step(world);
        history.CheckRead(0, 1, read, lenient: false);
        history.End(0, second, good: true, durable: false, writer);
        read = Step(world);
        history.CheckRead(0, 2, read, lenient: false);
        Assert.Throws<ViolationException>(() => history.CheckRead(0, 1, read, lenient: false));
        Assert.Throws<ViolationException>(() => history.CheckRead(0, 3, read, lenient: false));
    }

    [Fact]
    public void WhatWasSeenInFlightStaysSeen()
    {
        (World world, BlockHistory history, Writer writer) = Make();
        history.End(0, Write(world, history, writer, 1), good: true, durable: false, writer);
        Step(world);
        Write(world, history, writer, 2);
        history.CheckRead(0, 2, Step(world), lenient: false);
        long later = Step(world);
        Assert.Throws<ViolationException>(() => history.CheckRead(0, 1, later, lenient: false));
    }

    [Fact]
    public void AFlushSaysOkOnlyOverWhatIsDurable()
    {
        (World world, BlockHistory history, Writer writer) = Make();
        history.End(0, Write(world, history, writer, 1), good: true, durable: false, writer);
        long flush = Step(world);
        Assert.Throws<ViolationException>(() => history.OnFlushOk(1, flush));
    }

    [Fact]
    public void ALossIsSeenByReadsButNotForgivenByFlush()
    {
        (World world, BlockHistory history, Writer writer) = Make();
        writer.Replays = false;
        history.End(0, Write(world, history, writer, 1), good: true, durable: false, writer);
        Step(world);
        history.OnLoss();
        history.CheckRead(0, 0, Step(world), lenient: false);
        long flush = Step(world);
        Assert.Throws<ViolationException>(() => history.OnFlushOk(1, flush));
        (world, history, writer) = Make();
        writer.Replays = false;
        history.End(0, Write(world, history, writer, 1), good: true, durable: false, writer);
        Step(world);
        history.OnLoss();
        history.Accept(1);
        history.OnFlushOk(1, Step(world));
    }

    [Fact]
    public void ALossThatIsMadeGoodIsNotSeen()
    {
        (World world, BlockHistory history, Writer writer) = Make();
        history.End(0, Write(world, history, writer, 1), good: true, durable: false, writer);
        Step(world);
        history.OnLoss();
        history.CheckRead(0, 1, Step(world), lenient: false);
        Assert.Throws<ViolationException>(() => history.CheckRead(0, 0, Step(world), lenient: false));
    }

    [Fact]
    public void AReaderSeesNothingOlderThanWhatIsCovered()
    {
        (World world, BlockHistory history, Writer writer) = Make();
        history.End(0, Write(world, history, writer, 1), good: true, durable: false, writer);
        Step(world);
        history.OnLoss();
        history.CheckRead(0, 0, Step(world), lenient: true);
        history.CheckRead(0, 1, Step(world), lenient: true);
        Assert.Throws<ViolationException>(() => history.CheckRead(0, 2, Step(world), lenient: true));
        long early = Step(world);
        history.OldestRead = () => early;
        Step(world);

        // The disk has nothing of it, but the answer says that it is covered.
        Assert.Throws<ViolationException>(() => history.OnFlushOk(1, Step(world)));
        history.CheckRead(0, 0, early, lenient: true);
        Assert.Throws<ViolationException>(() => history.CheckRead(0, 0, Step(world), lenient: true));
    }

    [Fact]
    public void WithoutALossAReaderSeesWhatWasAnswered()
    {
        (World world, BlockHistory history, Writer writer) = Make();
        history.End(0, Write(world, history, writer, 1), good: true, durable: false, writer);
        history.CheckRead(0, 1, Step(world), lenient: true);
        Assert.Throws<ViolationException>(() => history.CheckRead(0, 0, Step(world), lenient: true));
        Step(world);
        Write(world, history, writer, 2);
        history.CheckRead(0, 2, Step(world), lenient: false);
        history.CheckRead(0, 1, Step(world), lenient: true);
    }

    private static (World World, BlockHistory History, Writer Writer) Make()
    {
        World world = new(1, new Plan());
        SimDisk disk = new(world, 0, 4);
        return (world, disk.History, new Writer(1, 7, keepsLog: true));
    }

    private static long Write(World world, BlockHistory history, Writer writer, ulong value)
    {
        Step(world);
        history.Begin(0, value, optional: false, writer);
        long begun = world.Steps;
        Step(world);
        return begun;
    }

    private static long Step(World world)
    {
        world.Post(new Nobody(world), 1, 0);
        world.Step();
        return world.Steps;
    }

    private sealed class Nobody(World world) : Actor(world, null)
    {
        public override void On(int kind, long a, long b)
        {
        }

        public override string Describe(int kind, long a, long b) => "nothing";
    }
}
