using System.Reflection;
using System.Runtime.InteropServices;
using Dst.Control;
using Dst.Hosting;
using Dst.IO.Processes;
using Dst.Server.Session;

// dst-server serves all exports of this host; dstd starts it and speaks to it over its socket. It is not meant to be
// run by hand.
string version = Assembly.GetExecutingAssembly().GetName().Version?.ToString(3) ?? "0";
if (args is ["--version"])
{
    Console.Out.WriteLine(version);
    return ServerExit.Ok;
}

if (args is not ["--run-dir", var runPath, "--state-dir", var statePath])
{
    Console.Error.WriteLine(
        "dst-server: usage: dst-server --run-dir DIR --state-dir DIR; dstd starts it, see 'dstctl add-export --help'");
    return ServerExit.Usage;
}

var run = new RunDirectory(runPath);
var state = new StateDirectory(statePath);
string? warning = ProcessGuard.EnterShared();
var log = new ProcessLog("dst-server");
// Before anything is touched: socket, tree and records may be those of a server that lives.
using ServerLock? runLock = ServerLock.TryTake(run.ServerLock, out string problem);
using ServerLock? stateLock = runLock is null ? null : ServerLock.TryTake(state.ServerLock, out problem);
if (stateLock is null)
{
    log.Write(problem);
    return ServerExit.Failed;
}

if (warning is not null)
{
    log.Write(warning);
}

using IDisposable signals = ServingProcess.Prepare(
    "dst-server\0"u8, log, "SIGTERM ends the server, 'dstctl remove-export' an export");
foreach (string complaint in ProcessGuard.Harden())
{
    log.Write(complaint);
}

var options = new ServerOptions
{
    Run = run,
    State = state,
    Version = version,
    Warning = warning,
};
using var control = new ServerControl(options, log);
// In good order: clients are told, come back to the next server and send again what was not answered.
using var terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, context =>
{
    context.Cancel = true;
    control.Terminate();
});
return control.Run();
