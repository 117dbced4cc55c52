using Dst.Server.Session;

namespace Dst.Server.Tests;

public sealed class ServerLockTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("dst-server-lock-").FullName;

    private string LockFile => $"{_folder}/server.lock";

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void A_second_server_is_refused_and_told_who_serves()
    {
        using ServerLock? first = ServerLock.TryTake(LockFile, out _);
        Assert.NotNull(first);
        Assert.Null(ServerLock.TryTake(LockFile, out string problem));
        Assert.Contains($"dst-server (pid {Environment.ProcessId}) serves here", problem, StringComparison.Ordinal);
        Assert.Contains(LockFile, problem, StringComparison.Ordinal);
    }

    [Fact]
    public void The_next_server_gets_it()
    {
        ServerLock.TryTake(LockFile, out _)!.Dispose();
        using ServerLock? next = ServerLock.TryTake(LockFile, out string problem);
        Assert.NotNull(next);
        Assert.Empty(problem);
    }

    [Fact]
    public void A_folder_that_is_not_there_is_named()
    {
        Assert.Null(ServerLock.TryTake($"{_folder}/none/server.lock", out string problem));
        Assert.Contains($"{_folder}/none/server.lock: ENOENT", problem, StringComparison.Ordinal);
    }
}
