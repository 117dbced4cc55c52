using Dst.Core;
using Dst.Core.Wire;
using Dst.IO.Memory;

namespace Dst.Net.Server.Engine;

/// <summary>One request from its header until its reply has left.</summary>
internal struct RequestTag
{
    /// <summary>Whose it is; null when free.</summary>
    public LiveConnection? Connection;

    /// <summary>Slot of the lane.</summary>
    public int Slot;

    /// <summary>Next tag of the list it is in; -1 ends it.</summary>
    public int Next;

    /// <summary>Its data; 0 without.</summary>
    public nint Buffer;

    /// <summary>Bytes of that data.</summary>
    public int BufferBytes;

    /// <summary>Bytes of its reply before the data.</summary>
    public int HeadBytes;

    /// <summary>Bytes of data in its reply.</summary>
    public int DataBytes;
}

/// <summary>
/// The requests of all connections of one engine thread, with the memory they work in (S-31): payload blocks and a
/// place for header and table of each. Everything is there from the start. Engine thread.
/// </summary>
internal sealed unsafe class TagPool : IDisposable
{
    private readonly RequestTag[] _tags;
    private readonly NativeBlock _heads;
    private readonly int _headStrideBytes;
    private int _firstFree;

    /// <summary>Makes free tags.</summary>
    /// <param name="tags">How many.</param>
    /// <param name="maxRequestBytes">Longest data of a request.</param>
    /// <param name="arena">Where data goes.</param>
    public TagPool(int tags, int maxRequestBytes, BuddyArena arena)
    {
        int tableBytes = DataChecksum.TableBytes(ChecksumKind.Xxh3, maxRequestBytes);
        _headStrideBytes = (WireLimits.HeaderBytes + tableBytes + 63) & ~63;
        _heads = NativeBlock.Allocate((long)tags * _headStrideBytes, "replies", locked: true);
        Arena = arena;
        _tags = new RequestTag[tags];
        for (int i = 0; i < tags; i++)
        {
            _tags[i].Next = i + 1 < tags ? i + 1 : -1;
        }

        FreeCount = tags;
    }

    /// <summary>Where data goes.</summary>
    public BuddyArena Arena { get; }

    /// <summary>Tags that nobody uses.</summary>
    public int FreeCount { get; private set; }

    /// <summary>A tag.</summary>
    public ref RequestTag this[int tag] => ref _tags[tag];

    /// <summary>Place of the tag's header, then of its table.</summary>
    public nint HeadOf(int tag) => _heads.Address + ((nint)tag * _headStrideBytes);

    /// <summary>As <see cref="HeadOf"/>.</summary>
    public Span<byte> Head(int tag) => new((void*)HeadOf(tag), _headStrideBytes);

    /// <summary>The tag's data.</summary>
    public Span<byte> Data(int tag) => new((void*)_tags[tag].Buffer, _tags[tag].BufferBytes);

    /// <summary>Memory that so much data takes.</summary>
    public static long BlockBytesOf(int dataBytes) => dataBytes == 0 ? 0 : BuddyArena.BlockBytes(dataBytes);

    /// <summary>Takes a tag with room for data.</summary>
    /// <param name="connection">For whom.</param>
    /// <param name="dataBytes">0 for none.</param>
    /// <returns>The tag; -1 when there is no tag or no room.</returns>
    public int Take(LiveConnection connection, int dataBytes)
    {
        int tag = _firstFree;
        if (tag < 0)
        {
            return -1;
        }

        nint buffer = dataBytes == 0 ? 0 : Arena.Take(dataBytes);
        if (buffer == 0 && dataBytes != 0)
        {
            return -1;
        }

        ref RequestTag at = ref _tags[tag];
        _firstFree = at.Next;
        at = new RequestTag { Connection = connection, Slot = -1, Next = -1, Buffer = buffer, BufferBytes = dataBytes };
        FreeCount--;
        connection.TagCount++;
        connection.BlockBytes += BlockBytesOf(dataBytes);
        return tag;
    }

    /// <summary>Gives a tag and its memory back; no operation of the kernel may know it.</summary>
    public void Give(int tag)
    {
        ref RequestTag at = ref _tags[tag];
        Must.Be(at.Connection is not null, $"tag {tag} is given back twice");
        at.Connection!.TagCount--;
        at.Connection.BlockBytes -= BlockBytesOf(at.BufferBytes);
        if (at.Buffer != 0)
        {
            Arena.Give(at.Buffer, at.BufferBytes);
        }

        at = new RequestTag { Next = _firstFree };
        _firstFree = tag;
        FreeCount++;
    }

    /// <summary>Gives the memory back. After the loop has ended.</summary>
    public void Dispose() => _heads.Dispose();
}
