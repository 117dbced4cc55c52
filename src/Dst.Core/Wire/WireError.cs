namespace Dst.Core.Wire;

/// <summary>
/// Why bytes are no frame of this protocol. Each value but <see cref="None"/> ends the connection (N-33).
/// </summary>
public enum WireError : byte
{
    /// <summary>Nothing is wrong.</summary>
    None,

    /// <summary>Fewer bytes than the part that is read needs.</summary>
    Short,

    /// <summary>The first four bytes are not those of DST.</summary>
    Magic,

    /// <summary>The header's own checksum does not match (S-33).</summary>
    HeaderChecksum,

    /// <summary>A byte that must be zero is not.</summary>
    Reserved,

    /// <summary>No frame has this kind.</summary>
    Kind,

    /// <summary>A field that this kind of frame does not use is not zero.</summary>
    UnusedField,

    /// <summary>The operation is none that exists.</summary>
    Operation,

    /// <summary>A flag is unknown, or not one of this kind of frame or operation.</summary>
    Flags,

    /// <summary>The status or code is none that exists, or contradicts the rest.</summary>
    Status,

    /// <summary>The epoch is missing.</summary>
    Epoch,

    /// <summary>The sequence is missing.</summary>
    Sequence,

    /// <summary>The slot is beyond the limit.</summary>
    Slot,

    /// <summary>The body's length is beyond the limit or does not fit the rest of the header.</summary>
    BodyLength,

    /// <summary>Offset and length are no range, or beyond the limits.</summary>
    Range,

    /// <summary>A type-length-value entry reaches beyond the body, or there are too many.</summary>
    Tlv,

    /// <summary>An entry that must be understood is unknown or does not belong here.</summary>
    TlvUnknown,

    /// <summary>An entry is there twice.</summary>
    TlvDouble,

    /// <summary>An entry that must be there is not.</summary>
    TlvMissing,

    /// <summary>The value of an entry has the wrong length or is not allowed.</summary>
    TlvValue,

    /// <summary>The table of a write or of a read's data does not match the data (S-33).</summary>
    DataChecksum,
}
