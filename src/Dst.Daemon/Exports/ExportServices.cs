using Dst.Control;
using Dst.Daemon.Store;

namespace Dst.Daemon.Exports;

/// <summary>What every worker of an export works with.</summary>
/// <param name="Options">Directories, programs, limits.</param>
/// <param name="Store">The records.</param>
/// <param name="Server">The server.</param>
/// <param name="Log">The log.</param>
internal sealed record ExportServices(
    DaemonOptions Options, RecordStore<ExportRecord> Store, ServerSupervisor Server, ILogger Log)
{
    /// <summary>Limits of every wait.</summary>
    public Timing Timing => Options.Timing;
}
