using System.Numerics;
using System.Runtime.InteropServices;
using Dst.Core.Requests;
using Dst.Core.Wire;

namespace Dst.Core.Sessions.Client;

/// <summary>What RX does with a reply after its header was read.</summary>
public enum ReplyVerdict : byte
{
    /// <summary>
    /// The slot is claimed: place the body where the target says, then finish the slot or let go of it.
    /// </summary>
    Take,

    /// <summary>Nobody waits for it (double, or given up): read its body into nothing and go on (S-14).</summary>
    Drain,

    /// <summary>It is no answer to anything that was asked: end the connection (S-14, N-35).</summary>
    Break,
}

/// <summary>What a claimed reply is for.</summary>
/// <param name="Slot">The lane's slot.</param>
/// <param name="Buffer">Where the data of a read goes.</param>
/// <param name="DataBytes">Length of that data; 0 when the reply carries none.</param>
public readonly record struct ReplyTarget(int Slot, nint Buffer, int DataBytes);

/// <summary>A finished reply as the lane gets it.</summary>
/// <param name="Slot">The lane's slot.</param>
/// <param name="Sequence">Its sequence.</param>
/// <param name="Status">The server's status.</param>
/// <param name="DataGood">False when the data did not match its checksums (S-33).</param>
/// <param name="BootId">Of a flush: the server's boot id (S-20).</param>
/// <param name="Generation">Of a flush: the write-error generation.</param>
public readonly record struct FinishedReply(
    int Slot, ulong Sequence, DstStatus Status, bool DataGood, ulong BootId, ulong Generation);

/// <summary>
/// The border between a lane and the RX thread of its connection. The lane says which slots wait and for what; RX
/// claims a slot before it places a byte, and gives it back through a bounded ring. A slot that was abandoned cannot be
/// claimed, and one that is claimed cannot be abandoned before RX has let go of it, so no late byte reaches the buffer
/// of another request (S-13, S-14, N-07). Lock-free, allocates nothing after construction.
/// </summary>
/// <remarks>
/// Queue thread: Publish, Republish, TryAbandon, TryTake. RX thread: Claim, Finish, LetGo. A slot's word holds its
/// sequence and one of four phases. Fields are written before the word says "waiting" (release) and read after it was
/// seen to say so (acquire); sequences of a slot only grow, so an unchanged word at the claim means unchanged fields.
/// </remarks>
public sealed class ReplySlots
{
    private const ulong PhaseMask = 3;
    private const ulong Free = 0;
    private const ulong Waiting = 1;
    private const ulong Claimed = 2;
    private const ulong Finished = 3;
    private const int PhaseBits = 2;
    private const int PadLongs = 16;
    private const int HeadAt = PadLongs;
    private const int TailAt = 2 * PadLongs;

    private readonly Entry[] _entries;
    private readonly int[] _ring;
    private readonly int _ringMask;
    private readonly long[] _cursors = new long[3 * PadLongs];
    private long _strays;
    private ulong _strayEpoch;
    private int _straysOfEpoch;

    /// <summary>Slots of a lane, all free.</summary>
    /// <param name="slots">1 to <see cref="WireLimits.SlotsMax"/>.</param>
    public ReplySlots(int slots)
    {
        Must.Be(slots is >= 1 and <= WireLimits.SlotsMax, $"{slots} slots");
        _entries = new Entry[slots];
        _ring = new int[BitOperations.RoundUpToPowerOf2((uint)slots)];
        _ringMask = _ring.Length - 1;
    }

    /// <summary>Slots.</summary>
    public int Count => _entries.Length;

    /// <summary>Replies so far that nobody waited for. Any thread.</summary>
    public long StrayCount => Volatile.Read(ref _strays);

    /// <summary>True when finished replies wait for the lane. Any thread; RX wakes the lane once for a batch.</summary>
    public bool HasFinished => Volatile.Read(ref _cursors[TailAt]) != Volatile.Read(ref _cursors[HeadAt]);

    /// <summary>
    /// Queue thread, before the request is sent: replies to this id may come now. The slot's last sequence is taken
    /// once more only for a reply that was taken and has to come again, under the next epoch.
    /// </summary>
    /// <param name="slot">A free slot.</param>
    /// <param name="request">What was asked; compared with the reply field by field (N-35).</param>
    public void Publish(int slot, in WaitingReply request)
    {
        ref Entry entry = ref EntryAt(slot);
        ulong word = Volatile.Read(ref entry.Word);
        Must.Be(
            (word & PhaseMask) == Free && request.Sequence != 0 && request.Sequence >= word >> PhaseBits,
            $"slot {slot} of word {word:x} published with sequence {request.Sequence}");
        entry.Request = request;
        Volatile.Write(ref entry.Word, (request.Sequence << PhaseBits) | Waiting);
    }

