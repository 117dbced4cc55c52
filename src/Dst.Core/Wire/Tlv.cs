using System.Buffers.Binary;

namespace Dst.Core.Wire;

/// <summary>
/// Types of entries in the bodies of control frames. The highest bit says that who does not know the type may skip it.
/// The numbers are those on the wire.
/// </summary>
public enum TlvType : ushort
{
    /// <summary>No entry.</summary>
    None = 0,

    /// <summary>u16 lowest, u16 highest protocol version.</summary>
    Versions = 1,

    /// <summary>u64 required, u64 optional feature bits.</summary>
    Features = 2,

    /// <summary>16 random bytes of the sender.</summary>
    Nonce = 3,

    /// <summary>u8: bit k is set when checksum kind k may be used.</summary>
    Checksums = 4,

    /// <summary>u64, never 0: drawn at the start of the server process (S-20).</summary>
    BootId = 5,

    /// <summary>16 bytes: the server's nonce, sent back (N-40).</summary>
    Challenge = 7,

    /// <summary>Name of the export, 1 to 64 bytes.</summary>
    Export = 8,

    /// <summary>16 bytes UUID of the device, u32 index of the node (S-02).</summary>
    Device = 9,

    /// <summary>u64, never 0: drawn at the start of the target (S-02).</summary>
    Incarnation = 10,

    /// <summary>u8 access, u8 flags: bit 0 take-over (S-04).</summary>
    Access = 11,

    /// <summary>u64: the epoch that is replaced, 0 for none (S-02).</summary>
    Replaces = 12,

    /// <summary>16 bytes identity, u64 size that the client remembers; zero for nothing (S-07).</summary>
    Expected = 13,

    /// <summary>u16 connections, u16 requests, u32 bytes: for each connection (S-31).</summary>
    Credits = 14,

    /// <summary>u8 checksum kind.</summary>
    Checksum = 15,

    /// <summary>u64 epoch.</summary>
    Epoch = 17,

    /// <summary>16 random bytes that JOIN has to show (S-08).</summary>
    Token = 18,

    /// <summary>u16: number of the connection in its session, from 0.</summary>
    Connection = 19,

    /// <summary>16 bytes: the export's UUID (S-07).</summary>
    Identity = 20,

    /// <summary>32 bytes, see <see cref="ExportGeometry"/>.</summary>
    Geometry = 21,

    /// <summary>
    /// u64 boot id, u64 write-error generation, u8 cache mode, u8 flags: bit 0 poisoned (S-20, S-24).
    /// </summary>
    ServerState = 22,

    /// <summary>u32: entries in the COMPLETED frames before.</summary>
    CompletedCount = 23,

    /// <summary>u32 requests with the disk, u32 milliseconds waited so far (S-05).</summary>
    Wait = 24,

    /// <summary>Text: program and version of the sender.</summary>
    Software = 0x8006,

    /// <summary>Text: who the client is, for people; with an error: who holds the export.</summary>
    Holder = 0x8010,

    /// <summary>Text for people.</summary>
    Text = 0x8019,

    /// <summary>u16 slot, u64 sequence: the request that a refusal is about (S-33).</summary>
    Request = 0x801A,

    /// <summary>u16: queues of the client that share its connections (S-31).</summary>
    Lanes = 0x801B,
}

