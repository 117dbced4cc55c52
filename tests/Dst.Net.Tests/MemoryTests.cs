using System.Globalization;
using System.Net.Sockets;
using Dst.Core.Requests;
using Dst.Core.Wire;
using Dst.Net.Server;
using Dst.Net.Server.Engine;

namespace Dst.Net.Tests;

/// <summary>
/// What a server keeps for peers that mean no good, or were stopped, is bounded, and a client that plays by the rules
/// goes on beside them (S-31, S-32, N-32). Alone, since it looks at the memory of the process.
/// </summary>
[Collection(nameof(MemoryTests))]
[CollectionDefinition(nameof(MemoryTests), DisableParallelization = true)]
public sealed class MemoryTests
{
    private const int IdleConnections = 2_000;
    private const int SlowOnes = 32;
    private const int Pingers = 3;
    private const int Greedy = 3;
    private const int ReadBytes = 32 * 1024;
    private const int RunMs = WireLimits.SilenceMs + 2_000;

    /// <summary>Of the tests' own sockets, of code that is compiled meanwhile, and of the heap's own steps.</summary>
    private const long SlackBytes = 16 << 20;

    [Fact]
    public void Hostile_and_stopped_peers_take_no_more_than_their_bounds()
    {
        using TestServer server = new(128 << 20);
        server.Add("mem:16M", server.Settings(engines: 1) with { MemoryBytes = 64 << 20 });
        using ScriptedClient good = ScriptedClient.Live(server.EndPoint, TestServer.Name);
        ulong sequence = 0;
        GoOn(good, ref sequence, 500);
        GC.Collect();
        long boundBytes = (2L * ServerLimits.ConnectionsMax * Peer.BufferBytes) + SlackBytes;
        long beforeBytes = ResidentBytes();
        List<Socket> idle = [];
        using CancellationTokenSource end = new();
        using Hostiles hostiles = new(server);
        Thread thread = new(() => hostiles.Run(end.Token)) { Name = "hostiles" };
        long mostBytes = long.MinValue;
        try
        {
            for (int i = 0; i < IdleConnections; i++)
            {
                Socket socket = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
                socket.Connect(server.EndPoint);
                idle.Add(socket);
            }

            thread.Start();
            long start = Environment.TickCount64;
            long longestMs = 0;
            while (Environment.TickCount64 - start < RunMs)
            {
                long turn = Environment.TickCount64;
                GoOn(good, ref sequence, 10);
                longestMs = long.Max(longestMs, Environment.TickCount64 - turn);
                // What these clients leave: the runtime lets that grow with the processor's cache.
                GC.Collect(0);
                mostBytes = long.Max(mostBytes, ResidentBytes() - beforeBytes);
            }

            Assert.InRange(longestMs, 0, WireLimits.SilenceMs);
            Assert.True(mostBytes < boundBytes, $"{mostBytes >> 20} MiB more, {boundBytes >> 20} allowed");
            Assert.InRange(server.Host.Status().Unattached, 0, WireLimits.UnattachedMax);
            Assert.True(hostiles.SentBytes > 4 * boundBytes, $"only {hostiles.SentBytes >> 20} MiB of hostile frames");
            Assert.True(server.Count(NetCounter.Dead) > 0, "who is stopped is kept");
        }
        finally
        {
            end.Cancel();
            _ = thread.ThreadState == ThreadState.Unstarted || thread.Join(10_000);
            idle.ForEach(socket => socket.Dispose());
        }
    }

    private static void GoOn(ScriptedClient good, ref ulong sequence, int times)
    {
        for (int i = 0; i < times; i++)
        {
            byte[] data = DataPathTests.Bytes(4096, (int)sequence);
            Assert.Equal(DstStatus.Ok, good.Write(0, ++sequence, 0, data));
            Assert.Equal(data, good.Read(1, sequence, 0, data.Length));
        }
    }

