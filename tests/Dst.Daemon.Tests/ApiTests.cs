using System.Net;
using System.Net.Sockets;
using System.Text;
using Dst.Control;
using Xunit;

namespace Dst.Daemon.Tests;

public sealed class ApiTests
{
    [Fact]
    public async Task The_daemon_tells_who_it_is()
    {
        await using TestBed bed = await TestBed.StartedAsync();
        using HttpResponseMessage response = await bed.Client.GetAsync(
            "/v1/version", TestContext.Current.CancellationToken);
        DaemonInfo info = await TestBed.ReadAsync(response, HttpStatusCode.OK, ControlJson.Default.DaemonInfo);
        Assert.Equal((1, Environment.ProcessId, bed.Options.Run.Path), (info.Api, info.Pid, info.RunDirectory));
    }

    [Fact]
    public async Task Socket_and_folders_are_as_private_as_they_must_be()
    {
        await using TestBed bed = await TestBed.StartedAsync();
        Assert.Equal(0x180, (int)File.GetUnixFileMode(bed.Options.Run.DaemonSocket));
        Assert.Equal(0x1ed, (int)File.GetUnixFileMode(bed.Options.Run.Path));
        Assert.Equal(0x1ed, (int)File.GetUnixFileMode(bed.Options.Run.Devices));
        Assert.Equal(0x1c0, (int)File.GetUnixFileMode(bed.Options.Run.Targets));
        Assert.Equal(0x1c0, (int)File.GetUnixFileMode(bed.Options.State.Devices));
    }

    [Theory]
    [InlineData("POST", "/v1/devices", "garbage", 400)]
    [InlineData("POST", "/v1/devices", "", 400)]
    [InlineData("POST", "/v1/devices", "null", 400)]
    [InlineData("POST", "/v1/devices", "{\"name\":\"a\"}", 400)]
    [InlineData("POST", "/v1/devices", "{\"name\":\"a\",\"nodes\":null}", 400)]
    [InlineData("POST", "/v1/devices", "{\"name\":\"a\",\"nodes\":[\"zero:1M\"],\"nods\":1}", 400)]
    [InlineData("POST", "/v1/devices", "{\"name\":\"a\",\"name\":\"b\",\"nodes\":[\"zero:1M\"]}", 400)]
    [InlineData("POST", "/v1/devices", "{\"name\":\"a\",\"nodes\":[\"zero:1M\"],\"queues\":\"4\"}", 400)]
    [InlineData("POST", "/v1/devices?timeoutMs=-1", "{\"name\":\"a\",\"nodes\":[\"zero:1M\"]}", 400)]
    [InlineData("DELETE", "/v1/devices/a?force=maybe", null, 400)]
    [InlineData("DELETE", "/v1/devices/a", null, 404)]
    [InlineData("GET", "/v1/devices/a", null, 404)]
    [InlineData("POST", "/v1/devices/a/clear-error", "{}", 404)]
    [InlineData("GET", "/v2/devices", null, 404)]
    [InlineData("PUT", "/v1/devices", "{}", 405)]
    public async Task Bad_requests_get_an_error_document_and_change_nothing(
        string method, string path, string? body, int status)
    {
        await using TestBed bed = await TestBed.StartedAsync();
        using HttpRequestMessage request =
            new(new HttpMethod(method), path) { Content = body is null ? null : new StringContent(body) };
        using HttpResponseMessage response = await bed.Client.SendAsync(request, TestContext.Current.CancellationToken);
        ControlError error = await TestBed.ReadAsync(
            response, (HttpStatusCode)status, ControlJson.Default.ControlError);
        Assert.NotEmpty(error.Message);
        Assert.DoesNotContain('\n', error.Message);
        Assert.Empty(await bed.ListAsync());
    }

    [Theory]
    [InlineData("Content-Length: 104857600")]
    [InlineData("Transfer-Encoding: chunked")]
    public async Task A_body_of_100_MB_is_refused_without_being_read(string header)
    {
        await using TestBed bed = await TestBed.StartedAsync();
        using Socket socket = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        await socket.ConnectAsync(
            new UnixDomainSocketEndPoint(bed.Options.Run.DaemonSocket), TestContext.Current.CancellationToken);
        socket.ReceiveTimeout = 20000;
        socket.Send(Encoding.ASCII.GetBytes($"POST /v1/devices HTTP/1.1\r\nHost: dstd\r\n{header}\r\n\r\n"));
        // White space: nothing a reader of JSON could refuse before the limit is reached.
        byte[] chunk = [.. "10000\r\n"u8, .. Enumerable.Repeat((byte)' ', 0x10000), .. "\r\n"u8];
        long sent = 0;
        try
        {
            while (sent < 100 << 20)
            {
                sent += await socket.SendAsync(chunk, TestContext.Current.CancellationToken);
            }
        }
        catch (SocketException)
        {
            // Closed in our face, as it should be.
        }

        byte[] answer = new byte[1024];
        int length = socket.Receive(answer);
        Assert.StartsWith("HTTP/1.1 413", Encoding.ASCII.GetString(answer, 0, length), StringComparison.Ordinal);
        Assert.InRange(sent, 0, 4 << 20);
        Assert.Empty(await bed.ListAsync());
    }

    [Fact]
    public async Task More_than_64_connections_do_not_wedge_it()
    {
        await using TestBed bed = await TestBed.StartedAsync();
        List<Socket> idle = [];
        for (int i = 0; i < 80; i++)
        {
            Socket socket = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
            await socket.ConnectAsync(
                new UnixDomainSocketEndPoint(bed.Options.Run.DaemonSocket), TestContext.Current.CancellationToken);
            idle.Add(socket);
        }

        // Idle ones are cut off after a while by themselves.
        await TestBed.UntilAsync(() => Answers(bed), "an answer");
        idle.ForEach(each => each.Dispose());
    }

    [Fact]
    public async Task Two_daemons_never_share_a_directory()
    {
        await using TestBed bed = await TestBed.StartedAsync();
        ControlException run = await Assert.ThrowsAsync<ControlException>(
            () =>
                DaemonHost.StartAsync(
                    bed.Options with { State = new StateDirectory($"{bed.Root}/other") }, Serilog.Core.Logger.None));
        Assert.Equal(ControlErrorCode.Busy, run.Error.Code);
        Assert.Contains($"pid {Environment.ProcessId}", run.Message, StringComparison.Ordinal);
        await Assert.ThrowsAsync<ControlException>(
            () =>
                DaemonHost.StartAsync(
                    bed.Options with { Run = new RunDirectory($"{bed.Root}/other") }, Serilog.Core.Logger.None));
        Assert.Empty(await bed.ListAsync());
    }

    private static bool Answers(TestBed bed)
    {
        try
        {
            return bed.ListAsync().GetAwaiter().GetResult().Length == 0;
        }
        catch (HttpRequestException)
        {
            return false;
        }
    }
}
