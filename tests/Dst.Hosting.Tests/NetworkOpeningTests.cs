using System.Diagnostics;
using Dst.Control;
using Dst.Core.Specs;
using Dst.Hosting.Nodes;
using Dst.Net.Client;
using Dst.Nodes.Backings;
using Xunit;

namespace Dst.Hosting.Tests;

/// <summary>How long the nodes of a volume that is being made may take.</summary>
public sealed class NetworkOpeningTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("dst-opening-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void Nodes_that_are_opened_one_after_the_other_share_one_limit()
    {
        const int LimitMs = 1500;
        var opening = new NetworkOpening(new NetworkWishes
        {
            Uuid = Guid.NewGuid(),
            Holder = "d on here",
            Software = "test",
            Plan = new NetworkQueuePlan(1, 8, 1 << 20),
            Stores = index => new NetworkStores(new FileEpochStore($"{_folder}/{index}"), new NoServerNotes()),
            TimeoutMs = LimitMs,
            Log = static _ => { },
        });
        Assert.True(NodeSpec.TryParse($"dst+unix:{_folder}/nobody,export=e", out NodeSpec? spec, out _));
        long begin = Stopwatch.GetTimestamp();
        for (int index = 0; index < 3; index++)
        {
            ControlException late = Assert.Throws<ControlException>(
                () => opening.Open((NetworkNodeSpec)spec, index, new BackingRequest()));
            Assert.Equal(ControlErrorCode.TimedOut, late.Error.Code);
        }

        Assert.InRange(Stopwatch.GetElapsedTime(begin).TotalMilliseconds, LimitMs, 2 * LimitMs);
    }
}
