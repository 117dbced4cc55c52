using Dst.Core.Requests;
using Dst.Core.Sessions.Client;
using Dst.Core.Wire;
using Xunit;

namespace Dst.Core.Tests.Sessions.Client;

/// <summary>Every frame in every state of a connection, and every order in every stage of a lane (N-33).</summary>
public sealed class ClientTableTests
{
    public enum Place
    {
        Greeting,
        Attaching,
        Draining,
        Granted,
        Beginning,
        JoinGreeting,
        Joining,
        Settling,
        Live,
        Leaving,
        Shut,
    }

    public enum Answer
    {
        Refuses,
        GoesOn,
        EndsAttempt,
    }

    public static TheoryData<Place, FrameKind> Frames
    {
        get
        {
            TheoryData<Place, FrameKind> data = [];
            foreach (Place place in Enum.GetValues<Place>())
            {
                foreach (FrameKind kind in Enum.GetValues<FrameKind>().Where(kind => kind != FrameKind.None))
                {
                    data.Add(place, kind);
                }
            }

            return data;
        }
    }

    private static Answer Expected(Place place, FrameKind kind) => (place, kind) switch
    {
        (Place.Shut, _) => Answer.GoesOn,
        (_, FrameKind.Ping or FrameKind.Pong) => Answer.GoesOn,
        (_, FrameKind.Error) or (Place.Leaving, FrameKind.Goodbye) => Answer.EndsAttempt,
        (Place.Greeting or Place.JoinGreeting, FrameKind.Hello) => Answer.GoesOn,
        (Place.Attaching or Place.Draining, FrameKind.AttachWait or FrameKind.Completed or FrameKind.AttachOk) =>
            Answer.GoesOn,
        (Place.Beginning, FrameKind.BeginOk) => Answer.GoesOn,
        (Place.Joining, FrameKind.JoinOk) => Answer.GoesOn,
        _ => Answer.Refuses,
    };

    [Theory]
    [MemberData(nameof(Frames))]
    public void Every_frame_has_an_answer_in_every_state(Place place, FrameKind kind)
    {
        NodeRig rig = new();
        rig.Do(node => node.Start(rig.NowMs));
        int connection = Bring(rig, place);
        rig.Sent.Clear();
        ClientNodePhase before = rig.Node.Phase;
        Give(rig, kind, connection);
        bool saidWhy = rig.Sent.Exists(
            sent => sent.Header is { Kind: FrameKind.Error, Status: (ushort)RefusalCode.Protocol });
        Answer answer = before != ClientNodePhase.Ending && rig.Node.Phase == ClientNodePhase.Ending
            ? saidWhy ? Answer.Refuses : Answer.EndsAttempt
            : Answer.GoesOn;
        Assert.Equal(Expected(place, kind), answer);
        Assert.Equal(
            kind == FrameKind.Ping && place != Place.Shut, rig.Sent.Exists(s => s.Header.Kind == FrameKind.Pong));
    }

    private static int Bring(NodeRig rig, Place place)
    {
        switch (place)
        {
            case Place.Greeting:
                rig.Connected();
                return 0;
            case Place.Attaching:
                rig.ToAttaching();
                return 0;
            case Place.Draining:
                rig.ToAttaching();
                Give(rig, FrameKind.AttachWait, 0);
                Assert.Equal(ClientNodePhase.Draining, rig.Node.Phase);
                return 0;
            case Place.Granted:
                rig.ToAttaching();
                rig.AttachOk();
                return 0;
            case Place.Beginning:
                rig.ToJoining();
                return 0;
            case Place.JoinGreeting or Place.Joining:
                rig.ToJoining();
                rig.Connected(1);
                if (place == Place.Joining)
                {
                    rig.Hello(1);
                }

                return 1;
            case Place.Settling:
                rig.ToSettling();
                return 0;
            default:
                rig.ToLive();
                if (place == Place.Leaving)
                {
                    rig.Leave();
                }
                else if (place == Place.Shut)
                {
                    rig.Do(node => node.OnLost(1, EpochEnd.ConnectionLost, rig.NowMs));
                }

                return 0;
        }
    }

    private static void Give(NodeRig rig, FrameKind kind, int connection)
    {
        byte[] frame = new byte[WireLimits.ControlFrameMaxBytes];
        switch (kind)
        {
            case FrameKind.Hello:
                rig.Hello(connection);
                break;
            case FrameKind.AttachWait:
                AttachWaitMessage wait = new() { Requests = 1 };
                rig.Frame(connection, frame.AsSpan(0, MessageCodec.Write(in wait, frame)));
                break;
            case FrameKind.Completed:
                int length = MessageCodec.WriteCompleted(rig.Epoch, [new CompletedEntry(0, 0, 0, 1)], frame);
                rig.Frame(connection, frame.AsSpan(0, length));
                break;
            case FrameKind.AttachOk:
                rig.AttachOk(connection);
                break;
            case FrameKind.JoinOk:
                rig.Frame(connection, frame.AsSpan(0, MessageCodec.WriteJoinOk(rig.Epoch, 1, frame)));
                break;
            case FrameKind.Error:
                rig.Error(RefusalCode.Busy, connection: connection);
                break;
            case FrameKind.Request or FrameKind.Reply:
                FrameHeader header =
                    new() { Kind = kind, Operation = Operation.Flush, Epoch = rig.Epoch, Sequence = 1 };
                rig.Do(node => node.OnFrame(connection, in header, [], rig.NowMs));
                break;
            case FrameKind.Begin or FrameKind.BeginOk or FrameKind.Goodbye:
                rig.Plain(kind, rig.Epoch, connection: connection);
                break;
            case FrameKind.Ping or FrameKind.Pong:
                rig.Plain(kind, sequence: 5, connection: connection);
                break;
            default:
                FrameHeader other = new() { Kind = kind, Epoch = kind == FrameKind.Join ? rig.Epoch : 0 };
                rig.Do(node => node.OnFrame(connection, in other, [], rig.NowMs));
                break;
        }
    }

