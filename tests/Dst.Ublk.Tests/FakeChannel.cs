using System.Runtime.InteropServices;
using Dst.Interop;
using Dst.Ublk.Control;

namespace Dst.Ublk.Tests;

/// <summary>A driver that keeps the parameters of one device, and may keep others than it was given.</summary>
internal sealed class FakeChannel : IControlChannel
{
    private UblkParams _kept;

    public List<uint> Commands { get; } = [];

    /// <summary>What the kernel makes of what it is given.</summary>
    public Func<UblkParams, UblkParams> Keep { get; init; } = static given => given;

    public int Execute(
        uint operation,
        UblkCtrlCmd command,
        int payloadBytes,
        PayloadAction? prepare,
        PayloadAction? inspect,
        int timeoutMs)
    {
        Commands.Add(operation);
        byte[] payload = new byte[payloadBytes];
        prepare?.Invoke(payload);
        switch (operation)
        {
            case UblkAbi.UBLK_U_CMD_SET_PARAMS:
                _kept = Keep(MemoryMarshal.Read<UblkParams>(payload));
                return 0;
            case UblkAbi.UBLK_U_CMD_GET_PARAMS when BitConverter.ToUInt32(payload) != payloadBytes:
                return -Errno.EINVAL;
            case UblkAbi.UBLK_U_CMD_GET_PARAMS:
                MemoryMarshal.Write(payload, _kept);
                inspect?.Invoke(payload);
                return 0;
            default:
                return -Errno.EOPNOTSUPP;
        }
    }

    public void Dispose()
    {
    }
}
