using System.Runtime.InteropServices;
using Dst.Core.Requests;
using Dst.Simulation.Disks;
using Dst.Simulation.Engine;
using Dst.Simulation.Plans;

namespace Dst.Simulation.Clients;

/// <summary>
/// One block device as the kernel has it, and who uses it: tags that are used again at once, a flush machine for each
/// queue, requests that a dead target's successor gets once more. It knows what every block may hold and judges every
/// answer.
/// </summary>
internal sealed class Kernel : Actor
{
    private const int Next = 0;
    private const int Base = 4096;

    private readonly Host _host;
    private readonly Plan _plan;
    private readonly Tag[] _tags;
    private readonly Flushing[] _flushing;
    private readonly Chance _chance;
    private readonly int _bufferBytes;
    private Target? _target;
    private ulong _writes;
    private bool _gone;

    /// <summary>A device without requests.</summary>
    public Kernel(World world, Host host, int id)
        : base(world, null)
    {
        _host = host;
        _plan = world.Plan;
        Id = id;
        _chance = new Chance(world.Seed, 10_000 + (ulong)id);
        _bufferBytes = _plan.RequestBlocks * Plan.BlockBytes;
        _tags = new Tag[_plan.Queues * _plan.Depth];
        _flushing = new Flushing[_plan.Queues];
        Memory = new byte[Base + (_tags.Length * _bufferBytes)];
        for (int i = 0; i < _flushing.Length; i++)
        {
            _flushing[i] = new Flushing();
        }

        _writes = (ulong)id << 30;
        IsBusy = !world.IsEnding;
    }

    /// <summary>Number of the device's life.</summary>
    public new int Id { get; }

    /// <summary>Data of all tags.</summary>
    public byte[] Memory { get; }

    /// <summary>Requests that were not answered.</summary>
    public int InFlight { get; private set; }

    /// <summary>New requests come.</summary>
    public bool IsBusy { get; set; }

    /// <summary>How the last request ended.</summary>
    public DstStatus LastStatus { get; private set; }

    private int TotalBlocks => _plan.NodeBlocks * _host.Servers.Length;

    /// <summary>Step at which the oldest read began that is not answered.</summary>
    public long OldestRead()
    {
        long oldest = long.MaxValue;
        foreach (ref readonly Tag tag in _tags.AsSpan())
        {
            if (tag.InUse && tag.Request.Operation == Operation.Read)
            {
                oldest = long.Min(oldest, tag.Begun);
            }
        }

        return oldest;
    }

    /// <summary>Requests begin to come.</summary>
    public void Start()
    {
        for (int i = 0; i < _plan.Queues; i++)
        {
            Post(_chance.Wait(_plan.ThinkUs), Next, i);
        }
    }

    /// <summary>A target serves the device now: it gets every request that is not answered.</summary>
    public void Attach(Target target)
    {
        _target = target;
        for (int i = 0; i < _tags.Length; i++)
        {
            if (_tags[i].InUse)
            {
                target.Deliver(i / _plan.Depth, i % _plan.Depth);
            }
        }
    }

    /// <summary>The device is gone: nobody waits for its requests, nobody counts on what no flush covered.</summary>
    public void Vanish()
    {
        if (_gone)
        {
            return;
        }

        _gone = true;
        IsBusy = false;
        InFlight = 0;
        foreach (SimServerNode node in _host.DiskNodes)
        {
            node.Disk.History.Abandon(Id);
        }
    }

    /// <summary>What the tag asks for.</summary>
    public Request RequestAt(int queue, int tag) => _tags[queue * _plan.Depth + tag].Request;

    /// <summary>Where its data is.</summary>
    public nint BufferAt(int queue, int tag) => Base + ((queue * _plan.Depth + tag) * _bufferBytes);

    /// <summary>A request is answered, once (invariant 4).</summary>
    public void Complete(Target target, int queue, int number, DstStatus status)
    {
        ref Tag tag = ref _tags[queue * _plan.Depth + number];
        if (_gone)
        {
            return;
        }

        World.Check(target == _target, $"{target.Name} answers tag {number} of a device that another target serves");
        World.Check(tag.InUse, $"{target.Name} queue {queue} tag {number} is answered twice");
        nint buffer = BufferAt(queue, number);
        World.Check(
            !target.Holds(buffer, _bufferBytes),
            $"{target.Name} queue {queue} tag {number} is answered while RX or TX has its buffer");
        World.Note(
            $"kernel {Id} queue {queue} tag {number}: {tag.Request.Operation} "
            + $"{tag.Request.OffsetBytes / 512}+{tag.Request.LengthBytes / 512} {status}");
        World.Mark(((ulong)status << 32) + (ulong)number);
        tag.InUse = false;
        InFlight--;
        LastStatus = status;
        bool isRefusal = _host.IsReader && tag.Request.IsChange && status == DstStatus.ReadOnly;
        if (!isRefusal)
        {
            _host.OnStatus(in tag.Request, status, World.NowUs - tag.SinceUs);
        }

        switch (tag.Request.Operation)
        {
            case Operation.Read when status == DstStatus.Ok:
                CheckRead(in tag, buffer);
                break;
            case Operation.Read:
                break;
            case Operation.Flush:
                EndFlush(queue, in tag, status);
                break;
            case var change when _host.IsReader:
                World.Check(status != DstStatus.Ok, $"{target.Name} only reads, and its {change} ended well (C-12)");
                break;
            default:
                EndChange(in tag, target, status);
                break;
        }
    }

