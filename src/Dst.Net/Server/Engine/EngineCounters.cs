namespace Dst.Net.Server.Engine;

/// <summary>What an engine thread counts beside the engine's own counters of requests.</summary>
public enum NetCounter
{
    /// <summary>Bytes received.</summary>
    BytesReceived,

    /// <summary>Bytes sent.</summary>
    BytesSent,

    /// <summary>Receives that ended.</summary>
    Receives,

    /// <summary>Sends that ended.</summary>
    Sends,

    /// <summary>Frames that were malformed, out of order or beyond the grant (S-14).</summary>
    BadFrames,

    /// <summary>Writes whose data did not match their checksums (S-33).</summary>
    BadChecksums,

    /// <summary>Requests answered without the disk: done before, refused, or dropped (S-10).</summary>
    AnsweredWithoutDisk,

    /// <summary>Times that a connection was not read because memory or tags were used up (S-31).</summary>
    Starved,

    /// <summary>Connections that were silent or took nothing for too long (S-30).</summary>
    Dead,

    /// <summary>Managed bytes that the thread allocated; stands still while only requests come. Brought up to date with each tick.</summary>
    AllocatedBytes,
}

/// <summary>Counts of one engine thread: it alone writes, any thread reads each value whole.</summary>
public sealed class EngineCounters
{
    // 128 bytes on each side keep two owners' arrays off one another's cache lines.
    private const int PadLongs = 16;

    /// <summary>Number of counters.</summary>
    public const int Count = (int)NetCounter.AllocatedBytes + 1;

    private readonly long[] _values = new long[PadLongs + Count + PadLongs];

    /// <summary>A count so far. Any thread.</summary>
    public long this[NetCounter counter] => Volatile.Read(ref _values[PadLongs + (int)counter]);

    /// <summary>Adds to a count. Engine thread.</summary>
    internal void Add(NetCounter counter, long amount = 1)
    {
        ref long value = ref _values[PadLongs + (int)counter];
        Volatile.Write(ref value, value + amount);
    }

    /// <summary>Sets a count. Engine thread.</summary>
    internal void Set(NetCounter counter, long value) => Volatile.Write(ref _values[PadLongs + (int)counter], value);
}
