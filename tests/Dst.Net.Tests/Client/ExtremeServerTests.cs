using System.Net.Sockets;
using Dst.Core.Requests;
using Dst.Core.Sessions.Client;
using Dst.Core.Wire;
using Dst.Net.Client;

namespace Dst.Net.Tests.Client;

/// <summary>
/// Servers whose handshake has an extreme value in one field: the node refuses or bears it, goes live with an honest
/// one afterwards, and its neighbour notices nothing (S-01, S-14, N-33).
/// </summary>
public sealed class ExtremeServerTests
{
    /// <summary>Nodes that are ill-treated side by side: each waits most of its time to connect again.</summary>
    private const int Nodes = 24;

    private const int PauseMaxMs = 10;

    private static readonly FrameKind[] Kinds =
    [
        FrameKind.Hello, FrameKind.AttachWait, FrameKind.Completed, FrameKind.AttachOk, FrameKind.BeginOk,
        FrameKind.JoinOk, FrameKind.Error,
    ];

    [Fact]
    public async Task An_extreme_field_is_refused_or_borne_and_the_node_goes_live_afterwards()
    {
        using TestServer honest = new();
        honest.Add("mem:1M");
        using NetworkNode good = TestNode.Open(TestNode.Unix(honest));
        using TestQueue queue = TestQueue.Start(1, good)[0];
        List<(FrameKind Kind, Extreme Extreme)> all =
        [
            .. from kind in Kinds
               from extreme in Extreme.Of(Script.FrameOf(kind, 1, ChecksumKind.Xxh3))
               select (kind, extreme),
        ];
        int next = -1;
        int refused = 0;
        Task run = Task.WhenAll(
            Enumerable.Range(0, Nodes).Select(_ => Task.Factory.StartNew(
                () =>
                {
                    using Script script = new();
                    for (int i = Interlocked.Increment(ref next); i < all.Count; i = Interlocked.Increment(ref next))
                    {
                        bool said = script.Spoil(all[i].Kind, all[i].Extreme);
                        Interlocked.Add(ref refused, said ? 1 : 0);
                    }

                    script.GoesLive();
                },
                CancellationToken.None,
                TaskCreationOptions.LongRunning,
                TaskScheduler.Default)));
        byte[] data = NetworkNodeTests.Bytes(4096, 1);
        do
        {
            Assert.Equal(DstStatus.Ok, queue.Write(0, data));
            Assert.Equal(DstStatus.Ok, queue.Flush());
            await Task.Delay(20, TestContext.Current.CancellationToken);
        }
        while (!run.IsCompleted);

        await run;
        Assert.InRange(refused, all.Count / 4, all.Count);
        Assert.Equal(0, good.Status.Reconnects);
    }

    /// <summary>A node of two connections and the server that it finds, by hand.</summary>
    private sealed class Script : IDisposable
    {
        private readonly FakeServer _server = new();
        private readonly MemoryStores _stores = new();
        private readonly NetworkNode _node;
        private List<FakePeer> _peers;

