using Dst.Core.Requests;
using Dst.Core.Sessions.Client;
using Dst.Core.Wire;
using Xunit;

namespace Dst.Core.Tests.Sessions.Client;

public sealed class ClientNodeTests
{
    private static readonly ServerNote WriteBackNote = new(NodeRig.Boot, 1, CacheMode.WriteBack, Lost: false);

    private static NodeRig Started(int lanes = 2, ClientNodeOptions? options = null, long logBytes = 1 << 21)
    {
        NodeRig rig = new(lanes, standard => options ?? standard, logBytes);
        rig.Do(node => node.Start(rig.NowMs));
        return rig;
    }

    private static NodeRig WriteBack(ClientNodeOptions? options = null)
    {
        NodeRig rig = Started(options: options);
        rig.Grant.Cache = CacheMode.WriteBack;
        return rig;
    }

    [Fact]
    public void The_order_of_an_epoch()
    {
        NodeRig rig = Started();
        rig.ToLive();
        string[] seen =
        [
            .. rig.All.Select(effect => effect.Kind == NodeEffectKind.Order
                ? effect.Order.Kind.ToString()
                : effect.Kind.ToString()).Where(name => name != "SendFrame").Distinct(StringComparer.Ordinal),
        ];
        Assert.Equal(["Connect", "NoteEpoch", "Serve", "Settle", "NoteServer", "Resend", "Open"], seen);
        Assert.Equal(
            [FrameKind.Hello, FrameKind.Attach, FrameKind.Begin, FrameKind.Hello, FrameKind.Join],
            rig.Sent.Select(sent => sent.Header.Kind));
        Assert.Equal(ClientNodeState.Live, rig.Node.State);
        Assert.Equal(0UL, rig.LastAttach().Replaces);
    }

    [Fact]
    public void Begin_waits_until_the_epoch_is_durable()
    {
        NodeRig rig = Started();
        rig.ToAttaching();
        Assert.DoesNotContain(rig.AttachOk(), effect => effect.Kind == NodeEffectKind.SendFrame);
        rig.Do(node => node.OnEpochNoted(false, rig.NowMs));
        rig.LetAllGo(lanesUp: false);
        rig.NextTry();
        rig.ToAttaching();
        Assert.Equal(0UL, rig.LastAttach().Replaces); // what is not durable is not named (S-03)
        Assert.DoesNotContain(rig.Sent, sent => sent.Header.Kind == FrameKind.Begin);
    }

    [Fact]
    public void Each_attach_names_the_epoch_that_was_noted_last()
    {
        NodeRig rig = Started(options: NodeRig.Options(2, lastEpoch: 4));
        rig.ToAttaching();
        Assert.Equal(4UL, rig.LastAttach().Replaces);
        rig.AttachOk();
        rig.Do(node => node.OnLost(0, EpochEnd.ConnectionLost, rig.NowMs));
        Assert.Equal(ClientNodePhase.Ending, rig.Node.Phase);
        rig.Do(node => node.OnRxEnded(0, rig.NowMs));
        rig.Do(node => node.OnTxEnded(0, rig.NowMs));
        Assert.Equal(ClientNodePhase.Ending, rig.Node.Phase); // the note is still being written
        rig.Do(node => node.OnEpochNoted(true, rig.NowMs));
        rig.NextTry();
        rig.ToAttaching();
        Assert.Equal(10UL, rig.LastAttach().Replaces);
    }

    [Theory]
    [InlineData(10UL, false)]
    [InlineData(11UL, false)]
    [InlineData(9UL, true)]
    public void An_epoch_not_above_the_last_one_is_refused(ulong last, bool granted)
    {
        NodeRig rig = Started(options: NodeRig.Options(2, lastEpoch: last));
        rig.ToAttaching();
        rig.AttachOk();
        Assert.Equal(granted ? ClientNodePhase.NotingEpoch : ClientNodePhase.Ending, rig.Node.Phase);
        Assert.Equal(granted ? ExportFault.None : ExportFault.Epoch, rig.Node.LastFault);
    }

    [Theory]
    [InlineData(WireLimits.EpochMax, true)]
    [InlineData(WireLimits.EpochMax + 1, false)]
    public void An_epoch_that_none_can_follow_is_no_epoch(ulong epoch, bool granted)
    {
        NodeRig rig = Started();
        rig.ToAttaching();
        rig.Epoch = epoch;
        rig.AttachOk();
        Assert.Equal(granted ? ClientNodePhase.NotingEpoch : ClientNodePhase.Ending, rig.Node.Phase);
        Assert.Equal(granted ? EpochEnd.None : EpochEnd.Protocol, rig.Node.LastEnd);
        if (!granted)
        {
            Assert.Equal(RefusalCode.Protocol, (RefusalCode)rig.Sent[^1].Header.Status);
            rig.LetAllGo(lanesUp: false);
            rig.NextTry();
            rig.Epoch = 1;
            rig.ToLive();
        }
    }

