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

    /// <summary>The longest time that can be set; its microseconds and their sums are still a number.</summary>
    private const long MostMs = 1_000_000_000;

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

    /// <summary>Wanted connections of a node, no more than it has queues.</summary>
    public int Connections { get => int.Min(field, Queues); set; } = 1;

    /// <summary>Wanted requests of a connection, at least two for each queue.</summary>
    public int Slots { get => int.Max(field, 2 * Queues); set; } = 8;

    /// <summary>Blocks of a node.</summary>
    public int NodeBlocks { get; set; } = 128;

    /// <summary>Blocks of the largest request.</summary>
    public int RequestBlocks { get; set; } = 8;

    /// <summary>What an acknowledgement of the servers means.</summary>
    public CacheMode Cache { get; set; } = CacheMode.WriteBack;

    /// <summary>Checksums of data.</summary>
    public ChecksumKind Checksum { get; set; } = ChecksumKind.Xxh3;

    /// <summary>Bytes of a lane's replay log, at least two of the largest request.</summary>
    public long LogBytes { get => long.Max(field, 2L * RequestBlocks * BlockBytes); set; } = 64 * 1024;

    /// <summary>Entries of a lane's replay log.</summary>
    public int LogEntries { get; set; } = 64;

    /// <summary>Payload budget of a server, never less than holds who uses it.</summary>
    public long CreditBytes { get => long.Max(field, LeastCreditBytes); set; } = 1 << 20;

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
    private long LeastCreditBytes =>
        (long)RequestBlocks * BlockBytes * ((Connections * LanesPerConnection) + (Reader ? Queues : 0));

    private int LanesPerConnection => (Queues + Connections - 1) / Connections;

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
        plan.CreditBytes = chance.OneIn(4) ? 0 : 1 << 20;
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
            if (!long.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out long mean) || mean > MostMs)
            {
                return $"{name}: {value} is no number of milliseconds up to {MostMs}";
            }

            MeanMs[(int)fault] = mean;
            return null;
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

        (long least, long most) = RangeOf(name);
        if (number < least || number > most)
        {
            return false;
        }

        switch (name)
        {
            case nameof(HorizonMs): HorizonMs = number; break;
            case nameof(Nodes): Nodes = (int)number; break;
            case nameof(Queues): Queues = (int)number; break;
            case nameof(Depth): Depth = (int)number; break;
            case nameof(Connections): Connections = (int)number; break;
            case nameof(Slots): Slots = (int)number; break;
            case nameof(NodeBlocks): NodeBlocks = (int)number; break;
            case nameof(RequestBlocks): RequestBlocks = (int)number; break;
            case nameof(LogBytes): LogBytes = number; break;
            case nameof(LogEntries): LogEntries = (int)number; break;
            case nameof(CreditBytes): CreditBytes = number; break;
            case nameof(Engines): Engines = (int)number; break;
            case nameof(ThinkUs): ThinkUs = number; break;
            case nameof(ReadShare): ReadShare = (int)number; break;
            case nameof(FlushShare): FlushShare = (int)number; break;
            case nameof(FuaShare): FuaShare = (int)number; break;
            case nameof(HotShare): HotShare = (int)number; break;
            case nameof(LatencyUs): LatencyUs = number; break;
            case nameof(SegmentBytes): SegmentBytes = (int)number; break;
            case nameof(SocketBytes): SocketBytes = (int)number; break;
            case nameof(DiskUs): DiskUs = number; break;
            case nameof(TearBlocks): TearBlocks = number == 1 ? 1 : 8; break;
            case nameof(RevertsOnFailure): RevertsOnFailure = number != 0; break;
            case nameof(Reader): Reader = number != 0; break;
            case nameof(BareReader): BareReader = number != 0; break;
            default: return false;
        }

        return true;
    }

    private static (long Least, long Most) RangeOf(string name) => name switch
    {
        nameof(HorizonMs) => (1, MostMs),
        nameof(Nodes) => (1, 2),
        nameof(Queues) or nameof(Connections) => (1, 8),
        nameof(Depth) => (1, 32),
        nameof(Slots) => (2, 64),
        nameof(NodeBlocks) => (16, 4096),
        nameof(RequestBlocks) => (2, 8),
        nameof(LogBytes) or nameof(CreditBytes) => (0, 1 << 30),
        nameof(LogEntries) => (4, 4096),
        nameof(Engines) => (1, 4),
        nameof(ThinkUs) => (1_000, MostMs),
        nameof(LatencyUs) => (0, 20_000),
        nameof(DiskUs) => (0, 100_000),
        nameof(SegmentBytes) => (16, 1 << 20),
        nameof(SocketBytes) => (128, 1 << 20),
        nameof(TearBlocks) => (1, 8),
        nameof(RevertsOnFailure) or nameof(Reader) or nameof(BareReader) => (0, 1),
        _ => (0, 1_000),
    };

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
