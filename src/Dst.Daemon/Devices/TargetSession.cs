using Dst.Control;
using Dst.Daemon.Objects;

namespace Dst.Daemon.Devices;

/// <summary>A running target and the way to talk to it. Calls of one device's worker only, one at a time.</summary>
internal sealed class TargetSession : IDisposable
{
    private readonly DeviceServices _services;
    private readonly string _name;
    private TargetConnection _connection;

    public TargetSession(DeviceServices services, string name, ServingProcess process, TargetConnection connection)
    {
        _services = services;
        _name = name;
        Process = process;
        _connection = connection;
    }

    /// <summary>The process.</summary>
    public ServingProcess Process { get; }

    /// <summary>What it said first.</summary>
    public TargetHello Hello => _connection.Hello;

    /// <summary>Nothing more is heard of the target here.</summary>
    public bool IsLost => _connection.Lost;

    /// <summary>Asks the target for something.</summary>
    /// <param name="request">What.</param>
    /// <param name="doing">The same in words, as in "while opening".</param>
    /// <param name="limit">How long the answer may take; null: as long as it takes.</param>
    /// <param name="cancel">Gives up waiting.</param>
    /// <exception cref="ControlException">The target refused, or ended.</exception>
    /// <exception cref="TimeoutException">It did not answer in time.</exception>
    public async Task<TargetReply> AskAsync(
        TargetRequest request, string doing, TimeSpan? limit, CancellationToken cancel)
    {
        using CancellationTokenSource timer = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        timer.CancelAfter(limit ?? Timeout.InfiniteTimeSpan);
        try
        {
            return await _connection.AskAsync(request, timer.Token);
        }
        catch (IOException)
        {
            bool ended = await Process.WaitAsync(_services.Timing.ProcessEnd);
            string how = ended
                ? await Process.EndAsync()
                : $"target (pid {Process.Pid}) closed its connection";
            throw new ControlException(
                ControlErrorCode.Failure, $"{how} while {doing} device {_name}; its log says more");
        }
        catch (OperationCanceledException e) when (!cancel.IsCancellationRequested)
        {
            throw new TimeoutException(
                $"target (pid {Process.Pid}) did not answer within {limit?.TotalSeconds:0.#} s "
                + $"while {doing} device {_name}",
                e);
        }
    }

    /// <summary>Connects anew when the connection to a live target was lost.</summary>
    /// <exception cref="ControlException">It cannot be reached.</exception>
    public async Task ReconnectAsync(CancellationToken cancel)
    {
        if (!_connection.Lost)
        {
            return;
        }

        TargetConnection? next = await TargetConnection.OpenAsync(
            _services.Options.Run.TargetSocket(_name), _services.Timing.Hello, static _ => { }, cancel);
        if (next is null || next.Process.Pid != Process.Pid)
        {
            next?.Dispose();
            throw new ControlException(
                ControlErrorCode.Failure,
                $"target (pid {Process.Pid}) of device {_name} cannot be reached at its socket");
        }

        _connection.Dispose();
        _connection = next;
    }

    /// <summary>
    /// Closes the connection. A target that is not live yet undoes what it did and ends; a live one goes on.
    /// </summary>
    public void Dispose() => _connection.Dispose();
}
