using Dst.Core.Sessions.Client;
using Dst.Core.Wire;

namespace Dst.Net.Client;

/// <summary>What a node's machine says to people. Session thread.</summary>
internal static class NodeTexts
{
    /// <summary>Where the node is.</summary>
    /// <param name="machine">The machine.</param>
    public static string StateOf(ClientNode machine) => machine.State switch
    {
        ClientNodeState.Connecting => "connecting",
        ClientNodeState.Attaching => "attaching",
        ClientNodeState.WaitingForDrain => $"waiting for the server's drain: {machine.DrainWait.Requests} requests",
        ClientNodeState.Replaying => "sending again",
        ClientNodeState.Live => "live",
        ClientNodeState.Suspended => "suspended",
        ClientNodeState.NextTry => "waiting for the next try",
        ClientNodeState.Refused => "refused",
        ClientNodeState.LostUnflushedWrites => "lost unflushed writes",
        ClientNodeState.Failed => "failed",
        _ => "closed",
    };

    /// <summary>Why the last attempt or epoch ended; empty for nothing.</summary>
    /// <param name="machine">The machine.</param>
    /// <param name="local">What this side found: a connect error, a file error.</param>
    public static string ErrorOf(ClientNode machine, string local) => machine.LastEnd switch
    {
        EpochEnd.None => "",
        EpochEnd.ConnectFailed => $"cannot connect: {local}",
        EpochEnd.ConnectionLost => "the connection was lost",
        EpochEnd.Silence => $"nothing was heard for {WireLimits.SilenceMs / 1000} s",
        EpochEnd.HandshakeTimeout => "the server did not answer in time",
        EpochEnd.Protocol => "the server broke the protocol",
        EpochEnd.Refused => RefusalOf(machine),
        EpochEnd.Unsuitable => FaultOf(machine.LastFault),
        EpochEnd.Deadline => "a reply took longer than the deadline",
        EpochEnd.Abandoned => "a request was given up",
        EpochEnd.ServerChanged => "the server restarted or failed to write",
        EpochEnd.FlushFailed => "a flush failed on the server",
        EpochEnd.BadData => "data did not match its checksum",
        EpochEnd.NotDurable => $"cannot keep what must be durable: {local}",
        EpochEnd.RecoveryFailed => "sending unflushed changes again failed",
        EpochEnd.ReplayDamaged => "unflushed changes could not be sent again: data did not match its checksum",
        EpochEnd.ServerLeft => "the server went away",
        _ => "",
    };

    private static string RefusalOf(ClientNode machine)
    {
        ErrorMessage error = machine.LastError;
        string text = error.Text.IsEmpty ? "" : $": {error.Text}";
        string by = error.Holder.ToString();
        // A server may name the holder in its text as well.
        string holder = by.Length == 0 || text.Contains(by, StringComparison.Ordinal) ? "" : $" (held by {by})";
        return $"{CodeText(machine.LastRefusal)}{text}{holder}";
    }

    private static string CodeText(RefusalCode code) => code switch
    {
        RefusalCode.UnknownExport => "the server has no such export for this host",
        RefusalCode.Held => "another device holds the export",
        RefusalCode.Fenced => "another device has taken the export over",
        RefusalCode.Identity => "it is another export than before",
        RefusalCode.Size => "the export has become smaller",
        RefusalCode.ReadOnlyExport => "the export is read-only",
        RefusalCode.NoCredits => "the server has no memory left for another client",
        RefusalCode.Released => "an operator of the server ended the hold",
        RefusalCode.ExportGone => "the export was removed or cannot be opened",
        _ => $"the server refused with code {(int)code}",
    };

    private static string FaultOf(ExportFault fault) => fault switch
    {
        ExportFault.Identity => "it is another export than before",
        ExportFault.Size => "the export has become smaller",
        ExportFault.Block => "the export's blocks have become larger",
        ExportFault.MaxRequest => "the export takes only shorter requests than before",
        ExportFault.ReadOnly => "the export has become read-only",
        ExportFault.WriteBack => "the export has changed from write-through to write-back",
        ExportFault.Log => "the replay log is shorter than one request; give a larger log=",
        ExportFault.Credits => "the server grants too few requests; use fewer queues or connections",
        ExportFault.Epoch => "the server granted an epoch that is not new: its state is older than ours",
        _ => "the export cannot be used",
    };
}
