namespace Dst.Core.Requests;

/// <summary>What a request does.</summary>
public enum Operation : byte
{
    /// <summary>Fill the buffer from the range.</summary>
    Read,

    /// <summary>Store the buffer in the range.</summary>
    Write,

    /// <summary>Make durable every change that was completed before (C-02). Has no range.</summary>
    Flush,

    /// <summary>The contents of the range are no longer needed; undefined afterwards (C-07).</summary>
    Discard,

    /// <summary>The range reads back as zeroes (C-07).</summary>
    WriteZeroes,
}

/// <summary>How a request is to be carried out.</summary>
[Flags]
public enum RequestFlags : byte
{
    /// <summary>Nothing special.</summary>
    None = 0,

    /// <summary>A change is durable before it is completed; covers its own data only (C-04).</summary>
    Fua = 1,

    /// <summary>Write-zeroes keeps the range allocated (C-07).</summary>
    NoUnmap = 2,
}

/// <summary>One request of a frontend against the volume.</summary>
/// <param name="Operation">What to do.</param>
/// <param name="Flags">How to do it.</param>
/// <param name="OffsetBytes">First byte of the volume; ignored for a flush.</param>
/// <param name="LengthBytes">Bytes touched; ignored for a flush.</param>
public readonly record struct Request(Operation Operation, RequestFlags Flags, long OffsetBytes, long LengthBytes)
{
    /// <summary>True for operations that may alter what later reads return.</summary>
    public bool IsChange => Operation is Operation.Write or Operation.Discard or Operation.WriteZeroes;
}
