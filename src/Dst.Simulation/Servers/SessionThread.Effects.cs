using Dst.Core.Sessions;
using Dst.Core.Wire;
using Dst.Simulation.Disks;
using Dst.Simulation.Engine;

namespace Dst.Simulation.Servers;

/// <summary>What the session machine asks for, done; and the gate of flushes.</summary>
internal sealed partial class SessionThread
{
    private void OnMarked()
    {
        if (!_machine.StateWorks())
        {
            _machine.PoisonMark |= _machine.HasFailedWriteEffect();
            Post(500_000, Marked);
            return;
        }

        (SimEngine engine, DiskOp op) = _failed.Dequeue();
        _machine.PoisonMark = true;
        Session.SetPoison(true);
        engine.PostFlushFailed(op);
    }

    private void OnUnmarked(bool durable)
    {
        (SimEngine engine, DiskOp op) = _clearing.Dequeue();
        if (durable)
        {
            LiftPoison();
        }
        else if (_machine.HasFailedWriteEffect())
        {
            _machine.PoisonMark = false;
        }

        engine.PostPoisonCleared(op, durable);
    }

    private void LiftPoison()
    {
        _machine.PoisonMark = false;
        IsPoisoned = false;
        Session.SetPoison(false);
    }

    private void OnOperator(ServerOrder order)
    {
        if (!IsListening)
        {
            return;
        }

        switch (order)
        {
            case ServerOrder.Release:
                CoverSession(8);
                _machine.MayDropHold = true;
                _releases++;
                Session.Release(NowMs);
                break;
            case ServerOrder.Stop:
                CoverSession(9);
                Session.Stop(RefusalCode.ShuttingDown, NowMs);
                break;
            default:
                CoverSession(10);
                if (IsPoisoned && _failed.Count == 0 && _clearing.Count == 0)
                {
                    LiftPoison();
                }

                break;
        }
    }

    private void Drain()
    {
        if (Session is null)
        {
            return;
        }

        while (Process.Alive && Session.Effects.TryTake(out SessionEffect effect))
        {
            if (World.MaybeCrash())
            {
                Crash(power: false);
                return;
            }

            Do(in effect);
        }
    }

    private void Do(in SessionEffect effect)
    {
        switch (effect.Kind)
        {
            case SessionEffectKind.PersistHold:
                _persisting = Session.PendingHold;
                CheckRecord(in _persisting);
                _isPersisting = true;
                Post(StateDelayUs(), Persisted, _machine.StateWorks() ? 1 : 0);
                return;
            case SessionEffectKind.Stopped:
                World.Note($"{Name} has stopped");
                Crash(power: false);
                return;
            case SessionEffectKind.Released:
                _releases = 0;
                World.Check(
                    effect.A == 0 || !_known.Held,
                    $"{Name} says that the hold of epoch {_known.Granted} is released, and has it (S-04)");
                return;
            default:
                break;
        }

        if (effect.Kind == SessionEffectKind.Close)
        {
            CheckRefusal(in effect);
            NoteRefusal(effect.Connection);
        }

        if (Find(effect.Connection) is { } peer)
        {
            Do(peer, in effect);
        }
    }

    private void Do(Peer peer, in SessionEffect effect)
    {
        switch (effect.Kind)
        {
            case SessionEffectKind.Close when peer.Engine is not null:
                _room.Leave(peer.Id);
                peer.Machine.OnClosed();
                peer.Engine.Order(EngineOrderKind.Detach, peer, effect.Code);
                break;
            case SessionEffectKind.Close:
                Close(peer, effect.Code);
                break;
            case SessionEffectKind.SendWait:
                AttachWaitMessage wait = new() { Requests = (uint)effect.A, WaitedMs = (uint)effect.B };
                peer.Send(_frame.AsSpan(0, MessageCodec.Write(in wait, _frame)));
                break;
            case SessionEffectKind.Grant:
                Grant(peer, (ulong)effect.A);
                break;
            case SessionEffectKind.Joined:
                World.Check(
                    peer.Machine.JoinRequest.Token == _token && peer.Machine.Epoch == Session.Epoch,
                    $"{Name}: {peer.Name} of epoch {peer.Machine.Epoch} joins that of {Session.Epoch} (S-08)");
                peer.Send(_frame.AsSpan(0, MessageCodec.WriteJoinOk(peer.Machine.Epoch, (ushort)effect.A, _frame)));
                peer.Machine.OnJoined();
                HandOver(peer);
                break;
            case SessionEffectKind.Begun:
                World.Check(
                    _known.Used >= peer.Machine.Epoch,
                    $"{Name} answers BEGIN of epoch {peer.Machine.Epoch} before that is on disk");
                _machine.BegunMost = peer.Machine.Epoch;
                SendPlain(peer, FrameKind.BeginOk, peer.Machine.Epoch, 0);
                peer.Machine.OnBegun();
                HandOver(peer);
                break;
            case SessionEffectKind.SendGoodbye when peer.Engine is not null:
                peer.Machine.OnClosed();
                peer.Engine.Order(EngineOrderKind.Goodbye, peer);
                break;
            default:
                SendPlain(peer, FrameKind.Goodbye, peer.Machine.Epoch, 0);
                peer.Machine.OnClosed();
                peer.CloseSoon();
                break;
        }
    }

