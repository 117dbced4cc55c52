using System.Diagnostics;
using Dst.Interop;
using Dst.Nodes.Backings;

namespace Dst.Nodes.Tests.Backings;

/// <summary>A folder that is gone after the test, on the file system of the temporary files or on tmpfs.</summary>
internal sealed class TemporaryFolder : IDisposable
{
    public TemporaryFolder(bool onTmpfs = false)
    {
        Path = $"{(onTmpfs ? "/dev/shm" : System.IO.Path.GetTempPath().TrimEnd('/'))}/dst-{Guid.NewGuid():N}";
        Directory.CreateDirectory(Path);
    }

    public string Path { get; }

    public string[] Names =>
        [.. Directory.EnumerateFileSystemEntries(Path).Select(p => System.IO.Path.GetFileName(p)!)];

    public string File(string name) => $"{Path}/{name}";

    public string Filled(string name, long lengthBytes)
    {
        using FileStream file = new(File(name), FileMode.CreateNew);
        file.SetLength(lengthBytes);
        return File(name);
    }

    public void Dispose() => Directory.Delete(Path, recursive: true);
}

/// <summary>Remembers what it is told.</summary>
internal sealed class RecordedEvents : IBackingEvents
{
    public List<(long Done, long Total)> Steps { get; } = [];

    public List<string> Waits { get; } = [];

    public Action? OnProgress { get; init; }

    public Action? OnWaiting { get; init; }

    public void Progress(long doneBytes, long totalBytes)
    {
        Steps.Add((doneBytes, totalBytes));
        OnProgress?.Invoke();
    }

    public void Waiting(string text)
    {
        Waits.Add(text);
        OnWaiting?.Invoke();
    }
}

/// <summary>A process that inherits an open file description, and with it its lock, as its only holder.</summary>
internal sealed class ForeignHolder : IDisposable
{
    private readonly Process _process;

    public ForeignHolder(string path, bool withLock)
    {
        int fd = Libc.Open(path, withLock ? LinuxAbi.O_RDWR : LinuxAbi.O_RDONLY);
        Assert.True(fd >= 0, Errno.Describe(fd));
        if (withLock)
        {
            Assert.Equal(0, Native.Lock(fd, LinuxAbi.F_OFD_SETLK, LinuxAbi.F_WRLCK, out _));
        }

        _process = Process.Start("sleep", "60");
        Libc.Close(fd);
    }

    public int Id => _process.Id;

    public void Dispose()
    {
        _process.Kill();
        _process.WaitForExit();
        _process.Dispose();
    }
}

/// <summary>Runs a program to its end.</summary>
internal static class Run
{
    public static (int Status, string Output) Command(string program, params string[] arguments)
    {
        try
        {
            using Process process = Process.Start(new ProcessStartInfo(program, arguments)
            {
                UseShellExecute = false,
                RedirectStandardOutput = true,
                RedirectStandardError = true,
            })!;
            string output = process.StandardOutput.ReadToEnd();
            process.WaitForExit();
            return (process.ExitCode, output.Trim());
        }
        catch (System.ComponentModel.Win32Exception)
        {
            return (127, "");
        }
    }
}
