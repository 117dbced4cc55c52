using Dst.Core.Requests;
using Dst.Core.Wire;

namespace Dst.Core.Sessions.Client;

/// <summary>The part of a node that leads its lanes, and what operators ask for.</summary>
public sealed partial class ClientNode
{
    private ServerNote _noted;
    private bool _predecessorChecked;
    private bool _hasLog;
    private ulong _logBootId;
    private ulong _logGeneration;
    private int _replayFailures;
    private bool _replaying;
    private bool _clearWanted;
    private bool _clearing;
    private ulong _sequenceBase;
    private bool _hasBeenLive;

    /// <summary>A lane reports.</summary>
    /// <param name="lane">Its number.</param>
    /// <param name="news">What.</param>
    /// <param name="nowMs">Now.</param>
    public void OnLane(int lane, in LaneNews news, long nowMs)
    {
        Must.Be((uint)lane < (uint)_shared.Lanes, $"lane {lane} of {_shared.Lanes}");
        switch (news.Kind)
        {
            case LaneNewsKind.Settled when Phase == ClientNodePhase.Settling:
                if (--_pendingLanes == 0)
                {
                    Recover();
                }

                break;
            case LaneNewsKind.Recovered when Phase == ClientNodePhase.Recovering:
                OnRecovered(news.Status, nowMs);
                break;
            case LaneNewsKind.Resent when Phase == ClientNodePhase.Resending:
                if (--_pendingLanes == 0)
                {
                    GoLive(nowMs);
                }

                break;
            case LaneNewsKind.Doubt when _lanesUp && Phase != ClientNodePhase.Ending:
                End(news.Reason, _closing ? AfterEnd.Close : AfterEnd.TryAgain, nowMs);
                break;
            case LaneNewsKind.Closed when Phase == ClientNodePhase.Leaving:
                if (--_pendingLanes == 0)
                {
                    SendPlain(0, FrameKind.Goodbye, Epoch, 0, nowMs);
                }

                break;
            case LaneNewsKind.Closed or LaneNewsKind.Quiet:
                Must.Be(
                    Phase == ClientNodePhase.Ending && _pendingLanes > 0 && _letGo == (news.Kind == LaneNewsKind.Quiet),
                    $"lane {lane} says {news.Kind} while {Phase}, {_pendingLanes} pending");
                _sequenceBase = ulong.Max(_sequenceBase, news.Sequence);
                _pendingLanes--;
                AdvanceEnd(nowMs);
                break;
            default:
                // On its way while the epoch ended.
                Must.Be(Phase == ClientNodePhase.Ending, $"lane {lane} says {news.Kind} while {Phase}");
                break;
        }
    }

    /// <summary>The note for a successor is written, or could not be (S-23).</summary>
    /// <param name="written">True when it is.</param>
    /// <param name="nowMs">Now.</param>
    public void OnServerNoted(bool written, long nowMs)
    {
        Must.Be(_notingServer, $"server noted while {Phase}");
        _notingServer = false;
        if (written)
        {
            _noted = CurrentNote;
        }

        if (Phase == ClientNodePhase.Ending)
        {
            AdvanceEnd(nowMs);
        }
        else if (!written)
        {
            End(EpochEnd.NotDurable, AfterEnd.TryAgainSlowly, nowMs);
        }
        else
        {
            BeginResend();
        }
    }

    /// <summary>Maintenance: new requests wait, those in flight end.</summary>
    public void Suspend()
    {
        IsSuspended = true;
        if (!Mutations.Has(Mutation.SuspendIgnored))
        {
            OrderAll(new LaneOrder { Kind = LaneOrderKind.Hold });
        }
    }

    /// <summary>Requests flow again; budgets count from now on.</summary>
    public void Resume()
    {
        IsSuspended = false;
        if (!Mutations.Has(Mutation.ResumeIgnored))
        {
            OrderAll(new LaneOrder { Kind = LaneOrderKind.Unhold });
        }
    }

    /// <summary>Ends everything that waits with an error, now; what is in flight ends the epoch first (S-13).</summary>
    /// <param name="status">The error.</param>
    public void FailPending(DstStatus status)
    {
        if (!Mutations.Has(Mutation.FailIgnored))
        {
            OrderAll(new LaneOrder { Kind = LaneOrderKind.Fail, Status = status });
        }
    }

