using CsCheck;
using Dst.Core.Sessions;
using Dst.Core.Wire;
using Dst.Net.Server;

namespace Dst.Net.Tests;

/// <summary>Hold records on disk (S-03).</summary>
public sealed class HoldStoreTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("dst-hold").FullName;

    private static Gen<HoldRecord> Records =>
        Gen.Select(Gen.ULong, Gen.ULong, Gen.Bool, Gen.UInt, Gen.String, Gen.Bool, (granted, used, held, index, name, mixed) => new HoldRecord
        {
            Granted = granted,
            Used = used,
            Held = held,
            Holder = new DeviceId(new UInt128(used, granted), index),
            First = granted ^ used,
            Incarnation = ~granted,
            MixedWriters = mixed,
            HolderName = new WireText(name),
        });

    [Fact]
    public void What_is_written_is_read() => Records.Sample(record =>
    {
        Span<byte> bytes = stackalloc byte[FileHoldStore.RecordBytes];
        FileHoldStore.Encode(in record, bytes);
        Assert.True(FileHoldStore.TryDecode(bytes, out HoldRecord read));
        Assert.Equal(record, read);
    });

    [Fact]
    public void Every_damaged_byte_is_noticed() => Gen.Select(Records, Gen.Int[0, FileHoldStore.RecordBytes - 1], Gen.Byte[1, 255]).Sample((record, at, bits) =>
    {
        Span<byte> bytes = stackalloc byte[FileHoldStore.RecordBytes];
        FileHoldStore.Encode(in record, bytes);
        bytes[at] ^= bits;
        Assert.False(FileHoldStore.TryDecode(bytes, out _));
    });

    [Fact]
    public void A_file_comes_whole_or_not_at_all()
    {
        FileHoldStore store = new(_folder);
        Assert.Null(store.Read("a", out HoldRecord none));
        Assert.Equal(default, none);
        HoldRecord record = new() { Granted = 7, Used = 6, Held = true, HolderName = new WireText("somebody") };
        Assert.Equal(0, store.Write("a", in record));
        Assert.Null(store.Read("a", out HoldRecord read));
        Assert.Equal(record, read);
        Assert.Equal("a.hold", Path.GetFileName(Assert.Single(Directory.GetFiles(_folder))));
        File.WriteAllBytes(Path.Join(_folder, "a.hold"), new byte[100]);
        Assert.Contains("damaged", store.Read("a", out _), StringComparison.Ordinal);
        store.Delete("a");
        Assert.Null(store.Read("a", out _));
        Assert.True(new FileHoldStore(Path.Join(_folder, "nowhere")).Write("a", in record) < 0);
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);
}
