using System.Text.Json;
using CsCheck;
using Xunit;

namespace Dst.Control.Tests;

public sealed class ContractTests
{
    [Theory]
    [InlineData(ControlErrorCode.Failure, "failure", 1)]
    [InlineData(ControlErrorCode.Usage, "usage", 2)]
    [InlineData(ControlErrorCode.NotFound, "not-found", 3)]
    [InlineData(ControlErrorCode.Unreachable, "unreachable", 4)]
    [InlineData(ControlErrorCode.Busy, "busy", 5)]
    [InlineData(ControlErrorCode.TimedOut, "timed-out", 6)]
    public void Every_kind_of_error_has_its_word_and_exit_code(ControlErrorCode code, string word, int exitCode)
    {
        ControlError error = new(code, "why");
        Assert.Equal(exitCode, error.ExitCode);
        string json = JsonSerializer.Serialize(error, ControlJson.Default.ControlError);
        Assert.Equal($$"""{"code":"{{word}}","message":"why"}""", json);
        Assert.Equal(error, JsonSerializer.Deserialize(json, ControlJson.Default.ControlError));
    }

    [Fact]
    public void Every_error_code_is_in_the_table_above() => Assert.Equal(6, Enum.GetValues<ControlErrorCode>().Length);

    [Fact]
    public void Members_are_named_in_snake_case_and_nothing_is_written_for_null()
    {
        DeviceRequest request = new() { Name = "a", Nodes = ["zero:1M"], MaxIoBytes = 4096 };
        Assert.Equal(
            """{"name":"a","nodes":["zero:1M"],"max_io_bytes":4096,"read_only":false}""",
            JsonSerializer.Serialize(request, ControlJson.Default.DeviceRequest));
    }

    [Fact]
    public void Names_in_the_directories_stay_apart()
    {
        RunDirectory run = new("/r");
        StateDirectory state = new("/s");
        Gen<string> names = Gen.Char["abc.-_"].Array[1, 64].Select(chars => new string(chars));
        Gen.Select(names, names).Sample((left, right) =>
        {
            if (left != right)
            {
                Assert.NotEqual(run.TargetSocket(left), run.TargetSocket(right));
                Assert.NotEqual(state.DeviceRecord(left), state.DeviceRecord(right));
            }

            Assert.NotEqual(state.DeviceRecord(left), state.DeviceMarks(right));
        });
    }

    [Fact]
    public void A_record_with_geometry_comes_back_whole()
    {
        Gen<DeviceRecord> records = Gen.Select(Gen.Int, Gen.Long, Gen.Bool, Gen.String, Gen.Guid, RecordOf);
        records.Sample(record =>
        {
            byte[] once = JsonSerializer.SerializeToUtf8Bytes(record, ControlJson.Default.DeviceRecord);
            DeviceRecord back = JsonSerializer.Deserialize(once, ControlJson.Default.DeviceRecord)!;
            Assert.Equal(once, JsonSerializer.SerializeToUtf8Bytes(back, ControlJson.Default.DeviceRecord));
            Assert.Equal(record.Geometry!.SizeBytes, back.Geometry!.SizeBytes);
            Assert.Equal((record.Uuid, record.Removing), (back.Uuid, back.Removing));
        });
    }

    [Fact]
    public void A_document_is_one_line() =>
        Assert.DoesNotContain(
            (byte)'\n',
            JsonSerializer.SerializeToUtf8Bytes(
                new TargetReply { Waiting = "two\nlines" }, ControlJson.Default.TargetReply));

    private static DeviceRecord RecordOf(int number, long size, bool flag, string text, Guid uuid) => new()
    {
        Uuid = uuid,
        Removing = flag,
        Request = new() { Name = "a", Nodes = ["mem:1M"], Id = number, MemoryBytes = size, ReadOnly = flag },
        Geometry = new()
        {
            UblkId = number,
            Queues = number,
            DepthTags = number,
            MaxIoBytes = number,
            BlockSizeBytes = 512,
            SizeBytes = size,
            MemoryBytes = size,
            ReadOnly = flag,
            VolatileCache = flag,
            MaxDiscardBytes = size,
            MaxWriteZeroesBytes = size,
            DiscardGranularityBytes = number,
            Nodes =
        [
            new()
            {
                Spec = text,
                Type = "file",
                Address = text,
                StartBytes = 0,
                LengthBytes = size,
                Identity = text,
            },
        ],
        },
    };
}