/// <summary>
/// Writes entries one after the other: u16 type, u16 length, value. Sticky: after one that does not fit nothing is
/// written.
/// </summary>
/// <param name="target">Where to.</param>
public ref struct TlvWriter(Span<byte> target)
{
    private readonly Span<byte> _target = target;

    /// <summary>Bytes written.</summary>
    public int LengthBytes { get; private set; }

    /// <summary>True when an entry did not fit.</summary>
    public bool Overflow { get; private set; }

    /// <summary>Adds an entry and gives its value's place; empty when it does not fit.</summary>
    /// <param name="type">Its type.</param>
    /// <param name="lengthBytes">Length of its value.</param>
    public Span<byte> Add(TlvType type, int lengthBytes)
    {
        int needed = WireLimits.TlvHeaderBytes + lengthBytes;
        if (Overflow || lengthBytes > ushort.MaxValue || _target.Length - LengthBytes < needed)
        {
            Overflow = true;
            return [];
        }

        Span<byte> entry = _target.Slice(LengthBytes, needed);
        BinaryPrimitives.WriteUInt16LittleEndian(entry, (ushort)type);
        BinaryPrimitives.WriteUInt16LittleEndian(entry[2..], (ushort)lengthBytes);
        LengthBytes += needed;
        return entry[WireLimits.TlvHeaderBytes..];
    }

    /// <summary>Adds bytes.</summary>
    /// <param name="type">Type.</param>
    /// <param name="value">Value.</param>
    public void AddBytes(TlvType type, scoped ReadOnlySpan<byte> value)
    {
        Span<byte> place = Add(type, value.Length);
        if (!Overflow)
        {
            value.CopyTo(place);
        }
    }

    /// <summary>Adds a text, unless it is empty.</summary>
    /// <param name="type">Type.</param>
    /// <param name="text">Text.</param>
    public void AddText(TlvType type, scoped in WireText text)
    {
        if (!text.IsEmpty)
        {
            AddBytes(type, text.Utf8);
        }
    }

    /// <summary>Adds one byte.</summary>
    /// <param name="type">Type.</param>
    /// <param name="value">Value.</param>
    public void AddByte(TlvType type, byte value) => AddBytes(type, [value]);

    /// <summary>Adds two bytes.</summary>
    /// <param name="type">Type.</param>
    /// <param name="value">Value.</param>
    public void AddUInt16(TlvType type, ushort value)
    {
        Span<byte> bytes = stackalloc byte[sizeof(ushort)];
        BinaryPrimitives.WriteUInt16LittleEndian(bytes, value);
        AddBytes(type, bytes);
    }

    /// <summary>Adds four bytes.</summary>
    /// <param name="type">Type.</param>
    /// <param name="value">Value.</param>
    public void AddUInt32(TlvType type, uint value)
    {
        Span<byte> bytes = stackalloc byte[sizeof(uint)];
        BinaryPrimitives.WriteUInt32LittleEndian(bytes, value);
        AddBytes(type, bytes);
    }

    /// <summary>Adds eight bytes.</summary>
    /// <param name="type">Type.</param>
    /// <param name="value">Value.</param>
    public void AddUInt64(TlvType type, ulong value)
    {
        Span<byte> bytes = stackalloc byte[sizeof(ulong)];
        BinaryPrimitives.WriteUInt64LittleEndian(bytes, value);
        AddBytes(type, bytes);
    }

    /// <summary>Adds sixteen bytes in the order in which an id is written: highest first.</summary>
    /// <param name="type">Type.</param>
    /// <param name="value">Value.</param>
    public void AddId(TlvType type, UInt128 value)
    {
        Span<byte> bytes = stackalloc byte[16];
        BinaryPrimitives.WriteUInt128BigEndian(bytes, value);
        AddBytes(type, bytes);
    }
}

