namespace Dst.Hosting.Sockets;

/// <summary>Splits a stream into lines of bounded length.</summary>
/// <param name="stream">The stream; stays open.</param>
/// <param name="maxLineBytes">Longest line; a longer one ends the stream with an <see cref="IOException"/>.</param>
public sealed class LineReader(Stream stream, int maxLineBytes) : IDisposable
{
    private const int FirstBytes = 4096;

    private byte[] _buffer = new byte[FirstBytes];
    private int _start;
    private int _end;

    /// <summary>The next line without its newline, valid until the next call; null at the end of the stream.</summary>
    public async ValueTask<ReadOnlyMemory<byte>?> ReadAsync()
    {
        int scanned = _start;
        while (true)
        {
            int newline = _buffer.AsSpan(scanned, _end - scanned).IndexOf((byte)'\n');
            if (newline >= 0)
            {
                ReadOnlyMemory<byte> line = _buffer.AsMemory(_start, scanned + newline - _start);
                _start = scanned + newline + 1;
                return line;
            }

            scanned = _end - _start;
            MakeRoom();
            int read = await stream.ReadAsync(_buffer.AsMemory(_end));
            if (read == 0)
            {
                return null;
            }

            _end += read;
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _buffer = [];

    private void MakeRoom()
    {
        _buffer.AsSpan(_start, _end - _start).CopyTo(_buffer);
        _end -= _start;
        _start = 0;
        if (_end == _buffer.Length)
        {
            if (_end >= maxLineBytes)
            {
                throw new IOException($"a line is longer than {maxLineBytes} bytes");
            }

            Array.Resize(ref _buffer, Math.Min(_buffer.Length * 2, maxLineBytes));
        }
    }
}
