using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using Dst.Core.Specs;
using Dst.Core.Volumes;
using Dst.Core.Wire;
using Dst.Net.Client;
using Dst.Net.Server;
using Dst.Net.Server.Engine;
using Dst.Net.Tests.Client;
using Dst.Nodes;
using Dst.Nodes.Backings;
using Dst.Nodes.Faults;
using Dst.Nodes.Local;
using Dst.Nodes.Marks;

namespace Dst.Net.Tests;

/// <summary>
/// A server on a Unix socket in a folder of its own; may be stopped and started again over the same state.
/// </summary>
internal sealed class TestServer : IDisposable
{
    public const string Name = "disk1";
    public const int MaxIoBytes = 1 << 20;
    public static readonly UInt128 Identity = 0x1234;

    /// <summary>Engine threads of an export unless its settings say otherwise.</summary>
    private const int Engines = 2;

    private const int InnerPauseMs = 20;
    private static readonly UInt128 InnerDevice = 0x6161;

    private readonly string _folder = Directory.CreateTempSubdirectory("dst-net").FullName;
    private readonly IHoldStore? _holds;

    /// <summary>What the export's own network node keeps over restarts of the server.</summary>
    private readonly MemoryStores _inner = new() { Notes = new NoServerNotes() };

    private ServerHost? _host;

    public TestServer(long memoryBytes = 64 << 20, IHoldStore? holds = null)
    {
        _holds = holds;
        Start(memoryBytes);
    }

    /// <summary>Put around every node that is opened from now on.</summary>
    public Func<Node, ExportSignals, Node> Around { get; set; } = static (node, _) => node;

    public ServerHost Host => _host!;

    public ConcurrentQueue<string> Log { get; } = new();

    public string Folder => _folder;

    public string SocketPath => Path.Join(_folder, "s");

    public EndPoint EndPoint => new UnixDomainSocketEndPoint(SocketPath);

    public void Start(long memoryBytes = 64 << 20) => _host = new ServerHost(new ServerHostOptions
    {
        MemoryBytes = memoryBytes,
        Holds = _holds ?? new FileHoldStore(_folder),
        Log = Log.Enqueue,
    });

    public void Stop()
    {
        Assert.True(_host!.Stop(), "the server does not end");
        _host = null;
    }

    public ExportSettings Settings(string name = Name, CacheMode cache = CacheMode.WriteThrough, int engines = Engines)
    {
        Assert.True(ListenAddress.TryParse("unix:" + SocketPath, out ListenAddress? address, out string? error), error);
        return new ExportSettings
        {
            Name = name,
            Identity = Identity,
            Cache = cache,
            Listen = [address],
            Engines = engines,
        };
    }

    public void Add(string spec, ExportSettings? settings = null, bool readOnly = false) =>
        Host.AddExport(Volume(readOnly, spec), settings ?? Settings());

    public ExportVolume Volume(bool readOnly, params string[] specs) => Volume(readOnly, null, specs);

    public ExportVolume Volume(bool readOnly, NodeMarks? marks, params string[] specs)
    {
        ExportSignals signals = new();
        List<Node> nodes =
        [
            .. specs.Select(spec =>
                Around(Open(spec.Replace("~", _folder, StringComparison.Ordinal), signals), signals)),
        ];
        NodeProperties[] properties =
        [
            .. nodes.Select(node => new NodeProperties
            {
                Name = node.Type,
                SizeBytes = node.SizeBytes,
                LogicalBlockBytes = node.BlockSizeBytes,
                VolatileCache = node.VolatileCache,
                CanDiscard = node.CanDiscard,
                DiscardGranularityBytes = node.DiscardGranularityBytes,
                CanWriteZeroes = node.CanWriteZeroes,
            }),
        ];
        var options = new GeometryOptions { MaxIoBytes = MaxIoBytes, ReadOnly = readOnly };
        Assert.True(GeometryPlan.TryDerive(properties, options, 2, out GeometryPlan? plan, out string? error), error);
        return ExportVolume.From(plan, nodes, signals, marks);
    }

    public ExportStatus Status => Host.Status().Exports.Single(export => export.Name == Name);

    public long Count(NetCounter counter) => Status.Engines.Sum(engine => engine.Net[counter]);

    public static void Eventually(Func<bool> isTrue, string what)
    {
        for (int i = 0; i < 500; i++)
        {
            if (isTrue())
            {
                return;
            }

            Thread.Sleep(20);
        }

        Assert.Fail($"never: {what}");
    }

    public void Dispose()
    {
        if (_host is not null)
        {
            Stop();
        }

        Directory.Delete(_folder, recursive: true);
    }

    private Node Open(string text, ExportSignals signals)
    {
        Assert.True(NodeSpec.TryParse(text, out NodeSpec? spec, out string? error), error);
        return spec is NetworkNodeSpec
            ? TestNode.Open(text, _inner, Engines, InnerDevice, pauseMaxMs: InnerPauseMs)
            : Open(spec, signals);
    }

    private static Node Open(NodeSpec spec, ExportSignals signals) => spec switch
    {
        FileNodeSpec file => new BackingNode(
            "file", BackingOpener.OpenFile(file, new BackingRequest()), signals.SignalKeeper),
        MemoryNodeSpec memory => new MemoryNode(memory.SizeBytes, keeps: true),
        ZeroNodeSpec zero => new MemoryNode(zero.SizeBytes, keeps: false),
        VolatileNodeSpec lossy => new VolatileNode(lossy.Seed, (BackingNode)Open(lossy.Inner, signals)),
        TraceNodeSpec trace => new TraceNode(trace.Path, Open(trace.Inner, signals)),
        DelayNodeSpec delay => new DelayNode(delay.DelayMs, Open(delay.Inner, signals)),
        ErrorNodeSpec fault => new ErrorNode(fault.Rule, Open(fault.Inner, signals)),
        _ => throw new InvalidOperationException($"no node of kind {spec.Kind} here"),
    };
}
