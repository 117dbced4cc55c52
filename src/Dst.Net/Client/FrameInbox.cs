using Dst.Core.Wire;
using Dst.IO.Rings;

namespace Dst.Net.Client;

/// <summary>
/// Control frames on their way from RX to the session thread: bounded, copied into cells that are there from the start.
/// </summary>
internal sealed class FrameInbox
{
    private readonly byte[] _bodies = new byte[ClientNetLimits.InboxFrames * WireLimits.ControlBodyMaxBytes];
    private readonly FrameHeader[] _headers = new FrameHeader[ClientNetLimits.InboxFrames];
    private readonly SpscRing<int> _full = new(ClientNetLimits.InboxFrames);
    private readonly SpscRing<int> _empty = new(ClientNetLimits.InboxFrames);

    /// <summary>An empty inbox.</summary>
    public FrameInbox()
    {
        for (int i = 0; i < ClientNetLimits.InboxFrames; i++)
        {
            _empty.TryPut(i);
        }
    }

    /// <summary>Puts a frame in. RX thread.</summary>
    /// <param name="header">Its header.</param>
    /// <param name="body">Its body, at most <see cref="WireLimits.ControlBodyMaxBytes"/>.</param>
    /// <returns>False when the session thread has not kept up.</returns>
    public bool TryPut(in FrameHeader header, ReadOnlySpan<byte> body)
    {
        if (!_empty.TryTake(out int cell))
        {
            return false;
        }

        _headers[cell] = header;
        body.CopyTo(_bodies.AsSpan(cell * WireLimits.ControlBodyMaxBytes));
        _full.TryPut(cell);
        return true;
    }

    /// <summary>Takes the oldest frame. Session thread.</summary>
    /// <param name="cell">Its cell, to be given back.</param>
    public bool TryTake(out int cell) => _full.TryTake(out cell);

    /// <summary>Header of a taken frame.</summary>
    /// <param name="cell">Its cell.</param>
    public ref readonly FrameHeader HeaderOf(int cell) => ref _headers[cell];

    /// <summary>Body of a taken frame.</summary>
    /// <param name="cell">Its cell.</param>
    public ReadOnlySpan<byte> BodyOf(int cell) =>
        _bodies.AsSpan(cell * WireLimits.ControlBodyMaxBytes, (int)_headers[cell].BodyBytes);

    /// <summary>Gives a taken frame's cell back. Session thread.</summary>
    /// <param name="cell">Its cell.</param>
    public void Give(int cell) => _empty.TryPut(cell);
}
