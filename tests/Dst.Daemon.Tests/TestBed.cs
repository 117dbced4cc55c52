using System.Diagnostics;
using System.Net;
using System.Net.Http.Json;
using System.Net.Sockets;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Dst.Control;
using Dst.Daemon.Store;
using Serilog.Core;

[assembly: Xunit.v3.Parallelization(Mode = Xunit.Sdk.ParallelMode.None)]

namespace Dst.Daemon.Tests;

/// <summary>
/// A daemon of its own with fake targets, a fake procfs and a fake sysfs. Disposal ends every target that was started.
/// </summary>
internal sealed class TestBed : IAsyncDisposable
{
    public TestBed()
    {
        Root = Directory.CreateTempSubdirectory("dstd-").FullName;
        Fake = $"{Root}/fake";
        Directory.CreateDirectory($"{Fake}/sys/block");
        Directory.CreateDirectory($"{Fake}/proc");
        string wrapper = $"{Root}/dst-target";
        File.WriteAllText(
            wrapper, $"#!/bin/sh\nexport FAKE_DIR={Fake}\nexec {AppContext.BaseDirectory}/fake-target \"$@\"\n");
        File.SetUnixFileMode(wrapper, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        Options = new DaemonOptions
        {
            Run = new RunDirectory($"{Root}/run"),
            State = new StateDirectory($"{Root}/state"),
            TargetBinary = wrapper,
            ServerBinary = wrapper,
            LinkDirectory = $"{Root}/links",
            ProcRoot = $"{Fake}/proc",
            SysRoot = $"{Fake}/sys",
            Timing = new Timing
            {
                Connect = TimeSpan.FromSeconds(60),
                Hello = TimeSpan.FromSeconds(30),
                ProcessEnd = TimeSpan.FromSeconds(3),
                RetryFirst = TimeSpan.FromMilliseconds(100),
                StopGrace = TimeSpan.FromSeconds(1),
                ForcedFlush = TimeSpan.FromSeconds(3),
                AttributeWait = TimeSpan.FromSeconds(20),
            },
        };
        Client = ClientOf(Options.Run);
    }

    public string Root { get; }

    public string Fake { get; }

    public DaemonOptions Options { get; set; }

    public HttpClient Client { get; }

    /// <summary>Daemons in processes of their own; disposal kills those that still run.</summary>
    public List<Process> Daemons { get; } = [];

    public DaemonHost? Daemon { get; private set; }

    public string[] FakeLog => File.Exists($"{Fake}/log") ? File.ReadAllLines($"{Fake}/log") : [];

    public static HttpClient ClientOf(RunDirectory run) => new(new SocketsHttpHandler
    {
        ConnectCallback = async (_, cancel) =>
        {
            Socket socket = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
            await socket.ConnectAsync(new UnixDomainSocketEndPoint(run.DaemonSocket), cancel);
            return new NetworkStream(socket, ownsSocket: true);
        },
    })
    {
        BaseAddress = new Uri("http://dstd"),
    };

    public static async Task<TestBed> StartedAsync()
    {
        TestBed bed = new();
        await bed.StartAsync();
        return bed;
    }

    public async Task StartAsync() => Daemon = await DaemonHost.StartAsync(Options, Logger.None);

    public async Task StopAsync()
    {
        if (Daemon is { } daemon)
        {
            Daemon = null;
            await daemon.DisposeAsync();
        }
    }

    public async Task RestartAsync()
    {
        await StopAsync();
        await StartAsync();
    }

    public void Mode(string name, params string[] modes) => Steer($"mode-{name}", modes);

    public void HelperMode(string verb, params string[] modes) => Steer($"helper-{verb}", modes);

    // At once: a fake that looks meanwhile must not find an empty file, which is a mode as well.
    private void Steer(string file, string[] modes)
    {
        File.WriteAllLines($"{Fake}/{file}.new", modes);
        File.Move($"{Fake}/{file}.new", $"{Fake}/{file}", overwrite: true);
    }

    public static DeviceRequest Request(string name, int? id = null) =>
        new() { Name = name, Id = id, Nodes = ["zero:1M", "mem:1M"] };

    public Task<HttpResponseMessage> PostAsync(DeviceRequest request, string query = "") =>
        Client.PostAsync($"/v1/devices{query}", JsonContent.Create(request, ControlJson.Default.DeviceRequest));

    public async Task<DeviceStatus> AddAsync(string name, int? id = null)
    {
        using HttpResponseMessage response = await PostAsync(Request(name, id));
        return await ReadAsync(response, HttpStatusCode.Created, ControlJson.Default.DeviceStatus);
    }

    public async Task<ControlError> AddFailsAsync(DeviceRequest request, HttpStatusCode status)
    {
        using HttpResponseMessage response = await PostAsync(request);
        return await ReadAsync(response, status, ControlJson.Default.ControlError);
    }

    public async Task<DeviceStatus> StatusAsync(string name)
    {
        using HttpResponseMessage response = await Client.GetAsync($"/v1/devices/{name}");
        return await ReadAsync(response, HttpStatusCode.OK, ControlJson.Default.DeviceStatus);
    }

    public async Task<DeviceStatus[]> ListAsync()
    {
        using HttpResponseMessage response = await Client.GetAsync("/v1/devices");
        return await ReadAsync(response, HttpStatusCode.OK, ControlJson.Default.DeviceStatusArray);
    }

    public async Task<RemovalReport> RemoveAsync(string name, string query = "")
    {
        using HttpResponseMessage response = await Client.DeleteAsync($"/v1/devices/{name}{query}");
        return await ReadAsync(response, HttpStatusCode.OK, ControlJson.Default.RemovalReport);
    }

    public async Task<ControlError> RemoveFailsAsync(string name, HttpStatusCode status, string query = "")
    {
        using HttpResponseMessage response = await Client.DeleteAsync($"/v1/devices/{name}{query}");
        return await ReadAsync(response, status, ControlJson.Default.ControlError);
    }

    public async Task<RemovalReport> RemoveExportAsync(string name, string query = "")
    {
        using HttpResponseMessage response = await Client.DeleteAsync($"/v1/exports/{name}{query}");
        return await ReadAsync(response, HttpStatusCode.OK, ControlJson.Default.RemovalReport);
    }

    public async Task<ControlError> RemoveExportFailsAsync(string name, HttpStatusCode status, string query = "")
    {
        using HttpResponseMessage response = await Client.DeleteAsync($"/v1/exports/{name}{query}");
        return await ReadAsync(response, status, ControlJson.Default.ControlError);
    }

    public static async Task<T> ReadAsync<T>(HttpResponseMessage response, HttpStatusCode status, JsonTypeInfo<T> type)
    {
        string body = await response.Content.ReadAsStringAsync();
        Assert.True(response.StatusCode == status, $"{response.StatusCode}: {body}");
        return JsonSerializer.Deserialize(body, type)!;
    }

    public async Task<DeviceStatus> UntilAsync(string name, Func<DeviceStatus, bool> reached)
    {
        DeviceStatus? last = null;
        for (int i = 0; i < 600; i++)
        {
            last = await StatusAsync(name);
            if (reached(last))
            {
                return last;
            }

            await Task.Delay(50);
        }

        Assert.Fail($"{name} stays {last!.State}: {last.Reason}");
        return last;
    }

    public static async Task UntilAsync(Func<bool> reached, string what)
    {
        for (int i = 0; i < 600; i++)
        {
            if (reached())
            {
                return;
            }

            await Task.Delay(50);
        }

        Assert.Fail($"never: {what}");
    }

    public static bool Runs(int pid) =>
        File.Exists($"/proc/{pid}/stat") && !File.ReadAllText($"/proc/{pid}/stat").Contains(") Z ");

    public static void Kill(int pid) => Process.GetProcessById(pid).Kill();

    /// <summary>Nothing of a device is left anywhere.</summary>
    public void AssertClean(string name)
    {
        Assert.False(File.Exists(Options.State.DeviceRecord(name)), "record");
        Assert.False(File.Exists(Options.State.DeviceRecord(name) + ".prev"), "older record");
        Assert.False(File.Exists(Options.State.DeviceRecord(name) + ".tmp"), "temporary record");
        Assert.False(File.Exists(Options.Run.TargetSocket(name)), "socket");
        Assert.False(Directory.Exists(Options.Run.Device(name)), "tree");
        Assert.Null(new FileInfo($"{Options.LinkDirectory}/{name}").LinkTarget);
        Assert.Empty(Directory.GetDirectories($"{Fake}/sys/block"));
        Assert.All(TargetPids(), pid => Assert.False(Runs(pid), $"target {pid} runs"));
    }

    public List<int> TargetPids() =>
    [
        .. from line in FakeLog
           where line.StartsWith("target ", StringComparison.Ordinal)
               || line.StartsWith("server x pid", StringComparison.Ordinal)
           select int.Parse(line.Split(' ')[3]),
    ];

    public DeviceRecord StoredRecord(string name)
    {
        (RecordVerdict verdict, DeviceRecord? record, _) =
            RecordForms.Device.Read(Options.State.DeviceRecord(name), name);
        Assert.Equal(RecordVerdict.Good, verdict);
        return record!;
    }

    public async ValueTask DisposeAsync()
    {
        await StopAsync();
        Client.Dispose();

        // Before the targets, which a daemon might start again.
        foreach (Process daemon in Daemons)
        {
            daemon.Kill();
            await daemon.WaitForExitAsync();
            daemon.Dispose();
        }

        foreach (int pid in TargetPids().Where(Runs))
        {
            Kill(pid);
        }

        Directory.Delete(Root, recursive: true);
    }
}
