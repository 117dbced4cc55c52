using System.Collections.Concurrent;
using Dst.Core.Sessions;
using Dst.Net.Server;

namespace Dst.Net.Tests;

/// <summary>Hold records that outlive a server of the test, without a disk to wait for.</summary>
internal sealed class MemoryHolds : IHoldStore
{
    private readonly ConcurrentDictionary<string, HoldRecord> _records = new(StringComparer.Ordinal);

    public string? Read(string export, out HoldRecord record)
    {
        record = _records.GetValueOrDefault(export);
        return null;
    }

    public int Write(string export, in HoldRecord record)
    {
        _records[export] = record;
        return 0;
    }

    public void Delete(string export) => _records.TryRemove(export, out _);
}
