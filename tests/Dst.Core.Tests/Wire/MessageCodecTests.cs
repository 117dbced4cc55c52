using CsCheck;
using Dst.Core.Wire;
using Xunit;

namespace Dst.Core.Tests.Wire;

public sealed class MessageCodecTests
{
    private static byte[] Body(string name) =>
        Samples.Frames().Single(frame => frame.Name == name).Bytes[WireLimits.HeaderBytes..];

    [Fact]
    public void Messages_come_back_as_they_were_written()
    {
        Assert.Equal(WireError.None, MessageCodec.TryRead(Body("HELLO of a client"), out HelloMessage hello));
        Assert.Equal(Samples.Hello, hello);
        Assert.Equal(WireError.None, MessageCodec.TryRead(Body("HELLO of a server"), out HelloReply reply));
        Assert.Equal(Samples.HelloReply, reply);
        Assert.Equal(WireError.None, MessageCodec.TryRead(Body("ATTACH"), out AttachMessage attach));
        Assert.Equal(Samples.Attach, attach);
        Assert.Equal(WireError.None, MessageCodec.TryRead(Body("ATTACH_OK"), out AttachOkMessage attachOk));
        Assert.Equal(Samples.AttachOk, attachOk);
        Assert.Equal(WireError.None, MessageCodec.TryRead(Body("JOIN"), out JoinMessage join));
        Assert.Equal(Samples.Join, join);
        Assert.Equal(WireError.None, MessageCodec.TryReadJoinOk(Body("JOIN_OK"), out ushort connection));
        Assert.Equal(1, connection);
        Assert.Equal(WireError.None, MessageCodec.TryRead(Body("ATTACH_WAIT"), out AttachWaitMessage wait));
        Assert.Equal((2u, 1000u, "2 requests"), (wait.Requests, wait.WaitedMs, wait.Text.ToString()));
        Assert.Equal(WireError.None, MessageCodec.TryRead(Body("ERROR"), out ErrorMessage error));
        Assert.Equal(Samples.Held, error);
        Assert.Equal(WireError.None, MessageCodec.TryReadCompleted(Body("COMPLETED"), 0, out CompletedEntry entry));
        Assert.Equal(new CompletedEntry(1, 5, 3, 42), entry);
        Assert.Equal(WireError.Short, MessageCodec.TryReadCompleted(Body("COMPLETED"), 1, out _));
        Assert.Equal(WireError.Short, MessageCodec.TryReadCompleted(Body("COMPLETED"), -1, out _));
    }

    private static WireError Read(string name, byte[] body) => name switch
    {
        "HELLO of a client" => MessageCodec.TryRead(body, out HelloMessage _),
        "HELLO of a server" => MessageCodec.TryRead(body, out HelloReply _),
        "ATTACH" => MessageCodec.TryRead(body, out AttachMessage _),
        "ATTACH_OK" => MessageCodec.TryRead(body, out AttachOkMessage _),
        "ATTACH_WAIT" => MessageCodec.TryRead(body, out AttachWaitMessage _),
        "JOIN" => MessageCodec.TryRead(body, out JoinMessage _),
        "JOIN_OK" => MessageCodec.TryReadJoinOk(body, out _),
        _ => MessageCodec.TryRead(body, out ErrorMessage _),
    };

    public static TheoryData<string> WithEntries =>
    [
        "HELLO of a client", "HELLO of a server", "ATTACH", "ATTACH_OK", "ATTACH_WAIT", "JOIN", "JOIN_OK", "ERROR",
    ];

