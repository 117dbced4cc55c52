using System.Net.Sockets;
using Dst.Core.Requests;
using Dst.Core.Wire;

namespace Dst.Net.Tests;

/// <summary>
/// Clients whose handshake has an extreme value in one field: answered or refused, and nobody else notices (S-01,
/// N-30).
/// </summary>
public sealed class ExtremeClientTests
{
    private const string Other = "disk2";
    private const int ReleaseMs = 10_000;

    [Theory]
    [InlineData(FrameKind.Hello, FrameKind.Hello)]
    [InlineData(FrameKind.Attach, FrameKind.AttachOk)]
    [InlineData(FrameKind.Join, FrameKind.JoinOk)]
    [InlineData(FrameKind.Begin, FrameKind.BeginOk)]
    public void An_extreme_field_is_refused_or_answered_and_hurts_nobody_else(FrameKind kind, FrameKind answer)
    {
        using TestServer server = new();
        server.Add("mem:1M");
        server.Add("mem:1M", server.Settings(Other));
        using ScriptedClient good = ScriptedClient.Live(server.EndPoint, TestServer.Name);
        byte[] data = DataPathTests.Bytes(512, 4);
        int refused = 0;
        int taken = 0;
        List<Extreme> extremes;
        using (Attempt honest = new(server, kind))
        {
            extremes = Extreme.Of(honest.Frame);
            Assert.Contains(answer, honest.Send(honest.Frame, isWhole: true));
        }

        for (int i = 0; i < extremes.Count; i++)
        {
            server.Host.ReleaseHold(Other, ReleaseMs);
            using Attempt attempt = new(server, kind);
            List<FrameKind> answers = attempt.Send(extremes[i].Of(attempt.Frame), !extremes[i].IsBodyLength);
            Assert.True(
                answers.All(one => one == answer || one == FrameKind.Error),
                $"{extremes[i]}: {string.Join(' ', answers)}");
            Assert.False(extremes[i].IsInHeader && answers.Contains(answer), $"{extremes[i]} of a header is taken");
            refused += answers.Contains(FrameKind.Error) ? 1 : 0;
            taken += answers.Contains(answer) ? 1 : 0;
            Assert.Equal(DstStatus.Ok, good.Write(0, (ulong)(2 * i) + 1, 512, data));
            Assert.Equal(data, good.Read(0, (ulong)(2 * i) + 2, 512, data.Length));
        }

        Assert.InRange(refused, extremes.Count / 3, extremes.Count);
        Assert.True(taken > 0 || kind is FrameKind.Begin or FrameKind.Join, "no frame was taken");
        using ScriptedClient last = ScriptedClient.Live(
            server.EndPoint, Other, with: client => server.Host.ReleaseHold(Other, ReleaseMs));
        Assert.Equal(DstStatus.Ok, last.Write(0, 1, 0, data));
    }

    /// <summary>A connection that has come as far as it can before the frame in question.</summary>
    private sealed class Attempt : IDisposable
    {
        private readonly ScriptedClient? _first;
        private readonly ScriptedClient _client;

        public Attempt(TestServer server, FrameKind kind)
        {
            _first = kind == FrameKind.Join
                ? ScriptedClient.Live(
                    server.EndPoint, Other, with: client => client.Wanted = client.Wanted with { Connections = 2 })
                : null;
            _client = ScriptedClient.Connect(server.EndPoint);
            if (kind != FrameKind.Hello)
            {
                _client.Greet();
            }

            if (kind == FrameKind.Begin)
            {
                Assert.Equal(FrameKind.AttachOk, _client.Attach(Other).Kind);
            }

            Frame = FrameOf(kind);
        }

        public byte[] Frame { get; }

        /// <summary>Sends a frame and nothing more; gives what comes until the server closes.</summary>
        public List<FrameKind> Send(byte[] frame, bool isWhole)
        {
            List<FrameKind> answers = [];
            _client.Send(frame);
            bool open = !isWhole || Receive();
            try
            {
                _client.Socket.Shutdown(SocketShutdown.Send);
            }
            catch (SocketException)
            {
                // Closed already.
            }

            while (open)
            {
                open = Receive();
            }

            return answers;

            bool Receive()
            {
                Frame? answer = _client.TryReceive(pings: true);
                answers.AddRange(answer is null ? [] : [answer.Kind]);
                return answer is not null;
            }
        }

        public void Dispose()
        {
            _client.Dispose();
            _first?.Dispose();
        }

        private byte[] FrameOf(FrameKind kind)
        {
            byte[] frame = new byte[WireLimits.ControlFrameMaxBytes];
            HelloMessage hello = new()
            {
                VersionMin = 1,
                VersionMax = 1,
                Nonce = 5,
                Checksums = DataChecksum.KnownKinds,
                Software = new WireText("test"),
            };
            AttachMessage attach = _client.AttachOf(Other);
            JoinMessage join = new()
            {
                Challenge = _client.Hello.Nonce,
                Export = new WireText(Other),
                Token = _first?.Granted.Token ?? 1,
                Connection = 1,
            };
            int length = kind switch
            {
                FrameKind.Hello => MessageCodec.Write(in hello, frame),
                FrameKind.Attach => MessageCodec.Write(in attach, frame),
                FrameKind.Join => MessageCodec.Write(_first!.Epoch, in join, frame),
                _ => MessageCodec.WritePlain(kind, _client.Epoch, 0, frame),
            };
            return frame[..length];
        }
    }
}
