using Dst.Cli.Features;

namespace Dst.Cli;

/// <summary>How long one run waits for what.</summary>
internal sealed record CliLimits
{
    /// <summary>For an answer of dstd that needs no work.</summary>
    public TimeSpan QuickAnswer { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>
    /// For dstd to clear error marks: the target writes them durably, or a helper does, each within a limit of dstd.
    /// </summary>
    public TimeSpan ClearError { get; init; } = TimeSpan.FromSeconds(150);

    /// <summary>For names of devices while somebody types.</summary>
    public TimeSpan Completion { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>Between two looks at a long operation when somebody watches; nothing is shown before.</summary>
    public TimeSpan WatchedInterval { get; init; } = TimeSpan.FromMilliseconds(500);

    /// <summary>Between two looks at a long operation when nobody watches.</summary>
    public TimeSpan UnwatchedInterval { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>A daemon that answers nothing for so long during a long operation hangs.</summary>
    public TimeSpan Silence { get; init; } = TimeSpan.FromSeconds(30);
}

/// <summary>The world around one run of <c>dstctl</c>; tests put in their own. One thread at a time.</summary>
internal sealed class CliHost
{
    /// <summary>Data, and nothing else.</summary>
    public required TextWriter Output { get; init; }

    /// <summary>Errors, notes and progress.</summary>
    public required TextWriter Error { get; init; }

    /// <summary>Somebody watches <see cref="Error"/>: progress is shown.</summary>
    public bool IsErrorTerminal { get; init; }

    /// <summary>Value of an environment variable; null when it is not set.</summary>
    public Func<string, string?> Variable { get; init; } = Environment.GetEnvironmentVariable;

    /// <summary>Absolute path that relative paths start from; asked for only when needed: it may be gone.</summary>
    public string WorkingDirectory
    {
        get => field ?? Environment.CurrentDirectory;
        init;
    }

    /// <summary>Directory that <c>doctor</c> takes for the root of the host.</summary>
    public string HostRoot { get; init; } = "/";

    /// <summary>The kernel that is asked what it can do.</summary>
    public IKernelProbe Probe { get; init; } = new KernelProbe();

    /// <summary>How long this run waits for what.</summary>
    public CliLimits Limits { get; init; } = new();

    /// <summary>What dstd goes on doing when this run is interrupted, for people; null when nothing.</summary>
    public string? Undertaking { get; set; }
}
