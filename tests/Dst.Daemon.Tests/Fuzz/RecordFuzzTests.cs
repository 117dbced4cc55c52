using System.Globalization;
using System.IO.Hashing;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Dst.Control;
using Dst.Daemon.Store;
using Dst.Net.Tests.Fuzz;
using Xunit;

namespace Dst.Daemon.Tests.Fuzz;

/// <summary>
/// Any bytes in place of a record, or of a line between dstd and a process of its: taken or refused, with nothing
/// thrown but what the reader expects, and what is taken is written and read back the same (D-01, D-21).
/// </summary>
public sealed class RecordFuzzTests
{
    private const string Name = "a";

    [Fact]
    public void Device_records() => Records("device-record", RecordForms.Device);

    [Fact]
    public void Export_records() => Records("export-record", RecordForms.Export);

    [Fact]
    public void Control_lines() => Fuzzer.Run("control-line", input =>
    {
        byte[] line = input.ToArray();
        int taken = Line(line, ControlJson.Default.TargetHello)
            | (Line(line, ControlJson.Default.TargetRequest) << 1)
            | (Line(line, ControlJson.Default.TargetReply) << 2)
            | (Line(line, ControlJson.Default.ServerHello) << 3)
            | (Line(line, ControlJson.Default.ServerRequest) << 4)
            | (Line(line, ControlJson.Default.ServerReply) << 5);
        return taken == 0 ? 1 : 0;
    });

    private static int Line<T>(byte[] line, JsonTypeInfo<T> type)
        where T : class
    {
        try
        {
            if (JsonSerializer.Deserialize(line, type) is not { } message)
            {
                return 0;
            }

            byte[] written = JsonSerializer.SerializeToUtf8Bytes(message, type);
            Assert.DoesNotContain((byte)'\n', written);
            T again = JsonSerializer.Deserialize(written, type)!;
            Assert.Equal(written, JsonSerializer.SerializeToUtf8Bytes(again, type));
            return 1;
        }
        catch (JsonException)
        {
            return 0;
        }
    }

    private static void Records<T>(string corpus, RecordForm<T> form)
        where T : class
    {
        Fuzzer.Run(
            corpus,
            input =>
            {
                (RecordVerdict verdict, T? record, string problem) = form.Decode(input.ToArray(), Name);
                if (verdict != RecordVerdict.Good)
                {
                    Assert.True(problem.Length > 0 && !problem.Any(char.IsControl), $"no line for people: {problem}");
                    return ((int)verdict * 64) + (problem.Length % 64);
                }

                byte[] written = form.Encode(record!);
                (RecordVerdict again, T? twice, problem) = form.Decode(written, Name);
                Assert.True(again == RecordVerdict.Good, problem);
                Assert.Equal(written, form.Encode(twice!));
                return 0;
            },
            Seal);
    }

    /// <summary>Makes the checksum right for whatever stands in place of a body.</summary>
    private static byte[] Seal(byte[] input)
    {
        int at = input.AsSpan().IndexOf("\"body\":"u8);
        int end = input.AsSpan().LastIndexOf((byte)'}');
        if (at < 0 || end < at + 7)
        {
            return input;
        }

        ReadOnlySpan<byte> body = input.AsSpan((at + 7)..end);
        string head = string.Create(
            CultureInfo.InvariantCulture,
            $"{{\"format\":1,\"checksum\":\"xxh64:{XxHash64.HashToUInt64(body):x16}\",\"body\":");
        return [.. Encoding.ASCII.GetBytes(head), .. body, (byte)'}'];
    }
}