    [Fact]
    public void The_loss_of_one_connection_ends_the_epoch_for_all()
    {
        NodeRig rig = Started();
        rig.ToLive();
        List<NodeEffect> effects = rig.Do(node => node.OnLost(1, EpochEnd.ConnectionLost, rig.NowMs));
        Assert.Equal([0, 1], effects.Where(e => e.Kind == NodeEffectKind.Shut).Select(e => e.Connection));
        Assert.Equal(2, rig.Orders(LaneOrderKind.Close).Count());
    }

    [Fact]
    public void Nothing_begins_anew_before_rx_tx_and_lanes_have_let_go()
    {
        NodeRig rig = Started();
        rig.ToLive();
        rig.Do(node => node.OnLost(0, EpochEnd.ConnectionLost, rig.NowMs));
        Assert.Empty(rig.Do(node => node.OnRxEnded(0, rig.NowMs)));
        Assert.Empty(rig.Do(node => node.OnRxEnded(1, rig.NowMs)));
        Assert.Empty(rig.News(LaneNewsKind.Closed));
        Assert.Empty(rig.Do(node => node.OnTxEnded(0, rig.NowMs)));
        Assert.Equal(2, rig.Do(node => node.OnTxEnded(1, rig.NowMs)).Count(e => e.Order.Kind == LaneOrderKind.LetGo));
        Assert.Empty(rig.One(0, new LaneNews { Kind = LaneNewsKind.Quiet }));
        Assert.All(
            rig.One(1, new LaneNews { Kind = LaneNewsKind.Quiet }), e => Assert.Equal(NodeEffectKind.Free, e.Kind));
        Assert.Equal(ClientNodePhase.Pausing, rig.Node.Phase);
        Assert.Equal(ClientNodeState.NextTry, rig.Node.State);
        rig.NextTry();
        rig.ToLive();
        Assert.Equal(1, rig.Node.ReconnectCount);
    }

    [Fact]
    public void Lanes_open_together_after_all_have_resent()
    {
        NodeRig rig = Started();
        rig.ToSettling();
        Assert.Empty(rig.One(0, new LaneNews { Kind = LaneNewsKind.Settled }));
        Assert.NotEmpty(rig.One(1, new LaneNews { Kind = LaneNewsKind.Settled }));
        rig.Do(node => node.OnServerNoted(true, rig.NowMs));
        Assert.Empty(rig.One(1, new LaneNews { Kind = LaneNewsKind.Resent }));
        Assert.Equal(2, rig.One(0, new LaneNews { Kind = LaneNewsKind.Resent }).Count);
        Assert.Equal(2, rig.Orders(LaneOrderKind.Open).Count());
    }

    [Theory]
    [InlineData(RefusalCode.UnknownExport, ClientNodePhase.Pausing, 10_000)]
    [InlineData(RefusalCode.Held, ClientNodePhase.Pausing, 10_000)]
    [InlineData(RefusalCode.EpochOver, ClientNodePhase.Pausing, 100)]
    [InlineData(RefusalCode.Fenced, ClientNodePhase.Failed, 0)]
    [InlineData(RefusalCode.Released, ClientNodePhase.Failed, 0)]
    public void Refusals_are_tried_again_by_their_code(RefusalCode code, ClientNodePhase phase, int waitMaxMs)
    {
        NodeRig rig = Started();
        rig.ToAttaching();
        rig.Error(code);
        rig.LetAllGo(lanesUp: false);
        Assert.Equal(phase, rig.Node.Phase);
        Assert.Equal(code, rig.Node.LastRefusal);
        Assert.InRange(rig.Node.NextTryMs - rig.NowMs, waitMaxMs > 1000 ? waitMaxMs : -rig.NowMs, waitMaxMs);
        Assert.Equal(waitMaxMs == 10_000, rig.Node.State == ClientNodeState.Refused);
    }

    [Fact]
    public void A_fenced_node_fails_all_requests_for_ever_and_never_connects_again()
    {
        NodeRig rig = Started();
        rig.ToLive();
        rig.Error(RefusalCode.Fenced, connection: 1);
        rig.LetAllGo();
        Assert.Equal(ClientNodeState.Failed, rig.Node.State);
        Assert.All(
            rig.Orders(LaneOrderKind.Fail),
            order => Assert.True(order is { ForEver: true, Status: DstStatus.ReservationConflict }));
        Assert.Equal("host2", rig.Node.LastError.Holder.ToString());
        Assert.Empty(rig.Do(node => node.Tick(rig.NowMs + 1_000_000)));
        Assert.Empty(rig.Do(node => node.ClearError(rig.NowMs)));
    }

