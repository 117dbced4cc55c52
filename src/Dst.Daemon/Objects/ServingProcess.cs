using System.ComponentModel;
using System.Diagnostics;
using System.Globalization;
using Dst.Control;
using Dst.Daemon.Kernel;
using Dst.Daemon.Logging;

namespace Dst.Daemon.Objects;

/// <summary>
/// A process that serves one device, or all exports, started by this daemon or adopted from an earlier one. It outlives
/// the daemon however that ends: it has its own session, no pipe to us, and an empty standard input. Any thread.
/// </summary>
internal sealed class ServingProcess
{
    private const int SignalExitBase = 128;
    private const int OrderlyExitMax = 2;
    private static readonly TimeSpan ExitCodeWait = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan KillWait = TimeSpan.FromSeconds(3);

    private readonly Process? _child;
    private readonly ProcessHandle _handle;

    private readonly string _word;

    private ServingProcess(string word, Process? child, ProcessHandle handle)
    {
        _word = word;
        _child = child;
        _handle = handle;
    }

    /// <summary>Process id.</summary>
    public int Pid => _handle.Pid;

    /// <summary>Completes when the process has ended.</summary>
    public Task Exited => _handle.Exited;

    /// <summary>Takes over a process found at its socket.</summary>
    /// <param name="handle">The process.</param>
    /// <param name="word">What people call it: target or server.</param>
    public static ServingProcess Adopt(ProcessHandle handle, string word) => new(word, null, handle);

    /// <summary>Starts the target of one device.</summary>
    /// <exception cref="ControlException">The program cannot be started.</exception>
    public static ServingProcess StartTarget(DaemonOptions options, string name) => Start(
        options.TargetBinary,
        ["--run-dir", options.Run.Path, "--name", name],
        "target",
        $"target of device {name}",
        "--target-binary");

    /// <summary>Starts the server of exports.</summary>
    /// <exception cref="ControlException">The program cannot be started.</exception>
    public static ServingProcess StartServer(DaemonOptions options) => Start(
        options.ServerBinary,
        ["--run-dir", options.Run.Path, "--state-dir", options.State.Path],
        "server",
        "server of exports",
        "--server-binary");

    private static ServingProcess Start(
        string binary, IReadOnlyList<string> arguments, string word, string what, string option)
    {
        ProcessStartInfo start = new(binary, arguments)
        {
            UseShellExecute = false,
            WorkingDirectory = "/",
        };
        start.Environment.Remove("NOTIFY_SOCKET");
        start.Environment.Remove("WATCHDOG_USEC");
        start.Environment.Remove("WATCHDOG_PID");
        try
        {
            Process child = Process.Start(start)!;
            ProcessHandle handle = ProcessHandle.Open(child.Id)
                ?? throw new ControlException(ControlErrorCode.Failure, $"{what} ended at once");
            return new(word, child, handle);
        }
        catch (Win32Exception e)
        {
            throw new ControlException(
                ControlErrorCode.Failure,
                $"{word} program {binary} cannot be started: {e.Message}; see dstd {option}");
        }
    }

    /// <summary>Waits for the end; false when the limit came first.</summary>
    public Task<bool> WaitAsync(TimeSpan limit) => _handle.WaitAsync(limit);

    /// <summary>Ends the process at once; nothing happens when it has ended.</summary>
    public void Kill() => _handle.Kill();

    /// <summary>How the process ended, for people. Only the parent learns the exit code.</summary>
    public async Task<string> EndAsync()
    {
        if (_child is null || !await HelperRunner.EndsAsync(_child, ExitCodeWait))
        {
            return $"{_word} (pid {Pid}) ended";
        }

        return _child.ExitCode > SignalExitBase
            ? $"{_word} (pid {Pid}) ended by signal {SignalName(_child.ExitCode - SignalExitBase)}"
            : $"{_word} (pid {Pid}) ended with exit code {_child.ExitCode}";
    }

    /// <summary>
    /// True when it ended by itself and so has undone what it was making; false after a signal, a crash, or when we are
    /// not its parent and cannot know.
    /// </summary>
    public async Task<bool> EndedInOrderAsync() =>
        _child is not null && await HelperRunner.EndsAsync(_child, ExitCodeWait) && _child.ExitCode <= OrderlyExitMax;

    /// <summary>Waits for the end, and makes it happen when it does not come.</summary>
    /// <param name="limit">How long the process has to end by itself.</param>
    /// <param name="name">Its device, for the log.</param>
    /// <param name="log">Told when not even a kill ends it.</param>
    /// <returns>False when it is left behind.</returns>
    public async Task<bool> EndWithinAsync(TimeSpan limit, string name, ILogger log)
    {
        if (await WaitAsync(limit))
        {
            return true;
        }

        _handle.Kill();
        if (await WaitAsync(KillWait))
        {
            return true;
        }

        log.TargetLeftBehind(name, Pid);
        return false;
    }

    private static string SignalName(int signal) => signal switch
    {
        4 => "4 (SIGILL)",
        6 => "6 (SIGABRT)",
        7 => "7 (SIGBUS)",
        9 => "9 (SIGKILL)",
        11 => "11 (SIGSEGV)",
        15 => "15 (SIGTERM)",
        _ => signal.ToString(CultureInfo.InvariantCulture),
    };
}
