using System.Buffers.Binary;
using System.Text;
using Dst.Core.Sessions;
using Dst.Core.Sessions.Client;
using Dst.Core.Specs;
using Dst.Core.Traces;
using Dst.Core.Wire;
using Dst.Net.Client;
using Dst.Net.Server;

namespace Dst.Net.Tests.Fuzz;

/// <summary>
/// Each parser on any bytes: it says no, or gives what can be written and read back the same. It throws nothing and
/// reads nothing but its input (N-30, N-33).
/// </summary>
public sealed class ParserFuzzTests
{
    private delegate WireError Reader<T>(ReadOnlySpan<byte> body, out T message);

    private delegate int Writer<T>(in T message, Span<byte> frame);

    [Fact]
    public void Headers() => Fuzzer.Run(
        "header",
        input =>
        {
            WireError error = FrameCodec.TryRead(input, out FrameHeader header);
            if (error == WireError.None)
            {
                Span<byte> written = stackalloc byte[WireLimits.HeaderBytes];
                FrameCodec.Write(in header, written);
                Assert.True(written.SequenceEqual(input[..WireLimits.HeaderBytes]), "written otherwise");
            }

            return (int)error;
        },
        SealHeader);

    [Fact]
    public void Hello() => Message<HelloMessage>("hello", MessageCodec.TryRead, MessageCodec.Write);

    [Fact]
    public void Hello_of_a_server() => Message<HelloReply>("hello-reply", MessageCodec.TryRead, MessageCodec.Write);

    [Fact]
    public void Attach() => Message<AttachMessage>("attach", MessageCodec.TryRead, MessageCodec.Write);

    [Fact]
    public void Attach_wait() => Message<AttachWaitMessage>("attach-wait", MessageCodec.TryRead, MessageCodec.Write);

    [Fact]
    public void Attach_ok() => Message<AttachOkMessage>(
        "attach-ok",
        MessageCodec.TryRead,
        (in AttachOkMessage message, Span<byte> frame) => MessageCodec.Write(7, in message, frame));

    [Fact]
    public void Join() => Message<JoinMessage>(
        "join",
        MessageCodec.TryRead,
        (in JoinMessage message, Span<byte> frame) => MessageCodec.Write(7, in message, frame));

    [Fact]
    public void Join_ok() => Message<ushort>(
        "join-ok",
        MessageCodec.TryReadJoinOk,
        (in ushort number, Span<byte> frame) => MessageCodec.WriteJoinOk(7, number, frame));

    [Fact]
    public void Error() => Message<ErrorMessage>(
        "error",
        MessageCodec.TryRead,
        (in ErrorMessage message, Span<byte> frame) => MessageCodec.Write(RefusalCode.Held, in message, frame));

    [Fact]
    public void Completed() => Fuzzer.Run("completed", input =>
    {
        int way = 0;
        int count = int.Min(input.Length / WireLimits.CompletedEntryBytes, WireLimits.CompletedEntriesMax);
        byte[] frame = new byte[WireLimits.ControlFrameMaxBytes];
        for (int i = 0; i < count; i++)
        {
            WireError error = MessageCodec.TryReadCompleted(input, i, out CompletedEntry entry);
            way = int.Max(way, (int)error);
            if (error == WireError.None)
            {
                int length = MessageCodec.WriteCompleted(7, [entry], frame);
                int at = i * WireLimits.CompletedEntryBytes;
                Assert.True(
                    frame.AsSpan(WireLimits.HeaderBytes, length - WireLimits.HeaderBytes)
                        .SequenceEqual(input.Slice(at, WireLimits.CompletedEntryBytes)),
                    "written otherwise");
            }
        }

        return way;
    });

    [Fact]
    public void Node_specs() => Fuzzer.Run("node-spec", input =>
    {
        string text = Encoding.UTF8.GetString(input);
        if (!NodeSpec.TryParse(text, out NodeSpec? spec, out string? error))
        {
            IsOneLine(error);
            return 1 + (error.Length % 64);
        }

        string canonical = spec.ToString();
        Assert.True(NodeSpec.TryParse(canonical, out NodeSpec? again, out error), $"{canonical}: {error}");
        Assert.Equal(spec, again);
        Assert.Equal(canonical, again.ToString());
        return 0;
    });

    [Fact]
    public void Listen_addresses() => Fuzzer.Run("listen-address", input =>
    {
        if (!ListenAddress.TryParse(Encoding.UTF8.GetString(input), out ListenAddress? address, out string? error))
        {
            IsOneLine(error);
            return 1 + (error.Length % 8);
        }

        Assert.True(ListenAddress.TryParse(address.ToString(), out ListenAddress? again, out error), error);
        Assert.Equal(address, again);
        return 0;
    });

    [Fact]
    public void Allow_lists() => Fuzzer.Run("allow-list", input =>
    {
        if (!AllowList.TryParse([Encoding.UTF8.GetString(input)], out AllowList? list, out string? error))
        {
            IsOneLine(error);
            return 1 + (error.Length % 8);
        }

        Assert.True(AllowList.TryParse(list.Texts, out AllowList? again, out error), error);
        Assert.Equal(list.Texts, again.Texts);
        return 0;
    });

