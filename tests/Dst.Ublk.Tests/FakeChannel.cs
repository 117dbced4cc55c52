using System.Runtime.InteropServices;
using Dst.Interop;
using Dst.Ublk.Control;

namespace Dst.Ublk.Tests;

/// <summary>A driver of one device, which may make another one than was asked for and keep other parameters.</summary>
internal sealed class FakeChannel : IControlChannel
{
    private UblkParams _kept;

    public List<uint> Commands { get; } = [];

    /// <summary>What GET_FEATURES says.</summary>
    public ulong Features { get; init; } = ulong.MaxValue;

    /// <summary>What ADD_DEV makes of what it is asked for; the first free number is 7.</summary>
    public Func<UblkCtrlDevInfo, UblkCtrlDevInfo> Make { get; init; } = static asked => asked;

    /// <summary>Numbers of the devices that are there.</summary>
    public List<uint> Devices { get; } = [];

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
            case UblkAbi.UBLK_U_CMD_GET_FEATURES:
                MemoryMarshal.Write(payload, Features);
                inspect?.Invoke(payload);
                return 0;
            case UblkAbi.UBLK_U_CMD_ADD_DEV:
                UblkCtrlDevInfo made = Make(MemoryMarshal.Read<UblkCtrlDevInfo>(payload));
                made.DevId = made.DevId == uint.MaxValue ? 7 : made.DevId;
                Devices.Add(made.DevId);
                MemoryMarshal.Write(payload, made);
                inspect?.Invoke(payload);
                return 0;
            case UblkAbi.UBLK_U_CMD_DEL_DEV:
                return Devices.Remove(command.DevId) ? 0 : -Errno.ENODEV;
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
