using Dst.Core.Sessions;
using Dst.Core.Wire;

namespace Dst.Net.Server.Engine;

/// <summary>
/// ERROR frames. Those that need to know nothing but the code are made once: so to refuse allocates nothing. Immutable;
/// any thread.
/// </summary>
internal sealed class LastWords
{
    private readonly byte[][] _frames = new byte[(int)RefusalCode.ExportGone + 1][];

    private readonly string _export;

    /// <summary>Makes the frames.</summary>
    /// <param name="export">Name of the export that they speak of.</param>
    public LastWords(string export)
    {
        _export = export;
        byte[] buffer = new byte[WireLimits.ControlFrameMaxBytes];
        _frames[0] = [];
        for (int i = 1; i < _frames.Length; i++)
        {
            ErrorMessage message = new() { Text = RefusalText.For(new WireText(export), (RefusalCode)i, default) };
            _frames[i] = buffer[..MessageCodec.Write((RefusalCode)i, in message, buffer)];
        }
    }

    /// <summary>For clients whose export is not known, or is nobody's business.</summary>
    public static LastWords OfServer { get; } = new("that was asked for");

    /// <summary>The frame of a code; none for <see cref="RefusalCode.None"/>.</summary>
    /// <param name="code">A known code.</param>
    public byte[] For(RefusalCode code) => _frames[(int)code];

    /// <summary>
    /// The frame that ends a connection over one request (S-33). Allocates: at most once in the life of a connection.
    /// </summary>
    /// <param name="code">Why.</param>
    /// <param name="slot">The request's slot.</param>
    /// <param name="sequence">Its sequence, not 0.</param>
    public byte[] About(RefusalCode code, int slot, ulong sequence)
    {
        ErrorMessage message = new()
        {
            Text = RefusalText.For(new WireText(_export), code, default),
            Slot = (ushort)slot,
            Sequence = sequence,
        };
        byte[] buffer = new byte[WireLimits.ControlFrameMaxBytes];
        return buffer[..MessageCodec.Write(code, in message, buffer)];
    }
}
