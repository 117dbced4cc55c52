using System.Runtime.InteropServices;
using Dst.Interop;

namespace Dst.Hosting;

/// <summary>What every process that serves disks does first, once it is guarded. Main thread.</summary>
public static class ServingProcess
{
    private const uint UsualUmask = 0x12;

    private static readonly PosixSignal[] Ignored =
        [PosixSignal.SIGTERM, PosixSignal.SIGINT, PosixSignal.SIGQUIT, PosixSignal.SIGHUP];

    /// <summary>
    /// Ignores what stops a daemon or closes a terminal (D-18), leaves the working directory, gives the process its
    /// name back: executed through /proc/self/exe the kernel calls it "exe", and operators look for ours.
    /// </summary>
    /// <param name="name">Name of the program, with a closing zero.</param>
    /// <param name="log">Told of each signal.</param>
    /// <param name="instead">What ends the process, for people.</param>
    /// <returns>Keeps the signals ignored until it is disposed.</returns>
    public static IDisposable Prepare(ReadOnlySpan<byte> name, ProcessLog log, string instead)
    {
        Registrations registrations = new(
            [.. Ignored.Select(signal => PosixSignalRegistration.Create(signal, context =>
            {
                context.Cancel = true;
                log.Write($"{context.Signal} ignored: {instead}");
            }))]);
        _ = Libc.SetThreadName(name);
        _ = Libc.Chdir("/");
        _ = Libc.Umask(UsualUmask);
        if (ForcedCollections.StartIfAsked() is { } forced)
        {
            log.Write(forced);
        }

        return registrations;
    }

    private sealed class Registrations(PosixSignalRegistration[] all) : IDisposable
    {
        public void Dispose()
        {
            foreach (PosixSignalRegistration each in all)
            {
                each.Dispose();
            }
        }
    }
}