    /// <summary>Each entry of a body in turn: left out, doubled, one byte longer, one byte shorter, unknown.</summary>
    [Theory]
    [MemberData(nameof(WithEntries))]
    public void Each_entry_is_guarded(string name)
    {
        byte[] body = Body(name);
        for (int at = 0; at < body.Length;)
        {
            int length = body[at + 2] | body[at + 3] << 8;
            int end = at + 4 + length;
            bool optional = (body[at + 1] & 0x80) != 0;
            bool mayMiss = optional || name == "ERROR" || (name == "ATTACH_WAIT" && !optional && body[at] == 0x19);
            byte[] without = [.. body[..at], .. body[end..]];
            Assert.Equal(mayMiss ? WireError.None : WireError.TlvMissing, Read(name, without));
            Assert.Equal(WireError.TlvDouble, Read(name, [.. body, .. body[at..end]]));
            byte[] unknown = (byte[])body.Clone();
            unknown[at] = 0x3B;
            WireError ofUnknown = Read(name, unknown);
            Assert.Equal(optional ? WireError.None : WireError.TlvUnknown, ofUnknown);
            if (!optional)
            {
                byte[] longer = [.. body[..at], body[at], body[at + 1], (byte)(length + 1), body[at + 3],
                    .. body[(at + 4)..end], 0, .. body[end..]];
                WireError ofLonger = Read(name, longer);
                Assert.True(ofLonger == WireError.TlvValue || body[at] == (byte)TlvType.Export, $"{name} at {at}");
                byte[] empty = [.. body[..at], body[at], body[at + 1], 0, 0, .. body[end..]];
                Assert.Equal(WireError.TlvValue, Read(name, empty));
            }

            at = end;
        }
    }

    [Theory]
    [MemberData(nameof(WithEntries))]
    public void A_cut_body_is_refused(string name)
    {
        byte[] body = Body(name);
        for (int length = 0; length < body.Length; length++)
        {
            WireError error = Read(name, body[..length]);
            Assert.True(error is WireError.None or WireError.Tlv or WireError.TlvMissing);
        }

        Assert.Equal(WireError.Tlv, Read(name, body[..^1]));
    }

    [Fact]
    public void An_error_names_its_request_and_an_attach_its_lanes()
    {
        ErrorMessage error = new() { Slot = 5, Sequence = 42 };
        byte[] body = Samples.Make(frame => MessageCodec.Write(RefusalCode.Checksum, error, frame))[64..];
        Assert.Equal(WireError.None, MessageCodec.TryRead(body, out ErrorMessage read));
        Assert.Equal(error, read);
        body[4] = body[5] = 0xff;
        Assert.Equal(WireError.TlvValue, Read("ERROR", body));
        AttachMessage attach = Samples.Attach;
        attach.Lanes = 7;
        Assert.Equal(WireError.None, MessageCodec.TryRead(AttachBody(attach), out AttachMessage again));
        Assert.Equal(7, again.Lanes);
        attach.Lanes = 65;
        Assert.Equal(WireError.TlvValue, Read("ATTACH", AttachBody(attach)));
    }

    [Fact]
    public void Entries_are_counted()
    {
        byte[] optional = [0x3B, 0x80, 0, 0];
        byte[] many = [.. Enumerable.Repeat(optional, WireLimits.TlvsMax + 1).SelectMany(entry => entry)];
        Assert.Equal(WireError.TlvDouble, Read("ERROR", many));
        byte[] numberless = [0x40, 0x80, 0, 0];
        many = [.. Enumerable.Repeat(numberless, WireLimits.TlvsMax + 1).SelectMany(entry => entry)];
        Assert.Equal(WireError.Tlv, Read("ERROR", many));
        Assert.Equal(WireError.None, Read("ERROR", many[4..]));
    }

    [Theory]
    [InlineData("ATTACH", 8)]
    [InlineData("ATTACH_OK", 21)]
    [InlineData("JOIN", 18)]
    public void An_optional_entry_is_not_the_needed_one_of_the_same_number(string name, byte type)
    {
        byte[] body = Body(name);
        int at = 0;
        while (body[at] != type || body[at + 1] != 0)
        {
            at += 4 + body[at + 2];
        }

        byte[] optional = [type, 0x80, 0, 0];
        Assert.Equal(WireError.None, Read(name, [.. body, .. optional]));
        Assert.Equal(WireError.None, Read(name, [.. optional, .. body]));
        body[at + 1] = 0x80;
        Assert.Equal(WireError.TlvMissing, Read(name, body));
    }

    [Fact]
    public void A_read_only_attach_replaces_nothing()
    {
        AttachMessage attach = Samples.Attach;
        attach.Access = AccessKind.ReadOnly;
        Assert.Equal(WireError.TlvValue, Read("ATTACH", AttachBody(attach)));
        attach.Replaces = 0;
        Assert.Equal(WireError.None, Read("ATTACH", AttachBody(attach)));
        attach.TakeOver = true;
        Assert.Equal(WireError.TlvValue, Read("ATTACH", AttachBody(attach)));
    }

