using System.Net.Sockets;

namespace Dst.Net.Tests;

/// <summary>All of some bytes, in as many calls as the socket wants.</summary>
internal static class WholeTransfers
{
    public static void SendAll(this Socket socket, ReadOnlySpan<byte> bytes)
    {
        while (bytes.Length > 0)
        {
            bytes = bytes[socket.Send(bytes)..];
        }
    }

    /// <summary>False at the end of the stream.</summary>
    public static bool ReceiveAll(this Socket socket, Span<byte> bytes)
    {
        while (bytes.Length > 0)
        {
            int got = socket.Receive(bytes);
            if (got == 0)
            {
                return false;
            }

            bytes = bytes[got..];
        }

        return true;
    }
}
