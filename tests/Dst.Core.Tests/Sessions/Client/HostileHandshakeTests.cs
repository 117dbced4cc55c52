using System.Buffers.Binary;
using Dst.Core.Sessions.Client;
using Dst.Core.Wire;
using Xunit;

namespace Dst.Core.Tests.Sessions.Client;

/// <summary>
/// A server whose frame comes when it is awaited, but with an extreme value at every place of it and right checksums:
/// the node survives, says why, and goes live with an honest server afterwards (S-01, S-14, N-30, N-33).
/// </summary>
public sealed class HostileHandshakeTests
{
    private static readonly ulong[] Extremes =
        [0, 1, 2, 0x7f, 0xff, 0x7fff, 0xffff, int.MaxValue, uint.MaxValue, long.MaxValue, 1UL << 63, ulong.MaxValue];

    private static readonly ExportFacts Known = new(
        NodeRig.Identity, 1 << 30, 512, 1 << 20, 0, CacheMode.WriteThrough);

    [Theory]
    [InlineData(FrameKind.Hello)]
    [InlineData(FrameKind.AttachWait)]
    [InlineData(FrameKind.Completed)]
    [InlineData(FrameKind.AttachOk)]
    [InlineData(FrameKind.BeginOk)]
    [InlineData(FrameKind.JoinOk)]
    [InlineData(FrameKind.Error)]
    [InlineData(FrameKind.Pong)]
    public void An_extreme_value_anywhere_in_a_frame_is_survived(FrameKind kind)
    {
        byte[] honest = FrameOf(kind, At(kind));
        Take(At(kind), kind, honest);
        int refused = 0;
        int taken = 0;
        for (int at = 0; at < honest.Length; at++)
        {
            for (int width = 1; width <= sizeof(ulong) && at + width <= honest.Length; width *= 2)
            {
                foreach (ulong value in Extremes)
                {
                    byte[] frame = [.. honest];
                    BitConverter.GetBytes(value).AsSpan(0, width).CopyTo(frame.AsSpan(at));
                    Seal(frame);
                    NodeRig rig = At(kind);
                    if (Take(rig, kind, frame))
                    {
                        taken++;
                    }
                    else
                    {
                        refused++;
                    }

                    GoesLive(rig, $"{kind} byte {at}, {width} bytes {value:x}");
                }
            }
        }

        Assert.True(refused > 0, "every frame was taken");
        Assert.True(taken > 0 || kind == FrameKind.Error, "no frame was taken");
    }

    /// <summary>A node that waits for such a frame.</summary>
    private static NodeRig At(FrameKind kind)
    {
        NodeRig rig = new(change: _ => NodeRig.Options(2, known: Known));
        rig.Do(node => node.Start(rig.NowMs));
        switch (kind)
        {
            case FrameKind.Hello:
                rig.Connected();
                break;
            case FrameKind.BeginOk:
                rig.ToJoining();
                break;
            case FrameKind.JoinOk:
                rig.ToJoining();
                rig.Connected(1);
                rig.Hello(1);
                break;
            default:
                rig.ToAttaching();
                break;
        }

        return rig;
    }

    private static byte[] FrameOf(FrameKind kind, NodeRig rig)
    {
        byte[] frame = new byte[WireLimits.ControlFrameMaxBytes];
        HelloReply hello = new() { Version = 1, Nonce = 8, Checksums = DataChecksum.KnownKinds, BootId = NodeRig.Boot };
        AttachWaitMessage wait = new() { Requests = 2, WaitedMs = 1000 };
        ErrorMessage error = new() { Epoch = 4, Holder = new WireText("host2"), Slot = 3, Sequence = 9 };
        int length = kind switch
        {
            FrameKind.Hello => MessageCodec.Write(in hello, frame),
            FrameKind.AttachWait => MessageCodec.Write(in wait, frame),
            FrameKind.Completed => MessageCodec.WriteCompleted(rig.Epoch, [new CompletedEntry(1, 5, 0, 42)], frame),
            FrameKind.AttachOk => MessageCodec.Write(rig.Epoch, in rig.Grant, frame),
            FrameKind.JoinOk => MessageCodec.WriteJoinOk(rig.Epoch, 1, frame),
            FrameKind.Error => MessageCodec.Write(RefusalCode.Held, in error, frame),
            FrameKind.BeginOk => MessageCodec.WritePlain(kind, rig.Epoch, 0, frame),
            _ => MessageCodec.WritePlain(kind, 0, 1, frame),
        };
        return frame[..length];
    }

