using System.Text.Json;
using Dst.Control;
using Dst.Daemon.Objects;

namespace Dst.Daemon.Devices;

/// <summary>How bringing a device up ended: a session, or an error.</summary>
/// <param name="Session">The live target.</param>
/// <param name="Record">The record as stored last.</param>
/// <param name="BlockDevice">Path of the block device.</param>
/// <param name="Error">Why there is no session; everything was undone, except what <see cref="Unclean"/> names.</param>
/// <param name="Unclean">What could not be undone.</param>
internal sealed record BringUpResult(
    TargetSession? Session, DeviceRecord Record, string BlockDevice, ControlError? Error, ControlError? Unclean);

/// <summary>
/// The way from a stored record to a live device, for creation and restore alike (D-02): target process, nodes open and
/// geometry known, geometry durable, start. One object a try, used by the worker of one device.
/// </summary>
internal sealed class BringUp(
    DeviceServices services,
    DeviceRecord stored,
    CreationWishes wishes,
    Action<DeviceRecord> save,
    Action<TargetReply> onEvent)
{
    private static readonly TimeSpan ConnectPause = TimeSpan.FromMilliseconds(20);

    private readonly string _name = stored.Request.Name;
    private readonly bool _isNew = stored.Geometry is null;
    private DeviceRecord _record = stored;

    /// <summary>Does it.</summary>
    /// <param name="claimId">Refuses a number that belongs to another device.</param>
    /// <param name="cancel">Gives up and undoes.</param>
    public async Task<BringUpResult> RunAsync(Func<int, ControlError?> claimId, CancellationToken cancel)
    {
        ServingProcess? process = null;
        TargetSession? session = null;
        try
        {
            process = ServingProcess.StartTarget(services.Options, _name);
            session = await ConnectAsync(process, cancel);
            await OpenAsync(session, claimId, cancel);
            string blockDevice = await StartAsync(session, cancel);
            Complete();
            return new(session, _record, blockDevice, null, null);
        }
        catch (Exception e)
        {
            // Whatever it was: a target that nobody knows would keep its nodes.
            session?.Dispose();
            process = session?.Process ?? process;
            ControlError? unclean = await UndoAsync(process);
            ControlError error = ErrorOf(e);
            ControlError withFiles = error with { Message = error.Message + await FilesLeftAsync(process) };
            return new(null, _record, "", withFiles, unclean);
        }
    }

    private async Task<TargetSession> ConnectAsync(ServingProcess process, CancellationToken cancel)
    {
        string path = services.Options.Run.TargetSocket(_name);
        long begin = TimeProvider.System.GetTimestamp();
        string stranger = "";
        while (services.Timing.Connect - TimeProvider.System.GetElapsedTime(begin) is var left && left > TimeSpan.Zero)
        {
            if (process.Exited.IsCompleted)
            {
                string how = await process.EndAsync();
                throw new ControlException(
                    ControlErrorCode.Failure, $"{how} before it served device {_name}; its log says more");
            }

            TargetConnection? connection = await TargetConnection.OpenAsync(
                path, services.Timing.AtLeastHello(left), onEvent, cancel);
            if (connection is not null && !IsMeant(connection, process))
            {
                // The socket of an older process: ours replaces it, and that one is told nothing (D-07).
                stranger = $"; process {connection.Process.Pid} answers there";
                connection.Dispose();
            }
            else if (connection is not null)
            {
                TargetSession session = new(services, _name, process, connection);
                if (TargetHelloCheck.Problem(connection.Hello, _name) is { } problem)
                {
                    session.Dispose();
                    throw new ControlException(ControlErrorCode.Failure, problem);
                }

                return session;
            }

            await Task.Delay(ConnectPause, cancel);
        }

        throw new ControlException(
            ControlErrorCode.TimedOut,
            $"target (pid {process.Pid}) of device {_name} did not open its socket within "
            + $"{services.Timing.Connect.TotalSeconds:0.#} s{stranger}");
    }

    private static bool IsMeant(TargetConnection connection, ServingProcess process) =>
        connection.Process.Pid == process.Pid && connection.Hello.Pid == process.Pid;

    private async Task OpenAsync(TargetSession session, Func<int, ControlError?> claimId, CancellationToken cancel)
    {
        TargetRequest open = new()
        {
            RequestId = 0,
            Command = TargetProtocol.TargetCommand.Open,
            Record = _record,
            StateDirectory = services.Options.State.Path,
            TakeOver = wishes.TakeOver,
            NodeTimeoutMs = wishes.NodeTimeoutMs,
        };
        TargetReply reply = await session.AskAsync(open, "opening", limit: null, cancel);
        DeviceGeometry geometry = reply.Geometry
            ?? throw new ControlException(ControlErrorCode.Failure, $"target of device {_name} told no geometry");
        if (_record.Geometry is { } known)
        {
            if (!SameGeometry(known, geometry))
            {
                throw new ControlException(
                    ControlErrorCode.Failure, $"target of device {_name} derived another geometry than the stored one");
            }

            return;
        }

        if (claimId(geometry.UblkId) is { } claimed)
        {
            throw new ControlException(claimed.Code, claimed.Message);
        }

        _record = _record with { Geometry = geometry, Starting = true };
        save(_record);
    }

    // Until then a crash undoes the creation (D-02): the target does so as well, with files and marks.
    private void Complete()
    {
        if (_record.Starting)
        {
            // Written twice: then the generation before the newest one can bring the device back as well.
            _record = _record with { Starting = false };
            save(_record);
            save(_record);
        }
    }

    private async Task<string> StartAsync(TargetSession session, CancellationToken cancel)
    {
        cancel.ThrowIfCancellationRequested();
        TargetRequest start = new() { RequestId = 0, Command = TargetProtocol.TargetCommand.Start };
        TargetReply reply = await session.AskAsync(start, "starting", services.Timing.Start, CancellationToken.None);
        return reply.BlockDevice
            ?? throw new ControlException(ControlErrorCode.Failure, $"target of device {_name} told no block device");
    }

    private async Task<ControlError?> UndoAsync(ServingProcess? process)
    {
        if (process is null)
        {
            return null;
        }

        if (!await process.EndWithinAsync(services.Timing.ProcessEnd, _name, services.Log))
        {
            return new(ControlErrorCode.TimedOut, $"target (pid {process.Pid}) of device {_name} does not end");
        }

        // A device of somebody else is no leftover of ours.
        int? ublkId = _record.Geometry?.UblkId ?? _record.Request.Id;
        ControlError? left = await services.Leftovers.ClearAsync(
            _name, ublkId, ended: true, services.Timing.Release, CancellationToken.None);
        return left is { Code: ControlErrorCode.Busy } ? null : left;
    }

    // Only the target knows which files it has made. One that ended out of order cannot take them away, and nobody else
    // may: somebody could have made a file of that name meanwhile.
    private async Task<string> FilesLeftAsync(ServingProcess? process) =>
        _isNew
        && process is not null
        && SpecLayers.FilesMade(_record.Request) is { Length: > 0 } files
        && !await process.EndedInOrderAsync()
            ? $"; files that it made may be left: {files}"
            : "";

    private ControlError ErrorOf(Exception e) => e switch
    {
        ControlException control => control.Error,
        TimeoutException => new(ControlErrorCode.TimedOut, e.Message),
        OperationCanceledException => new(ControlErrorCode.Failure, $"device {_name}: given up on request"),
        _ => new(ControlErrorCode.Failure, $"device {_name}: {e.Message.ReplaceLineEndings(" ")}"),
    };

    private static bool SameGeometry(DeviceGeometry left, DeviceGeometry right) =>
        JsonSerializer.SerializeToUtf8Bytes(left, ControlJson.Default.DeviceGeometry).AsSpan()
            .SequenceEqual(JsonSerializer.SerializeToUtf8Bytes(right, ControlJson.Default.DeviceGeometry));
}

/// <summary>Whether the process behind a socket is the one that is meant.</summary>
internal static class TargetHelloCheck
{
    /// <summary>Null, or why not; versions: this one and the one before (D-21).</summary>
    public static string? Problem(TargetHello hello, string name)
    {
        if (hello.Refusal is { } refusal)
        {
            return refusal;
        }

        if (hello.Protocol is > TargetProtocol.Version or < TargetProtocol.Version - 1)
        {
            return $"target (pid {hello.Pid}, version {hello.Version}) speaks protocol {hello.Protocol}, "
                + $"this dstd {TargetProtocol.Version}; use the dstd of its version to remove it";
        }

        return string.Equals(hello.Name, name, StringComparison.Ordinal)
            ? null
            : $"target (pid {hello.Pid}) at the socket of device {name} serves device {hello.Name}";
    }
}
