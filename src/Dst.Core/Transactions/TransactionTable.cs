using Dst.Core.Requests;
using Dst.Core.Volumes;

namespace Dst.Core.Transactions;

/// <summary>What became of a request that was begun.</summary>
/// <param name="LegCount">Legs to carry out; 0 when the request is final already and its tag free again.</param>
/// <param name="Status">The final status when there are no legs, otherwise <see cref="DstStatus.Ok"/>.</param>
public readonly record struct BeginResult(int LegCount, DstStatus Status)
{
    /// <summary>True when there is nothing to wait for.</summary>
    public bool IsFinal => LegCount == 0;
}

/// <summary>
/// The transactions of one queue, indexed by tag. A transaction begins with its request and is final when every leg is
/// (first error wins, the others are awaited all the same); only then its tag may begin again. Owned by the queue's
/// thread; nobody else calls anything here. Allocates nothing after construction. A leg completed twice, a completion
/// for a free tag and a tag begun twice end the process.
/// </summary>
public sealed class TransactionTable
{
    private readonly VolumeMap _map;
    private readonly FlushLedger _ledger;
    private readonly int _queueIndex;
    private readonly bool _readOnly;
    private readonly int _legsPerTag;
    private readonly Slot[] _slots;
    private readonly Leg[] _legs;
    private readonly long[] _captured; // of a flush: what each leg's node had completed when it began
    private ulong _generation;

    /// <summary>A table with every tag free.</summary>
    /// <param name="map">The volume.</param>
    /// <param name="ledger">The volume's flush ledger, shared by all queues.</param>
    /// <param name="queueIndex">The owner's queue.</param>
    /// <param name="depthTags">Tags, 1 to <see cref="VolumeLimits.DepthTagsMax"/>.</param>
    /// <param name="readOnly">Every change is refused (C-12).</param>
    public TransactionTable(VolumeMap map, FlushLedger ledger, int queueIndex, int depthTags, bool readOnly = false)
    {
        Must.Be(ledger.NodeCount == map.NodeCount, $"ledger of {ledger.NodeCount} nodes, map of {map.NodeCount}");
        Must.Be((uint)queueIndex < (uint)ledger.QueueCount, $"queue {queueIndex} of {ledger.QueueCount}");
        Must.Be(depthTags is >= 1 and <= VolumeLimits.DepthTagsMax, $"{depthTags} tags");
        _map = map;
        _ledger = ledger;
        _queueIndex = queueIndex;
        _readOnly = readOnly;
        _legsPerTag = int.Max(VolumeLimits.RangeLegsMax, map.NodeCount);
        Must.Be(_legsPerTag <= 64, "the legs of a transaction are the bits of one word");
        _slots = new Slot[depthTags];
        _legs = new Leg[depthTags * _legsPerTag];
        _captured = new long[depthTags * _legsPerTag];
    }

    /// <summary>Tags of this table.</summary>
    public int DepthTags => _slots.Length;

    /// <summary>Transactions that have begun and are not final.</summary>
    public int InFlightCount { get; private set; }

    /// <summary>
    /// Begins a request under a free tag. It is refused with a status, and the tag stays free, when it is empty, not
    /// aligned, too long, beyond the end or a change of a read-only volume.
    /// </summary>
    /// <param name="tag">0 to <see cref="DepthTags"/> - 1; must be free.</param>
    /// <param name="request">What the frontend asks for.</param>
    public BeginResult Begin(int tag, in Request request)
    {
        ref Slot slot = ref SlotAt(tag);
        Must.Be(
            slot.PendingLegs == 0,
            $"queue {_queueIndex} tag {tag} begins {request} while {slot.Request} is in flight, "
            + $"pending {slot.PendingLegs:x}");

        // Each use of a tag has a number of its own, so that a late answer to an earlier use is known as such (U-06).
        slot.Generation = ++_generation;
        slot.Request = request;
        slot.Status = DstStatus.Ok;
        slot.LegCount = 0;

        DstStatus refusal = Validate(in request);
        if (refusal != DstStatus.Ok)
        {
            return new BeginResult(0, refusal);
        }

        int legCount = request.Operation == Operation.Flush ? FillFlushLegs(tag) : FillRangeLegs(tag, in request);
        if (legCount > 0)
        {
            slot.LegCount = legCount;
            slot.PendingLegs = ulong.MaxValue >> (64 - legCount);
            InFlightCount++;
        }

        return new BeginResult(legCount, DstStatus.Ok);
    }

    /// <summary>A leg of the tag's latest request.</summary>
    /// <param name="tag">The tag.</param>
    /// <param name="legIndex">0 to the leg count of <see cref="Begin"/> - 1.</param>
    public ref readonly Leg LegAt(int tag, int legIndex)
    {
        ref Slot slot = ref SlotAt(tag);
        Must.Be(
            (uint)legIndex < (uint)slot.LegCount,
            $"queue {_queueIndex} tag {tag} leg {legIndex} of {slot.LegCount}");
        return ref _legs[tag * _legsPerTag + legIndex];
    }

    /// <summary>The tag's latest request, also after it is final, until the tag begins again.</summary>
    /// <param name="tag">The tag.</param>
    public ref readonly Request RequestAt(int tag) => ref SlotAt(tag).Request;

    /// <summary>
    /// Number of the tag's latest use: greater than that of every earlier use of any tag here; 0 before the first
    /// (U-06).
    /// </summary>
    /// <param name="tag">The tag.</param>
    public ulong GenerationAt(int tag) => SlotAt(tag).Generation;

