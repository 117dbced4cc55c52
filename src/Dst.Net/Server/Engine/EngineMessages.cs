using Dst.Core.Wire;

namespace Dst.Net.Server.Engine;

/// <summary>What the session thread tells an engine thread.</summary>
internal enum EngineOrderKind
{
    /// <summary>The connection is live: it belongs to the engine from here on.</summary>
    Adopt,

    /// <summary>Send ERROR with the code and close; replies that wait are dropped.</summary>
    Close,

    /// <summary>Answer what runs, send GOODBYE, close.</summary>
    Goodbye,

    /// <summary>Answer what runs, send ERROR with the code, close.</summary>
    Finish,

    /// <summary>The poison was taken away, or not (S-24).</summary>
    PoisonCleared,

    /// <summary>Close what is left, serve until nothing is in flight, then end the thread.</summary>
    Stop,
}

/// <summary>One order to an engine thread.</summary>
/// <param name="Kind">What to do.</param>
/// <param name="Connection">Which connection; null with <see cref="EngineOrderKind.Stop"/>.</param>
internal readonly record struct EngineOrder(EngineOrderKind Kind, LiveConnection? Connection)
{
    /// <summary>With Close and Finish: why. None closes without a word.</summary>
    public RefusalCode Code { get; init; }

    /// <summary>With Close: the ERROR to send, a whole frame; null for one that says no more than the code.</summary>
    public byte[]? Frame { get; init; }

    /// <summary>With Goodbye: the epoch that the frame names.</summary>
    public ulong Epoch { get; init; }

    /// <summary>With PoisonCleared: the tag that waits.</summary>
    public int Tag { get; init; }

    /// <summary>With PoisonCleared: it is durable.</summary>
    public bool Succeeded { get; init; }
}

/// <summary>What an engine thread tells the session thread.</summary>
internal enum EngineReportKind
{
    /// <summary>The connection takes no more requests: the epoch of its session ends with it (S-08).</summary>
    Ended,

    /// <summary>The last request of a lane whose epoch is over has left the disk (S-05).</summary>
    Drained,

    /// <summary>The client says goodbye (S-04).</summary>
    Goodbye,

    /// <summary>A replayed flush went well: the poison may go (S-24).</summary>
    ClearPoison,

    /// <summary>Socket closed, all memory given back.</summary>
    Gone,
}

/// <summary>One report of an engine thread.</summary>
/// <param name="Kind">What happened.</param>
/// <param name="Connection">To which connection.</param>
internal readonly record struct EngineReport(EngineReportKind Kind, LiveConnection Connection)
{
    /// <summary>With Ended: why it was closed; None when the peer closed it.</summary>
    public RefusalCode Code { get; init; }

    /// <summary>With ClearPoison: the tag that waits for the answer.</summary>
    public int Tag { get; init; }
}
