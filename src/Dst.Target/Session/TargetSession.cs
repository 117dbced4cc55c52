using System.Net.Sockets;
using Dst.Control;
using Dst.Hosting.Sockets;
using Dst.Nodes.Backings;
using Dst.Target.Devices;

namespace Dst.Target.Session;

/// <summary>
/// One connection of dstd: reads requests line by line and answers each, one at a time (see
/// <see cref="TargetProtocol"/>). The loss of the connection cancels what it was opening.
/// </summary>
internal sealed class TargetSession(Socket socket, TargetLife life) : IBackingEvents, IDisposable
{
    private readonly LineChannel _channel = new(socket, TargetProtocol.MaxLineBytes);
    private readonly CancellationTokenSource _gone = new();

    /// <summary>Serves the connection until it is lost; tells <see cref="TargetLife"/> what that means.</summary>
    public async Task RunAsync()
    {
        bool opener = false;
        Task running = Task.CompletedTask;
        _channel.Send(life.Hello(), ControlJson.Default.TargetHello);
        while (await _channel.ReadAsync(ControlJson.Default.TargetRequest) is { } request)
        {
            await running;
            opener |= request.Command == TargetProtocol.TargetCommand.Open;
            // Beside the reading, which is how the loss of the connection is seen meanwhile.
            running = Task.Run(() => Execute(request));
        }

        await _gone.CancelAsync();
        try
        {
            await running;
        }
        finally
        {
            if (life.Identity.Refusal is not null)
            {
                life.Refused();
            }

            life.Leave(lostOpener: opener);
        }
    }

    /// <inheritdoc/>
    public void Progress(long doneBytes, long totalBytes) =>
        Reply(new TargetReply { ProgressBytes = doneBytes, ProgressTotalBytes = totalBytes });

    /// <inheritdoc/>
    public void Waiting(string text) => Reply(new TargetReply { Waiting = text });

    /// <inheritdoc/>
    public void Dispose()
    {
        _channel.Dispose();
        _gone.Dispose();
    }

    private void Execute(TargetRequest request)
    {
        TargetReply reply;
        try
        {
            reply = Dispatch(request);
        }
        catch (ControlException e)
        {
            reply = new TargetReply { Error = e.Error };
        }
        catch (OperationCanceledException)
        {
            reply = Failure("given up, its daemon went away");
        }
        catch (TargetFatalException e)
        {
            ControlError error = new(ControlErrorCode.Failure, e.Message);
            Reply(new TargetReply { RequestId = request.RequestId, Error = error });
            life.Fail(e.Message);
            throw;
        }
        catch (Exception e)
        {
            // Whatever it was: without an answer dstd would wait for ever.
            reply = Failure(e.Message.ReplaceLineEndings(" "));
        }

        Reply(reply with { RequestId = request.RequestId });
        life.Leave(lostOpener: false);
    }

    private TargetReply Failure(string why) =>
        new() { Error = new ControlError(ControlErrorCode.Failure, $"device {life.Identity.Name}: {why}") };

    private TargetReply Dispatch(TargetRequest request)
    {
        switch (request.Command)
        {
            case TargetProtocol.TargetCommand.Open when request is { Record: { } record, StateDirectory: { } state }:
                OpeningWishes wishes = new(request.TakeOver, request.NodeTimeoutMs);
                DeviceGeometry geometry = life.Do(device => device.Open(record, state, wishes, this, _gone.Token));
                return new TargetReply { Geometry = geometry };
            case TargetProtocol.TargetCommand.Start:
                return new TargetReply { BlockDevice = life.Do(device => device.Start()) };
            case TargetProtocol.TargetCommand.Stop:
                return new TargetReply { Notes = life.Stop(request.FailPending, request.TimeoutMs ?? 0) };
            case TargetProtocol.TargetCommand.ClearError:
                life.ClearError(request.NodeIndex);
                return new TargetReply();
            case TargetProtocol.TargetCommand.OrderNode when request is { NodeIndex: { } index, Order: { } order }:
                life.Do(device =>
                {
                    device.OrderNode(index, order, request.Settings);
                    return true;
                });
                return new TargetReply();
            default:
                throw new ControlException(
                    ControlErrorCode.Usage,
                    $"target of {life.Identity.Name}: unknown or incomplete command '{request.Command}'");
        }
    }

    private void Reply(TargetReply reply) => _channel.Send(reply, ControlJson.Default.TargetReply);
}

/// <summary>What a target says of itself.</summary>
/// <param name="Name">Name of its device.</param>
/// <param name="Version">Version of the program.</param>
/// <param name="Refusal">Why it refuses to serve, or null.</param>
internal sealed record TargetIdentity(string Name, string Version, string? Refusal);