    [Fact]
    public void A_take_over_is_named_once_and_never_by_a_reconnect()
    {
        NodeRig rig = Started(options: NodeRig.Options(2, takeOver: true));
        rig.ToAttaching();
        Assert.False(rig.LastAttach().TakeOver);
        rig.Error(RefusalCode.Held, epoch: 6);
        rig.LetAllGo(lanesUp: false);
        Assert.True(rig.Node.NextTryMs - rig.NowMs <= 100);
        rig.NextTry();
        rig.ToAttaching();
        Assert.True(rig.LastAttach() is { TakeOver: true, Replaces: 6 });
        rig.Do(node => node.OnLost(0, EpochEnd.ConnectionLost, rig.NowMs));
        rig.LetAllGo(lanesUp: false);
        rig.NextTry();
        rig.ToAttaching();
        Assert.True(rig.LastAttach() is { TakeOver: false, Replaces: 6 });
        rig.Error(RefusalCode.Held, epoch: 7);
        rig.LetAllGo(lanesUp: false);
        rig.NextTry();
        rig.ToAttaching();
        Assert.False(rig.LastAttach().TakeOver);
    }

    public static TheoryData<ExportFault> Faults =>
        [.. Enum.GetValues<ExportFault>().Where(fault => fault != ExportFault.None)];

    [Theory]
    [MemberData(nameof(Faults))]
    public void Everything_is_checked_again_at_each_attach(ExportFault fault)
    {
        NodeRig rig = Started(logBytes: fault == ExportFault.Log ? 4096 : 1 << 21);
        rig.ToLive();
        rig.Do(node => node.OnLost(0, EpochEnd.ConnectionLost, rig.NowMs));
        rig.LetAllGo();
        rig.NextTry();
        ExportGeometry geometry = rig.Grant.Geometry;
        switch (fault)
        {
            case ExportFault.Identity: rig.Grant.Identity = 78; break;
            case ExportFault.Size: rig.Grant.Geometry = geometry with { SizeBytes = geometry.SizeBytes - 512 }; break;
            case ExportFault.Block: rig.Grant.Geometry = geometry with { BlockBytes = 4096 }; break;
            case ExportFault.MaxRequest: rig.Grant.Geometry = geometry with { MaxRequestBytes = 4096 }; break;
            case ExportFault.ReadOnly:
                rig.Grant.Geometry = geometry with { Capabilities = ExportCapabilities.ReadOnly };
                break;
            case ExportFault.WriteBack: rig.Grant.Cache = CacheMode.WriteBack; break;
            case ExportFault.Log: rig.Grant.Cache = CacheMode.WriteBack; break;
            case ExportFault.Credits: rig.Grant.Credits = new CreditGrant(2, 8, 4096); break;
            default: rig.Epoch = 10; break;
        }

        rig.ToAttaching();
        rig.AttachOk();
        Assert.Equal(fault, rig.Node.LastFault);
        rig.LetAllGo(lanesUp: false);
        Assert.Equal(ClientNodeState.Refused, rig.Node.State);
        Assert.Equal(10_000, rig.Node.NextTryMs - rig.NowMs);
        Assert.Single(rig.All, effect => effect.Kind == NodeEffectKind.NoteEpoch);
    }

    [Fact]
    public void A_larger_export_is_fine()
    {
        NodeRig rig = Started(options: NodeRig.Options(
            2, known: new ExportFacts(NodeRig.Identity, 1 << 20, 512, 1 << 20, 1 << 20, CacheMode.WriteThrough)));
        rig.ToLive();
        Assert.Equal(
            (NodeRig.Identity, 1UL << 20), (rig.LastAttach().ExpectedIdentity, rig.LastAttach().ExpectedSizeBytes));
    }

    [Fact]
    public void Credits_are_shared_out_to_lanes_of_fewer_connections()
    {
        NodeRig rig = Started(lanes: 3, options: NodeRig.Options(3));
        rig.Grant.Credits = new CreditGrant(2, 8, 4 << 20);
        rig.ToSettling();
        Assert.Equal(
            [new LaneShare(0, 0, 4, 2 << 20), new LaneShare(1, 0, 8, 4 << 20), new LaneShare(0, 4, 4, 2 << 20)],
            rig.Orders(LaneOrderKind.Settle).Select(order => order.Session.Share));
    }

    [Fact]
    public void The_drain_of_the_server_is_shown_and_runs_out_of_no_time()
    {
        NodeRig rig = Started();
        rig.ToAttaching();
        byte[] frame = new byte[WireLimits.ControlFrameMaxBytes];
        AttachWaitMessage wait = new() { Requests = 3, WaitedMs = 1000 };
        int length = MessageCodec.Write(in wait, frame);
        for (int i = 0; i < 60; i++)
        {
            rig.NowMs += 1000;
            rig.Frame(0, frame.AsSpan(0, length));
            rig.Do(node => node.Tick(rig.NowMs));
        }

        Assert.Equal(ClientNodeState.WaitingForDrain, rig.Node.State);
        Assert.Equal(3U, rig.Node.DrainWait.Requests);
        rig.Do(node => node.Tick(rig.NowMs + WireLimits.SilenceMs));
        Assert.Equal(EpochEnd.Silence, rig.Node.LastEnd);
    }

