namespace Dst.Simulation.Clients;

/// <summary>What an operator asks of a node.</summary>
internal enum NodeOrder
{
    /// <summary>New requests wait.</summary>
    Suspend,

    /// <summary>They wait no more.</summary>
    Resume,

    /// <summary>What waits fails.</summary>
    Fail,

    /// <summary>The host's budget is the new one.</summary>
    Budget,

    /// <summary>A loss is accepted.</summary>
    ClearError,

    /// <summary>The hold is given back.</summary>
    Leave,

    /// <summary>The node ends, the hold stays.</summary>
    Stop,
}
