using System.Globalization;
using System.Text;
using Dst.Core.Sessions.Client;
using Dst.Core.Wire;
using Dst.Simulation.Engine;

namespace Dst.Simulation.Plans;

/// <summary>
/// What a run looks like: sizes, workload, and which faults come how often. Drawn from the seed, then perhaps changed.
/// </summary>
internal sealed class Plan
{
    /// <summary>Bytes of a block of every device.</summary>
    public const int BlockBytes = 512;

    /// <summary>Kinds of faults.</summary>
    public static readonly int FaultCount = Enum.GetValues<Fault>().Length;

    /// <summary>Virtual milliseconds with faults; then all is mended and everything must end.</summary>
    public long HorizonMs { get; set; } = 600_000;

    /// <summary>Mean virtual milliseconds between two faults of a kind; 0 for never.</summary>
    public long[] MeanMs { get; } = new long[FaultCount];

    /// <summary>Servers, each with one export: the nodes of the device.</summary>
    public int Nodes { get; set; } = 1;

    /// <summary>Queues of the device.</summary>
    public int Queues { get; set; } = 1;

    /// <summary>Tags of a queue.</summary>
    public int Depth { get; set; } = 4;

    /// <summary>Wanted connections of a node.</summary>
    public int Connections { get; set; } = 1;

    /// <summary>Wanted requests of a connection.</summary>
    public int Slots { get; set; } = 8;

    /// <summary>Blocks of a node.</summary>
    public int NodeBlocks { get; set; } = 128;

    /// <summary>Blocks of the largest request.</summary>
    public int RequestBlocks { get; set; } = 8;

    /// <summary>What an acknowledgement of the servers means.</summary>
    public CacheMode Cache { get; set; } = CacheMode.WriteBack;

    /// <summary>Checksums of data.</summary>
    public ChecksumKind Checksum { get; set; } = ChecksumKind.Xxh3;

    /// <summary>Bytes of a lane's replay log.</summary>
    public long LogBytes { get; set; } = 64 * 1024;

    /// <summary>Entries of a lane's replay log.</summary>
    public int LogEntries { get; set; } = 64;

    /// <summary>Payload budget of a server.</summary>
    public long CreditBytes { get; set; } = 1 << 20;

    /// <summary>Engine threads of a server.</summary>
    public int Engines { get; set; } = 1;

    /// <summary>Mean microseconds between two requests of a queue.</summary>
    public long ThinkUs { get; set; } = 50_000;

    /// <summary>Requests in 1000 that are reads, flushes, discards, write-zeroes; the rest are writes.</summary>
    public int ReadShare { get; set; } = 400;

    /// <summary>See <see cref="ReadShare"/>.</summary>
    public int FlushShare { get; set; } = 60;

    /// <summary>See <see cref="ReadShare"/>.</summary>
    public int DiscardShare { get; set; } = 20;

    /// <summary>See <see cref="ReadShare"/>.</summary>
    public int ZeroesShare { get; set; } = 40;

    /// <summary>Changes in 1000 with FUA.</summary>
    public int FuaShare { get; set; } = 100;

    /// <summary>Requests in 1000 at the few hot blocks at the border of the nodes.</summary>
    public int HotShare { get; set; } = 300;

    /// <summary>Budgets of the nodes.</summary>
    public RequestBudget Budget { get; set; }

    /// <summary>A second host only reads the first node.</summary>
    public bool Reader { get; set; }

    /// <summary>The reader's target refuses no change by itself: it goes on to the server.</summary>
    public bool BareReader { get; set; }

    /// <summary>Mean microseconds on the wire.</summary>
    public long LatencyUs { get; set; } = 200;

    /// <summary>Longest run of bytes that arrives at once.</summary>
    public int SegmentBytes { get; set; } = 64 * 1024;

    /// <summary>Bytes that a socket takes before it is full.</summary>
    public int SocketBytes { get; set; } = 64 * 1024;

    /// <summary>Mean microseconds of a disk request.</summary>
    public long DiskUs { get; set; } = 300;

    /// <summary>Blocks that a cut keeps or loses together: 1 or 8.</summary>
    public int TearBlocks { get; set; } = 1;

