using System.Diagnostics;
using Dst.Cli.Output;
using Dst.Control;

namespace Dst.Cli;

/// <summary>
/// Waits for an operation of the daemon that may take long, without a limit of its own: it shows how far the daemon is,
/// and gives up only when the daemon answers nothing any more.
/// </summary>
/// <param name="host">Where progress is shown, when it is a terminal.</param>
/// <param name="look">Asks how far it is.</param>
/// <param name="name">The device or export.</param>
/// <param name="doing">What is done, for people: "adding disk1".</param>
internal sealed class LongOperation(
    CliHost host, Func<CancellationToken, Task<OperationView>> look, string name, string doing)
{
    private const string ClearLine = "\r\u001b[K";

    private bool _lineShown;

    /// <summary>Runs it to its end.</summary>
    /// <exception cref="ControlException">It failed, or the daemon hangs.</exception>
    public async Task<T> RunAsync<T>(Func<CancellationToken, Task<T>> operation, CancellationToken cancellation)
    {
        host.Undertaking = $"dstd goes on {doing}; see 'dstctl status {name}'";
        using var abandon = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        Task<T> work = operation(abandon.Token);
        try
        {
            TimeSpan interval = host.IsErrorTerminal ? host.Limits.WatchedInterval : host.Limits.UnwatchedInterval;
            long lastAnswer = Stopwatch.GetTimestamp();
            while (await Task.WhenAny(work, Task.Delay(interval, cancellation)) != work)
            {
                cancellation.ThrowIfCancellationRequested();
                if (await LookAsync(cancellation))
                {
                    lastAnswer = Stopwatch.GetTimestamp();
                }
                else if (Stopwatch.GetElapsedTime(lastAnswer) > host.Limits.Silence)
                {
                    throw new ControlException(
                        ControlErrorCode.TimedOut,
                        $"dstd has answered nothing for {host.Limits.Silence.TotalSeconds:0} s while {doing}; "
                        + "look at its log");
                }
            }

            T result = await work;
            host.Undertaking = null;
            return result;
        }
        finally
        {
            Clear();
            await abandon.CancelAsync();
            // Its outcome is known or nobody's any more; it only must not end as an unobserved failure.
            await work.ContinueWith(static _ => { }, TaskScheduler.Default);
        }
    }

    /// <summary>Asks how far it is. False when the daemon did not answer.</summary>
    private async Task<bool> LookAsync(CancellationToken cancellation)
    {
        try
        {
            Show(await look(cancellation));
            return true;
        }
        catch (ControlException failure)
        {
            // Not known yet, or gone already: an answer all the same.
            return failure.Error.Code is not (ControlErrorCode.TimedOut or ControlErrorCode.Unreachable);
        }
    }

    private void Show(OperationView view)
    {
        if (host.IsErrorTerminal)
        {
            string line = view.Detail is null ? $"{doing}: {view.State}" : $"{doing}: {view.State}, {view.Detail}";
            host.Error.Write($"{ClearLine}{Printable.Line(line)}");
            host.Error.Flush();
            _lineShown = true;
        }
    }

    private void Clear()
    {
        if (_lineShown)
        {
            host.Error.Write(ClearLine);
            host.Error.Flush();
        }
    }
}

/// <summary>How far a long operation is.</summary>
/// <param name="State">State of the device or export.</param>
/// <param name="Detail">What there is to say; null for nothing.</param>
internal readonly record struct OperationView(string State, string? Detail)
{
    /// <summary>Of a device.</summary>
    public static OperationView Of(DeviceStatus device) => new(
        device.State, StatusText.Progress(device.ProgressBytes, device.ProgressTotalBytes) ?? device.Reason);

    /// <summary>Of an export.</summary>
    public static OperationView Of(ExportStatus export) => new(
        export.State, StatusText.Progress(export.ProgressBytes, export.ProgressTotalBytes) ?? export.Reason);
}
