using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using Dst.Core.Requests;
using Dst.Core.Wire;
using Dst.Interop;
using Dst.Net.Server;

namespace Dst.Net.Tests;

/// <summary>Who sees which export (N-38, N-39).</summary>
public sealed partial class AddressTests
{
    [Theory]
    [InlineData("127.0.0.1", "127.0.0.1:7003")]
    [InlineData("192.0.2.1:80", "192.0.2.1:80")]
    [InlineData("[::1]:80", "[::1]:80")]
    [InlineData("::1", "[::1]:7003")]
    [InlineData("[::1]", "[::1]:7003")]
    [InlineData("[::ffff:192.0.2.1]:80", "192.0.2.1:80")]
    [InlineData("unix:/run/x", "unix:/run/x")]
    public void Addresses_are_read(string text, string shown)
    {
        Assert.True(ListenAddress.TryParse(text, out ListenAddress? address, out string? error), error);
        Assert.Equal(shown, address.ToString());
        Assert.True(ListenAddress.TryParse(shown, out ListenAddress? again, out _));
        Assert.Equal(address, again);
    }

    [Theory]
    [InlineData("")]
    [InlineData("host:7003")]
    [InlineData("127.0.0.1:")]
    [InlineData("127.0.0.1:70000")]
    [InlineData("unix:relative")]
    [InlineData("[::1")]
    public void What_is_no_address_is_refused(string text)
    {
        Assert.False(ListenAddress.TryParse(text, out _, out string? error));
        Assert.NotEmpty(error);
    }

    [Fact]
    public void A_list_allows_its_networks_only()
    {
        Assert.True(AllowList.TryParse(
            ["192.0.2.0/24", "2001:db8::/32", "198.51.100.7"], out AllowList? list, out string? error), error);
        Assert.True(list.Allows(IPAddress.Parse("192.0.2.200")));
        Assert.False(list.Allows(IPAddress.Parse("192.0.3.1")));
        Assert.True(list.Allows(IPAddress.Parse("2001:db8:5::1")));
        Assert.True(list.Allows(ListenAddress.Normalise(IPAddress.Parse("::ffff:192.0.2.1"))));
        Assert.True(list.Allows(IPAddress.Parse("198.51.100.7")));
        Assert.False(list.Allows(IPAddress.Parse("198.51.100.8")));
        Assert.False(list.Allows(IPAddress.Loopback));
        Assert.True(list.Allows(null));
        Assert.False(AllowList.TryParse(["192.0.2.1/24"], out _, out _));
        Assert.False(AllowList.TryParse(["::ffff:192.0.2.0/120"], out _, out _));
        Assert.False(AllowList.TryParse(["everybody"], out _, out _));
    }

    [Fact]
    public void A_client_reaches_only_exports_of_the_address_it_came_to()
    {
        using TestServer server = new();
        int port = FreePort();
        ListenAddress one = Address($"127.0.0.1:{port}");
        ListenAddress two = Address($"127.0.0.2:{port}");
        server.Add("mem:1M", server.Settings("a") with { Listen = [one] });
        server.Add("mem:1M", server.Settings("b") with { Listen = [two] });
        server.Add("mem:1M", server.Settings("c") with { Listen = [one, two] });
        Assert.Equal(2, server.Host.Status().Listening.Count);
        Assert.Equal("ac", Seen(IPAddress.Parse("127.0.0.1")));
        Assert.Equal("bc", Seen(IPAddress.Parse("127.0.0.2")));
        server.Host.RemoveExport("b", false, 5_000);
        Assert.Equal(2, server.Host.Status().Listening.Count);
        server.Host.RemoveExport("c", false, 5_000);
        Assert.Single(server.Host.Status().Listening);
        Assert.Throws<SocketException>(
            () => ScriptedClient.Connect(new IPEndPoint(IPAddress.Parse("127.0.0.2"), port)));

        string Seen(IPAddress address) =>
            string.Concat(new[] { "a", "b", "c" }.Where(name => Sees(new IPEndPoint(address, port), name)));
    }

    [Fact]
    public void A_socket_for_all_addresses_serves_exports_of_single_ones_and_allow_lists_hold()
    {
        using TestServer server = new();
        int port = FreePort();
        Assert.True(AllowList.TryParse(["127.0.0.1"], out AllowList? onlyOne, out _));
        Assert.True(AllowList.TryParse(["192.0.2.0/24"], out AllowList? elsewhere, out _));
        server.Add("mem:1M", server.Settings("all") with { Listen = [Address($"[::]:{port}")], Allow = onlyOne });
        server.Add("mem:1M", server.Settings("one") with { Listen = [Address($"127.0.0.1:{port}")] });
        server.Add(
            "mem:1M",
            server.Settings("far") with { Listen = [Address($"127.0.0.1:{port}")], Allow = elsewhere });
        Assert.Single(server.Host.Status().Listening);
        IPEndPoint first = new(IPAddress.Loopback, port);
        Assert.True(Sees(first, "all"));
        Assert.True(Sees(first, "one"));
        Assert.False(Sees(first, "far"));
        // Comes from 127.0.0.1, too, but to an address that is none of the second's.
        IPEndPoint second = new(IPAddress.Parse("127.0.0.3"), port);
        Assert.False(Sees(second, "one"));
        Assert.False(Sees(new IPEndPoint(IPAddress.IPv6Loopback, port), "one"));
    }

