using System.Collections.Concurrent;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using Dst.Control;

namespace Dst.FakeTarget;

/// <summary>
/// Stands in for dst-server: keeps exports by name, without clients. The file mode-server holds its misbehaviours; one
/// named held-NAME says who holds that export.
/// </summary>
internal sealed class FakeExports(string run)
{
    private readonly RunDirectory _run = new(run);
    private readonly ConcurrentDictionary<string, (ExportRecord Record, string State)> _exports =
        new(StringComparer.Ordinal);
    private readonly TaskCompletionSource<int> _end = new();

    private static HashSet<string> Modes => Program.Modes("mode-server");

    public async Task<int> RunAsync()
    {
        Program.Log($"server x pid {Environment.ProcessId}");
        if (Modes.Contains("exit-at-once"))
        {
            return 3;
        }

        using Socket listener = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        File.Delete(_run.ServerSocket);
        listener.Bind(new UnixDomainSocketEndPoint(_run.ServerSocket));
        listener.Listen();
        _ = AcceptAsync(listener);
        int code = await _end.Task;
        File.Delete(_run.ServerSocket);
        return code;
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
        await using NetworkStream stream = new(peer, ownsSocket: true);
        using StreamReader reader = new(stream, Encoding.UTF8);
        List<string> opened = [];
        if (Modes.Contains("hang-at-hello"))
        {
            await Task.Delay(Timeout.Infinite);
        }

        ServerHello hello = new()
        {
            Protocol = Modes.Contains("protocol-99") ? 99 : ServerProtocol.Version,
            Version = "fake",
            Pid = Environment.ProcessId,
            Exports = Served(),
            Warning = Modes.Contains("warn") ? "no IO_FLUSHER" : null,
        };
        await SendAsync(stream, hello, ControlJson.Default.ServerHello);
        try
        {
            while (await reader.ReadLineAsync() is { } line)
            {
                ServerRequest request = JsonSerializer.Deserialize(line, ControlJson.Default.ServerRequest)!;
                string name = request.Name ?? request.Record?.Request.Name ?? "";
                Program.Log($"server {request.Command} {name} fail_pending={request.FailPending}");
                ServerReply reply = await AnswerAsync(request, name);
                if (request.Command == ServerProtocol.ServerCommand.OpenExport && reply.Error is null)
                {
                    opened.Add(name);
                }

                await SendAsync(stream, reply with { RequestId = request.RequestId }, ControlJson.Default.ServerReply);
                if (request.Command == ServerProtocol.ServerCommand.Stop && reply.Error is null)
                {
                    _end.TrySetResult(0);
                }
            }
        }
        catch (IOException)
        {
        }

        foreach (string name in opened)
        {
            if (_exports.TryGetValue(name, out var found) && found.State == "open")
            {
                _exports.TryRemove(name, out _);
            }
        }
    }

    private ServedExport[] Served() =>
    [
        .. _exports.Values.Select(export => new ServedExport
        {
            Name = export.Record.Request.Name,
            Uuid = export.Record.Uuid,
            State = export.State,
            Held = File.Exists($"{Program.Folder}/held-{export.Record.Request.Name}"),
            Holder = File.Exists($"{Program.Folder}/held-{export.Record.Request.Name}")
                ? File.ReadAllText($"{Program.Folder}/held-{export.Record.Request.Name}")
                : "",
        }),
    ];

    private async Task<ServerReply> AnswerAsync(ServerRequest request, string name)
    {
        if (Modes.Contains($"die-at-{request.Command}"))
        {
            Environment.Exit(7);
        }

        if (Modes.Contains($"hang-at-{request.Command}"))
        {
            await Task.Delay(Timeout.Infinite);
        }

        if (Modes.Contains($"fail-at-{request.Command}"))
        {
            return new() { Error = new(ControlErrorCode.Failure, $"fake {request.Command} failed") };
        }

        switch (request.Command)
        {
            case ServerProtocol.ServerCommand.OpenExport:
                ExportRecord record = request.Record!;
                ExportLayout layout = record.Layout ?? Derive(record.Request);
                return _exports.TryAdd(name, (record, "open"))
                    ? new() { Layout = layout }
                    : new() { Error = new(ControlErrorCode.Busy, $"export {name} is there already") };
            case ServerProtocol.ServerCommand.CommitExport:
                _exports[name] = (_exports[name].Record, "live");
                Directory.CreateDirectory(_run.Export(name));
                File.WriteAllText($"{_run.Export(name)}/{StatusTree.State}", "live\n");
                File.WriteAllText($"{_run.Export(name)}/{StatusTree.Epoch}", "3\n");
                File.WriteAllText($"{_run.Export(name)}/reads", "17\n");
                return new();
            case ServerProtocol.ServerCommand.CloseExport when Modes.Contains("stuck-at-close-export"):
                _exports[name] = (_exports[name].Record, "stopping");
                return new() { Error = new(ControlErrorCode.TimedOut, $"export {name}: its disk still has requests") };
            case ServerProtocol.ServerCommand.CloseExport:
                return _exports.TryRemove(name, out _)
                    ? new()
                    : new() { Error = new(ControlErrorCode.NotFound, $"no export {name}") };
            case ServerProtocol.ServerCommand.Status:
                return new() { Exports = Served() };
            case ServerProtocol.ServerCommand.Stop when !_exports.IsEmpty:
                return new() { Error = new(ControlErrorCode.Busy, "exports are left") };
            default:
                return new();
        }
    }

    private static ExportLayout Derive(ExportRequest request) => new()
    {
        SizeBytes = request.Nodes.Count << 20,
        BlockSizeBytes = request.BlockSizeBytes ?? 512,
        MaxIoBytes = 1 << 20,
        MaxChangeBytes = 1 << 20,
        DiscardGranularityBytes = 0,
        ReadOnly = request.ReadOnly,
        CanDiscard = false,
        CanWriteZeroes = false,
        VolatileCache = true,
        Nodes = [.. request.Nodes.Select((spec, index) => new NodeGeometry
        {
            Spec = spec,
            Type = spec.Split(':')[0],
            Address = spec.Split(':')[1],
            StartBytes = index << 20,
            LengthBytes = 1 << 20,
            Identity = "none",
        })],
    };

    private static async Task SendAsync<T>(
        NetworkStream stream, T value, System.Text.Json.Serialization.Metadata.JsonTypeInfo<T> type) =>
        await stream.WriteAsync((byte[])[.. JsonSerializer.SerializeToUtf8Bytes(value, type), (byte)'\n']);
}
