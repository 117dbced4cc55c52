using System.Net.Sockets;
using System.Text.Json;
using Dst.Control;
using Dst.Hosting;
using Dst.Target.Devices;
using Dst.Target.Session;
using Xunit;

namespace Dst.Target.Tests;

/// <summary>When a target ends, and with which code.</summary>
public sealed class TargetLifeTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("dst-life-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public async Task Without_its_maker_a_device_that_is_not_live_ends_the_target()
    {
        TargetLife life = NewLife();
        Task<int> end = Task.Run(life.WaitForEnd, TestContext.Current.CancellationToken);
        life.Leave(lostOpener: false);
        await Task.Delay(100, TestContext.Current.CancellationToken);
        Assert.False(end.IsCompleted);
        life.Leave(lostOpener: true);
        Assert.Equal(TargetExit.Failed, await end);
    }

    [Fact]
    public async Task A_target_that_nobody_tells_what_to_serve_ends()
    {
        TargetLife life = NewLife(makerLimit: TimeSpan.FromMilliseconds(300));
        Assert.Equal(TargetExit.Failed, life.WaitForEnd());

        // A connection keeps it, also an idle one; after its end the wait begins anew.
        life = NewLife(makerLimit: TimeSpan.FromMilliseconds(300));
        life.Arrived();
        Task<int> end = Task.Run(life.WaitForEnd, TestContext.Current.CancellationToken);
        await Task.Delay(900, TestContext.Current.CancellationToken);
        Assert.False(end.IsCompleted);
        life.Departed();
        Assert.Equal(TargetExit.Failed, await end);
    }

    [Fact]
    public async Task A_stop_counts_more_than_the_loss_of_its_connection()
    {
        TargetLife life = NewLife();
        Task<int> end = Task.Run(life.WaitForEnd, TestContext.Current.CancellationToken);
        life.Stop(failPending: false, timeoutMs: 0);
        Assert.False(end.IsCompleted);
        Assert.Equal("stopped", life.Hello().State);
        life.Leave(lostOpener: true);
        Assert.Equal(TargetExit.Ok, await end);
    }

    [Fact]
    public async Task A_target_that_refuses_says_why_and_ends_with_its_first_connection()
    {
        TargetLife life = NewLife("no CAP_SYS_RESOURCE");
        (Task served, Socket daemon, StreamReader reader) = Connect(life);
        using (daemon)
        {
            Assert.Contains("no CAP_SYS_RESOURCE", await LineAsync(reader), StringComparison.Ordinal);
            await AskAsync(daemon, 1, TargetProtocol.TargetCommand.Start);
            Assert.Contains("no CAP_SYS_RESOURCE", await LineAsync(reader), StringComparison.Ordinal);
        }

        await served;
        Assert.Equal(TargetExit.Failed, life.WaitForEnd());
    }

    [Fact]
    public async Task Requests_are_answered_one_after_another_until_the_stop()
    {
        TargetLife life = NewLife();
        Task<int> end = Task.Run(life.WaitForEnd, TestContext.Current.CancellationToken);
        (Task served, Socket daemon, StreamReader reader) = Connect(life);
        using (daemon)
        {
            Assert.Contains("\"state\":\"new\"", await LineAsync(reader), StringComparison.Ordinal);
            await AskAsync(daemon, 1, "dance");
            TargetReply refused = Reply(await LineAsync(reader));
            Assert.Equal((1L, ControlErrorCode.Usage), (refused.RequestId, refused.Error!.Code));
            Assert.False(end.IsCompleted);
            await AskAsync(daemon, 2, TargetProtocol.TargetCommand.Stop);
            TargetReply done = Reply(await LineAsync(reader));
            Assert.Equal((2L, null), (done.RequestId, done.Error));
            Assert.Equal(TargetExit.Ok, await end);
        }

        await served;
    }

    [Fact]
    public async Task An_error_that_nobody_foresaw_is_answered()
    {
        TargetLife life = NewLife();
        Task<int> end = Task.Run(life.WaitForEnd, TestContext.Current.CancellationToken);
        (Task served, Socket daemon, StreamReader reader) = Connect(life);
        using (daemon)
        {
            await LineAsync(reader);

            // A request without nodes: what the rules of dstd never let pass.
            await daemon.SendAsync(
                "{\"request_id\":1,\"command\":\"open\",\"state_directory\":\"/nowhere\",\"record\":"u8.ToArray()
                    .Concat("{\"request\":{\"name\":\"a\",\"nodes\":null},\"uuid\":"u8.ToArray())
                    .Concat("\"00000000-0000-0000-0000-000000000001\"}}\n"u8.ToArray()).ToArray());
            TargetReply refused = Reply(await LineAsync(reader));
            Assert.Equal((1L, ControlErrorCode.Failure), (refused.RequestId, refused.Error!.Code));
        }

        await served;
        Assert.Equal(TargetExit.Failed, await end);
    }

    private static (Task Served, Socket Daemon, StreamReader Reader) Connect(TargetLife life)
    {
        using Socket listener = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        string path = Path.GetTempFileName();
        File.Delete(path);
        listener.Bind(new UnixDomainSocketEndPoint(path));
        listener.Listen();
        Socket daemon = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        daemon.Connect(new UnixDomainSocketEndPoint(path));
        Socket target = listener.Accept();
        File.Delete(path);
        return (ServeAsync(target, life), daemon, new StreamReader(new NetworkStream(daemon)));
    }

    private static async Task ServeAsync(Socket target, TargetLife life)
    {
        using TargetSession session = new(target, life);
        await session.RunAsync();
    }

    private static Task AskAsync(Socket daemon, long id, string command)
    {
        TargetRequest request = new() { RequestId = id, Command = command };
        byte[] json = JsonSerializer.SerializeToUtf8Bytes(request, ControlJson.Default.TargetRequest);
        return daemon.SendAsync((byte[])[.. json, (byte)'\n']);
    }

    private static TargetReply Reply(string line) =>
        JsonSerializer.Deserialize(line, ControlJson.Default.TargetReply)!;

    private static async Task<string> LineAsync(StreamReader reader) =>
        await reader.ReadLineAsync(TestContext.Current.CancellationToken) ?? "";

    private TargetLife NewLife(string? refusal = null, TimeSpan? makerLimit = null)
    {
        ProcessLog log = new("dst-target a");
        return new TargetLife(
            new TargetDevice(new RunDirectory(_folder), "a", log),
            new TargetIdentity("a", "0", refusal),
            log,
            makerLimit);
    }
}
