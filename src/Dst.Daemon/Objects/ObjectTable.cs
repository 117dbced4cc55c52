using Dst.Control;
using Dst.Daemon.Logging;
using Dst.Daemon.Store;

namespace Dst.Daemon.Objects;

/// <summary>All objects of one kind, by name. Any thread; no call waits for an object.</summary>
/// <param name="kind">Of what, as in <see cref="NameSpace"/>.</param>
/// <param name="names">The names that all kinds share.</param>
/// <param name="store">The records.</param>
/// <param name="log">The log.</param>
internal sealed class ObjectTable<TWorker, TRecord>(
    string kind, NameSpace names, RecordStore<TRecord> store, ILogger log) : IDisposable
    where TWorker : class, IObjectWorker<TRecord>
    where TRecord : class
{
    private readonly CancellationTokenSource _lifetime = new();
    private readonly Lock _lock = new();
    private readonly SortedDictionary<string, TWorker> _workers = new(StringComparer.Ordinal);

    /// <summary>Ends with the daemon.</summary>
    public CancellationToken Lifetime => _lifetime.Token;

    /// <summary>There is none.</summary>
    public bool IsEmpty
    {
        get
        {
            lock (_lock)
            {
                return _workers.Count == 0;
            }
        }
    }

    /// <summary>All there are now.</summary>
    public TWorker[] All
    {
        get
        {
            lock (_lock)
            {
                return [.. _workers.Values];
            }
        }
    }

    /// <summary>
    /// Adopts, restores, rolls back or ends whatever earlier daemons left, each object by itself (D-02, D-03).
    /// </summary>
    /// <param name="orphans">Names that show objects without a record: it is lost, or these are leftovers.</param>
    /// <param name="make">Makes a worker that does nothing yet.</param>
    public void Restore(IEnumerable<string> orphans, Func<StoredRecord<TRecord>, TWorker> make)
    {
        List<(TWorker Worker, StoredRecord<TRecord> Stored)> found = [];
        lock (_lock)
        {
            IEnumerable<StoredRecord<TRecord>> all = store.LoadAll(log.RecordProblem)
                .Concat(orphans.Select(name => new StoredRecord<TRecord>(name, null, null, null, false)));
            foreach (StoredRecord<TRecord> stored in all.DistinctBy(each => each.Name, StringComparer.Ordinal))
            {
                TWorker worker = make(stored);
                _ = names.TryClaim(stored.Name, kind, out _);
                _workers.Add(stored.Name, worker);
                found.Add((worker, stored));
            }
        }

        foreach ((TWorker worker, StoredRecord<TRecord> stored) in found)
        {
            if ((stored.Problem ?? stored.Warning) is { } text)
            {
                log.RecordProblem(store.PathOf(stored.Name), text);
            }

            worker.Restore(stored);
        }
    }

    /// <summary>Adds an object.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="make">Makes its worker and begins its creation; gets those that there are, adds none.</param>
    /// <exception cref="ControlException">The name is taken, the daemon stops, or what <paramref name="make"/> says.
    /// </exception>
    public TWorker Add(string name, Func<IReadOnlyCollection<TWorker>, TWorker> make)
    {
        lock (_lock)
        {
            if (_lifetime.IsCancellationRequested)
            {
                throw new ControlException(ControlErrorCode.Failure, "dstd is stopping");
            }

            if (_workers.TryGetValue(name, out TWorker? same))
            {
                throw new ControlException(
                    ControlErrorCode.Busy, $"{kind} {name} exists already; it is {same.State}");
            }

            if (!names.TryClaim(name, kind, out string? other))
            {
                throw new ControlException(
                    ControlErrorCode.Busy, $"{other} {name} exists already; devices and exports share names");
            }

            try
            {
                TWorker worker = make(_workers.Values);
                _workers.Add(name, worker);
                return worker;
            }
            catch
            {
                names.Free(name, kind);
                throw;
            }
        }
    }

    /// <summary>Waits for a creation.</summary>
    /// <param name="worker">The object.</param>
    /// <param name="timeout">How long; creation goes on after that, as it does when the caller leaves.</param>
    /// <exception cref="ControlException">Why it is not live.</exception>
    public async Task WaitAsync(TWorker worker, TimeSpan timeout)
    {
        try
        {
            await worker.Work.WaitAsync(timeout);
        }
        catch (TimeoutException)
        {
            throw new ControlException(
                ControlErrorCode.TimedOut,
                $"{kind} {worker.Name} is not live after {timeout.TotalSeconds:0.#} s; "
                + $"its creation goes on, see dstctl status {worker.Name}");
        }
    }

    /// <summary>The object of that name.</summary>
    /// <exception cref="ControlException">There is none.</exception>
    public TWorker Find(string name) =>
        TryFind(name)
        ?? throw new ControlException(ControlErrorCode.NotFound, $"no {kind} named '{name}'; see dstctl list");

    /// <summary>The object of that name; null when there is none.</summary>
    public TWorker? TryFind(string name)
    {
        lock (_lock)
        {
            return _workers.GetValueOrDefault(name);
        }
    }

    /// <summary>Takes out an object that exists no more.</summary>
    public void Drop(string name)
    {
        lock (_lock)
        {
            if (_workers.Remove(name))
            {
                names.Free(name, kind);
            }
        }
    }

    /// <summary>Gives up what is not live yet and leaves everything else as it runs.</summary>
    public void BeginStop() => _lifetime.Cancel();

    /// <summary>Waits for what was given up to be undone.</summary>
    /// <param name="limit">How long at most.</param>
    /// <returns>All objects.</returns>
    public async Task<TWorker[]> StopAsync(TimeSpan limit)
    {
        await _lifetime.CancelAsync();
        TWorker[] workers = All;
        await Task.WhenAny(Task.WhenAll(workers.Select(worker => worker.Work)), Task.Delay(limit));
        return workers;
    }

    /// <inheritdoc/>
    public void Dispose() => _lifetime.Dispose();
}