    [Theory]
    [InlineData("127.0.0.1", "127.0.0.1")]
    [InlineData("0.0.0.0", "127.0.0.1")]
    [InlineData("[::]", "127.0.0.1")]
    public void Two_servers_never_share_a_port(string first, string second)
    {
        using TestServer one = new();
        using TestServer two = new();
        int port = FreePort();
        Assert.True(AllowList.TryParse(["127.0.0.1"], out AllowList? allow, out _));
        one.Add("mem:1M", one.Settings("a") with { Listen = [Address($"{first}:{port}")], Allow = allow });
        ServerException refused = Assert.Throws<ServerException>(() => two.Add(
            "mem:1M", two.Settings("b") with { Listen = [Address($"{second}:{port}")], Allow = allow }));
        Assert.Equal(ServerFault.InUse, refused.Fault);
        Assert.Contains("cannot listen: address in use", refused.Message, StringComparison.Ordinal);
        Assert.Empty(two.Host.Status().Exports);
        // Its connections that linger in TIME_WAIT keep no successor from the port.
        Assert.True(Sees(new IPEndPoint(IPAddress.Loopback, port), "a"));
        one.Host.RemoveExport("a", false, 5_000);
        two.Add("mem:1M", two.Settings("b") with { Listen = [Address($"{second}:{port}")], Allow = allow });
    }

    [Theory]
    [InlineData("0.0.0.0", "127.0.0.1")]
    [InlineData("[::]", "127.0.0.1")]
    [InlineData("[::]", "127.0.0.1", "[::1]")]
    [InlineData("[::]", "127.0.0.1", "0.0.0.0")]
    public void A_socket_is_no_wider_than_what_is_left_wants(string wide, params string[] left)
    {
        using TestServer server = new();
        int port = FreePort();
        Assert.True(AllowList.TryParse(["127.0.0.1"], out AllowList? allow, out _));
        server.Add("mem:1M", server.Settings("all") with { Listen = [Address($"{wide}:{port}")], Allow = allow });
        ListenAddress[] narrow = [.. left.Select(address => Address($"{address}:{port}"))];
        server.Add("mem:1M", server.Settings("one") with { Listen = narrow, Allow = allow });
        Assert.Single(server.Host.Status().Listening);
        IPEndPoint first = new(IPAddress.Loopback, port);
        using ScriptedClient live = ScriptedClient.Live(first, "one");
        server.Host.RemoveExport("all", false, 5_000);
        bool isAny = narrow.Any(address => address.IsWildcard);
        string[] wanted = [.. narrow.Where(address => address.IsWildcard || !isAny).Select(address => $"{address}")];
        Assert.Equivalent(wanted, server.Host.Status().Listening, strict: true);
        if (!isAny)
        {
            IPEndPoint elsewhere = new(IPAddress.Parse("127.0.0.2"), port);
            Assert.Throws<SocketException>(() => ScriptedClient.Connect(elsewhere));
        }

        Assert.Equal(DstStatus.Ok, live.Write(0, 1, 0, new byte[512]));
        Assert.True(Sees(first, "one"));
        server.Host.RemoveExport("one", false, 5_000);
        Assert.Empty(server.Host.Status().Listening);
    }

    [Fact]
    public void A_narrower_socket_that_cannot_be_had_leaves_the_wide_one()
    {
        using TestServer server = new();
        int port = FreePort();
        Assert.True(AllowList.TryParse(["127.0.0.1"], out AllowList? allow, out _));
        server.Add("mem:1M", server.Settings("all") with { Listen = [Address($"0.0.0.0:{port}")], Allow = allow });

        // Covered by the wide one, though no address of this host.
        ListenAddress[] both = [Address($"192.0.2.99:{port}"), Address($"127.0.0.1:{port}")];
        server.Add("mem:1M", server.Settings("one") with { Listen = both, Allow = allow });
        server.Host.RemoveExport("all", false, 5_000);
        Assert.Equal($"0.0.0.0:{port}", Assert.Single(server.Host.Status().Listening));
        Assert.True(Sees(new IPEndPoint(IPAddress.Loopback, port), "one"));
        Assert.False(Sees(new IPEndPoint(IPAddress.Parse("127.0.0.2"), port), "one"));
        Assert.Contains(server.Log, line => line.Contains("192.0.2.99", StringComparison.Ordinal));
    }

    [Fact]
    public void A_wide_address_without_a_list_is_refused_and_so_is_one_in_use()
    {
        using TestServer server = new();
        Assert.Contains("--allow", Refusal($"0.0.0.0:{FreePort()}"), StringComparison.Ordinal);
        using Socket other = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        other.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        other.Listen();
        Assert.Contains("cannot listen", Refusal(other.LocalEndPoint!.ToString()!), StringComparison.Ordinal);
        Assert.Empty(server.Host.Status().Exports);
        server.Add("mem:1M");
        Assert.Contains(
            "already", Assert.Throws<ServerException>(() => server.Add("mem:1M")).Message, StringComparison.Ordinal);

        string Refusal(string address) =>
            Assert.Throws<ServerException>(
                () => server.Add("mem:1M", server.Settings() with { Listen = [Address(address)] })).Message;
    }