    /// <summary>
    /// A failed flush gives back the old data at once, as btrfs does; otherwise the new stays readable.
    /// </summary>
    public bool RevertsOnFailure { get; set; }

    /// <summary>
    /// A payload budget that just holds the writer and the reader: one largest request for each lane of a connection.
    /// </summary>
    public long LeastCreditBytes
    {
        get
        {
            int lanes = Connections * ((Queues + Connections - 1) / Connections);
            return (long)RequestBlocks * BlockBytes * (lanes + (Reader ? Queues : 0));
        }
    }

    /// <summary>True when faults of a kind come.</summary>
    public bool Has(Fault fault) => MeanMs[(int)fault] > 0;

    /// <summary>Sets how often a fault comes.</summary>
    public Plan With(Fault fault, long meanMs)
    {
        MeanMs[(int)fault] = meanMs;
        return this;
    }

    /// <summary>The plan of a seed: every run has another subset of faults, at other rates.</summary>
    public static Plan Of(ulong seed)
    {
        Chance chance = new(seed, 0);
        Plan plan = new()
        {
            Nodes = chance.OneIn(3) ? 2 : 1,
            Queues = 1 + chance.Below(3),
            Depth = 1 + chance.Below(6),
            NodeBlocks = chance.OneIn(2) ? 32 : 256,
            RequestBlocks = chance.OneIn(2) ? 8 : 4,
            Cache = chance.OneIn(3) ? CacheMode.WriteThrough : CacheMode.WriteBack,
            Checksum = chance.OneIn(4) ? ChecksumKind.Crc32C : ChecksumKind.Xxh3,
            Engines = 1 + chance.Below(2),
            ThinkUs = 20_000L << chance.Below(6),
            LatencyUs = 50L << chance.Below(9),
            DiskUs = 50L << chance.Below(9),
            TearBlocks = chance.OneIn(2) ? 1 : 8,
            RevertsOnFailure = chance.OneIn(2),
            Reader = chance.OneIn(6),
        };
        plan.Connections = 1 + chance.Below(plan.Queues);
        plan.Slots = (2 + chance.Below(7)) * plan.Queues;
        plan.LogBytes = plan.RequestBlocks * BlockBytes * (long)(2 << chance.Below(4));
        plan.LogEntries = 8 << chance.Below(4);
        plan.CreditBytes = chance.OneIn(4) ? plan.LeastCreditBytes : 1 << 20;
        plan.SegmentBytes = chance.OneIn(2) ? 64 * 1024 : 1 << (4 + chance.Below(8));
        plan.SocketBytes = chance.OneIn(2) ? 64 * 1024 : 1 << (10 + chance.Below(4));
        plan.ReadShare = 200 + chance.Below(400);
        plan.FlushShare = 10 + chance.Below(120);
        plan.FuaShare = chance.Below(300);
        plan.HotShare = chance.Below(900);
        plan.Budget = DrawBudget(chance);
        DrawFaults(plan, chance);
        plan.BareReader = chance.OneIn(2);
        return plan;
    }

    /// <summary>Budgets as an operator may set them.</summary>
    public static RequestBudget DrawBudget(Chance chance) => chance.Below(6) switch
    {
        0 => new RequestBudget(2_000 + chance.Below(8_000), 0, 0, EndsWithError: false),
        1 => new RequestBudget(0, 0, 3_000 + chance.Below(60_000), EndsWithError: true),
        2 => new RequestBudget(3_000, 1 + chance.Below(4), 0, EndsWithError: true),
        _ => default,
    };

    /// <summary>Sets one value by its name, from a file or from the command line.</summary>
    /// <returns>What is wrong with it, or null.</returns>
    public string? Set(string name, string value)
    {
        if (Enum.TryParse(name, out Fault fault) && Enum.IsDefined(fault))
        {
            bool good = long.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out long mean);
            MeanMs[(int)fault] = mean;
            return good ? null : $"{name}: {value} is no number of milliseconds";
        }

