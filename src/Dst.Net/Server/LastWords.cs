using Dst.Core.Sessions;
using Dst.Core.Wire;

namespace Dst.Net.Server;

/// <summary>ERROR frames of a server that no export writes, made once: refusing allocates nothing. Any thread.</summary>
internal static class LastWords
{
    private static readonly byte[][] Frames = MakeAll();

    /// <summary>Writes ERROR with a text that fits every export.</summary>
    /// <param name="code">A known code.</param>
    /// <param name="frame">At least <see cref="LengthMaxBytes"/> bytes.</param>
    /// <returns>Length of the frame.</returns>
    public static int Write(RefusalCode code, Span<byte> frame)
    {
        byte[] made = Frames[(int)code];
        made.CopyTo(frame);
        return made.Length;
    }

    /// <summary>Longest of these frames.</summary>
    public static int LengthMaxBytes => Frames.Max(frame => frame.Length);

    private static byte[][] MakeAll()
    {
        byte[] buffer = new byte[WireLimits.ControlFrameMaxBytes];
        var frames = new byte[(int)RefusalCode.ExportGone + 1][];
        frames[0] = [];
        for (int i = 1; i < frames.Length; i++)
        {
            ErrorMessage message = new() { Text = RefusalText.For(new WireText("of this server"), (RefusalCode)i, default) };
            frames[i] = buffer[..MessageCodec.Write((RefusalCode)i, in message, buffer)];
        }

        return frames;
    }
}
