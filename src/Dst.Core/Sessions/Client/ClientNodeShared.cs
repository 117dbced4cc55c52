using Dst.Core.Wire;

namespace Dst.Core.Sessions.Client;

/// <summary>
/// What a server said is done (S-10): status and sequence for each slot of each connection of the epoch before.
/// </summary>
/// <remarks>Written by the node's thread while every lane is down, read by the lanes when they settle.</remarks>
public sealed class CompletedTable
{
    private readonly ulong[] _sequences;
    private readonly ushort[] _statuses;
    private readonly int _slots;

    /// <summary>An empty table.</summary>
    /// <param name="connections">Most connections of the session.</param>
    /// <param name="slots">Most slots of a connection.</param>
    public CompletedTable(int connections, int slots)
    {
        _slots = slots;
        _sequences = new ulong[connections * slots];
        _statuses = new ushort[connections * slots];
    }

    /// <summary>Forgets everything.</summary>
    public void Clear() => Array.Clear(_sequences);

    /// <summary>Takes one record. What lies beyond the table was never asked for and is forgotten.</summary>
    /// <param name="entry">From the wire.</param>
    public void Add(in CompletedEntry entry)
    {
        int index = entry.Connection * _slots + entry.Slot;
        if (entry.Slot < _slots && index < _sequences.Length)
        {
            _sequences[index] = entry.Sequence;
            _statuses[index] = entry.Status;
        }
    }

    /// <summary>True when this very use of the slot is done.</summary>
    /// <param name="connection">The connection.</param>
    /// <param name="slot">The slot on the wire.</param>
    /// <param name="sequence">Its sequence.</param>
    /// <param name="status">How it ended, as on the wire.</param>
    public bool TryFind(int connection, int slot, ulong sequence, out ushort status)
    {
        int index = connection * _slots + slot;
        status = _statuses[index];
        return _sequences[index] == sequence;
    }
}

/// <summary>What the lanes of one node share with each other and with the node.</summary>
public sealed class ClientNodeShared
{
    /// <summary>Makes it.</summary>
    /// <param name="lanes">Lanes of the node, 1 to <see cref="ClientLimits.LanesMax"/>.</param>
    /// <param name="connections">Most connections, at most as many as lanes.</param>
    /// <param name="slotsPerConnection">Most slots of a connection.</param>
    /// <param name="logBytesPerLane">Bytes of each lane's arena.</param>
    /// <param name="logEntriesPerLane">Entries of each lane's log.</param>
    public ClientNodeShared(
        int lanes, int connections, int slotsPerConnection, long logBytesPerLane, int logEntriesPerLane)
    {
        Must.Be(lanes is >= 1 and <= ClientLimits.LanesMax, $"{lanes} lanes");
        Must.Be(connections >= 1 && connections <= lanes, $"{connections} connections for {lanes} lanes");
        Must.Be(slotsPerConnection is >= 1 and <= WireLimits.SlotsMax, $"{slotsPerConnection} slots");
        Completed = new CompletedTable(connections, slotsPerConnection);
        Connections = connections;
        SlotsPerConnection = slotsPerConnection;
        Logs = new ReplayLog[lanes];
        for (int i = 0; i < lanes; i++)
        {
            Logs[i] = new ReplayLog(logBytesPerLane, logEntriesPerLane);
        }

        Plan = new ReplayPlan(Logs);
    }

    /// <summary>Lanes of the node.</summary>
    public int Lanes => Logs.Length;

    /// <summary>Places for entries in each lane's log.</summary>
    public int LogPlaces => Logs[0].Places;

    /// <summary>Most connections.</summary>
    public int Connections { get; }

    /// <summary>Most slots of a connection.</summary>
    public int SlotsPerConnection { get; }

    /// <summary>The order of changes over all lanes.</summary>
    public ChangeOrder Order { get; } = new();

    /// <summary>What the server has completed.</summary>
    public CompletedTable Completed { get; }

    /// <summary>Each lane's log.</summary>
    internal ReplayLog[] Logs { get; }

    /// <summary>What a replay of them sends.</summary>
    internal ReplayPlan Plan { get; }
}
