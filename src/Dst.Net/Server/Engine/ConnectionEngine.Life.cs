using Dst.Core;
using Dst.Core.Sessions;
using Dst.Core.Wire;
using Dst.Interop;

namespace Dst.Net.Server.Engine;

/// <summary>How connections come and go, and what time does to them.</summary>
internal sealed unsafe partial class ConnectionEngine
{
    private void Adopt(LiveConnection connection)
    {
        int index = Array.IndexOf(_connections, null);
        Must.Be(index >= 0, $"an engine gets more than {ServerLimits.ConnectionsMax} connections");
        connection.Index = index;
        connection.Memory = _connectionMemory.Take(LiveConnection.MemoryBytes);
        connection.Staging = _connectionMemory.Take(ServerLimits.StagingBytes);
        _connections[index] = connection;
        _connectionCount++;
        connection.Timers = new LaneTimers(pings: true, NowMs);
        connection.State = LiveState.Live;
        _ticker.Start();
        if (connection.Memory == 0 || connection.Staging == 0)
        {
            // Not even a word can be said: memory for words is what is missing.
            connection.Lane.Detach();
            ReportEnd(connection, RefusalCode.NoCredits);
            End(connection);
        }
        else if (_stopping)
        {
            BeginClose(connection, RefusalCode.ShuttingDown);
        }
        else
        {
            connection.TakeOver();
            Read(connection);
        }
    }

    /// <summary>No more requests, no more replies: one last frame, or none, and then the end.</summary>
    private void BeginClose(LiveConnection connection, RefusalCode code, byte[]? frame = null)
    {
        if (connection.State is LiveState.New || connection.State >= LiveState.Closing)
        {
            return;
        }

        connection.Lane.Detach();
        connection.State = LiveState.Closing;
        connection.LastFrame = frame ?? _lastWords.For(code);
        connection.EndsWithGoodbye = false;
        connection.DeadlineMs = NowMs + ServerLimits.LingerMs;
        DropWaiting(connection);
        ReportEnd(connection, code);
        MarkDirty(connection);
    }

    /// <summary>No more requests; what runs is answered, then the last frame is sent.</summary>
    private void BeginFinish(LiveConnection connection, in EngineOrder order)
    {
        if (connection.State is LiveState.New || connection.State >= LiveState.Finishing)
        {
            return;
        }

        // The lane is not detached: what runs is answered first.
        connection.State = LiveState.Finishing;
        connection.EndsWithGoodbye = order.Kind == EngineOrderKind.Goodbye;
        connection.GoodbyeEpoch = order.Epoch;
        connection.LastFrame = _lastWords.For(order.Code);
        connection.DeadlineMs = NowMs + ServerLimits.FinishMs;
        DropBody(connection);
        MarkDirty(connection);
    }

    private void StopAll()
    {
        _stopping = true;
        foreach (LiveConnection? connection in _connections)
        {
            if (connection is not null)
            {
                BeginClose(connection, RefusalCode.ShuttingDown);
            }
        }
    }

    /// <summary>The peer is gone: nobody is there to hear a last word.</summary>
    private void EndByPeer(LiveConnection connection, RefusalCode code = RefusalCode.None)
    {
        if (connection.State >= LiveState.Ending)
        {
            return;
        }

        connection.Lane.Detach();
        DropWaiting(connection);
        ReportEnd(connection, code);
        End(connection);
    }

    private void ReportEnd(LiveConnection connection, RefusalCode code)
    {
        if (!connection.EndReported)
        {
            connection.EndReported = true;
            _report(new EngineReport(EngineReportKind.Ended, connection) { Code = code });
        }
    }

    /// <summary>Replies that wait go to nobody; so does a body that is not whole.</summary>
    private void DropWaiting(LiveConnection connection)
    {
        GiveList(ref connection.FirstReply);
        connection.LastReply = -1;
        DropBody(connection);
    }

    private void DropBody(LiveConnection connection)
    {
        // While a receive is with the kernel it may write into the body's memory.
        if (connection.BodyTag >= 0 && !connection.Receiving)
        {
            _tags.Give(connection.BodyTag);
            connection.BodyTag = -1;
        }
    }

