using System.Net.Sockets;
using Dst.Hosting.Sockets;
using Xunit;

namespace Dst.Hosting.Tests;

public sealed class ControlSocketTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("dst-socket-").FullName;

    private string Path => $"{_folder}/targets/a";

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void A_process_that_ends_leaves_the_socket_of_its_successor()
    {
        int heard = 0;
        ControlSocket first = ControlSocket.Listen(Path, _ => Task.CompletedTask);
        using (ControlSocket.Listen(Path, Hear))
        {
            first.Dispose();
            Assert.True(File.Exists(Path), "the successor's socket");
            using Socket daemon = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
            daemon.Connect(new UnixDomainSocketEndPoint(Path));
            Assert.True(SpinWait.SpinUntil(() => Volatile.Read(ref heard) == 1, TimeSpan.FromSeconds(20)));
        }

        Assert.False(File.Exists(Path), "the last one takes its own away");

        Task Hear(Socket peer)
        {
            peer.Dispose();
            Interlocked.Increment(ref heard);
            return Task.CompletedTask;
        }
    }

    [Fact]
    public void What_has_taken_the_place_of_the_socket_stays()
    {
        using (ControlSocket.Listen(Path, _ => Task.CompletedTask))
        {
            File.Delete(Path);
            File.WriteAllText(Path, "of somebody else");
        }

        Assert.True(File.Exists(Path));
    }
}
