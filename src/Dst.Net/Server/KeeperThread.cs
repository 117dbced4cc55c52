using System.Collections.Concurrent;

namespace Dst.Net.Server;

/// <summary>
/// The thread of everything that waits for the server's own disk: hold records (S-03) and error marks (S-24). One job at a time, in the order they came.
/// Results go back to the session thread as it asks.
/// </summary>
internal sealed class KeeperThread : IDisposable
{
    private readonly BlockingCollection<Action> _jobs = new();
    private readonly Thread _thread;

    /// <summary>Starts the thread.</summary>
    public KeeperThread()
    {
        _thread = new Thread(Run, 256 * 1024) { Name = "dst-holds", IsBackground = true };
        _thread.Start();
    }

    /// <summary>Adds a job; it must not throw. Any thread. Each export has one record under way at most, so the list is bounded.</summary>
    public void Do(Action job) => _jobs.Add(job);

    /// <summary>Finishes what was asked for, then ends.</summary>
    public void Dispose()
    {
        _jobs.CompleteAdding();
        _thread.Join();
        _jobs.Dispose();
    }

    private void Run()
    {
        foreach (Action job in _jobs.GetConsumingEnumerable())
        {
            job();
        }
    }
}
