using Dst.Nodes.Health;

namespace Dst.Nodes.Faults;

/// <summary>A node around another one, the same but for what it does to requests on their way in.</summary>
/// <param name="inner">The node inside; disposed with this one.</param>
public abstract class WrapperNode(Node inner) : Node
{
    /// <inheritdoc/>
    public override long SizeBytes => Inner.SizeBytes;

    /// <inheritdoc/>
    public override int BlockSizeBytes => Inner.BlockSizeBytes;

    /// <inheritdoc/>
    public override bool VolatileCache => Inner.VolatileCache;

    /// <inheritdoc/>
    public override bool CanDiscard => Inner.CanDiscard;

    /// <inheritdoc/>
    public override int DiscardGranularityBytes => Inner.DiscardGranularityBytes;

    /// <inheritdoc/>
    public override bool CanWriteZeroes => Inner.CanWriteZeroes;

    /// <inheritdoc/>
    public override string Identity => Inner.Identity;

    /// <inheritdoc/>
    public override int Fd => Inner.Fd;

    /// <inheritdoc/>
    public override NodeHealth? Health => Inner.Health;

    /// <inheritdoc/>
    public override Node Innermost => Inner.Innermost;

    /// <summary>The node inside.</summary>
    protected Node Inner { get; } = inner;

    /// <inheritdoc/>
    public override string? LeaveForGood() => Inner.LeaveForGood();

    /// <inheritdoc/>
    public override void Dispose() => Inner.Dispose();
}
