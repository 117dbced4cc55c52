using System.CommandLine;
using System.Text;
using Dst.Control;

namespace Dst.Cli;

/// <summary>The option that every verb has: which instance of dstd is meant.</summary>
internal sealed class RunDirectoryOption(CliHost host)
{
    /// <summary>The option itself.</summary>
    public Option<string?> Option { get; } = new("--run-dir")
    {
        Description = $"Run directory of dstd (variable {RunDirectory.Variable}, else {RunDirectory.DefaultPath}).",
        HelpName = "DIR",
        Recursive = true,
    };

    /// <summary>The directory chosen by option, variable or default, absolute.</summary>
    /// <exception cref="ControlException">Usage: its socket would have a path too long for the kernel.</exception>
    public RunDirectory Resolve(ParseResult parsed)
    {
        (string source, string? chosen) = ("--run-dir", parsed.GetValue(Option));
        if (chosen is null)
        {
            (source, chosen) = ($"${RunDirectory.Variable}", host.Variable(RunDirectory.Variable));
        }

        if (chosen is { Length: 0 })
        {
            throw new ControlException(ControlErrorCode.Usage, $"{source}: the path is empty");
        }

        string path = chosen is null
            ? RunDirectory.DefaultPath
            : Path.TrimEndingDirectorySeparator(Path.IsPathRooted(chosen)
                ? Path.GetFullPath(chosen)
                : Path.GetFullPath(chosen, host.WorkingDirectory));
        var directory = new RunDirectory(path);
        if (Encoding.UTF8.GetByteCount(directory.DaemonSocket) > RunDirectory.MaxSocketPathBytes)
        {
            throw new ControlException(
                ControlErrorCode.Usage,
                $"run directory '{path}' is too long: the path of its socket may have "
                + $"{RunDirectory.MaxSocketPathBytes} bytes");
        }

        return directory;
    }
}

/// <summary>What a verb needs to talk to the daemon.</summary>
/// <param name="Host">The world around this run.</param>
/// <param name="RunDirectory">Which instance is meant.</param>
internal sealed record DaemonAccess(CliHost Host, RunDirectoryOption RunDirectory)
{
    /// <summary>A client for the instance that the command line names; the caller disposes it.</summary>
    public DaemonClient Connect(ParseResult parsed) => new(RunDirectory.Resolve(parsed), Host.Limits);
}