    /// <summary>
    /// Queue thread, while RX has let go of the connection: the same id waits on under a new epoch (S-12).
    /// </summary>
    /// <param name="slot">A waiting slot.</param>
    /// <param name="epoch">The new epoch.</param>
    public void Republish(int slot, ulong epoch)
    {
        ref Entry entry = ref EntryAt(slot);
        ulong word = Volatile.Read(ref entry.Word);
        Must.Be((word & PhaseMask) == Waiting, $"slot {slot} of word {word:x} published again");
        entry.Request = entry.Request with { Epoch = epoch };
        Volatile.Write(ref entry.Word, word);
    }

    /// <summary>Queue thread: no reply to the slot's request is wanted any more.</summary>
    /// <param name="slot">Any slot.</param>
    /// <returns>False when RX has claimed it, or has finished it: it must be taken first.</returns>
    public bool TryAbandon(int slot)
    {
        ref Entry entry = ref EntryAt(slot);
        ulong word = Volatile.Read(ref entry.Word);
        if ((word & PhaseMask) == Free)
        {
            return true;
        }

        return (word & PhaseMask) == Waiting
            && Interlocked.CompareExchange(ref entry.Word, (word & ~PhaseMask) | Free, word) == word;
    }

    /// <summary>Queue thread: takes one finished reply; its slot is free then.</summary>
    /// <param name="reply">The reply.</param>
    /// <returns>False when there is none.</returns>
    public bool TryTake(out FinishedReply reply)
    {
        long head = _cursors[HeadAt];
        if (head == Volatile.Read(ref _cursors[TailAt]))
        {
            reply = default;
            return false;
        }

        int slot = _ring[head & _ringMask];
        ref Entry entry = ref EntryAt(slot);
        ulong word = Volatile.Read(ref entry.Word);
        Must.Be((word & PhaseMask) == Finished, $"slot {slot} of word {word:x} in the ring of finished ones");
        reply = new FinishedReply(
            slot, word >> PhaseBits, entry.Status, entry.DataGood, entry.BootId, entry.Generation);
        Volatile.Write(ref entry.Word, (word & ~PhaseMask) | Free);
        Volatile.Write(ref _cursors[HeadAt], head + 1);
        return true;
    }

    /// <summary>
    /// RX thread: matches a reply's header with the waiting slot. Nothing is placed before this says so (S-14).
    /// </summary>
    /// <param name="header">As read; its own checks have passed.</param>
    /// <param name="slot">The header's slot counted from the lane's first.</param>
    /// <param name="epoch">Epoch of RX's connection.</param>
    /// <param name="checksum">Checksum kind of the session.</param>
    /// <param name="target">Where the data goes.</param>
    public ReplyVerdict Claim(
        in FrameHeader header, int slot, ulong epoch, ChecksumKind checksum, out ReplyTarget target)
    {
        target = default;
        if ((uint)slot >= (uint)_entries.Length || header.Epoch != epoch)
        {
            return ReplyVerdict.Break;
        }

        ref Entry entry = ref _entries[slot];
        ulong word = Volatile.Read(ref entry.Word);
        ulong sequence = word >> PhaseBits;
        if (header.Sequence > sequence)
        {
            return ReplyVerdict.Break;
        }

        if (header.Sequence < sequence || (word & PhaseMask) != Waiting)
        {
            return Stray(epoch);
        }

        if (!IsAnswer(in header, in entry.Request, checksum, out int dataBytes))
        {
            return ReplyVerdict.Break;
        }

        nint buffer = entry.Request.Buffer;
        if (Interlocked.CompareExchange(ref entry.Word, (word & ~PhaseMask) | Claimed, word) != word)
        {
            return Stray(epoch);
        }

        target = new ReplyTarget(slot, buffer, dataBytes);
        return ReplyVerdict.Take;
    }