    /// <summary>
    /// The last frame is sent. Closing a socket with unread bytes resets it, and the peer would lose the frame: so the
    /// rest is read first.
    /// </summary>
    private void Linger(LiveConnection connection)
    {
        connection.State = LiveState.Lingering;
        connection.DeadlineMs = NowMs + ServerLimits.LingerMs;
        _ = Libc.Shutdown(connection.Fd, LinuxAbi.SHUT_WR);
        if (!connection.Receiving)
        {
            connection.StagingStart = connection.StagingEnd = 0;
            ArmReceive(connection);
        }
    }

    private void OnReceivedAfterwards(LiveConnection connection, int result)
    {
        DropBody(connection);
        connection.StagingStart = connection.StagingEnd = 0;
        if (connection.State >= LiveState.Ending)
        {
            CloseIfQuiet(connection);
        }
        else if (result > 0)
        {
            ArmReceive(connection);
        }
        else if (connection.State == LiveState.Lingering || connection.LastFrameSent || result < 0)
        {
            End(connection);
        }
        else
        {
            // Half-closed before our last frame; it may still be read.
            MarkDirty(connection);
        }
    }

    private void End(LiveConnection connection)
    {
        connection.State = LiveState.Ending;
        _ = Libc.Shutdown(connection.Fd, LinuxAbi.SHUT_RDWR);
        CloseIfQuiet(connection);
    }

    /// <summary>
    /// Closes the socket once the kernel has no operation on it, for such an operation knows our memory.
    /// </summary>
    private void CloseIfQuiet(LiveConnection connection)
    {
        if (connection.State != LiveState.Ending || connection.Receiving || connection.Sending)
        {
            return;
        }

        connection.Lane.Detach();
        ReportEnd(connection, RefusalCode.None);
        _ = Libc.Close(connection.Fd);
        connection.Fd = -1;
        connection.State = LiveState.Closed;
        DropWaiting(connection);
        GiveList(ref connection.FirstSent);
        if (connection.Memory != 0)
        {
            _connectionMemory.Give(connection.Memory, LiveConnection.MemoryBytes);
        }

        if (connection.Staging != 0)
        {
            _connectionMemory.Give(connection.Staging, ServerLimits.StagingBytes);
        }

        connection.Memory = connection.Staging = 0;
        ReapIfDone(connection);
    }

    /// <summary>Forgets a closed connection once its last request has left the disk (S-05).</summary>
    private void ReapIfDone(LiveConnection connection)
    {
        if (connection.State == LiveState.Closed
            && connection.TagCount == 0
            && _connections[connection.Index] == connection)
        {
            _connections[connection.Index] = null;
            _connectionCount--;
            _report(new EngineReport(EngineReportKind.Gone, connection));
        }
    }

    private bool OnTick(long nowTicks)
    {
        _nowTicks = nowTicks;
        Counters.Set(NetCounter.AllocatedBytes, GC.GetAllocatedBytesForCurrentThread());
        for (int i = 0; i < _connections.Length; i++)
        {
            if (_connections[i] is { } connection)
            {
                Tick(connection);
            }
        }

        return _connectionCount > 0;
    }

    private void Tick(LiveConnection connection)
    {
        if (connection.State >= LiveState.Finishing)
        {
            if (connection.State < LiveState.Ending && NowMs >= connection.DeadlineMs)
            {
                EndByPeer(connection);
            }

            return;
        }

        if (connection.Starved)
        {
            // Nothing is read from it, so its silence is ours.
            connection.Timers.Received(NowMs);
        }

        switch (connection.Timers.Tick(NowMs))
        {
            case LivenessAction.SendPing:
                connection.PingDue = true;
                MarkDirty(connection);
                break;
            case LivenessAction.Dead:
                Counters.Add(NetCounter.Dead);
                EndByPeer(connection, RefusalCode.Timeout);
                break;
            default:
                break;
        }
    }
}