    [Theory]
    [InlineData(FrameKind.Hello)]
    [InlineData(FrameKind.Attach)]
    [InlineData(FrameKind.Begin)]
    [InlineData(FrameKind.Join)]
    public void A_step_without_answer_ends_the_attempt(FrameKind step)
    {
        NodeRig rig = Started();
        rig.Connected();
        if (step != FrameKind.Hello)
        {
            rig.Hello();
        }

        if (step is FrameKind.Begin or FrameKind.Join)
        {
            rig.AttachOk();
            rig.Do(node => node.OnEpochNoted(true, rig.NowMs));
            rig.Connected(1);
            rig.Hello(1);
        }

        if (step == FrameKind.Begin)
        {
            rig.JoinOk(1);
        }
        else if (step == FrameKind.Join)
        {
            rig.Plain(FrameKind.BeginOk, rig.Epoch);
        }

        for (int i = 1; i <= 10; i++)
        {
            Assert.NotEqual(ClientNodePhase.Ending, rig.Node.Phase);
            rig.NowMs += 1000;
            rig.Do(node => node.OnTraffic(0, i, 0, rig.NowMs));
            rig.Do(node => node.OnTraffic(1, i, 0, rig.NowMs));
            rig.Do(node => node.Tick(rig.NowMs));
        }

        Assert.Equal(EpochEnd.HandshakeTimeout, rig.Node.LastEnd);
        Assert.Equal(ClientNodePhase.Ending, rig.Node.Phase);
    }

    [Fact]
    public void A_connect_without_answer_is_given_up_and_its_late_answer_survived()
    {
        NodeRig rig = Started();
        rig.NowMs += ClientLimits.ConnectMs;
        Assert.Contains(rig.Do(node => node.Tick(rig.NowMs)), effect => effect.Kind == NodeEffectKind.Shut);
        Assert.Empty(rig.Connected());
        rig.Do(node => node.OnTxEnded(0, rig.NowMs));
        Assert.Equal(ClientNodePhase.Ending, rig.Node.Phase);
        rig.Do(node => node.OnRxEnded(0, rig.NowMs));
        Assert.Equal(ClientNodePhase.Pausing, rig.Node.Phase);
    }

    [Fact]
    public void Pings_go_both_ways_and_silence_is_death()
    {
        NodeRig rig = Started();
        rig.ToLive();
        rig.Sent.Clear();
        rig.NowMs += WireLimits.PingEveryMs;
        rig.Do(node => node.Tick(rig.NowMs));
        Assert.Equal(
            [0, 1], rig.Sent.Where(sent => sent.Header.Kind == FrameKind.Ping).Select(sent => sent.Connection));
        ulong number = rig.Sent[0].Header.Sequence;
        rig.NowMs += 3;
        rig.Plain(FrameKind.Pong, sequence: number + 1);
        Assert.Equal(-1, rig.Node.RoundTripMs);
        rig.Plain(FrameKind.Pong, sequence: number);
        Assert.Equal(3, rig.Node.RoundTripMs);
        rig.Plain(FrameKind.Ping, sequence: 99);
        Assert.True(rig.Sent[^1].Header is { Kind: FrameKind.Pong, Sequence: 99 });
        for (int i = 0; i < 4; i++)
        {
            rig.NowMs += 1000;
            rig.Do(node => node.OnTraffic(0, i, i, rig.NowMs));
            rig.Do(node => node.Tick(rig.NowMs));
        }

        Assert.Equal(ClientNodePhase.Ending, rig.Node.Phase); // connection 1 said nothing
        Assert.Equal(EpochEnd.Silence, rig.Node.LastEnd);
    }

    [Fact]
    public void Pauses_grow_to_ten_seconds_and_begin_anew_after_half_a_minute_of_health()
    {
        NodeRig rig = Started();
        long last = 0;
        for (int i = 0; i < 12; i++)
        {
            rig.Do(node => node.OnConnectFailed(0, rig.NowMs));
            last = rig.Node.NextTryMs - rig.NowMs;
            int full = Math.Min(100 << i, 10_000);
            Assert.InRange(last, full / 2, full);
            rig.NextTry();
        }

        Assert.True(last >= 5_000);
        rig.ToLive();
        rig.NowMs += ClientLimits.HealthyMs;
        rig.Do(node => node.OnTraffic(0, 5, 5, rig.NowMs));
        rig.Do(node => node.OnTraffic(1, 5, 5, rig.NowMs));
        rig.Do(node => node.Tick(rig.NowMs));
        rig.Do(node => node.OnLost(0, EpochEnd.ConnectionLost, rig.NowMs));
        rig.LetAllGo();
        Assert.InRange(rig.Node.NextTryMs - rig.NowMs, 50, 100);
    }