    /// <summary>True when the tag has a transaction that is not final.</summary>
    /// <param name="tag">The tag.</param>
    public bool IsInFlight(int tag) => SlotAt(tag).PendingLegs != 0;

    /// <summary>True when the leg is still awaited.</summary>
    /// <param name="tag">The tag.</param>
    /// <param name="legIndex">The leg; false beyond the tag's legs.</param>
    public bool IsLegPending(int tag, int legIndex) =>
        (uint)legIndex < 64 && (SlotAt(tag).PendingLegs & (1UL << legIndex)) != 0;

    /// <summary>
    /// A leg is final. Changes are counted in the ledger here, before anybody can tell the frontend (C-02).
    /// </summary>
    /// <param name="tag">The tag.</param>
    /// <param name="legIndex">The leg; must be pending.</param>
    /// <param name="status">How it ended; Ok means in full length (C-11).</param>
    /// <param name="final">The request's status when this was its last leg: the first error, or Ok.</param>
    /// <returns>True when this was the last leg; the tag is free then.</returns>
    public bool LegDone(int tag, int legIndex, DstStatus status, out DstStatus final)
    {
        ref Slot slot = ref SlotAt(tag);
        Must.Be(
            IsLegPending(tag, legIndex),
            $"queue {_queueIndex} tag {tag} leg {legIndex} done with {status} but not pending; {slot.Request}, "
            + $"generation {slot.Generation}, {slot.LegCount} legs, pending {slot.PendingLegs:x}");

        Account(tag, legIndex, in slot.Request, status);
        if (slot.Status == DstStatus.Ok)
        {
            slot.Status = status;
        }

        slot.PendingLegs &= ~(1UL << legIndex);
        final = slot.Status;
        if (slot.PendingLegs != 0)
        {
            return false;
        }

        InFlightCount--;
        return true;
    }

    /// <summary>Numbers of pending legs as bits, bit 0 for leg 0.</summary>
    /// <param name="tag">The tag.</param>
    public ulong PendingLegs(int tag) => SlotAt(tag).PendingLegs;

    private ref Slot SlotAt(int tag)
    {
        Must.Be((uint)tag < (uint)_slots.Length, $"queue {_queueIndex} tag {tag} of {_slots.Length}");
        return ref _slots[tag];
    }

    private DstStatus Validate(in Request request)
    {
        switch (request.Operation)
        {
            case Operation.Flush:
                return DstStatus.Ok;
            case Operation.Read:
                return IsRange(in request, _map.MaxRequestBytes) ? DstStatus.Ok : DstStatus.Invalid;
            case Operation.Write:
                return ValidateChange(in request, _map.MaxRequestBytes);
            case Operation.Discard:
            case Operation.WriteZeroes:
                return ValidateChange(in request, _map.MaxChangeBytes);
            default:
                return DstStatus.NotSupported;
        }
    }

    private DstStatus ValidateChange(in Request request, long limitBytes)
    {
        if (_readOnly)
        {
            return DstStatus.ReadOnly;
        }

        return IsRange(in request, limitBytes) ? DstStatus.Ok : DstStatus.Invalid;
    }

    /// <summary>True for whole blocks inside the volume, at least one and at most the limit (C-13).</summary>
    private bool IsRange(in Request request, long limitBytes)
    {
        long blockMask = _map.BlockSizeBytes - 1;
        return request.OffsetBytes >= 0
            && request.LengthBytes > 0
            && request.LengthBytes <= limitBytes
            && ((request.OffsetBytes | request.LengthBytes) & blockMask) == 0
            && request.OffsetBytes <= _map.SizeBytes - request.LengthBytes;
    }

    private int FillRangeLegs(int tag, in Request request)
    {
        Span<Leg> legs = _legs.AsSpan(tag * _legsPerTag, _legsPerTag);
        int legCount = _map.Split(request.OffsetBytes, request.LengthBytes, legs);
        for (int i = 0; i < legCount; i++)
        {
            legs[i].Flags = request.Flags;
        }

        return legCount;
    }

    /// <summary>
    /// One leg for each node that is not clean; a clean one, even if it is down, does not hold a flush up (C-02).
    /// </summary>
    private int FillFlushLegs(int tag)
    {
        int first = tag * _legsPerTag;
        int legCount = 0;
        for (int node = 0; node < _map.NodeCount; node++)
        {
            bool leftOut = legCount > 0 && Mutations.Has(Mutation.FlushOneNode);
            if (!leftOut && _ledger.TryCapture(node, out long captured))
            {
                _captured[first + legCount] = captured;
                _legs[first + legCount] = new Leg { NodeIndex = node };
                legCount++;
            }
        }

        return legCount;
    }

    private void Account(int tag, int legIndex, in Request request, DstStatus status)
    {
        int index = tag * _legsPerTag + legIndex;
        int node = _legs[index].NodeIndex;
        if (request.Operation == Operation.Flush)
        {
            if (status == DstStatus.Ok)
            {
                _ledger.FlushSucceeded(node, _captured[index]);
            }
        }
        else if (request.IsChange && !IsDurableByItself(in request, status))
        {
            // Counted on failure too: part of it may have reached the node.
            _ledger.ChangeCompleted(_queueIndex, node);
        }
    }

    /// <summary>True for a write that the node has already made durable (C-04).</summary>
    private static bool IsDurableByItself(in Request request, DstStatus status) =>
        status == DstStatus.Ok
        && request.Operation == Operation.Write
        && (request.Flags & RequestFlags.Fua) != RequestFlags.None;

    private struct Slot
    {
        internal Request Request;
        internal ulong Generation;
        internal ulong PendingLegs;
        internal int LegCount;
        internal DstStatus Status;
    }
}