    [Theory]
    [InlineData(FrameKind.Hello, false)]
    [InlineData(FrameKind.Hello, true)]
    [InlineData(FrameKind.AttachWait, false)]
    [InlineData(FrameKind.AttachWait, true)]
    [InlineData(FrameKind.Completed, false)]
    [InlineData(FrameKind.Completed, true)]
    [InlineData(FrameKind.AttachOk, false)]
    [InlineData(FrameKind.AttachOk, true)]
    [InlineData(FrameKind.JoinOk, false)]
    [InlineData(FrameKind.JoinOk, true)]
    public void A_body_of_rubbish_or_damaged_is_refused_in_its_own_state(FrameKind kind, bool damaged)
    {
        NodeRig rig = new();
        rig.Do(node => node.Start(rig.NowMs));
        int connection = Bring(rig, kind switch
        {
            FrameKind.Hello => Place.Greeting,
            FrameKind.JoinOk => Place.Joining,
            _ => Place.Attaching,
        });
        byte[] body = [255, 255, 255, 255, 1, 2, 3, 255, 5, 6, 7, 8, 9, 10, 11, 12];
        FrameHeader header = new() { Kind = kind, Epoch = rig.Epoch, BodyBytes = 16 };
        header.BodyChecksum = DataChecksum.Crc32C(body) ^ (damaged ? 1u : 0);
        rig.Do(node => node.OnFrame(connection, in header, body, rig.NowMs));
        EpochEnd reason = damaged ? EpochEnd.BadData : EpochEnd.Protocol;
        RefusalCode said = damaged ? RefusalCode.Checksum : RefusalCode.Protocol;
        Assert.Equal((ClientNodePhase.Ending, reason), (rig.Node.Phase, rig.Node.LastEnd));
        Assert.Equal((ushort)said, rig.Sent[^1].Header.Status);
    }

    public static TheoryData<LaneStage, LaneOrderKind> Orders
    {
        get
        {
            TheoryData<LaneStage, LaneOrderKind> data = [];
            foreach (LaneStage stage in Enum.GetValues<LaneStage>())
            {
                foreach (LaneOrderKind kind in Enum.GetValues<LaneOrderKind>())
                {
                    data.Add(stage, kind);
                }
            }

            return data;
        }
    }

    [Theory]
    [MemberData(nameof(Orders))]
    public void Every_order_in_every_stage_is_obeyed_or_ends_the_process(LaneStage stage, LaneOrderKind kind)
    {
        LaneRig rig = new();
        LaneOrderKind[] way = [LaneOrderKind.Settle, LaneOrderKind.Resend, LaneOrderKind.Open, LaneOrderKind.Close];
        foreach (LaneOrderKind step in way.TakeWhile(_ => rig.Lane.Stage != stage))
        {
            rig.Order(step);
        }

        Assert.Equal(stage, rig.Lane.Stage);
        LaneStage? next = (stage, kind) switch
        {
            (LaneStage.Down, LaneOrderKind.Settle) => LaneStage.Settled,
            (LaneStage.Settled, LaneOrderKind.Recover) => LaneStage.Settled,
            (LaneStage.Settled, LaneOrderKind.Resend) => LaneStage.Resending,
            (LaneStage.Resending, LaneOrderKind.Open) => LaneStage.Open,
            (LaneStage.Settled or LaneStage.Resending or LaneStage.Open, LaneOrderKind.Close) => LaneStage.Closing,
            (LaneStage.Closing, LaneOrderKind.LetGo) => LaneStage.Down,
            (_, >= LaneOrderKind.Fail) => stage,
            _ => null,
        };
        if (next is { } expected)
        {
            rig.Order(kind, change: box => box.Order.Status = DstStatus.IoError);
            Assert.Equal(expected, rig.Lane.Stage);
        }
        else
        {
            MustFail.Message(() => rig.Order(kind));
        }
    }

    public static TheoryData<Place> Places => [.. Enum.GetValues<Place>()];

    [Theory]
    [MemberData(nameof(Places))]
    public void A_lost_connection_and_a_stop_end_every_state(Place place)
    {
        NodeRig lost = new();
        lost.Do(node => node.Start(lost.NowMs));
        Bring(lost, place);
        lost.Do(node => node.OnLost(0, EpochEnd.ConnectionLost, lost.NowMs));
        Assert.Equal(ClientNodePhase.Ending, lost.Node.Phase);
        NodeRig stopped = new();
        stopped.Do(node => node.Start(stopped.NowMs));
        Bring(stopped, place);
        bool lanesUp = stopped.Orders(LaneOrderKind.Settle).Any();
        stopped.Do(node => node.Stop(stopped.NowMs));
        if (place == Place.Granted)
        {
            stopped.Do(node => node.OnEpochNoted(true, stopped.NowMs));
        }

        if (place == Place.Beginning)
        {
            stopped.Do(node => node.OnConnectFailed(1, stopped.NowMs));
        }

        stopped.LetAllGo(lanesUp);
        Assert.Equal(ClientNodePhase.Closed, stopped.Node.Phase);
    }
}
