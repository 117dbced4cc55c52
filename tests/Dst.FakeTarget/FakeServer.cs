using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using Dst.Control;

namespace Dst.FakeTarget;

/// <summary>One fake target: one socket, one device, no data.</summary>
internal sealed class FakeServer(string run, string name)
{
    private const long NodeBytes = 1 << 20;

    private readonly RunDirectory _run = new(run);
    private readonly SemaphoreSlim _one = new(1, 1);
    private readonly TaskCompletionSource<int> _end = new();
    private string _state = "new";
    private DeviceGeometry? _geometry;

    private HashSet<string> Modes => Program.Modes($"mode-{name}");

    public async Task<int> RunAsync()
    {
        Program.Log($"target {name} pid {Environment.ProcessId}");
        using Socket listener = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        if (Modes.Contains("no-socket"))
        {
            await Task.Delay(Timeout.Infinite);
        }

        File.Delete(_run.TargetSocket(name));
        listener.Bind(new UnixDomainSocketEndPoint(_run.TargetSocket(name)));
        listener.Listen();
        _ = AcceptAsync(listener);
        return await _end.Task;
    }

    private async Task AcceptAsync(Socket listener)
    {
        while (true)
        {
            Socket peer = await listener.AcceptAsync();
            _ = Task.Run(() => ServeAsync(peer));
        }
    }

    private async Task ServeAsync(Socket peer)
    {
        bool opener = false;
        await using NetworkStream stream = new(peer, ownsSocket: true);
        using StreamReader reader = new(stream, Encoding.UTF8);
        if (Modes.Contains("silent"))
        {
            await Task.Delay(Timeout.Infinite);
        }

        await SendAsync(stream, Hello(), ControlJson.Default.TargetHello);
        try
        {
            while (await reader.ReadLineAsync() is { } line)
            {
                TargetRequest request = JsonSerializer.Deserialize(line, ControlJson.Default.TargetRequest)!;
                opener |= request.Command == TargetProtocol.TargetCommand.Open;
                Program.Log($"{name} {request.Command} fail_pending={request.FailPending}");
                TargetReply reply = await AnswerAsync(request, stream);
                await SendAsync(stream, reply with { RequestId = request.RequestId }, ControlJson.Default.TargetReply);
                if (_state == "gone")
                {
                    _end.TrySetResult(0);
                }
            }
        }
        catch (IOException)
        {
        }

        if (opener && _state is "new" or "open")
        {
            Undo();
            _end.TrySetResult(0);
        }
    }

    private TargetHello Hello() => new()
    {
        Protocol = Modes.Contains("protocol-99") ? 99 : TargetProtocol.Version,
        Version = "fake",
        Name = name,
        Pid = Environment.ProcessId,
        State = _state,
        Geometry = _geometry,
        Refusal = Modes.Contains("refuse") ? "CAP_SYS_RESOURCE is missing" : null,
    };

    private async Task<TargetReply> AnswerAsync(TargetRequest request, NetworkStream stream)
    {
        await _one.WaitAsync();
        try
        {
            if (Modes.Contains($"die-at-{request.Command}"))
            {
                Environment.Exit(7);
            }

            if (Modes.Contains($"hang-at-{request.Command}"))
            {
                await Task.Delay(Timeout.Infinite);
            }

            while (Modes.Contains($"delay-at-{request.Command}"))
            {
                await Task.Delay(20);
            }

            if (Modes.Contains($"fail-at-{request.Command}"))
            {
                return new() { Error = new(ControlErrorCode.Failure, $"fake {request.Command} failed") };
            }

            if (Modes.Contains($"timeout-at-{request.Command}") && !request.FailPending)
            {
                return new() { Error = new(ControlErrorCode.TimedOut, $"fake {request.Command} timed out") };
            }

            return request.Command switch
            {
                TargetProtocol.TargetCommand.Open => await OpenAsync(request, stream),
                TargetProtocol.TargetCommand.Start => Start(),
                TargetProtocol.TargetCommand.Stop => Stop(),
                _ => new(),
            };
        }
        finally
        {
            _one.Release();
        }
    }

    private async Task<TargetReply> OpenAsync(TargetRequest request, NetworkStream stream)
    {
        while (Modes.Contains("wait-at-open"))
        {
            TargetReply progress =
                new() { ProgressBytes = 10, ProgressTotalBytes = 100, Waiting = "waits for the lock" };
            await SendAsync(stream, progress, ControlJson.Default.TargetReply);
            await Task.Delay(20);
        }

        DeviceRecord record = request.Record!;
        _geometry = record.Geometry is { } known && !Modes.Contains("other-geometry") ? known : Derive(record.Request);
        Directory.CreateDirectory(Program.Disk(_geometry.UblkId));
        _state = "open";
        return new() { Geometry = _geometry };
    }

    private static DeviceGeometry Derive(DeviceRequest request)
    {
        int id = request.Id ?? Enumerable.Range(0, 1000).First(each => !Directory.Exists(Program.Disk(each)));
        return new DeviceGeometry
        {
            UblkId = id,
            Queues = request.Queues ?? 1,
            DepthTags = request.DepthTags ?? 128,
            MaxIoBytes = 1 << 20,
            BlockSizeBytes = request.BlockSizeBytes ?? 512,
            SizeBytes = request.Nodes.Count * NodeBytes,
            MemoryBytes = 128 << 20,
            ReadOnly = request.ReadOnly,
            VolatileCache = true,
            MaxDiscardBytes = 0,
            MaxWriteZeroesBytes = 0,
            DiscardGranularityBytes = 0,
            Nodes = [.. request.Nodes.Select((spec, index) => new NodeGeometry
            {
                Spec = spec,
                Type = spec.Split(':')[0],
                Address = spec.Split(':')[1],
                StartBytes = index * NodeBytes,
                LengthBytes = NodeBytes,
                Identity = "none",
            })],
        };
    }

    private TargetReply Start()
    {
        _state = "live";
        string tree = _run.Device(name);
        Directory.CreateDirectory($"{tree}/{StatusTree.Nodes}/0");
        File.WriteAllText($"{tree}/{StatusTree.State}", "live\n");
        File.WriteAllText($"{tree}/{StatusTree.UblkId}", $"{_geometry!.UblkId}\n");
        File.WriteAllText($"{tree}/reads", "17\n");
        File.WriteAllText($"{tree}/writes", "not a number\n");
        File.WriteAllText($"{tree}/{StatusTree.Nodes}/0/{StatusTree.State}", "poisoned\n");
        File.WriteAllText($"{tree}/{StatusTree.Nodes}/0/latency_read", "count 1 p50_us 2 p99_us 3 max_us 4\n");
        return new() { BlockDevice = $"/dev/ublkb{_geometry.UblkId}" };
    }

    private TargetReply Stop()
    {
        Undo();
        _state = "gone";
        return new();
    }

    private void Undo()
    {
        if (_geometry is { } geometry && Directory.Exists(Program.Disk(geometry.UblkId)))
        {
            Directory.Delete(Program.Disk(geometry.UblkId), recursive: true);
        }

        if (Directory.Exists(_run.Device(name)))
        {
            Directory.Delete(_run.Device(name), recursive: true);
        }

        File.Delete(_run.TargetSocket(name));
    }

    private static async Task SendAsync<T>(
        NetworkStream stream, T value, System.Text.Json.Serialization.Metadata.JsonTypeInfo<T> type) =>
        await stream.WriteAsync((byte[])[.. JsonSerializer.SerializeToUtf8Bytes(value, type), (byte)'\n']);
}