    private void Attach(Peer peer)
    {
        AttachMessage attach = peer.Machine.AttachRequest;
        if (_machine.IsCareless)
        {
            attach.ExpectedIdentity = UInt128.Zero;
            attach.ExpectedSizeBytes = 0;
        }

        peer.Token = _machine.Chance.Next128();
        Session.Attach(peer.Id, in attach, new WireText(peer.Name), peer.Token, NowMs);
        NoteAttempt(peer);
    }

    /// <summary>What a client remembers is not granted otherwise (S-07), nor what is not there (S-31).</summary>
    private void CheckGrant(Peer peer)
    {
        ref readonly AttachMessage attach = ref peer.Machine.AttachRequest;
        World.Check(
            _machine.IsCareless || !ExportChanges.IsSeenByServer(Change, attach.Access),
            $"{Name} grants an export to {peer.Name} that is not what it remembers: {Change} (S-07)");
        World.Check(
            UsedCreditBytes <= World.Plan.CreditBytes,
            $"{Name} grants {UsedCreditBytes} bytes of {World.Plan.CreditBytes} (S-31)");
    }

    private void Grant(Peer peer, ulong epoch)
    {
        CheckGrant(peer);
        if (epoch != 0)
        {
            _token = peer.Token;
            World.Check(
                epoch > _machine.GrantedMost || Change == ExportChange.Copied,
                $"{Name}: epoch {epoch} is granted after {_machine.GrantedMost}");
            World.Check(
                _known.Granted >= epoch && _known.Held,
                $"{Name}: epoch {epoch} is granted before it is on disk");
            World.Check(
                _known.Holder == peer.Machine.AttachRequest.Device,
                $"{Name}: epoch {epoch} was written for another device than {peer.Name}");
            _machine.OnGrant(epoch);
            Disk.NewestGrant = ulong.Max(Disk.NewestGrant, epoch);
            Disk.History.OnGrant(peer.Machine.AttachRequest.Incarnation);
        }

        World.Note($"{Name} grants epoch {epoch} to {peer.Name}");
        int length;
        for (int index = 0; (length = Session.WriteGrant(peer.Id, index, _frame)) > 0; index++)
        {
            peer.Send(_frame.AsSpan(0, length));
        }

        peer.Machine.OnGranted(epoch);
        _room.Leave(peer.Id);
        if (epoch == 0)
        {
            HandOver(peer);
        }
    }

    private void HandOver(Peer peer)
    {
        _room.Leave(peer.Id);
        peer.Home = PeerHome.Moving;
        peer.Engine = _engines[peer.Id % _engines.Length];
        peer.Lane = Session.LaneOf(peer.Id);
        peer.Engine.Order(EngineOrderKind.Adopt, peer);
    }

    /// <summary>Gives the disk the flush that has waited longest, unless it has one.</summary>
    public void StartFlush()
    {
        while (!_flushing && _flushes.TryDequeue(out DiskOp? op))
        {
            if (IsPoisoned && !op.MayRunPoisoned)
            {
                FlushHasFailed((SimEngine)op.Owner!, op);
                continue;
            }

            _flushing = true;
            Disk.Submit(op);
        }
    }

    private void SendPlain(Peer peer, FrameKind kind, ulong epoch, ulong sequence) =>
        peer.Send(_frame.AsSpan(0, MessageCodec.WritePlain(kind, epoch, sequence, _frame)));

    private long StateDelayUs() => 200 + _machine.Chance.Wait(3_000);
}
