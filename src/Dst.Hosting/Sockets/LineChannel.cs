using System.Net.Sockets;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;

namespace Dst.Hosting.Sockets;

/// <summary>
/// One connection of a daemon to a serving process: JSON documents, one a line, both ways. Reading is for one caller,
/// sending for any thread.
/// </summary>
public sealed class LineChannel : IDisposable
{
    private readonly NetworkStream _stream;
    private readonly LineReader _reader;
    private readonly Lock _writing = new();

    /// <summary>Takes a connected socket over.</summary>
    /// <param name="socket">The socket; closed with the channel.</param>
    /// <param name="maxLineBytes">Longest line that is read.</param>
    public LineChannel(Socket socket, int maxLineBytes)
    {
        _stream = new NetworkStream(socket, ownsSocket: true);
        _reader = new LineReader(_stream, maxLineBytes);
    }

    /// <summary>The next document.</summary>
    /// <returns>Null at the end of the connection, and at anything that is no such document.</returns>
    public async Task<T?> ReadAsync<T>(JsonTypeInfo<T> type)
        where T : class
    {
        try
        {
            return await _reader.ReadAsync() is { } line ? JsonSerializer.Deserialize(line.Span, type) : null;
        }
        catch (Exception e) when (e is IOException or SocketException or JsonException or ObjectDisposedException)
        {
            // Nothing more can be trusted here: the same as the end of the connection.
            return null;
        }
    }

    /// <summary>Sends a document; when nobody is there to hear it, the reading side notices.</summary>
    public void Send<T>(T document, JsonTypeInfo<T> type)
    {
        byte[] json = JsonSerializer.SerializeToUtf8Bytes(document, type);
        try
        {
            lock (_writing)
            {
                _stream.Write(json);
                _stream.WriteByte((byte)'\n');
            }
        }
        catch (Exception e) when (e is IOException or ObjectDisposedException)
        {
            // As the summary says.
        }
    }

    /// <summary>Closes the connection.</summary>
    public void Dispose()
    {
        _reader.Dispose();
        _stream.Dispose();
    }
}
