using Dst.Core.Requests;

namespace Dst.Core.Wire;

/// <summary>
/// The fields of a frame's header. Which of them a kind uses is said in docs/protocol.md; the others are zero.
/// </summary>
public struct FrameHeader
{
    /// <summary>What the frame is.</summary>
    public FrameKind Kind;

    /// <summary>REQUEST, REPLY: the operation.</summary>
    public Operation Operation;

    /// <summary>REQUEST: how it is to be done.</summary>
    public FrameFlags Flags;

    /// <summary>The session's epoch; 0 where there is none yet, and in read-only sessions.</summary>
    public ulong Epoch;

    /// <summary>REQUEST, REPLY: sequence of the slot, from 1 (S-10). PING, PONG: a number to be sent back.</summary>
    public ulong Sequence;

    /// <summary>REQUEST, REPLY: the slot.</summary>
    public ushort Slot;

    /// <summary>REPLY: a <see cref="WireStatus"/>. ERROR: a <see cref="RefusalCode"/>.</summary>
    public ushort Status;

    /// <summary>Bytes that follow the header and belong to this frame.</summary>
    public uint BodyBytes;

    /// <summary>REQUEST, REPLY of a range: first byte. REPLY of a flush: boot id (S-20).</summary>
    public ulong OffsetBytes;

    /// <summary>REQUEST, REPLY of a range: bytes. REPLY of a flush: write-error generation (S-20).</summary>
    public ulong LengthBytes;

    /// <summary>CRC-32C of a body of entries or records; 0 without, and with data, whose table it has (S-33).</summary>
    public uint BodyChecksum;
}

/// <summary>The closed table between statuses and their numbers on the wire (C-10). Pure; any thread.</summary>
public static class WireStatus
{
    /// <summary>Highest number that exists.</summary>
    public const ushort Max = 12;

    /// <summary>The number of a status. It does not follow the enumeration, which may be sorted anew.</summary>
    /// <param name="status">How the request ended; a value outside the enumeration ends the process.</param>
    public static ushort ToWire(DstStatus status)
    {
        switch (status)
        {
            case DstStatus.Ok: return 0;
            case DstStatus.IoError: return 1;
            case DstStatus.NotSupported: return 2;
            case DstStatus.NoSpace: return 3;
            case DstStatus.TimedOut: return 4;
            case DstStatus.LinkLost: return 5;
            case DstStatus.TargetError: return 6;
            case DstStatus.ReservationConflict: return 7;
            case DstStatus.MediumError: return 8;
            case DstStatus.ProtectionError: return 9;
            case DstStatus.Offline: return 10;
            case DstStatus.ReadOnly: return 11;
            case DstStatus.Invalid: return 12;
            default:
                Must.Fail($"status {(int)status} has no number on the wire");
                return 1;
        }
    }

    /// <summary>The status of a number.</summary>
    /// <param name="wire">From a reply.</param>
    /// <param name="status">The status; <see cref="DstStatus.IoError"/> when false is returned.</param>
    public static bool TryFromWire(ushort wire, out DstStatus status)
    {
        status = wire switch
        {
            0 => DstStatus.Ok,
            2 => DstStatus.NotSupported,
            3 => DstStatus.NoSpace,
            4 => DstStatus.TimedOut,
            5 => DstStatus.LinkLost,
            6 => DstStatus.TargetError,
            7 => DstStatus.ReservationConflict,
            8 => DstStatus.MediumError,
            9 => DstStatus.ProtectionError,
            10 => DstStatus.Offline,
            11 => DstStatus.ReadOnly,
            12 => DstStatus.Invalid,
            _ => DstStatus.IoError,
        };
        return wire <= Max;
    }
}