    /// <summary>What RX and the session thread make of the frame; true when the node goes on with it.</summary>
    private static bool Take(NodeRig rig, FrameKind kind, byte[] frame)
    {
        int connection = kind == FrameKind.JoinOk ? 1 : 0;
        bool whole = FrameCodec.TryRead(frame, out FrameHeader header) == WireError.None
            && header.Kind != FrameKind.Reply
            && header.BodyBytes <= frame.Length - WireLimits.HeaderBytes;
        if (!whole)
        {
            rig.Do(node => node.OnLost(connection, EpochEnd.Protocol, rig.NowMs));
        }
        else
        {
            byte[] body = frame[WireLimits.HeaderBytes..(WireLimits.HeaderBytes + (int)header.BodyBytes)];
            rig.Do(node => node.OnFrame(connection, in header, body, rig.NowMs));
        }

        return rig.Node.Phase != ClientNodePhase.Ending;
    }

    private static void GoesLive(NodeRig rig, string what)
    {
        ClientNode node = rig.Node;
        try
        {
            if (node.Phase == ClientNodePhase.NotingEpoch)
            {
                rig.Do(node => node.OnEpochNoted(true, rig.NowMs));
            }

            rig.Do(node => node.OnLost(0, EpochEnd.ConnectionLost, rig.NowMs));
            Assert.Equal(ClientNodePhase.Ending, node.Phase);
            Assert.NotEqual(EpochEnd.None, node.LastEnd);
            for (int i = 0; i < 2; i++)
            {
                int connection = i;
                if (Count(rig, NodeEffectKind.Connect, i) > 0
                    && !rig.Sent.Exists(sent => sent.Connection == connection && sent.Header.Kind == FrameKind.Hello))
                {
                    rig.Do(node => node.OnConnectFailed(connection, rig.NowMs));
                }
            }

            rig.LetAllGo(lanesUp: rig.Orders(LaneOrderKind.Close).Any());
            if (node.Phase == ClientNodePhase.Failed)
            {
                // Only a word that means for ever.
                Assert.Equal(RetryRule.Never, RefusalTable.RetryOf(node.LastRefusal));
                return;
            }

            rig.NextTry();
            rig.Epoch = ulong.Max(rig.Epoch, node.LastEpoch + 1);
            rig.ToLive();
        }
        catch (Exception e)
        {
            throw new InvalidOperationException($"{what}: {node.Phase}, {node.LastEnd}, {node.LastFault}", e);
        }
    }

    private static int Count(NodeRig rig, NodeEffectKind kind, int connection) =>
        rig.All.Count(effect => effect.Kind == kind && effect.Connection == connection);

    private static void Seal(byte[] frame)
    {
        const int bodyChecksumAt = 56;
        if (frame.Length > WireLimits.HeaderBytes)
        {
            uint body = DataChecksum.Crc32C(frame.AsSpan(WireLimits.HeaderBytes));
            BinaryPrimitives.WriteUInt32LittleEndian(frame.AsSpan(bodyChecksumAt), body);
        }

        BinaryPrimitives.WriteUInt32LittleEndian(
            frame.AsSpan(WireLimits.HeaderBytes - sizeof(uint)), FrameCodec.ChecksumOf(frame));
    }
}
