using Dst.Interop;
using Dst.Nodes.Marks;
using Dst.Nodes.Tests.Backings;
using Xunit;

namespace Dst.Nodes.Tests.Marks;

public class NodeMarksTests
{
    [Fact]
    public void MarksOutliveTheObjectAndAreClearedOneByOne()
    {
        using TemporaryFolder folder = new();
        string path = folder.File("vol.marks");
        using (NodeMarks marks = NodeMarks.Create(path))
        {
            Assert.All(Enumerable.Range(0, NodeMarks.MaxNodes), i => Assert.False(marks[i].IsPoisoned));
            Assert.Equal(0, marks.Poison(3, -Errno.EIO));
            Assert.Equal(0, marks.Poison(63, Errno.ENOSPC));
            Assert.True(marks[3].IsPoisoned);
        }

        Assert.Equal(["vol.marks"], folder.Names);
        Assert.Equal(NodeMarks.MaxNodes * NodeMarks.RecordBytes, new FileInfo(path).Length);
        using (NodeMarks marks = NodeMarks.Open(path))
        {
            Assert.Equal([3, 63], Enumerable.Range(0, NodeMarks.MaxNodes).Where(i => marks[i].IsPoisoned));
            Assert.Equal(Errno.EIO, marks[3].Errno);
            Assert.Equal(Errno.ENOSPC, marks[63].Errno);
            Assert.InRange(marks[3].UnixTimeSeconds, DateTimeOffset.UtcNow.ToUnixTimeSeconds() - 600, long.MaxValue);
            Assert.Equal(0, marks.Clear(3));
            Assert.False(marks[3].IsPoisoned);
        }

        using NodeMarks last = NodeMarks.Open(path);
        Assert.Equal([63], Enumerable.Range(0, NodeMarks.MaxNodes).Where(i => last[i].IsPoisoned));
    }

    [Fact]
    public void ADamagedRecordCountsAsPoisonedUntilItIsCleared()
    {
        using TemporaryFolder folder = new();
        string path = folder.File("vol.marks");
        NodeMarks.Create(path).Dispose();
        byte[] sound = File.ReadAllBytes(path);
        for (int at = 0; at < NodeMarks.RecordBytes; at++)
        {
            byte[] bytes = [.. sound];
            bytes[(2 * NodeMarks.RecordBytes) + at] ^= 0x40;
            File.WriteAllBytes(path, bytes);
            using NodeMarks marks = NodeMarks.Open(path);
            Assert.Equal(new NodeMark(true, Errno.EIO, 0, true), marks[2]);
            Assert.False(marks[1].IsPoisoned || marks[3].IsPoisoned);
        }

        using NodeMarks mended = NodeMarks.Open(path);
        Assert.Equal(0, mended.Clear(2));
        Assert.False(mended[2].IsPoisoned);
        using NodeMarks again = NodeMarks.Open(path);
        Assert.False(again[2].IsPoisoned);
    }

    [Fact]
    public void AnotherNodesRecordAndAMissingTailCountAsPoisoned()
    {
        using TemporaryFolder folder = new();
        string path = folder.File("vol.marks");
        NodeMarks.Create(path).Dispose();
        byte[] bytes = File.ReadAllBytes(path);
        bytes.AsSpan(0, NodeMarks.RecordBytes).CopyTo(bytes.AsSpan(NodeMarks.RecordBytes));
        File.WriteAllBytes(path, bytes[..^100]);
        using NodeMarks marks = NodeMarks.Open(path);
        Assert.Equal([1, 63], Enumerable.Range(0, NodeMarks.MaxNodes).Where(i => marks[i].IsDamaged));
    }

