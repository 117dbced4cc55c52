using Dst.Core.Wire;

namespace Dst.Core.Sessions;

/// <summary>
/// The payload budget of a server, shared by all its exports (S-31). Every newcomer gets at most a quarter of what is
/// free, so that the first does not take all; but never less than one largest request for each connection, or for each
/// of the client's lanes that share it. Owned by the control thread.
/// </summary>
public sealed class CreditBudget
{
    private const int ShareOfFree = 4;

    private readonly long _totalBytes;
    private long _usedBytes;

    /// <summary>A budget of which nothing is used.</summary>
    /// <param name="totalBytes">At least 1.</param>
    public CreditBudget(long totalBytes)
    {
        Must.Be(totalBytes > 0, $"a payload budget of {totalBytes}");
        _totalBytes = totalBytes;
    }

    /// <summary>Bytes of all grants that were not given back.</summary>
    public long UsedBytes => _usedBytes;

    /// <summary>Bytes that are left.</summary>
    public long FreeBytes => _totalBytes - _usedBytes;

    /// <summary>Grants what it can of a wish.</summary>
    /// <param name="wanted">A valid wish.</param>
    /// <param name="maxRequestBytes">Largest read or write of the export.</param>
    /// <param name="slotsMax">Most slots of a connection that the export keeps.</param>
    /// <param name="connectionsMax">Most connections of a session of the export.</param>
    /// <param name="mayShrink">False when the number of connections must be the wanted one.</param>
    /// <param name="grant">What was granted; to be given back by <see cref="Return"/>.</param>
    /// <param name="lanes">Lanes that share the connections; fewer than these count as so many.</param>
    /// <returns>False when less than one largest request would be left for a connection or a lane.</returns>
    public bool TryTake(
        CreditGrant wanted,
        uint maxRequestBytes,
        int slotsMax,
        int connectionsMax,
        bool mayShrink,
        out CreditGrant grant,
        int lanes = 1)
    {
        grant = default;
        long connections = int.Min(wanted.Connections, connectionsMax);
        long possible = FreeBytes / maxRequestBytes;
        while (mayShrink && connections > 1 && connections * LargestOn(connections, lanes) > possible)
        {
            connections--;
        }

        if (connections * LargestOn(connections, lanes) > possible && !Mutations.Has(Mutation.BudgetOverdrawn))
        {
            return false;
        }

        long least = LargestOn(connections, lanes) * maxRequestBytes;
        long share = long.Max(FreeBytes / ShareOfFree / connections, least);
        long payload = long.Min(long.Max(wanted.PayloadBytes, least), share);
        grant = new CreditGrant((ushort)connections, (ushort)int.Min(wanted.Requests, slotsMax), (uint)payload);
        _usedBytes += connections * payload;
        return true;
    }

    /// <summary>Largest requests that a connection must have room for: one for each lane on it.</summary>
    private static long LargestOn(long connections, int lanes) => long.Max((lanes + connections - 1) / connections, 1);

    /// <summary>Gives a grant back, once nothing of it is in use.</summary>
    /// <param name="grant">From <see cref="TryTake"/>, once.</param>
    public void Return(CreditGrant grant)
    {
        _usedBytes -= (long)grant.Connections * grant.PayloadBytes;
        Must.Be(_usedBytes >= 0, $"credits given back twice: {grant}");
    }
}