    /// <summary>Sets new budgets (S-15).</summary>
    /// <param name="budget">For all lanes.</param>
    public void SetBudget(in RequestBudget budget)
    {
        if (!Mutations.Has(Mutation.BudgetNotTaken))
        {
            OrderAll(new LaneOrder { Kind = LaneOrderKind.Budget, Budget = budget });
        }
    }

    /// <summary>
    /// An operator accepts the loss of unflushed changes: the log is emptied, and after one good flush of the server
    /// FLUSH and FUA work again (S-23). Does nothing when nothing was lost.
    /// </summary>
    /// <param name="nowMs">Now.</param>
    public void ClearError(long nowMs)
    {
        if (LostUnflushedWrites && Phase is not (ClientNodePhase.Failed or ClientNodePhase.Closed))
        {
            _clearWanted = !Mutations.Has(Mutation.ClearErrorIgnored);
            if (_lanesUp && Phase != ClientNodePhase.Ending)
            {
                End(EpochEnd.Operator, AfterEnd.TryAgain, nowMs);
            }
        }
    }

    /// <summary>
    /// Gives the hold back and closes; the driver has seen to it that no request is left. The lanes close first, for
    /// GOODBYE is the last frame and they may be about to flush their logs. Without a live session the node closes at
    /// once and the hold stays, as <see cref="HoldGivenBack"/> says.
    /// </summary>
    /// <param name="nowMs">Now.</param>
    public void Leave(long nowMs)
    {
        _closing = true;
        if (Phase == ClientNodePhase.Live)
        {
            Phase = ClientNodePhase.Leaving;
            _leaveUntilMs = nowMs + ClientLimits.GoodbyeMs;
            _pendingLanes = _shared.Lanes;
            OrderAll(new LaneOrder { Kind = LaneOrderKind.Close });
        }
        else
        {
            Stop(nowMs);
        }
    }

    /// <summary>Closes; the hold stays for a successor (S-04).</summary>
    /// <param name="nowMs">Now.</param>
    public void Stop(long nowMs)
    {
        _closing = true;
        if (Phase is ClientNodePhase.Idle or ClientNodePhase.Pausing or ClientNodePhase.Failed)
        {
            Phase = ClientNodePhase.Closed;
        }
        else if (Phase != ClientNodePhase.Closed)
        {
            End(EpochEnd.Operator, AfterEnd.Close, nowMs);
        }
    }

    private bool AwaitsGoodbye => Phase == ClientNodePhase.Leaving && _pendingLanes == 0;

    private ServerNote CurrentNote =>
        new(Export.BootId, Export.WriteErrorGeneration, Export.Cache, LostUnflushedWrites);

    private LaneShare ShareOf(int lane, int connections, CreditGrant credits)
    {
        int connection = lane % connections;
        int lanesThere = (_shared.Lanes - connection + connections - 1) / connections;
        int slots = int.Min(credits.Requests, _options.Credits.Requests) / lanesThere;
        return new LaneShare(connection, lane / connections * slots, slots, credits.PayloadBytes / lanesThere);
    }

    private void BeginSettling()
    {
        Must.Be(Phase == ClientNodePhase.Joining && !_lanesUp, $"lanes settle while {Phase}");
        Phase = ClientNodePhase.Settling;
        for (int i = 0; i < _granted; i++)
        {
            Effects.Add(new NodeEffect
            {
                Kind = NodeEffectKind.Serve,
                Connection = i,
                Epoch = Epoch,
                Checksum = _checksum,
            });
        }

        LostUnflushedWrites &= !Mutations.Has(Mutation.LossForgotten);
        JudgePredecessor();
        _clearing = _clearWanted && LostUnflushedWrites;
        _lanesUp = true;
        _pendingLanes = _shared.Lanes;
        for (int lane = 0; lane < _shared.Lanes; lane++)
        {
            LaneSession session = new()
            {
                Epoch = Epoch,
                BootId = Export.BootId,
                Generation = Export.WriteErrorGeneration,
                Checksum = _checksum,
                WriteBack = Export.Cache == CacheMode.WriteBack && !IsReadOnly,
                Lost = LostUnflushedWrites && !_clearing,
                DropLog = _clearing,
                Share = ShareOf(lane, _granted, Export.Credits),
                SequenceBase = _sequenceBase,
            };
            OrderOne(lane, new LaneOrder { Kind = LaneOrderKind.Settle, Session = session });
        }
    }