    [Theory]
    [InlineData(0, 0, false)]
    [InlineData(1, 0, true)]
    [InlineData(0, 1, true)]
    public void A_changed_server_gets_the_log_before_anything_else(int bootSteps, int generationSteps, bool replays)
    {
        NodeRig rig = WriteBack();
        rig.ToLive();
        Assert.Empty(rig.Orders(LaneOrderKind.Recover));
        rig.One(0, new LaneNews { Kind = LaneNewsKind.Doubt, Reason = EpochEnd.ServerChanged });
        rig.LetAllGo();
        rig.Grant.BootId += (ulong)bootSteps;
        rig.Grant.WriteErrorGeneration += (ulong)generationSteps;
        rig.NextTry();
        rig.ToSettling();
        int resends = rig.Orders(LaneOrderKind.Resend).Count();
        List<NodeEffect> effects = rig.News(LaneNewsKind.Settled);
        Assert.Equal(replays, effects.Exists(e => e.Order is { Kind: LaneOrderKind.Recover, ReplayLog: true }));
        if (replays)
        {
            Assert.Equal(ClientNodeState.Replaying, rig.Node.State);
            Assert.Equal(resends, rig.Orders(LaneOrderKind.Resend).Count());

            // Only now: a successor that found the new ids noted would not know of the changes that are missing (S-23).
            NodeEffect note = Assert.Single(rig.News(LaneNewsKind.Recovered));
            Assert.Equal(rig.Grant.BootId, note.Note.BootId);
            rig.Do(node => node.OnServerNoted(true, rig.NowMs));
        }

        Assert.Equal(resends + 2, rig.Orders(LaneOrderKind.Resend).Count());
    }

    [Fact]
    public void A_poisoned_export_gets_the_log_too_and_a_cut_replay_comes_again()
    {
        NodeRig rig = WriteBack();
        rig.ToLive();
        rig.Do(node => node.OnLost(0, EpochEnd.ConnectionLost, rig.NowMs));
        rig.LetAllGo();
        rig.Grant.Poisoned = true;
        rig.Grant.BootId++;
        rig.NextTry();
        rig.ToSettling();
        rig.News(LaneNewsKind.Settled);
        Assert.Equal(ClientNodePhase.Recovering, rig.Node.Phase);
        rig.Do(node => node.OnLost(0, EpochEnd.ConnectionLost, rig.NowMs));
        rig.LetAllGo();
        rig.NextTry();
        rig.ToSettling();
        rig.News(LaneNewsKind.Settled);
        Assert.Equal(ClientNodePhase.Recovering, rig.Node.Phase); // though the boot id is that of the attempt before
    }

    [Fact]
    public void A_replay_that_always_fails_is_a_loss_that_an_operator_clears()
    {
        NodeRig rig = WriteBack();
        rig.ToLive();
        rig.Do(node => node.OnLost(0, EpochEnd.ConnectionLost, rig.NowMs));
        rig.LetAllGo();
        rig.Grant.Poisoned = true;
        for (int i = 0; i < ClientLimits.ReplayFailuresMax; i++)
        {
            Assert.False(rig.Node.LostUnflushedWrites);
            rig.NextTry();
            rig.ToSettling();
            rig.News(LaneNewsKind.Settled);
            rig.News(LaneNewsKind.Recovered, DstStatus.IoError);
            Assert.Equal(EpochEnd.RecoveryFailed, rig.Node.LastEnd);
            rig.LetAllGo();
        }

        rig.NextTry();
        rig.ToLive();
        Assert.Equal(ClientNodeState.LostUnflushedWrites, rig.Node.State);
        Assert.True(rig.All.FindLast(e => e.Kind == NodeEffectKind.NoteServer).Note.Lost);
        Assert.True(rig.Orders(LaneOrderKind.Resend).Last().Session.Lost);
        rig.Grant.Poisoned = false;
        rig.Do(node => node.ClearError(rig.NowMs));
        rig.LetAllGo();
        rig.NextTry();
        rig.ToSettling();
        Assert.True(rig.Orders(LaneOrderKind.Settle).Last().Session is { DropLog: true, Lost: false });
        rig.News(LaneNewsKind.Settled);
        Assert.False(rig.Orders(LaneOrderKind.Recover).Last().ReplayLog);
        rig.News(LaneNewsKind.Recovered);
        Assert.False(rig.Node.LostUnflushedWrites);
        Assert.False(rig.All.FindLast(e => e.Kind == NodeEffectKind.NoteServer).Note.Lost);
    }

