using Dst.Interop;
using Dst.Nodes.Backings;
using Xunit;

namespace Dst.Nodes.Tests.Backings;

public class AlignmentTests
{
    [Theory]
    [InlineData(512, 4, 512, 4)]
    [InlineData(1, 1, 512, 1)]
    [InlineData(512, 512, 512, 512)]
    [InlineData(1024, 4, 4096, 4)]
    [InlineData(4096, 4, 4096, 4)]
    [InlineData(512, 4096, 4096, 4096)]
    public void BlocksAre512Or4096AndCoverTheAddresses(long offset, long memory, int block, int address) =>
        Assert.Equal(new IoAlignment(block, address), IoAlignment.From(offset, memory));

    [Theory]
    [InlineData(8192, 4)]
    [InlineData(512, 8192)]
    public void MoreThan4096IsNotOffered(long offset, long memory) => Assert.Null(IoAlignment.From(offset, memory));

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public unsafe void WhatIsFoundByTryingWorks(bool onTmpfs)
    {
        using TemporaryFolder folder = new(onTmpfs);
        string path = folder.Filled("a", 64 * 1024);
        File.WriteAllBytes(path, new byte[64 * 1024]);
        int fd = Libc.Open(path, LinuxAbi.O_RDWR | LinuxAbi.O_DIRECT | LinuxAbi.O_CLOEXEC);
        Assert.True(fd >= 0, Errno.Describe(fd));
        IoAlignment? found = IoAlignment.Probe(fd, 0, out int error);
        Assert.Equal(0, error);
        Assert.NotNull(found);
        byte* buffer = (byte*)System.Runtime.InteropServices.NativeMemory.AlignedAlloc(16384, 4096);
        int block = found.Value.BlockSizeBytes;
        Assert.Equal(block, Libc.Pwrite(fd, buffer + block, (nuint)block, block));
        System.Runtime.InteropServices.NativeMemory.AlignedFree(buffer);
        Assert.Equal(4096, IoAlignment.Probe(fd, 4096, out _)!.Value.BlockSizeBytes);
        Assert.Null(IoAlignment.Probe(fd, 8192, out _));
        Libc.Close(fd);
    }

    [Fact]
    public void ErrorsOtherThanAlignmentAreToldApart()
    {
        using TemporaryFolder folder = new();
        int fd = Libc.Open(folder.Filled("a", 4096), LinuxAbi.O_WRONLY | LinuxAbi.O_CLOEXEC);
        Assert.Null(IoAlignment.Probe(fd, 0, out int error));
        Assert.Equal(-Errno.EBADF, error);
        Libc.Close(fd);
    }
}