/// <summary>
/// Reads the entries of one body. It remembers which ones it met, so that a message can ask for those it needs (N-30).
/// </summary>
/// <param name="body">Any bytes.</param>
public ref struct TlvReader(ReadOnlySpan<byte> body)
{
    private const int OptionalBit = 0x8000;
    private ReadOnlySpan<byte> _rest = body;
    private ulong _seen;
    private ulong _seenOptional;
    private int _count;

    /// <summary>Type of the entry that was read last.</summary>
    public TlvType Type { get; private set; }

    /// <summary>Value of the entry that was read last.</summary>
    public ReadOnlySpan<byte> Value { get; private set; }

    /// <summary>Why reading ended; <see cref="WireError.None"/> at a good end.</summary>
    public WireError Error { get; private set; }

    /// <summary>Reads the next entry.</summary>
    /// <returns>False at the end and after an error.</returns>
    public bool Next()
    {
        if (Error != WireError.None || _rest.Length == 0)
        {
            return false;
        }

        if (_rest.Length < WireLimits.TlvHeaderBytes || ++_count > WireLimits.TlvsMax)
        {
            return Fail(WireError.Tlv);
        }

        Type = (TlvType)BinaryPrimitives.ReadUInt16LittleEndian(_rest);
        int lengthBytes = BinaryPrimitives.ReadUInt16LittleEndian(_rest[2..]);
        _rest = _rest[WireLimits.TlvHeaderBytes..];
        if (lengthBytes > _rest.Length)
        {
            return Fail(WireError.Tlv);
        }

        Value = _rest[..lengthBytes];
        _rest = _rest[lengthBytes..];
        // Apart: an optional entry that is skipped is none of those that a message needs, whatever its number (N-30).
        ref ulong seen = ref IsOptional(Type) ? ref _seenOptional : ref _seen;
        ulong bit = BitOf(Type);
        if ((seen & bit) != 0)
        {
            return Fail(WireError.TlvDouble);
        }

        seen |= bit;
        return true;
    }

    /// <summary>
    /// Says that the entry that was read last is not known here: skipped when it is optional, else an error.
    /// </summary>
    public void Unknown()
    {
        if (!IsOptional(Type))
        {
            Fail(WireError.TlvUnknown);
        }
    }

    /// <summary>Says that the value that was read last is wrong unless it is good.</summary>
    /// <param name="good">True for a good value.</param>
    public void Demand(bool good)
    {
        if (!good)
        {
            Fail(WireError.TlvValue);
        }
    }

    /// <summary>True when an entry of the type was read.</summary>
    /// <param name="type">One of <see cref="TlvType"/>.</param>
    public readonly bool Has(TlvType type) => ((IsOptional(type) ? _seenOptional : _seen) & BitOf(type)) != 0;

    /// <summary>The set of some types, as <see cref="End"/> takes it.</summary>
    /// <param name="types">Types that exist and are not optional.</param>
    public static ulong SetOf(params ReadOnlySpan<TlvType> types)
    {
        ulong set = 0;
        foreach (TlvType type in types)
        {
            set |= BitOf(type);
        }

        return set;
    }

    /// <summary>The reason to refuse the body, once all was read.</summary>
    /// <param name="needed">Types that must be there, from <see cref="SetOf"/>.</param>
    public readonly WireError End(ulong needed) =>
        Error == WireError.None && (_seen & needed) != needed ? WireError.TlvMissing : Error;

    /// <summary>The value as one byte.</summary>
    public byte Byte() => IsLong(1) ? Value[0] : (byte)0;

    /// <summary>The value as two bytes.</summary>
    public ushort UInt16() => IsLong(sizeof(ushort)) ? BinaryPrimitives.ReadUInt16LittleEndian(Value) : (ushort)0;

    /// <summary>The value as four bytes.</summary>
    public uint UInt32() => IsLong(sizeof(uint)) ? BinaryPrimitives.ReadUInt32LittleEndian(Value) : 0;

    /// <summary>The value as eight bytes.</summary>
    public ulong UInt64() => IsLong(sizeof(ulong)) ? BinaryPrimitives.ReadUInt64LittleEndian(Value) : 0;

    /// <summary>The value as an id of sixteen bytes.</summary>
    public UInt128 Id() => IsLong(16) ? BinaryPrimitives.ReadUInt128BigEndian(Value) : UInt128.Zero;

    /// <summary>The value as a text of 1 to <see cref="WireLimits.TextMaxBytes"/> bytes.</summary>
    public WireText Text()
    {
        if (Value.Length is 0 or > WireLimits.TextMaxBytes)
        {
            Fail(WireError.TlvValue);
            return default;
        }

        return new WireText(Value);
    }

    /// <summary>True when the value has this length; otherwise the body is wrong.</summary>
    /// <param name="lengthBytes">Wanted length.</param>
    public bool IsLong(int lengthBytes) => Value.Length == lengthBytes || Fail(WireError.TlvValue);

    private static bool IsOptional(TlvType type) => ((int)type & OptionalBit) != 0;

    /// <summary>A bit for each number below 64; others have none.</summary>
    private static ulong BitOf(TlvType type)
    {
        int number = (int)type & ~OptionalBit;
        return number < 64 ? 1UL << number : 0;
    }

    private bool Fail(WireError error)
    {
        Error = Error == WireError.None ? error : Error;
        return false;
    }
}