    [Fact]
    public void A_replay_that_is_damaged_on_its_way_is_no_loss()
    {
        NodeRig rig = WriteBack();
        rig.ToLive();
        rig.Do(node => node.OnLost(0, EpochEnd.ConnectionLost, rig.NowMs));
        rig.LetAllGo();
        rig.Grant.BootId++;
        for (int i = 0; i <= ClientLimits.ReplayFailuresMax; i++)
        {
            rig.NextTry();
            rig.ToSettling();
            rig.News(LaneNewsKind.Settled);
            Assert.Equal(ClientNodePhase.Recovering, rig.Node.Phase);
            rig.Error(RefusalCode.Checksum, connection: 0, slot: 6, sequence: 9);
            Assert.Equal(EpochEnd.ReplayDamaged, rig.Node.LastEnd);
            rig.LetAllGo();
        }

        rig.NextTry();
        rig.ToLive();
        Assert.False(rig.Node.LostUnflushedWrites);
    }

    [Fact]
    public void A_wrong_checksum_while_nothing_is_replayed_loses_nothing()
    {
        NodeRig rig = WriteBack(NodeRig.Options(2, note: WriteBackNote));
        for (int i = 0; i <= ClientLimits.ReplayFailuresMax; i++)
        {
            rig.ToSettling();
            rig.News(LaneNewsKind.Settled);
            Assert.Equal(ClientNodePhase.Recovering, rig.Node.Phase);
            rig.Error(RefusalCode.Checksum, connection: 0, slot: 6, sequence: 9);
            rig.LetAllGo();
            rig.NextTry();
        }

        Assert.False(rig.Node.LostUnflushedWrites);
    }

    [Fact]
    public void A_successor_flushes_when_the_server_is_the_same()
    {
        NodeRig rig = WriteBack(NodeRig.Options(2, note: WriteBackNote));
        rig.ToSettling();
        List<NodeEffect> effects = rig.News(LaneNewsKind.Settled);
        Assert.True(Assert.Single(effects).Order is { Kind: LaneOrderKind.Recover, ReplayLog: false });
        rig.News(LaneNewsKind.Recovered);
        Assert.False(rig.Node.LostUnflushedWrites);
        Assert.Equal(2, rig.Orders(LaneOrderKind.Resend).Count());
        rig.News(LaneNewsKind.Resent);
        rig.Do(node => node.OnLost(0, EpochEnd.ConnectionLost, rig.NowMs));
        rig.LetAllGo();
        rig.NextTry();
        rig.ToSettling();
        Assert.DoesNotContain(rig.News(LaneNewsKind.Settled), e => e.Order.Kind == LaneOrderKind.Recover);
    }

    [Fact]
    public void A_successor_whose_flush_fails_says_that_writes_are_lost()
    {
        NodeRig rig = WriteBack(NodeRig.Options(2, note: WriteBackNote));
        rig.ToSettling();
        rig.News(LaneNewsKind.Settled);
        List<NodeEffect> effects = rig.News(LaneNewsKind.Recovered, DstStatus.IoError);
        Assert.True(Assert.Single(effects).Note.Lost);
        rig.Do(node => node.OnServerNoted(true, rig.NowMs));
        Assert.All(rig.Orders(LaneOrderKind.Resend), order => Assert.True(order.Session.Lost));
    }

    [Theory]
    [InlineData(CacheMode.WriteBack, true)]
    [InlineData(CacheMode.WriteThrough, false)]
    public void A_successor_of_a_changed_server_has_lost_what_was_not_flushed(CacheMode noted, bool lost)
    {
        NodeRig rig = WriteBack(NodeRig.Options(2, note: new ServerNote(NodeRig.Boot - 1, 1, noted, Lost: false)));
        rig.ToSettling();
        Assert.All(rig.Orders(LaneOrderKind.Settle), order => Assert.Equal(lost, order.Session.Lost));
        Assert.Equal(lost, Assert.Single(rig.News(LaneNewsKind.Settled)).Note.Lost);
    }

    [Fact]
    public void A_loss_that_was_noted_is_not_forgotten()
    {
        NodeRig rig = WriteBack(NodeRig.Options(2, note: WriteBackNote with { Lost = true }));
        rig.ToLive();
        Assert.Equal(ClientNodeState.LostUnflushedWrites, rig.Node.State);
    }

    [Fact]
    public void Requests_wait_until_the_note_is_written()
    {
        NodeRig rig = WriteBack();
        rig.ToSettling();
        rig.News(LaneNewsKind.Settled);
        Assert.Equal(ClientNodePhase.NotingServer, rig.Node.Phase);
        Assert.Empty(rig.Orders(LaneOrderKind.Resend));
        rig.Do(node => node.OnServerNoted(false, rig.NowMs));
        Assert.Equal(EpochEnd.NotDurable, rig.Node.LastEnd);
    }

