using Dst.Core.Wire;

namespace Dst.Core.Sessions;

/// <summary>
/// The connections of a server that have not attached yet: at most <see cref="WireLimits.UnattachedMax"/>, the oldest
/// makes room (S-32, N-32). Owned by the control thread.
/// </summary>
public sealed class HandshakeRoom
{
    private readonly int[] _connections = new int[WireLimits.UnattachedMax]; // oldest first

    /// <summary>Connections in it.</summary>
    public int Count { get; private set; }

    /// <summary>A connection was accepted.</summary>
    /// <param name="connection">Its id.</param>
    /// <returns>The connection to be closed with <see cref="RefusalCode.TooMany"/>; -1 for none.</returns>
    public int Enter(int connection)
    {
        int evicted = -1;
        if (Count == _connections.Length)
        {
            evicted = _connections[0];
            Leave(evicted);
        }

        _connections[Count++] = connection;
        return evicted;
    }

    /// <summary>A connection attached, joined or closed. Unknown ones are ignored.</summary>
    /// <param name="connection">Its id.</param>
    public void Leave(int connection)
    {
        int at = _connections.AsSpan(0, Count).IndexOf(connection);
        if (at >= 0)
        {
            _connections.AsSpan(at + 1, Count - at - 1).CopyTo(_connections.AsSpan(at));
            Count--;
        }
    }
}
