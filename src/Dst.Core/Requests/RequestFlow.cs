namespace Dst.Core.Requests;

/// <summary>
/// Where a frontend (a ublk queue, a connection of the server) hands its requests to. One thread owns both sides.
/// </summary>
public interface IRequestHandler
{
    /// <summary>
    /// Takes a request. Its result comes through <see cref="IRequestCompletion"/>, possibly before this call returns.
    /// </summary>
    /// <param name="tag">Tag of the frontend; not used again before its completion.</param>
    /// <param name="request">What to do.</param>
    /// <param name="buffer">
    /// Address of the data: source of a write, target of a read. Untouched after completion.
    /// </param>
    /// <param name="nowTicks">Time of this turn, ticks of a monotonic clock.</param>
    void Submit(int tag, in Request request, nint buffer, long nowTicks);
}

/// <summary>
/// Where the engine hands results back to. Called once for each request, on the thread that submitted it.
/// </summary>
public interface IRequestCompletion
{
    /// <summary>The request of a tag is final: no node touches its buffer any more.</summary>
    void Complete(int tag, DstStatus status);
}
