using Dst.Core.Sessions.Client;
using Dst.Core.Wire;
using Dst.Net.Client;

namespace Dst.Net.Tests.Client;

/// <summary>What outlives a target, in files.</summary>
public sealed class FileStoreTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("dst-store").FullName;

    [Fact]
    public void An_epoch_is_read_as_it_was_written()
    {
        string path = Path.Join(_folder, "epoch");
        Assert.Equal(0UL, new FileEpochStore(path).Load());
        new FileEpochStore(path).Persist(7);
        new FileEpochStore(path).Persist(ulong.MaxValue);
        Assert.Equal(ulong.MaxValue, new FileEpochStore(path).Load());
        Assert.Single(Directory.GetFiles(_folder));
    }

    [Fact]
    public void A_note_is_read_as_it_was_written()
    {
        string path = Path.Join(_folder, "note");
        Assert.False(new FileServerNoteStore(path).Load().IsKnown);
        ServerNote note = new(0x1122334455667788, 3, CacheMode.WriteBack, true);
        new FileServerNoteStore(path).Write(in note);
        Assert.Equal(note, new FileServerNoteStore(path).Load());
    }

    [Fact]
    public void A_file_that_is_damaged_anywhere_is_no_epoch()
    {
        string path = Path.Join(_folder, "epoch");
        new FileEpochStore(path).Persist(41);
        byte[] good = File.ReadAllBytes(path);
        for (int i = 0; i < good.Length; i++)
        {
            byte[] bad = [.. good];
            bad[i] ^= 4;
            File.WriteAllBytes(path, bad);
            Assert.Throws<IOException>(() => new FileEpochStore(path).Load());
            File.WriteAllBytes(path, good[..i]);
            Assert.Throws<IOException>(() => new FileEpochStore(path).Load());
        }
    }

    [Fact]
    public void A_folder_that_is_gone_is_an_error() =>
        Assert.ThrowsAny<IOException>(() => new FileEpochStore(Path.Join(_folder, "none", "epoch")).Persist(1));

    public void Dispose() => Directory.Delete(_folder, recursive: true);
}