    /// <summary>RX thread: the whole body is in place; the lane gets the slot back.</summary>
    /// <param name="slot">A slot that RX claimed.</param>
    /// <param name="header">The reply's header.</param>
    /// <param name="dataGood">Whether the data matches its checksums (S-33).</param>
    public void Finish(int slot, in FrameHeader header, bool dataGood)
    {
        ref Entry entry = ref EntryAt(slot);
        ulong word = Volatile.Read(ref entry.Word);
        Must.Be((word & PhaseMask) == Claimed, $"slot {slot} of word {word:x} finished but not claimed");
        bool isFlush = header.Operation == Operation.Flush;
        entry.Status = WireStatus.TryFromWire(header.Status, out DstStatus status) ? status : DstStatus.IoError;
        entry.DataGood = dataGood || Mutations.Has(Mutation.ReplyChecksumIgnored);
        entry.BootId = isFlush ? header.OffsetBytes : 0;
        entry.Generation = isFlush ? header.LengthBytes : 0;
        Volatile.Write(ref entry.Word, word | Finished);
        long tail = _cursors[TailAt];
        Must.Be(tail - Volatile.Read(ref _cursors[HeadAt]) < _ring.Length, "ring of finished replies is full");
        _ring[tail & _ringMask] = slot;

        // Release; pairs with the acquire in TryTake.
        Volatile.Write(ref _cursors[TailAt], tail + 1);
    }

    /// <summary>RX thread: its connection ended within the body; the slot waits on, for the next epoch.</summary>
    /// <param name="slot">A slot that RX claimed.</param>
    public void LetGo(int slot)
    {
        ref Entry entry = ref EntryAt(slot);
        ulong word = Volatile.Read(ref entry.Word);
        Must.Be((word & PhaseMask) == Claimed, $"slot {slot} of word {word:x} let go but not claimed");
        Volatile.Write(ref entry.Word, (word & ~PhaseMask) | Waiting);
    }

    /// <summary>
    /// True when a request waits for its reply and RX has not claimed it. Any thread; for checks and tests.
    /// </summary>
    /// <param name="slot">Any slot.</param>
    public bool IsWaiting(int slot) => (Volatile.Read(ref EntryAt(slot).Word) & PhaseMask) == Waiting;

    private static bool IsAnswer(
        in FrameHeader header, in WaitingReply request, ChecksumKind checksum, out int dataBytes)
    {
        dataBytes = 0;
        if (header.Epoch != request.Epoch || header.Operation != request.Operation)
        {
            return false;
        }

        bool sameRange = header.OffsetBytes == (ulong)request.OffsetBytes
            && header.LengthBytes == (ulong)request.LengthBytes;
        if (header.Operation != Operation.Flush && !sameRange)
        {
            return false;
        }

        bool carriesData = header.Operation == Operation.Read && header.Status == 0;
        dataBytes = carriesData ? (int)request.LengthBytes : 0;
        return header.BodyBytes == (uint)DataChecksum.BodyBytes(checksum, dataBytes);
    }

    /// <summary>Bears a few of them in one epoch: a peer that answers twice all the time is broken.</summary>
    private ReplyVerdict Stray(ulong epoch)
    {
        Volatile.Write(ref _strays, _strays + 1);
        _straysOfEpoch = epoch == _strayEpoch ? _straysOfEpoch + 1 : 1;
        _strayEpoch = epoch;
        return _straysOfEpoch > ClientLimits.StrayRepliesMax ? ReplyVerdict.Break : ReplyVerdict.Drain;
    }

    private ref Entry EntryAt(int slot)
    {
        Must.Be((uint)slot < (uint)_entries.Length, $"slot {slot} of {_entries.Length}");
        return ref _entries[slot];
    }

    [StructLayout(LayoutKind.Sequential, Size = 128)]
    private struct Entry
    {
        internal ulong Word;
        internal WaitingReply Request;
        internal DstStatus Status;
        internal bool DataGood;
        internal ulong BootId;
        internal ulong Generation;
    }
}

/// <summary>What a reply has to match.</summary>
/// <param name="Epoch">Epoch of the session.</param>
/// <param name="Sequence">Sequence of the slot.</param>
/// <param name="Operation">What was asked.</param>
/// <param name="OffsetBytes">First byte; 0 for a flush.</param>
/// <param name="LengthBytes">Bytes; 0 for a flush.</param>
/// <param name="Buffer">Where the data of a read goes.</param>
public readonly record struct WaitingReply(
    ulong Epoch, ulong Sequence, Operation Operation, long OffsetBytes, long LengthBytes, nint Buffer);
