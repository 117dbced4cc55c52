using System.Numerics;
using Dst.Core.Sessions.Client;
using Dst.Core.Wire;
using Dst.IO.Measure;
using Dst.IO.Memory;
using Dst.Net.Client.Lanes;

namespace Dst.Net.Client;

/// <summary>
/// Everything that the lanes and connections of one node share. Made at start; memory goes back with the node.
/// </summary>
internal sealed class NodeLanes : IDisposable
{
    private readonly ActivitySignal _signal;
    private readonly List<NativeBlock> _heads = [];
    private readonly Lock _gate = new();
    private readonly long _logMemoryBytes;
    private readonly nint[] _logAddresses;
    private readonly List<NativeBlock> _logs = [];
    private readonly LogSum[][] _logSums;

    /// <summary>Makes lanes that no queue has, and connections without sockets.</summary>
    /// <param name="plan">Sizes.</param>
    /// <param name="signal">Wakes the session thread.</param>
    public NodeLanes(in LanePlan plan, ActivitySignal signal)
    {
        _signal = signal;
        // An entry that reaches beyond the end is stored in one run: only one can be there at a time.
        _logMemoryBytes = plan.LogBytesPerLane + plan.MaxRequestBytes;
        int entries = (int)long.Clamp(
            plan.LogBytesPerLane / ClientNetLimits.LogBytesPerEntry,
            ClientNetLimits.LogEntriesMin,
            ClientLimits.LogEntriesMax);
        Shared = new ClientNodeShared(
            plan.Lanes, plan.Connections, plan.SlotsPerConnection, plan.LogBytesPerLane, entries);
        Borders = new LaneBorder[plan.Lanes];
        Desks = new LaneDesk[plan.Lanes];
        _logAddresses = new nint[plan.Lanes];
        _logSums = new LogSum[plan.Lanes][];
        for (int i = 0; i < plan.Lanes; i++)
        {
            Borders[i] = new LaneBorder(i, plan.SlotsPerConnection);
            Desks[i] = new LaneDesk(Borders[i]);
        }

        Connections = new NodeConnection[plan.Connections];
        for (int i = 0; i < plan.Connections; i++)
        {
            Connections[i] = new NodeConnection(i, Signal);
        }

        HeadBytes = WireLimits.HeaderBytes + DataChecksum.TableBytes(ChecksumKind.Xxh3, plan.MaxRequestBytes);
    }

    /// <summary>What the machines share.</summary>
    public ClientNodeShared Shared { get; }

    /// <summary>What other threads touch of each lane.</summary>
    public LaneBorder[] Borders { get; }

    /// <summary>Who speaks for each lane without a queue.</summary>
    public LaneDesk[] Desks { get; }

    /// <summary>The connections.</summary>
    public NodeConnection[] Connections { get; }

    /// <summary>Bytes of the head of a request: header and longest table.</summary>
    public int HeadBytes { get; }

    /// <summary>
    /// Memory for heads; it lives until the node's end, for TX may still read it when a queue has ended.
    /// </summary>
    /// <param name="count">Heads.</param>
    /// <exception cref="NativeMemoryException">The memory cannot be had.</exception>
    public nint AllocateHeads(int count)
    {
        NativeBlock block = NativeBlock.Allocate((long)count * HeadBytes, "heads of network requests");
        lock (_gate)
        {
            _heads.Add(block);
        }

        return block.Address;
    }

    /// <summary>
    /// Makes the memory of the replay logs, once. Session thread, before a lane of a write-back session settles (S-21).
    /// </summary>
    /// <exception cref="NativeMemoryException">The memory cannot be had.</exception>
    public void AllocateLogs()
    {
        while (_logs.Count < Borders.Length)
        {
            _logSums[_logs.Count] = new LogSum[Shared.LogPlaces];
            _logs.Add(NativeBlock.Allocate(_logMemoryBytes, "replay log"));
            Volatile.Write(ref _logAddresses[_logs.Count - 1], _logs[^1].Address);
        }
    }

    /// <summary>The memory of a lane's log. Queue thread.</summary>
    /// <param name="lane">The lane.</param>
    public nint LogOf(int lane)
    {
        nint address = Volatile.Read(ref _logAddresses[lane]);
        Core.Must.Be(address != 0, $"lane {lane} has no replay log");
        return address;
    }

    /// <summary>
    /// The checksums of a lane's log, by the places of its entries; each is written by the lane's thread beside the
    /// copy. Queue thread, after <see cref="LogOf"/>.
    /// </summary>
    /// <param name="lane">The lane.</param>
    public Span<LogSum> SumsOf(int lane) => _logSums[lane];

    /// <summary>Makes the session thread look. Any thread.</summary>
    public void Signal() => _signal.Signal();

    /// <summary>Wakes lanes. Any thread.</summary>
    /// <param name="lanes">Their bits.</param>
    public void Wake(ulong lanes)
    {
        for (ulong left = lanes; left != 0; left &= left - 1)
        {
            Borders[BitOperations.TrailingZeroCount(left)].Wake();
        }
    }

    /// <summary>Gives all memory back. After every thread and queue of the node has ended.</summary>
    public void Dispose()
    {
        foreach (NodeConnection connection in Connections)
        {
            connection.Dispose();
        }

        foreach (NativeBlock block in (IEnumerable<NativeBlock>)[.. _heads, .. _logs])
        {
            block.Dispose();
        }
    }
}

/// <summary>Sizes of a node's lanes.</summary>
/// <param name="Lanes">Lanes.</param>
/// <param name="Connections">Connections, at most as many.</param>
/// <param name="SlotsPerConnection">Slots of each.</param>
/// <param name="MaxRequestBytes">Longest read or write of any session.</param>
/// <param name="LogBytesPerLane">Replay log of each lane.</param>
internal readonly record struct LanePlan(
    int Lanes, int Connections, int SlotsPerConnection, int MaxRequestBytes, long LogBytesPerLane);
