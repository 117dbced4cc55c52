using System.Runtime.InteropServices;
using System.Text;
using Dst.Cli;

const int TerminatedExitCode = 143;

using var interruption = new CancellationTokenSource();
bool terminated = false;
using PosixSignalRegistration interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, Stop);
using PosixSignalRegistration terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, Stop);

// The console's own writers follow the locale; what scripts read shall be UTF-8 everywhere.
using var output = new StreamWriter(Console.OpenStandardOutput(), new UTF8Encoding(false)) { AutoFlush = true };
using var error = new StreamWriter(Console.OpenStandardError(), new UTF8Encoding(false)) { AutoFlush = true };
var host = new CliHost
{
    Output = output,
    Error = error,
    IsErrorTerminal = !Console.IsErrorRedirected,
};
int exitCode = await CommandLine.RunAsync(args, host, interruption.Token);
return terminated && exitCode == CommandLine.InterruptedExitCode ? TerminatedExitCode : exitCode;

void Stop(PosixSignalContext context)
{
    context.Cancel = true;
    terminated = context.Signal == PosixSignal.SIGTERM;
    interruption.Cancel();
}