    /// <summary>
    /// A predecessor's unflushed changes are lost when the server has changed since its note; if it has not, a flush
    /// finds out (S-23).
    /// </summary>
    private void JudgePredecessor()
    {
        _predecessorChecked |= Mutations.Has(Mutation.PredecessorIgnored);
        if (_predecessorChecked || IsReadOnly)
        {
            return;
        }

        bool mayLose = _noted.IsKnown && _noted.Cache == CacheMode.WriteBack && !_noted.Lost;
        bool changed = _noted.BootId != Export.BootId || _noted.Generation != Export.WriteErrorGeneration
            || Mutations.Has(Mutation.LossImagined);
        if (mayLose && changed)
        {
            LostUnflushedWrites = true;
        }

        // Otherwise checked only once the flush was answered, in this epoch or a later one.
        _predecessorChecked = !mayLose || changed;
    }

    private void Recover()
    {
        bool changed = Export.BootId != _logBootId || Export.WriteErrorGeneration != _logGeneration;
        bool owed = changed || Export.Poisoned;
        _replaying = !Mutations.Has(Mutation.ReplaySkipped) && _hasLog && !LostUnflushedWrites && owed;
        bool flushes = _clearing || (!_predecessorChecked && !IsReadOnly);
        if (!_replaying && !flushes)
        {
            NoteServer();
            return;
        }

        Phase = ClientNodePhase.Recovering;
        OrderOne(0, new LaneOrder { Kind = LaneOrderKind.Recover, ReplayLog = _replaying });
    }

    private void OnRecovered(DstStatus status, long nowMs)
    {
        if (status == DstStatus.Ok)
        {
            _replayFailures = 0;
            _predecessorChecked = true;
            LostUnflushedWrites &= !_clearing;
            _clearWanted &= !_clearing;
            NoteServer();
            return;
        }

        if (_replaying)
        {
            bool damaged = status == DstStatus.ProtectionError;
            FailReplay(damaged ? EpochEnd.ReplayDamaged : EpochEnd.RecoveryFailed, nowMs);
            return;
        }

        LostUnflushedWrites = true;
        _predecessorChecked = true;
        _clearWanted = false;
        NoteServer();
    }

    /// <summary>
    /// After some failures nothing is emptied either: status tells, and FLUSH fails, until an operator accepts the loss
    /// (S-22, S-23).
    /// </summary>
    private void FailReplay(EpochEnd reason, long nowMs)
    {
        LostUnflushedWrites |= ++_replayFailures >= ClientLimits.ReplayFailuresMax;
        End(reason, AfterEnd.TryAgain, nowMs);
    }

    private void NoteServer()
    {
        _hasLog = Export.Cache == CacheMode.WriteBack && !IsReadOnly;
        _logBootId = Export.BootId;
        _logGeneration = Export.WriteErrorGeneration;
        if (IsReadOnly || _noted == CurrentNote || Mutations.Has(Mutation.ServerNotNoted))
        {
            BeginResend();
            return;
        }

        Phase = ClientNodePhase.NotingServer;
        _notingServer = true;
        Effects.Add(new NodeEffect { Kind = NodeEffectKind.NoteServer, Note = CurrentNote });
    }

    private void BeginResend()
    {
        Phase = ClientNodePhase.Resending;
        _pendingLanes = _shared.Lanes;
        OrderAll(new LaneOrder
        {
            Kind = LaneOrderKind.Resend,
            Session = new LaneSession { Lost = LostUnflushedWrites },
        });
    }

    private void GoLive(long nowMs)
    {
        Phase = ClientNodePhase.Live;
        _liveSinceMs = nowMs;
        ReconnectCount += _hasBeenLive ? 1 : 0;
        _hasBeenLive = true;
        OrderAll(new LaneOrder { Kind = LaneOrderKind.Open });
    }
}
