using Dst.Interop;

namespace Dst.Nodes.Backings;

/// <summary>
/// An opened, locked and checked file or disk. Its descriptor is the one that does the I/O and the one that holds the
/// lock, so the lock outlives the last request (S-09, U-36). Immutable but for its end; used and disposed by one owner.
/// </summary>
public sealed class Backing : IDisposable
{
    private bool _isClosed;

    internal Backing()
    {
    }

    /// <summary>The descriptor, close-on-exec; not to be used after <see cref="Dispose"/>.</summary>
    public required int Fd { get; init; }

    /// <summary>A disk or partition; otherwise a regular file.</summary>
    public required bool IsBlockDevice { get; init; }

    /// <summary>I/O goes past the page cache and has to keep the alignments.</summary>
    public required bool IsDirect { get; init; }

    /// <summary>
    /// Usable bytes from <see cref="OffsetBytes"/> on, at least one block; not rounded to anything (C-19).
    /// </summary>
    public required long SizeBytes { get; init; }

    /// <summary>Where the data begins; a multiple of <see cref="BlockSizeBytes"/>, 0 for disks.</summary>
    public required long OffsetBytes { get; init; }

    /// <summary>Length of the file or disk itself when it was opened.</summary>
    public required long LengthBytes { get; init; }

    /// <summary>
    /// 512 or 4096: every offset and length of I/O has to be a multiple, and every address where direct (C-13).
    /// </summary>
    public required int BlockSizeBytes { get; init; }

    /// <summary>Multiple that addresses of buffers have to be; at most <see cref="BlockSizeBytes"/>.</summary>
    public required int MemoryAlignmentBytes { get; init; }

    /// <summary>
    /// Completed writes are lost with the power until a flush; true for every file and every disk that does not deny
    /// it.
    /// </summary>
    public required bool VolatileCache { get; init; }

    /// <summary>
    /// The file owns the room it will ever need and keeps it: a discard zeroes the range without giving it back (C-18).
    /// </summary>
    public bool KeepsAllocation { get; init; }

    /// <summary>Ranges can be discarded; never on a read-only volume.</summary>
    public required bool CanDiscard { get; init; }

    /// <summary>Unit in which discards do something, bytes; 0 where <see cref="CanDiscard"/> is false.</summary>
    public required int DiscardGranularityBytes { get; init; }

    /// <summary>Ranges can be zeroed by fallocate; never on a read-only volume.</summary>
    public required bool CanWriteZeroes { get; init; }

    /// <summary>What makes it the same backing at the next start (D-10).</summary>
    public required string Identity { get; init; }

    /// <summary>Absolute path without symbolic links.</summary>
    public required string Path { get; init; }

    /// <summary>This opening made the file; see <see cref="UndoCreation"/>.</summary>
    public required bool Created { get; init; }

    /// <summary>The folder of a file that this opening made; else -1.</summary>
    internal int FolderFd { get; init; } = -1;

    /// <summary>Closes the descriptor, and with it ends the lock once no request is left.</summary>
    public void Dispose()
    {
        if (!_isClosed)
        {
            _isClosed = true;
            Libc.Close(Fd);
            if (FolderFd >= 0)
            {
                Libc.Close(FolderFd);
            }
        }
    }

    /// <summary>
    /// Takes a file that this opening made out of its directory again, for when the device does not come to be.
    /// Does nothing to a file that was there before, nor to another one that has taken its name.
    /// </summary>
    public void UndoCreation()
    {
        if (Created && !_isClosed)
        {
            FileCreation.TakeBack(FolderFd, System.IO.Path.GetFileName(Path), Fd);
        }
    }
}