        public Script()
        {
            Task<List<FakePeer>> peers = Task.Factory.StartNew(
                () => Handshake(), CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
            _node = TestNode.Open(
                TestNode.Tcp(_server.Port, ",connections=2"), _stores, queues: 2, pauseMaxMs: PauseMaxMs);
            _peers = peers.Result;
        }

        public static byte[] FrameOf(FrameKind kind, ulong epoch, ChecksumKind checksum)
        {
            byte[] frame = new byte[WireLimits.ControlFrameMaxBytes];
            HelloReply hello = new()
            {
                Version = 1,
                Nonce = 1,
                Checksums = DataChecksum.KnownKinds,
                BootId = FakeServer.BootId,
            };
            AttachWaitMessage wait = new() { Requests = 2, WaitedMs = 1000 };
            ErrorMessage error = new() { Holder = new WireText("host2"), Epoch = 4, Slot = 3, Sequence = 9 };
            AttachOkMessage ok = new()
            {
                Token = 5,
                Identity = TestServer.Identity,
                Geometry = new ExportGeometry(64 << 20, 1 << 20, 512, 1 << 20, 512, ExportCapabilities.Discard),
                BootId = FakeServer.BootId,
                Credits = new CreditGrant(2, 64, 32 << 20),
                Checksum = checksum,
            };
            int length = kind switch
            {
                FrameKind.Hello => MessageCodec.Write(in hello, frame),
                FrameKind.AttachWait => MessageCodec.Write(in wait, frame),
                FrameKind.Completed => MessageCodec.WriteCompleted(epoch, [new CompletedEntry(1, 5, 0, 42)], frame),
                FrameKind.AttachOk => MessageCodec.Write(epoch, in ok, frame),
                FrameKind.JoinOk => MessageCodec.WriteJoinOk(epoch, 1, frame),
                FrameKind.Error => MessageCodec.Write(RefusalCode.EpochOver, in error, frame),
                _ => MessageCodec.WritePlain(kind, epoch, 0, frame),
            };
            return frame[..length];
        }

        /// <summary>Ends what there is, and spoils a frame of the next handshake.</summary>
        /// <returns>True when the node said that it refuses it.</returns>
        public bool Spoil(FrameKind kind, Extreme extreme)
        {
            Close();
            _peers = Handshake(kind, extreme);
            FakePeer last = _peers[^1];
            bool refused = false;
            try
            {
                last.Socket.Shutdown(SocketShutdown.Send);
                while (true)
                {
                    refused |= last.Receive().Kind == FrameKind.Error;
                }
            }
            catch (Exception e) when (e is EndOfStreamException or SocketException)
            {
                Assert.False(
                    e is SocketException { SocketErrorCode: SocketError.TimedOut }, $"{kind} {extreme}: no end");
            }

            return refused;
        }

        public void GoesLive()
        {
            Close();
            _peers = Handshake();
            TestServer.Eventually(() => _node.Status.Phase == ClientNodePhase.Live, $"live: {_node.Status}");
        }

        public void Dispose()
        {
            Close();
            _node.Dispose();
            _server.Dispose();
        }

        private void Close()
        {
            _peers.ForEach(peer => peer.Dispose());
            _peers = [];
        }

        /// <summary>The server's side, up to the frame that is spoiled.</summary>
        private List<FakePeer> Handshake(FrameKind? spoiled = null, Extreme? extreme = null)
        {
            // What the node had begun before its last epoch ended may still stand in line.
            const int tries = 10;
            for (int i = 1; ; i++)
            {
                List<FakePeer> peers = [];
                try
                {
                    Handshake(peers, spoiled, extreme);
                    return peers;
                }
                catch (Exception e) when (i < tries && (e is EndOfStreamException or SocketException))
                {
                    peers.ForEach(peer => peer.Dispose());
                }
            }
        }

        private void Handshake(List<FakePeer> peers, FrameKind? spoiled, Extreme? extreme)
        {
            ulong epoch = _stores.Epoch + 1;
            ChecksumKind checksum = ChecksumKind.Xxh3;
            FakePeer first = _server.Accept();
            peers.Add(first);
            Await(first, FrameKind.Hello);
            if (Send(first, FrameKind.Hello))
            {
                return;
            }

            Await(first, FrameKind.Attach);
            Assert.Equal(WireError.None, MessageCodec.TryRead(first.Body, out AttachMessage attach));
            checksum = attach.Checksum;
            bool aside = spoiled is FrameKind.AttachWait or FrameKind.Completed or FrameKind.Error;
            if ((aside && Send(first, spoiled!.Value)) || Send(first, FrameKind.AttachOk))
            {
                return;
            }

            Await(first, FrameKind.Begin);
            if (Send(first, FrameKind.BeginOk))
            {
                return;
            }

            FakePeer second = _server.Accept();
            peers.Add(second);
            Await(second, FrameKind.Hello);
            second.Send(FrameOf(FrameKind.Hello, epoch, checksum));
            Await(second, FrameKind.Join);
            Send(second, FrameKind.JoinOk);

            bool Send(FakePeer peer, FrameKind kind)
            {
                byte[] frame = FrameOf(kind, epoch, checksum);
                peer.Send(kind == spoiled ? extreme!.Of(frame) : frame);
                return kind == spoiled;
            }
        }

        private static void Await(FakePeer peer, FrameKind kind) => Assert.Equal(kind, peer.Receive().Kind);
    }
}
