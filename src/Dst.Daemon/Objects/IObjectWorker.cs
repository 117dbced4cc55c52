using Dst.Daemon.Store;

namespace Dst.Daemon.Objects;

/// <summary>What <see cref="ObjectTable{TWorker, TRecord}"/> needs of a worker.</summary>
internal interface IObjectWorker<TRecord>
    where TRecord : class
{
    /// <summary>Name of the object.</summary>
    string Name { get; }

    /// <summary>One of <see cref="ObjectState"/>.</summary>
    string State { get; }

    /// <summary>The creation or the restore, which outlives the call that began it.</summary>
    Task Work { get; }

    /// <summary>Begins adoption or restore from what was found, tried again for as long as it takes.</summary>
    void Restore(StoredRecord<TRecord> stored);
}
