using System.Globalization;
using System.IO.Hashing;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Dst.Control;
using Dst.Core.Specs;

namespace Dst.Daemon.Store;

/// <summary>What a record file turned out to be.</summary>
internal enum RecordVerdict
{
    /// <summary>Whole and known.</summary>
    Good,

    /// <summary>No such file.</summary>
    Absent,

    /// <summary>Torn, altered or not a record.</summary>
    Damaged,

    /// <summary>Written by a newer dstd: not to be touched (D-21).</summary>
    Newer,
}

/// <summary>
/// The form of a record on disk: {"format":1,"checksum":"xxh64 of the body's bytes","body":{…}} (D-01). Any thread.
/// </summary>
/// <param name="word">What people call such an object: device or export.</param>
/// <param name="type">How the body is written.</param>
/// <param name="nameOf">Name of the object that a record is of.</param>
internal sealed class RecordForm<T>(string word, JsonTypeInfo<T> type, Func<T, string?> nameOf)
    where T : class
{
    /// <summary>The newest format that this program reads, and the one it writes.</summary>
    public const int Format = 1;

    /// <summary>No record of 64 nodes comes near it; more is not a record.</summary>
    public const int MaxBytes = 4 << 20;

    /// <summary>What people call such an object.</summary>
    public string Word => word;

    /// <summary>Name of the object that a record is of.</summary>
    public string? NameOf(T record) => nameOf(record);

    /// <summary>The bytes to write.</summary>
    public byte[] Encode(T record)
    {
        byte[] body = JsonSerializer.SerializeToUtf8Bytes(record, type);
        string head = string.Create(
            CultureInfo.InvariantCulture, $"{{\"format\":{Format},\"checksum\":\"{Checksum(body)}\",\"body\":");
        return [.. Encoding.ASCII.GetBytes(head), .. body, .. "}\n"u8];
    }

    /// <summary>Reads a file.</summary>
    /// <param name="path">The file.</param>
    /// <param name="name">The object it must be of.</param>
    public (RecordVerdict Verdict, T? Record, string Problem) Read(string path, string name)
    {
        byte[] bytes;
        try
        {
            if (new FileInfo(path) is { Exists: true, Length: > MaxBytes })
            {
                return (RecordVerdict.Damaged, null, "too long");
            }

            bytes = File.ReadAllBytes(path);
        }
        catch (FileNotFoundException)
        {
            return (RecordVerdict.Absent, null, "absent");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return (RecordVerdict.Damaged, null, e.Message);
        }

        return Decode(bytes, name);
    }

    /// <summary>Judges the bytes of a file; never throws.</summary>
    public (RecordVerdict Verdict, T? Record, string Problem) Decode(
        ReadOnlyMemory<byte> bytes, string name)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(bytes);
            JsonElement root = document.RootElement;
            if (root.GetProperty("format").GetInt32() is int format && format != Format)
            {
                string newer =
                    $"format {format} is newer than {Format}, the newest that this dstd knows; left untouched";
                return format > Format
                    ? (RecordVerdict.Newer, null, newer)
                    : (RecordVerdict.Damaged, null, $"format {format} was never used");
            }

            ReadOnlySpan<byte> body = JsonMarshal.GetRawUtf8Value(root.GetProperty("body"));
            if (!root.GetProperty("checksum").ValueEquals(Checksum(body)))
            {
                return (RecordVerdict.Damaged, null, "checksum does not match");
            }

            T? record = JsonSerializer.Deserialize(body, type);
            string? recorded = record is null ? null : nameOf(record);
            if (string.Equals(recorded, name, StringComparison.Ordinal))
            {
                return (RecordVerdict.Good, record, "");
            }

            bool isName = recorded is not null && ObjectName.TryCheck(recorded, out _);
            string whose = isName ? $"it is the record of '{recorded}'" : "it has no name that an object could have";
            return (RecordVerdict.Damaged, null, whose);
        }
        catch (Exception e)
            when (e is JsonException or KeyNotFoundException or InvalidOperationException or FormatException)
        {
            return (RecordVerdict.Damaged, null, "no whole record");
        }
    }

    private static string Checksum(ReadOnlySpan<byte> body) =>
        string.Create(CultureInfo.InvariantCulture, $"xxh64:{XxHash64.HashToUInt64(body):x16}");
}

/// <summary>The forms of records that there are.</summary>
internal static class RecordForms
{
    /// <summary>Of devices.</summary>
    public static RecordForm<DeviceRecord> Device { get; } =
        new("device", ControlJson.Default.DeviceRecord, static record => record.Request?.Name);

    /// <summary>Of exports.</summary>
    public static RecordForm<ExportRecord> Export { get; } =
        new("export", ControlJson.Default.ExportRecord, static record => record.Request?.Name);
}
