using System.Reflection;
using System.Text;
using Dst.Control;
using Dst.Daemon.Api;
using Dst.Daemon.Devices;
using Dst.Daemon.Exports;
using Dst.Daemon.Kernel;
using Dst.Daemon.Logging;
using Dst.Daemon.Objects;
using Dst.Daemon.Store;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Serilog;
using ILogger = Microsoft.Extensions.Logging.ILogger;

namespace Dst.Daemon;

/// <summary>
/// One running daemon: locks, directories, socket, devices. Made by <see cref="StartAsync"/>, ended by disposal;
/// targets go on.
/// </summary>
internal sealed class DaemonHost : IAsyncDisposable
{
    private const int MaxConnections = 64;
    private const int PrivateUmask = 0x7f;
    private const int UsualUmask = 0x12;
    private const UnixFileMode OwnerOnly = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute;
    private const UnixFileMode Listable = OwnerOnly
        | UnixFileMode.GroupRead | UnixFileMode.GroupExecute | UnixFileMode.OtherRead | UnixFileMode.OtherExecute;

    private static readonly TimeSpan HeadersTimeout = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan IdleTimeout = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan ShutdownTimeout = TimeSpan.FromSeconds(15);

    private readonly List<InstanceLock> _locks;
    private readonly WebApplication _app;
    private readonly DeviceManager _manager;
    private readonly ExportManager _exports;

    private DaemonHost(List<InstanceLock> locks, WebApplication app, DeviceManager manager, ExportManager exports)
    {
        _exports = exports;
        _locks = locks;
        _app = app;
        _manager = manager;
    }

    /// <summary>Version of the program.</summary>
    public static string Version =>
        typeof(DaemonHost).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?
            .InformationalVersion.Split('+')[0] ?? "0";

    /// <summary>Takes the locks (D-05), then the socket (D-07), then cares for the devices.</summary>
    /// <exception cref="ControlException">Another daemon is there, or a path is too long.</exception>
    /// <exception cref="IOException">A directory cannot be used.</exception>
    public static async Task<DaemonHost> StartAsync(DaemonOptions options, Serilog.ILogger logger)
    {
        CheckSocketPath(options.Run);
        PrivateDirectory.Check("run", options.Run.Path);
        PrivateDirectory.Check("state", options.State.Path);
        MakeDirectories(options);
        List<InstanceLock> locks = TakeLocks(options);
        WebApplication? app = null;
        try
        {
            app = Build(options, logger);
            ILogger log = app.Services.GetRequiredService<ILoggerFactory>().CreateLogger("dstd");
            NameSpace names = new();
            DeviceManager manager = new(
                new DeviceServices(options, RecordStores.Devices(options.State), log), names);
            ExportManager exports = new(options, RecordStores.Exports(options.State), names, log);
            DaemonInfo info = new(
                Version, DeviceApi.Version, Environment.ProcessId, options.Run.Path, options.State.Path);
            DeviceApi api = new(manager, info, log);
            api.Map(app);
            new ExportApi(exports).Map(app);
            app.Lifetime.ApplicationStopping.Register(manager.BeginStop);
            app.Lifetime.ApplicationStopping.Register(exports.BeginStop);
            await BindAsync(app, options.Run.DaemonSocket);
            manager.Start();
            exports.Start();
            api.Open();
            log.Serving(Version, options.Run.DaemonSocket, options.State.Path);
            return new(locks, app, manager, exports);
        }
        catch
        {
            if (app is not null)
            {
                await app.DisposeAsync();
            }

            locks.ForEach(each => each.Dispose());
            throw;
        }
    }

    /// <summary>Waits for SIGTERM, SIGINT or the service manager.</summary>
    public Task WaitAsync() => _app.WaitForShutdownAsync();

    /// <summary>Ends the daemon, never a live target.</summary>
    public async ValueTask DisposeAsync()
    {
        _manager.BeginStop();
        _exports.BeginStop();
        await _app.StopAsync();
        await Task.WhenAll(_manager.StopAsync(), _exports.StopAsync());
        await _app.DisposeAsync();
        _manager.Dispose();
        _exports.Dispose();
        _locks.ForEach(each => each.Dispose());
    }

    private static void CheckSocketPath(RunDirectory run)
    {
        if (!Path.IsPathRooted(run.Path)
            || Encoding.UTF8.GetByteCount(run.ServerSocket) > RunDirectory.MaxSocketPathBytes)
        {
            throw new ControlException(
                ControlErrorCode.Usage,
                $"run directory {run.Path}: must be absolute, "
                + $"and {run.ServerSocket} at most {RunDirectory.MaxSocketPathBytes} bytes");
        }
    }

    private static void MakeDirectories(DaemonOptions options)
    {
        PrivateDirectory.Make(options.Run.Path, Listable);
        PrivateDirectory.Make(options.Run.Devices, Listable);
        PrivateDirectory.Make(options.Run.Targets, OwnerOnly);
        PrivateDirectory.Make(options.State.Path, OwnerOnly);
        PrivateDirectory.Make(options.State.Devices, OwnerOnly);
        PrivateDirectory.Make(options.State.Exports, OwnerOnly);
    }

    private static List<InstanceLock> TakeLocks(DaemonOptions options)
    {
        List<InstanceLock> locks = [];
        try
        {
            locks.Add(InstanceLock.Take(options.Run.DaemonLock));
            locks.Add(InstanceLock.Take(options.State.DaemonLock));
            return locks;
        }
        catch
        {
            locks.ForEach(each => each.Dispose());
            throw;
        }
    }

    private static WebApplication Build(DaemonOptions options, Serilog.ILogger logger)
    {
        // Empty: no settings files (whose watcher walks every mount below the content root), no ASPNETCORE_ variables.
        WebApplicationBuilder builder = WebApplication.CreateEmptyBuilder(
            new WebApplicationOptions { ContentRootPath = AppContext.BaseDirectory });
        builder.WebHost.UseKestrelCore();
        builder.Services.AddRoutingCore();
        builder.Services.AddSerilog(logger);
        builder.Services.AddSystemd();
        builder.Services.Configure<HostOptions>(host => host.ShutdownTimeout = ShutdownTimeout);
        builder.WebHost.ConfigureKestrel(kestrel =>
        {
            kestrel.AddServerHeader = false;
            kestrel.Limits.MaxRequestBodySize = Requests.MaxBodyBytes;
            kestrel.Limits.MaxConcurrentConnections = MaxConnections;
            kestrel.Limits.RequestHeadersTimeout = HeadersTimeout;
            kestrel.Limits.KeepAliveTimeout = IdleTimeout;
            kestrel.ListenUnixSocket(options.Run.DaemonSocket, listen => listen.Protocols = HttpProtocols.Http1);
        });
        return builder.Build();
    }

    // The lock is ours, so nobody listens on a socket that is still there (D-07); the new one is private from its first
    // moment.
    private static async Task BindAsync(WebApplication app, string socket)
    {
        File.Delete(socket);
        _ = Native.SetUmask(PrivateUmask);
        try
        {
            await app.StartAsync();
        }
        finally
        {
            _ = Native.SetUmask(UsualUmask);
        }
    }
}