        return Assign(name, value) ? null : $"{name} = {value}: no such setting, or no such value";
    }

    /// <summary>One line with all that is not usual.</summary>
    public override string ToString()
    {
        StringBuilder text = new();
        text.Append(
            CultureInfo.InvariantCulture,
            $"{Nodes} node(s) of {NodeBlocks} blocks, {Cache}, {Queues} queue(s) of {Depth}, "
            + $"{Connections} connection(s) of {Slots}, {Engines} engine(s), think {ThinkUs} us, "
            + $"latency {LatencyUs} us, disk {DiskUs} us, segments {SegmentBytes}, sockets {SocketBytes}, "
            + $"log {LogBytes}/{LogEntries}, {Budget}, horizon {HorizonMs} ms, faults:");
        for (int i = 0; i < FaultCount; i++)
        {
            if (MeanMs[i] > 0)
            {
                text.Append(CultureInfo.InvariantCulture, $" {(Fault)i} {MeanMs[i]}");
            }
        }

        return text.ToString();
    }

    private bool Assign(string name, string value)
    {
        if (name is nameof(Cache))
        {
            Cache = value is nameof(CacheMode.WriteThrough) ? CacheMode.WriteThrough : CacheMode.WriteBack;
            return value is nameof(CacheMode.WriteThrough) or nameof(CacheMode.WriteBack);
        }

        if (!long.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out long number))
        {
            return false;
        }

        switch (name)
        {
            case nameof(HorizonMs): HorizonMs = number; break;
            case nameof(Nodes): Nodes = (int)long.Clamp(number, 1, 2); break;
            case nameof(Queues):
                Queues = (int)long.Clamp(number, 1, 8);
                Connections = int.Min(Connections, Queues);
                break;
            case nameof(Depth): Depth = (int)long.Clamp(number, 1, 32); break;
            case nameof(Connections): Connections = (int)long.Clamp(number, 1, Queues); break;
            case nameof(Slots): Slots = (int)long.Clamp(number, 2, 64); break;
            case nameof(NodeBlocks): NodeBlocks = (int)long.Clamp(number, 16, 4096); break;
            case nameof(RequestBlocks): RequestBlocks = (int)long.Clamp(number, 1, 8); break;
            case nameof(LogBytes): LogBytes = long.Max(number, RequestBlocks * BlockBytes); break;
            case nameof(LogEntries): LogEntries = (int)long.Clamp(number, 4, 4096); break;
            case nameof(CreditBytes): CreditBytes = number; break;
            case nameof(Engines): Engines = (int)long.Clamp(number, 1, 4); break;
            case nameof(ThinkUs): ThinkUs = number; break;
            case nameof(ReadShare): ReadShare = (int)number; break;
            case nameof(FlushShare): FlushShare = (int)number; break;
            case nameof(FuaShare): FuaShare = (int)number; break;
            case nameof(HotShare): HotShare = (int)number; break;
            case nameof(LatencyUs): LatencyUs = number; break;
            case nameof(SegmentBytes): SegmentBytes = (int)long.Max(number, 1); break;
            case nameof(SocketBytes): SocketBytes = (int)long.Max(number, 128); break;
            case nameof(DiskUs): DiskUs = number; break;
            case nameof(TearBlocks): TearBlocks = number == 1 ? 1 : 8; break;
            case nameof(RevertsOnFailure): RevertsOnFailure = number != 0; break;
            case nameof(Reader): Reader = number != 0; break;
            case nameof(BareReader): BareReader = number != 0; break;
            default: return false;
        }

        return true;
    }

    private static void DrawFaults(Plan plan, Chance chance)
    {
        for (int i = 0; i < FaultCount; i++)
        {
            long mean = 2_000L << chance.Below(7);
            plan.MeanMs[i] = chance.OneIn(3) ? mean : 0;
        }

        // Those that end a whole life come more seldom, or nothing else would ever be reached.
        ReadOnlySpan<Fault> ending =
        [
            Fault.Clone, Fault.TakeOver, Fault.Release, Fault.Remove, Fault.ClientReboot, Fault.ExportChanges,
            Fault.TargetStop,
        ];
        foreach (Fault rare in ending)
        {
            plan.MeanMs[(int)rare] = chance.OneIn(2) ? 0 : 4 * plan.MeanMs[(int)rare];
        }
    }
}
