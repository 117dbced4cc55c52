using System.Reflection;
using Dst.Control;
using Dst.Hosting;
using Dst.IO.Processes;
using Dst.Target.Helpers;
using Dst.Target.Session;

// dst-target serves ONE device; dstd starts it and speaks to it over its socket. It is not meant to be run by hand.
string[] arguments = args;
if (arguments is ["helper", ..])
{
    return HelperVerbs.Run(arguments.AsSpan(1));
}

string version = Assembly.GetExecutingAssembly().GetName().Version?.ToString(3) ?? "0";
if (arguments is ["--version"])
{
    Console.Out.WriteLine(version);
    return TargetExit.Ok;
}

if (arguments is not ["--run-dir", var runPath, "--name", var name])
{
    Console.Error.WriteLine(
        "dst-target: usage: dst-target --run-dir DIR --name NAME; dstd starts it, see 'dstctl add-device --help'");
    return TargetExit.Usage;
}

string? refusal = ProcessGuard.Enter();
var log = new ProcessLog($"dst-target {name}");
if (refusal is not null)
{
    log.Write(refusal);
}

// Only remove-device ends a target (D-18): what stops a daemon or closes a terminal must not take a disk away.
using IDisposable signals = ServingProcess.Prepare(
    "dst-target\0"u8, log, $"'dstctl remove-device {name}' ends this target");
return new TargetServer(new RunDirectory(runPath), new TargetIdentity(name, version, refusal), log).Run();