    private static byte[] AttachBody(AttachMessage attach) =>
        Samples.Make(frame => MessageCodec.Write(attach, frame))[WireLimits.HeaderBytes..];

    [Fact]
    public void Entries_of_completed_are_guarded()
    {
        byte[] body = Body("COMPLETED");
        foreach ((int at, byte value, WireError expected) in ((int, byte, WireError)[])
            [(0, 64, WireError.Slot), (3, 0x10, WireError.Slot), (4, 13, WireError.Status), (6, 1, WireError.Reserved),
                (8, 0, WireError.Sequence)])
        {
            byte[] wrong = (byte[])body.Clone();
            wrong[at] = value;
            Assert.Equal(expected, MessageCodec.TryReadCompleted(wrong, 0, out _));
        }
    }

    [Fact]
    public void The_longest_messages_fit()
    {
        WireText text = new(new string('x', 300));
        Assert.Equal(WireLimits.TextMaxBytes, text.LengthBytes);
        ErrorMessage error = new() { Text = text, Holder = text };
        Samples.Make(frame => MessageCodec.Write(RefusalCode.Held, error, frame));
        CompletedEntry[] entries = new CompletedEntry[WireLimits.CompletedEntriesMax];
        Array.Fill(entries, new CompletedEntry(63, 4095, 12, ulong.MaxValue));
        byte[] frame = Samples.Make(frame => MessageCodec.WriteCompleted(1, entries, frame));
        Assert.Equal(WireError.None, FrameCodec.TryRead(frame, out FrameHeader header));
        Assert.True(header.BodyBytes <= WireLimits.ControlBodyMaxBytes);
    }

    [Fact]
    public void Texts_are_safe_to_print()
    {
        Assert.Equal("a?[31m b?ä", new WireText("a\u001b[31m b\nä").ToString());
        Assert.Equal("x??", new WireText([(byte)'x', 0xC3, 0x28 + 0xC0]).ToString());
        Assert.Equal("?", new WireText("\u202e").ToString());
        Assert.Equal(239, new WireText(new string('x', 239) + "ä").LengthBytes);
    }

    [Fact]
    public void Any_body_is_survived() =>
        Gen.Select(Gen.Byte.Array[0, 120], Gen.Int[0, 7], Gen.Int[0, 25]).Sample(
            (bytes, which, type) =>
            {
                string[] names = [.. WithEntries.Select(row => row.Data)];
                Read(names[which], bytes);
                if (bytes.Length is >= 4 and < 104)
                {
                    bytes[0] = (byte)type;
                    bytes[1] = 0;
                    bytes[2] = (byte)(bytes.Length - 4);
                    bytes[3] = 0;
                    byte[] body = Body(names[which]);
                    Read(names[which], bytes);
                    Read(names[which], [.. body, .. bytes]);
                    Read(names[which], [.. bytes, .. body]);
                }
            },
            iter: 20_000);

    [Fact]
    public void Nothing_is_allocated()
    {
        byte[] frame = new byte[WireLimits.ControlFrameMaxBytes];
        AttachMessage attach = Samples.Attach;
        AttachOkMessage attachOk = Samples.AttachOk;
        RoundTrip(frame, in attach, in attachOk);
        long before = GC.GetAllocatedBytesForCurrentThread();
        RoundTrip(frame, in attach, in attachOk);
        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
    }

    private static void RoundTrip(byte[] frame, in AttachMessage attach, in AttachOkMessage attachOk)
    {
        int length = MessageCodec.Write(in attach, frame);
        bool good = FrameCodec.TryRead(frame, out _) == WireError.None
            && MessageCodec.TryRead(frame.AsSpan(64, length - 64), out AttachMessage _) == WireError.None;
        length = MessageCodec.Write(1, in attachOk, frame);
        good &= MessageCodec.TryRead(frame.AsSpan(64, length - 64), out AttachOkMessage _) == WireError.None;
        good &= DataChecksum.FindMismatch(ChecksumKind.Xxh3, frame, frame.AsSpan(0, 8)) == 0;
        if (!good)
        {
            throw new InvalidOperationException("a frame did not come back");
        }
    }
}
