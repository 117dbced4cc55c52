using System.Text;
using Dst.Control;
using Dst.Daemon.Store;
using Xunit;

namespace Dst.Daemon.Tests;

public sealed class RecordStoreTests : IDisposable
{
    private readonly StateDirectory _state = new(Directory.CreateTempSubdirectory("dstd-").FullName);

    public RecordStoreTests() => Directory.CreateDirectory(_state.Devices);

    public void Dispose() => Directory.Delete(_state.Path, recursive: true);

    private static DeviceRecord Record(string name, int id) =>
        new() { Request = TestBed.Request(name, id), Uuid = Guid.Parse("11111111-2222-3333-4444-555555555555") };

    [Fact]
    public void A_record_comes_back_as_it_was()
    {
        RecordStore<DeviceRecord> store = RecordStores.Devices(_state);
        store.Save(Record("a", 7));
        StoredRecord<DeviceRecord> found = Assert.Single(store.LoadAll());
        Assert.Equal("a", found.Name);
        Assert.Equal(7, found.Record!.Request.Id);
        Assert.Equal(["zero:1M", "mem:1M"], found.Record.Request.Nodes);
        Assert.Null(found.Warning);
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(_state.DeviceRecord("a")));
    }

    [Theory]
    [InlineData("b", "it is the record of 'b'")]
    [InlineData("b\u007f", "it has no name that an object could have")]
    [InlineData("", "it has no name that an object could have")]
    public void A_record_of_another_name_is_damaged_and_says_so_on_one_line(string name, string expected)
    {
        (RecordVerdict verdict, _, string problem) =
            RecordForms.Device.Decode(RecordForms.Device.Encode(Record(name, 1)), "a");
        Assert.Equal((RecordVerdict.Damaged, expected), (verdict, problem));
    }

    [Theory]
    [InlineData("a", "a.json")]
    [InlineData("a", "a.json.prev")]
    [InlineData("a.json", "a.json.tmp")]
    public void Names_that_look_like_suffixes_do_not_mix(string one, string other)
    {
        RecordStore<DeviceRecord> store = RecordStores.Devices(_state);
        store.Save(Record(one, 1));
        store.Save(Record(other, 2));
        store.Save(Record(one, 3));
        Assert.Equal(
            [3, 2], store.LoadAll().OrderBy(each => each.Name.Length).Select(each => each.Record!.Request.Id!.Value));
        store.Remove(one);
        Assert.Equal(2, Assert.Single(store.LoadAll()).Record!.Request.Id);
    }

    [Theory]
    [InlineData("a b.json")]
    [InlineData("a b.json.prev")]
    [InlineData(".json")]
    [InlineData("..json")]
    public void A_file_that_no_object_can_have_is_told_and_left_alone(string file)
    {
        RecordStore<DeviceRecord> store = RecordStores.Devices(_state);
        store.Save(Record("a", 1));
        string path = $"{_state.Devices}/{file}";
        File.WriteAllText(path, "");
        List<string> told = [];
        Assert.Equal("a", Assert.Single(store.LoadAll((where, why) => told.Add($"{where}: {why}"))).Name);
        Assert.StartsWith($"{path}: it is no record", Assert.Single(told), StringComparison.Ordinal);
        Assert.True(File.Exists(path));
    }

    [Fact]
    public void A_write_interrupted_anywhere_leaves_the_old_or_the_new_one()
    {
        foreach (StoreStep step in Enum.GetValues<StoreStep>())
        {
            RecordStores.Devices(_state).Save(Record("a", 1));
            RecordStores.Devices(_state).Save(Record("a", 2));
            RecordStore<DeviceRecord> failing =
                RecordStores.Devices(_state, at => ThrowAt(at, step, new InvalidOperationException("killed")));
            Assert.Throws<InvalidOperationException>(() => failing.Save(Record("a", 3)));
            StoredRecord<DeviceRecord> found = Assert.Single(RecordStores.Devices(_state).LoadAll());
            Assert.Equal(step >= StoreStep.Renamed ? 3 : 2, found.Record!.Request.Id);
            Assert.Null(found.Warning);
            Assert.False(File.Exists(_state.DeviceRecord("a") + ".tmp"));
        }
    }

    [Fact]
    public void A_full_disk_leaves_the_old_one_and_no_litter()
    {
        RecordStores.Devices(_state).Save(Record("a", 1));
        RecordStore<DeviceRecord> full = RecordStores.Devices(
            _state, at => ThrowAt(at, StoreStep.Written, new IOException("No space left on device")));
        ControlException e = Assert.Throws<ControlException>(() => full.Save(Record("a", 2)));
        Assert.Contains("No space left", e.Message, StringComparison.Ordinal);
        Assert.Equal(1, Assert.Single(full.LoadAll()).Record!.Request.Id);
        Assert.False(File.Exists(_state.DeviceRecord("a") + ".tmp"));
    }

    [Fact]
    public void Every_torn_length_falls_back_to_the_generation_before()
    {
        RecordStore<DeviceRecord> store = RecordStores.Devices(_state);
        store.Save(Record("a", 1));
        store.Save(Record("a", 2));
        byte[] whole = File.ReadAllBytes(_state.DeviceRecord("a"));

        // The closing newline is no part of the document.
        for (int length = 0; length < whole.Length - 1; length++)
        {
            File.WriteAllBytes(_state.DeviceRecord("a"), whole[..length]);
            StoredRecord<DeviceRecord> found = Assert.Single(store.LoadAll());
            Assert.Equal(1, found.Record!.Request.Id);
            Assert.Contains("damaged", found.Warning, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Every_flipped_bit_is_found()
    {
        byte[] whole = RecordForms.Device.Encode(Record("a", 2));
        for (int bit = 0; bit < (whole.Length - 1) * 8; bit++)
        {
            byte[] flipped = [.. whole];
            flipped[bit / 8] ^= (byte)(1 << (bit % 8));
            (RecordVerdict verdict, DeviceRecord? record, _) = RecordForms.Device.Decode(flipped, "a");
            Assert.True(verdict != RecordVerdict.Good || record!.Request.Id == 2, $"bit {bit}");
            Assert.True(verdict != RecordVerdict.Good || flipped.AsSpan().IndexOf("\"body\""u8) >= 0, $"bit {bit}");
        }
    }

    [Fact]
    public void A_damaged_generation_never_replaces_the_good_one_before_it()
    {
        RecordStore<DeviceRecord> store = RecordStores.Devices(_state);
        store.Save(Record("a", 1));
        store.Save(Record("a", 2));
        File.WriteAllText(_state.DeviceRecord("a"), "torn");
        RecordStore<DeviceRecord> failing =
            RecordStores.Devices(_state, at => ThrowAt(at, StoreStep.Synced, new IOException("EIO")));
        Assert.Throws<ControlException>(() => failing.Save(Record("a", 3)));
        Assert.Equal(1, Assert.Single(store.LoadAll()).Record!.Request.Id);
    }

    [Fact]
    public void A_newer_format_is_neither_read_nor_overwritten_nor_removed()
    {
        byte[] newer = Encoding.UTF8.GetBytes("{\"format\":2,\"what\":[]}");
        File.WriteAllBytes(_state.DeviceRecord("a"), newer);
        RecordStore<DeviceRecord> store = RecordStores.Devices(_state);
        StoredRecord<DeviceRecord> found = Assert.Single(store.LoadAll());
        Assert.True(found.Untouchable);
        Assert.Contains("newer", found.Problem, StringComparison.Ordinal);
        Assert.Throws<ControlException>(() => store.Save(Record("a", 1)));
        Assert.Throws<ControlException>(() => store.Remove("a"));
        Assert.Equal(newer, File.ReadAllBytes(_state.DeviceRecord("a")));
    }

    [Fact]
    public void The_record_of_another_device_is_no_record()
    {
        File.WriteAllBytes(_state.DeviceRecord("a"), RecordForms.Device.Encode(Record("b", 1)));
        StoredRecord<DeviceRecord> found = Assert.Single(RecordStores.Devices(_state).LoadAll());
        Assert.Null(found.Record);
        Assert.False(found.Untouchable);
    }

    private static void ThrowAt(StoreStep at, StoreStep wanted, Exception e)
    {
        if (at == wanted)
        {
            throw e;
        }
    }
}
