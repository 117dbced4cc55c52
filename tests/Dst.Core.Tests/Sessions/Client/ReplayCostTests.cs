using System.Diagnostics;
using System.Globalization;
using Dst.Core.Requests;
using Dst.Core.Sessions.Client;
using Xunit;
using static Dst.Core.Tests.Sessions.Client.LaneRig;

namespace Dst.Core.Tests.Sessions.Client;

/// <summary>What a replay costs this side, however many entries the log has (S-22).</summary>
public sealed class ReplayCostTests
{
    private const int Block = 4096;

    /// <summary>Entries of a lane by default: 64 MiB of 4 KiB writes.</summary>
    private const int UsualEntries = 16 * 1024;

    [Theory(Explicit = true)]
    [InlineData(1_000)]
    [InlineData(UsualEntries)]
    [InlineData(ClientLimits.LogEntriesMax)]
    public void Speed_of_a_replay(int entries)
    {
        foreach (string pattern in (string[])["row", "random", "same", "zeroes"])
        {
            double seconds = Replay(pattern, entries, out int sent);
            TestContext.Current.TestOutputHelper?.WriteLine(string.Create(
                CultureInfo.InvariantCulture, $"{entries} entries, {pattern}: {sent} sent, {seconds * 1e3:F1} ms"));
        }
    }

    [Fact]
    public void The_longest_log_is_replayed_in_seconds() =>
        Assert.InRange(Replay("row", ClientLimits.LogEntriesMax, out _), 0, 10);

    /// <summary>Every block is sent once, by the change that was last there, whatever lies over what.</summary>
    [Fact]
    public void A_plan_agrees_with_a_model_of_blocks()
    {
        const int Span = 40;
        for (int seed = 0; seed < 2_000; seed++)
        {
            Random random = new(seed);
            ReplayLog[] logs = [new(1 << 20, 64), new(1 << 20, 64), new(1 << 20, 64)];
            ReplayPlan plan = new(logs);
            long[] owner = new long[Span];
            List<LogEntry> entries = [];
            int count = random.Next(1, 40);
            int stable = random.Next(count);
            for (int i = 1; i <= count; i++)
            {
                int first = random.Next(Span - 8);
                Operation operation =
                    random.Next(4) switch { 0 => Operation.Discard, 1 => Operation.WriteZeroes, _ => Operation.Write };
                Request request = new(operation, RequestFlags.None, first * 512, 512 * (1 + random.Next(8)));
                ReplayLog log = logs[random.Next(logs.Length)];
                Assert.True(log.TryReserve(request.Operation == Operation.Write ? (int)request.LengthBytes : 0));
                LogEntry entry = log.Append(i, in request);
                if (i > stable)
                {
                    entries.Add(entry);
                    bool hides = operation != Operation.Discard;
                    owner.AsSpan(first, hides ? (int)request.LengthBytes / 512 : 0).Fill(i);
                }
            }

            plan.Make(stable);
            foreach (LogEntry entry in entries)
            {
                HashSet<long> sent = [];
                for (long from = 0; plan.TryFindPart(in entry, from, out long start, out long stop); from = stop)
                {
                    Assert.True(start < stop && start >= from, $"seed {seed}: part {start} to {stop} after {from}");
                    for (long at = start; at < stop; at += 512)
                    {
                        Assert.True(sent.Add(at / 512), $"seed {seed}: block {at / 512} twice");
                    }
                }

                for (long at = entry.OffsetBytes; at < entry.OffsetBytes + entry.LengthBytes; at += 512)
                {
                    bool isSent = owner[at / 512] <= entry.Sequence;
                    Assert.True(isSent == sent.Remove(at / 512), $"seed {seed}: block {at / 512} of {entry}");
                }

                Assert.Empty(sent);
            }
        }
    }

    /// <summary>Seconds from the order to replay to the flush at its end; a server answers at once.</summary>
    private static double Replay(string pattern, int entries, out int sent)
    {
        LaneRig rig = new(logBytes: (long)entries * Block, logEntries: entries);
        rig.Session.WriteBack = true;
        rig.Up();
        Random random = new(1);
        for (int i = 0; i < entries; i++)
        {
            long at = pattern switch
            {
                "same" => 0,
                "random" => random.Next(entries),
                _ => i,
            };
            bool zeroes = pattern == "zeroes" && i % 64 == 63;
            Request request = zeroes
                ? new Request(Operation.WriteZeroes, RequestFlags.None, 0, 1 << 20)
                : LaneRig.Write(at * Block, Block);
            rig.Answer(rig.Submit(0, request).Find(effect => effect.Leg == 0));
        }

        rig.Down();
        rig.NextEpoch(Boot + 1);
        rig.Order(LaneOrderKind.Settle);
        long start = Stopwatch.GetTimestamp();
        Queue<LaneEffect> effects = new(rig.Order(LaneOrderKind.Recover, 0, box => box.Order.ReplayLog = true));
        sent = 0;
        while (effects.TryDequeue(out LaneEffect effect))
        {
            sent += effect.Kind == LaneEffectKind.SendLog ? 1 : 0;
            if (IsSend(effect))
            {
                rig.Answer(effect).ForEach(effects.Enqueue);
            }
        }

        double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        Assert.Equal(rig.Shared.Order.Last, rig.Shared.Order.Stable);
        return seconds;
    }
}
