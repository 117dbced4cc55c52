using System.Text;
using Dst.Hosting.Sockets;
using Xunit;

namespace Dst.Hosting.Tests;

public sealed class LineReaderTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(7)]
    [InlineData(100_000)]
    public async Task Lines_come_whole_however_they_are_cut(int pieceBytes)
    {
        string[] lines = ["first", string.Empty, new string('x', 10_000), "last"];
        using var stream = new Pieces(
            Encoding.UTF8.GetBytes(string.Concat(lines.Select(line => line + "\n")) + "unfinished"), pieceBytes);
        using var reader = new LineReader(stream, 20_000);
        foreach (string line in lines)
        {
            Assert.Equal(line, Encoding.UTF8.GetString((await reader.ReadAsync())!.Value.Span));
        }

        Assert.Null(await reader.ReadAsync());
    }

    [Fact]
    public async Task A_line_beyond_the_limit_is_refused()
    {
        using var stream = new Pieces(new byte[50_000], 4096);
        using var reader = new LineReader(stream, 8192);
        await Assert.ThrowsAsync<IOException>(async () => await reader.ReadAsync());
    }

    private sealed class Pieces(byte[] bytes, int pieceBytes) : MemoryStream(bytes)
    {
        public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default) =>
            base.ReadAsync(buffer[..Math.Min(buffer.Length, pieceBytes)], cancellationToken);
    }
}