    [Theory]
    [InlineData("file")]
    [InlineData("fifo")]
    [InlineData("link")]
    [InlineData("linked socket")]
    [InlineData("dangling link")]
    [InlineData("folder")]
    public void What_is_at_the_path_and_is_no_socket_is_refused_and_left_as_it_is(string kind)
    {
        using TestServer server = new();
        string path = Path.Join(server.Folder, "there");
        string behind = Path.Join(server.Folder, "behind");
        File.WriteAllText(behind, "precious");
        switch (kind)
        {
            case "file":
                File.Copy(behind, path);
                break;
            case "fifo":
                Assert.Equal(0, MakeFifo(path, 0x180));
                break;
            case "link":
                File.CreateSymbolicLink(path, behind);
                break;
            case "linked socket":
                MakeDeadSocket(Path.Join(server.Folder, "dead"));
                File.CreateSymbolicLink(path, Path.Join(server.Folder, "dead"));
                break;
            case "dangling link":
                File.CreateSymbolicLink(path, Path.Join(server.Folder, "nothing"));
                break;
            default:
                Directory.CreateDirectory(path);
                break;
        }

        (uint, ulong) before = Look(path);
        string message = Refusal(server, path);
        Assert.Contains(path, message, StringComparison.Ordinal);
        Assert.Contains("no socket", message, StringComparison.Ordinal);
        Assert.Equal(before, Look(path));
        Assert.Equal("precious", File.ReadAllText(behind));
        if (kind == "file")
        {
            Assert.Equal("precious", File.ReadAllText(path));
        }

        Assert.Empty(server.Host.Status().Listening);
    }

    [Fact]
    public void A_socket_of_a_dead_server_is_replaced_and_one_that_is_served_is_not()
    {
        using TestServer server = new();
        string path = Path.Join(server.Folder, "there");
        MakeDeadSocket(path);
        server.Add("mem:1M", server.Settings() with { Listen = [Address("unix:" + path)] });
        (uint, ulong) bound = Look(path);
        using TestServer other = new();
        Assert.Contains("somebody serves", Refusal(other, path), StringComparison.Ordinal);
        Assert.Equal(bound, Look(path));
        using (ScriptedClient client = ScriptedClient.Connect(new UnixDomainSocketEndPoint(path)))
        {
            client.Greet();
        }

        server.Host.RemoveExport(TestServer.Name, false, 5_000);
        TestServer.Eventually(() => !File.Exists(path), "the file of the socket goes with it");
    }

    [Fact]
    public void What_has_taken_the_place_of_a_socket_stays()
    {
        using TestServer server = new();
        string path = Path.Join(server.Folder, "there");
        server.Add("mem:1M", server.Settings() with { Listen = [Address("unix:" + path)] });
        File.Delete(path);
        File.WriteAllText(path, "precious");
        server.Stop();
        Assert.Equal("precious", File.ReadAllText(path));
    }

    private static string Refusal(TestServer server, string path) =>
        Assert.Throws<ServerException>(
            () => server.Add("mem:1M", server.Settings() with { Listen = [Address("unix:" + path)] })).Message;

    private static (uint, ulong) Look(string path)
    {
        Assert.Equal(
            0, Libc.Statx(path, LinuxAbi.AT_SYMLINK_NOFOLLOW, LinuxAbi.STATX_BASIC_STATS, out Statx found));
        return (found.Mode, found.Ino);
    }

    // No program does it: its start would share the locked files of tests beside this one for a moment.
    [LibraryImport("libc", EntryPoint = "mkfifo", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int MakeFifo(string path, uint mode);

    private static void MakeDeadSocket(string path)
    {
        string elsewhere = path + ".new";
        using Socket socket = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        socket.Bind(new UnixDomainSocketEndPoint(elsewhere));
        // The runtime removes the file under the name that it was bound to.
        File.Move(elsewhere, path);
    }

    private static bool Sees(IPEndPoint endPoint, string export)
    {
        using ScriptedClient client = ScriptedClient.Connect(endPoint);
        client.Greet();
        Frame answer = client.Attach(export, access: AccessKind.ReadOnly);
        if (answer.Kind == FrameKind.Error)
        {
            Assert.Equal(RefusalCode.UnknownExport, answer.Code);
        }

        return answer.Kind == FrameKind.AttachOk;
    }

    internal static ListenAddress Address(string text)
    {
        Assert.True(ListenAddress.TryParse(text, out ListenAddress? address, out string? error), error);
        return address;
    }

    internal static int FreePort()
    {
        using Socket socket = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        socket.Bind(new IPEndPoint(IPAddress.Any, 0));
        return ((IPEndPoint)socket.LocalEndPoint!).Port;
    }
}
