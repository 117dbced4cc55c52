namespace Dst.Core.Sessions.Client;

/// <summary>Every bound of the client's machines that is not one of the protocol.</summary>
public static class ClientLimits
{
    /// <summary>Most lanes of one node, which is most queues of a device.</summary>
    public const int LanesMax = 64;

    /// <summary>Most legs that a lane may be given at once.</summary>
    public const int LegsMax = 16 * 1024;

    /// <summary>Slots that a lane keeps back for flushes and replays of its own (S-21, S-31).</summary>
    public const int OwnSlotsMax = 8;

    /// <summary>Fewest slots of a lane: one for requests, one kept back.</summary>
    public const int LaneSlotsMin = 2;

    /// <summary>
    /// Two lanes never change the same run of this length at once on a write-back node (S-21).
    /// </summary>
    public const int StripeBytes = 256 * 1024;

    /// <summary>Stripes that are told apart: more than the longest change touches, a power of two.</summary>
    public const int Stripes = 8192;

    /// <summary>Most entries of a lane's replay log, whatever their data.</summary>
    public const int LogEntriesMax = 64 * 1024;

    /// <summary>Replies to no waiting request on one connection that are borne; one more ends it (S-14).</summary>
    public const int StrayRepliesMax = 64;

    /// <summary>A request whose data was wrong so often in a row ends with an error (S-33).</summary>
    public const int BadChecksumsMax = 2;

    /// <summary>Replays that may fail in a row on a good connection; then the unflushed changes count as lost (S-23).</summary>
    public const int ReplayFailuresMax = 3;

    /// <summary>A connect without an answer for so long has failed.</summary>
    public const int ConnectMs = 5_000;

    /// <summary>First pause before another attempt (S-30).</summary>
    public const int BackoffMinMs = 100;

    /// <summary>Longest pause before another attempt (S-30).</summary>
    public const int BackoffMaxMs = 10_000;

    /// <summary>Pause after a refusal by policy (S-07, S-30).</summary>
    public const int SlowRetryMs = 10_000;

    /// <summary>After so long a life the pauses begin again at their shortest (S-30).</summary>
    public const int HealthyMs = 30_000;

    /// <summary>A goodbye without an answer for so long is given up.</summary>
    public const int GoodbyeMs = 10_000;
}