    /// <summary>Gives the device one request, if a tag is free.</summary>
    /// <returns>False when none is.</returns>
    public bool TrySubmit(int queue, Operation operation, int block, int count, bool fua)
    {
        int number = FreeTag(queue);
        if (number < 0 || _gone)
        {
            return false;
        }

        if (operation is not (Operation.Read or Operation.Flush) && !_host.IsReader && IsFull(block, count))
        {
            return TrySubmit(queue, Operation.Flush, 0, 0, fua: false);
        }

        ref Tag tag = ref _tags[queue * _plan.Depth + number];
        bool flush = operation == Operation.Flush;
        bool change = operation is not (Operation.Read or Operation.Flush);
        RequestFlags flags = fua && change ? RequestFlags.Fua : RequestFlags.None;
        long offsetBytes = flush ? 0 : (long)block * Plan.BlockBytes;
        long lengthBytes = flush ? 0 : (long)count * Plan.BlockBytes;
        tag = new Tag
        {
            InUse = true,
            Begun = World.Steps,
            SinceUs = World.NowUs,
            Request = new Request(operation, flags, offsetBytes, lengthBytes),
        };
        InFlight++;
        Prepare(ref tag, BufferAt(queue, number), block, count);
        World.Note(
            $"kernel {Id} queue {queue} tag {number} begins {operation}{(fua ? " FUA" : "")} "
            + $"{block}+{count} as write {_writes}");
        if (_target is { Process.Alive: true })
        {
            _target.Deliver(queue, number);
        }

        return true;
    }

    /// <summary>A FLUSH; while one of the queue is running it waits for the next.</summary>
    public void Flush(int queue)
    {
        _flushing[queue].Wanted++;
        StartFlush(queue);
    }

    /// <inheritdoc/>
    public override void On(int kind, long a, long b)
    {
        if (_gone)
        {
            return;
        }

        if (IsBusy)
        {
            Invent((int)a);
        }

        Post(1 + _chance.Wait(_plan.ThinkUs), Next, a);
    }

    /// <inheritdoc/>
    public override string Describe(int kind, long a, long b) =>
        $"kernel {Id} queue {a} has work, {InFlight} in flight";

    private void Invent(int queue)
    {
        int kind = _chance.Below(1000);
        int limit = _plan.RequestBlocks;
        int count = 1 + _chance.Below(limit);
        bool hot = _chance.Below(1000) < _plan.HotShare;
        int hotSpot = TotalBlocks == _plan.NodeBlocks ? 8 : _plan.NodeBlocks - 4;
        int block = hot ? hotSpot + _chance.Below(8) : _chance.Below(TotalBlocks);
        block = int.Min(block, TotalBlocks - count);
        bool fua = _chance.Below(1000) < _plan.FuaShare;
        if (_host.IsReader)
        {
            InventForReader(queue, kind, block, count, fua);
        }
        else if (kind < _plan.ReadShare)
        {
            TrySubmit(queue, Operation.Read, block, count, fua: false);
        }
        else if ((kind -= _plan.ReadShare) < _plan.FlushShare)
        {
            Flush(queue);
        }
        else if ((kind -= _plan.FlushShare) < _plan.DiscardShare)
        {
            TrySubmit(queue, Operation.Discard, block, count, fua: false);
        }
        else if (kind - _plan.DiscardShare < _plan.ZeroesShare)
        {
            TrySubmit(queue, Operation.WriteZeroes, block, count, fua);
        }
        else
        {
            TrySubmit(queue, Operation.Write, block, count, fua);

            // A larger request of the file system is split; its rest follows at once.
            int rest = block + count;
            if (_chance.OneIn(16) && rest + limit <= TotalBlocks)
            {
                TrySubmit(queue, Operation.Write, rest, limit, fua);
            }
        }
    }

    /// <summary>A reader tries what it may not, one change at a time: nothing orders them for it.</summary>
    private void InventForReader(int queue, int kind, int block, int count, bool fua)
    {
        if (kind < _plan.FlushShare)
        {
            Flush(queue);
            return;
        }

        Operation operation = (kind % 16) switch
        {
            0 => Operation.Write,
            1 => Operation.WriteZeroes,
            2 => Operation.Discard,
            _ => Operation.Read,
        };
        if (operation == Operation.Read || !HasChange())
        {
            TrySubmit(queue, operation, block, count, fua && operation != Operation.Discard);
        }
    }