    private static long ResidentBytes()
    {
        string line = File.ReadLines("/proc/self/status").First(
            text => text.StartsWith("RssAnon:", StringComparison.Ordinal));
        string number = line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1];
        return long.Parse(number, CultureInfo.InvariantCulture) * 1024;
    }

    /// <summary>All of them on one thread, whose sockets never block: it sends what they take, reads nothing.</summary>
    private sealed class Hostiles(TestServer server) : IDisposable
    {
        private const int Frames = 1024;

        private readonly List<Stream> _streams = [];
        private readonly List<Socket> _slow = [];

        public long SentBytes { get; private set; }

        public void Run(CancellationToken end)
        {
            byte[] pings = new byte[Frames * WireLimits.HeaderBytes];
            for (int i = 0; i < Frames; i++)
            {
                MessageCodec.WritePlain(FrameKind.Ping, 0, 1, pings.AsSpan(i * WireLimits.HeaderBytes));
            }

            // One that was stopped in the middle of its work.
            Greet(reads: true, _ => []);
            for (int i = 0; i < Pingers; i++)
            {
                Greet(reads: false, _ => pings);
                Greet(reads: true, _ => pings);
            }

            for (int i = 0; i < Greedy; i++)
            {
                Greet(reads: true, Reads);
            }

            while (!end.IsCancellationRequested)
            {
                foreach (Stream stream in _streams)
                {
                    SentBytes += stream.Go();
                }

                Dribble();
                Thread.Sleep(1);
            }
        }

        public void Dispose()
        {
            _streams.ForEach(stream => stream.Client.Dispose());
            _slow.ForEach(socket => socket.Dispose());
        }

        private void Greet(bool reads, Func<ScriptedClient, byte[]> frames)
        {
            ScriptedClient client = ScriptedClient.Connect(server.EndPoint);
            client.Wanted = new CreditGrant(1, 16, 1 << 20);
            client.Greet();
            if (reads)
            {
                Assert.Equal(FrameKind.AttachOk, client.Attach(TestServer.Name, access: AccessKind.ReadOnly).Kind);
                client.SendRequest(Operation.Read, 0, 1, 0, ReadBytes);
            }

            client.Socket.Blocking = false;
            _streams.Add(new Stream(client, frames(client)));
        }

        /// <summary>Reads in all slots, over and over; what comes back is not fetched.</summary>
        private static byte[] Reads(ScriptedClient client)
        {
            byte[] frames = new byte[Frames * WireLimits.HeaderBytes];
            for (int i = 0; i < Frames; i++)
            {
                int slots = client.Granted.Credits.Requests;
                FrameHeader header = client.Request(
                    Operation.Read, (ushort)(i % slots), (ulong)(2 + (i / slots)), 0, ReadBytes);
                FrameCodec.Write(in header, frames.AsSpan(i * WireLimits.HeaderBytes));
            }

            return frames;
        }

        /// <summary>A byte of a HELLO each time; who is thrown out comes again.</summary>
        private void Dribble()
        {
            byte[] hello = new byte[WireLimits.HeaderBytes];
            FrameCodec.Write(new FrameHeader { Kind = FrameKind.Hello, BodyBytes = 100 }, hello);
            _slow.RemoveAll(socket =>
            {
                bool isGone = socket.Send(hello.AsSpan(0, 1), SocketFlags.None, out SocketError error) <= 0
                    && error != SocketError.WouldBlock;
                if (isGone)
                {
                    socket.Dispose();
                }

                return isGone;
            });
            while (_slow.Count < SlowOnes)
            {
                Socket socket = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
                socket.Connect(server.EndPoint);
                socket.Blocking = false;
                _slow.Add(socket);
            }
        }

        private sealed class Stream(ScriptedClient client, byte[] frames)
        {
            private int _at;

            public ScriptedClient Client => client;

            public int Go()
            {
                int all = 0;
                while (frames.Length > 0)
                {
                    int sent = client.Socket.Send(frames.AsSpan(_at), SocketFlags.None, out SocketError _);
                    if (sent <= 0)
                    {
                        break;
                    }

                    all += sent;
                    _at = (_at + sent) % frames.Length;
                }

                return all;
            }
        }
    }
}
