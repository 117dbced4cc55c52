using System.Buffers.Binary;
using CsCheck;
using Dst.Core.Requests;
using Dst.Core.Wire;
using Xunit;

namespace Dst.Core.Tests.Wire;

public sealed class FrameCodecTests
{
    public static TheoryData<string> Names => [.. Samples.Frames().Select(frame => frame.Name)];

    private static byte[] Bytes(string name) => Samples.Frames().Single(frame => frame.Name == name).Bytes;

    private static byte[] Sealed(byte[] header)
    {
        BinaryPrimitives.WriteUInt32LittleEndian(header.AsSpan(60), FrameCodec.ChecksumOf(header));
        return header;
    }

    private static WireError ErrorOf(FrameHeader header)
    {
        byte[] bytes = new byte[WireLimits.HeaderBytes];
        FrameCodec.Write(in header, bytes);
        return FrameCodec.TryRead(bytes, out _);
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Header_comes_back_as_it_was_written(string name)
    {
        byte[] bytes = Bytes(name);
        Assert.Equal(WireError.None, FrameCodec.TryRead(bytes, out FrameHeader header));
        byte[] again = new byte[WireLimits.HeaderBytes];
        FrameCodec.Write(in header, again);
        Assert.Equal(bytes[..WireLimits.HeaderBytes], again);
        Assert.Equal((uint)(bytes.Length - WireLimits.HeaderBytes), header.BodyBytes);
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Any_flipped_bit_of_a_header_is_found(string name)
    {
        byte[] bytes = Bytes(name)[..WireLimits.HeaderBytes];
        for (int bit = 0; bit < WireLimits.HeaderBytes * 8; bit++)
        {
            bytes[bit / 8] ^= (byte)(1 << (bit % 8));
            Assert.NotEqual(WireError.None, FrameCodec.TryRead(bytes, out FrameHeader header));
            Assert.Equal(FrameKind.None, header.Kind);
            bytes[bit / 8] ^= (byte)(1 << (bit % 8));
        }
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Reserved_bytes_must_be_zero(string name)
    {
        for (int at = 48; at < 56; at++)
        {
            byte[] bytes = Bytes(name)[..WireLimits.HeaderBytes];
            bytes[at] = 1;
            Assert.Equal(WireError.Reserved, FrameCodec.TryRead(Sealed(bytes), out _));
        }
    }

    /// <summary>Entries and records have one; data has a table of its own (S-33).</summary>
    [Theory]
    [MemberData(nameof(Names))]
    public void A_body_has_one_kind_of_checksum(string name)
    {
        byte[] bytes = Bytes(name);
        Assert.Equal(WireError.None, FrameCodec.TryRead(bytes, out FrameHeader header));
        bool hasEntries = header.BodyBytes > 0 && header.Kind is not (FrameKind.Request or FrameKind.Reply);
        Assert.Equal(hasEntries, header.BodyChecksum != 0);
        Assert.True(!hasEntries || FrameCodec.IsBodyIntact(in header, bytes.AsSpan(WireLimits.HeaderBytes)));
        const int bodyAt = 8 * WireLimits.HeaderBytes;
        for (int bit = bodyAt; hasEntries && bit < 8 * bytes.Length; bit++)
        {
            bytes[bit / 8] ^= (byte)(1 << (bit % 8));
            Assert.False(FrameCodec.IsBodyIntact(in header, bytes.AsSpan(WireLimits.HeaderBytes)));
            bytes[bit / 8] ^= (byte)(1 << (bit % 8));
        }

        if (!hasEntries)
        {
            bytes[56] = 1;
            Assert.Equal(WireError.UnusedField, FrameCodec.TryRead(Sealed(bytes[..64]), out _));
        }
    }

    [Fact]
    public void A_part_of_a_header_is_no_header()
    {
        byte[] bytes = Bytes("PING");
        for (int length = 0; length < WireLimits.HeaderBytes; length++)
        {
            Assert.Equal(WireError.Short, FrameCodec.TryRead(bytes.AsSpan(0, length), out _));
        }
    }

    [Fact]
    public void Checksum_is_the_known_one() =>
        Assert.Equal(0xE3069283u, DataChecksum.Crc32C("123456789"u8));

    [Fact]
    public void Header_checksum_is_crc32c_of_what_is_before_it()
    {
        byte[] bytes = Bytes("ATTACH");
        Assert.Equal(
            DataChecksum.Crc32C(bytes.AsSpan(0, 60)), BinaryPrimitives.ReadUInt32LittleEndian(bytes.AsSpan(60)));
    }

    [Theory]
    [InlineData("PING", 4, 0, WireError.Kind)]
    [InlineData("PING", 4, 16, WireError.Kind)]
    [InlineData("PING", 4, 255, WireError.Kind)]
    [InlineData("PING", 5, 1, WireError.UnusedField)]
    [InlineData("PING", 6, 1, WireError.Flags)]
    [InlineData("PING", 8, 1, WireError.UnusedField)]
    [InlineData("PING", 28, 1, WireError.BodyLength)]
    [InlineData("HELLO of a client", 16, 1, WireError.UnusedField)]
    [InlineData("HELLO of a client", 29, 255, WireError.BodyLength)]
    [InlineData("ATTACH_OK", 24, 1, WireError.UnusedField)]
    [InlineData("ATTACH_OK", 26, 1, WireError.UnusedField)]
    [InlineData("ATTACH_OK", 32, 1, WireError.UnusedField)]
    [InlineData("ATTACH_OK", 40, 1, WireError.UnusedField)]
    [InlineData("JOIN", 8, 0, WireError.Epoch)]
    [InlineData("JOIN_OK", 8, 0, WireError.Epoch)]
    [InlineData("BEGIN", 8, 0, WireError.Epoch)]
    [InlineData("BEGIN_OK", 8, 0, WireError.Epoch)]
    [InlineData("COMPLETED", 8, 0, WireError.Epoch)]
    [InlineData("COMPLETED", 28, 0, WireError.BodyLength)]
    [InlineData("COMPLETED", 28, 17, WireError.BodyLength)]
    [InlineData("ERROR", 26, 0, WireError.Status)]
    [InlineData("ERROR", 26, 21, WireError.Status)]
    [InlineData("REQUEST flush", 5, 0, WireError.Operation)]
    [InlineData("REQUEST flush", 5, 6, WireError.Operation)]
    [InlineData("REQUEST flush", 6, 1, WireError.Flags)]
    [InlineData("REQUEST flush", 7, 1, WireError.Flags)]
    [InlineData("REQUEST flush", 16, 0, WireError.Sequence)]
    [InlineData("REQUEST flush", 25, 0x10, WireError.Slot)]
    [InlineData("REQUEST flush", 26, 1, WireError.UnusedField)]
    [InlineData("REQUEST flush", 28, 1, WireError.BodyLength)]
    [InlineData("REQUEST flush", 32, 1, WireError.UnusedField)]
    [InlineData("REQUEST flush", 40, 1, WireError.UnusedField)]
    [InlineData("REPLY to that write", 6, 1, WireError.Flags)]
    [InlineData("REPLY to that write", 26, 13, WireError.Status)]
    [InlineData("REPLY to that write", 28, 1, WireError.BodyLength)]
    [InlineData("REPLY to that flush", 28, 1, WireError.BodyLength)]
    public void A_field_beyond_its_limits_is_refused(string name, int at, byte value, WireError expected)
    {
        byte[] bytes = Bytes(name)[..WireLimits.HeaderBytes];
        bytes[at] = value;
        Assert.Equal(expected, FrameCodec.TryRead(Sealed(bytes), out _));
    }

    [Theory]
    [InlineData(0UL, 0UL)]
    [InlineData(ulong.MaxValue, 512UL)]
    [InlineData(long.MaxValue - 511UL, 512UL)]
    [InlineData(0UL, ulong.MaxValue)]
    [InlineData(0UL, (1UL << 24) + 1)]
    [InlineData(0UL, 1UL << 63)]
    public void A_range_that_is_none_is_refused(ulong offset, ulong length)
    {
        foreach (FrameKind kind in (FrameKind[])[FrameKind.Request, FrameKind.Reply])
        {
            FrameHeader header = Samples.Request(Operation.Read, offset, length);
            header.Kind = kind;
            header.Status = (ushort)(kind == FrameKind.Reply ? 1 : 0);
            Assert.Equal(WireError.Range, ErrorOf(header));
        }
    }

    [Fact]
    public void Ranges_reach_exactly_to_the_limits()
    {
        Assert.Equal(WireError.None, ErrorOf(Samples.Request(Operation.Read, long.MaxValue - 512UL, 512)));
        Assert.Equal(WireError.None, ErrorOf(Samples.Request(Operation.Read, 0, WireLimits.DataMaxBytes)));
        const ulong Longest = (ulong)WireLimits.ChangeMaxBytes;
        Assert.Equal(WireError.None, ErrorOf(Samples.Request(Operation.Discard, 0, Longest)));
        Assert.Equal(WireError.Range, ErrorOf(Samples.Request(Operation.Discard, 0, Longest + 1)));
        Assert.Equal(WireError.None, ErrorOf(Samples.Request(Operation.WriteZeroes, 512, Longest)));
    }

    [Fact]
    public void Body_of_a_write_is_its_data_with_a_table_that_exists()
    {
        const int Length = 128 * 1024 + 512; // 3 chunks
        for (uint extra = 0; extra <= 40; extra++)
        {
            WireError expected = extra is 0 or 12 or 24 ? WireError.None : WireError.BodyLength;
            Assert.Equal(expected, ErrorOf(Samples.Request(Operation.Write, 0, Length, Length + extra)));
            Assert.Equal(expected, ErrorOf(Samples.Reply(Operation.Read, 0, 0, Length, Length + extra)));
        }

        Assert.Equal(WireError.BodyLength, ErrorOf(Samples.Request(Operation.Write, 0, Length, Length - 1)));
        Assert.Equal(WireError.BodyLength, ErrorOf(Samples.Reply(Operation.Read, 1, 0, Length, Length)));
        Assert.Equal(WireError.None, ErrorOf(Samples.Reply(Operation.Read, 1, 0, Length)));
    }

    [Theory]
    [InlineData(Operation.Read, FrameFlags.None)]
    [InlineData(Operation.Write, FrameFlags.Fua)]
    [InlineData(Operation.Flush, FrameFlags.Replayed)]
    [InlineData(Operation.Discard, FrameFlags.Fua)]
    [InlineData(Operation.WriteZeroes, FrameFlags.Fua | FrameFlags.NoUnmap)]
    public void Each_operation_has_its_own_flags(Operation operation, FrameFlags allowed)
    {
        for (int flags = 0; flags < 0x10000; flags = flags < 16 ? flags + 1 : flags * 2)
        {
            bool flush = operation == Operation.Flush;
            FrameHeader header = Samples.Request(
                operation, flush ? 0UL : 4096, flush ? 0UL : 512, operation == Operation.Write ? 512u : 0);
            header.Flags = (FrameFlags)flags;
            bool good = (header.Flags & ~allowed) == FrameFlags.None;
            Assert.Equal(good ? WireError.None : WireError.Flags, ErrorOf(header));
        }
    }

    [Fact]
    public void Statuses_go_over_the_wire_and_back()
    {
        HashSet<ushort> numbers = [];
        foreach (DstStatus status in Enum.GetValues<DstStatus>())
        {
            ushort wire = WireStatus.ToWire(status);
            Assert.True(numbers.Add(wire));
            Assert.True(WireStatus.TryFromWire(wire, out DstStatus back));
            Assert.Equal(status, back);
        }

        Assert.Equal(WireStatus.Max, numbers.Max());
        Assert.False(WireStatus.TryFromWire(WireStatus.Max + 1, out DstStatus unknown));
        Assert.Equal(DstStatus.IoError, unknown);
        Assert.False(WireStatus.TryFromWire(ushort.MaxValue, out _));
        MustFail.Message(() => WireStatus.ToWire((DstStatus)200));
    }

    /// <summary>What is taken is within every limit, whatever was sent (N-30).</summary>
    [Fact]
    public void Any_bytes_are_survived() =>
        Gen.Select(Gen.Byte.Array[64], Gen.Int[0, 17], Gen.Int[0, 5], Gen.Int[0, 3]).Sample(
            (bytes, kind, operation, mode) =>
            {
                BinaryPrimitives.WriteUInt32LittleEndian(bytes, FrameCodec.Magic);
                bytes[4] = (byte)kind;
                bytes[5] = (byte)operation;
                bytes.AsSpan(48, 12).Clear();
                bytes.AsSpan(6, mode >= 1 ? 2 : 0).Clear();
                bytes.AsSpan(25, mode >= 2 ? 7 : 0).Clear();
                bytes.AsSpan(36, mode >= 3 ? 12 : 0).Clear();
                if (FrameCodec.TryRead(Sealed(bytes), out FrameHeader header) == WireError.None)
                {
                    Assert.True(header.BodyBytes <= WireLimits.BodyMaxBytes);
                    Assert.True(header.Slot < WireLimits.SlotsMax);
                    byte[] again = new byte[WireLimits.HeaderBytes];
                    FrameCodec.Write(in header, again);
                    Assert.Equal(bytes, again);
                }
            },
            iter: 20_000);
}
