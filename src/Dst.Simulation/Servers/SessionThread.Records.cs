using Dst.Core.Sessions;
using Dst.Core.Wire;
using Dst.Simulation.Engine;

namespace Dst.Simulation.Servers;

/// <summary>The part of a session thread that has records written, and holds them against what happened.</summary>
internal sealed partial class SessionThread
{
    private void OnPersisted(bool durable)
    {
        CoverSession(durable ? 6 : 7);
        _isPersisting = false;
        if (durable)
        {
            _machine.MayDropHold &= _persisting.Held;
            _known = _persisting;
            _story = _nextStory;
        }

        if (durable || _machine.HasFailedWriteEffect())
        {
            LeaveRecord();
        }

        Session.HoldPersisted(durable, NowMs);
    }

    /// <summary>What was being written when the process died is there or not.</summary>
    private void LeaveWrites()
    {
        if (_isPersisting && _machine.HasFailedWriteEffect())
        {
            LeaveRecord();
        }

        bool marks = _failed.Count > 0 || _clearing.Count > 0;
        if (marks && _machine.HasFailedWriteEffect())
        {
            _machine.PoisonMark = _failed.Count > 0;
        }
    }

    private void LeaveRecord()
    {
        if (Change == ExportChange.Copied)
        {
            return;
        }

        _machine.Record = _persisting;
        _machine.Story = _nextStory;
    }

    /// <summary>
    /// What is to be written follows from what the server has on disk: epochs only grow, whoever gets one may have it,
    /// and a hold ends only by whoever may end it (invariant 5, S-02 to S-04).
    /// </summary>
    private void CheckRecord(in HoldRecord record)
    {
        _nextStory = _story.Then(in _known, in record);
        World.Check(
            !_known.Held || record.Held || _machine.MayDropHold,
            $"{Name}: the hold ends though nobody ended it");
        if (_nextStory != _story && _nextStory.What == HoldEvent.Granted)
        {
            AttachMessage attach = AttachOf(in record);
            string? against = _story.Against(in attach);
            World.Check(
                against is null,
                $"{Name} grants epoch {record.Granted} to {record.HolderName}, replacing {attach.Replaces}: {against}");
            World.Check(
                attach.Replaces == 0 || attach.Replaces >= _machine.BegunMost,
                $"{Name} lets epoch {attach.Replaces} be replaced, but a client has begun {_machine.BegunMost}");
        }
    }

    /// <summary>An ATTACH that is not refused is the attempt from now on; it goes on without its connection.</summary>
    private void NoteAttempt(Peer peer)
    {
        if (peer.Machine.AttachRequest.Access == AccessKind.ReadWrite)
        {
            _attemptBefore = _attempt;
            _attempt = peer.Machine.AttachRequest;
            _attemptPeer = peer.Id;
        }
    }

    /// <summary>Nobody is told that another holds the export when nothing is against the grant (S-02, S-04).</summary>
    private void CheckRefusal(in SessionEffect effect)
    {
        if (effect.Code is not (RefusalCode.Held or RefusalCode.Fenced) || Find(effect.Connection) is not { } peer
            || peer.Machine.AttachRequest.Access != AccessKind.ReadWrite || peer.Machine.State != ServerState.Attaching)
        {
            return;
        }

        AttachMessage attach = peer.Machine.AttachRequest;
        World.Check(
            _isPersisting || _story.Against(in attach) is not null,
            $"{Name} says {effect.Code} to {peer.Name}, replacing {attach.Replaces}, take-over {attach.TakeOver}, "
            + $"though nothing is against it (S-02, S-04)");
    }

    private void NoteRefusal(int peer) => _attempt = peer == _attemptPeer ? _attemptBefore : _attempt;

    /// <summary>The ATTACH that a grant is written for.</summary>
    private AttachMessage AttachOf(in HoldRecord record)
    {
        World.Check(
            _attempt.Device == record.Holder && _attempt.Incarnation == record.Incarnation,
            $"{Name}: epoch {record.Granted} is granted to a device that did not attach");
        return _attempt;
    }
}