    [Fact]
    public void Hold_records() => Fuzzer.Run(
        "hold-record",
        input =>
        {
            if (!FileHoldStore.TryDecode(input, out HoldRecord record))
            {
                return 1 + (input.Length == FileHoldStore.RecordBytes ? 1 : 0);
            }

            byte[] written = new byte[FileHoldStore.RecordBytes];
            FileHoldStore.Encode(in record, written);
            Assert.True(FileHoldStore.TryDecode(written, out HoldRecord again), "not read back");
            byte[] twice = new byte[FileHoldStore.RecordBytes];
            FileHoldStore.Encode(in again, twice);
            Assert.Equal(written, twice);
            return 0;
        },
        input =>
        {
            Array.Resize(ref input, FileHoldStore.RecordBytes);
            Span<byte> place = input.AsSpan(FileHoldStore.RecordBytes - sizeof(uint));
            BinaryPrimitives.WriteUInt32LittleEndian(place, DataChecksum.Crc32C(input.AsSpan()[..^sizeof(uint)]));
            return input;
        });

    [Fact]
    public void Epoch_files() => Fuzzer.Run(
        "epoch-file",
        input =>
        {
            if (LineFile.TryParse(FileEpochStore.Kind, input) is not { } fields)
            {
                return 1;
            }

            if (!FileEpochStore.TryParse(fields, out ulong epoch))
            {
                return 2;
            }

            byte[] written = LineFile.Format(FileEpochStore.Kind, $"{epoch}");
            Assert.True(FileEpochStore.TryParse(LineFile.TryParse(FileEpochStore.Kind, written)!, out ulong again));
            Assert.Equal(epoch, again);
            return 0;
        },
        SealLine);

    [Fact]
    public void Server_notes() => Fuzzer.Run(
        "server-note",
        input =>
        {
            if (LineFile.TryParse(FileServerNoteStore.Kind, input) is not { } fields)
            {
                return 1;
            }

            if (!FileServerNoteStore.TryParse(fields, out ServerNote note))
            {
                return 2;
            }

            byte[] written = LineFile.Format(FileServerNoteStore.Kind, FileServerNoteStore.FieldsOf(in note));
            fields = LineFile.TryParse(FileServerNoteStore.Kind, written)!;
            Assert.True(FileServerNoteStore.TryParse(fields, out ServerNote again));
            Assert.Equal(note, again);
            return 0;
        },
        SealLine);

    [Fact]
    public void Traces() => Fuzzer.Run("trace", input =>
    {
        if (!TraceCodec.TryReadHead(input, out TraceHead head))
        {
            return 1;
        }

        int way = 0;
        int at = TraceCodec.HeadBytes;
        int next;
        for (long end = long.Min(input.Length, at + head.UsedBytes); at < end; at += next)
        {
            bool whole = TraceCodec.TryRead(input[at..(int)end], out TraceRecord record, out next);
            if (whole)
            {
                ReadOnlySpan<byte> bytes = input.Slice(at, next);
                Assert.True(Enum.IsDefined(record.Operation) && Enum.IsDefined(record.Status), $"{record}");
                Assert.True(record.Blocks == (next - TraceCodec.RecordBytes) / sizeof(ulong), $"{record}");
                for (int i = 0; i < record.Blocks; i++)
                {
                    TraceCodec.Value(bytes, i);
                }

                byte[] data = new byte[record.Blocks * TraceCodec.BlockBytes];
                byte[] written = new byte[next];
                TraceCodec.Write(in record, data, written);
                written[TraceCodec.KindAt] = (byte)record.Kind;
                Assert.True(TraceCodec.TryRead(written, out TraceRecord again, out int length), "not read back");
                Assert.Equal((record, next), (again, length));
            }
            else if (next == 0)
            {
                return 3;
            }
            else
            {
                way = 2;
            }
        }

        return way;
    });

    internal static byte[] SealHeader(byte[] frame)
    {
        const int kindAt = 4;
        const int bodyChecksumAt = 56;
        if (frame.Length >= WireLimits.HeaderBytes)
        {
            bool hasEntries = frame.Length > WireLimits.HeaderBytes
                && (FrameKind)frame[kindAt] is not (FrameKind.Request or FrameKind.Reply);
            if (hasEntries)
            {
                uint body = DataChecksum.Crc32C(frame.AsSpan(WireLimits.HeaderBytes));
                BinaryPrimitives.WriteUInt32LittleEndian(frame.AsSpan(bodyChecksumAt), body);
            }

            BinaryPrimitives.WriteUInt32LittleEndian(
                frame.AsSpan(WireLimits.HeaderBytes - sizeof(uint)), FrameCodec.ChecksumOf(frame));
        }

        return frame;
    }

    private static byte[] SealLine(byte[] input)
    {
        string line = Encoding.UTF8.GetString(input);
        int end = line.LastIndexOf(' ');
        int first = line.IndexOf(' ', StringComparison.Ordinal);
        return end > first ? LineFile.Format(line[..first], line[(first + 1)..end]) : input;
    }

    private static void IsOneLine(string error) =>
        Assert.True(error.Length > 0 && !error.Any(char.IsControl), $"no line for people: {error}");

    /// <summary>What a message's body says is written and read back as the same bytes.</summary>
    private static void Message<T>(string name, Reader<T> read, Writer<T> write)
    {
        byte[] first = new byte[WireLimits.ControlFrameMaxBytes];
        byte[] second = new byte[WireLimits.ControlFrameMaxBytes];
        Fuzzer.Run(name, input =>
        {
            WireError error = read(input, out T message);
            if (error == WireError.None)
            {
                int length = write(in message, first);
                Assert.Equal(WireError.None, FrameCodec.TryRead(first, out FrameHeader header));
                Assert.Equal(length - WireLimits.HeaderBytes, (int)header.BodyBytes);
                Assert.Equal(WireError.None, read(first.AsSpan(WireLimits.HeaderBytes..length), out T again));
                int twice = write(in again, second);
                Assert.True(
                    first.AsSpan(0, length).SequenceEqual(second.AsSpan(0, twice)), "written otherwise");
            }

            return (int)error;
        });
    }
}
