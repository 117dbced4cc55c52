using System.Net.Sockets;
using System.Text.Json;
using Dst.Control;
using Dst.Core.Requests;
using Dst.Core.Specs;
using Dst.Core.Wire;
using Dst.Hosting;
using Dst.Net.Client;
using Dst.Net.Tests;
using Dst.Server.Session;

namespace Dst.Server.Tests;

/// <summary>A server in this process, spoken to over its socket as dstd does.</summary>
public sealed class ServerControlTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("dst-server-").FullName;
    private readonly ServerOptions _options;
    private readonly ServerControl _control;
    private readonly Task<int> _running;

    public ServerControlTests()
    {
        _options = new ServerOptions
        {
            Run = new RunDirectory($"{_folder}/run"),
            State = new StateDirectory($"{_folder}/state"),
            Version = "test",
            Warning = "lacks something",
            IdleLimit = TimeSpan.FromSeconds(5),
        };
        _control = new ServerControl(_options, new ProcessLog("dst-server"));
        _running = Task.Run(_control.Run);
        SpinWait.SpinUntil(() => File.Exists(_options.Run.ServerSocket), TimeSpan.FromSeconds(10));
    }

    public void Dispose()
    {
        _control.Terminate();
        _running.Wait(TimeSpan.FromSeconds(30));
        _control.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    [Fact]
    public async Task An_export_is_opened_committed_shown_and_closed()
    {
        using Client dstd = new(_options.Run);
        Assert.Equal((ServerProtocol.Version, "lacks something"), (dstd.Hello.Protocol, dstd.Hello.Warning));
        ExportRecord record = Record("e", "file:" + _folder + "/a.img,size=4M", "mem:4M");
        ExportLayout layout = dstd.Ask(new() { RequestId = 1, Command = "open-export", Record = record }).Layout!;
        Assert.Equal((8L << 20, 512, 1 << 20), (layout.SizeBytes, layout.BlockSizeBytes, layout.MaxIoBytes));
        Assert.Equal([0L, 4L << 20], layout.Nodes.Select(node => node.StartBytes));
        Assert.False(Directory.Exists(_options.Run.Export("e")));
        Assert.Null(dstd.Ask(new() { RequestId = 2, Command = "commit-export", Name = "e" }).Error);
        Assert.Equal("live\n", File.ReadAllText($"{_options.Run.Export("e")}/state"));
        Assert.Equal($"{record.Uuid}\n", File.ReadAllText($"{_options.Run.Export("e")}/identity"));
        Assert.Equal("mem\n", File.ReadAllText($"{_options.Run.Export("e")}/nodes/1/type"));
        Assert.Equal("lacks something\n", File.ReadAllText($"{_options.Run.Server}/warning"));
        ServedExport served = Assert.Single(dstd.Ask(new() { RequestId = 3, Command = "status" }).Exports!);
        Assert.Equal(("e", record.Uuid, "live", false), (served.Name, served.Uuid, served.State, served.Held));
        Assert.Equal(
            ControlErrorCode.Busy, dstd.Ask(new() { RequestId = 4, Command = "stop" }).Error!.Code);
        Assert.Null(dstd.Ask(new() { RequestId = 5, Command = "close-export", Name = "e", TimeoutMs = 5000 }).Error);
        Assert.False(Directory.Exists(_options.Run.Export("e")));
        Assert.True(File.Exists($"{_folder}/a.img"), "a served file stays");
        Assert.Null(dstd.Ask(new() { RequestId = 6, Command = "stop" }).Error);
        Assert.Equal(ServerExit.Ok, await _running);
    }

    [Fact]
    public void What_was_not_committed_is_undone_with_its_connection()
    {
        using (Client dstd = new(_options.Run))
        {
            ExportRecord record = Record("e", "file:" + _folder + "/a.img,size=4M");
            Assert.NotNull(dstd.Ask(new() { RequestId = 1, Command = "open-export", Record = record }).Layout);
            Assert.True(File.Exists($"{_folder}/a.img"));
        }

        Assert.True(SpinWait.SpinUntil(
            () => !File.Exists($"{_folder}/a.img") && !File.Exists(_options.State.ExportMarks("e")),
            TimeSpan.FromSeconds(10)));
    }

    [Fact]
    public async Task A_server_without_exports_and_without_a_daemon_ends() => Assert.Equal(
        ServerExit.Ok, await _running.WaitAsync(TimeSpan.FromSeconds(20), TestContext.Current.CancellationToken));

    [Fact]
    public void The_layout_of_an_export_that_comes_back_is_not_computed_anew()
    {
        using Client dstd = new(_options.Run);
        ExportRecord record = Record("e", "mem:4M");
        ExportLayout layout = dstd.Ask(new() { RequestId = 1, Command = "open-export", Record = record }).Layout!;
        dstd.Ask(new() { RequestId = 2, Command = "commit-export", Name = "e" });
        dstd.Ask(new() { RequestId = 3, Command = "close-export", Name = "e", TimeoutMs = 5000 });
        ExportLayout odd = layout with { MaxIoBytes = 64 << 10, MaxChangeBytes = 128 << 10 };
        ExportRecord again = record with { Layout = odd };
        ServerReply reply = dstd.Ask(new() { RequestId = 4, Command = "open-export", Record = again });
        Assert.Equal((64 << 10, 128L << 10), (reply.Layout!.MaxIoBytes, reply.Layout.MaxChangeBytes));
        ExportLayout grown = layout with { Nodes = [layout.Nodes[0] with { LengthBytes = 8 << 20 }] };
        dstd.Ask(new() { RequestId = 5, Command = "close-export", Name = "e" });
        reply = dstd.Ask(new() { RequestId = 6, Command = "open-export", Record = record with { Layout = grown } });
        Assert.Contains("changed", reply.Error!.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("file:/nonexistent/x", null, "does not exist")]
    [InlineData("mem:4M", "0.0.0.0:0", "--allow")]
    public void What_cannot_be_is_refused_in_one_line_and_nothing_is_left(string node, string? listen, string part)
    {
        using Client dstd = new(_options.Run);
        ExportRecord record = Record("e", node);
        if (listen is not null)
        {
            record = record with { Request = record.Request with { Listen = [listen] } };
        }

        ServerReply reply = dstd.Ask(new() { RequestId = 1, Command = "open-export", Record = record });
        Assert.Contains(part, reply.Error!.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', reply.Error.Message);
        Assert.Empty(dstd.Ask(new() { RequestId = 2, Command = "status" }).Exports!);
        Assert.Empty(Directory.GetFiles(_options.State.Exports));
    }

    [Fact]
    public void A_client_that_attaches_is_shown_as_the_holder_until_it_is_released()
    {
        using Client dstd = new(_options.Run);
        dstd.Ask(new() { RequestId = 1, Command = "open-export", Record = Record("e", "mem:4M") });
        Assert.Null(dstd.Ask(new() { RequestId = 2, Command = "commit-export", Name = "e" }).Error);
        Assert.True(NodeSpec.TryParse($"dst+unix:{_folder}/sock,export=e", out NodeSpec? spec, out _));
        var identity = new NetworkIdentity { DeviceUuid = 7, NodeIndex = 0, Incarnation = 9, Holder = "disk1 on far" };
        var stores = new NetworkStores(
            new FileEpochStore($"{_folder}/epoch"), new FileServerNoteStore($"{_folder}/note"));
        using (NetworkNode node = NetworkNode.Open(
            (NetworkNodeSpec)spec,
            identity,
            new NetworkQueuePlan(1, 8, 1 << 20),
            stores,
            static _ => { },
            10_000,
            TestContext.Current.CancellationToken))
        {
            Assert.Equal(4L << 20, node.SizeBytes);
            ServedExport served = Assert.Single(dstd.Ask(new() { RequestId = 3, Command = "status" }).Exports!);
            Assert.True(served.Held);
            Assert.Contains("disk1 on far", served.Holder, StringComparison.Ordinal);
        }

        ServerReply released = dstd.Ask(
            new() { RequestId = 4, Command = "release-export", Name = "e", TimeoutMs = 5000 });
        Assert.Null(released.Error);
        Assert.False(Assert.Single(dstd.Ask(new() { RequestId = 5, Command = "status" }).Exports!).Held);
        dstd.Ask(new() { RequestId = 6, Command = "close-export", Name = "e", TimeoutMs = 5000 });
    }

    [Theory]
    [InlineData("")]
    [InlineData("delay:1,")]
    public void An_export_of_an_export_holds_it_until_it_is_closed_for_good(string around)
    {
        using Client dstd = new(_options.Run);
        dstd.Ask(new() { RequestId = 1, Command = "open-export", Record = Record("inner", "mem:4M") });
        Assert.Null(dstd.Ask(new() { RequestId = 2, Command = "commit-export", Name = "inner" }).Error);
        ExportRecord outer = Chained("unix:" + _folder + "/outer-sock", around);
        ExportLayout layout = dstd.Ask(new() { RequestId = 3, Command = "open-export", Record = outer }).Layout!;
        Assert.Equal(4L << 20, layout.SizeBytes);
        Assert.Equal(1 << 20, layout.Nodes[0].Export!.MaxIoBytes);
        Assert.Null(dstd.Ask(new() { RequestId = 4, Command = "commit-export", Name = "outer" }).Error);
        Assert.Contains("export outer on", Served(dstd, "inner").Holder, StringComparison.Ordinal);
        string node = $"{_options.Run.Export("outer")}/nodes/0";
        Assert.Equal("live\n", File.ReadAllText($"{node}/state"));
        Assert.Equal("1\n", File.ReadAllText($"{node}/epoch"));
        Assert.True(File.Exists(_options.State.ExportNodeEpoch("outer", 0)));

        dstd.Ask(new() { RequestId = 5, Command = "close-export", Name = "outer", TimeoutMs = 5000 });
        Assert.False(Served(dstd, "inner").Held);

        // As after a restart: it finds the same export again, and waits for nothing.
        ExportRecord again = outer with { Layout = layout };
        Assert.Null(dstd.Ask(new() { RequestId = 6, Command = "open-export", Record = again }).Error);
        Assert.True(Served(dstd, "inner").Held);
        dstd.Ask(new() { RequestId = 7, Command = "close-export", Name = "outer" });
        Assert.True(Served(dstd, "inner").Held, "one that came back and was not served stays the holder");
        dstd.Ask(new() { RequestId = 8, Command = "close-export", Name = "inner", TimeoutMs = 5000 });
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void An_export_of_an_export_that_does_not_come_to_be_leaves_nothing_behind(bool commits)
    {
        using Client dstd = new(_options.Run);
        dstd.Ask(new() { RequestId = 1, Command = "open-export", Record = Record("inner", "mem:4M") });
        dstd.Ask(new() { RequestId = 2, Command = "commit-export", Name = "inner" });
        ExportRecord outer = Chained("unix:" + _folder + "/missing/sock");
        Assert.Null(dstd.Ask(new() { RequestId = 3, Command = "open-export", Record = outer }).Error);
        Assert.True(Served(dstd, "inner").Held);
        string command = commits ? "commit-export" : "close-export";
        ServerReply reply = dstd.Ask(new() { RequestId = 4, Command = command, Name = "outer" });
        Assert.Equal(commits, reply.Error is not null);
        Assert.False(Served(dstd, "inner").Held);
        Assert.False(File.Exists(_options.State.ExportNodeEpoch("outer", 0)));
        dstd.Ask(new() { RequestId = 5, Command = "close-export", Name = "inner", TimeoutMs = 5000 });
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_removal_that_takes_too_long_stays_under_way_until_it_is_repeated(bool force)
    {
        const int DelayMs = 2000;
        using Client dstd = new(_options.Run);
        ExportRecord record = Record("e", $"delay:{DelayMs},mem:4M");
        Assert.Null(dstd.Ask(new() { RequestId = 1, Command = "open-export", Record = record }).Error);
        Assert.Null(dstd.Ask(new() { RequestId = 2, Command = "commit-export", Name = "e" }).Error);
        using ScriptedClient client = ScriptedClient.Live(new UnixDomainSocketEndPoint($"{_folder}/sock"), "e");
        client.SendRequest(Operation.Read, 0, 1, 0, 512);
        Thread.Sleep(DelayMs / 10);

        ServerReply late = dstd.Ask(new() { RequestId = 3, Command = "close-export", Name = "e", TimeoutMs = 50 });
        Assert.Equal(ControlErrorCode.TimedOut, late.Error!.Code);
        Assert.Contains("repeat remove-export e", late.Error.Message, StringComparison.Ordinal);
        Assert.Equal("stopping", Served(dstd, "e").State);
        ServerReply clear = dstd.Ask(new() { RequestId = 4, Command = "clear-error", Name = "e" });
        Assert.Equal(ControlErrorCode.Busy, clear.Error!.Code);
        using (ScriptedClient next = ScriptedClient.Connect(new UnixDomainSocketEndPoint($"{_folder}/sock")))
        {
            next.Greet();
            Assert.Equal(RefusalCode.ExportGone, next.Attach("e", access: AccessKind.ReadOnly).Code);
        }

        ServerReply closed = dstd.Ask(
            new() { RequestId = 5, Command = "close-export", Name = "e", TimeoutMs = 20_000, FailPending = force });
        Assert.Null(closed.Error);
        Assert.Empty(dstd.Ask(new() { RequestId = 6, Command = "status" }).Exports!);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void What_an_export_holds_of_a_server_that_is_away_is_named_when_it_is_closed_for_good(bool commits)
    {
        using Client dstd = new(_options.Run);
        dstd.Ask(new() { RequestId = 1, Command = "open-export", Record = Record("inner", "mem:4M") });
        Assert.Null(dstd.Ask(new() { RequestId = 2, Command = "commit-export", Name = "inner" }).Error);
        ExportRecord outer = Chained("unix:" + _folder + "/outer-sock");
        Assert.Null(dstd.Ask(new() { RequestId = 3, Command = "open-export", Record = outer }).Error);
        if (commits)
        {
            Assert.Null(dstd.Ask(new() { RequestId = 4, Command = "commit-export", Name = "outer" }).Error);
        }

        dstd.Ask(new() { RequestId = 5, Command = "close-export", Name = "inner", TimeoutMs = 5000 });
        ServerReply closed = dstd.Ask(
            new() { RequestId = 6, Command = "close-export", Name = "outer", TimeoutMs = 5000 });
        Assert.Null(closed.Error);
        Assert.Equal(
            $"node 0: export inner at {_folder}/sock stays held; dstctl release-export inner there",
            Assert.Single(closed.Notes!));
    }

    [Fact]
    public void What_went_wrong_with_a_node_stays_readable_when_it_is_live_again()
    {
        using Client dstd = new(_options.Run);
        ExportRecord inner = Record("inner", "mem:4M");
        ExportLayout layout = dstd.Ask(new() { RequestId = 1, Command = "open-export", Record = inner }).Layout!;
        Assert.Null(dstd.Ask(new() { RequestId = 2, Command = "commit-export", Name = "inner" }).Error);
        ExportRecord outer = Chained("unix:" + _folder + "/outer-sock");
        dstd.Ask(new() { RequestId = 3, Command = "open-export", Record = outer });
        Assert.Null(dstd.Ask(new() { RequestId = 4, Command = "commit-export", Name = "outer" }).Error);
        dstd.Ask(new() { RequestId = 5, Command = "close-export", Name = "inner", TimeoutMs = 5000 });
        string node = $"{_options.Run.Export("outer")}/nodes/0";
        Eventually(() => File.ReadAllText($"{node}/state") != "live\n");
        dstd.Ask(new() { RequestId = 6, Command = "open-export", Record = inner with { Layout = layout } });
        Assert.Null(dstd.Ask(new() { RequestId = 7, Command = "commit-export", Name = "inner" }).Error);
        Eventually(() => File.ReadAllText($"{node}/state") == "live\n" && File.ReadAllText($"{node}/reason") == "\n");
        Assert.True(File.ReadAllText($"{node}/last_error").Length > 1, "nothing is told");

        static void Eventually(Func<bool> isTrue) =>
            Assert.True(SpinWait.SpinUntil(isTrue, TimeSpan.FromSeconds(30)), "never");
    }

    private static ServedExport Served(Client dstd, string name) => Assert.Single(
        dstd.Ask(new() { RequestId = 99, Command = "status" }).Exports!, export => export.Name == name);

    /// <summary>An export named outer of the one named inner.</summary>
    private ExportRecord Chained(string listen, string around = "")
    {
        ExportRecord record = Record("outer", $"{around}dst+unix:{_folder}/sock,export=inner");
        return record with { Request = record.Request with { Listen = [listen] } };
    }

    private ExportRecord Record(string name, params string[] nodes) => new()
    {
        Request = new ExportRequest
        {
            Name = name,
            Nodes = nodes,
            Listen = [$"unix:{_folder}/sock"],
            MemoryBytes = 64 << 20,
        },
        Uuid = Guid.NewGuid(),
    };

    private sealed class Client : IDisposable
    {
        private readonly Socket _socket = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        private readonly StreamReader _reader;

        public Client(RunDirectory run)
        {
            _socket.Connect(new UnixDomainSocketEndPoint(run.ServerSocket));
            _reader = new StreamReader(new NetworkStream(_socket));
            Hello = JsonSerializer.Deserialize(_reader.ReadLine()!, ControlJson.Default.ServerHello)!;
        }

        public ServerHello Hello { get; }

        public ServerReply Ask(ServerRequest request)
        {
            _socket.Send(
                [.. JsonSerializer.SerializeToUtf8Bytes(request, ControlJson.Default.ServerRequest), (byte)'\n']);
            while (true)
            {
                ServerReply reply = JsonSerializer.Deserialize(_reader.ReadLine()!, ControlJson.Default.ServerReply)!;
                if (reply.RequestId == request.RequestId)
                {
                    return reply;
                }
            }
        }

        public void Dispose()
        {
            _reader.Dispose();
            _socket.Dispose();
        }
    }
}
