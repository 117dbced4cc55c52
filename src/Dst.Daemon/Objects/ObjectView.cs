namespace Dst.Daemon.Objects;

/// <summary>
/// What a worker shows of its object: replaced as a whole, so that readers take no lock and wait for nobody (D-09).
/// </summary>
/// <param name="State">One of <see cref="ObjectState"/>.</param>
/// <param name="Record">The record as stored; null when there is none that can be read.</param>
internal abstract record ObjectView<TRecord>(string State, TRecord? Record)
    where TRecord : class
{
    /// <summary>Why it is in that state.</summary>
    public string? Reason { get; init; }

    /// <summary>Id of the process that serves it, while there is one.</summary>
    public int? Pid { get; init; }

    /// <summary>Bytes preallocated.</summary>
    public long? ProgressBytes { get; init; }

    /// <summary>Bytes to preallocate.</summary>
    public long? ProgressTotalBytes { get; init; }

    /// <summary>What an operator should know.</summary>
    public IReadOnlyList<string> Warnings { get; init; } = [];

    /// <summary>True while it serves.</summary>
    public bool IsLive => string.Equals(State, ObjectState.Live, StringComparison.Ordinal);
}