    [Fact]
    public void ANewerFormatIsRefusedAndLeftAsItIs()
    {
        using TemporaryFolder folder = new();
        string path = folder.File("vol.marks");
        NodeMarks.Create(path).Dispose();
        byte[] bytes = File.ReadAllBytes(path);
        bytes[8] = 2;
        uint crc = uint.MaxValue;
        foreach (byte b in bytes.AsSpan(0, 508))
        {
            crc = System.Numerics.BitOperations.Crc32C(crc, b);
        }

        System.Buffers.Binary.BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(508), ~crc);
        File.WriteAllBytes(path, bytes);
        NodeMarksException e = Assert.Throws<NodeMarksException>(() => NodeMarks.Open(path));
        Assert.Contains("format 2", e.Message, StringComparison.Ordinal);
        Assert.Equal(bytes, File.ReadAllBytes(path));
    }

    [Fact]
    public void MissingFilesAndFoldersAreSaid()
    {
        using TemporaryFolder folder = new();
        Assert.Contains("ENOENT", Assert.Throws<NodeMarksException>(() => NodeMarks.Open(folder.File("x"))).Message);
        Assert.Contains(
            "ENOENT", Assert.Throws<NodeMarksException>(() => NodeMarks.Create(folder.File("no/x"))).Message);
        Assert.Throws<NodeMarksException>(() => NodeMarks.Create(folder.Path + "/" + new string('n', 300)));
        Assert.Empty(folder.Names);
    }

    [Fact]
    public void AMarkIsWrittenWithoutRoomAndWithoutAllocation()
    {
        using TemporaryFolder folder = new();
        using NodeMarks marks = NodeMarks.Create(folder.File("vol.marks"));
        Assert.Equal(0, Libc.Statx(folder.File("vol.marks"), 0, LinuxAbi.STATX_BASIC_STATS, out Statx facts));
        Assert.True(facts.Blocks * 512 >= NodeMarks.MaxNodes * NodeMarks.RecordBytes);
        marks.Poison(0, Errno.EIO);
        marks.Clear(0);
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 20; i++)
        {
            marks.Poison(i, Errno.EIO);
            marks.Clear(i);
        }

        Assert.Equal(before, GC.GetAllocatedBytesForCurrentThread());
    }

    [Fact]
    public void AMarkThatCannotBeWrittenStillHoldsInMemory()
    {
        if (!File.Exists("/dev/full"))
        {
            Assert.Skip("no /dev/full on this host");
        }

        using NodeMarks marks = NodeMarks.Open("/dev/full");
        Assert.True(marks[5].IsPoisoned);
        Assert.Equal(-Errno.ENOSPC, marks.Poison(5, Errno.ENOLINK));
        Assert.Equal(Errno.ENOLINK, marks[5].Errno);
        Assert.Equal(-Errno.ENOSPC, marks.Clear(5));
        Assert.True(marks[5].IsPoisoned);
    }

    [Fact]
    public void MarksHaveOneOwner()
    {
        using TemporaryFolder folder = new();
        string path = folder.File("vol.marks");
        Assert.False(NodeMarks.IsOwned(path));
        using (NodeMarks first = NodeMarks.Create(path))
        {
            Assert.True(NodeMarks.IsOwned(path));
            using NodeMarks second = NodeMarks.Open(path);
            Assert.Contains(path, Assert.Throws<NodeMarksException>(second.Own).Message, StringComparison.Ordinal);
            Assert.Throws<NodeMarksException>(() => NodeMarks.Create(path));
            first.Poison(3, Errno.EIO);
        }

        // Whoever lets them go leaves them to the next; looking takes nothing.
        Assert.False(NodeMarks.IsOwned(path));
        using NodeMarks next = NodeMarks.Open(path);
        Assert.True(next[3].IsPoisoned);
        next.Own();
        Assert.True(NodeMarks.IsOwned(path));
        Assert.Equal(["vol.marks"], folder.Names);
    }

    [Fact]
    public void MarksThatWereMadeAreRemovedWhereverTheirPathLeadsNow()
    {
        using TemporaryFolder folder = new();
        Directory.CreateDirectory(folder.File("state"));
        using NodeMarks marks = NodeMarks.Create(folder.File("state/vol.marks"));
        Directory.Move(folder.File("state"), folder.File("moved"));
        Directory.CreateDirectory(folder.File("state"));
        File.WriteAllText(folder.File("state/vol.marks"), "of somebody else");
        marks.Remove();
        Assert.Empty(Directory.GetFiles(folder.File("moved")));
        Assert.Single(Directory.GetFiles(folder.File("state")));
    }

    [Fact]
    public void MarksOfASuccessorAreNotRemoved()
    {
        using TemporaryFolder folder = new();
        string path = folder.File("vol.marks");
        using NodeMarks marks = NodeMarks.Create(path);
        File.Delete(path);
        File.WriteAllText(path, "of a successor");
        marks.Remove();
        Assert.True(File.Exists(path));
    }

    [Fact]
    public void AWrongIndexIsNoSilentMark()
    {
        using TemporaryFolder folder = new();
        using NodeMarks marks = NodeMarks.Create(folder.File("vol.marks"));
        Assert.Throws<IndexOutOfRangeException>(() => marks.Poison(64, 5));
        Assert.Throws<IndexOutOfRangeException>(() => marks.Clear(-1));
        Assert.Equal(NodeMarks.MaxNodes * NodeMarks.RecordBytes, new FileInfo(folder.File("vol.marks")).Length);
    }
}
