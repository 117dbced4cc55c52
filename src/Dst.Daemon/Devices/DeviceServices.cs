using Dst.Control;
using Dst.Daemon.Kernel;
using Dst.Daemon.Store;

namespace Dst.Daemon.Devices;

/// <summary>What every worker works with.</summary>
internal sealed class DeviceServices
{
    /// <summary>Puts the services together.</summary>
    /// <param name="options">Directories, programs, limits.</param>
    /// <param name="store">The records.</param>
    /// <param name="log">The log.</param>
    public DeviceServices(DaemonOptions options, RecordStore<DeviceRecord> store, ILogger log)
    {
        Options = options;
        Store = store;
        Log = log;
        Helpers = new HelperRunner(options, log);
        Links = new DeviceLinks(options.LinkDirectory);
        Users = new DeviceUsers(options.ProcRoot, options.SysRoot);
        Leftovers = new Leftovers(options, Helpers, Links, log);
    }

    public DaemonOptions Options { get; }

    public Timing Timing => Options.Timing;

    public RecordStore<DeviceRecord> Store { get; }

    public ILogger Log { get; }

    public HelperRunner Helpers { get; }

    public DeviceLinks Links { get; }

    public DeviceUsers Users { get; }

    public Leftovers Leftovers { get; }
}
