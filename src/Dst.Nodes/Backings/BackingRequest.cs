namespace Dst.Nodes.Backings;

/// <summary>Told what goes on while a backing is opened; called on the opening thread, must return soon.</summary>
public interface IBackingEvents
{
    /// <summary>A new file is being filled.</summary>
    /// <param name="doneBytes">Bytes allocated so far.</param>
    /// <param name="totalBytes">Bytes of the whole file.</param>
    void Progress(long doneBytes, long totalBytes);

    /// <summary>
    /// The backing is held by someone else and is waited for; said at once and then every ten seconds.
    /// </summary>
    /// <param name="text">One line: what is waited for and who holds it.</param>
    void Waiting(string text);
}

/// <summary>What the opener has to know beyond the node's own specification.</summary>
public readonly record struct BackingRequest
{
    /// <summary>The volume is never written: the backing is opened for reading, files take a shared lock.</summary>
    public bool ReadOnly { get; init; }

    /// <summary>
    /// The device existed before: nothing is created, a held lock is waited for (S-09), identity and least size are
    /// compared with what was stored (D-10).
    /// </summary>
    public bool Restore { get; init; }

    /// <summary>
    /// With <see cref="Restore"/>: what <see cref="Backing.Identity"/> said at creation; null compares nothing.
    /// </summary>
    public string? ExpectedIdentity { get; init; }

    /// <summary>
    /// Fewest usable bytes; with <see cref="Restore"/> the size stored at creation. 0 asks for one block.
    /// </summary>
    public long MinimumSizeBytes { get; init; }

    /// <summary>Who is told of progress and waiting, or null.</summary>
    public IBackingEvents? Events { get; init; }

    /// <summary>Says of a ublk id whether it is a DST device; null takes every ublk disk for one (U-28).</summary>
    public Func<int, bool>? IsDstDevice { get; init; }

    /// <summary>
    /// Ends waiting and filling with <see cref="OperationCanceledException"/>; nothing is left behind.
    /// </summary>
    public CancellationToken CancellationToken { get; init; }
}