    [Fact]
    public void A_read_only_session_takes_no_epoch_and_attaches_each_connection()
    {
        NodeRig rig = Started(options: NodeRig.Options(2, access: AccessKind.ReadOnly));
        rig.Epoch = 0;
        rig.Grant.Geometry = rig.Grant.Geometry with { Capabilities = ExportCapabilities.ReadOnly };
        rig.ToAttaching();
        rig.AttachOk();
        rig.Connected(1);
        rig.Hello(1);
        rig.AttachOk(1);
        rig.News(LaneNewsKind.Settled);
        rig.News(LaneNewsKind.Resent);
        Assert.Equal(ClientNodeState.Live, rig.Node.State);
        Assert.DoesNotContain(rig.All, e => e.Kind is NodeEffectKind.NoteEpoch or NodeEffectKind.NoteServer);
        Assert.Equal(2, rig.Sent.Count(sent => sent.Header.Kind == FrameKind.Attach));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Completed_records_are_collected_and_counted(bool countIsRight)
    {
        NodeRig rig = Started();
        rig.ToAttaching();
        rig.Completed(new CompletedEntry(1, 3, 0, 9), new CompletedEntry(0, 7, 1, 4));
        rig.Completed(new CompletedEntry(63, 4000, 0, 1)); // beyond what was ever asked for: forgotten
        rig.Grant.CompletedCount = countIsRight ? 3u : 2u;
        rig.AttachOk();
        Assert.Equal(countIsRight ? ClientNodePhase.NotingEpoch : ClientNodePhase.Ending, rig.Node.Phase);
        Assert.True(rig.Shared.Completed.TryFind(1, 3, 9, out _));
        Assert.True(rig.Shared.Completed.TryFind(0, 7, 4, out ushort status) && status == 1);
        Assert.False(rig.Shared.Completed.TryFind(0, 7, 5, out _));
    }

    [Fact]
    public void The_boot_id_of_the_export_counts_not_that_of_the_process()
    {
        NodeRig rig = Started();
        rig.Connected();
        rig.Hello(boot: 5);
        rig.AttachOk();
        Assert.Equal(ClientNodePhase.NotingEpoch, rig.Node.Phase);
        rig.Do(node => node.OnEpochNoted(true, rig.NowMs));
        rig.Connected(1);
        rig.Hello(1, boot: 6);
        Assert.Equal(FrameKind.Join, rig.Sent[^1].Header.Kind); // the epoch and the token say whether it fits
    }

    [Fact]
    public void A_take_over_also_serves_a_device_that_was_fenced_before()
    {
        NodeRig rig = Started(options: NodeRig.Options(2, lastEpoch: 4, takeOver: true));
        rig.ToAttaching();
        rig.Error(RefusalCode.Fenced, epoch: 6);
        rig.LetAllGo(lanesUp: false);
        rig.NextTry();
        rig.ToAttaching();
        Assert.True(rig.LastAttach() is { TakeOver: true, Replaces: 6 });
        rig.Error(RefusalCode.Fenced, epoch: 7);
        rig.LetAllGo(lanesUp: false);
        Assert.Equal(ClientNodePhase.Failed, rig.Node.Phase);
    }

    [Fact]
    public void Goodbye_gives_the_hold_back()
    {
        NodeRig rig = Started();
        rig.ToLive();
        rig.Leave();
        Assert.Equal(FrameKind.Goodbye, rig.Sent[^1].Header.Kind);
        rig.Do(node => node.OnLost(1, EpochEnd.ConnectionLost, rig.NowMs)); // the server closes all, in any order
        rig.Error(RefusalCode.EpochOver, connection: 1);
        Assert.Equal(ClientNodePhase.Leaving, rig.Node.Phase);
        rig.Plain(FrameKind.Goodbye, rig.Epoch);
        rig.LetAllGo();
        Assert.Equal(ClientNodePhase.Closed, rig.Node.Phase);
        Assert.True(rig.Node.HoldGivenBack);
    }

    /// <summary>GOODBYE is the last frame: a lane could still flush its log.</summary>
    [Fact]
    public void Goodbye_waits_until_the_lanes_are_closed()
    {
        NodeRig rig = Started();
        rig.ToLive();
        rig.Do(node => node.Leave(rig.NowMs));
        Assert.NotEmpty(rig.Orders(LaneOrderKind.Close));
        Assert.DoesNotContain(rig.Sent, sent => sent.Header.Kind == FrameKind.Goodbye);
        rig.Do(node => node.OnLost(0, EpochEnd.ConnectionLost, rig.NowMs));
        rig.LetAllGo();
        Assert.Equal(ClientNodePhase.Closed, rig.Node.Phase);
        Assert.False(rig.Node.HoldGivenBack);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(2)]
    public void A_goodbye_without_answer_closes_and_says_that_the_hold_stays(int way)
    {
        NodeRig rig = Started();
        rig.ToLive();
        rig.Leave();
        if (way == 0)
        {
            rig.NowMs += ClientLimits.GoodbyeMs;
            rig.Do(node => node.Tick(rig.NowMs));
        }
        else if (way == 1)
        {
            rig.Do(node => node.OnLost(0, EpochEnd.ConnectionLost, rig.NowMs));
        }
        else
        {
            rig.Plain(FrameKind.Goodbye); // of no epoch: no answer to ours
        }

        rig.LetAllGo();
        Assert.Equal(ClientNodePhase.Closed, rig.Node.Phase);
        Assert.False(rig.Node.HoldGivenBack);
    }

    /// <summary>S-33: only lanes of that connection hear of it, once.</summary>
    [Fact]
    public void A_refused_write_is_told_to_the_lanes_of_its_connection()
    {
        NodeRig rig = new();
        rig.Node.Start(rig.NowMs);
        rig.Take();
        rig.ToLive();
        rig.Error(RefusalCode.Checksum, connection: 1, slot: 3, sequence: 9);
        Assert.Equal([(1UL, 0UL), (1UL, 9UL)], rig.Orders(LaneOrderKind.Close).Select(o => (1UL, o.BadSequence)));
        Assert.Equal(3, rig.Orders(LaneOrderKind.Close).Last().BadSlot);
        rig.LetAllGo();
        rig.NextTry();
        rig.ToLive();
        rig.Error(RefusalCode.EpochOver);
        Assert.All(rig.Orders(LaneOrderKind.Close).Skip(2), order => Assert.Equal(0UL, order.BadSequence));
        Assert.Equal(2, rig.LastAttach().Lanes);
    }

    /// <summary>S-04: who leaves without a goodbye knows whether a hold may be left behind.</summary>
    [Fact]
    public void A_node_knows_whether_the_server_may_have_it_as_the_holder()
    {
        NodeRig rig = Started();
        Assert.False(rig.Node.MayHold);
        rig.ToAttaching();
        Assert.True(rig.Node.MayHold, "the answer may be lost");
        rig.Error(RefusalCode.Held, epoch: 3);
        Assert.False(rig.Node.MayHold);
        rig.LetAllGo(lanesUp: false);
        rig.NextTry();
        rig.ToAttaching();
        rig.Error(RefusalCode.UnknownExport);
        Assert.False(rig.Node.MayHold, "none was granted");
        rig.LetAllGo(lanesUp: false);
        rig.NextTry();
        rig.ToLive();
        Assert.True(rig.Node.MayHold);
        rig.Do(node => node.OnLost(0, EpochEnd.ConnectionLost, rig.NowMs));
        rig.LetAllGo();
        Assert.True(rig.Node.MayHold);
        rig.NextTry();
        rig.ToAttaching();
        rig.Error(RefusalCode.UnknownExport);
        Assert.True(rig.Node.MayHold, "it comes back when the export does");
        rig.LetAllGo(lanesUp: false);
        rig.NextTry();
        rig.ToAttaching();
        rig.Error(RefusalCode.Fenced, epoch: 9);
        Assert.False(rig.Node.MayHold);
        Assert.True(Started(options: NodeRig.Options(2, lastEpoch: 4)).Node.MayHold);
    }

    [Fact]
    public void Operators_reach_every_lane()
    {
        NodeRig rig = Started();
        rig.ToLive();
        Assert.All(rig.Do(node => node.Suspend()), e => Assert.Equal(LaneOrderKind.Hold, e.Order.Kind));
        Assert.Equal(ClientNodeState.Suspended, rig.Node.State);
        rig.Do(node => node.OnLost(0, EpochEnd.ConnectionLost, rig.NowMs));
        rig.LetAllGo();
        Assert.Equal((ClientNodePhase.Pausing, ClientNodeState.Suspended), (rig.Node.Phase, rig.Node.State));
        rig.NextTry();
        rig.ToLive();
        Assert.All(rig.Do(node => node.Resume()), e => Assert.Equal(LaneOrderKind.Unhold, e.Order.Kind));
        Assert.All(rig.Do(n => n.FailPending(DstStatus.IoError)), e => Assert.False(e.Order.ForEver));
        RequestBudget budget = new(1, 2, 3, EndsWithError: true);
        Assert.All(rig.Do(node => node.SetBudget(in budget)), e => Assert.Equal(budget, e.Order.Budget));
        Assert.Equal(8, rig.All.Count(e => e.Order.Kind >= LaneOrderKind.Fail));
    }
}
