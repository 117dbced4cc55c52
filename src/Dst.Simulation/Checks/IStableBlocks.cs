namespace Dst.Simulation.Checks;

/// <summary>The logical time of the checks.</summary>
internal interface IStepClock
{
    /// <summary>Events so far.</summary>
    long Steps { get; }
}

/// <summary>What is on stable storage.</summary>
internal interface IStableBlocks
{
    /// <summary>Number of the disk, for people.</summary>
    int Index { get; }

    /// <summary>A content, for people.</summary>
    string NameOf(ulong value);

    /// <summary>What a block may hold there after a power cut now; nothing when that is not known.</summary>
    ReadOnlySpan<ulong> DurableAt(int block);
}
