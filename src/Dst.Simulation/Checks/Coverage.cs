namespace Dst.Simulation.Checks;

/// <summary>The machines whose state and event pairs are counted.</summary>
internal enum Machine
{
    /// <summary>ClientNode: phase and what came.</summary>
    ClientNode,

    /// <summary>ClientLane: stage and what came.</summary>
    ClientLane,

    /// <summary>ServerConnection: state and frame.</summary>
    ServerConnection,

    /// <summary>ExportSession: live, draining, … and what came.</summary>
    ExportSession,

    /// <summary>ServerLane: what came and what it answered.</summary>
    ServerLane,
}

/// <summary>Counts pairs of state and event of each machine.</summary>
internal sealed class Coverage
{
    private const int Machines = 5;
    private const int StatesMax = 20;
    private const int EventsMax = 40;

    /// <summary>Places of all pairs.</summary>
    public const int Size = Machines * StatesMax * EventsMax;

    private readonly long[] _counts = new long[Size];

    /// <summary>Place of a pair.</summary>
    public static int IndexOf(Machine machine, int state, int happened) =>
        ((((int)machine * StatesMax) + state) * EventsMax) + happened;

    /// <summary>A pair was met.</summary>
    public void Hit(Machine machine, int state, int happened) =>
        _counts[IndexOf(machine, state, happened)]++;

    /// <summary>How often a pair was met.</summary>
    public long Count(Machine machine, int state, int happened) =>
        _counts[IndexOf(machine, state, happened)];

    /// <summary>Adds the counts of another run.</summary>
    public void Add(Coverage other)
    {
        for (int i = 0; i < _counts.Length; i++)
        {
            _counts[i] += other._counts[i];
        }
    }
}