    private bool HasChange()
    {
        foreach (ref readonly Tag tag in _tags.AsSpan())
        {
            if (tag.InUse && tag.Request.IsChange)
            {
                return true;
            }
        }

        return false;
    }

    private void StartFlush(int queue)
    {
        Flushing flushing = _flushing[queue];
        if (!flushing.Running && flushing.Wanted > 0 && TrySubmit(queue, Operation.Flush, 0, 0, fua: false))
        {
            flushing.Running = true;
            flushing.Wanted = 0;
        }
    }

    private void EndFlush(int queue, in Tag tag, DstStatus status)
    {
        if (status == DstStatus.Ok)
        {
            foreach (SimServerNode node in _host.DiskNodes)
            {
                node.Disk.History.OnFlushOk(Id, tag.Begun);
            }
        }

        _flushing[queue].Running = false;
        StartFlush(queue);
    }

    private void Prepare(ref Tag tag, nint buffer, int block, int count)
    {
        Operation operation = tag.Request.Operation;
        if (operation == Operation.Read)
        {
            // So that an answer without data is seen.
            MemoryMarshal.Cast<byte, ulong>(Memory.AsSpan((int)buffer, count * Plan.BlockBytes)).Fill(ulong.MaxValue);
        }

        if (!tag.Request.IsChange)
        {
            return;
        }

        ulong write = operation == Operation.Write ? ++_writes : 0;
        for (int i = 0; i < count; i++)
        {
            SimServerNode node = NodeOf(block + i, out int at);
            ulong value = operation == Operation.Write ? (write << 20) | (uint)(block + i) : 0;
            if (operation == Operation.Write)
            {
                Span<byte> data = Memory.AsSpan((int)buffer + (i * Plan.BlockBytes), Plan.BlockBytes);
                MemoryMarshal.Cast<byte, ulong>(data).Fill(value);
            }

            if (!_host.IsReader)
            {
                node.Disk.History.Begin(at, value, operation == Operation.Discard, _host.WriterOf(node.Index));
            }
        }
    }

    private void EndChange(in Tag tag, Target target, DstStatus status)
    {
        bool good = status == DstStatus.Ok;
        bool fua = (tag.Request.Flags & RequestFlags.Fua) != RequestFlags.None;
        bool durable = fua || _plan.Cache == Core.Wire.CacheMode.WriteThrough;
        int first = (int)(tag.Request.OffsetBytes / Plan.BlockBytes);
        int count = (int)(tag.Request.LengthBytes / Plan.BlockBytes);
        for (int i = 0; i < count; i++)
        {
            SimServerNode node = NodeOf(first + i, out int at);
            node.Disk.History.End(at, tag.Begun, good, durable, target.Nodes[node.Index].Writer);
        }
    }

    private void CheckRead(in Tag tag, nint buffer)
    {
        int first = (int)(tag.Request.OffsetBytes / Plan.BlockBytes);
        int count = (int)(tag.Request.LengthBytes / Plan.BlockBytes);
        for (int i = 0; i < count; i++)
        {
            SimServerNode node = NodeOf(first + i, out int at);
            ReadOnlySpan<ulong> words = MemoryMarshal.Cast<byte, ulong>(
                Memory.AsSpan((int)buffer + (i * Plan.BlockBytes), Plan.BlockBytes));
            ulong value = words[0];
            World.Check(!words.ContainsAnyExcept(value), $"block {first + i}: a read returned a mix of two blocks");
            node.Disk.History.CheckRead(at, value, tag.Begun, _host.IsReader);
        }
    }

    private bool IsFull(int block, int count)
    {
        for (int i = 0; i < count; i++)
        {
            if (NodeOf(block + i, out int at).Disk.History.IsFull(at))
            {
                return true;
            }
        }

        return false;
    }

    private SimServerNode NodeOf(int block, out int at)
    {
        int node = block / _plan.NodeBlocks;
        at = block % _plan.NodeBlocks;
        return _host.DiskNodes[node];
    }

    private int FreeTag(int queue)
    {
        for (int i = 0; i < _plan.Depth; i++)
        {
            if (!_tags[queue * _plan.Depth + i].InUse)
            {
                return i;
            }
        }

        return -1;
    }

    private sealed class Flushing
    {
        public int Wanted { get; set; }

        public bool Running { get; set; }
    }

    private struct Tag
    {
        internal bool InUse;
        internal long Begun;
        internal long SinceUs;
        internal Request Request;
    }
}

/// <summary>The disk behind a node, as the checks of a client reach it.</summary>
internal sealed record SimServerNode(int Index, SimDisk Disk);
